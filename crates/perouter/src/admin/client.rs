//! The command line's side: one connection, questions one after the other.

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{model, socket_path};
use crate::exit::Failure;
use crate::plan::Instead;
use crate::views::progress;

/// How long a healthy daemon can need for one answer, with a wide margin.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the daemon may wait for an event: less than our own patience.
const EVENTS_WAIT: Duration = Duration::from_secs(5);

/// A connection to a running daemon.
#[derive(Debug)]
pub(crate) struct Client {
    path: PathBuf,
    pid: Option<i32>,
    sender: SendRequest<Full<Bytes>>,
}

/// What `/v1/routes` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoutesQuestion {
    /// Only this family.
    pub(crate) family: Option<model::Family>,
    /// This destination.
    pub(crate) prefix: Option<IpNet>,
    /// Or the longest one that contains it.
    pub(crate) longest: bool,
    /// From this peer, by address or name.
    pub(crate) received: Option<String>,
    /// To this peer, by address or name.
    pub(crate) advertised: Option<String>,
    /// Resume after this destination.
    pub(crate) after: Option<IpNet>,
}

impl Client {
    /// Connects to the daemon of a state directory.
    ///
    /// # Errors
    /// A sentence with the socket and the remedy when nobody answers.
    pub(crate) async fn connect(state_dir: &Path) -> Result<Self, Failure> {
        let path = socket_path(state_dir);
        let stream = UnixStream::connect(&path).await.map_err(|error| unreachable(&path, &error))?;
        Self::over(path, stream).await
    }

    /// As [`Client::connect`]; `None` when no daemon runs.
    ///
    /// # Errors
    /// A sentence when one may run but cannot be asked.
    pub(crate) async fn connect_if_running(state_dir: &Path) -> Result<Option<Self>, Failure> {
        let path = socket_path(state_dir);
        match UnixStream::connect(&path).await {
            Ok(stream) => Self::over(path, stream).await.map(Some),
            Err(error) if is_nobody(&error) => Ok(None),
            Err(error) => Err(unreachable(&path, &error)),
        }
    }

