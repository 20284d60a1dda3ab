//! A host with the loaded programs, in a namespace of its own, and policies of any size for it.

use std::fmt::Write as _;

use anyhow::Result;
use firewall_common::config::LOCAL_UNICAST;
use firewall_common::flow::Hook;
use firewall_user::dataplane::memory::mapped;
use firewall_user::dataplane::{Dataplane, Info, Options, Trial, clock};
use firewall_user::policy::compile::{CompileError, compile};
use firewall_user::policy::compiled::{Clock, Compiled, Numbers};
use firewall_user::policy::model::Policy;
use firewall_user::policy::{HostContext, read_bytes};
use ringwall_tests::net::{Netns, RunDir, Veth};

/// This host's address, and a peer's.
pub(crate) const HERE: &str = "192.0.2.1";
/// The peer's.
pub(crate) const PEER: &str = "192.0.2.2";

/// The loaded programs in a namespace.
pub(crate) struct Host {
    // Dropped in this order: the pins go before their directory.
    plane: Option<Dataplane>,
    /// The namespace.
    pub(crate) ns: Netns,
    _peer: Netns,
    _dir: RunDir,
    /// The guarded interface.
    pub(crate) index: u32,
    revision: u64,
}

impl Host {
    /// Loads the programs, with room for so many sessions.
    pub(crate) fn new(sessions: u32) -> Result<Self> {
        let (ns, peer) = (Netns::new("bench")?, Netns::new("peer")?);
        let own = format!("{HERE}/24");
        let other = format!("{PEER}/24");
        let (near, _) =
            Veth::between((&ns, "in0", &[&own]), (&peer, "eth0", &[&other])).create()?;
        Veth::between((&ns, "out0", &["198.18.0.1/15"]), (&peer, "eth1", &[])).create()?;
        ns.sysctl("ipv4/ip_forward", "1")?;
        ns.ip("route add 0.0.0.0/0 via 198.18.0.2 dev out0\nneigh add 198.18.0.2 lladdr 02:00:00:00:00:09 dev out0\n")?;
        let dir = RunDir::new("bench")?;
        let options = Options {
            bpf_dir: dir.bpf(),
            sessions_max: sessions,
            ..Options::default()
        };
        let plane = ns.run(|| -> Result<Dataplane> {
            let mut plane = Dataplane::open(&options)?;
            plane.set_locals(&[(mapped(HERE.parse()?), LOCAL_UNICAST)])?;
            Ok(plane)
        })?;
        Ok(Self {
            plane: Some(plane),
            ns,
            _peer: peer,
            _dir: dir,
            index: near.ifindex,
            revision: 0,
        })
    }

    /// The data plane.
    pub(crate) fn plane(&mut self) -> &mut Dataplane {
        self.plane.as_mut().expect("open until dropped")
    }

    /// Puts a compiled policy in force.
    pub(crate) fn apply(&mut self, compiled: &Compiled) -> Result<()> {
        self.revision += 1;
        let info = Info {
            name: "bench".to_owned(),
            revision: self.revision,
            ..Info::default()
        };
        let interfaces = [("in0".to_owned(), self.index)];
        self.plane().apply(compiled, &info, &interfaces)?;
        // As the agent does every second.
        self.plane().expire(clock::boot_now())?;
        Ok(())
    }

    /// The mean time that the loaded program takes for a frame, in nanoseconds.
    pub(crate) fn time(&mut self, frame: &[u8], hook: Hook, repeat: u32) -> Result<f64> {
        self.times(&[frame], hook, repeat)
    }

    /// The mean over frames, each so many times in a row.
    pub(crate) fn times(
        &mut self,
        frames: &[impl AsRef<[u8]> + Sync],
        hook: Hook,
        repeat: u32,
    ) -> Result<f64> {
        let index = self.index;
        let ns = self.ns.clone();
        // The kernel knows interfaces by the caller's namespace.
        let sum = ns.run(|| {
            let one = |frame| -> Result<f64> {
                let trial = Trial {
                    repeat,
                    ..Trial::new(frame, hook, index)
                };
                Ok(self.plane().test_run(&trial)?.duration.as_nanos() as f64)
            };
            frames
                .iter()
                .map(AsRef::as_ref)
                .map(one)
                .sum::<Result<f64>>()
        })?;
        Ok(sum / frames.len() as f64)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(plane) = self.plane.take() {
            let _gone = self.ns.run(|| plane.detach_all());
        }
    }
}

/// An address as bytes.
pub(crate) fn octets(text: &str) -> [u8; 4] {
    text.parse::<std::net::Ipv4Addr>()
        .map_or([0; 4], |a| a.octets())
}

/// Reads a policy's text.
pub(crate) fn parsed(text: &str) -> Result<Policy> {
    let host = HostContext::default();
    let checked = read_bytes("bench.yaml", text.as_bytes().to_vec(), &host);
    Ok(checked
        .map_err(|refusal| anyhow::anyhow!("{refusal}"))?
        .policy)
}

/// Compiles a policy.
pub(crate) fn compiled(policy: &Policy, numbers: &mut Numbers) -> Result<Compiled> {
    let clock = Clock {
        boot: clock::boot_now(),
        wall: jiff::Timestamp::now(),
    };
    let told = |errors: Vec<CompileError>| {
        let errors = errors.iter().map(|error| error.message.as_str());
        anyhow::anyhow!("{}", errors.collect::<Vec<_>>().join("; "))
    };
    compile(policy, numbers, &clock).map_err(told)
}

/// Numbers that no policy was given yet.
pub(crate) fn numbers() -> Numbers {
    Numbers::default()
}

/// A policy with so many rules ahead of the one that allows tcp/443: each about an address and a port of its own,
/// none about the peer's. One of them may have another port than its own.
pub(crate) fn policy(rules: usize, changed: Option<usize>) -> String {
    let mut text = "apiVersion: ringwall/v1
metadata: {name: bench, revision: 1}
unmatched: {inbound: deny, outbound: allow, routed: deny}
zones: {internet: {default: true}}
policies:
  - name: in
    from: internet
    to: host
    rules:
"
    .to_owned();
    for n in 0..rules {
        let [a, b, c, _] = (n as u32).to_le_bytes();
        let port = if changed == Some(n) {
            65_000
        } else {
            1 + n % 60_000
        };
        let action = ["deny", "allow", "reject"][n % 3];
        let _ = writeln!(
            text,
            "      - {{name: r{n}, action: {action}, sources: [10.{c}.{b}.{a}], services: [tcp/{port}]}}"
        );
    }
    text + "      - {name: web, action: allow, services: [tcp/443, udp/443]}\n    default: deny\n"
}
