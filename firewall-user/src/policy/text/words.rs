//! Numbers and names as words, and the nearest known word to a wrong one.

/// Digits only, no sign, no leading zeros.
#[must_use]
pub fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    (digits && canonical).then(|| text.parse().ok()).flatten()
}

/// `[a-z0-9][a-z0-9._-]{0,62}`
#[must_use]
pub fn is_name(word: &str) -> bool {
    let first = word.bytes().next();
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    first.is_some_and(letter)
        && word.len() <= 63
        && word
            .bytes()
            .all(|b| letter(b) || matches!(b, b'.' | b'_' | b'-'))
}

/// The known word close enough to have been meant.
pub fn close<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    let distance = |other: &str| strsim::damerau_levenshtein(&lower, other);
    let best = known
        .into_iter()
        .map(|other| (distance(other), other))
        .min()?;
    (best.0 <= (word.len() / 3).clamp(1, 3)).then_some(best.1)
}

/// `did you mean …`, or the words there are, if they are few.
pub fn suggestion<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match close(word, known.iter().copied()) {
        Some(best) => format!("did you mean `{best}`?"),
        None if known.is_empty() => "none is defined".to_owned(),
        None if known.len() <= 24 => format!("known here: {}", known.join(", ")),
        None => format!(
            "known here: {}, … ({} in all)",
            known[..20].join(", "),
            known.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for word in ["a", "0", "web-tier_2.x", &"a".repeat(63)] {
            assert!(is_name(word), "{word}");
        }
        for word in ["", "-a", ".a", "A", "a b", "a/b", "é", &"a".repeat(64)] {
            assert!(!is_name(word), "{word}");
        }
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("65535"), Some(65535));
        for word in [
            "",
            "00",
            "07",
            "+1",
            "-1",
            "1.0",
            "1e3",
            "0x10",
            "99999999999999999999999",
        ] {
            assert_eq!(decimal(word), None, "{word}");
        }
    }

    #[test]
    fn near_words() {
        assert_eq!(close("acton", ["action", "name"]), Some("action"));
        assert_eq!(close("Services", ["services", "sources"]), Some("services"));
        assert_eq!(close("zebra", ["action", "name"]), None);
        assert!(suggestion("x", []).contains("none"));
    }
}
