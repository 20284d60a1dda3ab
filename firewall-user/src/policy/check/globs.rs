//! Could one name match two globs?

/// A step of a glob over ASCII names: a set of characters, or any number of any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Any,
    One(u128),
}

const EVERY: u128 = u128::MAX;

/// Is there a name that both match? Globs are of `*`, `?` and `[…]`.
#[must_use]
pub fn could_meet(a: &str, b: &str) -> bool {
    let (a, b) = (steps(a), steps(b));
    // reach[j]: some name leads through all steps of `a` so far and the first j of `b`.
    let mut reach = through_stars(&b);
    for step in &a {
        reach = advance(*step, &reach, &b);
    }
    reach.last().copied().unwrap_or(false)
}

/// The empty name goes through leading stars.
fn through_stars(b: &[Step]) -> Vec<bool> {
    let mut reach = vec![true];
    for step in b {
        let before = reach.last().copied().unwrap_or(false);
        reach.push(before && *step == Step::Any);
    }
    reach
}

fn advance(step: Step, before: &[bool], b: &[Step]) -> Vec<bool> {
    let at = |row: &[bool], index: usize| row.get(index).copied().unwrap_or(false);
    let mut after = vec![step == Step::Any && at(before, 0)];
    for (index, other) in b.iter().enumerate() {
        let j = index + 1;
        let meet = match (step, *other) {
            (Step::One(x), Step::One(y)) => at(before, index) && x & y != 0,
            // One more character under the star of `b`, or that star matches nothing.
            (Step::One(_), Step::Any) => at(before, j) || at(&after, index),
            (Step::Any, Step::One(_)) => at(before, j) || at(&after, index),
            (Step::Any, Step::Any) => at(before, j) || at(&after, index) || at(before, index),
        };
        after.push(meet);
    }
    after
}

fn steps(glob: &str) -> Vec<Step> {
    let mut chars = glob.chars();
    let mut steps = Vec::new();
    while let Some(c) = chars.next() {
        steps.push(match c {
            '*' => Step::Any,
            '?' => Step::One(EVERY),
            '[' => Step::One(class(&mut chars)),
            c => Step::One(bit(c)),
        });
    }
    steps
}

/// What is not ASCII could be anything.
fn bit(c: char) -> u128 {
    if c.is_ascii() {
        1 << u32::from(c)
    } else {
        EVERY
    }
}

/// `[a-c0]`, `[!a-c]`, behind its opening bracket.
fn class(chars: &mut std::str::Chars<'_>) -> u128 {
    let inner: Vec<char> = class_text(chars);
    let (negated, inner) = match inner.split_first() {
        Some(('!' | '^', rest)) => (true, rest),
        _ => (false, inner.as_slice()),
    };
    let mut set = 0;
    let mut index = 0;
    while let Some(first) = inner.get(index) {
        match (inner.get(index + 1), inner.get(index + 2)) {
            (Some('-'), Some(last)) => {
                set |= (*first..=*last).fold(0, |set, c| set | bit(c));
                index += 3;
            }
            _ => {
                set |= bit(*first);
                index += 1;
            }
        }
    }
    if negated { !set } else { set }
}

/// The text up to the closing bracket; one that comes first is meant itself.
fn class_text(chars: &mut std::str::Chars<'_>) -> Vec<char> {
    let mut inner = Vec::new();
    for c in chars.by_ref() {
        let first = inner.iter().all(|c| matches!(c, '!' | '^'));
        if c == ']' && !first {
            break;
        }
        inner.push(c);
    }
    inner
}

#[cfg(test)]
mod tests {
    use super::could_meet;

    #[test]
    fn globs_that_meet_and_globs_that_cannot() {
        for (a, b, meet) in [
            ("eth0", "eth0", true),
            ("eth0", "eth1", false),
            ("eth0", "eth", false),
            ("eth*", "eth0", true),
            ("eth*", "en*", false),
            ("e*", "*0", true),
            ("e*1", "e*2", false),
            ("*", "wg0", true),
            ("eth?", "eth10", false),
            ("eth[0-3]", "eth[4-7]", false),
            ("eth[0-3]", "eth[3-7]", true),
            ("eth[!0-3]", "eth2", false),
            ("eth[!0-3]", "eth?", true),
            ("bond0.*", "bond0.20", true),
            ("*a*b*", "*b*a*", true),
            ("**", "x", true),
            ("", "", true),
        ] {
            assert_eq!(could_meet(a, b), meet, "{a} {b}");
            assert_eq!(could_meet(b, a), meet, "{b} {a}");
        }
    }
}
