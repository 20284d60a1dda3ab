//! The second part: things that happen to a firewall while it works.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ringwall_tests::net::packet::{Capture, Tap};
use ringwall_tests::net::sock::{self, Seen};
use ringwall_tests::net::{End, Host, Lab};

use super::attempts::Services;
use super::score::{Score, indented};
use super::wire::{About, Summary};
use ringwall_tests::scenario::{Counters, metric};

const PATIENCE: Duration = Duration::from_millis(1200);

/// All of it, in an order in which each leaves the policy as the next needs it.
pub(crate) fn run(lab: &Lab, host: &mut Host, policy: &str, score: &mut Score) -> Result<()> {
    let _open = Services::start(lab.host(), &[22, 443], &[])?;
    let ssh = Session::open("trusted, ssh", &lab.trusted, "10.77.0.1:22")?;
    cut(lab, host, policy, &ssh, score)?;
    refuse(host, score)?;
    survive(lab, host, &ssh, score)?;
    tell_apart(lab, host, score)?;
    look(host, score)
}

/// A connection that is kept over several steps.
struct Session {
    name: &'static str,
    stream: TcpStream,
}

impl Session {
    fn open(name: &'static str, from: &End, to: &str) -> Result<Self> {
        let to: SocketAddr = to.parse()?;
        let stream = sock::connect(&from.ns, to, PATIENCE);
        let stream = stream.map_err(|seen| anyhow::anyhow!("{name}: {seen}"))?;
        let session = Self { name, stream };
        ensure!(
            session.talk() == Seen::Answered,
            "{name}: connected, but no answer"
        );
        Ok(session)
    }

    fn talk(&self) -> Seen {
        self.stream
            .try_clone()
            .map_or_else(Seen::from, |mut s| sock::exchange(&mut s, PATIENCE))
    }

    fn expect(&self, expected: &Seen, when: &str, score: &mut Score) {
        let seen = self.talk();
        score.check(
            seen == *expected,
            &format!("session \"{}\" {when}", self.name),
            seen,
        );
    }
}

/// An edit of the policy cuts a running session that it does not allow any more, and no other.
fn cut(lab: &Lab, host: &Host, policy: &str, ssh: &Session, score: &mut Score) -> Result<()> {
    println!("\nAn edit takes https out of the rule public/web, while a session of it runs:");
    let https = Session::open("stranger, https", &lab.stranger, "203.0.113.1:443")?;
    let edited = edit(policy, "revision: 1", "revision: 2")?;
    let edited = edit(&edited, "web: [tcp/80, tcp/443, udp/443]", "web: [tcp/80]")?;
    // The example's own test of https would rightly refuse the edit.
    let https_test = "  - {packet: \"tcp [2001:db8::9]:40000 -> host:443 in wan0\", expect: allow, rule: public/web}\n";
    let edited = edit(&edited, https_test, "")?;
    let revoked = |host: &Host| Ok::<_, anyhow::Error>(dropped(&host.metrics()?, "revoked"));
    let before = revoked(host)?;
    let ran = host.apply(&edited)?;
    println!("{}", indented(&(ran.out.clone() + &ran.err)));
    score.check(
        ran.ok(),
        "the edit is applied",
        format!("exit status {}", ran.status),
    );
    https.expect(&Seen::Silence, "is cut", score);
    score.check(
        revoked(host)? > before,
        "its packets are dropped as revoked",
        "by /metrics",
    );
    ssh.expect(&Seen::Answered, "goes on", score);
    let back = edit(policy, "revision: 1", "revision: 3")?;
    let ran = host.apply(&back)?;
    score.check(
        ran.ok(),
        "the edit is taken back",
        format!("exit status {}", ran.status),
    );
    let again = sock::tcp(&lab.stranger.ns, "203.0.113.1:443".parse()?, PATIENCE);
    score.check(
        again == Seen::Answered,
        "a new https session is allowed again",
        again,
    );
    Ok(())
}

fn edit(policy: &str, from: &str, to: &str) -> Result<String> {
    ensure!(policy.contains(from), "the example policy has no `{from}`");
    Ok(policy.replacen(from, to, 1))
}

/// A bad file changes nothing and says where it is bad.
fn refuse(host: &Host, score: &mut Score) -> Result<()> {
    println!(
        "\nA file with a slip of the pen, `servces`, is refused, and the policy in force stays:"
    );
    let digest = |host: &Host| Ok::<_, anyhow::Error>(host.json(&["status"])?["policy"].clone());
    let before = digest(host)?;
    let ran = host.apply(&super::WEB_HOST.replacen("services: [ssh]", "servces: [ssh]", 1))?;
    println!("{}", indented(&ran.err));
    score.check(
        ran.status == 2,
        "it is refused with exit status 2",
        format!("exit status {}", ran.status),
    );
    let points = ["servces", "candidate.yaml"]
        .iter()
        .all(|word| ran.err.contains(word));
    score.check(
        points,
        "the message names the file and the word",
        "read above",
    );
    let unchanged = digest(host)? == before;
    score.check(
        unchanged,
        "status shows the same policy as before",
        if unchanged { "same" } else { "another" },
    );
    Ok(())
}

