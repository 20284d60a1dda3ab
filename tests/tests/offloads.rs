//! What the kernel leaves to devices: segments of 64 KB that are cut up later, checksums that are filled in later. They
//! are judged as they are and counted as what goes over the wire.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on must stop with a message"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;

use ringwall_tests::need_root;
use ringwall_tests::net::meter::{Both, Meter};
use ringwall_tests::net::sock::connect;
use ringwall_tests::net::{End, Host, Netns, Veth, wait_until};
use ringwall_tests::scenario::{PATIENCE, allow, at_wan, metric, policy};

/// Each way, over each family.
const BULK: usize = 3 << 20;
/// Bytes of the datagrams that one call sends, and of each.
const DATAGRAMS: usize = 12_000;
const DATAGRAM: usize = 1200;
/// The longest frame that goes over the wire.
const FRAME: u64 = 1514;

/// A guarded host, a wire without anything else on it, and what measures it.
struct Wire {
    host: Host,
    near: End,
    far: End,
    meter: Meter,
    /// What ringwall and the meter had counted when both stood still.
    before: [Counted; 2],
}

/// Packets and bytes of what arrived and of what left.
type Counted = [(u64, u64); 2];

impl Wire {
    fn new(hook: &str) -> Self {
        let [near, far] = ["host", "far"].map(|name| Netns::new(name).unwrap());
        let wire = Veth::between(
            (&near, "wan0", &["203.0.113.1/24", "2001:db8::1/64"]),
            (&far, "eth0", &["203.0.113.9/24", "2001:db8::9/64"]),
        );
        let (near, far) = wire.static_neighbours().create().unwrap();
        let host = Host::start(&near.ns, &["wan0"], &format!("hook: {hook}\n")).unwrap();
        let rules = [allow("web", "tcp/443, udp/443")];
        assert!(host.apply(&policy(1, &rules)).unwrap().ok());
        let meter = Meter::start(&near).unwrap();
        let stand = || {
            let both = (counted(&host), measured(&meter.read()));
            (both.0 == counted(&host)).then_some([both.0, both.1])
        };
        let before = wait_until(PATIENCE, stand).expect("a wire that is still for a moment");
        Self {
            host,
            near,
            far,
            meter,
            before,
        }
    }

    /// What ringwall and the meter have counted since.
    fn since(&self) -> [Counted; 2] {
        let now = [counted(&self.host), measured(&self.meter.read())];
        let minus = |(a, b): (u64, u64), (c, d): (u64, u64)| (a - c, b - d);
        [0, 1].map(|who| [0, 1].map(|way| minus(now[who][way], self.before[who][way])))
    }
}

fn counted(host: &Host) -> Counted {
    let text = host.metrics().unwrap();
    let of = |name, way| metric(&text, name, &[way]) as u64;
    ["direction=\"ingress\"", "direction=\"egress\""].map(|way| {
        (
            of("ringwall_packets_total", way),
            of("ringwall_bytes_total", way),
        )
    })
}

fn measured(both: &Both) -> Counted {
    both.map(|flow| (flow.packets, flow.bytes))
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Much to the other end, and all that it sends.
fn both_ways(mut stream: TcpStream, first: bool) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let data = pattern(BULK);
    let mut got = vec![0; BULK];
    if first {
        stream.write_all(&data).unwrap();
        stream.read_exact(&mut got).unwrap();
    } else {
        stream.read_exact(&mut got).unwrap();
        stream.write_all(&data).unwrap();
    }
    assert!(got == data, "another came than was sent");
    let _ = stream.shutdown(Shutdown::Write);
    assert_eq!(stream.read(&mut got).unwrap(), 0);
}

fn bulk(wire: &Wire, v6: bool) {
    let at = at_wan(v6, 443);
    let listener = wire.near.ns.run(|| TcpListener::bind(at)).unwrap();
    let server = std::thread::spawn(move || both_ways(listener.accept().unwrap().0, false));
    both_ways(connect(&wire.far.ns, at, PATIENCE).unwrap(), true);
    server.join().unwrap();
}

