//! Sessions in which nobody says anything: they end by the timeouts of the agent's file, unless a socket of this
//! host still lives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use ringwall_tests::need_root;
use ringwall_tests::net::sock::connect;
use ringwall_tests::net::{Netns, wait_until};
use ringwall_tests::scenario::{PATIENCE, SHORT, Scene, allow, at_wan, policy};

const TIMEOUTS: &str =
    "sessions: {timeouts: {tcp_established: 6s, tcp_fin_wait: 6s, udp: 6s, udp_stream: 6s}}\n";
/// Twice the timeouts, and the time that a sweep may take.
const SILENCE: Duration = Duration::from_secs(14);

fn at_stranger(v6: bool, port: u16) -> SocketAddr {
    let ip: IpAddr = if v6 { "2001:db8::9" } else { "203.0.113.9" }
        .parse()
        .unwrap();
    SocketAddr::new(ip, port)
}

/// A connection from outside: the client's end and the host's.
struct Pair {
    far: TcpStream,
    near: TcpStream,
}

impl Pair {
    fn new(scene: &Scene, at: SocketAddr) -> Self {
        let listener = scene.lab.host().run(|| TcpListener::bind(at)).unwrap();
        let far = connect(scene.stranger(), at, PATIENCE).unwrap();
        let near = listener.accept().unwrap().0;
        for end in [&far, &near] {
            end.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        Self { far, near }
    }

    /// One word from here to there.
    fn says(&mut self, word: &[u8; 4]) -> bool {
        let mut got = [0; 4];
        self.near.write_all(word).unwrap();
        self.far.read_exact(&mut got).is_ok() && got == *word
    }
}

/// Datagrams between a socket of the host and one of the stranger.
struct Datagrams {
    near: UdpSocket,
    far: UdpSocket,
    to: SocketAddr,
}

impl Datagrams {
    fn new(scene: &Scene, v6: bool, port: u16, connected: bool) -> Self {
        let to = at_stranger(v6, port);
        let own = SocketAddr::new(at_wan(v6, 0).ip(), 0);
        let bind = |ns: &Netns, at| ns.run(|| UdpSocket::bind(at)).unwrap();
        let near = bind(scene.lab.host(), own);
        let far = bind(scene.stranger(), to);
        if connected {
            near.connect(to).unwrap();
        }
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let datagrams = Self { near, far, to };
        datagrams.ask();
        assert!(datagrams.answers(PATIENCE), "an answer comes at once");
        datagrams
    }

    fn ask(&self) {
        match self.near.peer_addr() {
            Ok(_) => self.near.send(b"?").unwrap(),
            Err(_) => self.near.send_to(b"?", self.to).unwrap(),
        };
        self.far.recv_from(&mut [0; 8]).unwrap();
    }

    /// Does a word of the other side come in?
    fn answers(&self, patience: Duration) -> bool {
        let at = self.near.local_addr().unwrap();
        self.far.send_to(b"!", at).unwrap();
        self.near.set_read_timeout(Some(patience)).unwrap();
        self.near.recv(&mut [0; 8]).is_ok()
    }
}

#[test]
fn a_session_lives_as_long_as_its_socket_and_else_by_its_timeout() {
    need_root!();
    let scene = Scene::configured(TIMEOUTS).unwrap();
    scene
        .put(&policy(1, &[allow("web", "tcp/443, tcp/444")]))
        .unwrap();
    let mut idle: Vec<_> = [false, true]
        .map(|v6| Pair::new(&scene, at_wan(v6, 443)))
        .into();
    let mut half_closed: Vec<_> = [false, true]
        .map(|v6| Pair::new(&scene, at_wan(v6, 444)))
        .into();
    for pair in &mut half_closed {
        pair.far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(pair.near.read(&mut [0; 8]).unwrap(), 0);
    }
    let connected = [false, true].map(|v6| Datagrams::new(&scene, v6, 5000, true));
    let loose = [false, true].map(|v6| Datagrams::new(&scene, v6, 5001, false));
    std::thread::sleep(SILENCE);
    for pair in &mut idle {
        assert!(pair.says(b"idle"), "an idle connection was cut");
    }
    for pair in &mut half_closed {
        assert!(pair.says(b"half"), "a half-closed connection was cut");
    }
    for datagrams in &connected {
        assert!(datagrams.answers(PATIENCE), "its socket is connected");
    }
    for datagrams in &loose {
        assert!(!datagrams.answers(SHORT), "no socket speaks for it");
    }
}

#[test]
fn without_a_socket_it_ends_by_the_timeout() {
    need_root!();
    let scene = Scene::configured(TIMEOUTS).unwrap();
    scene.put(&policy(1, &[allow("web", "tcp/443")])).unwrap();
    let connected = Datagrams::new(&scene, false, 5000, true);
    let sessions = || {
        let all = scene.host.json(&["sessions", "proto udp"]).unwrap();
        all.as_array().map_or(0, Vec::len)
    };
    assert_eq!(sessions(), 1);
    drop(connected);
    let gone = wait_until(2 * SILENCE, || (sessions() == 0).then_some(()));
    assert!(gone.is_some(), "it stays although its socket is closed");
}
