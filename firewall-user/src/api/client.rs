//! The asking side of the control socket, which the command line speaks.

use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::types::{Problem, exit};

/// Asks the agent at a socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the agent at a socket.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        let socket = socket.to_owned();
        Self { socket }
    }

    /// Reads.
    ///
    /// # Errors
    /// The agent cannot be reached, or says no.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        self.run(Method::GET, path, Bytes::new())
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// The agent cannot be reached, or says no.
    pub fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Problem> {
        let body = serde_json::to_vec(body)
            .map_err(|e| Problem::new(exit::INPUT, format!("this cannot be sent: {e}")))?;
        self.run(Method::POST, path, Bytes::from(body))
    }

    fn run<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(|e| Problem::new(exit::AGENT, format!("no event loop: {e}")))?;
        let (status, bytes) = runtime.block_on(self.exchange(method, path, body))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|e| broken(&e.to_string()));
        }
        // A problem that the agent did not word itself, such as a body that is too large.
        let worded = || {
            let text = String::from_utf8_lossy(&bytes);
            Problem::new(exit::INPUT, format!("the agent says {status}: {text}"))
        };
        Err(serde_json::from_slice(&bytes).unwrap_or_else(|_| worded()))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Problem> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| broken(&e.to_string()))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "ringwall")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| broken(&e.to_string()))?;
        let talk = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let bytes = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>((status, bytes))
        };
        tokio::pin!(talk, connection);
        let mut open = true;
        loop {
            tokio::select! {
                done = &mut talk => return done.map_err(|e| broken(&e.to_string())),
                _ = &mut connection, if open => open = false,
            }
        }
    }

    fn unreachable(&self, error: &std::io::Error) -> Problem {
        let socket = self.socket.display();
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            let text = format!(
                "not permitted to ask the agent at {socket}: try again with sudo, or as a member of the group `ringwall`"
            );
            return Problem::new(exit::PERMISSION, text);
        }
        let text = format!(
            "the agent is not running, or not here: {socket}: {error}; start it with `systemctl start ringwall`, or by hand with `ringwall run`"
        );
        Problem::new(exit::AGENT, text)
    }
}

fn broken(why: &str) -> Problem {
    let text = format!("the agent did not answer to the end: {why}; see its log");
    Problem::new(exit::AGENT, text)
}
