//! Ports that are published: rules of nftables that send what comes for this host to somewhere else, as container
//! engines make them.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::exposure::Open;

/// Of a listed ruleset: what arrives for this host at a port, and is sent on. Second: rules that send on and are not
/// understood.
#[must_use]
pub fn published(ruleset: &str) -> (Vec<Open>, usize) {
    let parsed: Value = serde_json::from_str(ruleset).unwrap_or_default();
    let objects = parsed["nftables"].as_array().cloned().unwrap_or_default();
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    let (mut found, mut strange) = (Vec::new(), 0);
    for rule in rules {
        let statements = rule["expr"].as_array().cloned().unwrap_or_default();
        let Some(target) = statements.iter().find_map(target) else {
            continue;
        };
        match port(&statements) {
            Some((protocol, port)) => found.push(Open {
                protocol,
                address: address(&statements).unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
                port,
                published_to: Some(target),
                process: None,
            }),
            None => strange += 1,
        }
    }
    (found, strange)
}

/// Where a rule sends to.
fn target(statement: &Value) -> Option<String> {
    if let Some(xt) = statement.get("xt") {
        return (xt["name"] == "DNAT").then(|| "?".to_owned());
    }
    let dnat = statement
        .get("dnat")
        .or_else(|| statement.get("redirect"))?;
    let address = dnat["addr"].as_str().unwrap_or("this host");
    Some(match dnat["port"].as_u64() {
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    })
}

/// What a match says: its left side and its right.
fn matched(statement: &Value) -> Option<(&Value, &Value)> {
    let of = statement.get("match").filter(|of| of["op"] == "==")?;
    Some((of.get("left")?, of.get("right")?))
}

fn port(statements: &[Value]) -> Option<(u8, u16)> {
    statements
        .iter()
        .filter_map(matched)
        .find_map(|(left, right)| {
            let payload = left
                .get("payload")
                .filter(|payload| payload["field"] == "dport")?;
            let protocol = match payload["protocol"].as_str()? {
                "tcp" => 6,
                "udp" => 17,
                _ => return None,
            };
            Some((protocol, u16::try_from(right.as_u64()?).ok()?))
        })
}

fn address(statements: &[Value]) -> Option<IpAddr> {
    statements
        .iter()
        .filter_map(matched)
        .find_map(|(left, right)| {
            left.get("payload")
                .filter(|payload| payload["field"] == "daddr")?;
            right.as_str()?.parse().ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_sends_on_publishes_its_port() {
        let ruleset = r#"{"nftables": [
            {"rule": {"family": "ip", "table": "nat", "chain": "pre", "handle": 1, "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 8080}},
                {"dnat": {"addr": "172.17.0.2", "port": 80}}]}},
            {"rule": {"family": "ip", "table": "nat", "chain": "pre", "handle": 2, "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "192.0.2.1"}},
                {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 53}},
                {"dnat": {"addr": "172.17.0.3"}}]}},
            {"rule": {"family": "ip", "table": "nat", "chain": "pre", "handle": 3, "expr": [{"dnat": {"addr": "172.17.0.4"}}]}},
            {"rule": {"family": "ip", "table": "filter", "chain": "in", "handle": 4, "expr": [{"drop": null}]}}]}"#;
        let (found, strange) = published(ruleset);
        let short: Vec<_> = found
            .iter()
            .map(|one| {
                (
                    one.protocol,
                    one.address.to_string(),
                    one.port,
                    one.published_to.clone(),
                )
            })
            .collect();
        let to = |text: &str| Some(text.to_owned());
        assert_eq!(
            short,
            [
                (6, "0.0.0.0".to_owned(), 8080, to("172.17.0.2:80")),
                (17, "192.0.2.1".to_owned(), 53, to("172.17.0.3")),
            ]
        );
        assert_eq!(strange, 1);
    }
}
