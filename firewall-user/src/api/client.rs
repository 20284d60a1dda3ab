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

    /// Reads an answer line by line, for as long as `each` wants more and the agent has more.
    ///
    /// # Errors
    /// The agent cannot be reached, or says no, or `each` does.
    pub fn lines(
        &self,
        path: &str,
        each: impl FnMut(&[u8]) -> Result<bool, Problem>,
    ) -> Result<(), Problem> {
        runtime()?.block_on(self.stream(path, each))
    }

    async fn stream(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> Result<bool, Problem>,
    ) -> Result<(), Problem> {
        let (mut sender, connection) = self.connect().await?;
        let connection = tokio::spawn(connection);
        let request = request(Method::GET, path, Bytes::new())?;
        let response = sender.send_request(request).await;
        let response = response.map_err(|e| broken(&e.to_string()))?;
        let status = response.status();
        let mut body = response.into_body();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| broken(&e.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            rest.extend_from_slice(&data);
            if !status.is_success() {
                continue;
            }
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if !each(line.strip_suffix(b"\n").unwrap_or(&line))? {
                    return Ok(());
                }
            }
        }
        connection.abort();
        if status.is_success() {
            return Ok(());
        }
        Err(said_no(status, &rest))
    }

    fn run<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Problem> {
        let (status, bytes) = runtime()?.block_on(self.exchange(method, path, body))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|e| broken(&e.to_string()));
        }
        Err(said_no(status, &bytes))
    }

    async fn connect(&self) -> Result<(Sender, impl Future<Output = ()> + use<>), Problem> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| broken(&e.to_string()))?;
        // How it ends is seen by who reads the answer.
        Ok((sender, async { drop(connection.await) }))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Problem> {
        let (mut sender, connection) = self.connect().await?;
        let request = request(method, path, body)?;
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
                () = &mut connection, if open => open = false,
            }
        }
    }

    fn unreachable(&self, error: &std::io::Error) -> Problem {
        let socket = self.socket.display();
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            let text = format!(
                "not permitted to ask the agent at {socket}: try again with sudo (members of the group `ringwall` may read, root may change)"
            );
            return Problem::new(exit::PERMISSION, text);
        }
        let text = format!(
            "the agent is not running, or not here: {socket}: {error}; start it with `systemctl start ringwall`, or by hand with `ringwall run`"
        );
        Problem::new(exit::AGENT, text)
    }
}

type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|e| Problem::new(exit::AGENT, format!("no event loop: {e}")))
}

fn request(method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Problem> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "ringwall")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|e| broken(&e.to_string()))
}

/// A problem as the agent worded it, or one that it did not word itself, such as a body that is too large.
fn said_no(status: StatusCode, bytes: &[u8]) -> Problem {
    serde_json::from_slice(bytes).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(bytes);
        Problem::new(exit::INPUT, format!("the agent says {status}: {text}"))
    })
}

fn broken(why: &str) -> Problem {
    let text = format!("the agent did not answer to the end: {why}; see its log");
    Problem::new(exit::AGENT, text)
}
