use super::*;

/// What a ruleset of these rules, sets and maps publishes, in short, and how many are not understood.
fn read(rules: &[(&str, &str)], alone: bool) -> (Vec<String>, usize) {
    let set = r#"{"set": {"family": "ip", "name": "s", "table": "n", "elem": [70, {"elem": {"val": {"range": [80, 90]}, "comment": "x"}}]}}"#;
    let map = r#"{"map": {"family": "ip", "name": "m", "table": "n", "elem": [[7001, {"concat": ["10.0.0.1", 70]}]]}}"#;
    let rules = rules.iter().map(|(family, expr)| {
        format!(r#"{{"rule": {{"family": "{family}", "table": "n", "chain": "pre", "handle": 1, "expr": [{expr}]}}}}"#)
    });
    let rules: Vec<String> = rules.collect();
    let ruleset = format!(r#"{{"nftables": [{set}, {map}, {}]}}"#, rules.join(", "));
    let mut all = Published::default();
    add(&ruleset, alone, &mut all);
    let short = all.open.iter().map(|one| {
        let target = one.published_to.as_deref().unwrap();
        let (address, port) = (one.address, one.port);
        let last = one.last_port.unwrap_or(port);
        format!("{} {address} {port}-{last} {target}", one.protocol)
    });
    (short.collect(), all.strange)
}

fn to_port(right: &str) -> String {
    format!(
        r#"{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "tcp", "field": "dport"}}}}, "right": {right}}}}}"#
    )
}

const DNAT: &str = r#"{"dnat": {"addr": "10.0.0.1", "port": 9}}"#;

#[test]
fn one_port_a_range_a_set_and_a_named_one_are_read() {
    for (right, found) in [
        ("8080", &["6 0.0.0.0 8080-8080 10.0.0.1:9"][..]),
        (r#"{"range": [10, 20]}"#, &["6 0.0.0.0 10-20 10.0.0.1:9"]),
        (
            r#"{"set": [20, {"range": [30, 40]}]}"#,
            &["6 0.0.0.0 20-20 10.0.0.1:9", "6 0.0.0.0 30-40 10.0.0.1:9"],
        ),
        (
            r#""@s""#,
            &["6 0.0.0.0 70-70 10.0.0.1:9", "6 0.0.0.0 80-90 10.0.0.1:9"],
        ),
    ] {
        let rule = format!("{}, {DNAT}", to_port(right));
        let (open, strange) = read(&[("ip", &rule)], true);
        assert_eq!(open, found);
        assert_eq!(strange, 0);
    }
}

#[test]
fn addresses_maps_and_what_is_put_together_are_read() {
    let key = r#"{"payload": {"protocol": "tcp", "field": "dport"}}"#;
    let inline = format!(
        r#"{{"dnat": {{"addr": {{"map": {{"key": {key}, "data": {{"set": [[6001, "10.0.0.6"]]}}}}}}}}}}"#
    );
    let named = format!(r#"{{"dnat": {{"addr": {{"map": {{"key": {key}, "data": "@m"}}}}}}}}"#);
    let address = r#"{"payload": {"protocol": "ip", "field": "daddr"}}"#;
    let both = format!(
        r#"{{"match": {{"op": "==", "left": {{"concat": [{address}, {key}]}}, "right": {{"set": [{{"concat": ["192.0.2.1", 44]}}]}}}}}}, {DNAT}"#
    );
    let v6 = format!(
        r#"{}, {{"redirect": {{"port": 53}}}}"#,
        to_port("5353").replace("tcp", "udp")
    );
    let rules = [
        ("ip", &*inline),
        ("ip", &named),
        ("ip", &both),
        ("ip6", &v6),
    ];
    assert_eq!(
        read(&rules, true),
        (
            vec![
                "6 0.0.0.0 6001-6001 10.0.0.6".to_owned(),
                "6 0.0.0.0 7001-7001 10.0.0.1:70".to_owned(),
                "6 192.0.2.1 44-44 10.0.0.1:9".to_owned(),
                "17 :: 5353-5353 this host:53".to_owned(),
            ],
            0
        )
    );
}

#[test]
fn what_is_not_understood_is_counted_and_what_iptables_wrote_once_only() {
    let not = format!("{}, {DNAT}", to_port("5").replace("==", "!="));
    let prefix = to_port(r#"{"prefix": {"addr": "10.0.0.0", "len": 8}}"#).replace("dport", "daddr");
    let prefix = format!("{prefix}, {}, {DNAT}", to_port("4"));
    let all = ["{\"dnat\": {\"addr\": \"10.0.0.4\"}}", &not, &prefix].map(|rule| ("ip", rule));
    assert_eq!(read(&all, true), (Vec::new(), 3));
    let xt = r#"{"xt": {"type": "target", "name": "DNAT"}}"#;
    for alone in [true, false] {
        assert_eq!(read(&[("ip", xt)], alone), (Vec::new(), usize::from(alone)));
    }
    assert_eq!(read(&[("ip", r#"{"drop": null}"#)], true), (Vec::new(), 0));
}
