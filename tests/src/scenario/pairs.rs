//! Connections of which the test holds both ends.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::PATIENCE;
use crate::net::Netns;

/// Both ends of a connection.
pub struct Pair {
    /// Who opened it.
    pub client: TcpStream,
    /// Who accepted it.
    pub server: TcpStream,
}

impl Pair {
    /// A word there and a word back.
    pub fn talks(&mut self) -> bool {
        let mut word = [0; 4];
        let there = self
            .client
            .write_all(b"ping")
            .and_then(|()| self.server.read_exact(&mut word));
        let back = self
            .server
            .write_all(b"pong")
            .and_then(|()| self.client.read_exact(&mut word));
        there.is_ok() && back.is_ok() && &word == b"pong"
    }

    /// Sends, and does not wait.
    pub fn says(&mut self) {
        let _ = self.client.write_all(b"ping");
        let _ = self.server.write_all(b"pong");
    }

    /// Has nothing come since? An error that is not silence would be a reset.
    pub fn heard_nothing(&mut self) -> bool {
        [&mut self.client, &mut self.server].into_iter().all(|end| {
            end.set_nonblocking(true).unwrap();
            end.read(&mut [0; 8])
                .is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
        })
    }
}

/// So many connections from a namespace to a port of another.
pub fn pairs(from: &Netns, to: &Netns, at: SocketAddr, count: usize) -> Vec<Pair> {
    pairs_behind(from, to, at.port(), at, count)
}

/// The same where the address is translated: who accepts listens at another port.
pub fn pairs_behind(
    from: &Netns,
    to: &Netns,
    port: u16,
    at: SocketAddr,
    count: usize,
) -> Vec<Pair> {
    // One socket of both families where the address is IPv4: the kernel has it mapped into IPv6.
    let any: SocketAddr = (std::net::Ipv6Addr::UNSPECIFIED, port).into();
    let listener = to.run(|| TcpListener::bind(any)).unwrap();
    let connect = || {
        (0..count)
            .map(|_| {
                let client = TcpStream::connect_timeout(&at, PATIENCE).unwrap();
                (client, listener.accept().unwrap().0)
            })
            .collect::<Vec<_>>()
    };
    let all = from.run(connect);
    all.into_iter()
        .map(|(client, server)| {
            for end in [&client, &server] {
                end.set_read_timeout(Some(PATIENCE)).unwrap();
            }
            Pair { client, server }
        })
        .collect()
}