    async fn over(path: PathBuf, stream: UnixStream) -> Result<Self, Failure> {
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| {
            Failure::Daemon(format!("the daemon at {} does not speak HTTP: {error}", path.display()))
        })?;
        // Ends with the sender; its error reaches the question that is waiting.
        tokio::spawn(connection);
        Ok(Self { path, pid, sender })
    }

    /// The daemon's process, where the system knows it.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// `/v1/status`.
    pub(crate) async fn status(&mut self) -> Result<model::Status, Failure> {
        self.get("/v1/status").await
    }

    /// The newest events, at most `limit`.
    pub(crate) async fn newest_events(&mut self, limit: u16) -> Result<model::EventPage, Failure> {
        self.get(&format!("/v1/events?limit={limit}")).await
    }

    /// Events after this number: waits a while for one, so that the page may be empty.
    pub(crate) async fn events_after(&mut self, after: u64) -> Result<model::EventPage, Failure> {
        self.get(&format!("/v1/events?after={after}&wait={}", EVENTS_WAIT.as_secs())).await
    }

    /// `/v1/peers`.
    pub(crate) async fn peers(&mut self) -> Result<Vec<model::Peer>, Failure> {
        self.get("/v1/peers").await
    }

    /// One page of `/v1/routes`.
    pub(crate) async fn routes(&mut self, question: &RoutesQuestion) -> Result<model::RoutePage, Failure> {
        self.get(&question.target()).await
    }

    /// `/v1/explain`.
    pub(crate) async fn explain(
        &mut self,
        address: IpAddr,
        from: model::Side,
        source: Option<IpAddr>,
    ) -> Result<model::Explanation, Failure> {
        let mut target = Target::new("/v1/explain");
        target.add("address", &address.to_string());
        target.add("from", if from == model::Side::Host { "host" } else { "fabric" });
        if let Some(source) = source {
            target.add("source", &source.to_string());
        }
        self.get(&target.0).await
    }

    /// `/v1/plan`, with the daemon's own files or others.
    pub(crate) async fn plan(&mut self, instead: &Instead) -> Result<model::Plan, Failure> {
        let mut target = Target::new("/v1/plan");
        for (name, path) in [("config_dir", &instead.config_dir), ("node_config", &instead.node_config)] {
            if let Some(path) = path {
                target.add(name, &path.to_string_lossy());
            }
        }
        self.get(&target.0).await
    }

    /// Ends the session with a peer and begins again, or exchanges routes again; `all` for every peer.
    pub(crate) async fn clear(&mut self, peer: &str, how: &model::Clear) -> Result<Vec<model::Ordered>, Failure> {
        self.post(&order_target(peer, "clear"), how).await
    }

    /// Ends the session with a peer for good.
    pub(crate) async fn shut_down(
        &mut self,
        peer: &str,
        how: &model::ShutDown,
    ) -> Result<Vec<model::Ordered>, Failure> {
        self.post(&order_target(peer, "shutdown"), how).await
    }

    /// How far draining is; `None`: nobody drains.
    pub(crate) async fn drain(&mut self) -> Result<Option<model::Drain>, Failure> {
        self.get("/v1/drain").await
    }

    /// Drains the router, or brings it back.
    pub(crate) async fn order_drain(&mut self, how: &model::DrainOrder) -> Result<Option<model::Drain>, Failure> {
        self.post("/v1/drain", how).await
    }

    /// `/metrics`.
    pub(crate) async fn metrics(&mut self) -> Result<String, Failure> {
        let (status, body) = exchange(&mut self.sender, Method::GET, "/metrics", Bytes::new())
            .await
            .map_err(|error| self.broken(&error.to_string()))?;
        if status != StatusCode::OK {
            return Err(self.broken(&status.to_string()));
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The messages of a peer as they pass. Nothing else can be asked over this connection any more.
    pub(crate) async fn trace(mut self, peer: &str) -> Result<Trace, Failure> {
        let target = order_target(peer, "trace");
        let request = Request::builder().uri(target).header("host", "perouter").body(Full::default());
        let request = request.map_err(|error| self.broken(&error.to_string()))?;
        let answer = self.sender.send_request(request).await.map_err(|error| self.broken(&error.to_string()))?;
        if answer.status() != StatusCode::OK {
            let body = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            return Err(Failure::Daemon(match serde_json::from_slice::<model::Refusal>(&body) {
                Ok(refusal) => refusal.error,
                Err(_) => format!("the daemon at {} does not trace", self.path.display()),
            }));
        }
        Ok(Trace { body: answer.into_body(), rest: Vec::new(), path: self.path })
    }

    async fn get<T: DeserializeOwned>(&mut self, target: &str) -> Result<T, Failure> {
        self.ask(Method::GET, target, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(&mut self, target: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error.to_string()))?;
        self.ask(Method::POST, target, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(&mut self, method: Method, target: &str, body: Bytes) -> Result<T, Failure> {
        let exchange = tokio::time::timeout(PATIENCE, exchange(&mut self.sender, method, target, body));
        let (status, body) = match progress::with("waiting for the daemon", exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.broken(&error.to_string())),
            Err(_) => {
                return Err(self.broken(&format!("no answer within {} s", PATIENCE.as_secs())));
            }
        };
        if status != StatusCode::OK {
            return Err(Failure::Daemon(match serde_json::from_slice::<model::Refusal>(&body) {
                Ok(refusal) => refusal.error,
                Err(_) => format!("the daemon at {} answers {status}", self.path.display()),
            }));
        }
        serde_json::from_slice(&body).map_err(|error| {
            self.broken(&format!("its answer cannot be read ({error}); is it of another version than this command?"))
        })
    }

    fn broken(&self, why: &str) -> Failure {
        Failure::Daemon(format!("the daemon at {} gives no usable answer: {why}", self.path.display()))
    }
}

/// Messages as they pass.
#[derive(Debug)]
pub(crate) struct Trace {
    body: hyper::body::Incoming,
    rest: Vec<u8>,
    path: PathBuf,
}

impl Trace {
    /// The next message.
    ///
    /// # Errors
    /// The daemon has gone.
    pub(crate) async fn next(&mut self) -> Result<model::TracedMessage, Failure> {
        loop {
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if let Some(message) = line.strip_prefix(b"data: ").and_then(|data| serde_json::from_slice(data).ok()) {
                    return Ok(message);
                }
            }
            let frame = self.body.frame().await.and_then(Result::ok);
            let gone = || Failure::Daemon(format!("the daemon at {} has gone", self.path.display()));
            if let Ok(data) = frame.ok_or_else(gone)?.into_data() {
                self.rest.extend_from_slice(&data);
            }
        }
    }
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    method: Method,
    target: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    sender.ready().await?;
    let request = Request::builder().method(method).uri(target).header("host", "perouter").body(Full::new(body))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

/// No socket, or one that a killed daemon left.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn unreachable(path: &Path, error: &io::Error) -> Failure {
    let (kind, path) = (error.kind(), path.display());
    Failure::Daemon(if kind == io::ErrorKind::PermissionDenied {
        format!("no access to {path}: {error}; run this as root")
    } else if is_nobody(error) {
        format!(
            "no perouter daemon answers at {path}; is it running? Start it with `perouter run`, or name its directory with --state-dir"
        )
    } else {
        format!("no perouter daemon answers at {path}: {error}")
    })
}

impl RoutesQuestion {
    fn target(&self) -> String {
        let mut target = Target::new("/v1/routes");
        let mut add = |name: &str, value: &str| target.add(name, value);
        match self.family {
            Some(model::Family::Ipv4Unicast) => add("family", "ipv4unicast"),
            Some(model::Family::Ipv6Unicast) => add("family", "ipv6unicast"),
            None => {}
        }
        if let Some(prefix) = self.prefix {
            add("prefix", &prefix.to_string());
        }
        if self.longest {
            add("longest", "true");
        }
        if let Some(peer) = &self.received {
            add("received", peer);
        }
        if let Some(peer) = &self.advertised {
            add("advertised", peer);
        }
        if let Some(after) = self.after {
            add("after", &after.to_string());
        }
        target.0
    }
}

/// A path with its query.
struct Target(String);

impl Target {
    fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        encode(value, b"-._~/:", &mut self.0);
    }
}

