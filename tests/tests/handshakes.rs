//! Two real TCP stacks, one of them guarded, and what they do beyond the plain handshake. The firewall drops nothing of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use ringwall_tests::need_root;
use ringwall_tests::net::sock::{Seen, connect, exchange};
use ringwall_tests::net::xdp::PassAll;
use ringwall_tests::net::{End, Host, Netns, Veth, wait_until};
use ringwall_tests::scenario::{PATIENCE, allow, at_wan, counter_in, metric, policy};
use rustix::net::sockopt::{
    set_socket_linger, set_socket_reuseaddr, set_tcp_keepidle, set_tcp_keepintvl,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

/// The guarded host, its peer, and the wire between them.
struct Wire {
    host: Host,
    near: End,
    far: End,
    _xdp: Option<PassAll>,
}

impl Wire {
    fn new(hook: &str) -> Self {
        let [near, far] = ["host", "far"].map(|name| Netns::new(name).unwrap());
        for ns in [&near, &far] {
            ns.sysctl("ipv4/tcp_ecn", "1").unwrap();
            // 0x207: both ends speak it, and no cookie is asked for.
            ns.sysctl("ipv4/tcp_fastopen", "519").unwrap();
        }
        let wire = Veth::between(
            (&near, "wan0", &["203.0.113.1/24", "2001:db8::1/64"]),
            (&far, "eth0", &["203.0.113.9/24", "2001:db8::9/64"]),
        );
        let (near, far) = wire.static_neighbours().create().unwrap();
        let _xdp = (hook == "xdp").then(|| PassAll::attach(&far).unwrap());
        let host = Host::start(&near.ns, &["wan0"], &format!("hook: {hook}\n")).unwrap();
        let ran = host.apply(&policy(1, &[allow("web", "tcp/443")])).unwrap();
        assert!(ran.ok(), "{ran:?}");
        Self {
            host,
            near,
            far,
            _xdp,
        }
    }

    fn listen(&self, v6: bool) -> TcpListener {
        self.near
            .ns
            .run(|| TcpListener::bind(at_wan(v6, 443)))
            .unwrap()
    }

    fn pair(&self, v6: bool) -> [TcpStream; 2] {
        let listener = self.listen(v6);
        let far = connect(&self.far.ns, at_wan(v6, 443), PATIENCE).unwrap();
        let near = listener.accept().unwrap().0;
        patient([far, near])
    }

    /// Packets that were dropped for belonging to no session, or not to where it is.
    fn lost(&self) -> f64 {
        let metrics = self.host.metrics().unwrap();
        let of = |reason| metric(&metrics, "ringwall_dropped_packets_total", &[reason]);
        of("reason=\"out-of-window\"")
            + of("reason=\"no-session\"")
            + of("reason=\"bad-tcp-flags\"")
    }
}

fn patient(pair: [TcpStream; 2]) -> [TcpStream; 2] {
    for end in &pair {
        end.set_read_timeout(Some(PATIENCE)).unwrap();
        end.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    pair
}

fn at_far(v6: bool, port: u16) -> SocketAddr {
    let ip: IpAddr = if v6 { "2001:db8::9" } else { "203.0.113.9" }
        .parse()
        .unwrap();
    SocketAddr::new(ip, port)
}

/// A word each way.
fn talks(pair: &mut [TcpStream; 2]) {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut got = [0; 4];
        pair[from].write_all(b"word").unwrap();
        pair[to].read_exact(&mut got).unwrap();
        assert_eq!(&got, b"word");
    }
}

/// `tcpi_options` of `struct tcp_info`: what the two ends agreed on.
fn agreed(stream: &TcpStream) -> u8 {
    let mut info = [0_u8; 104];
    let mut size = info.len() as libc::socklen_t;
    let (fd, place) = (stream.as_raw_fd(), info.as_mut_ptr().cast());
    // SAFETY: the pointer and the size are those of one array.
    let done =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut size) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    info[5]
}

