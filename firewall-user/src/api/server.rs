//! The listening side of the control socket.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

use super::peer::{self, Peer};
use super::routes::{App, router};

/// The control socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// Makes the control socket. What an agent that died left there is replaced; the caller holds the lock that
/// says that none is alive.
pub fn bind(path: &Path) -> anyhow::Result<Socket> {
    let cannot = || format!("cannot listen at {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(cannot)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => anyhow::bail!("{}: something is there that is no socket", cannot()),
        Err(_) => {}
    }
    // Nobody may connect before mode and group are set: the mask closes the file from its first moment on.
    let mask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(mask);
    let listener = bound.with_context(cannot)?;
    open_to_group(path).with_context(cannot)?;
    Ok(Socket {
        listener,
        path: path.to_owned(),
    })
}

fn open_to_group(path: &Path) -> io::Result<()> {
    if let Some(group) = peer::reading_group() {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
}

/// Who is connected; `None` where the kernel would not say.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Option<Peer>);

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(Peer::of(stream.io()).ok())
    }
}

/// Answers requests until `stop` is done.
pub async fn serve(
    socket: Socket,
    app: App,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let Socket { listener, path } = socket;
    let service = router(app).into_make_service_with_connect_info::<Caller>();
    let served = axum::serve(listener, service)
        .with_graceful_shutdown(stop)
        .await;
    let _ = std::fs::remove_file(path);
    served
}
