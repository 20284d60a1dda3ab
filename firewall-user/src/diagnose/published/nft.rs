//! Rules as nftables lists them in JSON (libnftables-json(5)).

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::Value;

use super::{Door, Published};

/// Named sets and maps, by family, table and name.
type Named<'v> = HashMap<[&'v str; 3], &'v [Value]>;

/// Adds what a listed ruleset sends on. What iptables wrote is left to those who can read it whole, where there are such.
pub(super) fn add(ruleset: &str, alone: bool, all: &mut Published) {
    let parsed: Value = serde_json::from_str(ruleset).unwrap_or_default();
    let none = Vec::new();
    let objects = parsed["nftables"].as_array().unwrap_or(&none);
    let named = named(objects);
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        let statements = rule["expr"].as_array().unwrap_or(&none);
        if statements.iter().any(is_iptables) {
            all.strange += usize::from(alone);
            continue;
        }
        let sends_on = |one: &&Value| one.get("dnat").or_else(|| one.get("redirect")).is_some();
        let Some(target) = statements.iter().find(sends_on) else {
            continue;
        };
        let reader = Reader {
            rule,
            named: &named,
        };
        match reader.doors(statements, target) {
            Some(doors) => all.open.extend(doors.into_iter().map(|(door, target)| {
                let v6 = rule["family"] == "ip6";
                door.open(v6, target)
            })),
            None => all.strange += 1,
        }
    }
}

fn is_iptables(statement: &Value) -> bool {
    let name = statement.get("xt").map(|xt| &xt["name"]);
    name.is_some_and(|name| name == "DNAT" || name == "REDIRECT")
}

fn named(objects: &[Value]) -> Named<'_> {
    let sets = objects.iter().filter_map(|object| {
        let set = object.get("set").or_else(|| object.get("map"))?;
        let word = |key: &str| set[key].as_str();
        let key = [word("family")?, word("table")?, word("name")?];
        Some((key, set["elem"].as_array()?.as_slice()))
    });
    sets.collect()
}

struct Reader<'v> {
    rule: &'v Value,
    named: &'v Named<'v>,
}

impl<'v> Reader<'v> {
    /// What a rule lets in where, and where it sends it; `None`: it says more than is understood.
    fn doors(&self, statements: &'v [Value], target: &'v Value) -> Option<Vec<(Door, String)>> {
        let target = target.get("dnat").or_else(|| target.get("redirect"))?;
        let mut address = None;
        let mut doors = Vec::new();
        for of in statements.iter().filter_map(|one| one.get("match")) {
            let (left, right) = (of.get("left")?, of.get("right")?);
            let fields = parts(left);
            let speaks = |name: &str| fields.iter().any(|field| field["payload"]["field"] == name);
            if !speaks("dport") && !speaks("daddr") {
                continue;
            }
            if of["op"] != "==" {
                return None;
            }
            if speaks("dport") {
                for element in self.elements(right)? {
                    doors.push(door(&fields, &parts(bare(element)))?);
                }
            } else {
                address = Some(one_address(right)?);
            }
        }
        let map = &target["addr"]["map"];
        let mut found: Vec<(Door, String)> = if map.is_object() {
            self.mapped(map)?
        } else {
            let to = place(target.get("addr"), target.get("port"));
            doors.into_iter().map(|door| (door, to.clone())).collect()
        };
        for (door, _) in &mut found {
            door.address = door.address.or(address);
        }
        (!found.is_empty()).then_some(found)
    }

    /// `dnat to tcp dport map { 6001 : 10.0.0.6 }`
    fn mapped(&self, map: &'v Value) -> Option<Vec<(Door, String)>> {
        let fields = parts(&map["key"]);
        let pairs = self.elements(&map["data"])?.iter().map(|pair| {
            let [key, value] = pair.as_array()?.as_slice() else {
                return None;
            };
            let to = parts(value);
            let to = place(to.first().copied(), to.get(1).copied());
            Some((door(&fields, &parts(bare(key)))?, to))
        });
        pairs.collect()
    }

    /// One value, those of a set, or those of a set that has a name.
    fn elements(&self, right: &'v Value) -> Option<&'v [Value]> {
        if let Some(set) = right.get("set") {
            return set.as_array().map(Vec::as_slice);
        }
        let Some(name) = right.as_str().and_then(|text| text.strip_prefix('@')) else {
            return Some(std::slice::from_ref(right));
        };
        let word = |key: &str| self.rule[key].as_str();
        let named = self.named.get(&[word("family")?, word("table")?, name])?;
        Some(named)
    }
}

/// An element without its comment, timeout or counter.
fn bare(element: &Value) -> &Value {
    element.get("elem").map_or(element, |of| &of["val"])
}

/// Of several that are put together, each; else the one.
fn parts(value: &Value) -> Vec<&Value> {
    match value["concat"].as_array() {
        Some(all) => all.iter().collect(),
        None => vec![value],
    }
}

fn door(fields: &[&Value], values: &[&Value]) -> Option<Door> {
    let (mut ports, mut address) = (None, None);
    for (field, value) in fields.iter().zip(values) {
        let payload = &field["payload"];
        if payload["field"] == "dport" {
            let protocol = match payload["protocol"].as_str()? {
                "tcp" => 6,
                "udp" => 17,
                _ => return None,
            };
            ports = Some((protocol, range(value)?));
        } else if payload["field"] == "daddr" {
            address = Some(one_address(value)?);
        }
    }
    let (protocol, ports) = ports?;
    Some(Door {
        protocol,
        ports,
        address,
    })
}

fn one_address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

fn range(value: &Value) -> Option<(u16, u16)> {
    let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
    match value["range"].as_array().map(Vec::as_slice) {
        Some([low, high]) => Some((port(low)?, port(high)?)),
        Some(_) => None,
        None => port(value).map(|port| (port, port)),
    }
}

fn place(address: Option<&Value>, port: Option<&Value>) -> String {
    let address = address.and_then(Value::as_str).unwrap_or("this host");
    match port.and_then(Value::as_u64) {
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
#[path = "nft_tests.rs"]
mod tests;
