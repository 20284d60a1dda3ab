//! How each hook reads its packet.

pub(crate) mod tc;
