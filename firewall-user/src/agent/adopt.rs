//! Connections that live when enforcement begins go on: they become sessions before any packet of theirs is
//! judged, and are judged like any session of an older policy at their next packet.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use firewall_common::flow::{FlowKey, Tuple};
use firewall_common::packet::protocol;
use firewall_common::session::{
    ADOPTED_EPOCH, Entry, FIN_OPENER, FIN_RESPONDER, LEAVING, Permit, REPLIED, STANDS_IN, State,
    Window,
};
use firewall_common::tables::Table;
use firewall_common::zone::Course;

use super::clock::boot_now;
use super::config::Stray;
use super::net::{Link, Published, Socket, Standing, guard};
use super::plane::Live;
use super::state::Agent;
use crate::api::types::ApplyReply;
use crate::dataplane::memory::mapped;

/// For how long after enforcement has begun routed connections are taken up from their middle.
const MIDSTREAM: Duration = Duration::from_secs(300);
/// Where the kernel does not say which ports it gives out.
const EPHEMERAL: (u16, u16) = (32_768, 60_999);

/// A connection of this host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Living {
    /// Its socket.
    pub(crate) socket: Socket,
    /// Opened from outside.
    pub(crate) inbound: bool,
    /// The interface that leads to the far end, as far as routing can say.
    pub(crate) interface: Option<u32>,
    /// Inode of the socket that listens for its like.
    pub(crate) listener: Option<u32>,
    /// Of a connection to a published port: where it really ends, and the interface that leads there.
    pub(crate) behind: Option<(SocketAddr, Option<u32>)>,
}

impl Agent {
    /// Connections that cross one of these interfaces, as the kernel has them now.
    pub(super) fn living(&self, interfaces: &[u32]) -> anyhow::Result<Vec<Living>> {
        let mut living = self.all_living()?;
        living.retain(|one| {
            one.interface
                .is_none_or(|index| interfaces.contains(&index))
        });
        Ok(living)
    }

    /// Connections of this host, as the kernel has them now.
    pub(super) fn all_living(&self) -> anyhow::Result<Vec<Living>> {
        let mut all = directed(&(self.sockets)()?, ephemeral());
        // Where nothing is translated there is nobody to ask, and who cannot be asked is no reason to adopt none.
        let published = (self.published)().unwrap_or_else(|error| {
            tracing::debug!("connection tracking does not tell of published ports: {error}");
            Vec::new()
        });
        all.extend(published.iter().map(Living::of_published));
        Ok(all)
    }

    /// The interfaces that are guarded, or that an apply would guard.
    pub(super) fn to_be_guarded(&self) -> Vec<u32> {
        let early = |link: &&Link| {
            self.early
                .as_ref()
                .is_some_and(|all| all.contains(&link.index))
        };
        let late = self
            .links
            .iter()
            .filter(|link| !early(link))
            .map(|link| link.index);
        let late = if self.early.is_some() {
            late.collect()
        } else {
            BTreeSet::new()
        };
        let choices = guard::choose(&self.links, &self.settings.wishes(late));
        let chosen = self.links.iter().zip(choices);
        chosen
            .filter(|(_, choice)| choice.guard)
            .map(|(link, _)| link.index)
            .collect()
    }

    /// Adopts them; where the tables are not yet judged by, what they hold gives way. Trouble is told and holds
    /// nothing up.
    pub(super) fn adopt(&mut self, interfaces: &[u32], replace: bool) {
        if interfaces.is_empty() {
            return;
        }
        let adopted = self.living(interfaces).and_then(|living| {
            let now = boot_now();
            let mut sessions: Vec<Live> = living.iter().map(|one| one.session(now)).collect();
            let behind = living
                .iter()
                .filter_map(|one| one.stand_in(now, interfaces));
            sessions.extend(behind);
            let placed = self.plane()?.adopt(&sessions, replace)?;
            self.adopted += placed as u64;
            let left = sessions.len().saturating_sub(placed);
            anyhow::ensure!(
                !replace || left == 0,
                "{left} have no place: the session tables are full"
            );
            Ok(())
        });
        let failed = |e| {
            format!(
                "connections that lived before enforcement began are not all adopted, and may be cut: {e:#}"
            )
        };
        self.note("adopt", adopted.err().map(failed));
    }

    /// Enforcement begins: adopts, and lets routed connections be taken up for a while.
    pub(super) fn begin_enforcement(&mut self) -> anyhow::Result<Vec<u32>> {
        let attached = self.plane()?.attached()?;
        let interfaces: Vec<u32> = attached.iter().map(|attached| attached.index).collect();
        self.adopt(&interfaces, true);
        self.take_up_routed();
        self.plane()?.set_strays(Some(Stray::Drop), None)?;
        Ok(interfaces)
    }

