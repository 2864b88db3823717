//! The engine's BFD sessions: started when the first one is wanted, their reports on the way to the engine.

use std::io;
use std::task::{Context, Poll};

use engine::{BfdPeer, Event, Level, Liveness};
use kernel::netns::Namespace;
use tokio::sync::{mpsc, oneshot};

use super::connection::words;
use crate::bfd::{BfdThread, Report, View, Wanted};
use crate::status::Status;

/// Reports that wait for the owner; the thread keeps what matters beyond that.
const REPORTS: usize = 64;

pub(super) struct Watch {
    namespace: Namespace,
    status: Status,
    thread: Option<BfdThread>,
    reports: mpsc::Receiver<Report>,
    sender: mpsc::Sender<Report>,
}

impl Watch {
    pub(super) fn new(namespace: Namespace, status: Status) -> Self {
        let (sender, reports) = mpsc::channel(REPORTS);
        Self { namespace, status, thread: None, reports, sender }
    }

    /// Keeps exactly these sessions.
    pub(super) fn set(&mut self, peers: Vec<BfdPeer>) {
        if self.thread.is_none() && !peers.is_empty() {
            self.thread = match self.start() {
                Ok(thread) => Some(thread),
                Err(error) => {
                    let text = format!("cannot run BFD, sessions rely on their hold times: {}", words(&error));
                    self.status.note(Level::Warn, None, text);
                    None
                }
            };
        }
        let wanted = |BfdPeer { peer, link, local, settings }| Wanted { peer, scope_link: link, local, settings };
        if let Some(thread) = &self.thread {
            thread.set_sessions(peers.into_iter().map(wanted).collect());
        }
    }

    fn start(&self) -> io::Result<BfdThread> {
        BfdThread::start(self.namespace.clone(), self.status.clone(), self.sender.clone())
    }

    /// Has the sessions shown to `reply`, by the thread itself.
    pub(super) fn show(&self, reply: oneshot::Sender<Vec<View>>) {
        match &self.thread {
            Some(thread) => thread.snapshot(reply),
            None => drop(reply.send(Vec::new())),
        }
    }

    /// What one of them has said and nobody has taken, or who is woken when one says something.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        match self.reports.poll_recv(context) {
            Poll::Ready(Some(report)) => Poll::Ready(event(report)),
            // There is no end: it has a sender itself.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Ends all sessions so that neighbours do not take it for a broken path.
    pub(super) async fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.stop().await;
        }
    }
}

fn event(report: Report) -> Event {
    let Report { peer, link, up, admin_down_by_peer, remote_control_plane_independent, reason } = report;
    Event::Liveness(Liveness {
        peer,
        link,
        up,
        admin_down: admin_down_by_peer,
        control_plane_independent: remote_control_plane_independent,
        reason,
    })
}
