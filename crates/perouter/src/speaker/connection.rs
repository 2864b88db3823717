//! One TCP connection: reads until it ends, writes what the owner hands over.
//!
//! Owns: the stream. The owner writes to it as long as the kernel takes everything at once; this task writes the rest, and
//! what comes behind it. Is told: [`Command`]s through a channel of [`COMMANDS`] places, of which the owner uses at
//! most [`IN_FLIGHT`] for chunks, so that a finish always fits. Emits: [`Fact`]s to the owner, always ending in
//! one [`Fact::Ended`]; and the connection's number after each written chunk.
//! Does not: know messages. It stops by itself: at the end of the stream, at an error, at [`FLUSH`] after the
//! owner began to close, or when the owner is gone.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::ConnId;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

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

/// A stream, of which its task and its owner know.
#[derive(Debug)]
pub(crate) struct Line {
    half: OwnedWriteHalf,
    /// Chunks that are out of the socket and not with the owner yet; one more while the socket is being read.
    in_hand: AtomicUsize,
    /// What the owner met when it wrote: the system says it once.
    error: OnceLock<String>,
}

impl Line {
    /// A line over a stream, and what its task reads from.
    pub(crate) fn new(stream: TcpStream) -> (Arc<Self>, OwnedReadHalf) {
        let (reader, half) = stream.into_split();
        (Arc::new(Self { half, in_hand: AtomicUsize::new(0), error: OnceLock::new() }), reader)
    }

    fn stream(&self) -> &TcpStream {
        self.half.as_ref()
    }

    /// Writes as much as the kernel takes at once, and returns how much that is. An error is kept for the task, which finds that
    /// the connection is over.
    pub(crate) fn write_now(&self, bytes: &[u8]) -> usize {
        match self.half.try_write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                let _ = self.error.set(words(&error));
                0
            }
        }
    }

    /// Whether something has arrived that the owner has not been handed.
    pub(crate) fn is_unread(&self) -> bool {
        // In this order: a chunk is in hand before it has left the socket.
        let waiting = rustix::io::ioctl_fionread(self.stream()).is_ok_and(|bytes| bytes > 0);
        waiting || self.in_hand.load(Ordering::SeqCst) > 0
    }
}

/// A chunk in hand.
#[derive(Debug)]
struct InHand(Arc<Line>);

impl InHand {
    fn of(line: &Arc<Line>) -> Self {
        line.in_hand.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(line))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.in_hand.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The reader hands over its next chunk when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
    _in_hand: InHand,
}

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
        /// When.
        read: Instant,
        /// The reader's.
        turn: Turn,
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
    (line, mut reader): (Arc<Line>, OwnedReadHalf),
    commands: mpsc::Receiver<Command>,
    closing: oneshot::Receiver<()>,
    facts: mpsc::Sender<Fact>,
    written: mpsc::Sender<ConnId>,
) {
    let error = serve(conn, &line, &mut reader, commands, closing, &facts, &written).await;
    let error = line.error.get().cloned().or(error);
    drop(line);
    // An owner that is gone needs no facts.
    let _ = facts.send(Fact::Ended { conn, error }).await;
}

async fn serve(
    conn: ConnId,
    line: &Arc<Line>,
    reader: &mut OwnedReadHalf,
    commands: mpsc::Receiver<Command>,
    closing: oneshot::Receiver<()>,
    facts: &mpsc::Sender<Fact>,
    written: &mpsc::Sender<ConnId>,
) -> Option<String> {
    {
        let reading = read(conn, line, reader, facts);
        let writing = write(conn, line.stream(), commands, written);
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
    let _ = timeout(LINGER, discard(line.stream())).await;
    None
}

async fn read(
    conn: ConnId,
    line: &Arc<Line>,
    reader: &mut OwnedReadHalf,
    facts: &mpsc::Sender<Fact>,
) -> Option<String> {
    let turns = Arc::new(Semaphore::new(1));
    let mut buffer = BytesMut::new();
    loop {
        if buffer.capacity() < READ_LEAST && !buffer.try_reclaim(READ_BUFFER) {
            buffer = BytesMut::with_capacity(READ_BUFFER);
        }
        // A read that does not fill the buffer has emptied the socket, and the runtime does not ask it again.
        let (result, in_hand) = poll_fn(|context| {
            let in_hand = InHand::of(line);
            pin!(reader.read_buf(&mut buffer)).poll(context).map(|result| (result, in_hand))
        })
        .await;
        match result {
            Ok(0) => return None,
            Ok(_) => {
                let (data, read) = (buffer.split().freeze(), Instant::now());
                // Never closed: it lives here.
                let Ok(permit) = Arc::clone(&turns).acquire_owned().await else { return None };
                let turn = Turn { _permit: permit, _in_hand: in_hand };
                if facts.send(Fact::Data { conn, data, read, turn }).await.is_err() {
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
    stream: &TcpStream,
    mut commands: mpsc::Receiver<Command>,
    written: &mpsc::Sender<ConnId>,
) -> io::Result<()> {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Write(bytes) => {
                write_all(stream, &bytes).await?;
                let _ = written.send(conn).await;
            }
            Command::Finish(rest) => {
                for bytes in rest {
                    write_all(stream, &bytes).await?;
                }
                return rustix::net::shutdown(stream, rustix::net::Shutdown::Write).map_err(io::Error::from);
            }
        }
    }
    Ok(())
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn discard(stream: &TcpStream) {
    let mut buffer = vec![0; READ_LEAST];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut buffer) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
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
