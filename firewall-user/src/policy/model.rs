//! What a policy file means once its text is understood: every name resolved, every list in its
//! final form, nothing left to look up. [`super::text`] reads YAML into this, [`super::check`] judges it,
//! [`super::compile`] turns it into tables, [`super::oracle`] decides by it directly.
//!
//! Positions ([`Span`]) stay with what an error or a listing may want to point at.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ipnet::IpNet;

/// Where something stands in the policy's files: index into [`Policy::files`], line and column from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// Index into [`Policy::files`].
    pub file: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// A whole policy: one file, or one directory of files.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The files read, in the order they count.
    pub files: Vec<PathBuf>,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.revision`.
    pub revision: u64,
    /// `metadata.owner`.
    pub owner: Option<String>,
    /// `metadata.description`.
    pub description: Option<String>,
    /// SHA-256 over names and bytes of the policy files in order (not of list files), lower-case hex.
    pub digest: String,
    /// `mode` of the file.
    pub mode: Mode,
    /// `hosts` of the file.
    pub hosts: Option<HostSelector>,
    /// `unmatched`.
    pub unmatched: Unmatched,
    /// `essentials`.
    pub essentials: Essentials,
    /// Address sets, in file order.
    pub sets: Vec<AddressSet>,
    /// The file's own services, flattened, in file order.
    pub services: Vec<NamedService>,
    /// Zones, in file order; without the built-in `host` and `multicast`.
    pub zones: Vec<Zone>,
    /// The ordered list.
    pub blocks: Vec<Block>,
    /// `tests`.
    pub tests: Vec<Test>,
    /// `assertions`.
    pub assertions: Vec<Assertion>,
}

impl Policy {
    /// Interfaces whose links its zones stand for, names and globs.
    #[must_use]
    pub fn connected(&self) -> Vec<String> {
        let all = self.zones.iter().flat_map(|zone| &zone.connected);
        let all: BTreeSet<&String> = all.collect();
        all.into_iter().cloned().collect()
    }

    /// Every file it was read from, list files included: what to watch.
    #[must_use]
    pub fn watched_files(&self) -> Vec<PathBuf> {
        let lists = self.sets.iter().filter_map(|set| set.file.clone());
        self.files.iter().cloned().chain(lists).collect()
    }
}

/// `mode` on file, policy or rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Decides.
    #[default]
    Enforce,
    /// Judges and counts, never drops.
    Monitor,
}

/// `hosts`: all given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSelector {
    /// Labels of the host's agent file that must be equal.
    pub labels: Vec<(String, String)>,
    /// Host name globs, any of which must match; empty where the key is absent.
    pub names: Vec<String>,
    /// Rollout share, 0 to 100.
    pub percent: Option<u8>,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Let it through.
    Allow,
    /// Drop it silently.
    Deny,
    /// Drop it and tell the sender.
    Reject,
}

/// `unmatched.routed` adds `pass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutedAction {
    /// As for a rule.
    Action(Action),
    /// Let by, strays included, counted as `routed`.
    Pass,
}

/// `unmatched`: what no rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmatched {
    /// To this host.
    pub inbound: Action,
    /// From this host.
    pub outbound: Action,
    /// Neither.
    pub routed: RoutedAction,
}

/// `essentials`: each true unless the file says otherwise; `arp` and `nd` have no switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the language's")]
pub struct Essentials {
    pub ra: bool,
    pub dhcp: bool,
    pub dhcpv6: bool,
    pub igmp: bool,
    pub mld: bool,
    pub link: bool,
}

impl Default for Essentials {
    fn default() -> Self {
        Self {
            ra: true,
            dhcp: true,
            dhcpv6: true,
            igmp: true,
            mld: true,
            link: true,
        }
    }
}

/// A named address set with its present members.
#[derive(Debug, Clone)]
pub struct AddressSet {
    /// Its name.
    pub name: String,
    /// Where it is defined.
    pub span: Span,
    /// The list file it comes from, as an absolute path; `None` for inline members.
    pub file: Option<PathBuf>,
    /// It is filled by commands, and has no members of its own here.
    pub dynamic: Option<Dynamic>,
    /// Members, host bits cleared; ranges already split into prefixes.
    pub members: Vec<IpNet>,
}

/// `dynamic: true` of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dynamic {
    /// `max`: members that it may have.
    pub max: u32,
    /// `default_for`, in seconds; `None`: until they are taken out.
    pub default_for: Option<u64>,
}

