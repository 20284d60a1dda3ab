//! Frames by hand: sent raw, and seen at either of two places.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::End;

/// Where on its way a frame is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tap {
    /// On the wire: arriving frames before any filter of the host, leaving ones after it.
    Wire,
    /// At the door of the host's stack: arriving frames of this EtherType that passed the filters at
    /// TC and XDP. (The kernel hands frames to sockets bound to one protocol only after these.) A VLAN
    /// tag that no device of the host wants is gone by then; a frame's EtherType is the one behind it.
    Passed(u16),
}

/// A frame as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// From the destination address on, an offloaded VLAN tag put back in its place.
    pub data: Vec<u8>,
    /// It left by this interface (else it arrived).
    pub outgoing: bool,
    /// Its VLAN tag had been taken out of the frame into metadata.
    pub tag_was_offloaded: bool,
}

/// A raw socket on one interface. It does not see what it sent itself; another on the same end does.
pub struct Wire(OwnedFd);

impl Wire {
    /// Opens it at an end of a wire; frames are queued from now on.
    pub fn open(end: &End, tap: Tap) -> Result<Self> {
        let protocol = match tap {
            Tap::Wire => libc::ETH_P_ALL as u16,
            Tap::Passed(ethertype) => ethertype,
        };
        let wire = Self(end.ns.run(raw_socket).context("a packet socket")?);
        wire.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
        // Room for a burst while the machine is busy; only root may exceed the ceiling.
        wire.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 8 << 20)?;
        wire.bind(end.ifindex, protocol)?;
        Ok(wire)
    }

    /// Sends a whole frame, as it is, past no qdisc but through the egress filters. That one of those
    /// drops it is no error here.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        // SAFETY: the pointer and length are those of one slice.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        let error = std::io::Error::last_os_error();
        let dropped = sent < 0 && error.raw_os_error() == Some(libc::ENOBUFS);
        ensure!(dropped || sent == frame.len() as isize, "sending: {error}");
        Ok(())
    }

    /// The next frame, if one comes in time.
    pub fn receive(&self, patience: Duration) -> Option<Frame> {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let ms = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one pollfd, and the count says one.
        let ready = unsafe { libc::poll(&raw mut poll, 1, ms) };
        if ready == 1 { self.read() } else { None }
    }

    /// The first frame that `wanted` accepts, if it comes in time; others are let go.
    pub fn find(&self, patience: Duration, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let end = Instant::now() + patience;
        loop {
            let frame = self.receive(end.saturating_duration_since(Instant::now()))?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// All frames already here, and those that come until nothing came for `quiet`.
    pub fn drain(&self, quiet: Duration) -> Vec<Frame> {
        std::iter::from_fn(|| self.receive(quiet)).collect()
    }

    fn set(&self, level: i32, option: i32, value: i32) -> Result<()> {
        let size = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the pointer is to an int of the size given.
        let done = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                level,
                option,
                (&raw const value).cast(),
                size,
            )
        };
        ensure!(
            done == 0,
            "socket option {option}: {}",
            std::io::Error::last_os_error()
        );
        Ok(())
    }

    fn bind(&self, ifindex: u32, protocol: u16) -> Result<()> {
        // SAFETY: plain data, for which all zeros is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = i32::try_from(ifindex)?;
        let size = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the pointer and the size are those of one sockaddr_ll.
        let done = unsafe { libc::bind(self.0.as_raw_fd(), (&raw const address).cast(), size) };
        ensure!(done == 0, "binding: {}", std::io::Error::last_os_error());
        Ok(())
    }

    fn read(&self) -> Option<Frame> {
        let (mut data, mut control) = (vec![0_u8; 1 << 16], [0_u64; 16]);
        // SAFETY: plain data, for which all zeros is a value.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut part = libc::iovec {
            iov_base: data.as_mut_ptr().cast(),
            iov_len: data.len(),
        };
        // SAFETY: as above; null pointers and zero lengths are allowed in a msghdr.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of_val(&from) as libc::socklen_t;
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: every pointer in the message is to a local that outlives the call, with its size.
        let length = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, 0) };
        data.truncate(usize::try_from(length).ok()?);
        let tag = offloaded_tag(&message);
        if let Some(tag) = tag.filter(|_| data.len() >= 12) {
            data.splice(12..12, tag);
        }
        let outgoing = from.sll_pkttype == libc::PACKET_OUTGOING;
        Some(Frame {
            data,
            outgoing,
            tag_was_offloaded: tag.is_some(),
        })
    }
}