/// Bits of [`agreed`] (linux/tcp.h).
const ECN: u8 = 8;
const SYN_DATA: u8 = 32;

/// A counter of a namespace's TCP (/proc/net/netstat).
fn counter(ns: &Netns, name: &str) -> u64 {
    let text = ns.run(|| std::fs::read_to_string("/proc/thread-self/net/netstat"));
    counter_in(&text.unwrap(), "TcpExt:", name).unwrap()
}

/// A socket on an address of its own, which may be somebody's who has just left.
fn bound(ns: &Netns, at: SocketAddr) -> OwnedFd {
    let family = if at.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    ns.run(|| {
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &at)?;
        rustix::io::Result::Ok(socket)
    })
    .unwrap()
}

/// RFC 3168: bits of the header that were reserved, in the SYN and later.
fn congestion_is_told(wire: &Wire, v6: bool) {
    let mut pair = wire.pair(v6);
    talks(&mut pair);
    for end in &pair {
        assert_ne!(agreed(end) & ECN, 0, "v6: {v6}: no ECN");
    }
}

/// RFC 7413: data in the SYN, which is taken.
fn data_comes_with_the_syn(wire: &Wire, v6: bool) {
    use rustix::net::{SendFlags, sendto};
    let listener = wire.listen(v6);
    let backlog: libc::c_int = 16;
    let (place, size) = ((&raw const backlog).cast(), size_of::<libc::c_int>());
    // SAFETY: the pointer is to an int of the size given.
    let done = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN,
            place,
            size as libc::socklen_t,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    let client = bound(&wire.far.ns, at_far(v6, 0));
    let fast = SendFlags::from_bits_retain(libc::MSG_FASTOPEN as u32);
    assert_eq!(sendto(&client, b"word", fast, &at_wan(v6, 443)).unwrap(), 4);
    let mut pair = patient([TcpStream::from(client), listener.accept().unwrap().0]);
    let mut got = [0; 4];
    pair[1].read_exact(&mut got).unwrap();
    talks(&mut pair);
    assert_ne!(
        agreed(&pair[0]) & SYN_DATA,
        0,
        "v6: {v6}: no data in the SYN"
    );
}

/// RFC 9293 section 3.5: two SYNs cross. The peer's stack does not see the host's first one, or it would reset it.
fn both_open_at_once(wire: &Wire, v6: bool) {
    let deaf = "table inet deaf { chain in { type filter hook input priority 0;
        tcp flags & (syn | ack) == syn drop; }; }";
    let ran = wire
        .far
        .ns
        .command("nft")
        .args(["-f", "-"])
        .run_with(deaf)
        .unwrap();
    assert!(ran.ok(), "{ran:?}");
    // No rule of the policy lets anybody in here: only that the host itself has called does.
    let (own, other) = (at_wan(v6, 5555), at_far(v6, 6666));
    let near = bound(&wire.near.ns, own);
    let far = bound(&wire.far.ns, other);
    let calls = |socket: OwnedFd, to: SocketAddr| {
        std::thread::spawn(move || rustix::net::connect(&socket, &to).map(|()| socket))
    };
    let near = calls(near, other);
    let sent = || {
        let rows = wire.host.json(&["sessions", "port 6666"]).unwrap();
        (!rows.as_array()?.is_empty()).then_some(())
    };
    wait_until(PATIENCE, sent).expect("the host's SYN");
    let far = calls(far, own);
    let mut pair = patient([near, far].map(|end| TcpStream::from(end.join().unwrap().unwrap())));
    talks(&mut pair);
    assert!(
        wire.far
            .ns
            .exec("nft", &["delete", "table", "inet", "deaf"])
            .unwrap()
            .ok()
    );
}

