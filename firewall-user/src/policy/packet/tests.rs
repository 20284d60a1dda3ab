use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> Zone {
    Zone {
        name: name.into(),
        span: Span::default(),
        default: false,
        cidrs: Vec::new(),
        has_cidrs: true,
        interfaces: Vec::new(),
        has_interfaces: false,
        connected: Vec::new(),
        management: false,
        source_check: None,
    }
}

fn zones() -> Vec<Zone> {
    vec![zone("lan"), zone("internet")]
}

fn net(text: &str) -> Endpoint {
    Endpoint::Net(address::prefix(text).unwrap())
}

#[test]
fn packets_of_the_contract() {
    let packet = parse("tcp 203.0.113.9:40000 -> host:443 in eth0", &zones()).unwrap();
    assert_eq!(
        (packet.protocol, packet.source_port, packet.destination_port),
        (6, Some(40000), Some(443))
    );
    assert_eq!(
        (packet.source, packet.destination),
        (net("203.0.113.9"), Endpoint::Host)
    );
    assert_eq!(
        (packet.interface.as_deref(), packet.leaving),
        (Some("eth0"), false)
    );
    let packet = parse("udp [2001:db8::1]:53 -> host", &zones()).unwrap();
    assert_eq!(
        (packet.source, packet.destination_port),
        (net("2001:db8::1"), None)
    );
    let packet = parse("icmp 198.51.100.7 -> host echo-request", &zones()).unwrap();
    assert_eq!(packet.icmp, Some((8, 0)));
    let packet = parse("tcp host:50000 -> internet:25 out eth0", &zones()).unwrap();
    assert_eq!(
        (packet.destination, packet.destination_port),
        (Endpoint::Zone(1), Some(25))
    );
    assert!(packet.leaving);
}

#[test]
fn text_and_packet_are_each_other() {
    for text in [
        "tcp 203.0.113.9:40000 -> host:443 in eth0",
        "udp [2001:db8::1]:53 -> host",
        "icmp 198.51.100.7 -> host echo-request",
        "icmp lan -> internet destination-unreachable/4 out wg0",
        "icmpv6 2001:db8::1 -> host packet-too-big",
        "icmpv6 any -> host 200/7",
        "gre 10.0.0.0/8 -> host",
        "proto/112 any -> multicast",
        "sctp lan:1 -> [2001:db8::/32]:2905",
        "tcp lan -> internet:443",
        "udp host -> multicast:5353 out eth0",
    ] {
        let packet = parse(text, &zones()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(display(&packet, &zones()).to_string(), text);
    }
    let bare = parse("icmpv6 lan -> host", &zones()).unwrap();
    assert_eq!(
        display(&bare, &zones()).to_string(),
        "icmpv6 lan -> host echo-request"
    );
}

#[test]
fn faults_of_packets() {
    for (text, offset, words) in [
        ("", 0, "expected a protocol"),
        ("tpc lan -> host", 0, "did you mean `tcp`"),
        ("tcp", 3, "expected the sender"),
        ("tcp lan", 7, "expected `->`"),
        ("tcp lan => host", 8, "expected `->`"),
        ("tcp lan ->", 10, "expected the receiver"),
        ("tcp lna -> host", 4, "did you mean `lan`"),
        ("tcp lan:x -> host", 8, "no port"),
        ("tcp lan:70000 -> host", 8, "no port"),
        ("tcp 10.0.0.1/8 -> host", 4, "10.0.0.0/8"),
        ("tcp 10.0.0.1 -> ::1", 16, "one end is IPv4"),
        ("tcp 2001:db8::1:53:x -> host", 4, "no address"),
        ("gre lan:1 -> host", 4, "no ports"),
        ("icmp ::1 -> host", 0, "`icmpv6`"),
        ("icmpv6 10.0.0.1 -> host", 0, "`icmp`"),
        ("icmp lan -> host echo", 17, "no type of ICMPv4"),
        ("tcp lan -> host syn", 16, "nothing is expected"),
        ("tcp lan -> host in", 18, "the name of an interface"),
        ("tcp lan -> host in eth0 x", 24, "nothing is expected"),
        ("icmp lan -> host 8 on eth0", 19, "expected `in` or `out`"),
        ("tcp lan -> host out eth0", 24, "comes `in`"),
        ("tcp host -> lan in eth0", 23, "goes `out`"),
        ("tcp host -> host", 12, "to itself"),
        ("tcp multicast -> host", 4, "only a destination"),
    ] {
        let error = parse(text, &zones()).unwrap_err();
        assert_eq!(error.offset, offset, "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}

#[test]
fn statements() {
    let read = |text| parse_assertion(text, Span::default(), &zones(), &[]);
    let deny = read("deny internet -> host tcp/5432").unwrap();
    assert_eq!(
        (deny.expect, deny.source, deny.destination),
        (Action::Deny, Endpoint::Zone(1), Endpoint::Host)
    );
    assert_eq!(deny.services.map(|parts| parts.len()), Some(1));
    assert_eq!(read("allow any -> host").unwrap().services, None);
    assert_eq!(
        read("allow 10.0.0.0/8 -> host ssh,dns, ping")
            .unwrap()
            .services
            .unwrap()
            .len(),
        5
    );
    for (text, words) in [
        ("permit lan -> host", "ours is `allow`"),
        ("deny lan:80 -> host", "no port"),
        ("deny lan -> host sssh", "did you mean `ssh`"),
        ("deny host -> host", "no packet of that kind"),
        ("deny multicast -> host", "no packet of that kind"),
        ("deny lan", "expected `->`"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_address_and_port_survive(v6: bool, bits: u128, port: u16, other: u16) {
        let source = if v6 {
            std::net::IpAddr::V6(bits.into())
        } else {
            std::net::IpAddr::V4((bits as u32).into())
        };
        prop_assume!(!matches!(source, std::net::IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()));
        let text = format!("udp {} -> host:{other}", std::net::SocketAddr::new(source, port));
        let packet = parse(&text, &[]).unwrap();
        prop_assert_eq!(display(&packet, &[]).to_string(), text);
    }
}
