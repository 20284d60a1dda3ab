//! `/metrics` over TCP.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::snapshot::Snapshot;
use super::text;
use crate::agent::owner::{Gone, Owner};

const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long until what failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Answers scrapes until `stop` is done. Where nobody can listen it is tried again, and a warning says so: a host that
/// shows no metrics must be guarded all the same.
pub async fn serve<S>(owner: Owner, stop: impl Fn() -> S)
where
    S: Future<Output = ()> + Send + 'static,
{
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route(
            "/",
            get(|| async { "Ringwall's metrics are at /metrics\n" }),
        )
        .with_state(owner.clone());
    loop {
        match listen(&owner).await {
            Err(Gone) => return,
            Ok(Some(listener)) => {
                let served = axum::serve(listener, router.clone());
                let ended = served.with_graceful_shutdown(stop()).await;
                let Err(error) = ended else { return };
                tracing::warn!("metrics are no longer served: {error}");
            }
            Ok(None) => {}
        }
        tokio::select! {
            () = stop() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn listen(owner: &Owner) -> Result<Option<TcpListener>, Gone> {
    let address = owner
        .with(|agent| agent.settings.config.metrics.listen)
        .await?;
    let bound = TcpListener::bind(address).await;
    let failed = |error: &std::io::Error| {
        format!(
            "nobody can read the metrics: cannot listen at {address} (`metrics.listen`): {error}"
        )
    };
    let trouble = bound.as_ref().err().map(failed);
    owner
        .with(move |agent| agent.note("metrics", trouble))
        .await?;
    Ok(bound.ok())
}

async fn metrics(State(owner): State<Owner>, headers: HeaderMap) -> Response {
    crate::heap::used();
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
