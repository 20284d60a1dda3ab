//! Flow records over the control socket: what is kept, and what comes, one JSON value a line.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use futures::stream;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::routes::{App, ask, fault};
use super::types::{OneSidedRow, Problem, exit};
use crate::agent::clock;
use crate::events::drops::Drops;
use crate::events::record::EventWord;
use crate::events::{Hub, Loss, Seen};
use crate::sessions::filter::Filter;

/// What is asked of `GET /v1/flows`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowQuery {
    /// FILTER.
    pub filter: String,
    /// Seconds back; absent: all that is kept.
    pub since: Option<u64>,
    /// Go on with what comes.
    pub follow: bool,
    /// Live sessions, too, as they stand.
    pub live: bool,
    /// One kind only: `open`, `close`, `drop`, `one_sided`.
    pub event: Option<String>,
}

/// What is asked of the summaries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinceQuery {
    /// Seconds back; absent: all that is kept.
    pub since: Option<u64>,
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/flows", get(flows))
        .route("/v1/drops", get(drops))
        .route("/v1/one-sided", get(one_sided))
}

/// The moment so many seconds back.
fn back(since: Option<u64>) -> Timestamp {
    let seconds = since.and_then(|since| i64::try_from(since).ok());
    let span = seconds.and_then(|seconds| Span::new().try_seconds(seconds).ok());
    let then = span.and_then(|span| clock::wall().checked_sub(span).ok());
    then.unwrap_or(Timestamp::UNIX_EPOCH)
}

async fn drops(
    State(app): State<App>,
    Query(query): Query<SinceQuery>,
) -> Result<Json<Drops>, Problem> {
    ask(&app, move |agent| Ok(agent.drops(back(query.since)))).await
}

async fn one_sided(
    State(app): State<App>,
    Query(query): Query<SinceQuery>,
) -> Result<Json<Vec<OneSidedRow>>, Problem> {
    ask(&app, move |agent| Ok(agent.one_sided(back(query.since)))).await
}

async fn flows(
    State(app): State<App>,
    Query(query): Query<FlowQuery>,
) -> Result<Response, Problem> {
    let wanted = Wanted::of(&query)?;
    let (hub, live) = app
        .owner
        .with(move |agent| {
            let live = query.live.then(|| agent.live_records()).transpose();
            (Arc::clone(&agent.eyes.hub), live)
        })
        .await?;
    let live = live.map_err(|error| fault(&error))?.unwrap_or_default();
    let (kept, next) = hub.follow(back(query.since));
    let mut waiting: VecDeque<Arc<Seen>> = kept.into();
    waiting.extend(live.into_iter().map(Arc::new));
    let flow = Following {
        waiting,
        next: next.filter(|_| query.follow),
        hub,
        wanted,
    };
    let body = Body::from_stream(stream::unfold(flow, |mut flow| async {
        let lines = flow.lines().await?;
        Some((Ok::<_, Infallible>(Bytes::from(lines)), flow))
    }));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Which records are wanted.
struct Wanted {
    filter: Filter,
    event: Option<String>,
}

impl Wanted {
    fn of(query: &FlowQuery) -> Result<Self, Problem> {
        let input = |text: String| Problem::new(exit::INPUT, text);
        let filter = Filter::of_flows(&query.filter).map_err(|e| input(e.to_string()))?;
        let kinds = [
            EventWord::Open,
            EventWord::Close,
            EventWord::Drop,
            EventWord::OneSided,
        ];
        if let Some(event) = &query.event
            && !kinds.iter().any(|kind| kind.word() == event)
        {
            return Err(input(format!("`{event}` is no kind of record")));
        }
        Ok(Self {
            filter,
            event: query.event.clone(),
        })
    }

    /// The record's line, if it is wanted.
    fn line(&self, seen: &Seen) -> Option<Vec<u8>> {
        let kind = seen.event().word();
        if self.event.as_ref().is_some_and(|event| event != kind) {
            return None;
        }
        let flow = seen.flow();
        let picked = self.filter.picks(&flow);
        let mut line = picked.then(|| serde_json::to_vec(&flow).ok()).flatten()?;
        line.push(b'\n');
        Some(line)
    }
}

/// What one who follows still gets.
struct Following {
    waiting: VecDeque<Arc<Seen>>,
    next: Option<Receiver<Arc<Seen>>>,
    hub: Arc<Hub>,
    wanted: Wanted,
}

/// Records looked at for one piece of the answer.
const PIECE: usize = 256;

impl Following {
    /// The next lines, at least an empty piece; `None` at the end.
    async fn lines(&mut self) -> Option<Vec<u8>> {
        loop {
            let piece = self.waiting.len().min(PIECE);
            let lines = self.waiting.drain(..piece);
            let lines = lines.filter_map(|seen| self.wanted.line(&seen));
            let lines: Vec<u8> = lines.flatten().collect();
            if !lines.is_empty() {
                return Some(lines);
            }
            if self.waiting.is_empty() && !self.wait().await {
                return None;
            }
        }
    }

    /// Waits for the next record; says whether there is one. A follower that was behind missed some.
    async fn wait(&mut self) -> bool {
        let Some(next) = &mut self.next else {
            return false;
        };
        loop {
            match next.recv().await {
                Ok(seen) => {
                    self.waiting.push_back(seen);
                    while let Ok(more) = next.try_recv() {
                        self.waiting.push_back(more);
                        if self.waiting.len() >= PIECE {
                            break;
                        }
                    }
                    return true;
                }
                Err(RecvError::Lagged(count)) => self.hub.lose(Loss::Follower, count),
                Err(RecvError::Closed) => return false,
            }
        }
    }
}
