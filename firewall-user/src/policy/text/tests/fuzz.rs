//! Whatever the bytes, an answer and no panic.

use proptest::prelude::*;

use super::{EXAMPLE, host};
use crate::agent::config::AgentConfig;
use crate::policy::{packet, read_bytes};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_bytes("t.yaml", bytes.clone(), &host()).map_err(|refusal| refusal.to_string());
        let _ = AgentConfig::read_bytes("a.yaml".as_ref(), bytes).map_err(|refusal| refusal.to_string());
    }

    #[test]
    fn text_of_yaml_characters(text in "[a-z0-9:@!&*?|>%#{}\\[\\],.'\"/ \n\t-]{0,300}") {
        let _ = read_bytes("t.yaml", text.into_bytes(), &host()).map_err(|refusal| refusal.to_string());
    }

    #[test]
    fn the_example_with_a_piece_replaced(at in 0usize..4000, len in 0usize..40, piece in "\\PC{0,12}") {
        let mut chars: Vec<char> = EXAMPLE.chars().collect();
        let at = at.min(chars.len());
        let end = (at + len).min(chars.len());
        chars.splice(at..end, piece.chars());
        let text: String = chars.into_iter().collect();
        let _ = read_bytes("t.yaml", text.into_bytes(), &host()).map_err(|refusal| refusal.to_string());
    }

    #[test]
    fn any_packet_text(text in "\\PC{0,80}") {
        let _ = packet::parse(&text, &[]).map_err(|error| error.to_string());
        let _ = packet::parse_assertion(&text, Default::default(), &[], &[]);
    }
}
