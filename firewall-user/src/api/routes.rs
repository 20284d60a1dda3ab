//! The endpoints.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Serialize;

use super::peer::{Access, Peer, reading_group};
use super::server::Caller;
use super::types::{
    ApplyReply, ApplyRequest, ExplainRequest, KillRequest, Killed, Problem, RollbackRequest,
    ZoneRequest, exit,
};
use crate::agent::candidate::Errand;
use crate::agent::history::How;
use crate::agent::owner::{Gone, Owner};
use crate::agent::state::Agent;
use crate::agent::submit;

/// Policy text may be 64 MiB, and JSON escapes some of it.
const MAX_BODY: usize = 160 << 20;

/// What the endpoints work on.
#[derive(Clone)]
pub struct App {
    /// The agent's state.
    pub owner: Owner,
    /// Told after each change of policy, so that its list files are watched.
    pub changed: Arc<tokio::sync::Notify>,
}

pub(super) type Answer<T> = Result<Json<T>, Problem>;

pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/policy", get(policy))
        .route("/v1/history", get(history))
        .route("/v1/sessions", get(sessions))
        .route("/v1/sessions/kill", post(kill))
        .route("/v1/interfaces", get(interfaces))
        .route("/v1/explain", post(explain))
        .route("/v1/zone", post(zone))
        .route("/v1/apply", post(apply))
        .route("/v1/confirm", post(confirm))
        .route("/v1/rollback", post(rollback))
        .route("/v1/detach", post(detach))
        .merge(super::flows::routes())
        .merge(super::sets::routes())
        .merge(super::own_services::routes())
        .fallback(unknown)
        .layer(middleware::from_fn(admit))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
}

/// Every request passes here first: who asks, and what may they do?
async fn admit(
    ConnectInfo(caller): ConnectInfo<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(peer) = caller.0 else {
        return Problem::new(exit::PERMISSION, "the kernel does not say who you are")
            .into_response();
    };
    // These are asked by POST and change nothing.
    let asks = ["/v1/explain", "/v1/zone"].contains(&request.uri().path());
    let reads = request.method() == Method::GET || asks;
    let access = if reads { Access::Read } else { Access::Write };
    if let Err(problem) = peer.may(access, reading_group()) {
        return problem.into_response();
    }
    request.extensions_mut().insert(peer);
    next.run(request).await
}

pub(super) async fn ask<R, F>(app: &App, question: F) -> Answer<R>
where
    R: Send + 'static,
    F: FnOnce(&mut Agent) -> Result<R, Problem> + Send + 'static,
{
    crate::heap::used();
    Ok(Json(app.owner.with(question).await??))
}

async fn status(State(app): State<App>) -> Answer<impl Serialize> {
    ask(&app, |agent| Ok(agent.status())).await
}

async fn policy(State(app): State<App>) -> Answer<impl Serialize> {
    ask(&app, |agent| agent.rule_rows().map_err(|e| fault(&e))).await
}

async fn history(State(app): State<App>) -> Answer<impl Serialize> {
    ask(&app, |agent| Ok(agent.history_rows())).await
}

async fn sessions(State(app): State<App>) -> Answer<impl Serialize> {
    ask(&app, |agent| agent.session_rows().map_err(|e| fault(&e))).await
}

async fn kill(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<KillRequest>,
) -> Answer<Killed> {
    let who = peer.who().word();
    ask(&app, move |agent| {
        let killed = agent.kill(&request)?;
        let (count, filter) = (killed.killed, &request.filter);
        tracing::info!("`ringwall sessions kill` by {who}: {count} ended by the filter `{filter}`");
        Ok(killed)
    })
    .await
}

async fn interfaces(State(app): State<App>) -> Answer<impl Serialize> {
    ask(&app, |agent| Ok(agent.interface_lines())).await
}

async fn explain(
    State(app): State<App>,
    Json(request): Json<ExplainRequest>,
) -> Answer<impl Serialize> {
    ask(&app, move |agent| agent.explain(&request.packet)).await
}

async fn zone(State(app): State<App>, Json(request): Json<ZoneRequest>) -> Answer<impl Serialize> {
    ask(&app, move |agent| agent.zone_of(&request)).await
}

async fn apply(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<ApplyRequest>,
) -> Answer<ApplyReply> {
    let errand = Errand {
        how: How::Apply,
        by: peer.who(),
        source: request.source,
        allow: request.allow,
        dry_run: request.dry_run,
        within: request.confirm_within_ms.map(Duration::from_millis),
    };
    let files = request
        .files
        .into_iter()
        .map(|(path, text)| (path, text.into_bytes()))
        .collect();
    let (dry_run, who) = (errand.dry_run, errand.by.word());
    let reply = submit::texts(&app.owner, files, request.directory, errand).await;
    if !dry_run {
        log("apply", &who, reply.as_ref());
    }
    app.changed.notify_one();
    Ok(Json(reply?))
}

/// Who changed what is in the agent's log, too.
fn log(command: &str, who: &str, reply: Result<&ApplyReply, &Problem>) {
    match reply {
        Ok(reply) => {
            let applied = &reply.applied;
            let revision = applied.revision.unwrap_or_default();
            let digest = applied.digest.as_deref().unwrap_or_default();
            let outcome = &applied.outcome;
            tracing::info!(
                "`ringwall {command}` by {who}: {outcome}, revision {revision}, digest {digest}"
            );
        }
        Err(problem) => {
            tracing::warn!(
                "`ringwall {command}` by {who}: refused: {}",
                problem.brief()
            );
        }
    }
}

async fn confirm(State(app): State<App>, Extension(peer): Extension<Peer>) -> Answer<ApplyReply> {
    ask(&app, move |agent| agent.confirm(&peer.who())).await
}

async fn rollback(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<RollbackRequest>,
) -> Answer<ApplyReply> {
    let by = peer.who();
    let who = by.word();
    let reply = ask(&app, move |agent| agent.rollback(request.revision, by)).await;
    log("rollback", &who, reply.as_deref());
    app.changed.notify_one();
    reply
}

async fn detach(State(app): State<App>, Extension(peer): Extension<Peer>) -> Answer<bool> {
    let who = peer.who().word();
    ask(&app, move |agent| {
        tracing::warn!("ENFORCEMENT ENDS: `ringwall detach` by {who}");
        agent.detach().map(|()| true).map_err(|e| fault(&e))
    })
    .await
}

async fn unknown() -> Problem {
    Problem::new(
        exit::INPUT,
        "the agent does not know this request: is it older than this command?",
    )
}

pub(super) fn fault(error: &anyhow::Error) -> Problem {
    Problem::new(exit::NO, format!("{error:#}"))
}

impl From<Gone> for Problem {
    fn from(gone: Gone) -> Self {
        Self::new(exit::AGENT, gone.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = match self.exit {
            exit::PERMISSION => StatusCode::FORBIDDEN,
            exit::INPUT => StatusCode::UNPROCESSABLE_ENTITY,
            exit::AGENT => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        (status, Json(self)).into_response()
    }
}
