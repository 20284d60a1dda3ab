use super::*;

fn read(text: &str) -> Result<AgentConfig, Refusal> {
    AgentConfig::read_bytes(Path::new("agent.yaml"), text.as_bytes().to_vec())
}

#[test]
fn every_key_may_be_absent_and_so_may_the_file() {
    for text in ["", "# nothing yet\n", "{}", "---\n"] {
        assert_eq!(read(text).unwrap(), AgentConfig::default(), "{text:?}");
    }
    let nowhere = Path::new("/nonexistent/agent.yaml");
    assert_eq!(
        AgentConfig::read_if_present(nowhere).unwrap(),
        AgentConfig::default()
    );
    assert!(AgentConfig::read(nowhere).is_err());
}

#[test]
fn every_key() {
    let config = read(
        "interfaces: {guard: [eth0, \"en*\"], ignore: [], late: guard}
roles: {storage: [bond0.20]}
hook: tc
labels: {role: web, rack: 12}
sessions:
  max: 1000
  half_open_max: 100
  half_open_per_source: 7
  reserve: 0
  stray: drop
  timeouts: {tcp_established: 2h, udp: 45s, other: 5m, icmp: 1d}
metrics: {listen: \"[::1]:9999\", max_series: 10}
failsafe: [{sources: [10.1.0.0/24, \"fd00::1\"], services: [ssh, tcp/8022]}]
policy: {path: /etc/ringwall/policy.d, watch: false}
",
    )
    .unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(config.interfaces.guard, ["eth0", "en*"]);
    assert_eq!(config.roles["storage"], ["bond0.20"]);
    assert_eq!(config.hook.of("eth0"), HookChoice::Tc);
    assert_eq!(config.labels["rack"], "12");
    assert_eq!(
        (config.sessions.max, config.sessions.half_open_max),
        (1000, 100)
    );
    let kept = (
        config.sessions.half_open_per_source,
        config.sessions.reserve,
    );
    assert_eq!(kept, (7, 0));
    assert_eq!(
        config.sessions.timeouts.tcp_established,
        Duration::from_secs(7200)
    );
    assert_eq!(config.sessions.timeouts.other, Duration::from_secs(300));
    assert_eq!(
        config.sessions.timeouts.tcp_close,
        Duration::from_secs(10),
        "untouched"
    );
    assert_eq!(config.metrics.listen.port(), 9999);
    assert_eq!(config.failsafe[0].sources.len(), 2);
    assert_eq!(config.failsafe[0].services.len(), 2);
    assert!(!config.policy.watch);
}

#[rustfmt::skip]
const FAULTS: &[(&str, usize, usize, &str)] = &[
    ("guard: [eth0]", 1, 1, "unknown key `guard`"),
    ("interfaces: {guard: [eth0, \"a b\"]}", 1, 28, "no interface name"),
    ("interfaces: {late: drop}", 1, 20, "`drop` is nothing to do with"),
    ("roles: {Storage: [eth0]}", 1, 9, "no name for a role"),
    ("roles: {a: [eth0], a: [eth1]}", 1, 20, "already"),
    ("hook: {default: auto, eth0: xpd}", 1, 29, "no hook"),
    ("hook: {eth0: xdp, eth0: tc}", 1, 19, "already"),
    ("hook: {\"a b\": xdp}", 1, 8, "interface"),
    ("hook: nfq", 1, 7, "no hook"),
    ("labels: [a]", 1, 9, "expected a mapping"),
    ("own_address_from: []", 1, 19, "empty list"),
    ("own_address_from: [twin]", 1, 20, "twin"),
    ("flows: {file: flows.ndjson}", 1, 15, "relative"),
    ("flows: {sample: 100}", 1, 17, "one in so many"),
    ("flows: {path: /x}", 1, 9, "unknown key `path`"),
    ("history: {max_size: 256}", 1, 21, "no size"),
    ("history: {max_size: 1KiB}", 1, 21, "no size"),
    ("history: {max_size: 99999999999TiB}", 1, 21, "no size"),
    ("history: {max_age: 7}", 1, 20, "no duration"),
    ("sessions: {reserve: -5}", 1, 21, "whole number"),
    ("sessions: {half_open_per_source: 0}", 1, 34, "at least 1"),
    ("sessions: {stray: accept}", 1, 19, "`accept`"),
    ("sessions: {max: 0}", 1, 17, "at least 1"),
    ("sessions: {max: 99999999999}", 1, 17, "whole number"),
    ("sessions: {max: 10, half_open_max: 11}", 1, 21, "above `max`"),
    ("sessions: {timeouts: {udp: 30}}", 1, 28, "no duration"),
    ("sessions: {timeouts: {udp: 0s}}", 1, 28, "no duration"),
    ("sessions: {timeouts: {udp: 1y}}", 1, 28, "no duration"),
    ("sessions: {timeouts: {udp: 99999999999999999999d}}", 1, 28, "no duration"),
    ("sessions: {timeouts: {upd: 1s}}", 1, 23, "unknown key `upd`"),
    ("metrics: {listen: 10933}", 1, 19, "no address with a port"),
    ("failsafe: [{sources: [lan], services: [ssh]}]", 1, 23, "`lan` is no address"),
    ("failsafe: [{services: [ssh]}]", 1, 12, "needs the key `sources`"),
    ("failsafe: [{sources: [10.0.0.0/8]}]", 1, 12, "needs the key `services`"),
    ("failsafe: [{sources: [10.0.0.0/8], services: [sshd]}]", 1, 47, "unknown service `sshd`"),
    ("policy: {path: policy.yaml}", 1, 16, "relative"),
    ("policy: {watch: yes}", 1, 17, "`true` or `false`"),
    ("a: [", 1, 4, "not YAML"),
];

#[test]
fn faults_have_a_place_and_words() {
    for (text, line, column, expected) in FAULTS {
        let refusal = read(text).expect_err(text);
        let found = refusal
            .diagnostics
            .iter()
            .find(|d| d.message.contains(expected));
        let found = found.unwrap_or_else(|| panic!("{text}: {refusal}"));
        assert_eq!(
            (found.line, found.column),
            (Some(*line), Some(*column)),
            "{text}: {refusal}"
        );
    }
}

#[test]
fn the_hook_is_chosen_by_name_then_by_glob_then_by_default() {
    let text = "hook: {\"eth*\": tc, default: xdp-generic, eth0: xdp, \"e*\": auto}";
    let hook = read(text)
        .unwrap_or_else(|refusal| panic!("{refusal}"))
        .hook;
    assert_eq!(hook.of("eth0"), HookChoice::Xdp);
    assert_eq!(hook.of("eth1"), HookChoice::Tc);
    assert_eq!(hook.of("ens3"), HookChoice::Auto);
    assert_eq!(hook.of("wlan0"), HookChoice::XdpGeneric);
    let all = read("hook: xdp").unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(all.hook.of("anything"), HookChoice::Xdp);
    assert_eq!(HookConfig::default().of("eth0"), HookChoice::Auto);
}