/// The path of an order. The name of a range's peer has slashes, which are not the path's (RFC 3986 3.3).
fn order_target(peer: &str, verb: &str) -> String {
    let mut target = "/v1/peers/".to_owned();
    encode(peer, b"-._~:", &mut target);
    target.push('/');
    target + verb
}

/// Percent-encodes everything but letters, digits and what is `plain` where it stands (RFC 3986 3.3, 3.4).
fn encode(value: &str, plain: &[u8], into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            into.push(char::from(byte));
        } else {
            write!(into, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_becomes_a_target() {
        assert_eq!(RoutesQuestion::default().target(), "/v1/routes");
        let question = RoutesQuestion {
            family: Some(model::Family::Ipv6Unicast),
            prefix: Some("2001:db8::/32".parse().unwrap()),
            longest: true,
            advertised: Some("fe80::1%eth1".into()),
            ..RoutesQuestion::default()
        };
        assert_eq!(
            question.target(),
            "/v1/routes?family=ipv6unicast&prefix=2001:db8::/32&longest=true&advertised=fe80::1%25eth1"
        );
    }

    #[test]
    fn names_with_separators_and_other_scripts_are_encoded() {
        let mut text = String::new();
        encode("a b&c=d+é", b"-._~/:", &mut text);
        assert_eq!(text, "a%20b%26c%3Dd%2B%C3%A9");
    }

    #[test]
    fn the_name_of_a_ranges_peer_is_one_part_of_a_path() {
        let target = order_target("host@0.0.0.0/0 10.0.0.7", "clear");
        assert_eq!(target, "/v1/peers/host%400.0.0.0%2F0%2010.0.0.7/clear");
        assert_eq!(order_target("fe80::1%eth1", "shutdown"), "/v1/peers/fe80::1%25eth1/shutdown");
    }

    #[test]
    fn a_missing_socket_says_what_to_do() {
        let path = Path::new("/run/perouter/perouter.sock");
        let sentence = unreachable(path, &io::ErrorKind::NotFound.into()).to_string();
        assert!(sentence.starts_with("no perouter daemon answers at /run/perouter/perouter.sock; is it running?"));
        assert!(sentence.contains("--state-dir"));
        assert!(unreachable(path, &io::ErrorKind::PermissionDenied.into()).to_string().contains("root"));
    }
}
