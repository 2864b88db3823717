//! `perouter probe`: what a supervisor asks. An answer is proof of life; ready is who need not be waited for.

use super::out::Out;
use crate::admin::client::Client;
use crate::admin::model::Status;
use crate::cli::Probe;
use crate::exit::{Exit, Failure};

/// Who has not got its sessions in so many seconds does not hold up an update of the other nodes: a neighbour may be gone.
const PATIENCE: u64 = 60;
/// In so many seconds a configuration has been read if there is one.
const SETTLED: u64 = 10;

/// Asks and says what is missing.
///
/// # Errors
/// Those of the client.
pub(crate) async fn run(client: &mut Client, out: &mut Out<'_>, what: Probe) -> Result<Exit, Failure> {
    let status = client.status().await?;
    let missing = match what {
        Probe::Live => None,
        Probe::Ready => missing(&status),
    };
    out.line(missing.as_deref().unwrap_or("ok"))?;
    Ok(Exit::healthy(missing.is_none()))
}

fn missing(status: &Status) -> Option<String> {
    if status.router.is_none() {
        let problem = status.problems.first().map_or("the router has not started", String::as_str);
        return Some(problem.to_owned());
    }
    let down: Vec<_> =
        status.peers.iter().filter(|peer| !peer.is_up() && !peer.shut_down).map(|peer| peer.title()).collect();
    match (down.as_slice(), status.peers.is_empty(), status.uptime_seconds) {
        (_, _, PATIENCE..) => None,
        ([], false, _) | (_, true, SETTLED..) => None,
        (_, true, _) => Some("no configuration has been read yet".to_owned()),
        (down, false, _) => Some(format!("no session with {}", down.join(", "))),
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
