//! What the agent needs of the data plane: one trait, so that the agent can be tested without a kernel.

use std::collections::BTreeMap;
use std::time::Duration;

use firewall_common::config::{Count, RuleCount};
use firewall_common::flow::{FlowKey, Hook};
use firewall_common::policy::dynamic::MemberKey;
use firewall_common::reason::Reason;
use firewall_common::session::Entry;
use firewall_common::session::end::Cause;
use firewall_common::tables::Table;
use firewall_common::verdict::{Decision, Verdict};
use ipnet::IpNet;

use super::config::{FailsafeRule, SessionConfig, Stray};
use super::net::{Feasible, Link, Local};
use super::revision::Identity;
use crate::dataplane::{
    EventCounts, Ingress, LimitUse, Neighbour, Ring, Session, SessionCounts, Swept, WatchPlan,
};
use crate::policy::compiled::{Compiled, InterfacePlan};
use crate::sets::Change;

/// A guarded interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its index.
    pub index: u32,
    /// Its name when it was attached to.
    pub name: String,
    /// Where the program sits that judges what arrives: `tcx`, `clsact` or `xdp`.
    pub hook: String,
    /// How it is run there: `tc`, `native` or `generic`.
    pub mode: String,
    /// Why it is not where it was to be.
    pub instead: Option<String>,
}

/// The generation that the tables hold in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Which policy it is.
    pub identity: Identity,
    /// It only monitors.
    pub monitor: bool,
    /// Seconds since 1970 when it was put in force.
    pub applied: u64,
}

/// A policy that waits to be confirmed, or that was not in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Which policy it is.
    pub identity: Identity,
    /// Until when, in nanoseconds since boot.
    pub deadline: u64,
    /// The time is over: what was before it decides.
    pub passed: bool,
}

/// Packets with the same verdict, hook, peer zone and reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketCount {
    /// What was done.
    pub verdict: Verdict,
    /// Where.
    pub hook: Hook,
    /// Zone number of the other end.
    pub zone: u8,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub count: Count,
}

/// A live session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// Both ends.
    pub key: FlowKey,
    /// What is kept of it.
    pub entry: Entry,
    /// Which table it is in.
    pub table: Table,
}

/// A frame to be judged.
#[derive(Debug, Clone, Copy)]
pub struct Question<'f> {
    /// The frame, from its Ethernet header on.
    pub frame: &'f [u8],
    /// Where it is seen.
    pub hook: Hook,
    /// Interface of the hook.
    pub interface: u32,
    /// Leaving: the interface it came in by; 0: from this host.
    pub came_by: u32,
}

/// Places in the session tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// In the table of verified sessions.
    pub sessions: u32,
    /// In the table of half-open ones.
    pub half_open: u32,
    /// Of the verified ones, how many are kept for management zones.
    pub reserve: u32,
}

