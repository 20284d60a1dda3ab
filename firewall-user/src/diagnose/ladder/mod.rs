//! `ringwall diagnose`: the layers that a connection crosses, one after the other, and the one at fault.
//!
//! A step looks at one layer and says what it found. What it cannot see it skips with the reason, and hides no other.

mod agent;
mod filters;
mod listener;
mod probe;
mod route;

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::agent::net::{self, Link, Local, LocalKind};
use crate::api::client::Client;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The far end.
    pub peer: IpAddr,
    /// The port that is asked for: of the peer, or of this host.
    pub port: u16,
    /// The peer opens.
    pub inbound: bool,
    /// How long packets are waited for.
    pub wait: Duration,
}

/// How long packets are waited for unless said otherwise: the agent names a cause within five seconds of a SYN.
pub const WAIT: Duration = Duration::from_millis(5500);

/// How a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It lets the connection by.
    Ok,
    /// It may be in the way.
    Warn,
    /// It is in the way.
    Fault,
    /// It could not be seen.
    Skipped,
}

impl Verdict {
    /// The word that users see.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fault => "fault",
            Self::Skipped => "skipped",
        }
    }
}

/// What a look at a layer came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The layer.
    pub layer: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to run next, or what it would take to see it.
    pub next: Option<String>,
}

impl Step {
    fn ok(layer: &'static str, found: impl Into<String>) -> Self {
        Self::new(layer, Verdict::Ok, found.into(), None)
    }

    fn warn(layer: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(layer, Verdict::Warn, found.into(), Some(next.into()))
    }

    fn fault(layer: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(layer, Verdict::Fault, found.into(), Some(next.into()))
    }

    fn skipped(layer: &'static str, why: impl Into<String>, takes: impl Into<String>) -> Self {
        Self::new(layer, Verdict::Skipped, why.into(), Some(takes.into()))
    }

    const fn new(
        layer: &'static str,
        verdict: Verdict,
        found: String,
        next: Option<String>,
    ) -> Self {
        Self {
            layer,
            verdict,
            found,
            next,
        }
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ladder {
    /// The far end.
    pub peer: IpAddr,
    /// The port that is asked for.
    pub port: u16,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// The layers in the order in which a connection comes to them.
    pub steps: Vec<Step>,
    /// The first layer that is at fault.
    pub fault: Option<&'static str>,
    /// The connection was tried and came about.
    pub connected: bool,
    /// What to run next.
    pub next: Option<String>,
}

/// This host, as far as the steps need it.
pub(super) struct Here {
    pub(super) client: Client,
    pub(super) links: Vec<Link>,
    pub(super) locals: Vec<Local>,
}

impl Here {
    fn name(&self, index: u32) -> String {
        let link = self.links.iter().find(|link| link.index == index);
        link.map_or_else(|| format!("interface {index}"), |link| link.name.clone())
    }

    /// An address of this host of the same family, a global one before a link's.
    fn own(&self, like: IpAddr) -> Option<IpAddr> {
        let own = self.locals.iter().filter(|local| {
            local.kind == LocalKind::Unicast
                && local.net.prefix_len() == local.net.max_prefix_len()
                && local.net.addr().is_ipv6() == like.is_ipv6()
                && !local.net.addr().is_loopback()
        });
        let of_link = |address: &IpAddr| match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        own.map(|local| local.net.addr()).min_by_key(of_link)
    }
}

/// Looks at every layer, and tries the connection where this host opens it.
#[must_use]
pub fn walk(question: Question, client: Client) -> Ladder {
    let here = Here {
        client,
        links: net::links_now().unwrap_or_default(),
        locals: net::locals_now().unwrap_or_default(),
    };
    let (way, route) = route::look(&here, question);
    let mut steps = vec![route];
    steps.extend(agent::policy(&here, question));
    steps.extend(filters::look(&here, question, way.as_ref()));
    if question.inbound {
        steps.push(listener::look(&here, question, way.as_ref()));
    }
    steps.extend(agent::before(&here, question));
    let (connected, probed) = probe::try_it(&here, question);
    steps.extend(probed);
    conclude(question, steps, connected)
}

fn conclude(question: Question, steps: Vec<Step>, connected: bool) -> Ladder {
    let first = |verdict| steps.iter().find(|step: &&Step| step.verdict == verdict);
    // What works is not at fault, whatever it looked like.
    let fault = first(Verdict::Fault).filter(|_| !connected);
    let advice = fault.or_else(|| first(Verdict::Warn).filter(|_| !connected));
    Ladder {
        peer: question.peer,
        port: question.port,
        direction: if question.inbound {
            "inbound"
        } else {
            "outbound"
        },
        fault: fault.map(|step| step.layer),
        connected,
        next: advice.and_then(|step| step.next.clone()),
        steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            peer: [192, 0, 2, 9].into(),
            port: 443,
            inbound: false,
            wait: Duration::ZERO,
        }
    }

    #[test]
    fn the_first_layer_at_fault_is_named_unless_it_works() {
        let steps = || {
            vec![
                Step::ok("route", "there is one"),
                Step::warn("filters", "perhaps", "look there"),
                Step::fault("policy", "no", "allow it"),
                Step::fault("probe", "nothing came", "ask there"),
            ]
        };
        let found = conclude(question(), steps(), false);
        assert_eq!(found.fault, Some("policy"));
        assert_eq!(found.next.as_deref(), Some("allow it"));
        let found = conclude(question(), steps(), true);
        assert_eq!((found.fault, found.next), (None, None));
    }

    #[test]
    fn without_an_agent_each_step_still_says_something() {
        let nobody = Client::new(std::path::Path::new("/nonexistent/socket"));
        let mut question = question();
        // Nobody is there: an address for documentation.
        question.inbound = true;
        let found = walk(question, nobody);
        let layers: Vec<&str> = found.steps.iter().map(|step| step.layer).collect();
        for layer in ["route", "policy", "filters", "listener", "seen", "probe"] {
            assert!(layers.contains(&layer), "{layers:?}");
        }
        for step in found
            .steps
            .iter()
            .filter(|step| step.verdict != Verdict::Ok)
        {
            assert!(step.next.is_some(), "{step:?}");
        }
    }
}
