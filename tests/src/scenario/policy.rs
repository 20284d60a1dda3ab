//! Policies for the small world, in a few words.

use std::fmt::Write as _;

/// A policy named `lab` for the small world: zones `trusted` (behind lan0) and `internet`, and one policy
/// `in`, from anyone to the host, with these rules and `default: deny`. More may be put behind its text:
/// it ends at the top level.
pub fn policy(revision: u64, rules: &[String]) -> String {
    let mut text = format!(
        "apiVersion: ringwall/v1
metadata: {{name: lab, revision: {revision}, owner: tests}}
unmatched: {{inbound: deny, outbound: allow, routed: deny}}
zones:
  trusted: {{interfaces: [lan0], cidrs: [10.77.0.0/25, \"fd77::/80\"], management: true}}
  internet: {{default: true}}
policies:
  - name: in
    from: any
    to: host
    rules:
"
    );
    for rule in rules {
        let _ = writeln!(text, "      - {{{rule}, reason: a test, owner: tests}}");
    }
    if rules.is_empty() {
        text.truncate(text.len() - "    rules:\n".len());
    }
    text + "    default: deny\n"
}

/// A rule with an action and services (`tcp/443, ping`).
pub fn rule(name: &str, action: &str, services: &str) -> String {
    format!("name: {name}, action: {action}, services: [{services}]")
}

/// A rule that allows services.
pub fn allow(name: &str, services: &str) -> String {
    rule(name, "allow", services)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_stand_in_their_place() {
        let text = policy(7, &[allow("web", "tcp/443")]);
        assert!(text.contains("revision: 7"));
        let line = "      - {name: web, action: allow, services: [tcp/443], reason: a test, owner: tests}\n    default: deny\n";
        assert!(text.ends_with(line));
        assert!(!policy(7, &[]).contains("rules"));
    }
}
