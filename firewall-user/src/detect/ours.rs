//! Packets that the agent itself made, to ask the live program about them. They never were on any wire, and yet the
//! kernel tells of their end.

use std::collections::VecDeque;

use firewall_common::flow::Tuple;

/// Questions that are remembered: more than are asked while one record waits to be read.
const KEPT: usize = 1024;

/// What was asked about, the last at the end, with when that began and when it was over.
#[derive(Debug, Default)]
pub(super) struct Ours(VecDeque<(Tuple, u64, u64)>);

impl Ours {
    /// A question begins. Until its end is known, all of its packets are ours: what the kernel tells may be read
    /// before the answer is.
    pub(super) fn begin(&mut self, tuple: Tuple, now: u64) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back((tuple, now, u64::MAX));
    }

    /// It is answered.
    pub(super) fn end(&mut self, tuple: &Tuple, now: u64) {
        let mut open = self.0.iter_mut().rev();
        if let Some((_, _, until)) = open.find(|(asked, _, _)| asked == tuple) {
            *until = now;
        }
    }

    /// Is this packet one of a question?
    pub(super) fn made(&self, tuple: &Tuple, at: u64) -> bool {
        let mut asked = self.0.iter();
        asked.any(|(asked, from, until)| asked == tuple && (*from..=*until).contains(&at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_packet_asked_about_is_ours_and_only_while_it_is_judged() {
        let asked = Tuple {
            source_port: 50_000,
            destination_port: 443,
            protocol: 6,
            ..Tuple::default()
        };
        let mut ours = Ours::default();
        assert!(!ours.made(&asked, 10));
        ours.begin(asked, 10);
        assert!(ours.made(&asked, 10) && ours.made(&asked, 999));
        ours.end(&asked, 20);
        assert!(ours.made(&asked, 20) && !ours.made(&asked, 21) && !ours.made(&asked, 9));
        assert!(!ours.made(&asked.reversed(), 15));
        for _ in 0..2 * KEPT {
            ours.begin(asked.reversed(), 30);
        }
        assert_eq!(ours.0.len(), KEPT);
    }
}