/// `on_change` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnChange {
    /// Live sessions are judged anew.
    #[default]
    Recheck,
    /// They go on.
    Keep,
    /// They are judged anew, and both ends of one that ends are told.
    Reset,
}

impl OnChange {
    /// The word of the language.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Recheck => "recheck",
            Self::Keep => "keep",
            Self::Reset => "reset",
        }
    }
}

/// One protocol and port condition, such as `tcp/443` or `icmp/3/4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// A protocol with ports (TCP 6, UDP 17, DCCP 33, SCTP 132, UDP-Lite 136) and the range, both ends included.
    Ports {
        /// IP protocol number.
        protocol: u8,
        /// First destination port.
        low: u16,
        /// Last destination port.
        high: u16,
    },
    /// ICMPv4 (`v6` false) or ICMPv6: a type, and a code where given; neither means the whole protocol.
    Icmp {
        /// ICMPv6.
        v6: bool,
        /// Type.
        kind: Option<u8>,
        /// Code.
        code: Option<u8>,
    },
    /// Any packet of a protocol: `gre`, `proto/47`.
    Protocol(u8),
}

/// A service name of the file and all it stands for.
#[derive(Debug, Clone)]
pub struct NamedService {
    /// Its name.
    pub name: String,
    /// Where it is defined.
    pub span: Span,
    /// All its parts, flattened.
    pub parts: Vec<Service>,
}

/// `source_check` of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceCheck {
    /// The route back must leave by the same interface.
    Strict,
    /// The route back may leave by any interface.
    Loose,
    /// Not checked.
    Off,
}

impl SourceCheck {
    /// Every check, with the word it is written by.
    pub const ALL: [(&str, Self); 3] = [
        ("strict", Self::Strict),
        ("loose", Self::Loose),
        ("off", Self::Off),
    ];
}

/// A zone: who is at the other end.
#[derive(Debug, Clone)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Where it is defined.
    pub span: Span,
    /// `default: true`.
    pub default: bool,
    /// Prefixes (set names and `connected` resolved), host bits cleared.
    pub cidrs: Vec<IpNet>,
    /// True where the file has a `cidrs` or `connected` key (sets may be empty, and links without networks:
    /// that matches nothing).
    pub has_cidrs: bool,
    /// Interface names or globs, as written (`role/NAME` resolved to the host's interfaces by `check`).
    pub interfaces: Vec<String>,
    /// True where the file has an `interfaces` key.
    pub has_interfaces: bool,
    /// `connected`: interface names or globs; the networks on their links are among [`Self::cidrs`].
    pub connected: Vec<String>,
    /// `management: true`.
    pub management: bool,
    /// `source_check`; where it is absent, see [`Self::checks`].
    pub source_check: Option<SourceCheck>,
}

impl Zone {
    /// What its sources are held against on a host that guards several interfaces, or at most one.
    #[must_use]
    pub const fn checks(&self, several: bool) -> SourceCheck {
        match self.source_check {
            Some(check) => check,
            None if several && self.has_cidrs => SourceCheck::Strict,
            None => SourceCheck::Loose,
        }
    }
}

/// One end of a policy block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// `host`: this machine.
    Host,
    /// `any`: every zone but host (`multicast` included where it stands in `to`).
    Any,
    /// Zones by index into [`Policy::zones`], and whether the built-in `multicast` is named too (`to` only).
    Zones {
        /// Indexes into [`Policy::zones`].
        zones: BTreeSet<usize>,
        /// `multicast` is named.
        multicast: bool,
    },
}

/// A `policies` entry: rules between two ends.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Who opens.
    pub from: Ends,
    /// Who is addressed.
    pub to: Ends,
    /// `mode: monitor`.
    pub mode: Mode,
    /// Does `hosts` of this block select this host? Blocks that do not are listed, never matched.
    pub for_this_host: bool,
    /// Rules in order.
    pub rules: Vec<Rule>,
    /// `default`, as the last rule `block/default`.
    pub default: Option<Action>,
}

/// Addresses a rule asks for: prefixes of all kinds of entries joined.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// Inline prefixes, addresses and ranges (split into prefixes).
    pub prefixes: Vec<IpNet>,
    /// Sets by index into [`Policy::sets`].
    pub sets: Vec<usize>,
}

/// `log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// One record in so many; 1 for `log: true`.
    pub one_in: u32,
}

/// `limit`: a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// So many.
    pub count: u64,
    /// In so many seconds.
    pub period: u64,
    /// How many at once.
    pub burst: u64,
    /// Whom a bucket is for.
    pub per: Per,
}

