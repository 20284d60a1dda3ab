//! Whether a flood runs at TC of an interface whose driver could have it at XDP.

use std::time::Duration;

use super::{AS_ROOT, Finding, Look};
use crate::agent::config::ShieldConfig;
use crate::agent::net::hook;
use crate::dataplane::netdev;

const ID: &str = "floods";

/// Between the two looks at what is refused.
const BETWEEN: Duration = Duration::from_secs(1);

pub(super) fn check(look: &Look) -> Vec<Finding> {
    let names = movable(look);
    if names.is_empty() {
        let found = "no interface is judged at TC that a flood could move to XDP";
        return vec![Finding::ok(ID, found)];
    }
    let config = look.config.as_ref().map(|config| config.shield);
    let config = config.unwrap_or_default();
    let rate = look.refused().and_then(|before| {
        std::thread::sleep(BETWEEN);
        Some(look.refused()?.saturating_sub(before) / BETWEEN.as_secs())
    });
    vec![of(&names, rate, &config)]
}

/// Interfaces at TC whose drivers have XDP.
fn movable(look: &Look) -> Vec<String> {
    let Ok(status) = &look.agent else {
        return Vec::new();
    };
    let choice = |name: &str| {
        let config = look.config.as_ref();
        config.map(|c| c.hook.of(name)).unwrap_or_default()
    };
    let at_tc = |index: u32| {
        let mut lines = status.interfaces.iter();
        lines.any(|line| line.index == index && line.mode.as_deref() == Some("tc"))
    };
    let guarded = look.guarded().into_iter().filter(|link| at_tc(link.index));
    let can = guarded.filter(|link| {
        let native = netdev::native_xdp(link.index);
        let able = hook::shieldable(link, &look.links, native, choice(&link.name));
        native == Some(true) && able.is_ok()
    });
    can.map(|link| link.name.clone()).collect()
}

fn of(names: &[String], rate: Option<u64>, config: &ShieldConfig) -> Finding {
    let names = names.join(", ");
    let Some(rate) = rate else {
        let why = "what is refused cannot be counted";
        return Finding::skipped(ID, why, AS_ROOT);
    };
    if rate < u64::from(config.above) {
        return Finding::ok(
            ID,
            format!("{rate} packets refused a second on all interfaces"),
        );
    }
    let found = format!("{rate} packets refused a second, judged at TC on {names}");
    if config.enabled {
        return Finding::ok(
            ID,
            format!("{found}; the shield is on, see `ringwall status`"),
        );
    }
    let advice = "their drivers have XDP, where a refused packet costs a fraction: `shield: {enabled: true}` in the agent file has a flood judged there while it lasts";
    Finding::warn(ID, found, advice)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_flood_at_tc_is_a_hint_where_the_shield_is_off() {
        let names = ["eth0".to_owned()];
        let off = ShieldConfig::default();
        let on = ShieldConfig {
            enabled: true,
            ..off
        };
        let state = |rate, config: &ShieldConfig| of(&names, rate, config).state;
        assert_eq!(state(Some(60_000), &off), State::Warn);
        assert_eq!(state(Some(60_000), &on), State::Ok);
        assert_eq!(state(Some(49_999), &off), State::Ok);
        assert_eq!(state(None, &off), State::Skipped);
    }
}