    /// Enforcement has begun: adopts what began between the first look and the swap. Until now nobody was told by
    /// a reset that theirs does not exist.
    pub(super) fn enforcement_begun(&mut self, interfaces: &[u32]) -> anyhow::Result<()> {
        self.adopt(interfaces, false);
        let stray = self.settings.config.sessions.stray;
        self.plane()?.set_strays(Some(stray), None)
    }

    /// Completes the answer to an apply by which enforcement began.
    pub(super) fn say_adopted(&self, reply: &mut ApplyReply) {
        reply.applied.adopted = self.adopted;
        if self.adopted > 0 {
            let text = format!(
                "adopted: {} connections that were open before; those that are not allowed end at their next packet",
                self.adopted
            );
            reply.lines.push(text);
        }
    }

    pub(super) fn take_up_routed(&mut self) {
        let until = boot_now() + MIDSTREAM.as_nanos() as u64;
        let told = self
            .plane()
            .and_then(|plane| plane.set_strays(None, Some(until)));
        self.note("midstream", told.err().map(|e| format!("{e:#}")));
    }
}

impl Living {
    fn of_published(one: &Published) -> Self {
        let [interface, inside] = one.interfaces;
        Self {
            socket: one.socket,
            inbound: true,
            interface,
            listener: None,
            behind: Some((one.behind, inside)),
        }
    }

    /// Of a connection to a published port, what stands in for it at the interface behind the translation, where
    /// that is guarded, too (see [`firewall_common::onward`]).
    fn stand_in(&self, now: u64, guarded: &[u32]) -> Option<Live> {
        let (behind, inside) = self.behind?;
        inside.filter(|index| guarded.contains(index))?;
        let opener = Tuple {
            destination: mapped(behind.ip()),
            destination_port: behind.port(),
            ..self.opener()
        };
        let mut live = self.session(now);
        live.entry.opener = opener.key(&mut live.key) as u8;
        live.entry.course = Course::Routed as u8;
        live.entry.interface_in = 0;
        live.entry.opening = STANDS_IN;
        Some(live)
    }

    /// The session that it is to be.
    pub(crate) fn session(&self, now: u64) -> Live {
        let opener = self.opener();
        let mut key = FlowKey::default();
        let side = opener.key(&mut key);
        let interface = self.interface.unwrap_or(0);
        let (state, table) = self.state();
        let mut entry = Entry {
            opened: now,
            last_seen: now,
            permit: Permit {
                epoch: ADOPTED_EPOCH,
                ..Permit::default()
            },
            opener: side as u8,
            ..Entry::default()
        };
        if self.inbound {
            entry.course = Course::Inbound as u8;
            entry.interface_in = interface;
        } else {
            entry.course = Course::Outbound as u8;
            entry.interface_out = interface;
            entry.opening = LEAVING;
        }
        entry.track.state = state as u8;
        entry.track.flags = self.flags();
        entry.track.windows = [Window::WIDE_OPEN; 2];
        Live { key, entry, table }
    }

    /// The tuple of its opener.
    pub(crate) fn opener(&self) -> Tuple {
        let end = |end: SocketAddr| (mapped(end.ip()), end.port());
        let (local, far) = (end(self.socket.local), end(self.socket.far));
        let (from, to) = if self.inbound {
            (far, local)
        } else {
            (local, far)
        };
        Tuple {
            source: from.0,
            destination: to.0,
            source_port: from.1,
            destination_port: to.1,
            protocol: self.socket.protocol,
            pad: [0; 3],
        }
    }

    fn state(&self) -> (State, Table) {
        if self.socket.protocol == protocol::UDP {
            return (State::UdpStream, Table::Sessions);
        }
        match self.socket.standing {
            Standing::SynSent => (State::SynSent, Table::HalfOpen),
            Standing::SynReceived => (State::SynReceived, Table::HalfOpen),
            Standing::Finished | Standing::FarFinished => (State::FinWait, Table::Sessions),
            Standing::Over => (State::TimeWait, Table::Sessions),
            Standing::Established | Standing::Listens => (State::Established, Table::Sessions),
        }
    }

    fn flags(&self) -> u8 {
        let (own, far) = if self.inbound {
            (FIN_RESPONDER, FIN_OPENER)
        } else {
            (FIN_OPENER, FIN_RESPONDER)
        };
        match self.socket.standing {
            Standing::SynSent | Standing::SynReceived => 0,
            Standing::Finished => REPLIED | own,
            Standing::FarFinished => REPLIED | far,
            Standing::Over => REPLIED | own | far,
            Standing::Established | Standing::Listens => REPLIED,
        }
    }
}

