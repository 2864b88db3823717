//! What the daemon knows about itself, for the views: who we are, what became of each object, what the host
//! lacks, and what happened.
//!
//! Owns: one [`StatusData`] behind a lock that is held only to copy or to change a few fields, and the [`Journal`].
//! Is told: by `run` and `speak` (configuration, verdicts), `host` (errors), `watch` (links), `speaker` (events).
//! Emits: nothing; the admin side reads copies. Events are logged as well, once, here.
//! Does not: know sessions or routes. Those are asked of the speaker.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::Level;

use crate::journal::{About, Journal};
use crate::moment::Moment;

/// Which of the two daemons this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `perouter run`: the router of a node.
    Run,
    /// `perouter speak`: only the speaker.
    Speak,
}

/// The daemon at one moment.
#[derive(Clone, Debug)]
pub(crate) struct StatusData {
    /// Which daemon.
    pub(crate) mode: Mode,
    /// Version of the binary.
    pub(crate) version: &'static str,
    /// When the process started.
    pub(crate) started: Moment,
    /// The node, once its file was read. Never set by `speak`.
    pub(crate) node: Option<config::node::Node>,
    /// Why the start waits. `None` once it has begun.
    pub(crate) waiting: Option<String>,
    /// Why the objects are not put in force: what is missing. `None` when nothing is.
    pub(crate) withheld: Option<String>,
    /// A configuration is being put in force at this moment.
    pub(crate) applying: bool,
    /// What the API server of the cluster cannot be asked about, in words.
    pub(crate) cluster_troubles: Vec<String>,
    /// Why there is no configuration at all. `None` when there is one.
    pub(crate) no_config: Option<String>,
    /// What is wanted and not in force, in words: sessions that are left out, or why a speaker's changed file is not used.
    pub(crate) left_out: Vec<String>,
    /// What became of each object, from the last load.
    pub(crate) verdicts: Vec<config::verdict::Verdict>,
    /// What the host lacks, from the last attempt.
    pub(crate) host_errors: Vec<kernel::host::HostError>,
    /// What about the host deserves a look although it works.
    pub(crate) host_warnings: Vec<String>,
    /// NICs that the router is to have.
    pub(crate) nics: Vec<String>,
    /// Those of them that have lost their carrier since they had one.
    pub(crate) without_carrier: BTreeSet<String>,
    /// How often what was done.
    pub(crate) tallies: Tallies,
    /// Links of the router's namespace.
    pub(crate) links: Vec<kernel::monitor::LinkInfo>,
    /// Name of the router's namespace; `None` is the one that the process was started in.
    pub(crate) namespace: Option<String>,
}

/// How often what was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tallies {
    /// Looks at the host that found nothing to do.
    pub(crate) host_untouched: u64,
    /// Those that changed something.
    pub(crate) host_changed: u64,
    /// Those after which something was still missing.
    pub(crate) host_failed: u64,
    /// Steps that were done again because somebody undid them.
    pub(crate) host_repairs: u64,
    /// Configurations that were put in force.
    pub(crate) config_applied: u64,
    /// Those that left the router as it was.
    pub(crate) config_kept: u64,
    /// When one was last put in force.
    pub(crate) config_applied_at: Option<Moment>,
}

impl Tallies {
    /// A configuration was put in force.
    pub(crate) fn applied(&mut self) {
        self.config_applied += 1;
        self.config_applied_at = Some(Moment::now());
    }
}

/// Shared access to the [`StatusData`] and the [`Journal`] of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    data: Arc<Mutex<StatusData>>,
    journal: Journal,
}

impl Status {
    /// A daemon that has just started.
    pub(crate) fn new(mode: Mode) -> Self {
        let data = StatusData {
            mode,
            version: crate::VERSION,
            started: Moment::now(),
            node: None,
            waiting: None,
            withheld: None,
            applying: false,
            cluster_troubles: Vec::new(),
            no_config: None,
            verdicts: Vec::new(),
            left_out: Vec::new(),
            host_errors: Vec::new(),
            host_warnings: Vec::new(),
            nics: Vec::new(),
            without_carrier: BTreeSet::new(),
            tallies: Tallies::default(),
            links: Vec::new(),
            namespace: None,
        };
        Self { data: Arc::new(Mutex::new(data)), journal: Journal::default() }
    }

    /// A copy.
    pub(crate) fn read(&self) -> StatusData {
        self.lock().clone()
    }

    /// Changes something. `change` must be short: readers wait for it.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut StatusData) -> T) -> T {
        change(&mut self.lock())
    }

    /// Records an event and logs it.
    pub(crate) fn note(&self, level: Level, about: impl Into<About>, text: impl Into<String>) {
        let (about, text) = (about.into(), text.into());
        let (peer, object) = match &about {
            About::Router => (None, None),
            About::Peer(peer) => (Some(tracing::field::display(peer)), None),
            About::Object(object) => (None, Some(object.as_str())),
        };
        match level {
            Level::Info => tracing::info!(peer, object, "{text}"),
            Level::Warn => tracing::warn!(peer, object, "{text}"),
        }
        self.journal.add(Moment::now(), level, about, text);
    }

    /// What happened.
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    // Every holder leaves the data whole, so a panic elsewhere does not make it unusable.
    fn lock(&self) -> MutexGuard<'_, StatusData> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_numbered_whatever_they_are_about() {
        let status = Status::new(Mode::Speak);
        let peer = std::net::IpAddr::from([10, 0, 0, 1]);
        status.note(Level::Info, None, "the router");
        status.clone().note(Level::Warn, Some(peer), "a peer");
        status.note(Level::Warn, "eth1", "a link");
        let told: Vec<_> =
            status.journal().newest(9).events.into_iter().map(|event| (event.number, event.about)).collect();
        assert_eq!(told, [(1, About::Router), (2, About::Peer(peer)), (3, About::Object("eth1".into()))]);
    }

    #[test]
    fn every_holder_sees_a_change() {
        let status = Status::new(Mode::Run);
        let other = status.clone();
        status.update(|data| data.no_config = Some("no files".into()));
        assert_eq!(other.read().no_config.as_deref(), Some("no files"));
    }
}
