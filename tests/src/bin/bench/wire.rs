//! Traffic of row 3: one stream, round trips, and connections one after the other with many in flight. Client and server
//! are threads of this process, each on a processor of its own, so that the process's time is theirs.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::host::{HERE, octets};
use ringwall_tests::net::receiver::{bind, kernel_threads, on_processor};

use super::lab::{Lab, process_time};
use super::numbers::Samples;

const PORT: u16 = 443;
/// Connections at a time.
const FLIGHT: usize = 32;

/// What traffic took.
pub(crate) struct Took {
    /// Bytes or connections.
    pub(crate) done: f64,
    /// Seconds on the clock.
    pub(crate) seconds: f64,
    /// Nanoseconds on processors: this process, the kernel's threads for packets, the peer's agent.
    pub(crate) processor: f64,
}

/// Runs both sides, and takes their time.
fn timed(lab: &mut Lab, both: impl FnOnce(&Lab) -> Result<f64>) -> Result<Took> {
    let softirq = kernel_threads("ksoftirqd");
    let now = |lab: &mut Lab| {
        let stat = |pid: &u32| {
            let time = on_processor(format!("/proc/{pid}/schedstat").as_ref());
            time.as_nanos() as u64
        };
        process_time(std::process::id()) + softirq.iter().map(stat).sum::<u64>() + lab.agent_time()
    };
    let before = now(lab);
    let begin = Instant::now();
    let done = both(lab)?;
    Ok(Took {
        done,
        seconds: begin.elapsed().as_secs_f64(),
        processor: (now(lab) - before) as f64,
    })
}

/// Runs a client and a server; what the client says.
fn run<C: Send, S: Send>(
    lab: &Lab,
    server: impl FnOnce() -> Result<S> + Send,
    client: impl FnOnce() -> Result<C> + Send,
) -> Result<C> {
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            lab.server.run(|| {
                bind(0, 1);
                server()
            })
        });
        let said = lab.client.run(|| {
            bind(0, 0);
            client()
        });
        let served = server.join().ok().context("the server panicked")?;
        served?;
        said
    })
}

fn here() -> SocketAddr {
    (octets(HERE), PORT).into()
}

/// One stream for so long: bytes.
pub(crate) fn stream(lab: &mut Lab, time: Duration) -> Result<Took> {
    let listener = lab.server.run(|| TcpListener::bind(here()))?;
    timed(lab, |lab| {
        let server = move || {
            let (mut stream, _) = listener.accept()?;
            let mut buffer = vec![0; 1 << 17];
            while stream.read(&mut buffer)? > 0 {}
            stream.write_all(b".")?;
            Ok(())
        };
        let client = move || {
            let mut stream = TcpStream::connect(here())?;
            let buffer = vec![7; 1 << 17];
            let (begin, mut sent) = (Instant::now(), 0);
            while begin.elapsed() < time {
                stream.write_all(&buffer)?;
                sent += buffer.len();
            }
            stream.shutdown(std::net::Shutdown::Write)?;
            stream.read_exact(&mut [0])?;
            Ok(sent as f64)
        };
        run(lab, server, client)
    })
}

/// Round trips of small datagrams: their times in microseconds.
pub(crate) fn round_trips(lab: &Lab, count: usize) -> Result<Samples> {
    let socket = lab.server.run(|| UdpSocket::bind(here()))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let server = move || {
        let mut buffer = [0; 64];
        for _ in 0..count {
            let (size, from) = socket.recv_from(&mut buffer)?;
            socket.send_to(&buffer[..size], from)?;
        }
        Ok(())
    };
    let client = move || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(here())?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let (mut samples, mut buffer) = (Samples::default(), [0; 64]);
        for _ in 0..count {
            let begin = Instant::now();
            socket.send(&[1; 32])?;
            socket.recv(&mut buffer)?;
            samples.push(begin.elapsed().as_nanos() as f64 / 1e3);
        }
        Ok(samples)
    };
    run(lab, server, client)
}

