//! The local admin API: HTTP/1 with JSON over a Unix socket in the state directory, readable by its owner only.
//!
//! Owns the socket's name, the model types ([`model`]), the server that the daemon starts ([`serve`]) and the
//! client that the command line uses ([`client`]). Is told nothing; it asks the speaker and the status when it
//! is asked, and keeps nothing. It changes nothing either: every question is a GET.
//!
//! | path | answer |
//! |---|---|
//! | `/v1/status` | [`model::Status`] |
//! | `/v1/peers` | list of [`model::Peer`] |
//! | `/v1/routes?family&prefix&longest&received&advertised&after&limit` | [`model::RoutePage`], bounded |
//! | `/v1/plan?config_dir&node_config` | [`model::Plan`]: what would change if those files were in force |
//!
//! An error is a [`model::Refusal`] with status 400 (the question), 404 (an unknown peer or path) 500 (the kernel
//! cannot be asked) or 503 (the speaker does not run).

pub(crate) mod client;
mod convert;
pub(crate) mod model;
mod query;
mod server;
mod time;

pub(crate) use convert::verdict;

use std::future::Future;
use std::net::IpAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::plan::Planner;
use crate::speaker::SpeakerHandle;
use crate::status::Status;

/// The daemon's socket.
pub(crate) fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join(crate::daemon::SOCKET)
}

/// Answers on `listener` until `shutdown` turns true or its sender is gone; then questions that are being
/// answered get a little more time.
pub(crate) fn serve(
    listener: UnixListener,
    speaker: SpeakerHandle,
    status: Status,
    planner: Option<Planner>,
    shutdown: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(server::serve(listener, speaker, status, planner, shutdown))
}

/// Where sessions and routes are read. The speaker in production, a table in tests.
trait Source: Clone + Send + Sync + 'static {
    /// The router at this moment; `None` when the speaker has stopped.
    fn snapshot(&self) -> impl Future<Output = Option<engine::Snapshot>> + Send;
    /// One page of routes; `None` when the speaker has stopped.
    fn routes(&self, query: engine::RouteQuery) -> impl Future<Output = Option<Vec<engine::RouteView>>> + Send;
}

impl Source for SpeakerHandle {
    async fn snapshot(&self) -> Option<engine::Snapshot> {
        SpeakerHandle::snapshot(self).await
    }

    async fn routes(&self, query: engine::RouteQuery) -> Option<Vec<engine::RouteView>> {
        SpeakerHandle::routes(self, query).await
    }
}

/// The position of the peer with this address or, failing that, this name.
///
/// # Errors
/// A sentence that lists the known ones.
pub(crate) fn find_peer(wanted: &str, known: &[model::PeerRef]) -> Result<usize, String> {
    let address = wanted.parse::<IpAddr>().ok();
    let by_address = address.and_then(|address| known.iter().position(|peer| peer.address == address));
    if let Some(found) = by_address.or_else(|| known.iter().position(|peer| peer.name == wanted)) {
        return Ok(found);
    }
    const SHOWN: usize = 20;
    let mut names: Vec<String> = known.iter().take(SHOWN).map(ToString::to_string).collect();
    if known.len() > SHOWN {
        names.push(format!("and {} more", known.len() - SHOWN));
    }
    Err(if names.is_empty() {
        format!("no peer is called {wanted}; no peer is configured")
    } else {
        format!("no peer is called {wanted}; known peers: {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests;