fn raw_socket() -> std::io::Result<OwnedFd> {
    // SAFETY: no pointers. Protocol 0: nothing is received before the socket is bound.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The four bytes of a VLAN tag that the kernel carries beside the frame.
fn offloaded_tag(message: &libc::msghdr) -> Option<[u8; 4]> {
    // SAFETY: the message was filled by recvmsg, and its control buffer lives and is aligned.
    let aux = unsafe {
        let header = libc::CMSG_FIRSTHDR(message);
        if header.is_null() || (*header).cmsg_type != libc::PACKET_AUXDATA {
            return None;
        }
        libc::CMSG_DATA(header)
            .cast::<libc::tpacket_auxdata>()
            .read_unaligned()
    };
    let valid = |bit| aux.tp_status & bit != 0;
    let tpid = if valid(libc::TP_STATUS_VLAN_TPID_VALID) {
        aux.tp_vlan_tpid
    } else {
        0x8100
    };
    let [[a, b], [c, d]] = [tpid.to_be_bytes(), aux.tp_vlan_tci.to_be_bytes()];
    valid(libc::TP_STATUS_VLAN_VALID).then_some([a, b, c, d])
}

/// Collects frames in the background until it is asked for them.
pub struct Capture {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Frame>>,
}

impl Capture {
    /// Starts to look.
    pub fn start(end: &End, tap: Tap) -> Result<Self> {
        let wire = Wire::open(end, tap)?;
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&stop);
        let thread = std::thread::spawn(move || collect(&wire, &done));
        Ok(Self { stop, thread })
    }

    /// Stops looking, after all that has arrived so far was read.
    pub fn finish(self) -> Vec<Frame> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the capture does not panic")
    }
}

fn collect(wire: &Wire, done: &AtomicBool) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !done.load(Ordering::Relaxed) {
        frames.extend(wire.receive(Duration::from_millis(20)));
    }
    frames.extend(wire.drain(Duration::ZERO));
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Netns, Veth};

    fn frame(to: &End, from: &End, rest: &[u8]) -> Vec<u8> {
        [&to.mac[..], &from.mac, rest].concat()
    }

    #[test]
    fn a_frame_is_seen_on_the_wire_and_past_the_filters() {
        crate::need_root!();
        let (a, b) = (Netns::new("a").unwrap(), Netns::new("b").unwrap());
        let (left, right) = Veth::between((&a, "eth0", &[]), (&b, "eth0", &[]))
            .create()
            .unwrap();
        let out = Wire::open(&left, Tap::Wire).unwrap();
        let leaving = Wire::open(&left, Tap::Wire).unwrap();
        let on_wire = Wire::open(&right, Tap::Wire).unwrap();
        let passed = Wire::open(&right, Tap::Passed(0x88b5)).unwrap();
        let (plain, tagged) = (
            frame(&right, &left, &[0x88, 0xb5, 1, 2, 3]),
            frame(&right, &left, &[0x81, 0, 0x20, 7, 0x88, 0xb5, 1, 2, 3]),
        );
        for sent in [&plain, &tagged] {
            out.send(sent).unwrap();
            let seen = |w: &Wire| w.find(Duration::from_secs(10), |f| f.data == **sent);
            let arrived = seen(&on_wire).unwrap();
            assert_eq!(
                (arrived.outgoing, arrived.tag_was_offloaded),
                (false, sent == &tagged)
            );
            assert!(seen(&leaving).unwrap().outgoing);
            assert!(
                passed
                    .find(Duration::from_secs(10), |f| f.data == plain)
                    .is_some()
            );
        }
        // With a filter in front, the frame is still on the wire and no more at the stack's door.
        let rules = "table netdev t {
            chain c { type filter hook ingress device eth0 priority 0; policy drop; }
        }";
        let ran = b.command("nft").args(["-f", "-"]).run_with(rules).unwrap();
        if !ran.ok() {
            crate::skip!("no nftables ingress hook here: {}", ran.err.trim());
        }
        out.send(&plain).unwrap();
        assert!(
            on_wire
                .find(Duration::from_secs(10), |f| f.data == plain)
                .is_some()
        );
        assert_eq!(passed.receive(Duration::from_millis(50)), None);
    }
}