/// Connections for so long, each with one byte both ways: how many.
pub(crate) fn connections(lab: &mut Lab, time: Duration) -> Result<Took> {
    let listener = lab.server.run(|| -> Result<TcpListener> {
        let listener = TcpListener::bind(here())?;
        // SAFETY: the descriptor is open; listening again only changes the backlog.
        unsafe { libc::listen(listener.as_raw_fd(), 4096) };
        listener.set_nonblocking(true)?;
        Ok(listener)
    })?;
    timed(lab, |lab| {
        let over = AtomicBool::new(false);
        run(
            lab,
            || serve(&listener, &over),
            || {
                let made = connect(time);
                over.store(true, Ordering::Relaxed);
                made
            },
        )
    })
}

/// Readiness of descriptors (epoll(7)).
struct Poll(OwnedFd);

impl Poll {
    fn new() -> Result<Self> {
        // SAFETY: takes a number; a descriptor or -1 comes back.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        anyhow::ensure!(fd >= 0, "epoll: {}", std::io::Error::last_os_error());
        // SAFETY: a descriptor that the kernel has just given us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn add(&self, fd: i32, what: i32, data: u64) {
        let mut event = libc::epoll_event {
            events: what as u32,
            u64: data,
        };
        // SAFETY: both descriptors are open, and the event outlives the call.
        unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
    }

    fn wait(&self, ready: &mut Vec<u64>) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        // SAFETY: there is room for as many events as we say.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 64, 20) };
        ready.clear();
        let count = usize::try_from(count).unwrap_or(0);
        ready.extend(events.iter().take(count).map(|event| event.u64));
    }
}

/// Answers each byte with one, and closes when the client has.
fn serve(listener: &TcpListener, over: &AtomicBool) -> Result<()> {
    const LISTENER: u64 = u64::MAX;
    let poll = Poll::new()?;
    poll.add(listener.as_raw_fd(), libc::EPOLLIN, LISTENER);
    let mut streams: std::collections::HashMap<u64, TcpStream> = std::collections::HashMap::new();
    let mut ready = Vec::new();
    while !over.load(Ordering::Relaxed) {
        poll.wait(&mut ready);
        for data in &ready {
            if *data == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    let fd = stream.as_raw_fd();
                    poll.add(fd, libc::EPOLLIN, fd as u64);
                    streams.insert(fd as u64, stream);
                }
                continue;
            }
            let Some(stream) = streams.get_mut(data) else {
                continue;
            };
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => drop(stream.write(&byte)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => drop(streams.remove(data)),
            }
        }
    }
    Ok(())
}

/// A connection under way.
struct Flight {
    stream: TcpStream,
    asked: bool,
}

fn connect(time: Duration) -> Result<f64> {
    let poll = Poll::new()?;
    let mut flights: Vec<Option<Flight>> = Vec::new();
    for place in 0..FLIGHT {
        flights.push(Some(begin(&poll, place)?));
    }
    let start = Instant::now();
    let (mut made, mut ready) = (0.0, Vec::new());
    while start.elapsed() < time {
        poll.wait(&mut ready);
        for place in &ready {
            let Some(flight) = flights.get_mut(*place as usize) else {
                continue;
            };
            let Some(Flight { stream, asked }) = flight else {
                continue;
            };
            let mut byte = [0];
            if !*asked {
                *asked = stream.write(b"?").is_ok();
            } else if stream.read(&mut byte).is_ok() {
                made += 1.0;
                *flight = None;
                *flight = Some(begin(&poll, *place as usize)?);
            }
        }
    }
    Ok(made)
}

/// A connection that is being opened: when it can be written to, it is open; after that it waits to be read.
fn begin(poll: &Poll, place: usize) -> Result<Flight> {
    // SAFETY: takes numbers; a descriptor or -1 comes back.
    let fd = unsafe {
        libc::socket(
            libc::AF_INET,
            libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        )
    };
    anyhow::ensure!(fd >= 0, "socket: {}", std::io::Error::last_os_error());
    // SAFETY: a descriptor that the kernel has just given us.
    let stream = unsafe { TcpStream::from_raw_fd(fd) };
    let to = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: PORT.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(octets(HERE)),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: the address is plain data of the size that is given.
    unsafe { libc::connect(fd, (&raw const to).cast(), size_of_val(&to) as u32) };
    poll.add(
        fd,
        libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET,
        place as u64,
    );
    Ok(Flight {
        stream,
        asked: false,
    })
}
