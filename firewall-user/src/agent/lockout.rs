//! The guard against locking oneself out: no policy comes into force that would cut an established SSH session to
//! this host, or one from a management zone, or that would refuse a new one from the same place.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;

use firewall_common::config::GENERATION_MONITOR;
use firewall_common::flow::{FlowKey, Hook};
use firewall_common::packet::protocol;
use firewall_common::parse::tcp::SYN;
use firewall_common::reason::Reason;
use firewall_common::verdict::Decision;

use super::adopt::Living;
use super::clock::boot_now;
use super::cut;
use super::net::{LocalKind, Standing};
use super::plane::Live;
use super::state::Agent;
use crate::dataplane::memory::MemoryTables;
use crate::policy::compiled::Compiled;
use crate::policy::frame::{Concrete, SEQUENCE};

/// The port of SSH (RFC 4253 section 4.1).
const SSH: u16 = 22;
/// A port that a new connection may well come from.
const ANOTHER: u16 = 50_022;
/// Processes that hold SSH's sockets; OpenSSH 9.8 gives each session a process of its own.
const SERVERS: [&str; 3] = ["sshd", "sshd-session", "dropbear"];
/// Shown in a refusal.
const SHOWN: usize = 10;

/// A policy in memory, with what this host adds to it.
struct Trial<'a> {
    tables: MemoryTables,
    compiled: &'a Compiled,
}

impl Agent {
    /// Why a policy would lock out who administers this host now; `None` where it would not.
    pub(super) fn lockout(&self, compiled: &Compiled) -> Option<String> {
        if compiled.head.flags & GENERATION_MONITOR != 0 {
            return None;
        }
        let mut living = self.all_living().ok()?;
        let guarded = self.to_be_guarded();
        let crosses = |one: &Living| one.interface.is_none_or(|index| guarded.contains(&index));
        living.retain(|one| {
            let socket = &one.socket;
            let tcp = socket.protocol == protocol::TCP && one.inbound;
            tcp && socket.standing == Standing::Established && crosses(one)
        });
        if living.is_empty() {
            return None;
        }
        let sessions = self.as_seen(&mut living);
        let candidate = self.trial(compiled, &living);
        let now = self.in_force().filter(|_| self.enforces());
        let now = now.map(|now| self.trial(&now.compiled, &living));
        // What is cut already is cut by no policy to come, though the kernel keeps its socket for minutes.
        living.retain(|one| {
            let session = sessions.get(&one.session(0).key);
            !now.as_ref().is_some_and(|now| now.has_cut(one, session))
        });
        let held = ssh_inodes();
        let mut told = BTreeSet::new();
        for one in &living {
            let first = candidate.open(one, one.socket.far.port());
            let managed = is_ssh(one, &held)
                || candidate.manages(&first)
                || now
                    .as_ref()
                    .is_some_and(|now| now.manages(&now.open(one, one.socket.far.port())));
            if managed {
                told.extend(candidate.against(one, &first));
            }
        }
        refusal(&told)
    }

    /// Where connections really come by, as far as their sessions say: routing may be asymmetric. Gives the sessions.
    fn as_seen(&self, living: &mut [Living]) -> HashMap<FlowKey, Live> {
        let sessions = self.plane.as_ref().map(|plane| plane.sessions());
        let sessions = sessions.and_then(Result::ok).unwrap_or_default();
        let seen: HashMap<FlowKey, Live> =
            sessions.into_iter().map(|live| (live.key, live)).collect();
        for one in living {
            let found = seen.get(&one.session(0).key);
            let index = found.map(|live| live.entry.interface_in);
            one.interface = index.filter(|index| *index != 0).or(one.interface);
        }
        seen
    }

    /// Is a policy in force, by the tables?
    pub(super) fn enforces(&self) -> bool {
        let plane = self.plane.as_ref();
        plane.is_some_and(|plane| plane.in_force().is_ok_and(|held| held.is_some()))
    }

    fn trial<'a>(&self, compiled: &'a Compiled, living: &[Living]) -> Trial<'a> {
        let mut tables = MemoryTables::with(compiled);
        tables.members = self.members();
        for (index, name) in self.interface_names() {
            tables.name_interface(index, &name);
        }
        for local in self.locals() {
            match local.kind {
                LocalKind::Unicast => tables.add_local(local.net.addr()),
                LocalKind::Broadcast => tables.add_broadcast(local.net.addr()),
            }
        }
        if let Some(ways) = &self.ways {
            let far = living.iter().map(|one| one.socket.far.ip());
            ways.hold_in(&mut tables, far);
        }
        for rule in &self.settings.config.failsafe {
            tables.add_failsafe(&rule.sources, &rule.keys());
        }
        Trial { tables, compiled }
    }
}