/// The agent is killed: packets do not notice.
fn survive(lab: &Lab, host: &mut Host, ssh: &Session, score: &mut Score) -> Result<()> {
    println!("\nThe agent is killed (kill -9):");
    let pid = host.agent().context("an agent")?.pid();
    host.kill9();
    let status = host.cli(&["status"])?;
    score.check(
        status.status == 3,
        &format!("pid {pid} is gone, `ringwall status` says so"),
        format!("exit status {}", status.status),
    );
    bounce(lab, "the stranger's ssh still bounces", score)?;
    ssh.expect(&Seen::Answered, "goes on without an agent", score);
    let new = sock::tcp(&lab.stranger.ns, "203.0.113.1:443".parse()?, PATIENCE);
    score.check(new == Seen::Answered, "a new https session is allowed", new);
    host.restart()?;
    let status = host.cli(&["status"])?;
    score.check(
        status.ok(),
        "the agent is back",
        format!("exit status {}", status.status),
    );
    ssh.expect(&Seen::Answered, "goes on with the new agent", score);
    bounce(lab, "the stranger's ssh bounces as before", score)
}

fn bounce(lab: &Lab, what: &str, score: &mut Score) -> Result<()> {
    let (seen, wire) = knock(lab, "203.0.113.1:22")?;
    let good = seen == Seen::Silence && wire.arrived() && !wire.something_left();
    score.check(good, what, format!("{seen} ({wire})"));
    Ok(())
}

/// A connection attempt of the stranger's, with a capture at the host's end.
fn knock(lab: &Lab, to: &str) -> Result<(Seen, Summary)> {
    let to: SocketAddr = to.parse()?;
    let capture = Capture::start(&lab.wan, Tap::Wire)?;
    let seen = sock::tcp(&lab.stranger.ns, to, PATIENCE);
    Ok((seen, Summary::of(&capture.finish(), About::Port(to.port()))))
}

/// Both fail for the client; which of the two it was shows in who answers and which rule counted.
fn tell_apart(lab: &Lab, host: &Host, score: &mut Score) -> Result<()> {
    println!(
        "\nTwo SYNs that get no connection: one that we allow and nobody listens for, one that we drop:"
    );
    for (to, expected, rule) in [
        ("203.0.113.1:80", Seen::Refused, "public/web"),
        ("203.0.113.1:22", Seen::Silence, "public/default"),
    ] {
        let before = Counters::read(host)?;
        let (seen, wire) = knock(lab, to)?;
        let moved = before.moved_to(&Counters::read(host)?);
        let told = if wire.refused() {
            "allowed, no listener"
        } else {
            "dropped by us"
        };
        let good =
            seen == expected && moved == [rule] && wire.refused() == (expected == Seen::Refused);
        score.check(
            good,
            &format!("stranger -> tcp {to}"),
            format!("{seen} ({wire}), rule {}: {told}", moved.join(", ")),
        );
    }
    Ok(())
}

/// The numbers that all this left behind.
fn look(host: &Host, score: &mut Score) -> Result<()> {
    println!("\nA look at /metrics, of which:");
    let text = host.metrics()?;
    let shown = [
        "ringwall_dropped_packets_total{",
        "ringwall_rule_packets_total{",
        "ringwall_policy_info{",
        "ringwall_enforcing{",
    ];
    let lines = text
        .lines()
        .filter(|l| shown.iter().any(|s| l.starts_with(s)) && !l.ends_with(" 0"));
    println!("{}", indented(&lines.collect::<Vec<_>>().join("\n")));
    let denied = dropped(&text, "rule-deny") + dropped(&text, "default-deny");
    score.check(
        denied > 0.0,
        "drops are counted by reason",
        format!("{denied} denied"),
    );
    let enforcing = metric(&text, "ringwall_enforcing", &[]);
    score.check(
        enforcing >= 4.0,
        "both interfaces enforce, both ways",
        format!("{enforcing} hooks"),
    );
    Ok(())
}

fn dropped(metrics: &str, reason: &str) -> f64 {
    metric(
        metrics,
        "ringwall_dropped_packets_total",
        &[&format!("reason=\"{reason}\"")],
    )
}
