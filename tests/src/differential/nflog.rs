//! What a netfilter chain sees, by its `log group`: whole packets from the network header on (`nfnetlink_log`,
//! include/uapi/linux/netfilter/nfnetlink_log.h).

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::net::Netns;

/// `NFNL_SUBSYS_ULOG`, and two of its messages.
const PACKET: u16 = 4 << 8;
const CONFIG: u16 = PACKET | 1;
/// Attributes of a configuration.
const COMMAND: u16 = 1;
const MODE: u16 = 2;
/// The attribute of a record that is the packet.
const PAYLOAD: u16 = 9;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// Bytes of a netlink header, and with what netfilter puts behind it.
const HEADER: usize = 16;
const BODY: usize = HEADER + 4;
/// Room for what comes while nobody reads.
const ROOM: i32 = 64 << 20;

/// A group's listener.
pub(super) struct Log(OwnedFd);

impl Log {
    /// Listens to a group inside a namespace.
    pub(super) fn open(ns: &Netns, group: u16) -> Result<Self> {
        let log = Self(ns.run(socket).context("a netlink socket")?);
        log.configure(group, COMMAND, &[BIND, 0, 0, 0])?;
        log.configure(group, MODE, &[0, 0, 0xff, 0xff, COPY_PACKET, 0, 0, 0])?;
        Ok(log)
    }

    fn configure(&self, group: u16, attribute: u16, value: &[u8]) -> Result<()> {
        let length = (BODY + 4 + value.len()) as u32;
        let mut message = length.to_ne_bytes().to_vec();
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        message.extend([CONFIG.to_ne_bytes(), flags.to_ne_bytes()].concat());
        message.extend([0; 8]);
        message.extend([0, 0]);
        message.extend(group.to_be_bytes());
        // The command's value is one byte, padded.
        let size = if attribute == COMMAND { 5 } else { 4 + 6 };
        message.extend([(size as u16).to_ne_bytes(), attribute.to_ne_bytes()].concat());
        message.extend(value);
        // SAFETY: the pointer and length are those of one slice.
        let sent = unsafe {
            libc::send(
                self.0.as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                0,
            )
        };
        ensure!(
            sent == message.len() as isize,
            "nfnetlink_log: {}",
            std::io::Error::last_os_error()
        );
        let answer = self
            .read(Duration::from_secs(2))?
            .context("no answer of nfnetlink_log")?;
        let code = answer.get(HEADER..HEADER + 4).unwrap_or_default();
        ensure!(code == [0; 4], "nfnetlink_log refuses: {code:?}");
        Ok(())
    }

    /// The packets of the next message; `None` if none comes in time.
    pub(super) fn next(&self, patience: Duration) -> Result<Option<Vec<Vec<u8>>>> {
        let datagram = self.read(patience)?;
        Ok(datagram.map(|datagram| {
            let mut all = Vec::new();
            take_messages(&datagram, &mut all);
            all
        }))
    }

    /// `None` if nothing comes. An error too where records were lost: then nothing that was seen can be trusted.
    fn read(&self, patience: Duration) -> Result<Option<Vec<u8>>> {
        let mut poll = libc::pollfd {
            fd: self.0.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, and the count says one.
        let ready = unsafe { libc::poll(&raw mut poll, 1, patience.as_millis() as i32) };
        if ready != 1 {
            return Ok(None);
        }
        let mut data = vec![0_u8; 1 << 17];
        // SAFETY: the pointer and length are those of one buffer.
        let length =
            unsafe { libc::recv(self.0.as_raw_fd(), data.as_mut_ptr().cast(), data.len(), 0) };
        ensure!(
            length >= 0,
            "nfnetlink_log: {}",
            std::io::Error::last_os_error()
        );
        data.truncate(length.unsigned_abs());
        Ok(Some(data))
    }
}

fn socket() -> std::io::Result<OwnedFd> {
    const NETFILTER: i32 = 12;
    // SAFETY: no pointers.
    let fd = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            NETFILTER,
        )
    };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let size = size_of::<i32>() as libc::socklen_t;
    let room = (&ROOM as *const i32).cast();
    // SAFETY: the pointer is to an int of the size given.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            room,
            size,
        )
    };
    if done == 0 {
        Ok(fd)
    } else {
        Err(std::io::Error::last_os_error())
    }
}

fn length_at(data: &[u8]) -> Option<usize> {
    Some(u32::from_ne_bytes(data.get(..4)?.try_into().ok()?) as usize)
}

fn short(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

fn take_messages(mut data: &[u8], all: &mut Vec<Vec<u8>>) {
    while let Some(length) = length_at(data).filter(|length| *length >= HEADER) {
        let message = data.get(..length).unwrap_or_default();
        if short(message, 4) == Some(PACKET) {
            all.extend(payload(message.get(BODY..).unwrap_or_default()));
        }
        data = data.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn payload(mut attributes: &[u8]) -> Option<Vec<u8>> {
    loop {
        let length = usize::from(short(attributes, 0)?);
        if short(attributes, 2)? & 0x7fff == PAYLOAD {
            return attributes.get(4..length).map(<[u8]>::to_vec);
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}
