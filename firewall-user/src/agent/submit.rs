//! The way of a policy into force, from its texts or its path: what takes long is done beside the owner.

use std::path::PathBuf;
use std::sync::Arc;

use super::candidate::{self, Candidate, Errand};
use super::owner::Owner;
use super::revision::Step;
use crate::api::types::{Applied, ApplyReply, Problem, exit};
use crate::policy::{self, Checked};

/// Applies a policy given as texts.
///
/// # Errors
/// Why it was refused; the policy in force stays.
pub async fn texts(
    owner: &Owner,
    files: Vec<(PathBuf, Vec<u8>)>,
    directory: bool,
    errand: Errand,
) -> Result<ApplyReply, Problem> {
    let host = owner.with(|agent| agent.settings.host()).await?;
    let read = beside(move || policy::read_sources(files, directory, &host)).await?;
    match read {
        Ok(checked) => checked_policy(owner, checked, errand).await,
        Err(refusal) => {
            if !errand.dry_run {
                owner.with(|agent| agent.tally.refused += 1).await?;
            }
            let previous = owner.with(|agent| agent.previous()).await?;
            Err(Problem::from(&refusal).refused(None, previous))
        }
    }
}

/// Applies a policy that was read.
///
/// # Errors
/// Why it was refused; the policy in force stays.
pub async fn checked_policy(
    owner: &Owner,
    checked: Checked,
    errand: Errand,
) -> Result<ApplyReply, Problem> {
    // One for all who look at it: a policy may be many megabytes.
    let candidate = Arc::new(Candidate { checked, errand });
    if !candidate.checked.for_this_host {
        return not_for_this_host(owner, &candidate).await;
    }
    // By its revision first, which is quick; it is judged again when it is put in force.
    let asked = Arc::clone(&candidate);
    let step = owner.with(move |agent| agent.judge(&asked)).await?;
    if let Ok(Step::Apply { .. }) = step {
        let proved = Arc::clone(&candidate);
        if let Err(problem) = beside(move || proved.prove()).await? {
            return Err(owner
                .with(move |agent| agent.refuse(&candidate, problem))
                .await?);
        }
    }
    owner.with(move |agent| agent.put(&candidate)).await?
}

async fn not_for_this_host(
    owner: &Owner,
    candidate: &Arc<Candidate>,
) -> Result<ApplyReply, Problem> {
    let identity = candidate::identity(&candidate.checked);
    let asked = Arc::clone(candidate);
    let previous = owner
        .with(move |agent| agent.leave_to_others(&asked))
        .await?;
    let line = format!(
        "not for this host: `hosts` of {} revision {} does not select it; what is in force stays",
        identity.name, identity.revision
    );
    let applied = Applied {
        changed: false,
        dry_run: candidate.errand.dry_run,
        outcome: "not-for-this-host".to_owned(),
        revision: Some(identity.revision),
        digest: Some(identity.digest),
        previous,
        ..Applied::default()
    };
    let lines = vec![line];
    Ok(ApplyReply {
        applied,
        lines,
        pending: None,
    })
}

/// Does something that takes long on a thread of its own.
pub(super) async fn beside<R, F>(work: F) -> Result<R, Problem>
where
    R: Send + 'static,
    F: FnOnce() -> R + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Problem::new(
            exit::NO,
            "the policy could not be judged: see the agent's log",
        )
    })
}
