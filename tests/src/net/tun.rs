//! Devices without a link header: the test holds the other end of a tun device.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Netns;

/// `TUNSETIFF` of linux/if_tun.h: `_IOW('T', 202, int)`.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
/// Longer than any packet.
const ROOM: usize = 1 << 16;

/// A tun device: what its namespace sends by it is read here, and what is written here arrives there. It goes
/// with this value.
pub struct Tun(File);

impl Tun {
    /// Makes the device in a namespace, with addresses (`10.9.0.1/24`), and sets it up.
    pub fn new(ns: &Netns, name: &str, addresses: &[&str]) -> Result<Self> {
        Self::make(ns, name, addresses, 0)
    }

    /// The same, with a header of offloads before each packet (see [`Self::send_large`]).
    pub fn with_offloads(ns: &Netns, name: &str, addresses: &[&str]) -> Result<Self> {
        Self::make(ns, name, addresses, libc::IFF_VNET_HDR)
    }

    fn make(ns: &Netns, name: &str, addresses: &[&str], flags: libc::c_int) -> Result<Self> {
        let file = ns.run(|| open(name, flags)).context("a tun device")?;
        let mut lines = String::new();
        for address in addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            lines += &format!("addr add {address} dev {name}{nodad}\n");
        }
        ns.ip(&format!("{lines}link set {name} up\n"))?;
        Ok(Self(file))
    }

    /// Lets an IP packet arrive.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        (&self.0)
            .write_all(packet)
            .context("writing to the tun device")
    }

    /// Lets a large TCP segment in IPv4 or IPv6 arrive that is to be cut into pieces with so many bytes of payload,
    /// as a guest hands it over: nobody has counted the pieces.
    pub fn send_large(&self, packet: &[u8], size: u16, v6: bool) -> Result<()> {
        let (ip, kind) = if v6 { (40_u16, 4_u8) } else { (20, 1) };
        // struct virtio_net_hdr: the checksum is wanted, which lies 16 bytes into the TCP header.
        let mut data = vec![1, kind];
        for word in [ip + 20, size, ip, 16] {
            data.extend(word.to_ne_bytes());
        }
        data.extend(packet);
        self.send(&data)
    }

    /// The next IP packet that was sent by the device, if one comes in time.
    pub fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        if !ready([&self.0], patience) {
            return None;
        }
        let mut packet = vec![0; ROOM];
        let length = (&self.0).read(&mut packet).ok()?;
        packet.truncate(length);
        Some(packet)
    }
}

fn open(name: &str, flags: libc::c_int) -> Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: plain data, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    ensure!(name.len() < libc::IFNAMSIZ, "{name} is too long");
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | flags) as i16;
    // SAFETY: the kernel reads and writes one such structure.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
    ensure!(done == 0, "{name}: {}", std::io::Error::last_os_error());
    rustix::io::ioctl_fionbio(&file, true)?;
    Ok(file)
}

/// Waits until one of the files can be read.
pub(super) fn ready<const N: usize>(files: [&impl AsRawFd; N], patience: Duration) -> bool {
    let mut polls = files.map(|file| libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    let ms = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: an array of pollfds, and the count is its length.
    unsafe { libc::poll(polls.as_mut_ptr(), N as libc::nfds_t, ms) > 0 }
}

/// Carries packets between two tun devices, as a tunnel does, until it is dropped.
pub struct Pump {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Pump {
    /// Joins them.
    pub fn between(a: Tun, b: Tun) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let carry_all = move || {
            while !seen.load(Ordering::Relaxed) {
                if ready([&a.0, &b.0], Duration::from_millis(20)) {
                    carry(&a, &b);
                    carry(&b, &a);
                }
            }
        };
        Self {
            stop,
            thread: Some(std::thread::spawn(carry_all)),
        }
    }
}

fn carry(from: &Tun, to: &Tun) {
    let mut packet = vec![0; ROOM];
    loop {
        match (&from.0).read(&mut packet) {
            Ok(length) => {
                // A device that is gone or down loses it, as a wire would.
                let _ = (&to.0).write(&packet[..length]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