/// One call of a sender, many datagrams.
fn send_cut(socket: &UdpSocket, to: SocketAddr) {
    /// `UDP_SEGMENT` of linux/udp.h.
    const SEGMENT: libc::c_int = 103;
    let (size, length) = (DATAGRAM as libc::c_int, size_of::<libc::c_int>());
    let place = (&raw const size).cast();
    // SAFETY: the pointer is to an int of the size given.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_UDP,
            SEGMENT,
            place,
            length as libc::socklen_t,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    assert_eq!(socket.send_to(&pattern(DATAGRAMS), to).unwrap(), DATAGRAMS);
}

/// All of them, each as long as it was sent.
fn receive_cut(socket: &UdpSocket) -> SocketAddr {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut place, mut last) = (vec![0; 2 * DATAGRAM], None);
    for _ in 0..DATAGRAMS / DATAGRAM {
        let (length, from) = socket.recv_from(&mut place).unwrap();
        assert_eq!(length, DATAGRAM);
        last = Some(from);
    }
    last.unwrap()
}

fn datagrams(wire: &Wire, v6: bool) {
    let any: IpAddr = if v6 { [0; 16].into() } else { [0; 4].into() };
    let server = wire
        .near
        .ns
        .run(|| UdpSocket::bind(at_wan(v6, 443)))
        .unwrap();
    let client = wire.far.ns.run(|| UdpSocket::bind((any, 0))).unwrap();
    send_cut(&client, at_wan(v6, 443));
    let from = receive_cut(&server);
    send_cut(&server, from);
    receive_cut(&client);
}

fn crosses(hook: &str, why: &str) -> [Both; 2] {
    let wire = Wire::new(hook);
    let status = wire.host.json(&["status"]).unwrap();
    let lines = status["interfaces"].as_array().unwrap();
    let mode = lines
        .iter()
        .find(|line| line["name"] == "wan0")
        .map(|line| &line["mode"]);
    assert_eq!(mode, Some(&why.into()), "{status:#}");
    let mut last = wire.meter.read();
    let seen = [false, true].map(|v6| {
        bulk(&wire, v6);
        datagrams(&wire, v6);
        let same = wait_until(PATIENCE, || {
            let [ours, theirs] = wire.since();
            (ours == theirs).then_some(ours)
        });
        let [ours, theirs] = wire.since();
        assert!(
            same.is_some(),
            "v6: {v6}: counted {ours:?}, measured {theirs:?}"
        );
        let now = wire.meter.read();
        let [mut arrived, mut left] = now;
        for (flow, before) in [(&mut arrived, last[0]), (&mut left, last[1])] {
            flow.large -= before.large;
            flow.unsummed -= before.unsummed;
            assert!(flow.bytes - before.bytes > BULK as u64);
        }
        last = now;
        println!("{hook}, v6: {v6}: arrived {arrived:?}, left {left:?}");
        [arrived, left]
    });
    assert!(wire.host.log().lines().all(|line| !line.contains("ERROR")));
    seen
}

#[test]
fn large_segments_are_counted_as_what_goes_over_the_wire_at_tc() {
    need_root!();
    for flow in crosses("tc", "tc").concat() {
        assert!(flow.large > 10 && flow.longest > 4 * FRAME, "{flow:?}");
        assert!(
            flow.unsummed > 10,
            "no checksum was left to the device: {flow:?}"
        );
    }
}

/// The kernel cuts up what goes to a veth with XDP, and does not sum it up.
#[test]
fn segments_without_a_checksum_are_judged_and_counted_at_xdp() {
    need_root!();
    for [arrived, left] in crosses("xdp", "native") {
        assert!(arrived.unsummed > 10, "{arrived:?}");
        assert!(left.large > 10 && left.longest > 4 * FRAME, "{left:?}");
        assert!(left.unsummed > 10, "{left:?}");
    }
}
