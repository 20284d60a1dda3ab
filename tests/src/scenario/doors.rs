//! Places behind the firewall that notice who got through.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Worker;
use crate::net::Netns;

/// A listener that counts what reaches it and never answers: the one who knows whether a denied packet got
/// through.
pub struct Door {
    entered: Arc<AtomicU64>,
    _worker: Worker<()>,
}

impl Door {
    /// Listens with TCP at every address of the namespace, both families.
    pub fn tcp(ns: &Netns, port: u16) -> Result<Self> {
        let at = SocketAddr::from(([0_u16; 8], port));
        let listener = ns.run(|| TcpListener::bind(at)).context("a TCP door")?;
        listener.set_nonblocking(true)?;
        Ok(Self::watch(move || match listener.accept() {
            Ok(_) => true,
            Err(_) => {
                std::thread::sleep(Duration::from_millis(2));
                false
            }
        }))
    }

    /// Takes UDP at every address of the namespace, both families.
    pub fn udp(ns: &Netns, port: u16) -> Result<Self> {
        let at = SocketAddr::from(([0_u16; 8], port));
        let socket = ns.run(|| UdpSocket::bind(at)).context("a UDP door")?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        // Room for a burst while the machine is busy; only root may exceed the ceiling.
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20)?;
        Ok(Self::watch(move || socket.recv(&mut [0; 2048]).is_ok()))
    }

    fn watch(mut came: impl FnMut() -> bool + Send + 'static) -> Self {
        let entered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&entered);
        let worker = Worker::start(move |stop| {
            while !stop.load(Ordering::Relaxed) {
                count.fetch_add(u64::from(came()), Ordering::Relaxed);
            }
        });
        Self {
            entered,
            _worker: worker,
        }
    }

    /// Connections or datagrams that arrived here.
    pub fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }
}

/// Both ends of one TCP connection on which bytes flow both ways all the time, with the moment of the last
/// arrival at either end.
pub struct Traced {
    last: [Arc<Mutex<Instant>>; 2],
    _workers: Vec<Worker<()>>,
}

impl Traced {
    /// Lets both ends talk, a few bytes each millisecond.
    pub fn start(ends: [TcpStream; 2]) -> Result<Self> {
        let last = [(); 2].map(|()| Arc::new(Mutex::new(Instant::now())));
        let mut workers = Vec::new();
        for (end, last) in ends.into_iter().zip(&last) {
            end.set_nodelay(true)?;
            end.set_nonblocking(true)?;
            let (writer, last) = (end.try_clone()?, Arc::clone(last));
            workers.push(Worker::start(move |stop| write_on(writer, stop)));
            workers.push(Worker::start(move |stop| note_arrivals(end, &last, stop)));
        }
        Ok(Self {
            last,
            _workers: workers,
        })
    }

    /// When the last bytes arrived at either end.
    pub fn last_arrival(&self) -> Instant {
        let [a, b] = [0, 1].map(|i| *self.last[i].lock().expect("nobody panics with it"));
        a.max(b)
    }
}

fn write_on(mut stream: TcpStream, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        // A full buffer is what a cut connection looks like from here.
        let _ = stream.write(b"on and on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn note_arrivals(mut stream: TcpStream, last: &Mutex<Instant>, stop: &AtomicBool) {
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => *last.lock().expect("nobody panics with it") = Instant::now(),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_micros(500));
            }
            Err(_) => return,
        }
    }
}
