//! The control socket: HTTP with JSON over a Unix socket.

pub mod types;
