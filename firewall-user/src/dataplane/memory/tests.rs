//! Plain memory behaves as the kernel's tables do.

use firewall_common::config::Fallback;
use firewall_common::flow::Hook;
use firewall_common::reason::Reason;
use firewall_common::tables::Route;

use super::MemoryTables;
use crate::policy::compile::compile;
use crate::policy::compiled::{Compiled, Numbers};
use crate::policy::frame::Concrete;
use crate::policy::packet::parse;
use crate::policy::testing::{HEAD, clock, policy};

const NOW: u64 = 1_000_000_000_000;

const RULES: &str = "
policies:
  - name: in
    from: internet
    to: host
    rules:
      - {name: web, action: allow, services: [tcp/80, udp/53], interfaces: ['eth*']}
";

fn compiled() -> Compiled {
    let policy = policy(&format!("{HEAD}{RULES}"));
    compile(&policy, &mut Numbers::default(), &clock()).unwrap()
}

fn tables() -> MemoryTables {
    let mut tables = MemoryTables::with(&compiled());
    tables.name_interface(1, "eth0");
    tables.name_interface(2, "wg0");
    tables.add_local("192.0.2.1".parse().unwrap());
    tables
}

fn packet(text: &str) -> Concrete {
    let spec = parse(text, &[]).unwrap();
    Concrete::new(
        &spec,
        "203.0.113.9".parse().unwrap(),
        "192.0.2.1".parse().unwrap(),
    )
}

fn reply(packet: &Concrete) -> Concrete {
    Concrete {
        source: packet.destination,
        destination: packet.source,
        source_port: packet.destination_port,
        destination_port: packet.source_port,
        tcp_flags: 0x12,
        tcp_numbers: (7, packet.tcp_numbers.0 + 1),
        ..packet.clone()
    }
}

#[test]
fn a_session_moves_from_the_half_open_ones_to_the_verified_ones() {
    let tables = tables();
    let open = packet("udp any:1000 -> host:53");
    let first = tables.decide(&open.frame(), Hook::Ingress, 1, 0, NOW);
    assert_eq!(first.reason, Reason::RuleAllow);
    assert_eq!(
        (tables.sessions().0.len(), tables.sessions().1.len()),
        (1, 0)
    );
    let answer = tables.decide(&reply(&open).frame(), Hook::Egress, 1, 0, NOW + 1);
    assert_eq!(answer.reason, Reason::Session);
    let (half_open, verified) = tables.sessions();
    assert_eq!((half_open.len(), verified.len()), (0, 1));
    let counts = verified.values().next().unwrap().counts;
    assert_eq!((counts[0].packets, counts[1].packets), (1, 1));
    assert_eq!(tables.rule_counts()[&first.rule].packets, 1);
}

#[test]
fn full_tables_refuse_and_interfaces_go_by_their_names() {
    let mut tables = tables();
    tables.settings.room.half_open_max = 1;
    let frame = |port: u16| {
        let mut open = packet("tcp any -> host:80");
        open.source_port = port;
        open.frame()
    };
    let reason = |port, interface| {
        tables
            .decide(&frame(port), Hook::Ingress, interface, 0, NOW)
            .reason
    };
    assert_eq!(reason(1, 2), Reason::NoPolicy);
    assert_eq!(reason(1, 1), Reason::RuleAllow);
    assert_eq!(reason(2, 1), Reason::HalfOpenLimit);
    assert_eq!(reason(1, 1), Reason::Session);
}

#[test]
fn a_silent_session_is_over_and_without_a_policy_all_passes() {
    let mut tables = tables();
    let open = packet("udp any:1000 -> host:53");
    tables.decide(&open.frame(), Hook::Ingress, 1, 0, NOW);
    let late = NOW + 31_000_000_000;
    let answer =
        |tables: &MemoryTables| tables.decide(&reply(&open).frame(), Hook::Egress, 1, 0, late);
    assert_eq!(answer(&tables).reason, Reason::DefaultAllow);
    tables.activate(0);
    assert_eq!(tables.active(), 0);
    assert_eq!(answer(&tables).reason, Reason::NoPolicyLoaded);
}

#[test]
fn failsafe_routes_and_guarded_interfaces_are_asked() {
    let mut tables = tables();
    tables.add_failsafe(&["203.0.113.0/24".parse().unwrap()], &[(32, [6, 0, 0, 22])]);
    let ssh = packet("tcp any -> host:22").frame();
    assert_eq!(
        tables.decide(&ssh, Hook::Ingress, 2, 0, NOW).reason,
        Reason::Failsafe
    );
    let mut through = packet("tcp any -> host:80");
    through.destination = "198.51.100.1".parse().unwrap();
    let routed = Route {
        here: false,
        interface: 2,
    };
    tables.add_route("0.0.0.0/0".parse().unwrap(), routed);
    let crossing = tables.decide(&through.frame(), Hook::Ingress, 1, 0, NOW);
    assert_eq!(crossing.reason, Reason::Routed);
    tables.guard(1);
    assert!(
        tables
            .decide(&through.frame(), Hook::Egress, 2, 1, NOW)
            .uncounted
    );
    let here = Route {
        here: true,
        interface: 0,
    };
    tables.add_route("198.51.100.1/32".parse().unwrap(), here);
    tables.forget();
    assert_eq!(
        tables
            .decide(&through.frame(), Hook::Ingress, 1, 0, NOW)
            .reason,
        Reason::RuleAllow
    );
}

#[test]
fn a_second_slot_takes_over_and_sessions_are_judged_anew() {
    let mut tables = tables();
    let open = packet("udp any:1000 -> host:53");
    tables.decide(&open.frame(), Hook::Ingress, 1, 0, NOW);
    let mut stricter = compiled();
    stricter.rules[0].action = Fallback::Deny as u8;
    tables.load(2, &stricter, 2);
    tables.activate(2);
    let again = tables.decide(&open.frame(), Hook::Ingress, 1, 0, NOW + 1);
    assert_eq!(again.reason, Reason::Revoked);
    // It is kept only to be recognised.
    assert!(tables.sessions().0.values().all(|entry| entry.is_ended()));
}