impl Trial<'_> {
    /// How an opening of this connection from a port would be judged.
    fn open(&self, one: &Living, port: u16) -> Decision {
        let socket = &one.socket;
        let packet = Concrete {
            source: socket.far.ip(),
            destination: socket.local.ip(),
            source_port: port,
            destination_port: socket.local.port(),
            protocol: protocol::TCP,
            icmp: (0, 0),
            tcp_flags: SYN,
            tcp_numbers: (SEQUENCE, 0),
            hop_limit: 64,
            payload: Vec::new(),
        };
        self.tables.forget();
        let interface = one.interface.unwrap_or(0);
        self.tables
            .decide(&packet.frame(), Hook::Ingress, interface, 0, boot_now())
    }

    /// Is the connection refused already: an opening of it would be, and what session there is ends at its next packet?
    fn has_cut(&self, one: &Living, session: Option<&Live>) -> bool {
        let open = self.open(one, one.socket.far.port()).passes();
        let goes_on = |live| cut::refuses(&self.tables, self.compiled, live, boot_now()).is_none();
        !open && !session.is_some_and(goes_on)
    }

    /// Does it come from a management zone?
    fn manages(&self, decision: &Decision) -> bool {
        let zone = decision.source_zone.0;
        self.compiled.head.manages([zone, zone])
    }

    /// What it does to who is connected, in words.
    fn against(&self, one: &Living, first: &Decision) -> Option<String> {
        let (far, local) = (one.socket.far, one.socket.local);
        if !first.passes() {
            let why = self.why(first);
            return Some(format!("cuts the connection tcp {far} -> {local} ({why})"));
        }
        let new = self.open(one, ANOTHER);
        if new.passes() {
            return None;
        }
        let (why, anew) = (self.why(&new), SocketAddr::new(far.ip(), ANOTHER));
        Some(format!(
            "refuses a new connection from the same place, tcp {anew} -> {local} ({why})"
        ))
    }

    fn why(&self, decision: &Decision) -> String {
        let mut listing = self.compiled.listing.iter();
        let listed = listing.find(|listed| listed.counter == decision.rule && decision.rule != 0);
        match listed {
            Some(listed) => format!("rule {}", listed.id),
            None if decision.reason == Reason::Martian => {
                "martian: see `source_check` of its zone".to_owned()
            }
            None => decision.reason.word().to_owned(),
        }
    }
}

fn refusal(told: &BTreeSet<String>) -> Option<String> {
    if told.is_empty() {
        return None;
    }
    let mut text = "it would lock out who administers this host now; the policy:".to_owned();
    for line in told.iter().take(SHOWN) {
        text.push_str("\n  ");
        text.push_str(line);
    }
    if told.len() > SHOWN {
        text.push_str(&format!("\n  and so {} more", told.len() - SHOWN));
    }
    text.push_str("\nlet them in by a rule, or by a failsafe in the agent file; or say --allow-lockout if it is meant");
    Some(text)
}

/// A session of SSH: by its port, or by the process that holds it or listens for it.
fn is_ssh(one: &Living, held: &HashSet<u32>) -> bool {
    let inodes = [Some(one.socket.inode), one.listener];
    let by_process = inodes
        .into_iter()
        .flatten()
        .any(|inode| inode != 0 && held.contains(&inode));
    one.socket.local.port() == SSH || by_process
}

/// Inodes of the sockets that SSH servers hold. Processes that end meanwhile, or that cannot be looked into, hold
/// none.
fn ssh_inodes() -> HashSet<u32> {
    let mut inodes = HashSet::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        let comm = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        if !SERVERS.contains(&comm.trim_end()) {
            continue;
        }
        let files = std::fs::read_dir(path.join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        inodes
            .extend(files.filter_map(|file| socket_inode(&std::fs::read_link(file.path()).ok()?)));
    }
    inodes
}

/// Of `socket:[4711]`.
fn socket_inode(link: &std::path::Path) -> Option<u32> {
    let text = link.to_str()?.strip_prefix("socket:[")?;
    text.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inodes_are_read_from_links() {
        let of = |text: &str| socket_inode(std::path::Path::new(text));
        assert_eq!(of("socket:[4711]"), Some(4711));
        assert_eq!(of("pipe:[4711]"), None);
        assert_eq!(of("/dev/null"), None);
    }
}
