//! The BFD thread: keeps the sessions of a namespace alive, whatever the rest of the process is doing.
//!
//! Owns: the UDP sockets, the [`engine::bfd::Session`]s and their timers. Is told: the whole set of sessions that are
//! wanted; the difference is its own affair, so a session that is wanted as before is not disturbed. Emits:
//! [`Report`]s. A plain thread with real-time priority where that is permitted: it waits for nobody, neither for the one
//! that reads the reports nor for the one that asks for a snapshot.
//!
//! Does not: know BGP. What a report means for a BGP session is RFC 5882's and its reader's: a session that goes down
//! ends it, unless `admin_down_by_peer`; and with graceful restart `remote_control_plane_independent` says whether
//! routes are kept. Of a session that has never been up nothing is told, except that the neighbour holds it down.
//!
//! RFC 5881: port 3784, TTL 255 both ways. RFC 5883: port 4784, least TTL by the settings.

mod member;
mod reports;
mod worker;

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use engine::bfd::{Hops, Settings, Snapshot};
use kernel::netns::Namespace;
use rustix::event::EventfdFlags;
use tokio::sync::{mpsc, oneshot};

use crate::status::Status;

/// A session that somebody wants. Peer, link, own address and the kind of distance make it what it is; everything else
/// can change while it is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The neighbour.
    pub(crate) peer: IpAddr,
    /// Name of the link behind which it is; needed for link-local addresses.
    pub(crate) scope_link: Option<String>,
    /// Our address; `None`: the one that the kernel chooses.
    pub(crate) local: Option<IpAddr>,
    /// How.
    pub(crate) settings: Settings,
}

impl Wanted {
    /// Whether both are the same session.
    fn same_session(&self, other: &Self) -> bool {
        let key = |wanted: &Self| (wanted.peer, wanted.local, wanted.multihop());
        key(self) == key(other) && self.scope_link == other.scope_link
    }

    /// Over several hops.
    pub(crate) fn multihop(&self) -> bool {
        match self.settings.hops {
            Hops::Single => false,
            Hops::Multi { .. } => true,
        }
    }
}

/// A session came up or went down, or the neighbour began or ceased to hold it down on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The neighbour.
    pub(crate) peer: IpAddr,
    /// Name of its link, if the session was asked for with one.
    pub(crate) link: Option<String>,
    /// Whether the session is up.
    pub(crate) up: bool,
    /// The neighbour holds it down on purpose: no sign of a broken path (RFC 5882 section 3.2).
    pub(crate) admin_down_by_peer: bool,
    /// The neighbour's C bit, as it last said (RFC 5882 section 4.3).
    pub(crate) remote_control_plane_independent: bool,
    /// Why, as a sentence.
    pub(crate) reason: String,
}

/// A session at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// What was wanted.
    pub(crate) wanted: Wanted,
    /// Both sides, timers and counters.
    pub(crate) session: Snapshot,
    /// Why packets cannot be sent, if they cannot.
    pub(crate) trouble: Option<String>,
}

enum Command {
    Sessions(Vec<Wanted>),
    Snapshot(oneshot::Sender<Vec<View>>),
    Stop(oneshot::Sender<()>),
}

/// Where commands wait. The lock is held to push and to take, never longer: the thread must not wait for one of a lower
/// priority.
#[derive(Debug)]
struct Inbox {
    commands: Mutex<Vec<Command>>,
    wake: OwnedFd,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sessions(_) => "Sessions",
            Self::Snapshot(_) => "Snapshot",
            Self::Stop(_) => "Stop",
        })
    }
}

impl Inbox {
    fn push(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        // A full counter wakes as well.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn take(&self) -> Vec<Command> {
        // The commands are taken after that, so none is missed.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The owner's end. Dropped, it ends the thread, which says AdminDown to every neighbour.
#[derive(Debug)]
pub(crate) struct BfdThread(Arc<Inbox>);

impl BfdThread {
    /// Starts the thread for a namespace, without sessions. Reports go to `reports`; when that is full the thread keeps what
    /// matters per session (its last going down, and its being up since) and tries again.
    ///
    /// # Errors
    /// When there are no threads or descriptors left.
    pub(crate) fn start(namespace: Namespace, status: Status, reports: mpsc::Sender<Report>) -> io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let inbox = Arc::new(Inbox { commands: Mutex::default(), wake });
        let worker = worker::Worker::new(namespace, status, reports, Arc::clone(&inbox));
        thread::Builder::new().name("bfd".into()).spawn(move || worker.run())?;
        Ok(Self(inbox))
    }

    /// Replaces the set of sessions. Those that are no longer wanted say AdminDown for a while, so that the neighbour takes
    /// their end for what it is.
    pub(crate) fn set_sessions(&self, sessions: Vec<Wanted>) {
        self.0.push(Command::Sessions(sessions));
    }

    /// Has all sessions told to `reply`, in the order in which they were wanted. Waits for nothing.
    pub(crate) fn snapshot(&self, reply: oneshot::Sender<Vec<View>>) {
        self.0.push(Command::Snapshot(reply));
    }

    /// Says AdminDown to every neighbour and ends the thread; returns when it is said, after some tens of milliseconds. For
    /// a restart that neighbours are not to notice: a session that merely falls silent takes BGP down with it.
    pub(crate) async fn stop(self) {
        let (reply, answer) = oneshot::channel();
        self.0.push(Command::Stop(reply));
        let _ = answer.await;
    }
}

impl Drop for BfdThread {
    fn drop(&mut self) {
        let (reply, _) = oneshot::channel();
        self.0.push(Command::Stop(reply));
    }
}

#[cfg(test)]
mod tests;
