//! Protocols, ports and ICMP types by name: the built-in services, and how one service word is read.

use super::model::Service;

/// ICMP for IPv4 and for IPv6.
pub const ICMP: u8 = 1;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;

/// Protocols with ports, by name.
pub const PORT_PROTOCOLS: [(&str, u8); 5] = [
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("sctp", 132),
    ("udplite", 136),
];

/// Protocols without ports, by name; others are written `proto/47`.
pub const BARE_PROTOCOLS: [(&str, u8); 12] = [
    ("igmp", 2),
    ("ipip", 4),
    ("egp", 8),
    ("ip6ip", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("l2tp", 115),
];

/// Built-in services, each with its parts in the language's own words. One table: `ringwall policy services`
/// prints it. Files may define a service of the same name, which then counts for them.
pub const BUILT_IN: &[(&str, &str)] = &[
    (
        "active-directory",
        "udp/53 tcp/53 udp/88 tcp/88 tcp/135 udp/389 tcp/389 tcp/445 udp/464 tcp/464 tcp/636 tcp/3268-3269 tcp/9389 tcp/49152-65535",
    ),
    ("alertmanager", "tcp/9093"),
    ("amqp", "tcp/5672"),
    ("amqps", "tcp/5671"),
    ("bacula", "tcp/9101-9103"),
    ("bfd", "udp/3784-3785 udp/4784"),
    ("bgp", "tcp/179"),
    ("cassandra", "tcp/9042"),
    ("ceph", "tcp/3300 tcp/6789 tcp/6800-7568"),
    ("chrony-control", "udp/323"),
    ("clickhouse", "tcp/8123 tcp/9000"),
    (
        "consul",
        "tcp/8300-8302 udp/8301-8302 tcp/8500-8503 tcp/8600 udp/8600",
    ),
    ("coap", "udp/5683"),
    ("corosync", "udp/5404-5412"),
    ("cups", "tcp/631"),
    ("dhcp-client", "udp/68"),
    ("dhcp-server", "udp/67"),
    ("dhcpv6-client", "udp/546"),
    ("dhcpv6-server", "udp/547"),
    ("dns", "udp/53 tcp/53"),
    ("dns-over-quic", "udp/853"),
    ("dns-over-tls", "tcp/853"),
    ("docker", "tcp/2376"),
    ("docker-swarm", "tcp/2377 tcp/7946 udp/7946 udp/4789"),
    ("elasticsearch", "tcp/9200 tcp/9300"),
    ("etcd", "tcp/2379-2380"),
    ("ftp", "tcp/21"),
    ("geneve", "udp/6081"),
    ("git", "tcp/9418"),
    ("grafana", "tcp/3000"),
    ("http", "tcp/80"),
    ("http-alt", "tcp/8080"),
    ("http3", "udp/443"),
    ("https", "tcp/443"),
    ("icinga", "tcp/5665"),
    ("imap", "tcp/143"),
    ("imaps", "tcp/993"),
    ("influxdb", "tcp/8086"),
    ("ipmi", "udp/623"),
    ("ipsec", "udp/500 udp/4500 esp ah"),
    ("iperf3", "tcp/5201 udp/5201"),
    ("iscsi", "tcp/3260"),
    ("kafka", "tcp/9092"),
    ("kerberos", "udp/88 tcp/88"),
    ("kpasswd", "udp/464 tcp/464"),
    ("kube-apiserver", "tcp/6443"),
    ("kube-controller-manager", "tcp/10257"),
    ("kube-nodeport", "tcp/30000-32767 udp/30000-32767"),
    ("kube-scheduler", "tcp/10259"),
    ("kubelet", "tcp/10250"),
    ("l2tp-ipsec", "udp/1701"),
    ("ldap", "tcp/389 udp/389"),
    ("ldaps", "tcp/636"),
    ("llmnr", "udp/5355 tcp/5355"),
    ("loki", "tcp/3100"),
    ("mdns", "udp/5353"),
    ("memcached", "tcp/11211"),
    ("minio", "tcp/9000-9001"),
    ("mongodb", "tcp/27017"),
    ("mosh", "udp/60000-61000"),
    ("mountd", "tcp/20048 udp/20048"),
    ("mqtt", "tcp/1883"),
    ("mqtts", "tcp/8883"),
    ("mssql", "tcp/1433"),
    ("munin", "tcp/4949"),
    ("mysql", "tcp/3306"),
    ("nats", "tcp/4222"),
    ("nbd", "tcp/10809"),
    ("netbios", "udp/137-138 tcp/139"),
    ("netconf", "tcp/830"),
    ("nfs", "tcp/2049"),
    (
        "nfs3",
        "tcp/2049 udp/2049 tcp/111 udp/111 tcp/20048 udp/20048",
    ),
    ("node-exporter", "tcp/9100"),
    ("nomad", "tcp/4646-4648 udp/4648"),
    ("nrpe", "tcp/5666"),
    ("ntp", "udp/123"),
    ("nts", "tcp/4460 udp/123"),
    ("opentelemetry", "tcp/4317-4318"),
    ("openvpn", "udp/1194 tcp/1194"),
    ("oracle", "tcp/1521"),
    ("ping", "icmp/8 icmpv6/128"),
    ("pop3", "tcp/110"),
    ("pop3s", "tcp/995"),
    ("postgres", "tcp/5432"),
    ("prometheus", "tcp/9090"),
    ("proxmox", "tcp/8006"),
    ("ptp", "udp/319-320"),
    ("puppet", "tcp/8140"),
    ("rabbitmq-management", "tcp/15672"),
    ("radius", "udp/1812-1813"),
    ("rdp", "tcp/3389 udp/3389"),
    ("redis", "tcp/6379"),
    ("redis-sentinel", "tcp/26379"),
    ("rpcbind", "tcp/111 udp/111"),
    ("rsync", "tcp/873"),
    ("rtp", "udp/16384-32767"),
    ("salt-master", "tcp/4505-4506"),
    ("sflow", "udp/6343"),
    ("sip", "udp/5060 tcp/5060"),
    ("sips", "tcp/5061"),
    ("slp", "udp/427 tcp/427"),
    ("smb", "tcp/445"),
    ("smtp", "tcp/25"),
    ("smtps", "tcp/465"),
    ("snmp", "udp/161"),
    ("snmp-trap", "udp/162"),
    ("spice", "tcp/5930"),
    ("squid", "tcp/3128"),
    ("ssdp", "udp/1900"),
    ("ssh", "tcp/22"),
    ("stun", "udp/3478 tcp/3478"),
    ("submission", "tcp/587"),
    ("submissions", "tcp/465"),
    ("syslog", "udp/514 tcp/514"),
    ("syslog-tls", "tcp/6514"),
    ("tacacs", "tcp/49"),
    ("teleport", "tcp/3022-3026 tcp/3080"),
    ("telnet", "tcp/23"),
    ("tempo", "tcp/3200"),
    ("tftp", "udp/69"),
    ("traceroute", "udp/33434-33534"),
    ("turn", "udp/3478 tcp/3478 tcp/5349"),
    ("vault", "tcp/8200-8201"),
    ("vnc", "tcp/5900-5903"),
    ("vrrp", "proto/112"),
    ("vxlan", "udp/4789"),
    ("winrm", "tcp/5985-5986"),
    ("wireguard", "udp/51820"),
    ("ws-discovery", "udp/3702 tcp/3702"),
    ("xmpp", "tcp/5222 tcp/5269"),
    ("zabbix-agent", "tcp/10050"),
    ("zabbix-server", "tcp/10051"),
    ("zookeeper", "tcp/2181 tcp/2888 tcp/3888"),
];

/// ICMPv4 types by name.
pub const ICMP_TYPES: &[(&str, u8)] = &[
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
    ("extended-echo-request", 42),
    ("extended-echo-reply", 43),
];

/// ICMPv6 types by name.
pub const ICMPV6_TYPES: &[(&str, u8)] = &[
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-query", 130),
    ("mld-report", 131),
    ("mld-done", 132),
    ("router-solicitation", 133),
    ("router-advertisement", 134),
    ("neighbour-solicitation", 135),
    ("neighbor-solicitation", 135),
    ("neighbour-advertisement", 136),
    ("neighbor-advertisement", 136),
    ("redirect", 137),
    ("mld2-report", 143),
    ("extended-echo-request", 160),
    ("extended-echo-reply", 161),
];

/// Why a word is no service, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// A stable word.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub help: Option<String>,
}

