//! Policies that several cases share.

/// A web host: administration for trusted peers, the public site for everyone.
pub const WEB: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones:
  trusted: {cidrs: [10.77.0.0/25, "fd77::/80"]}
  internet: {default: true}
policies:
  - name: admin
    from: trusted
    to: host
    rules:
      - {name: ssh, action: allow, services: [ssh], reason: administration, owner: sre}
      - {name: anything-else, action: deny, services: [tcp/25], reason: no mail here, owner: sre}
  - name: inbound
    from: internet
    to: host
    rules:
      - {name: web, action: allow, services: [tcp/80, tcp/443, udp/443], reason: site, owner: web}
      - {name: ping, action: allow, services: [ping], reason: reachability, owner: web}
      - {name: telnet, action: deny, services: [tcp/23], reason: never, owner: sre}
      - {name: ident, action: reject, services: [tcp/113, udp/113], reason: tell them, owner: sre}
      - {name: tunnel, action: allow, services: [gre, sctp/2905, "proto/33"], reason: peers, owner: net}
      - {name: status, action: allow, services: [udp/1111], stateful: false, reason: one way, owner: web}
"#;

/// The next revision of [`WEB`], without the public site.
/// The web by two rules that say what a change does to their sessions.
pub(super) const WEB_LASTING: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones:
  trusted: {cidrs: [10.77.0.0/25, "fd77::/80"]}
  internet: {default: true}
policies:
  - name: inbound
    from: internet
    to: host
    rules:
      - {name: kept, action: allow, services: [tcp/443, udp/443], on_change: keep, reason: site, owner: web}
      - {name: told, action: allow, services: [tcp/80, udp/80], on_change: reset, reason: site, owner: web}
"#;

pub(super) const WEB_CLOSED: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 2}
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones:
  trusted: {cidrs: [10.77.0.0/25, "fd77::/80"]}
  internet: {default: true}
policies:
  - name: admin
    from: trusted
    to: host
    rules:
      - {name: ssh, action: allow, services: [ssh], reason: administration, owner: sre}
"#;

/// The next revision of [`WEB`], in which another rule allows the public site.
pub(super) const WEB_RENAMED: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 2}
unmatched: {inbound: deny, outbound: deny, routed: pass}
zones:
  trusted: {cidrs: [10.77.0.0/25, "fd77::/80"]}
  internet: {default: true}
policies:
  - name: public
    from: any
    to: host
    rules:
      - {name: site, action: allow, services: [tcp/443], reason: site, owner: web}
"#;

/// Policies with defaults of each kind.
pub(super) const DEFAULTS: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: deny, routed: deny}
zones:
  trusted: {cidrs: [10.77.0.0/25, "fd77::/80"]}
  partner: {cidrs: [198.51.100.0/24, "2001:db8:7::/48"]}
  internet: {default: true}
policies:
  - name: passes-on
    from: any
    to: host
    rules:
      - {name: web, action: allow, services: [tcp/443], reason: site, owner: web}
  - name: friends
    from: trusted
    to: host
    rules:
      - {name: no-mail, action: deny, services: [tcp/25], reason: none, owner: sre}
    default: allow
  - name: partners
    from: partner
    to: host
    rules:
      - {name: api, action: allow, services: [tcp/8443], reason: partners, owner: api}
    default: reject
  - name: others
    from: internet
    to: host
    rules:
      - {name: ping, action: allow, services: [ping], reason: reachability, owner: web}
    default: deny
"#;

/// Everything that no rule decides is refused aloud.
pub(super) const REJECT_UNMATCHED: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: reject, outbound: reject, routed: deny}
zones: {internet: {default: true}}
policies:
  - name: outbound
    from: host
    to: any
    rules:
      - {name: no-smtp, action: reject, services: [tcp/25], reason: relay only, owner: sre}
      - {name: dns, action: allow, services: [dns], reason: names, owner: sre}
"#;

/// Every field that narrows a rule.
pub(super) const FIELDS: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: pass}
sets:
  office: [203.0.113.0/28, "2001:db8:9::/112"]
  nobody: [192.0.2.99]
services:
  app: [tcp/8000-8100, app-udp]
  app-udp: [udp/8000]
zones: {internet: {default: true}}
policies:
  - name: fields
    from: any
    to: host
    rules:
      - {name: office, action: allow, services: [tcp/22], sources: [office], except_sources: [203.0.113.10, "2001:db8:9::10"], reason: a, owner: b}
      - {name: nobody, action: allow, services: [tcp/23], sources: [nobody], reason: a, owner: b}
      - {name: app, action: allow, services: [app], reason: a, owner: b}
      - {name: old-client, action: allow, services: [udp/500], source_ports: [500], reason: a, owner: b}
      - {name: this-address, action: allow, services: [tcp/9000], destinations: [10.77.0.1, "fd77::1"], reason: a, owner: b}
      - {name: not-this-address, action: allow, services: [tcp/9001], except_destinations: [10.77.0.1, "fd77::1"], reason: a, owner: b}
      - {name: this-link, action: allow, services: [tcp/9002], interfaces: [eth0], reason: a, owner: b}
      - {name: other-link, action: allow, services: [tcp/9003], interfaces: ["wlan*"], reason: a, owner: b}
      - {name: parked, action: allow, services: [tcp/9004], enabled: false, reason: a, owner: b}
      - {name: past, action: allow, services: [tcp/9005], expires: 2001-01-01, reason: a, owner: b}
      - {name: range, action: allow, services: [tcp/9006], sources: ["203.0.113.5-203.0.113.9", "2001:db8:9::5-2001:db8:9::9"], reason: a, owner: b}
      - {name: first, action: allow, services: [tcp/9007], reason: a, owner: b}
      - {name: second, action: deny, services: ["tcp/*"], reason: a, owner: b}
