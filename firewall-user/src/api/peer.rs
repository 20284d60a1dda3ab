//! Who is at the other end of the control socket, and what they may do.

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use tokio::net::UnixStream;

use super::types::{Problem, exit};
use crate::agent::history::Who;

/// The group whose members may read.
pub const GROUP: &str = "ringwall";

/// Who is at the other end, as the kernel says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// User id.
    pub uid: u32,
    /// Group id, and the further groups.
    pub groups: Vec<u32>,
    /// Process id, where it has one in our namespace.
    pub pid: Option<i32>,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only reads.
    Read,
    /// It changes something.
    Write,
}

impl Peer {
    /// Asks the kernel about a connected Unix socket.
    pub fn of(socket: &UnixStream) -> std::io::Result<Self> {
        let credentials = socket.peer_cred()?;
        let mut groups = vec![credentials.gid()];
        groups.extend(further_groups(socket.as_fd())?);
        Ok(Self {
            uid: credentials.uid(),
            groups,
            pid: credentials.pid().filter(|pid| *pid > 0),
        })
    }

    /// This process itself, where it does without an agent what an agent would do for it.
    #[must_use]
    pub fn own() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            groups: Vec::new(),
            pid: i32::try_from(std::process::id()).ok(),
        }
    }

    /// May this peer do that? `group` is the id of the reading group, where it exists.
    ///
    /// # Errors
    /// What it takes.
    pub fn may(&self, access: Access, group: Option<u32>) -> Result<(), Problem> {
        let member = group.is_some_and(|group| self.groups.contains(&group));
        match access {
            _ if self.uid == 0 => Ok(()),
            Access::Read if member => Ok(()),
            Access::Read => Err(Problem::new(
                exit::PERMISSION,
                format!("only root and members of the group `{GROUP}` may read"),
            )),
            Access::Write => Err(Problem::new(
                exit::PERMISSION,
                "only root may change anything: try again with sudo",
            )),
        }
    }

    /// Who that is, for the history.
    #[must_use]
    pub fn who(&self) -> Who {
        let login = self.pid.and_then(login_of).filter(|uid| *uid != self.uid);
        Who {
            uid: self.uid,
            name: user_name(self.uid),
            login: login.and_then(user_name),
        }
    }
}

/// The further groups of a peer. Neither the standard library nor rustix has this call.
fn further_groups(socket: BorrowedFd<'_>) -> std::io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 64];
    loop {
        let room = groups.len() * size_of::<u32>();
        let mut length = room as libc::socklen_t;
        // SAFETY: the socket is open for the whole call; `groups` has `length` writable bytes, and the
        // kernel writes at most so many and says in `length` how many it wrote or wants.
        let done = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let filled = length as usize / size_of::<u32>();
        if done == 0 {
            groups.truncate(filled);
            return Ok(groups);
        }
        let error = std::io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || filled <= groups.len() {
            return Err(error);
        }
        groups.resize(filled, 0);
    }
}

/// The id of the reading group, where it exists.
#[must_use]
pub fn reading_group() -> Option<u32> {
    let text = std::fs::read_to_string("/etc/group").ok()?;
    entry(&text, |fields| fields.first() == Some(&GROUP))?
        .parse()
        .ok()
}

fn user_name(uid: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let wanted = uid.to_string();
    let mut lines = text.lines().map(|line| line.split(':'));
    let mut found = lines.find(|fields| fields.clone().nth(2) == Some(wanted.as_str()))?;
    found.next().map(str::to_owned)
}

/// The third field of the first line that something holds for.
fn entry(text: &str, holds: impl Fn(&[&str]) -> bool) -> Option<String> {
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let third = fields.get(2).map(|field| (*field).to_owned());
        third.filter(|_| holds(&fields))
    })
}

/// The user who logged in, whatever they became since (`sudo`), as the audit system keeps it.
fn login_of(pid: i32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_writes_members_read_and_nobody_else() {
        let peer = |uid, groups: &[u32]| Peer {
            uid,
            groups: groups.to_vec(),
            pid: None,
        };
        assert!(peer(0, &[]).may(Access::Write, None).is_ok());
        let member = peer(1000, &[1000, 77]);
        assert!(member.may(Access::Read, Some(77)).is_ok());
        let refused = member.may(Access::Write, Some(77)).unwrap_err();
        assert_eq!(refused.exit, exit::PERMISSION);
        assert!(peer(1000, &[1000]).may(Access::Read, Some(77)).is_err());
        assert!(peer(1000, &[0]).may(Access::Read, None).is_err());
    }

    #[tokio::test]
    async fn the_kernel_says_who_is_there() {
        let (a, _b) = UnixStream::pair().unwrap();
        let peer = Peer::of(&a).unwrap();
        assert_eq!(peer.uid, rustix::process::getuid().as_raw());
        assert_eq!(peer.pid, Some(std::process::id() as i32));
    }
}
