//! One TCP connection: a stream, what the kernel has not taken of it yet, and how it ends.
//!
//! Owns: the stream. Is told: when there is something to read or room to write ([`Poller`]). Emits: what it read, and its end.
//! Does not: wait, know messages, or call anybody. It belongs to the owner, which reads one chunk of it in a turn, and
//! hands it the next bytes only when the kernel has taken the last ones; TCP pushes back on both sides.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use engine::ConnId;

use super::poller::{Poller, Ready};

/// What is read of a connection at a time, at most.
pub(super) const CHUNK: usize = 64 * 1024;
/// How long a closing connection may take to write what is left.
const FLUSH: Duration = Duration::from_secs(2);
/// How long the peer may take to close its side after we closed ours. Closing with unread data in the socket
/// would make the kernel send a reset, which can overtake our NOTIFICATION.
const LINGER: Duration = Duration::from_secs(1);

/// How far a connection is.
#[derive(Debug)]
enum Stage {
    Open,
    /// Nothing can be written any more. What the peer said before it went (a NOTIFICATION) is worth more than this reason.
    Broken {
        error: String,
        until: Instant,
    },
    /// What is left is being written.
    Finishing {
        until: Instant,
    },
    /// Our side is closed.
    Lingering {
        until: Instant,
    },
}

/// What came of a look at a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// So many octets were read for the owner.
    Read(usize),
    /// Nothing that the owner need know.
    Nothing,
    /// It is over: the system's words, `None` for an orderly end.
    End(Option<String>),
}

/// The connection is over, and to be dropped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Over;

/// An open connection.
#[derive(Debug)]
pub(super) struct Line {
    conn: ConnId,
    stream: TcpStream,
    /// What the kernel has not taken yet.
    rest: VecDeque<Bytes>,
    /// The poller says when it takes more.
    is_waiting: bool,
    stage: Stage,
}

impl Line {
    /// Takes a non-blocking stream.
    pub(super) fn new(conn: ConnId, stream: TcpStream, poller: &Poller) -> io::Result<Self> {
        poller.watch(&stream, conn)?;
        Ok(Self { conn, stream, rest: VecDeque::new(), is_waiting: false, stage: Stage::Open })
    }

    /// Whether it is to be handed something to write: all that it had is with the kernel.
    pub(super) fn takes_more(&self) -> bool {
        self.rest.is_empty() && matches!(self.stage, Stage::Open)
    }

    /// When it ends whatever the peer does. `None`: it does not.
    pub(super) fn until(&self) -> Option<Instant> {
        match self.stage {
            Stage::Open => None,
            Stage::Broken { until, .. } | Stage::Finishing { until } | Stage::Lingering { until } => Some(until),
        }
    }

    /// Why nothing can be written any more, where that is so.
    pub(super) fn error(&self) -> Option<String> {
        match &self.stage {
            Stage::Broken { error, .. } => Some(error.clone()),
            Stage::Open | Stage::Finishing { .. } | Stage::Lingering { .. } => None,
        }
    }

    /// Whether something has arrived that nobody has read.
    pub(super) fn is_unread(&self) -> bool {
        rustix::io::ioctl_fionread(&self.stream).is_ok_and(|octets| octets > 0)
    }

    /// Does what it is ready for, reading into `buffer`. After [`Look::End`] it is to be dropped.
    pub(super) fn serve(&mut self, ready: Ready, buffer: &mut [u8], poller: &Poller) -> Look {
        if ready.write && self.flush(poller).is_err() {
            return Look::End(None);
        }
        if ready.read { self.read(buffer) } else { Look::Nothing }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Look {
        match (&self.stream).read(buffer) {
            Ok(0) => Look::End(self.error()),
            Ok(octets) if matches!(self.stage, Stage::Open | Stage::Broken { .. }) => Look::Read(octets),
            // The owner has said its last word and hears no more.
            Ok(_) => Look::Nothing,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Look::Nothing,
            Err(error) => Look::End(self.error().or_else(|| Some(words(&error)))),
        }
    }

    /// Writes as much as the kernel takes at once, and the rest when it takes more.
    pub(super) fn write(&mut self, bytes: Bytes, poller: &Poller) {
        self.rest.push_back(bytes);
        // An open one is broken by an error, and not over.
        let _ = self.flush(poller);
    }

    /// Writes this and closes. An error: nothing can be written.
    pub(super) fn finish(&mut self, last: Vec<Bytes>, poller: &Poller) -> Result<(), Over> {
        if let Stage::Broken { .. } = self.stage {
            return Err(Over);
        }
        self.rest.extend(last);
        self.stage = Stage::Finishing { until: Instant::now() + FLUSH };
        self.flush(poller)
    }

    fn flush(&mut self, poller: &Poller) -> Result<(), Over> {
        let result = self.write_rest().and_then(|()| {
            let is_waiting = !self.rest.is_empty();
            if is_waiting != self.is_waiting {
                poller.watch_output(&self.stream, self.conn, is_waiting)?;
                self.is_waiting = is_waiting;
            }
            if !is_waiting && let Stage::Finishing { .. } = self.stage {
                self.stream.shutdown(Shutdown::Write)?;
                self.stage = Stage::Lingering { until: Instant::now() + LINGER };
            }
            Ok(())
        });
        match (result, &self.stage) {
            (Ok(()), _) => Ok(()),
            (Err(error), Stage::Open) => {
                self.rest.clear();
                self.stage = Stage::Broken { error: words(&error), until: Instant::now() + LINGER };
                Ok(())
            }
            (Err(_), Stage::Broken { .. } | Stage::Finishing { .. } | Stage::Lingering { .. }) => Err(Over),
        }
    }

    /// As much as the kernel takes now.
    fn write_rest(&mut self) -> io::Result<()> {
        while let Some(first) = self.rest.front_mut() {
            match (&self.stream).write(first) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) if written < first.len() => {
                    first.advance(written);
                    return Ok(());
                }
                Ok(_) => drop(self.rest.pop_front()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
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
