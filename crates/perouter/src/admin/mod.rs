//! The local admin API: HTTP/1 with JSON over a Unix socket in the state directory, readable by its owner only. Who asks for
//! it has the questions, not the orders, over TCP as well ([`http`]).
//!
//! Owns the socket's name, the model types ([`model`]), the server that the daemon starts ([`serve`]) and the
//! client that the command line uses ([`client`]). Is told nothing; it asks the speaker and the status when it
//! is asked, and keeps nothing. Every GET is a question and changes nothing; orders are POSTs ([`orders`]).
//!
//! | path | answer |
//! |---|---|
//! | `/v1/status` | [`model::Status`] |
//! | `/v1/openapi.json` | all of this as OpenAPI 3.1 ([`openapi`]) |
//! | `/metrics` | [`crate::metrics`], for Prometheus |
//! | `/v1/events?after&limit&wait` | [`model::EventPage`], bounded; with `wait` the answer comes with the next event; for those who accept `text/event-stream` a stream ([`events`]) |
//! | `/v1/peers` | list of [`model::Peer`] |
//! | `/v1/routes?family&prefix&longest&received&advertised&after&limit` | [`model::RoutePage`], bounded |
//! | `/v1/explain?address&from&source` | [`model::Explanation`]: the walk of a packet and of its answer |
//! | `/v1/plan?config_dir&node_config` | [`model::Plan`]: what would change if those files were in force |
//! | POST `/v1/peers/{peer}/clear` [`model::Clear`] | list of [`model::Ordered`]; `{peer}` by address or name, or `all` |
//! | `/v1/peers/{peer}/trace` | a stream of [`model::TracedMessage`]; on the socket only |
//! | `/v1/drain` | [`model::Drain`], or `null` |
//! | POST `/v1/drain` [`model::DrainOrder`] | the same, as it is from then on |
//! | POST `/v1/peers/{peer}/shutdown` [`model::ShutDown`] | list of one [`model::Ordered`] |
//!
//! An error is a [`model::Refusal`] with status 400 (the question), 404 (an unknown peer or path), 409 (an order that
//! can have no effect), 500 (the kernel cannot be asked) or 503 (the speaker does not run).

pub(crate) mod client;
mod convert;
mod events;
mod explain;
mod health;
mod http;
pub(crate) mod model;
mod openapi;
mod orders;
mod page;
mod query;
mod server;
mod time;
mod token;
mod trace;

pub(crate) use convert::verdict;
pub(crate) use token::check as check_token;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use config::node::Http;
use engine::Order;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::bfd::View;
use crate::exit::Failure;
use crate::plan::Planner;
use crate::speaker::{Measured, SpeakerHandle, Tapped, Whom};
use crate::status::Status;

/// The daemon's socket.
pub(crate) fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join(crate::daemon::SOCKET)
}

/// Answers on `listener`, and questions at `http`, until `shutdown` turns true or its sender is gone; then questions that are being
/// answered get a little more time.
pub(crate) fn serve(
    listener: UnixListener,
    http: Option<Http>,
    speaker: SpeakerHandle,
    status: Status,
    planner: Option<Planner>,
    shutdown: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(server::serve(listener, http, speaker, status, planner, shutdown))
}

/// Everything on one screen, at this moment.
pub(crate) async fn status(speaker: &SpeakerHandle, status: &Status) -> model::Status {
    server::status(speaker, status).await
}

/// The peers of a status whose session is wanted and not there.
pub(crate) fn missed(status: &model::Status) -> Vec<&model::Peer> {
    health::missed(status).collect()
}

/// Where sessions and routes are read. The speaker in production, a table in tests.
trait Source: Clone + Send + Sync + 'static {
    /// The router at this moment; `None` when the speaker has stopped.
    fn snapshot(&self) -> impl Future<Output = Option<engine::Snapshot>> + Send;
    /// As [`Source::snapshot`], with what was counted and timed.
    fn measured(&self) -> impl Future<Output = Option<(engine::Snapshot, Measured)>> + Send;
    /// The BFD sessions; none when they cannot be asked.
    fn bfd(&self) -> impl Future<Output = Vec<View>> + Send;
    /// What passes over a peer's connections from here on.
    fn trace(&self, whom: Whom) -> impl Future<Output = mpsc::Receiver<Tapped>> + Send;
    /// Drains the router, or with `None` undoes it.
    fn drain(&self, drain: Option<engine::Drain>) -> impl Future<Output = ()> + Send;
    /// One page of routes; `None` when the speaker has stopped.
    fn routes(&self, query: engine::RouteQuery) -> impl Future<Output = Option<Vec<engine::RouteView>>> + Send;
    /// Carries all of `orders` out or, with the reason, none; `None` when the speaker has stopped.
    fn order(&self, whom: Whom, orders: Vec<Order>) -> impl Future<Output = Option<Result<(), String>>> + Send;
}

