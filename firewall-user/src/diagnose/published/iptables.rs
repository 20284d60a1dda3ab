//! Rules as `iptables-save` writes them.

use super::{Door, Published};

/// Adds what the table `nat` sends on.
pub(super) fn add(text: &str, v6: bool, all: &mut Published) {
    let mut table = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(target) = target(&words).filter(|_| table == "nat") else {
            continue;
        };
        // What this host sends itself arrives nowhere.
        if words.get(1) == Some(&"OUTPUT") {
            continue;
        }
        match doors(&words) {
            Some(doors) => all
                .open
                .extend(doors.into_iter().map(|door| door.open(v6, target.clone()))),
            None => all.strange += 1,
        }
    }
}

fn after<'w>(words: &[&'w str], option: &str) -> Option<&'w str> {
    let at = words.iter().position(|word| *word == option)?;
    words.get(at + 1).copied()
}

fn target(words: &[&str]) -> Option<String> {
    match after(words, "-j")? {
        "DNAT" => after(words, "--to-destination").map(str::to_owned),
        "REDIRECT" => Some(match after(words, "--to-ports") {
            Some(port) => format!("this host:{port}"),
            None => "this host".to_owned(),
        }),
        _ => None,
    }
}

/// `None`: it says more than is understood.
fn doors(words: &[&str]) -> Option<Vec<Door>> {
    const OURS: [&str; 4] = ["-d", "-p", "--dport", "--dports"];
    let turned = |pair: &[&str]| pair[0] == "!" && OURS.contains(&pair[1]);
    if words.windows(2).any(turned) {
        return None;
    }
    let protocol = match after(words, "-p")? {
        "tcp" => 6,
        "udp" => 17,
        _ => return None,
    };
    let address = match after(words, "-d") {
        None => None,
        Some(net) => Some(one_address(net)?),
    };
    let ports = after(words, "--dport").or_else(|| after(words, "--dports"))?;
    let door = |ports| Door {
        protocol,
        ports,
        address,
    };
    let ranges = ports.split(',').map(range);
    ranges.map(|ports| ports.map(door)).collect()
}

/// An address, written as a prefix of that one.
fn one_address(net: &str) -> Option<std::net::IpAddr> {
    let net: ipnet::IpNet = net.parse().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once(':').unwrap_or((text, text));
    Some((low.parse().ok()?, high.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "*filter
-A FORWARD -p tcp -m tcp --dport 1 -j DNAT --to-destination 10.0.0.1
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -p tcp -m tcp --dport 7 -j DNAT --to-destination 10.0.0.1
-A PREROUTING -d 192.0.2.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A PREROUTING -p udp -m udp --dport 5000:5010 -j DNAT --to-destination 172.17.0.3
-A PREROUTING -p tcp -m multiport --dports 90,100:110 -j REDIRECT --to-ports 3128
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 172.17.0.4:443
-A PREROUTING -p tcp -m tcp ! --dport 22 -j DNAT --to-destination 10.0.0.1
-A PREROUTING -d 192.0.2.0/24 -p tcp -m tcp --dport 23 -j DNAT --to-destination 10.0.0.1
-A PREROUTING -j DNAT --to-destination 10.0.0.1
COMMIT
";

    #[test]
    fn ports_that_engines_publish_are_read() {
        let mut all = Published::default();
        add(SAVED, false, &mut all);
        let short: Vec<String> = all
            .open
            .iter()
            .map(|one| {
                let target = one.published_to.as_deref().unwrap();
                let (address, port) = (one.address, one.port);
                let last = one.last_port.unwrap_or(port);
                format!("{} {address} {port}-{last} {target}", one.protocol)
            })
            .collect();
        assert_eq!(
            short,
            [
                "6 192.0.2.1 8080-8080 172.17.0.2:80",
                "17 0.0.0.0 5000-5010 172.17.0.3",
                "6 0.0.0.0 90-90 this host:3128",
                "6 0.0.0.0 100-110 this host:3128",
                "6 0.0.0.0 8443-8443 172.17.0.4:443",
            ]
        );
        assert_eq!(all.strange, 3);
    }
}