impl ServiceError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        let (message, help) = (message.into(), None);
        Self {
            code,
            message,
            help,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The parts of a built-in service.
#[must_use]
pub fn built_in(name: &str) -> Option<Vec<Service>> {
    let (_, parts) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    parts
        .split(' ')
        .map(|part| word(part).ok().flatten())
        .collect()
}

/// The names of all built-in services.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// Is this word a protocol, so that no service may take it as its name?
#[must_use]
pub fn is_protocol_word(word: &str) -> bool {
    matches!(word, "icmp" | "icmpv6" | "proto")
        || port_protocol(word).or(bare_protocol(word)).is_some()
}

/// The number of a protocol with ports.
#[must_use]
pub fn port_protocol(word: &str) -> Option<u8> {
    lookup(&PORT_PROTOCOLS, word)
}

/// The number of a protocol without ports.
#[must_use]
pub fn bare_protocol(word: &str) -> Option<u8> {
    lookup(&BARE_PROTOCOLS, word)
}

/// How a protocol is written in front of a packet: its name, or `proto/N`.
#[must_use]
pub fn protocol_word(number: u8) -> String {
    let icmp = [("icmp", ICMP), ("icmpv6", ICMPV6)];
    let mut all = PORT_PROTOCOLS.iter().chain(&BARE_PROTOCOLS).chain(&icmp);
    match all.find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("proto/{number}"),
    }
}

