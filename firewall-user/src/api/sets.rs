//! Dynamic sets over the control socket.

use axum::extract::{Query, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};

use super::peer::Peer;
use super::routes::{Answer, App, ask};
use super::types::{SetOp, SetReply, SetRequest};

/// What is asked of `GET /v1/set`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersQuery {
    /// The set.
    pub name: String,
    /// Only members that hold this address.
    #[serde(default)]
    pub address: Option<String>,
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/sets", get(sets))
        .route("/v1/set", get(members))
        .route("/v1/set", post(change))
}

async fn sets(State(app): State<App>) -> Answer<impl Serialize> {
    ask(&app, |agent| Ok(agent.all_set_rows())).await
}

async fn members(
    State(app): State<App>,
    Query(query): Query<MembersQuery>,
) -> Answer<impl Serialize> {
    ask(&app, move |agent| {
        agent.member_rows(&query.name, query.address.as_deref())
    })
    .await
}

async fn change(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Json(request): Json<SetRequest>,
) -> Answer<SetReply> {
    let who = peer.who().word();
    ask(&app, move |agent| {
        let reply = agent.change_set(&request)?;
        let op = match request.op {
            SetOp::Add => "add",
            SetOp::Del => "del",
            SetOp::Flush => "flush",
        };
        let (name, changed, entries) = (&reply.set, reply.changed, reply.entries);
        tracing::info!("`ringwall set {op} {name}` by {who}: {changed} changed, {entries} members");
        Ok(reply)
    })
    .await
}
