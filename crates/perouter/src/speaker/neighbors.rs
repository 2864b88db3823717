//! The thread that finds unnumbered neighbours by router advertisements.
//!
//! Owns: `kernel::advertise::Advertiser`, from the first time that there is a link to listen on. Is told: on which links
//! ([`Neighbors::set_links`]). Emits: one [`Event::Neighbor`] per router that was heard or lost. Does not: talk to them.
//! The thread ends with the owner, and opens the sockets again when they fail.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use engine::{Event, Level};
use kernel::advertise::{Advertiser, Handle, Heard};
use kernel::netns::Namespace;
use tokio::sync::mpsc;

use super::connection::words;
use crate::status::Status;

/// Wait before sockets that failed are opened again.
const REOPEN: Duration = Duration::from_secs(5);

/// What the thread and its owner share.
#[derive(Debug, Default)]
struct Shared {
    links: Vec<String>,
    /// Of the sockets that are open.
    handle: Option<Handle>,
    ended: bool,
}

/// The owner's end.
#[derive(Debug)]
pub(super) struct Neighbors {
    shared: Arc<Mutex<Shared>>,
    /// What the thread is made of, until it is started.
    worker: Option<Worker>,
}

impl Neighbors {
    /// Starts nothing yet; what is heard goes to `events`.
    pub(super) fn new(namespace: Namespace, status: Status, events: mpsc::Sender<Event>) -> Self {
        let shared = Arc::default();
        let worker = Worker { namespace, status, events, shared: Arc::clone(&shared), told: None };
        Self { shared, worker: Some(worker) }
    }

    /// Listens on these links from here on.
    pub(super) fn set_links(&mut self, links: Vec<String>) -> io::Result<()> {
        let start = !links.is_empty() && self.worker.is_some();
        {
            let mut shared = lock(&self.shared);
            if shared.links == links {
                return Ok(());
            }
            if let Some(handle) = &shared.handle {
                handle.set_links(&links)?;
            }
            shared.links = links;
        }
        if start && let Some(mut worker) = self.worker.take() {
            thread::Builder::new().name("neighbors".into()).spawn(move || worker.run())?;
        }
        Ok(())
    }
}

impl Drop for Neighbors {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.ended = true;
        if let Some(Err(error)) = shared.handle.take().map(|handle| handle.stop()) {
            tracing::debug!(%error, "the thread that finds neighbours ends with the process");
        }
    }
}

#[derive(Debug)]
struct Worker {
    namespace: Namespace,
    status: Status,
    events: mpsc::Sender<Event>,
    shared: Arc<Mutex<Shared>>,
    /// The failure that was last told, so that a lasting one is told once.
    told: Option<String>,
}

impl Worker {
    fn run(&mut self) {
        loop {
            match self.listen() {
                Ok(()) => return,
                Err(error) => self.failed(&words(&error)),
            }
        }
    }

    /// Until it is stopped or a socket fails.
    fn listen(&mut self) -> io::Result<()> {
        let mut advertiser = {
            // The links must not change between being read and having a handle to be changed with.
            let mut shared = lock(&self.shared);
            if shared.ended {
                return Ok(());
            }
            shared.handle = None;
            let advertiser = Advertiser::open(&self.namespace, &shared.links)?;
            shared.handle = Some(advertiser.handle());
            advertiser
        };
        loop {
            let all = advertiser.wait()?;
            if all.is_empty() {
                return Ok(());
            }
            self.told = None;
            for Heard { link, index, router } in all {
                if self.events.blocking_send(Event::Neighbor { link, index, address: router }).is_err() {
                    return Ok(());
                }
            }
        }
    }

    fn failed(&mut self, reason: &str) {
        if self.told.as_deref() != Some(reason) {
            let text =
                format!("cannot look for unnumbered neighbors: {reason}; trying again, needs root or CAP_NET_RAW");
            self.status.note(Level::Warn, None, text);
            self.told = Some(reason.to_owned());
        }
        thread::sleep(REOPEN);
    }
}

// Every holder leaves it whole, so a panic elsewhere does not make it unusable.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