impl Source for SpeakerHandle {
    async fn snapshot(&self) -> Option<engine::Snapshot> {
        SpeakerHandle::snapshot(self).await
    }

    async fn measured(&self) -> Option<(engine::Snapshot, Measured)> {
        SpeakerHandle::measured(self).await
    }

    async fn bfd(&self) -> Vec<View> {
        SpeakerHandle::bfd(self).await.unwrap_or_default()
    }

    async fn trace(&self, whom: Whom) -> mpsc::Receiver<Tapped> {
        SpeakerHandle::trace(self, whom).await
    }

    async fn drain(&self, drain: Option<engine::Drain>) {
        SpeakerHandle::tell(self, engine::Event::Drain(drain)).await;
    }

    async fn routes(&self, query: engine::RouteQuery) -> Option<Vec<engine::RouteView>> {
        SpeakerHandle::routes(self, query).await
    }

    async fn order(&self, whom: Whom, orders: Vec<Order>) -> Option<Result<(), String>> {
        SpeakerHandle::order(self, whom, orders).await
    }
}

/// Why a word names no peer, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoPeer {
    /// Nobody is called so; lists the known ones.
    Unknown(String),
    /// Several are; lists them.
    Several(String),
}

impl fmt::Display for NoPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(sentence) | Self::Several(sentence) => f.write_str(sentence),
        }
    }
}

impl From<NoPeer> for Failure {
    fn from(no_peer: NoPeer) -> Self {
        Self::Usage(no_peer.to_string())
    }
}

/// The position of the peer with this address or, failing that, this name.
pub(crate) fn find_peer(wanted: &str, known: &[model::PeerRef]) -> Result<usize, NoPeer> {
    let those = |is: &dyn Fn(&model::PeerRef) -> bool| -> Vec<usize> {
        known.iter().enumerate().filter(|(_, peer)| is(peer)).map(|(at, _)| at).collect()
    };
    let mut found = match wanted.parse::<IpAddr>() {
        Ok(address) => those(&|peer| peer.address == address),
        Err(_) => Vec::new(),
    };
    if found.is_empty() {
        found = those(&|peer| peer.name == wanted);
    }
    match found[..] {
        [at] => Ok(at),
        [] if known.is_empty() => Err(NoPeer::Unknown(format!("no peer is called {wanted}; no peer is configured"))),
        [] => Err(NoPeer::Unknown(match similar(wanted, known) {
            Some(name) => format!("no peer is called {wanted}; did you mean {name}?"),
            None => format!("no peer is called {wanted}; known peers: {}", list(known.iter())),
        })),
        // One link-local address behind several links, for example.
        _ => Err(NoPeer::Several(format!(
            "several peers are called {wanted}: {}",
            list(found.iter().map(|at| &known[*at]))
        ))),
    }
}

/// The name or address that was probably meant: one letter in three may be wrong.
fn similar(wanted: &str, known: &[model::PeerRef]) -> Option<String> {
    let names = known.iter().flat_map(|peer| [peer.name.clone(), peer.address.to_string()]);
    let near = names.filter(|name| !name.is_empty()).map(|name| (strsim::damerau_levenshtein(wanted, &name), name));
    let (distance, name) = near.min()?;
    (distance * 3 <= wanted.chars().count()).then_some(name)
}

/// Names and addresses, not too many.
fn list<'a>(peers: impl ExactSizeIterator<Item = &'a model::PeerRef>) -> String {
    const SHOWN: usize = 20;
    let more = peers.len().saturating_sub(SHOWN);
    let mut names: Vec<String> = peers.take(SHOWN).map(ToString::to_string).collect();
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests;
