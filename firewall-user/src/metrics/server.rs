//! `/metrics` over TCP.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::snapshot::Snapshot;
use super::text;
use crate::agent::owner::Owner;

const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens at an address.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen for /metrics at {address}: see `metrics.listen`"))
}

/// Answers scrapes until `stop` is done.
pub async fn serve(
    listener: TcpListener,
    owner: Owner,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route(
            "/",
            get(|| async { "Ringwall's metrics are at /metrics\n" }),
        )
        .with_state(owner);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop)
        .await
}

async fn metrics(State(owner): State<Owner>, headers: HeaderMap) -> Response {
    let taken = owner.with(|agent| Snapshot::take(agent)).await;
    let snapshot = match taken {
        Ok(Ok(snapshot)) => snapshot,
        Ok(Err(error)) => {
            tracing::warn!("a scrape failed: {error:#}");
            return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response();
        }
        Err(gone) => return (StatusCode::SERVICE_UNAVAILABLE, format!("{gone}\n")).into_response(),
    };
    let accepted = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let open = accepted.is_some_and(|v| v.contains("application/openmetrics-text"));
    let (kind, body) = if open {
        (OPEN, text::open_metrics(&snapshot))
    } else {
        (CLASSIC, text::classic(&snapshot))
    };
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