/// The connections among sockets, and who opened each. A local port that somebody listens at was opened from
/// outside. Where nobody listens any more the ports tell: who was given one by the kernel has opened.
fn directed(found: &[(Socket, Option<u32>)], ephemeral: (u16, u16)) -> Vec<Living> {
    let listening: Vec<&Socket> = found
        .iter()
        .map(|(socket, _)| socket)
        .filter(|socket| socket.standing == Standing::Listens)
        .collect();
    let places: HashSet<(u8, IpAddr, u16)> = listening.iter().map(|s| place(s)).collect();
    let listener = |of: &Socket| {
        let (number, own, port) = place(of);
        let everywhere = |text: &str| text.parse().ok().map(|any| (number, any, port));
        let wanted = [
            Some((number, own, port)),
            everywhere("0.0.0.0"),
            everywhere("::"),
        ];
        let hit = wanted
            .into_iter()
            .flatten()
            .find(|at| places.contains(at))?;
        listening.iter().find(|s| place(s) == hit).map(|s| s.inode)
    };
    let given = |port: u16| (ephemeral.0..=ephemeral.1).contains(&port);
    let connections = found.iter().filter(|(socket, _)| is_connection(socket));
    let direct = |(socket, interface): &(Socket, Option<u32>)| {
        let listener = listener(socket);
        let (own, far) = (socket.local.port(), socket.far.port());
        let inbound = match socket.standing {
            Standing::SynSent => false,
            Standing::SynReceived => true,
            _ => listener.is_some() || (!given(own) && given(far)),
        };
        Living {
            socket: *socket,
            inbound,
            interface: *interface,
            listener,
            behind: None,
        }
    };
    connections.map(direct).collect()
}

fn place(socket: &Socket) -> (u8, IpAddr, u16) {
    (socket.protocol, socket.local.ip(), socket.local.port())
}

/// Has it a far end beyond this machine?
fn is_connection(socket: &Socket) -> bool {
    let far = socket.far.ip();
    socket.standing != Standing::Listens
        && socket.far.port() != 0
        && !far.is_unspecified()
        && !far.is_loopback()
        && !far.is_multicast()
}

/// The ports that the kernel gives to who asks for none.
fn ephemeral() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let text = text.unwrap_or_default();
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(low)), Some(Ok(high))) => (low, high),
        _ => EPHEMERAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(local: &str, far: &str, standing: Standing) -> (Socket, Option<u32>) {
        let socket = Socket {
            protocol: protocol::TCP,
            local: local.parse().unwrap(),
            far: far.parse().unwrap(),
            standing,
            inode: 7,
        };
        (socket, Some(2))
    }

    #[test]
    fn who_opened_a_connection_is_told_by_listeners_then_by_ports() {
        use Standing::{Established, Listens, SynSent};
        let found = [
            socket("[::]:443", "[::]:0", Listens),
            socket("10.0.0.1:40001", "0.0.0.0:0", Listens),
            socket("127.0.0.1:25", "0.0.0.0:0", Listens),
            socket("10.0.0.1:443", "203.0.113.9:50000", Established),
            socket("10.0.0.1:40001", "203.0.113.9:443", Established),
            socket("10.0.0.2:40001", "203.0.113.9:443", Established),
            socket("10.0.0.1:22", "203.0.113.9:50000", Established),
            socket("10.0.0.1:800", "10.0.0.9:2049", Established),
            socket("10.0.0.1:443", "203.0.113.9:443", SynSent),
            socket("10.0.0.1:443", "127.0.0.1:50000", Established),
        ];
        let living = directed(&found, EPHEMERAL);
        let inbound: Vec<bool> = living.iter().map(|one| one.inbound).collect();
        assert_eq!(inbound, [true, true, false, true, false, false]);
    }

    #[test]
    fn a_connection_to_a_published_port_is_one_of_the_host_and_stands_in_behind() {
        let (socket, _) = socket(
            "203.0.113.1:40000",
            "203.0.113.9:50000",
            Standing::Established,
        );
        let one = Living::of_published(&Published {
            socket,
            behind: "172.17.0.2:80".parse().unwrap(),
            interfaces: [Some(2), Some(3)],
        });
        let live = one.session(5);
        assert_eq!(live.entry.course(), Course::Inbound);
        assert_eq!(one.stand_in(5, &[2]).map(|live| live.key), None);
        let behind = one.stand_in(5, &[2, 3]).unwrap();
        assert!(behind.entry.stands_in() && behind.key != live.key);
        let mut tuple = Tuple::default();
        behind.key.tuple(behind.entry.opener_side(), &mut tuple);
        assert_eq!((tuple.source_port, tuple.destination_port), (50_000, 80));
    }

    #[test]
    fn a_session_of_a_socket_is_judged_by_no_policy_yet() {
        let found = [socket(
            "[2001:db8::1]:443",
            "[2001:db8::9]:50000",
            Standing::FarFinished,
        )];
        let live = directed(&found, EPHEMERAL)[0].session(5);
        assert!(live.entry.is_adopted());
        assert_eq!(live.entry.track.state(), State::FinWait);
        assert_eq!(live.entry.track.flags, REPLIED | FIN_OPENER);
        assert!(live.entry.track.windows[1].is_unknown());
        assert_eq!((live.entry.interface_in, live.table), (2, Table::Sessions));
    }
}
