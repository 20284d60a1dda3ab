//! The table of cases: what a case says, and the words it is written in.
//!
//! A case is a policy and a few packets, each with the verdict, the reason and the rule that the
//! contract gives it. Expectations are written by hand from the contract. Each case runs three ways
//! (see [`Way`]), the last two with either hook; what a way cannot carry is named on the case.

pub mod packet;

use std::net::IpAddr;

use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_common::source::Tag;
use firewall_common::verdict::Verdict;

/// A way to run a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// `decide()` on the host, over tables in memory.
    Host,
    /// The loaded programs, by `BPF_PROG_TEST_RUN`, what arrives at TC.
    TestRun,
    /// The same, what arrives at XDP.
    XdpTestRun,
    /// Real traffic between network namespaces, what arrives at TC.
    Wire,
    /// The same, what arrives at XDP.
    XdpWire,
}

impl Way {
    /// Every way, with the word that its tests are named by.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Host, "host"),
        (Self::TestRun, "test-run"),
        (Self::XdpTestRun, "xdp-test-run"),
        (Self::Wire, "wire"),
        (Self::XdpWire, "xdp-wire"),
    ];

    /// Is what arrives judged at XDP?
    #[must_use]
    pub const fn xdp(self) -> bool {
        matches!(self, Self::XdpTestRun | Self::XdpWire)
    }

    /// Is it real traffic?
    #[must_use]
    pub const fn wire(self) -> bool {
        matches!(self, Self::Wire | Self::XdpWire)
    }
}

/// Why a way cannot carry a case. There are no other reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// `frame-too-short`: the kernel takes no frame shorter than a link header.
    FrameTooShort,
    /// `tag-in-metadata`: neither a test run nor XDP knows of a VLAN tag beside the frame.
    TagInMetadata,
    /// `no-link-header`: the frame has none.
    NoLinkHeader,
    /// `needs-time`: minutes would have to pass.
    NeedsTime,
}

/// The addresses of a family.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// IPv6.
    pub v6: bool,
    /// The guarded host.
    pub host: IpAddr,
    /// A peer in zone `trusted`.
    pub trusted: IpAddr,
    /// A peer in zone `internet`, the default.
    pub stranger: IpAddr,
    /// Another one.
    pub other: IpAddr,
    /// An address behind the host's second interface.
    pub behind: IpAddr,
    /// A multicast group.
    pub group: IpAddr,
}

/// The families, IPv4 first.
#[must_use]
pub fn families() -> [Family; 2] {
    let address = |text: &str| text.parse().expect("an address");
    [
        Family {
            v6: false,
            host: address("10.77.0.1"),
            trusted: address("10.77.0.2"),
            stranger: address("203.0.113.9"),
            other: address("198.51.100.7"),
            behind: address("10.78.0.9"),
            group: address("239.1.2.3"),
        },
        Family {
            v6: true,
            host: address("fd77::1"),
            trusted: address("fd77::2"),
            stranger: address("2001:db8:9::9"),
            other: address("2001:db8:7::7"),
            behind: address("fd78::9"),
            group: address("ff15::123"),
        },
    ]
}

/// Which families a case is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Both.
    Both,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// What a step expects.
#[derive(Debug, Clone)]
pub struct Expect {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason.
    pub reason: Reason,
    /// The rule whose counter moves (`policy/rule`); none where no rule's may.
    pub rule: Option<&'static str>,
    /// Rules in monitor mode whose `would` counter moves.
    pub would: Vec<&'static str>,
    /// The zone it is counted under; `None` where the contract does not say.
    pub zone: Option<&'static str>,
    /// The host answers it.
    pub answered: bool,
}

/// One packet and what must become of it; or time passing, or another policy.
#[derive(Debug, Clone)]
pub enum Step {
    /// A packet at a hook.
    Packet {
        /// Arriving or leaving.
        hook: Hook,
        /// The frame.
        frame: Vec<u8>,
        /// A VLAN tag beside the frame.
        tag: Option<Tag>,
        /// What must happen.
        expect: Expect,
    },
    /// Another policy is applied.
    Apply(&'static str),
    /// So many seconds pass.
    Wait(u64),
}

impl Step {
    /// The rule that decides and counts.
    #[must_use]
    pub fn by(mut self, rule: &'static str) -> Self {
        if let Self::Packet { expect, .. } = &mut self {
            expect.rule = Some(rule);
        }
        self
    }

