//! A steady stream while policies change: what is lost of what is allowed, what leaks of what is not, and the longest
//! time without a packet.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use ringwall_tests::net::Netns;

use super::Plan;
use super::host::{HERE, octets, policy};
use super::lab::{Lab, Peer};
use super::numbers::Line;

/// Between two packets to each port: 20,000 a second.
const PACE: Duration = Duration::from_micros(50);
const ALLOWED: u16 = 443;
const DENIED: u16 = 9;
const RULES: usize = 10_000;

/// What came of a stream.
#[derive(Debug, Default)]
struct Came {
    lost: f64,
    leaked: f64,
    /// Milliseconds.
    gap: f64,
}

/// Part of the row about applies.
pub(crate) fn lines(plan: &Plan) -> Result<Vec<Line>> {
    let applies = if plan.quick { 2 } else { 6 };
    let time = Duration::from_secs(applies * 2);
    let lab = Lab::new(Peer::Nothing, 0)?;
    let free = stream(&lab.client, &lab.server, time, || Ok(()))?;
    let mut lab = Lab::new(Peer::Ringwall("auto"), RULES)?;
    let (client, server) = (lab.client.clone(), lab.server.clone());
    let host = lab.agent().context("no agent")?;
    let dir = host.dir.path().to_owned();
    let commands: Vec<_> = (0..applies)
        .map(|n| {
            let text = policy(RULES, Some(n as usize * 7));
            let text = text.replace("revision: 1}", &format!("revision: {}}}", n + 2));
            let path = dir.join(format!("config/steady-{n}.yaml"));
            std::fs::write(&path, text).map(|()| path)
        })
        .collect::<std::io::Result<_>>()?;
    let host = &*host;
    let apply = || -> Result<()> {
        for path in &commands {
            std::thread::sleep(Duration::from_millis(300));
            let ran = host.cli(&["apply", &path.to_string_lossy()])?;
            ensure!(ran.ok(), "apply: {}", ran.err);
        }
        Ok(())
    };
    let ours = stream(&client, &server, time, apply)?;
    Ok(vec![
        Line::exact(
            format!("lost during {applies} applies of {RULES} rules"),
            "",
            ours.lost,
        )
        .goal(0.0),
        Line::exact(format!("leaked during {applies} applies"), "", ours.leaked).goal(0.0),
        Line::exact("longest gap during them", "ms", ours.gap),
        Line::exact("longest gap with no firewall", "ms", free.gap),
        Line::exact(
            "longest gap, of that with no firewall",
            "x",
            ours.gap / free.gap,
        )
        .goal(1.0),
    ])
}

/// A receiver with room for what comes while it is not running.
fn receiver(port: u16) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::from((octets(HERE), port)))?;
    let size: i32 = 16 << 20;
    // SAFETY: an option whose value is a number that outlives the call.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const size).cast(),
            size_of_val(&size) as u32,
        )
    };
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}

/// Sends to both ports until the time is over and what goes on meanwhile is done.
fn stream(
    client: &Netns,
    server: &Netns,
    time: Duration,
    meanwhile: impl FnOnce() -> Result<()> + Send,
) -> Result<Came> {
    let (allowed, denied) =
        server.run(|| Ok::<_, anyhow::Error>((receiver(ALLOWED)?, receiver(DENIED)?)))?;
    let (over, sent, leaked) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| count(&allowed, &over));
        scope.spawn(|| {
            let mut buffer = [0; 64];
            while !over.load(Ordering::Relaxed) {
                if denied.recv(&mut buffer).is_ok() {
                    leaked.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let sending = scope.spawn(|| client.run(|| send(time, &sent)));
        let done = meanwhile();
        let ended = sending.join().ok().context("the sender panicked")?;
        std::thread::sleep(Duration::from_millis(300));
        over.store(true, Ordering::Relaxed);
        let (came, gap) = counting.join().ok().context("the receiver panicked")?;
        done.and(ended)?;
        Ok(Came {
            lost: (sent.load(Ordering::Relaxed) - came) as f64,
            leaked: leaked.load(Ordering::Relaxed) as f64,
            gap,
        })
    })
}

/// How many came, and the longest time between two.
fn count(socket: &UdpSocket, over: &AtomicBool) -> (u64, f64) {
    let (mut came, mut last, mut gap) = (0, None, Duration::ZERO);
    let mut buffer = [0; 64];
    while !over.load(Ordering::Relaxed) {
        if socket.recv(&mut buffer).is_err() {
            continue;
        }
        let now = Instant::now();
        gap = gap.max(last.map_or(Duration::ZERO, |last| now - last));
        last = Some(now);
        came += 1;
    }
    (came, gap.as_secs_f64() * 1e3)
}

fn send(time: Duration, sent: &AtomicU64) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let begin = Instant::now();
    let mut next = Duration::ZERO;
    while begin.elapsed() < time {
        if begin.elapsed() < next {
            std::hint::spin_loop();
            continue;
        }
        next += PACE;
        for (port, counted) in [(ALLOWED, true), (DENIED, false)] {
            let to = SocketAddr::from((octets(HERE), port));
            // An answer that nobody listens comes back as an error, and says nothing of this packet.
            if socket.send_to(&[1; 32], to).is_ok() && counted {
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}
