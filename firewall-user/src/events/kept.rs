//! What is remembered of many: the oldest is forgotten where there is no room.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A bounded memory. What is told again keeps its turn.
#[derive(Debug)]
pub(super) struct Kept<K, V> {
    known: HashMap<K, V>,
    order: VecDeque<K>,
    room: usize,
}

impl<K: Hash + Eq + Copy, V> Kept<K, V> {
    /// With room for so many.
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
            room,
        }
    }

    /// Remembers one.
    pub(super) fn put(&mut self, key: K, value: V) {
        if self.known.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > self.room {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// What is remembered of one.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.known.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut kept = Kept::with_room(2);
        for key in [1, 2, 1, 3] {
            kept.put(key, key * 10);
        }
        let seen = [1, 2, 3].map(|key| kept.get(&key).copied());
        assert_eq!(seen, [None, Some(20), Some(30)]);
    }
}
