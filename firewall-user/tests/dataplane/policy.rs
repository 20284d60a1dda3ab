//! A policy compiled by hand: in tcp/443 (allowed), tcp/22 and udp/53 (rejected), else denied; out tcp/25
//! rejected, else allowed.

use std::collections::BTreeMap;

use firewall_common::config::{
    AddressEntry, FIRST_RULE_COUNTER, GENERATION_INTERFACES, Generation, InterfaceEntry, Vector,
};
use firewall_common::policy::rule::{DEFAULT, Rule};
use firewall_common::zone::ZoneId;
use firewall_user::policy::compiled::{Compiled, InterfacePlan, Listed};

pub(crate) const ALLOW: u32 = FIRST_RULE_COUNTER;
pub(crate) const REJECT: u32 = FIRST_RULE_COUNTER + 1;
pub(crate) const DENY: u32 = FIRST_RULE_COUNTER + 2;
pub(crate) const PEOPLE: ZoneId = ZoneId(3);

const INBOUND: u64 = 0b00111;
const OUTBOUND: u64 = 0b11000;

fn rule(place: u32, action: u8, flags: u8) -> Rule {
    Rule {
        counter: FIRST_RULE_COUNTER + place,
        action,
        flags,
        ..Rule::default()
    }
}

fn vector(bits: u64) -> Vector {
    let mut vector = Vector::default();
    vector.words[0] = bits;
    vector
}

pub(crate) fn compiled() -> Compiled {
    let mut vectors = vec![vector(INBOUND | OUTBOUND)];
    let mut add = |bits| {
        vectors.push(vector(bits));
        vectors.len() as u32 - 1
    };
    let zones = |host: u64, others: u64| (0..64).map(move |z| if z == 1 { host } else { others });
    let source_zones = zones(OUTBOUND, INBOUND).map(&mut add).min().unwrap();
    let destination_zones = zones(INBOUND, OUTBOUND).map(&mut add).min().unwrap();
    let (allow, reject) = (add(0b10101), add(0b10110));
    let smtp = add(0b11100);
    let other = add(0b10100);
    let here = add(INBOUND | OUTBOUND);
    let everywhere = AddressEntry {
        source: 0,
        destination: 0,
        zones: [PEOPLE.0; 16],
    };
    let rules = vec![
        rule(0, 0, 0),
        rule(1, 2, 0),
        rule(2, 1, DEFAULT),
        rule(3, 2, 0),
        rule(4, 0, DEFAULT),
    ];
    Compiled {
        head: Generation {
            rules: rules.len() as u32,
            flags: GENERATION_INTERFACES,
            essentials: 0xff,
            unmatched: [1, 1, 3, 0],
            source_zones,
            destination_zones,
            any_service: other,
            any_source_port: 0,
            any_interface: 0,
            default_address: everywhere,
            revision: 7,
            ..Generation::default()
        },
        listing: rules.iter().map(|rule| listed(rule.counter)).collect(),
        rules,
        vectors,
        addresses: vec![(0, [0; 16], everywhere)],
        services: vec![
            (
                32,
                [6, 0, 443_u16.to_be_bytes()[0], 443_u16.to_be_bytes()[1]],
                allow,
            ),
            (32, [6, 0, 0, 22], reject),
            (32, [17, 0, 0, 53], reject),
            (32, [6, 0, 0, 25], smtp),
        ],
        interfaces: InterfacePlan {
            patterns: vec!["rw*".to_owned()],
            entries: BTreeMap::from([(
                vec![0],
                InterfaceEntry {
                    class: 1,
                    vector: here,
                },
            )]),
            other: InterfaceEntry::default(),
        },
        zones: vec![
            (ZoneId::HOST, "host".to_owned()),
            (PEOPLE, "people".to_owned()),
        ],
    }
}

fn listed(counter: u32) -> Listed {
    Listed {
        id: format!("test/rule-{counter}"),
        counter,
        action: String::new(),
        conditions: String::new(),
        from: "people".to_owned(),
        to: "host".to_owned(),
        monitor: false,
        index: None,
        owner: None,
        reason: None,
        ticket: None,
        review_by: None,
        expires: None,
    }
}
