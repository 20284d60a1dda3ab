//! Attributes of netlink messages of families that no library of ours reads.

/// The value of an attribute among those in a row; `None` where it is missing, or lengths lie
/// (`struct nlattr` of linux/netlink.h).
pub(crate) fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_behind_others_and_lies_about_lengths_are_none() {
        let bytes = [5, 0, 9, 0, 7, 0, 0, 0, 8, 0, 3, 0, 1, 2, 3, 4];
        assert_eq!(attribute(&bytes, 3), Some(&[1, 2, 3, 4][..]));
        assert_eq!(attribute(&bytes, 9), Some(&[7][..]));
        assert_eq!(attribute(&bytes, 4), None);
        assert_eq!(attribute(&[0; 8], 3), None);
        assert_eq!(attribute(&[200, 0, 3, 0], 3), None);
    }
}
