//! Opens one TCP connection: a task that lives until it is open, has failed, took [`LIMIT`], or is aborted.
//!
//! Is told: the engine's [`engine::Dial`]. Emits: [`Fact::Connected`] or [`Fact::Failed`], once, unless aborted.
//! The socket is made inside the router's namespace, on a thread that may block (`kernel::sock::dial_on`); the task only waits
//! for it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use engine::{ConnId, Dial};
use kernel::netns::Namespace;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::connection::words;
use super::fact::Fact;

/// Longest wait for an answer: the kernel itself would try for more than two minutes, during which a peer that
/// came back would not be noticed.
const LIMIT: Duration = Duration::from_secs(30);

/// Dials and tells the owner how it went.
pub(super) async fn run(conn: ConnId, namespace: Namespace, dial: Dial, facts: mpsc::Sender<Fact>) {
    // Packets without the right key are dropped by whoever gets them (RFC 2385 section 2): there is only silence.
    let hint = if dial.password.is_some() { ": has it the same password?" } else { "" };
    let fact = match tokio::time::timeout(LIMIT, connect(namespace, dial)).await {
        Ok(Ok((stream, local))) => Fact::Connected { conn, stream, local },
        Ok(Err(error)) => Fact::Failed { conn, error: words(&error) },
        Err(_) => Fact::Failed { conn, error: format!("no answer within {} s{hint}", LIMIT.as_secs()) },
    };
    // An owner that is gone needs no facts.
    let _ = facts.send(fact).await;
}

async fn connect(namespace: Namespace, dial: Dial) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    let least_ttl = super::least_ttl(dial.ttl_security);
    let target = kernel::sock::Dial {
        remote: dial.remote,
        local: dial.local,
        ttl: super::ttl(dial.ttl, dial.ttl_security),
        md5: dial.password.map(|secret| secret.0),
    };
    let open = move || kernel::sock::dial_on(&namespace, &target, dial.link.as_deref());
    let stream = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
    if let Some(least) = least_ttl {
        kernel::sock::require_ttl(&stream, least)?;
    }
    let stream = TcpStream::from_std(stream)?;
    stream.writable().await?;
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    let local = stream.local_addr()?;
    Ok((stream.into_std()?, local))
}