"#;

/// Monitored as a whole.
pub(super) const MONITORED: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
mode: monitor
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones: {internet: {default: true}}
policies:
  - name: inbound
    from: internet
    to: host
    rules:
      - {name: web, action: allow, services: [tcp/443], reason: site, owner: web}
      - {name: telnet, action: deny, services: [tcp/23], reason: never, owner: sre}
      - {name: ident, action: reject, services: [tcp/113], reason: tell them, owner: sre}
"#;

/// [`MONITORED`], enforced.
pub(super) const MONITORED_ENFORCED: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 2}
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones: {internet: {default: true}}
policies:
  - name: inbound
    from: internet
    to: host
    rules:
      - {name: web, action: allow, services: [tcp/443], reason: site, owner: web}
      - {name: telnet, action: deny, services: [tcp/23], reason: never, owner: sre}
"#;

/// [`MONITORED`], without the site.
pub(super) const MONITORED_CLOSED: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 2}
mode: monitor
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones: {internet: {default: true}}
policies: []
"#;

/// One rule and one policy in monitor mode.
pub(super) const MONITORED_RULE: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones: {internet: {default: true}}
policies:
  - name: trial
    from: internet
    to: host
    mode: monitor
    rules:
      - {name: no-web, action: deny, services: [tcp/443], reason: trial, owner: web}
  - name: inbound
    from: internet
    to: host
    rules:
      - {name: trial-ban, action: deny, services: [tcp/443], mode: monitor, reason: trial, owner: web}
      - {name: web, action: allow, services: [tcp/443], reason: site, owner: web}
"#;

/// Essentials switched off.
pub(super) const NO_ESSENTIALS: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
essentials: {ra: false, dhcp: false, dhcpv6: false, igmp: false, mld: false, link: false}
unmatched: {inbound: deny, outbound: deny, routed: deny}
zones: {internet: {default: true}}
policies: []
"#;

/// A host between two links.
pub(super) const ROUTER: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: deny}
zones:
  lab: {cidrs: [10.78.0.0/24, "fd78::/64"], interfaces: [eth1]}
  internet: {default: true}
policies:
  - name: through
    from: internet
    to: lab
    rules:
      - {name: web, action: allow, services: [tcp/80], reason: lab site, owner: lab}
      - {name: telnet, action: reject, services: [tcp/23], reason: never, owner: lab}
  - name: any-to-host
    from: any
    to: host
    rules:
      - {name: https, action: allow, services: [tcp/443], reason: site, owner: web}
"#;

/// What is routed passes, with an allow and a deny in front of that.
pub(super) const PASSING: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones:
  lab: {cidrs: [10.78.0.0/24, "fd78::/64"], interfaces: [eth1]}
  internet: {default: true}
policies:
  - name: through
    from: internet
    to: lab
    rules:
      - {name: web, action: allow, services: [tcp/80], reason: lab site, owner: lab}
      - {name: telnet, action: deny, services: [tcp/23], reason: never, owner: lab}
"#;

/// What is routed is allowed.
pub(super) const ALLOWING: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: allow}
zones:
  internet: {default: true}
"#;

/// Zones that need their interface.
pub(super) const INTERFACE_ZONES: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: deny, routed: deny}
zones:
  wide: {cidrs: [203.0.0.0/8, "2001:db8::/32"]}
  narrow: {cidrs: [203.0.113.0/24, "2001:db8:9::/48"], interfaces: [eth1]}
  link: {interfaces: ["eth*"]}
  internet: {default: true}
policies:
  - name: wide
    from: wide
    to: host
    rules: [{name: web, action: allow, services: [tcp/80], reason: a, owner: b}]
  - name: narrow
    from: narrow
    to: host
    rules: [{name: web, action: allow, services: [tcp/81], reason: a, owner: b}]
  - name: link
    from: link
    to: host
    rules: [{name: web, action: allow, services: [tcp/82], reason: a, owner: b}]
  - name: out
    from: host
    to: multicast
    rules: [{name: groups, action: allow, services: [udp/5353], reason: a, owner: b}]
"#;

/// A rule that ends; the host's clock begins at 2026-06-01T00:00:00Z.
pub(super) const ENDING: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: pass}
zones: {internet: {default: true}}
policies:
  - name: guests
    from: internet
    to: host
    rules:
      - {name: for-a-minute, action: allow, services: [tcp/443], expires: "2026-06-01T00:01:00Z", reason: a, owner: b}
      - {name: for-ever, action: allow, services: [tcp/80], reason: a, owner: b}
"#;

/// Looks for things by asking groups.
pub(super) const ASKING: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 1}
unmatched: {inbound: deny, outbound: deny, routed: deny}
zones: {internet: {default: true}}
policies:
  - name: out
    from: host
    to: any
    rules:
      - {name: find, action: allow, services: [udp/1900], replies: any, reason: a, owner: b}
      - {name: plain, action: allow, services: [udp/5353], reason: a, owner: b}
"#;

/// The next revision of [`ASKING`], without it.
pub(super) const ASKING_CLOSED: &str = r#"
apiVersion: ringwall/v1
metadata: {name: case, revision: 2}
unmatched: {inbound: deny, outbound: deny, routed: deny}
zones: {internet: {default: true}}
policies: []
"#;
