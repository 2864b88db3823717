//! Copies of what passes over a peer's connections, for whoever traces it.
//!
//! The owner never waits for a tracer: what does not fit into its channel is lost to it, and it is told so.

use bytes::Bytes;
use engine::snapshot::Sender;
use engine::{ConnId, Engine};
use tokio::sync::mpsc;

use super::Whom;

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The peer's.
    Received,
    /// Ours.
    Sent,
}

/// What passed.
#[derive(Clone, Debug)]
pub(crate) struct Tapped {
    /// On which connection.
    pub(crate) conn: ConnId,
    /// Which way.
    pub(crate) way: Way,
    /// What, as it stood in the stream: messages of ours whole, the peer's in pieces.
    pub(crate) bytes: Bytes,
    /// How it is read.
    pub(crate) context: wire::DecodeContext,
    /// Pieces before it that did not fit.
    pub(crate) lost: u64,
}

/// One tracer.
#[derive(Debug)]
pub(super) struct Tap {
    whom: Whom,
    sender: mpsc::Sender<Tapped>,
    /// Its connections, also when the engine has forgotten them: last words are said then.
    connections: Vec<ConnId>,
    lost: u64,
}

impl Tap {
    pub(super) fn new(whom: Whom, sender: mpsc::Sender<Tapped>) -> Self {
        Self { whom, sender, connections: Vec::new(), lost: 0 }
    }

    /// Whether somebody listens.
    fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Whether a connection is the peer's; `sender` is what the engine knows of it.
    fn is_for(&mut self, conn: ConnId, sender: Option<Sender<'_>>) -> bool {
        if self.connections.contains(&conn) {
            return true;
        }
        let its = |sender: Sender<'_>| sender.peer == self.whom.address && sender.link == self.whom.link.as_deref();
        let new = sender.is_some_and(its);
        if new {
            self.connections.push(conn);
        }
        new
    }

    fn tell(&mut self, tapped: &Tapped) {
        let tapped = Tapped { lost: self.lost, ..tapped.clone() };
        match self.sender.try_send(tapped) {
            Ok(()) => self.lost = 0,
            Err(_) => self.lost += 1,
        }
    }
}

/// All tracers.
#[derive(Debug, Default)]
pub(super) struct Taps(Vec<Tap>);

impl Taps {
    pub(super) fn add(&mut self, tap: Tap) {
        self.0.push(tap);
    }

    /// Copies for those who trace the peer; usually nobody does.
    pub(super) fn pass(&mut self, engine: &Engine, conn: ConnId, way: Way, bytes: &[u8]) {
        if self.0.is_empty() {
            return;
        }
        self.0.retain(Tap::is_open);
        let [theirs, ours] = engine.contexts(conn);
        let context = if way == Way::Received { theirs } else { ours };
        let sender = engine.sender(conn);
        let mut tapped = None;
        let copy = || Tapped { conn, way, bytes: Bytes::copy_from_slice(bytes), context, lost: 0 };
        for tap in &mut self.0 {
            if tap.is_for(conn, sender) {
                tap.tell(tapped.get_or_insert_with(copy));
            }
        }
    }
}