/// A protocol word in front of a packet, or `proto/N`.
pub fn protocol(word: &str) -> Option<u8> {
    match word {
        "icmp" => Some(ICMP),
        "icmpv6" => Some(ICMPV6),
        _ => port_protocol(word)
            .or(bare_protocol(word))
            .or_else(|| byte(word.strip_prefix("proto/")?)),
    }
}

fn lookup(table: &[(&str, u8)], word: &str) -> Option<u8> {
    table
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, number)| *number)
}

fn byte(word: &str) -> Option<u8> {
    super::text::walk::decimal(word)?.try_into().ok()
}

/// Reads `tcp/443`, `udp/8000-8100`, `icmp/3/4`, `gre`, `proto/47` …; `None` for what can only be a name.
pub fn word(word: &str) -> Result<Option<Service>, ServiceError> {
    let (head, tail) = match word.split_once('/') {
        Some((head, tail)) => (head, Some(tail)),
        None => (word, None),
    };
    match (head, tail) {
        ("icmp", tail) => icmp(word, false, tail).map(Some),
        ("icmpv6", tail) => icmp(word, true, tail).map(Some),
        ("proto", tail) => any_protocol(word, tail.unwrap_or_default()).map(Some),
        (head, tail) => match (port_protocol(head), bare_protocol(head)) {
            (Some(number), _) => ports(word, number, tail).map(Some),
            (_, Some(number)) => bare(word, number, tail).map(Some),
            _ => not_a_protocol(word, head, tail),
        },
    }
}

fn ports(word: &str, protocol: u8, tail: Option<&str>) -> Result<Service, ServiceError> {
    let Some(tail) = tail else {
        let message = format!("`{word}` alone says no port");
        let help = format!("write `{word}/443`, `{word}/8000-8100`, or `{word}/*` for all ports");
        return Err(ServiceError::new("bad-service", message).help(help));
    };
    let (low, high) = if tail == "*" {
        (0, u16::MAX)
    } else {
        port_range(tail)?
    };
    Ok(Service::Ports {
        protocol,
        low,
        high,
    })
}

/// One port or `low-high`.
pub fn port_range(text: &str) -> Result<(u16, u16), ServiceError> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (port(low), port(high)) {
        (Some(low), Some(high)) if low <= high => Ok((low, high)),
        (Some(low), Some(high)) => {
            let message = format!("the port range `{text}` runs backwards");
            Err(ServiceError::new("bad-range", message).help(format!("write `{high}-{low}`")))
        }
        _ => Err(bad_port(text)),
    }
}

fn port(text: &str) -> Option<u16> {
    super::text::walk::decimal(text.trim())?.try_into().ok()
}

