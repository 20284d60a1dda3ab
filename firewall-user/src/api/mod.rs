//! The control socket: HTTP with JSON over a Unix socket, mode 0660, group `ringwall` where it exists. Its
//! members may read; only root may change anything. Peer credentials are checked on every request.

pub mod client;
pub mod flows;
mod own_services;
pub mod peer;
mod problem;
mod routes;
mod server;
pub mod sets;
#[cfg(test)]
mod tests;
pub mod types;

pub use routes::App;
pub use server::{Socket, bind, serve};
