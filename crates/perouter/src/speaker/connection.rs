//! One TCP connection: reads until it ends, writes what the owner hands over.
//!
//! Owns: the stream. Is told: [`Command`]s through a channel of [`COMMANDS`] places, of which the owner uses at
//! most [`IN_FLIGHT`] for chunks, so that a finish always fits. Emits: [`Fact`]s to the owner, always ending in
//! one [`Fact::Ended`]; and the connection's number after each written chunk.
//! Does not: know messages. It stops by itself: at the end of the stream, at an error, at [`FLUSH`] after the
//! owner began to close, or when the owner is gone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::ConnId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Chunks handed to a writer and not yet written: one in the socket, one behind it.
pub(crate) const IN_FLIGHT: usize = 2;
/// Places of the command channel: the chunks and the finish.
pub(crate) const COMMANDS: usize = IN_FLIGHT + 1;
/// Size of a read buffer, and the least that is offered to the kernel.
const READ_BUFFER: usize = 64 * 1024;
const READ_LEAST: usize = 16 * 1024;
/// How long a closing connection may take to write what is left.
pub(crate) const FLUSH: Duration = Duration::from_secs(2);
/// How long the peer may take to close its side after we closed ours. Closing with unread data in the socket
/// would make the kernel send a reset, which can overtake our NOTIFICATION.
const LINGER: Duration = Duration::from_secs(1);

/// What the owner wants.
#[derive(Debug)]
pub(crate) enum Command {
    /// Write this.
    Write(Bytes),
    /// Write this, then close.
    Finish(Vec<Bytes>),
}

/// What the owner is told by connections, dials and listeners.
#[derive(Debug)]
pub(crate) enum Fact {
    /// A dial succeeded.
    Connected {
        /// The dialled connection.
        conn: ConnId,
        /// Its stream.
        stream: TcpStream,
        /// Our end.
        local: SocketAddr,
    },
    /// A connection arrived at a listener.
    Incoming {
        /// Its stream, non-blocking.
        stream: std::net::TcpStream,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
        /// The link that the listener is bound to.
        link: Option<String>,
    },
    /// Bytes arrived.
    Data {
        /// On which connection.
        conn: ConnId,
        /// What arrived.
        data: Bytes,
        /// The reader hands over its next chunk when this is dropped.
        turn: OwnedSemaphorePermit,
    },
    /// The connection is gone, or a dial failed. The last fact about it.
    Ended {
        /// Which one.
        conn: ConnId,
        /// The system's words, `None` for an orderly end.
        error: Option<String>,
    },
}

/// Serves one connection until it is over. `closing` resolves (or is dropped) when the owner began to close it.
pub(crate) async fn run(
    conn: ConnId,
    mut stream: TcpStream,
    commands: mpsc::Receiver<Command>,
    closing: oneshot::Receiver<()>,
    facts: mpsc::Sender<Fact>,
    written: mpsc::Sender<ConnId>,
) {
    let error = serve(conn, &mut stream, commands, closing, &facts, &written).await;
    drop(stream);
    // An owner that is gone needs no facts.
    let _ = facts.send(Fact::Ended { conn, error }).await;
}

async fn serve(
    conn: ConnId,
    stream: &mut TcpStream,
    commands: mpsc::Receiver<Command>,
    closing: oneshot::Receiver<()>,
    facts: &mpsc::Sender<Fact>,
    written: &mpsc::Sender<ConnId>,
) -> Option<String> {
    let (mut read_half, mut write_half) = stream.split();
    {
        let reading = read(conn, &mut read_half, facts);
        let writing = write(conn, &mut write_half, commands, written);
        let too_slow = async {
            let _ = closing.await;
            tokio::time::sleep(FLUSH).await;
        };
        tokio::pin!(reading, writing);
        tokio::select! {
            error = &mut reading => return error,
            () = too_slow => return None,
            result = &mut writing => if let Err(error) = result {
                // What the peer said before it went (a NOTIFICATION) is worth more than the system's reason.
                let _ = timeout(LINGER, &mut reading).await;
                return Some(words(&error));
            },
        }
    }
    let _ = timeout(LINGER, discard(&mut read_half)).await;
    None
}

async fn read(conn: ConnId, stream: &mut ReadHalf<'_>, facts: &mpsc::Sender<Fact>) -> Option<String> {
    let turns = Arc::new(Semaphore::new(1));
    let mut buffer = BytesMut::new();
    loop {
        if buffer.capacity() < READ_LEAST && !buffer.try_reclaim(READ_BUFFER) {
            buffer = BytesMut::with_capacity(READ_BUFFER);
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) => return None,
            Ok(_) => {
                let data = buffer.split().freeze();
                // Never closed: it lives here.
                let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return None };
                if facts.send(Fact::Data { conn, data, turn }).await.is_err() {
                    return None;
                }
            }
            Err(error) => return Some(words(&error)),
        }
    }
}

/// Returns when everything is written and our side is closed, or the owner is gone.
async fn write(
    conn: ConnId,
    stream: &mut WriteHalf<'_>,
    mut commands: mpsc::Receiver<Command>,
    written: &mpsc::Sender<ConnId>,
) -> io::Result<()> {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Write(bytes) => {
                stream.write_all(&bytes).await?;
                let _ = written.send(conn).await;
            }
            Command::Finish(rest) => {
                for bytes in rest {
                    stream.write_all(&bytes).await?;
                }
                return stream.shutdown().await;
            }
        }
    }
    Ok(())
}

async fn discard(stream: &mut ReadHalf<'_>) {
    let mut buffer = BytesMut::with_capacity(READ_LEAST);
    while let Ok(1..) = stream.read_buf(&mut buffer).await {
        buffer.clear();
    }
}

/// The system's reason without its number: "Connection refused".
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
