//! Opens one TCP connection: a task that lives until it is open, has failed, took [`LIMIT`], or is aborted.
//!
//! Is told: the engine's [`engine::Dial`]. Emits: [`Fact::Connected`] or [`Fact::Ended`], once, unless aborted.
//! The socket is made by a short-lived thread inside the router's namespace (`kernel::sock::dial`); the task
//! only waits for it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use engine::{ConnId, Dial};
use kernel::netns::Namespace;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::connection::{Fact, words};

/// Longest wait for an answer: the kernel itself would try for more than two minutes, during which a peer that
/// came back would not be noticed.
const LIMIT: Duration = Duration::from_secs(30);

/// Dials and tells the owner how it went.
pub(crate) async fn run(conn: ConnId, namespace: Namespace, dial: Dial, facts: mpsc::Sender<Fact>) {
    let fact = match tokio::time::timeout(LIMIT, connect(namespace, dial)).await {
        Ok(Ok((stream, local))) => Fact::Connected { conn, stream, local },
        Ok(Err(error)) => Fact::Ended { conn, error: Some(words(&error)) },
        Err(_) => Fact::Ended { conn, error: Some(format!("no answer within {} s", LIMIT.as_secs())) },
    };
    // An owner that is gone needs no facts.
    let _ = facts.send(fact).await;
}

async fn connect(namespace: Namespace, dial: Dial) -> io::Result<(TcpStream, SocketAddr)> {
    let dial = kernel::sock::Dial {
        remote: dial.remote,
        local: dial.local,
        ttl: super::ttl(dial.ttl),
        md5: dial.password.map(|secret| secret.0),
    };
    let stream = tokio::task::spawn_blocking(move || kernel::sock::dial(&namespace, &dial))
        .await
        .map_err(io::Error::other)??;
    let stream = TcpStream::from_std(stream)?;
    stream.writable().await?;
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    let local = stream.local_addr()?;
    Ok((stream, local))
}