/// RFC 9293 section 3.8.4, and sessions that expire within the time in which only probes go.
fn keep_alives_pass(wire: &Wire, v6: bool) {
    let mut pair = wire.pair(v6);
    let before = counter(&wire.far.ns, "TCPKeepAlive");
    rustix::net::sockopt::set_socket_keepalive(&pair[0], true).unwrap();
    set_tcp_keepidle(&pair[0], Duration::from_secs(1)).unwrap();
    set_tcp_keepintvl(&pair[0], Duration::from_secs(1)).unwrap();
    let probed = || (counter(&wire.far.ns, "TCPKeepAlive") >= before + 2).then_some(());
    wait_until(PATIENCE, probed).expect("two probes");
    talks(&mut pair);
}

/// RFC 9293 section 3.8.6.1: the reader takes nothing, and the writer asks until it does.
fn closed_windows_are_probed(wire: &Wire, v6: bool) {
    let [mut writer, mut reader] = wire.pair(v6);
    let before = counter(&wire.far.ns, "TCPWinProbe");
    writer.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let stuffed = || {
        while let Ok(more) = writer.write(&[7; 1 << 16]) {
            sent += more;
        }
        (counter(&wire.far.ns, "TCPWinProbe") > before).then_some(())
    };
    wait_until(PATIENCE, stuffed).expect("a probe of the closed window");
    writer.set_nonblocking(false).unwrap();
    let all = std::thread::spawn(move || {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).map(|_| got.len())
    });
    writer.write_all(&[7; 1 << 16]).unwrap();
    drop(writer);
    assert_eq!(all.join().unwrap().unwrap(), sent + (1 << 16));
}

/// RFC 9293 section 3.6.1: the same ports while the host still has the old connection in TIME-WAIT, and after a reset.
fn ports_are_used_again(wire: &Wire, v6: bool) {
    let listener = wire.listen(v6);
    for turn in 0..8 {
        // The client's own stack may need a moment for the last acknowledgement.
        let call = || {
            let client = bound(&wire.far.ns, at_far(v6, 40_000));
            let called = rustix::net::connect(&client, &at_wan(v6, 443));
            called.ok().map(|()| client)
        };
        let client = wait_until(PATIENCE, call).expect("a connection from the same port");
        let mut pair = patient([TcpStream::from(client), listener.accept().unwrap().0]);
        talks(&mut pair);
        let [mut client, server] = pair;
        if turn % 3 == 2 {
            set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            continue;
        }
        // Who closes first has the TIME-WAIT.
        drop(server);
        assert_eq!(client.read(&mut [0; 4]).unwrap(), 0);
    }
}

/// What two ends do, over either family.
const MOMENTS: [fn(&Wire, bool); 6] = [
    congestion_is_told,
    data_comes_with_the_syn,
    both_open_at_once,
    keep_alives_pass,
    closed_windows_are_probed,
    ports_are_used_again,
];

fn all_of_it(hook: &str) {
    let wire = Wire::new(hook);
    for v6 in [false, true] {
        for (number, moment) in MOMENTS.iter().enumerate() {
            moment(&wire, v6);
            assert_eq!(
                wire.lost(),
                0.0,
                "v6: {v6}, moment {number}: segments dropped"
            );
        }
        let mut open = connect_echo(&wire, v6);
        assert_eq!(exchange(&mut open, PATIENCE), Seen::Answered);
    }
}

/// In the end a plain connection works as before.
fn connect_echo(wire: &Wire, v6: bool) -> TcpStream {
    let [far, mut near] = wire.pair(v6);
    std::thread::spawn(move || {
        let mut word = [0; 8];
        near.read_exact(&mut word)
            .and_then(|()| near.write_all(&word))
    });
    far
}

#[test]
fn rare_handshakes_and_moments_of_real_stacks_at_tc() {
    need_root!();
    all_of_it("tc");
}

#[test]
fn rare_handshakes_and_moments_of_real_stacks_at_xdp() {
    need_root!();
    all_of_it("xdp");
}