fn bad_port(text: &str) -> ServiceError {
    let message =
        format!("`{text}` is no port: a number from 0 to 65535, or a range such as 8000-8100");
    let error = ServiceError::new("bad-port", message);
    match text {
        _ if text.contains(',') => error.help("write one entry a port: [tcp/80, tcp/443]"),
        _ if text.contains(':') => error.help(format!("write `{}`", text.replace(':', "-"))),
        _ => error,
    }
}

fn icmp(word: &str, v6: bool, tail: Option<&str>) -> Result<Service, ServiceError> {
    let (kind, code) = match tail {
        None | Some("*") => (None, None),
        Some(tail) => {
            let (kind, code) = icmp_type(word, v6, tail)?;
            (Some(kind), code)
        }
    };
    Ok(Service::Icmp { v6, kind, code })
}

/// `echo-request`, `3`, `3/4`: type and code.
pub fn icmp_type(word: &str, v6: bool, text: &str) -> Result<(u8, Option<u8>), ServiceError> {
    let (kind, code) = match text.split_once('/') {
        Some((kind, code)) => (kind, Some(code)),
        None => (text, None),
    };
    let table = if v6 { ICMPV6_TYPES } else { ICMP_TYPES };
    let number = lookup(table, kind).or_else(|| byte(kind));
    let number = number.ok_or_else(|| bad_icmp_type(word, v6, kind, table))?;
    let Some(code) = code else {
        return Ok((number, None));
    };
    let code = byte(code).ok_or_else(|| {
        ServiceError::new(
            "bad-service",
            format!("`{word}`: an ICMP code is a number from 0 to 255"),
        )
    })?;
    Ok((number, Some(code)))
}

fn bad_icmp_type(word: &str, v6: bool, kind: &str, table: &[(&str, u8)]) -> ServiceError {
    let family = if v6 { "ICMPv6" } else { "ICMPv4" };
    let message = format!("`{word}`: `{kind}` is no type of {family}");
    let help = super::text::walk::suggestion(kind, table.iter().map(|(name, _)| *name));
    ServiceError::new("bad-service", message).help(help)
}

fn any_protocol(word: &str, number: &str) -> Result<Service, ServiceError> {
    let message = format!("`{word}`: a protocol is a number from 0 to 255, such as proto/47");
    let number = byte(number).ok_or_else(|| ServiceError::new("bad-service", message))?;
    Ok(whole_protocol(number))
}

/// All of a protocol, in the form its named words give.
#[must_use]
pub fn whole_protocol(number: u8) -> Service {
    match number {
        ICMP | ICMPV6 => Service::Icmp {
            v6: number == ICMPV6,
            kind: None,
            code: None,
        },
        _ if PORT_PROTOCOLS.iter().any(|(_, known)| *known == number) => Service::Ports {
            protocol: number,
            low: 0,
            high: u16::MAX,
        },
        _ => Service::Protocol(number),
    }
}

fn bare(word: &str, number: u8, tail: Option<&str>) -> Result<Service, ServiceError> {
    if tail.is_some_and(|tail| tail != "*") {
        let message = format!("`{word}`: this protocol has no ports");
        return Err(ServiceError::new("bad-service", message));
    }
    Ok(Service::Protocol(number))
}

fn not_a_protocol(
    word: &str,
    head: &str,
    tail: Option<&str>,
) -> Result<Option<Service>, ServiceError> {
    let error = ServiceError::new("bad-service", format!("`{word}` is no service"));
    if head.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        let protocol = tail
            .filter(|tail| port_protocol(tail).is_some())
            .unwrap_or("tcp");
        return Err(error.help(format!(
            "the protocol comes first: write `{protocol}/{head}`"
        )));
    }
    if let Some((protocol, port)) = word.split_once(':') {
        return Err(error.help(format!("write `{protocol}/{port}`")));
    }
    if tail.is_some() {
        let known = PORT_PROTOCOLS
            .iter()
            .map(|(name, _)| *name)
            .chain(["icmp", "icmpv6", "proto"]);
        let help = super::text::walk::suggestion(head, known);
        return Err(error.help(help));
    }
    Ok(None)
}
