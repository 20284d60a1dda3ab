//! What keeps the documentation true: its examples are read, its tables are generated, its links resolve.
//!
//! `RINGWALL_BLESS=1 cargo test -p firewall-user --test docs` rewrites what is generated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot read the documentation must stop with a message"
)]

#[path = "docs/dashboards.rs"]
mod dashboards;
#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/generated.rs"]
mod generated;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/markdown.rs"]
mod markdown;
#[path = "docs/metrics.rs"]
mod metrics;
#[path = "docs/observability.rs"]
mod observability;
#[path = "docs/schema.rs"]
mod schema;
