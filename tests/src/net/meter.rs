//! What crosses a device, as the kernel carries it: how large, how it is to be cut up, whether its checksum is there. By
//! that is told what goes over the wire, without any program of ours.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::End;

/// `PACKET_VNET_HDR` of linux/if_packet.h: each frame comes with its `struct virtio_net_hdr`.
const VNET_HDR: libc::c_int = 15;
/// Bytes of that structure.
const OFFLOADS: usize = 10;
/// `VIRTIO_NET_HDR_F_NEEDS_CSUM` of linux/virtio_net.h.
const NEEDS_CHECKSUM: u8 = 1;
/// Headers fit in as much.
const HEAD: usize = 256;
const ETHERNET: u64 = 14;

/// One direction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Packets on the wire, large ones counted by their pieces.
    pub packets: u64,
    /// Bytes on the wire, each piece with headers of its own.
    pub bytes: u64,
    /// Packets that are still to be cut up.
    pub large: u64,
    /// Packets whose checksum is left to the device.
    pub unsummed: u64,
    /// Bytes of the longest.
    pub longest: u64,
}

/// Both: what arrived, and what left.
pub type Both = [Flow; 2];

/// Measures until it is dropped.
pub struct Meter {
    sum: Arc<Mutex<Both>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Meter {
    /// At an end of a wire: what arrives is seen before TC and behind XDP, what leaves behind TC.
    pub fn start(end: &End) -> Result<Self> {
        let socket = end.ns.run(|| open(end.ifindex))?;
        let (sum, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (shared, done) = (Arc::clone(&sum), Arc::clone(&stop));
        let thread = std::thread::spawn(move || measure(&socket, &shared, &done));
        Ok(Self {
            sum,
            stop,
            thread: Some(thread),
        })
    }

    /// So far.
    ///
    /// # Panics
    /// If what reads the frames has.
    #[must_use]
    pub fn read(&self) -> Both {
        *self.sum.lock().expect("the meter does not panic")
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(ifindex: u32) -> Result<OwnedFd> {
    // SAFETY: no pointers. Protocol 0: nothing is received before the socket is bound.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    ensure!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set(&socket, libc::SOL_PACKET, VNET_HDR, 1)?;
    // More than all that a test sends, so that nothing is missed while the machine is busy.
    set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 512 << 20)?;
    // SAFETY: plain data, for which all zeros is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = i32::try_from(ifindex)?;
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer and the size are those of one sockaddr_ll.
    let done = unsafe { libc::bind(fd, (&raw const address).cast(), size) };
    ensure!(done == 0, "binding: {}", std::io::Error::last_os_error());
    Ok(socket)
}

fn set(socket: &OwnedFd, level: i32, option: i32, value: i32) -> Result<()> {
    let (fd, size) = (socket.as_raw_fd(), size_of::<i32>() as libc::socklen_t);
    // SAFETY: the pointer is to an int of the size given.
    let done = unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), size) };
    let error = || format!("option {option}: {}", std::io::Error::last_os_error());
    (done == 0).then_some(()).with_context(error)
}

fn measure(socket: &OwnedFd, sum: &Mutex<Both>, done: &AtomicBool) {
    let patience = Duration::from_millis(20);
    while !done.load(Ordering::Relaxed) {
        if !super::tun::ready([socket], patience) {
            continue;
        }
        while let Some((leaves, flow)) = next(socket) {
            let mut sum = sum.lock().expect("nobody panics with it");
            sum[usize::from(leaves)].add(&flow);
        }
    }
}

/// The next frame: does it leave, and what it comes to.
fn next(socket: &OwnedFd) -> Option<(bool, Flow)> {
    let mut head = [0; OFFLOADS + HEAD];
    // SAFETY: plain data, for which all zeros is a value.
    let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut size = size_of_val(&from) as libc::socklen_t;
    // SAFETY: each pointer is to a local that outlives the call, with its size.
    let length = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            head.as_mut_ptr().cast(),
            head.len(),
            libc::MSG_TRUNC | libc::MSG_DONTWAIT,
            (&raw mut from).cast(),
            &raw mut size,
        )
    };
    let length = u64::try_from(length).ok()?.checked_sub(OFFLOADS as u64)?;
    let flow = Flow::of(&head[..OFFLOADS], &head[OFFLOADS..], length);
    Some((from.sll_pkttype == libc::PACKET_OUTGOING, flow))
}

impl Flow {
    fn of(offloads: &[u8], frame: &[u8], length: u64) -> Self {
        let size = u64::from(u16::from_ne_bytes([offloads[4], offloads[5]]));
        let large = offloads[1] != 0 && size > 0;
        let headers = headers(frame);
        let pieces = if large {
            (length - headers).div_ceil(size)
        } else {
            1
        };
        Self {
            packets: pieces,
            bytes: length + (pieces - 1) * headers,
            large: u64::from(large),
            unsummed: u64::from(offloads[0] & NEEDS_CHECKSUM != 0),
            longest: length,
        }
    }

    fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.large += other.large;
        self.unsummed += other.unsummed;
        self.longest = self.longest.max(other.longest);
    }
}

/// Bytes of all headers of a TCP or UDP packet without extension headers.
fn headers(frame: &[u8]) -> u64 {
    let (protocol, ip) = match frame[14] >> 4 {
        4 => (frame[23], u64::from(frame[14] & 0xf) * 4),
        _ => (frame[20], 40),
    };
    let transport = match protocol {
        6 => u64::from(frame[(ETHERNET + ip) as usize + 12] >> 4) * 4,
        _ => 8,
    };
    ETHERNET + ip + transport
}