    /// A rule in monitor mode that would have decided.
    #[must_use]
    pub fn would(mut self, rule: &'static str) -> Self {
        if let Self::Packet { expect, .. } = &mut self {
            expect.would.push(rule);
        }
        self
    }

    /// The zone it is counted under.
    #[must_use]
    pub fn zone(mut self, zone: &'static str) -> Self {
        if let Self::Packet { expect, .. } = &mut self {
            expect.zone = Some(zone);
        }
        self
    }

    /// The host answers it.
    #[must_use]
    pub fn answered(mut self) -> Self {
        if let Self::Packet { expect, .. } = &mut self {
            expect.answered = true;
        }
        self
    }

    /// The verdict, where it is not the reason's own.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        if let Self::Packet { expect, .. } = &mut self {
            expect.verdict = verdict;
        }
        self
    }

    /// The policy monitors: it passes although the reason refuses.
    #[must_use]
    pub fn audited(self) -> Self {
        self.verdict(Verdict::Audit)
    }

    /// A VLAN tag beside the frame.
    #[must_use]
    pub fn tagged(mut self, protocol: u16, control: u16) -> Self {
        if let Self::Packet { tag, .. } = &mut self {
            *tag = Some(Tag { protocol, control });
        }
        self
    }
}

fn step(hook: Hook, frame: impl Into<Vec<u8>>, reason: Reason) -> Step {
    let expect = Expect {
        verdict: Verdict::of(reason),
        reason,
        rule: None,
        would: Vec::new(),
        zone: None,
        answered: false,
    };
    Step::Packet {
        hook,
        frame: frame.into(),
        tag: None,
        expect,
    }
}

/// A packet arrives and gets this reason.
pub fn arrives(frame: impl Into<Vec<u8>>, reason: Reason) -> Step {
    step(Hook::Ingress, frame, reason)
}

/// A packet leaves and gets this reason.
pub fn leaves(frame: impl Into<Vec<u8>>, reason: Reason) -> Step {
    step(Hook::Egress, frame, reason)
}

/// A case of the table.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name; the family is added.
    pub name: &'static str,
    /// The policy in force.
    pub policy: &'static str,
    /// Which families.
    pub over: Over,
    /// Ways that cannot carry it, each with the reason.
    pub left_out: &'static [(Way, LeftOut)],
    /// Its packets.
    pub steps: fn(&Family) -> Vec<Step>,
}

impl Case {
    /// A case over both families.
    #[must_use]
    pub const fn new(
        name: &'static str,
        policy: &'static str,
        steps: fn(&Family) -> Vec<Step>,
    ) -> Self {
        Self {
            name,
            policy,
            over: Over::Both,
            left_out: &[],
            steps,
        }
    }

    /// Only for IPv4.
    #[must_use]
    pub const fn v4(mut self) -> Self {
        self.over = Over::V4;
        self
    }

    /// Only for IPv6.
    #[must_use]
    pub const fn v6(mut self) -> Self {
        self.over = Over::V6;
        self
    }

    /// Ways that cannot carry it.
    #[must_use]
    pub const fn without(mut self, left_out: &'static [(Way, LeftOut)]) -> Self {
        self.left_out = left_out;
        self
    }

    /// Time has to pass, which only the host's own clock can do at will.
    #[must_use]
    pub const fn needs_time(self) -> Self {
        self.without(&[
            (Way::TestRun, LeftOut::NeedsTime),
            (Way::XdpTestRun, LeftOut::NeedsTime),
            (Way::Wire, LeftOut::NeedsTime),
            (Way::XdpWire, LeftOut::NeedsTime),
        ])
    }

    /// Is it run in this family?
    #[must_use]
    pub fn runs_over(&self, family: &Family) -> bool {
        match self.over {
            Over::Both => true,
            Over::V4 => !family.v6,
            Over::V6 => family.v6,
        }
    }
}
