//! When the agent says that it is ready: as soon as the hooks hold, and not before.

use std::time::Duration;

use super::notify;
use super::owner::{Gone, Owner};
use super::state::Agent;

/// How long until what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl Agent {
    /// Why what should be enforced is not: an interface that is to be guarded could not be, or the policy of
    /// the history could not be put in force. An interface that is not there is no reason: it is guarded when
    /// it comes. Neither is a host without a policy: there is nothing to enforce.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        let failed = self.interfaces.iter().find(|line| line.state == "failed");
        if let Some(line) = failed {
            return Some(format!("{} is not guarded: {}", line.name, line.why));
        }
        let held = self
            .plane
            .as_ref()
            .and_then(|p| p.in_force().ok().flatten());
        let expected = self.history.in_force().is_some() && self.plane.is_some();
        let missing = || "the policy of the history is not in force: apply one".to_owned();
        (expected && held.is_none()).then(missing)
    }
}

/// Tells systemd when the hooks hold. Until then it tries again and says why not; systemd's patience
/// (`TimeoutStartSec`) bounds that. All else is served meanwhile, so that an operator can look and repair.
pub(super) async fn when_ready(owner: Owner) {
    loop {
        match owner.with(|agent| agent.unready()).await {
            Err(Gone) => return,
            Ok(None) => break,
            Ok(Some(why)) => notify::tell(&format!("STATUS=not ready: {}", why.replace('\n', " "))),
        }
        tokio::time::sleep(AGAIN).await;
        let again = |agent: &mut Agent| agent.reconcile(agent.links.clone());
        if owner.with(again).await.is_err() {
            return;
        }
    }
    notify::tell("READY=1\nSTATUS=the hooks hold; see `ringwall status`");
    tracing::info!("ready");
}

#[cfg(test)]
mod tests {
    use crate::agent::tests::Host;

    #[test]
    fn an_interface_that_cannot_be_guarded_keeps_it_from_being_ready() {
        let host = Host::new();
        let mut agent = host.agent();
        assert_eq!(agent.unready(), None, "nothing is to be enforced yet");
        host.pins().broken = true;
        agent.reconcile(agent.links.clone());
        let why = agent.unready().unwrap();
        assert!(why.contains("eth0 is not guarded: no hook"), "{why}");
        host.pins().broken = false;
        agent.reconcile(agent.links.clone());
        assert_eq!(agent.unready(), None);
    }

    #[test]
    fn a_policy_that_is_not_in_force_keeps_it_from_being_ready() {
        let host = Host::new();
        let mut agent = host.agent();
        host.apply(&mut agent, 1);
        assert_eq!(agent.unready(), None);
        host.pins().in_force = None;
        assert!(agent.unready().unwrap().contains("not in force"));
    }
}
