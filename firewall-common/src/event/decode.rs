//! From bytes to records. The bytes come from a ring that programs of another version may have written, so
//! nothing in them is believed before it is checked.

use super::Kind;
use super::layout::{Header, OfSession, Refused, VERSION};
use crate::flow::Hook;
use crate::reason::Reason;
use crate::session::end::Cause;
use crate::user::read;
use crate::verdict::Verdict;

/// A record whose numbers all mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A session was opened.
    Open(OfSession),
    /// A session has ended.
    Close(OfSession, Cause),
    /// A packet was refused.
    Drop(Refused),
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Fewer bytes than they say, or than any record has.
    Short,
    /// Another version's.
    Version(u16),
    /// A kind that is not known.
    Kind(u8),
    /// A number that means nothing.
    Value,
}

/// Reads a record. Bytes after its end are padding of the ring.
///
/// # Errors
/// Why it is none; then it is to be skipped and counted.
pub fn decode(bytes: &[u8]) -> Result<Event, Unknown> {
    let header: Header = read(bytes).ok_or(Unknown::Short)?;
    let bytes = bytes.get(..header.size as usize).ok_or(Unknown::Short)?;
    if header.version != VERSION {
        return Err(Unknown::Version(header.version));
    }
    match Kind::from_number(header.kind) {
        Some(Kind::Open) => of_session(bytes).map(Event::Open),
        Some(Kind::Close) => {
            let record = of_session(bytes)?;
            let cause = Cause::from_number(record.cause).ok_or(Unknown::Value)?;
            Ok(Event::Close(record, cause))
        }
        Some(Kind::Drop) => refused(bytes).map(Event::Drop),
        None => Err(Unknown::Kind(header.kind)),
    }
}

fn of_session(bytes: &[u8]) -> Result<OfSession, Unknown> {
    let record: OfSession = whole(bytes)?;
    known(record.reason, record.verdict, record.hook)?;
    Ok(record)
}

fn refused(bytes: &[u8]) -> Result<Refused, Unknown> {
    let record: Refused = whole(bytes)?;
    known(record.reason, record.verdict, record.hook)?;
    Ok(record)
}

fn whole<T: aya::Pod>(bytes: &[u8]) -> Result<T, Unknown> {
    if bytes.len() != size_of::<T>() {
        return Err(Unknown::Short);
    }
    read(bytes).ok_or(Unknown::Short)
}

fn known(reason: u8, verdict: u8, hook: u8) -> Result<(), Unknown> {
    let hook = hook == Hook::Ingress as u8 || hook == Hook::Egress as u8;
    match (Reason::from_number(reason), Verdict::from_number(verdict)) {
        (Some(_), Some(_)) if hook => Ok(()),
        _ => Err(Unknown::Value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::bytes_of;
    use std::vec::Vec;

    fn refusal() -> Refused {
        Refused {
            header: Header {
                size: size_of::<Refused>() as u32,
                version: VERSION,
                kind: Kind::Drop as u8,
                time: 7,
                suppressed: 3,
                pad: 0,
            },
            rule: 130,
            reason: Reason::RuleDeny as u8,
            verdict: Verdict::Dropped as u8,
            ..Refused::default()
        }
    }

    fn bytes(of: &Refused) -> Vec<u8> {
        bytes_of(of).to_vec()
    }

    #[test]
    fn a_record_is_read_as_it_was_written_also_with_padding_behind() {
        let mut written = bytes(&refusal());
        assert_eq!(decode(&written), Ok(Event::Drop(refusal())));
        written.extend([0xff; 8]);
        assert_eq!(decode(&written), Ok(Event::Drop(refusal())));
    }

    #[test]
    fn what_is_short_unknown_or_senseless_is_none() {
        let written = bytes(&refusal());
        for cut in 0..written.len() {
            assert_eq!(decode(&written[..cut]), Err(Unknown::Short), "{cut}");
        }
        let with = |change: fn(&mut Refused)| {
            let mut record = refusal();
            change(&mut record);
            decode(&bytes(&record))
        };
        assert_eq!(with(|r| r.header.version = 9), Err(Unknown::Version(9)));
        assert_eq!(with(|r| r.header.kind = 77), Err(Unknown::Kind(77)));
        assert_eq!(with(|r| r.header.size = 8), Err(Unknown::Short));
        assert_eq!(with(|r| r.header.size = u32::MAX), Err(Unknown::Short));
        assert_eq!(with(|r| r.header.kind = 1), Err(Unknown::Short));
        assert_eq!(with(|r| r.reason = 0), Err(Unknown::Value));
        assert_eq!(with(|r| r.verdict = 4), Err(Unknown::Value));
        assert_eq!(with(|r| r.hook = 2), Err(Unknown::Value));
    }

    #[test]
    fn an_end_has_a_cause() {
        let mut record = OfSession {
            header: Header {
                size: size_of::<OfSession>() as u32,
                version: VERSION,
                kind: Kind::Close as u8,
                ..Header::default()
            },
            reason: Reason::Revoked as u8,
            ..OfSession::default()
        };
        assert_eq!(decode(bytes_of(&record)), Err(Unknown::Value));
        record.cause = Cause::Revoked as u8;
        let read = decode(bytes_of(&record));
        assert_eq!(read, Ok(Event::Close(record, Cause::Revoked)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>) {
            let _any_answer = decode(&bytes);
        }
    }
}