/// The tables and programs in the kernel, or their stand-in.
pub trait Plane: Send {
    /// Guards an interface, what arrives at a hook of choice or else at TC; guarding it already is fine.
    fn attach(&mut self, index: u32, name: &str, ingress: Ingress) -> anyhow::Result<Attached>;
    /// Stops guarding one interface that is no longer to be guarded.
    fn detach(&mut self, index: u32) -> anyhow::Result<()>;
    /// What is guarded, the pins of an earlier agent included.
    fn attached(&self) -> anyhow::Result<Vec<Attached>>;
    /// Puts back pins that somebody took away; how many, since this was last asked.
    fn mend(&mut self) -> anyhow::Result<usize>;
    /// Of guarded interfaces that are still there, those that have lost a program of ours.
    fn displaced(&self, guarded: &[u32]) -> Vec<u32>;
    /// Other owners' programs on an interface.
    fn neighbours(&self, index: u32) -> Vec<Neighbour>;
    /// Puts a policy in force by one swap; the old one stays where it fails. `names` are all interfaces. With
    /// `within` it goes back by itself after so long, unless [`Self::confirm`] comes.
    fn apply(
        &mut self,
        compiled: &Compiled,
        identity: &Identity,
        names: &[(u32, String)],
        within: Option<Duration>,
    ) -> anyhow::Result<()>;
    /// The policy that waits to be confirmed, or was not in time.
    fn pending(&self) -> anyhow::Result<Option<Pending>>;
    /// What waits stays; `false` where nothing waits any more.
    fn confirm(&mut self) -> anyhow::Result<bool>;
    /// What waits, or was not in time, goes.
    fn revert(&mut self) -> anyhow::Result<()>;
    /// The policies that the tables hold, by epoch.
    fn generations(&self) -> anyhow::Result<Vec<(u32, Identity)>>;
    /// When the rules of what is in force stop to match, in nanoseconds since boot, in their order; 0: never.
    fn expiries(&self) -> anyhow::Result<Vec<u64>>;
    /// What is in force.
    fn in_force(&self) -> anyhow::Result<Option<InForce>>;
    /// Tables of an earlier layout are in force, and wait to be taken over.
    fn takes_over(&self) -> bool;
    /// Takes over from them, once the policy is in ours; says what came of it, where there were any.
    fn take_over(&mut self) -> anyhow::Result<Option<String>>;
    /// Stops enforcing and unpins everything.
    fn detach_all(self: Box<Self>) -> anyhow::Result<()>;
    /// All packet counters that are not zero.
    fn packet_counts(&self) -> anyhow::Result<Vec<PacketCount>>;
    /// Rule counters by number; those that are zero may be left out.
    fn rule_counts(&self) -> anyhow::Result<BTreeMap<u32, RuleCount>>;
    /// All sessions.
    fn sessions(&self) -> anyhow::Result<Vec<Live>>;
    /// Puts sessions that live already into the tables; how many found a place. With `replace` what is
    /// there gives way.
    fn adopt(&mut self, sessions: &[Live], replace: bool) -> anyhow::Result<usize>;
    /// What becomes of strays, and until when routed ones are taken up, in nanoseconds since boot; what is not
    /// given stays.
    fn set_strays(&mut self, mode: Option<Stray>, until: Option<u64>) -> anyhow::Result<()>;
    /// Table sizes.
    fn capacity(&self) -> Capacity;
    /// How full the tables of limits are.
    fn limit_use(&self) -> anyhow::Result<LimitUse>;
    /// Removes sessions that are over.
    fn expire(&mut self) -> anyhow::Result<Swept>;
    /// Ends sessions, and counts them by a cause; each as it was then.
    fn end(&mut self, keys: &[FlowKey], cause: Cause) -> anyhow::Result<Vec<Session>>;
    /// Changes members of a dynamic set; live sessions are judged by that after [`Self::judge_anew`].
    fn change_members(&mut self, set: u32, changes: &[Change]) -> anyhow::Result<()>;
    /// The members that the tables hold; `None` where no agent has filled them since they were made.
    fn members(&self) -> anyhow::Result<Option<Vec<(MemberKey, u64)>>>;
    /// The tables hold all members now.
    fn members_filled(&mut self) -> anyhow::Result<()>;
    /// Has live sessions judged anew at their next packets.
    fn judge_anew(&mut self) -> anyhow::Result<()>;
    /// Notes that sessions live although no packet comes.
    fn refresh(&mut self, sessions: &[FlowKey]) -> anyhow::Result<()>;
    /// Sessions opened and ended.
    fn session_counts(&self) -> anyhow::Result<SessionCounts>;
    /// What became of records, by kind.
    fn event_counts(&self) -> anyhow::Result<EventCounts>;
    /// Adds to the agent's own counters, by place.
    fn add_counts(&mut self, amounts: &BTreeMap<u32, u64>) -> anyhow::Result<()>;
    /// The ring that records come by; `None` where there is none.
    fn ring(&self) -> anyhow::Result<Option<Ring>>;
    /// How to watch what the kernel drops of handshakes; `None` where there is no kernel.
    fn watch(&self) -> Option<WatchPlan> {
        None
    }
    /// Judges a frame by the live program, leaving no trace.
    fn explain(&mut self, question: Question<'_>) -> anyhow::Result<Decision>;
    /// Tells which VLAN devices are set up.
    fn set_vlans(&mut self, links: &[Link]) -> anyhow::Result<()>;
    /// Tells which addresses are delivered here.
    fn set_locals(&mut self, locals: &[Local], shared: &[IpNet]) -> anyhow::Result<()>;
    /// Tells the ways back to sources, and whether several interfaces are guarded.
    fn set_ways(&mut self, ways: &Feasible, several: bool) -> anyhow::Result<()>;
    /// Tells the names of all interfaces, guarded or not; `plan` is that of the policy in force.
    fn set_interfaces(
        &mut self,
        plan: Option<&InterfacePlan>,
        names: &[(u32, String)],
    ) -> anyhow::Result<()>;
    /// Tells the host's own settings and failsafe rules.
    fn set_host(
        &mut self,
        sessions: &SessionConfig,
        failsafe: &[FailsafeRule],
    ) -> anyhow::Result<()>;
}
