//! What the daemon knows about itself, for the views: who we are, what became of each object, what the host
//! lacks, and the last events.
//!
//! Owns: one [`StatusData`] behind a lock that is held only to copy or to change a few fields.
//! Is told: by `run` and `speak` (configuration, verdicts), `host` (errors), `watch` (links), `speaker` (events).
//! Emits: nothing; the admin side reads copies. Events are logged as well, once, here.
//! Does not: know sessions or routes. Those are asked of the speaker.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use engine::Level;

/// Events kept for people who come later.
pub(crate) const EVENTS_KEPT: usize = 512;

/// Which of the two daemons this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `perouter run`: the router of a node.
    Run,
    /// `perouter speak`: only the speaker.
    Speak,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventRecord {
    /// When, by the wall clock.
    pub(crate) at: SystemTime,
    /// How grave it is.
    pub(crate) level: Level,
    /// The peer it concerns.
    pub(crate) peer: Option<IpAddr>,
    /// One sentence.
    pub(crate) text: String,
}

/// The daemon at one moment.
#[derive(Clone, Debug)]
pub(crate) struct StatusData {
    /// Which daemon.
    pub(crate) mode: Mode,
    /// Version of the binary.
    pub(crate) version: &'static str,
    /// When the process started.
    pub(crate) started: SystemTime,
    /// The node, once its file was read. Never set by `speak`.
    pub(crate) node: Option<config::node::Node>,
    /// Why the start waits. `None` once it has begun.
    pub(crate) waiting: Option<String>,
    /// Why there is no configuration at all. `None` when there is one.
    pub(crate) no_config: Option<String>,
    /// Sessions that are wanted and left out, in words.
    pub(crate) left_out: Vec<String>,
    /// What became of each object, from the last load.
    pub(crate) verdicts: Vec<config::verdict::Verdict>,
    /// What the host lacks, from the last attempt.
    pub(crate) host_errors: Vec<kernel::host::HostError>,
    /// What about the host deserves a look although it works.
    pub(crate) host_warnings: Vec<String>,
    /// Links of the router's namespace.
    pub(crate) links: Vec<kernel::monitor::LinkInfo>,
    /// Name of the router's namespace; `None` is the one that the process was started in.
    pub(crate) namespace: Option<String>,
    /// The last [`EVENTS_KEPT`] events, oldest first.
    pub(crate) events: VecDeque<EventRecord>,
}

/// Shared access to the [`StatusData`] of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Status(Arc<Mutex<StatusData>>);

impl Status {
    /// A daemon that has just started.
    pub(crate) fn new(mode: Mode) -> Self {
        Self(Arc::new(Mutex::new(StatusData {
            mode,
            version: env!("CARGO_PKG_VERSION"),
            started: SystemTime::now(),
            node: None,
            waiting: None,
            no_config: None,
            verdicts: Vec::new(),
            left_out: Vec::new(),
            host_errors: Vec::new(),
            host_warnings: Vec::new(),
            links: Vec::new(),
            namespace: None,
            events: VecDeque::new(),
        })))
    }

    /// A copy.
    pub(crate) fn read(&self) -> StatusData {
        self.lock().clone()
    }

    /// Changes something. `change` must be short: readers wait for it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut StatusData)) {
        change(&mut self.lock());
    }

    /// Records an event and logs it.
    pub(crate) fn note(&self, level: Level, peer: Option<IpAddr>, text: String) {
        let shown = peer.map(tracing::field::display);
        match level {
            Level::Info => tracing::info!(peer = shown, "{text}"),
            Level::Warn => tracing::warn!(peer = shown, "{text}"),
        }
        let mut data = self.lock();
        while data.events.len() >= EVENTS_KEPT {
            data.events.pop_front();
        }
        data.events.push_back(EventRecord { at: SystemTime::now(), level, peer, text });
    }

    // Every holder leaves the data whole, so a panic elsewhere does not make it unusable.
    fn lock(&self) -> MutexGuard<'_, StatusData> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_event_makes_room_for_the_newest() {
        let status = Status::new(Mode::Speak);
        for number in 0..EVENTS_KEPT + 3 {
            status.note(Level::Info, None, format!("event {number}"));
        }
        let events = status.read().events;
        assert_eq!(events.len(), EVENTS_KEPT);
        assert_eq!(events.front().map(|event| event.text.as_str()), Some("event 3"));
        assert_eq!(events.back().map(|event| event.text.clone()), Some(format!("event {}", EVENTS_KEPT + 2)));
    }

    #[test]
    fn every_holder_sees_a_change() {
        let status = Status::new(Mode::Run);
        let other = status.clone();
        status.update(|data| data.no_config = Some("no files".into()));
        assert_eq!(other.read().no_config.as_deref(), Some("no files"));
    }
}