/// What a `limit` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Session openings; of a stateless rule, packets.
    Each,
    /// Bits on the wire.
    Bits,
}

/// Whom a bucket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// The rule as a whole.
    Rule,
    /// Each source, which is a prefix of such a length.
    Prefix {
        /// Of IPv4.
        v4: u8,
        /// Of IPv6.
        v6: u8,
    },
}

impl Per {
    /// `source`.
    pub const SOURCE: Self = Self::Prefix { v4: 32, v6: 64 };
}

/// `max_sessions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxSessions {
    /// Open at a time.
    pub count: u32,
    /// Of each source, else of the rule as a whole.
    pub per_source: bool,
}

/// A rule. An absent condition is `None` and means everything; a present one that matches no address
/// (only empty sets) matches nothing.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// What it does.
    pub action: Action,
    /// Protocols and destination ports, names flattened.
    pub services: Option<Vec<Service>>,
    /// The words of `services` as written, for listings.
    pub service_words: Vec<String>,
    /// Source port ranges, both ends included.
    pub source_ports: Option<Vec<(u16, u16)>>,
    /// Source addresses.
    pub sources: Option<Addresses>,
    /// Destination addresses.
    pub destinations: Option<Addresses>,
    /// Taken away from `sources`.
    pub except_sources: Option<Addresses>,
    /// Taken away from `destinations`.
    pub except_destinations: Option<Addresses>,
    /// Interface names or globs.
    pub interfaces: Option<Vec<String>>,
    /// `stateful`, default true.
    pub stateful: bool,
    /// `replies: any`.
    pub replies: bool,
    /// `log`.
    pub log: Option<Log>,
    /// `limit`.
    pub limit: Option<Limit>,
    /// `max_sessions`.
    pub max_sessions: Option<MaxSessions>,
    /// `on_change`.
    pub on_change: OnChange,
    /// `mode: monitor`.
    pub mode: Mode,
    /// `enabled`, default true.
    pub enabled: bool,
    /// Does `hosts` of this rule select this host?
    pub for_this_host: bool,
    /// `owner`.
    pub owner: Option<String>,
    /// `reason`.
    pub reason: Option<String>,
    /// `ticket`.
    pub ticket: Option<String>,
    /// `review_by`: end of that day, UTC.
    pub review_by: Option<jiff::Timestamp>,
    /// `expires`: the moment it stops matching.
    pub expires: Option<jiff::Timestamp>,
}

impl Rule {
    /// Does the rule take part in decisions on this host at all (dates aside)?
    #[must_use]
    pub fn active(&self) -> bool {
        self.enabled && self.for_this_host
    }
}

/// An end of a packet or an assertion, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `host`.
    Host,
    /// `any`.
    Any,
    /// A zone as a whole, by index into [`Policy::zones`].
    Zone(usize),
    /// The built-in `multicast`.
    Multicast,
    /// One prefix or address.
    Net(IpNet),
}

/// A packet as an operator writes it: `tcp 203.0.113.9:40000 -> host:443 in eth0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketSpec {
    /// IP protocol number.
    pub protocol: u8,
    /// Who sends.
    pub source: Endpoint,
    /// Source port where written.
    pub source_port: Option<u16>,
    /// Who is addressed.
    pub destination: Endpoint,
    /// Destination port where written.
    pub destination_port: Option<u16>,
    /// ICMP type and code where written or implied (`icmp` alone is an echo request).
    pub icmp: Option<(u8, u8)>,
    /// Interface it arrives by (`in eth0`) or leaves by (`out eth0`).
    pub interface: Option<String>,
    /// Is `interface` the one it leaves by (`out eth0`)?
    pub leaving: bool,
}

/// An entry of `tests`.
#[derive(Debug, Clone)]
pub struct Test {
    /// Where it stands.
    pub span: Span,
    /// The packet, as written.
    pub text: String,
    /// The packet.
    pub packet: PacketSpec,
    /// What must happen.
    pub expect: Action,
    /// The rule that must decide, `policy/rule`.
    pub rule: Option<String>,
    /// `at:` the time to judge at; absent: now.
    pub at: Option<jiff::Timestamp>,
}

/// An entry of `assertions`: `deny internet -> host tcp/5432`.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// Where it stands.
    pub span: Span,
    /// The statement, as written.
    pub text: String,
    /// `allow` or `deny` (which reject satisfies).
    pub expect: Action,
    /// Who sends.
    pub source: Endpoint,
    /// Who is addressed.
    pub destination: Endpoint,
    /// The services it speaks of; `None` for all packets.
    pub services: Option<Vec<Service>>,
}
