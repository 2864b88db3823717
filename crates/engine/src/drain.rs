//! Draining: the router takes itself out of the way before its node goes.
//!
//! *Telling*: every route is told with GRACEFUL_SHUTDOWN (RFC 8326), so that peers move their traffic while we still forward.
//! *Drained*: after the wait every session ends with Cease/Administrative Shutdown, a hard reset where graceful restart was
//! agreed (RFC 8538), so that nobody keeps our routes; nobody is dialled or let in.
//! *Returning*: it was undone, and peers say what they have.
//!
//! From the end of the sessions until their return the kernel is told nothing: what still arrives is forwarded as before.

use std::time::{Duration, Instant};

use wire::{Notification, code};

use crate::Engine;
use crate::action::Level;
use crate::event::Drain;
use crate::operator::cease;
use crate::peer::Dialler;
use crate::policy::Own;
use crate::snapshot::DrainSnapshot;

/// Longest wait for peers to return before the kernel is told what they did not say again.
const RETURN: Duration = Duration::from_secs(10);
/// Between two looks at peers that do not say when they have said everything.
const LOOK: Duration = Duration::from_secs(1);

/// How far it is.
#[derive(Clone, Debug, Default)]
pub(crate) enum Draining {
    /// Nobody wants it.
    #[default]
    No,
    /// Peers move their traffic until then.
    Telling { since: Instant, until: Instant, message: Option<String> },
    /// No sessions. Whoever tries is told the same again.
    Drained { since: Instant, message: Option<String>, said: Notification },
    /// Sessions come back.
    Returning { until: Instant, look: Instant },
}

impl Engine {
    /// Begins, or with `None` undoes it. A second one sets the wait anew, until the sessions have ended.
    pub(crate) fn drain(&mut self, now: Instant, wanted: Option<Drain>) {
        match wanted {
            Some(Drain { wait, message }) => self.begin_drain(now, wait, message),
            None => self.undo_drain(now),
        }
    }

    fn begin_drain(&mut self, now: Instant, wait: Duration, message: Option<String>) {
        let since = match &self.draining {
            Draining::Drained { .. } => return,
            Draining::Telling { since, .. } => *since,
            Draining::No | Draining::Returning { .. } => now,
        };
        // A wait beyond all clocks is one without end.
        let until = now.checked_add(wait).unwrap_or(now + Duration::from_secs(u64::from(u32::MAX)));
        self.draining = Draining::Telling { since, until, message };
        self.tell_draining(true);
        let seconds = wait.as_secs_f64();
        let text =
            format!("draining: peers are asked to move their traffic (GRACEFUL_SHUTDOWN); sessions end in {seconds} s");
        self.note(None, Level::Info, text);
    }

    fn undo_drain(&mut self, now: Instant) {
        match std::mem::take(&mut self.draining) {
            Draining::No => return,
            Draining::Telling { .. } => {}
            Draining::Drained { .. } => {
                self.draining = Draining::Returning { until: now + RETURN, look: now + LOOK };
                self.dial_all(now);
            }
            returning @ Draining::Returning { .. } => {
                self.draining = returning;
                return;
            }
        }
        self.tell_draining(false);
        self.note(None, Level::Info, "no longer draining".into());
    }

    fn tell_draining(&mut self, on: bool) {
        let (own, rules) = (self.rib.own, self.rib.rules());
        if own.draining != on {
            self.rib.set_own(Own { draining: on, ..own }, rules);
        }
    }

    fn dial_all(&mut self, now: Instant) {
        self.bfd_changed = true;
        for peer in self.peers.values_mut() {
            peer.failures = 0;
            peer.told.clear();
            peer.last_notification = None;
            if peer.dials() && peer.held_down.is_none() && peer.connections.is_empty() {
                peer.dialler = Dialler::Waiting(now);
            }
        }
    }

    /// The wait is over.
    fn leave(&mut self, now: Instant, since: Instant, message: Option<String>) {
        let said = cease(code::cease::ADMINISTRATIVE_SHUTDOWN, message.as_deref());
        // First, so that nobody is dialled again.
        self.draining = Draining::Drained { since, message, said: said.clone() };
        self.bfd_changed = true;
        self.note(None, Level::Warn, "drained: every session ends; forwarding stays as it is".into());
        for id in self.ids() {
            self.stop(now, id, Some(&said));
            self.drop_stale(id);
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.dialler = Dialler::Resting;
            }
        }
    }

    pub(crate) fn drain_deadline(&self) -> Option<Instant> {
        match self.draining {
            Draining::No | Draining::Drained { .. } => None,
            Draining::Telling { until, .. } => Some(until),
            Draining::Returning { until, look } => Some(until.min(look)),
        }
    }

    pub(crate) fn drain_timeout(&mut self, now: Instant) {
        match &mut self.draining {
            Draining::Telling { since, until, message } if *until <= now => {
                let (since, message) = (*since, message.take());
                self.leave(now, since, message);
            }
            Draining::Returning { until, .. } if *until <= now => self.draining = Draining::No,
            Draining::Returning { look, .. } if *look <= now => {
                *look = now + LOOK;
                self.check_return(now);
            }
            Draining::No | Draining::Telling { .. } | Draining::Drained { .. } | Draining::Returning { .. } => {}
        }
    }

    /// Once every peer has said what it has, the kernel is told what is different.
    pub(crate) fn check_return(&mut self, now: Instant) {
        let back = || self.peers.values().filter(|peer| !peer.is_shut_down()).all(|peer| self.has_said_all(peer, now));
        if matches!(self.draining, Draining::Returning { .. }) && back() {
            self.draining = Draining::No;
        }
    }

    /// What whoever wants a session is told while there are none.
    pub(crate) fn drained(&self) -> Option<&Notification> {
        match &self.draining {
            Draining::Drained { said, .. } => Some(said),
            Draining::No | Draining::Telling { .. } | Draining::Returning { .. } => None,
        }
    }

    /// Whether the kernel is to be left as it is for now.
    pub(crate) fn kernel_stays(&self) -> bool {
        match self.draining {
            Draining::No | Draining::Telling { .. } => false,
            Draining::Drained { .. } | Draining::Returning { .. } => true,
        }
    }

    pub(crate) fn drain_snapshot(&self) -> Option<DrainSnapshot> {
        match &self.draining {
            Draining::No | Draining::Returning { .. } => None,
            Draining::Telling { since, until, message } => {
                Some(DrainSnapshot { since: *since, until: Some(*until), message: message.clone() })
            }
            Draining::Drained { since, message, .. } => {
                Some(DrainSnapshot { since: *since, until: None, message: message.clone() })
            }
        }
    }
}
