//! The agent's own log, on standard error: the journal's priorities under systemd, times in a terminal.

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

struct Now;

impl FormatTime for Now {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", jiff::Timestamp::now())
    }
}

/// Begins to log; `RINGWALL_LOG` holds a filter such as `debug` or `firewall_user::agent=trace`.
pub fn begin(verbose: bool, colour: bool) {
    let usual = if verbose { Level::DEBUG } else { Level::INFO };
    let filter = EnvFilter::try_from_env("RINGWALL_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,firewall_user={usual}")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colour);
    // The journal has its own times.
    let begun = if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.without_time().try_init()
    } else {
        builder.with_timer(Now).try_init()
    };
    // A second call changes nothing.
    drop(begun);
}
