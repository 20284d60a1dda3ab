//! The services that the policy in force defines.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};

use super::routes::{Answer, App, ask};
use super::types::ServiceRow;
use crate::agent::services::own_services;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/v1/services", get(services))
}

async fn services(State(app): State<App>) -> Answer<Vec<ServiceRow>> {
    let Json(rows) = ask(&app, |agent| {
        agent.read_text();
        let policy = agent.in_force().and_then(|current| current.policy());
        Ok(policy.map(own_services).unwrap_or_default())
    })
    .await?;
    Ok(Json(rows))
}
