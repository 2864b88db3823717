//! Graceful restart (RFC 4724, RFC 8538), from either end.
//!
//! *A peer restarts*: what it had said is kept and used, until it has said it again or its time is over. We do so for every
//! peer that offers it. Where it offers that too (RFC 9494), what it has said is the last choice from then on, for hours or days.
//! Of our own routes nobody is asked to keep any for so long.
//!
//! *We restart*: the kernel forwards as before. Peers are told so, and neither they nor the kernel hear of a route before
//! every peer has said what it has, or [`DEFERRAL`] has passed (RFC 4724 section 4.1): half a table would move traffic.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use wire::{Family, FamilySet, Notification};

use crate::Engine;
use crate::action::{Action, Level};
use crate::peer::negotiate::{Agreed, OwnRestart};
use crate::peer::{Origin, Peer};
use crate::policy::PeerFacts;
use crate::rib::table::PeerId;

/// Longest wait for peers after our own restart, if the restart time is not shorter.
const DEFERRAL: Duration = Duration::from_secs(60);
/// A peer that owes us no End-of-RIB has said what it has after this long. FRR begins to speak a second after a session is up.
const QUIET: Duration = Duration::from_secs(5);
/// Between two looks at such peers.
const LOOK: Duration = Duration::from_secs(1);
/// How long a returning peer may take to repeat its paths, where nothing is configured.
const STALE: Duration = Duration::from_secs(360);

/// How long a restarted router listens before it dials, and up to twice as long. A peer that helps may take a second
/// connection for a second restart, and drops what it has kept (BIRD does): whoever has been dialling all along is not dialled.
const OTHERS_FIRST: Duration = Duration::from_millis(100);

/// Waiting for peers after our restart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deferral {
    until: Instant,
    /// When to dial.
    dial: Instant,
    /// When to look again at peers without End-of-RIB.
    look: Instant,
}

/// Longest time for which paths are the last choice, whatever the peer asks for (RFC 9494 section 4.2): they cost our memory.
const LAST_CHOICE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The families of a lost session whose paths are kept. `said`: the NOTIFICATION that ended it, either way.
pub(crate) fn keeps(agreed: &Agreed, said: Option<&Notification>) -> FamilySet {
    let Some(restart) = agreed.restart else { return FamilySet::NONE };
    // RFC 9494 section 4.2: without a time to restart in, what is kept is the last choice at once.
    let long_lived = agreed.long_lived.unwrap_or_default().families();
    let families = restart.families.iter().filter(|family| !restart.time.is_zero() || long_lived.contains(*family));
    let families: FamilySet = families.collect();
    match said {
        None => families,
        // RFC 8538 section 4.
        Some(said) if agreed.notification && !said.is_hard_reset() => families,
        Some(_) => FamilySet::NONE,
    }
}

impl Engine {
    /// What our OPEN says (RFC 4724 section 3). Without a FIB nothing that we forward can be lost.
    pub(crate) fn own_restart(&self) -> OwnRestart {
        let fib = self.intent.as_ref().is_some_and(|intent| intent.fib);
        OwnRestart { restarting: self.deferral.is_some(), preserved: !fib || self.preserved || self.converged }
    }

    /// The first configuration after a restart that the kernel's routes survived.
    pub(crate) fn begin_deferral(&mut self, now: Instant) {
        let Some(intent) = self.intent.as_ref().filter(|_| self.preserved) else { return };
        let admitted = |address: &IpAddr| {
            let in_range = intent.ranges.iter().any(|range| range.prefix.contains(address));
            let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
            intent.peers.contains_key(address) || in_range || link_local && !intent.unnumbered.is_empty()
        };
        if let Some(awaited) = &mut self.awaited {
            awaited.retain(admitted);
        }
        let ranges = intent.ranges.iter().map(|range| &range.peer);
        let peers = intent.peers.values().chain(intent.unnumbered.values()).chain(ranges);
        let time = peers.filter_map(|peer| Some(peer.graceful_restart?.restart_time)).max();
        let Some(time) = time else { return };
        // Two routers that start at once do not dial each other at once.
        let dial = now + OTHERS_FIRST.mul_f64(1.0 + self.portion());
        let (until, look) = (now + time.min(DEFERRAL), now + LOOK);
        self.deferral = Some(Deferral { until, dial, look });
    }

    /// When to dial a peer for the first time.
    pub(crate) fn first_dial(&self, now: Instant) -> Instant {
        self.deferral.map_or(now, |deferral| deferral.dial.max(now))
    }

    /// Whether nothing is told to peers and kernel for now.
    pub(crate) fn deferring(&self) -> bool {
        self.deferral.is_some()
    }

    pub(crate) fn deferral_deadline(&self) -> Option<Instant> {
        self.deferral.map(|deferral| deferral.until.min(deferral.look))
    }

    pub(crate) fn deferral_timeout(&mut self, now: Instant) {
        let Some(deferral) = &mut self.deferral else { return };
        if deferral.until <= now {
            let late: Vec<String> = self
                .peers
                .values()
                .filter(|peer| !self.has_said_all(peer, now))
                .map(|peer| peer.intent.name.clone())
                .collect();
            self.end_deferral(&format!("without waiting longer for {}", late.join(", ")));
        } else if deferral.look <= now {
            deferral.look = now + LOOK;
            self.check_convergence(now);
        }
    }

    fn end_deferral(&mut self, how: &str) {
        self.deferral = None;
        self.note(None, Level::Info, format!("restarted gracefully: routes are told and installed again {how}"));
    }

    /// All peers have sent everything: what nobody announced again can go from the kernel, and a restart is over.
    pub(crate) fn check_convergence(&mut self, now: Instant) {
        if self.deferral.is_some() && self.everybody_has_said_all(now) {
            self.end_deferral("after every peer has said what it has");
        }
        self.check_return(now);
        if self.converging.is_some() && !self.missing() && self.peers.keys().all(|id| self.rib.synchronised(*id)) {
            self.sweep();
        }
    }

    fn everybody_has_said_all(&self, now: Instant) -> bool {
        let ready = |peer: &Peer| self.has_said_all(peer, now);
        let Some(awaited) = &self.awaited else { return !self.strangers() && self.peers.values().all(ready) };
        // Whoever had no session before has nothing that could be lost.
        let found = |address: &IpAddr| self.peers.values().find(|peer| peer.address.ip == *address);
        awaited.iter().all(|address| found(address).is_some_and(ready))
    }

    /// Whether there are peers that are known only when they connect. Over a link of ours comes the host, which is configured
    /// by its address as well.
    fn strangers(&self) -> bool {
        self.intent.as_ref().is_some_and(|intent| intent.ranges.iter().any(|range| range.link.is_none()))
    }

    /// Whether a peer that had a session before our restart has not come back yet: it may be one that is known only when it
    /// connects. After a while nobody is missed any more.
    fn missing(&self) -> bool {
        let Some(awaited) = &self.awaited else { return self.preserved && self.strangers() };
        awaited.iter().any(|address| !self.peers.values().any(|peer| peer.address.ip == *address))
    }

    /// RFC 4724 section 4.1: a peer that restarts as well waits for us, and is not waited for. It is heard out, though: FRR
    /// calls itself restarting for two minutes after every start, and waits for nobody.
    pub(crate) fn has_said_all(&self, peer: &Peer, now: Instant) -> bool {
        let Some((_, session)) = peer.established() else { return false };
        let owes = session.agreed.restart.is_some_and(|restart| !restart.restarting);
        let heard_out = now.saturating_duration_since(peer.since) >= QUIET;
        self.rib.synchronised(peer.id) || (heard_out && !owes)
    }

    /// Tells the driver whom a later process is to wait for, when that has changed.
    pub(crate) fn tell_sessions(&mut self) {
        if !std::mem::take(&mut self.sessions_changed) {
            return;
        }
        let Some(told) = &mut self.sessions else { return };
        // Whoever did not come back in time is not expected any more, for however long its paths are kept (RFC 9494).
        let returns = |peer: &Peer| peer.stale_until.is_some() && !peer.is_last_choice();
        let expected = |peer: &&Peer| peer.established().is_some() || returns(peer);
        let known = self.peers.values().filter(expected).map(|peer| peer.address.ip);
        let sessions: BTreeSet<IpAddr> = known.chain(self.awaited.iter().flatten().copied()).collect();
        if *told != sessions {
            told.clone_from(&sessions);
            self.actions.push_back(Action::Sessions(sessions));
        }
    }

    /// The session of a peer ended. Keeps its paths where that was agreed; returns what to say of it.
    pub(crate) fn peer_lost(&mut self, now: Instant, id: PeerId, agreed: &Agreed, keep: FamilySet) -> String {
        let again = self.peers.get(&id).is_some_and(|peer| peer.stale_until.is_some());
        let kept = if keep.is_empty() { FamilySet::NONE } else { self.rib.peer_restarts(id, keep, again) };
        let Some(peer) = self.peers.get_mut(&id) else { return String::new() };
        if kept.is_empty() {
            peer.stale_until = None;
            self.rib.peer_down(id);
            return String::new();
        }
        // It says how long it takes; for how long at most we keep what costs our memory is ours to say.
        let longest = peer.intent.graceful_restart.map_or(STALE, |restart| restart.stale_time);
        let time = agreed.restart.map_or(Duration::ZERO, |restart| restart.time).min(longest);
        peer.stale_until = Some(now + time);
        peer.long_lived = agreed.long_lived.unwrap_or_default();
        peer.last_choice = [None; 2];
        format!("; its routes are kept for {} s, for it to restart", time.as_secs())
    }

    /// A session is up again while paths of the last one are kept: what was not preserved goes (RFC 4724 section 4.2).
    pub(crate) fn peer_returns(&mut self, now: Instant, id: PeerId, facts: &PeerFacts) {
        let Some(peer) = self.peers.get(&id).filter(|peer| peer.stale_until.is_some()) else { return };
        let Some((_, session)) = peer.established() else { return };
        let stale_time = peer.intent.graceful_restart.map_or(STALE, |restart| restart.stale_time);
        // RFC 9494 section 4.2: what is kept for long has a bit of its own.
        let preserved = if peer.last_choice == [None; 2] {
            session.agreed.restart.map_or(FamilySet::NONE, |restart| restart.preserved)
        } else {
            session.agreed.long_lived.unwrap_or_default().preserved
        };
        // With path identifiers a path is another one than without.
        let before = self.rib.peer(id).map_or(FamilySet::NONE, |known| known.facts.add_path_receive);
        let same = |family: &wire::Family| before.contains(*family) == facts.add_path_receive.contains(*family);
        // What its paths mean follows from these.
        let meaning = |facts: &PeerFacts| (facts.role, facts.asn, facts.external, facts.router_id, facts.client);
        let known = self.rib.peer(id).is_some_and(|known| meaning(&known.facts) == meaning(facts));
        self.rib.peer_returns(id, preserved.iter().filter(|family| known && same(family)).collect());
        let left = !self.rib.kept(id).is_empty();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.stale_until = left.then(|| now + stale_time);
            peer.last_choice = [None; 2];
        }
    }

    /// End-of-RIB: what a returned peer has not said again goes.
    pub(crate) fn repeated(&mut self, id: PeerId, family: wire::Family) {
        if self.peers.get(&id).is_none_or(|peer| peer.stale_until.is_none()) {
            return;
        }
        self.rib.sweep_stale(id, family);
        if self.rib.synchronised(id)
            && let Some(peer) = self.peers.get_mut(&id)
        {
            peer.stale_until = None;
        }
    }

    /// The peer did not come back, or has not said everything again in time.
    pub(crate) fn stale_expired(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.stale_until = None;
        self.sessions_changed = true;
        let (name, address) = (peer.intent.name.clone(), peer.address.ip);
        if peer.established().is_some() {
            wire::Family::ALL.into_iter().for_each(|family| self.rib.sweep_stale(id, family));
            let text = format!("{name} has not said all its routes again in time: the others are gone");
            return self.tell(now, address, Level::Warn, text);
        }
        if self.keep_for_long(now, id) {
            return;
        }
        let Some(peer) = self.peers.get(&id) else { return };
        let over = peer.connections.is_empty() && matches!(peer.origin, Origin::Range(..));
        self.rib.peer_down(id);
        self.tell(now, address, Level::Warn, format!("{name} did not come back in time: its routes are gone"));
        if over {
            self.forget(id);
        }
    }

    /// The peer did not come back in time. Whether some of its paths are kept nevertheless (RFC 9494 section 4.2).
    fn keep_for_long(&mut self, now: Instant, id: PeerId) -> bool {
        let kept = self.rib.kept(id);
        let Some(peer) = self.peers.get_mut(&id) else { return false };
        let begins = peer.last_choice == [None; 2];
        if begins {
            for family in peer.long_lived.families().iter().filter(|family| kept.contains(*family)) {
                peer.last_choice[family.index()] = Some(now + peer.long_lived.times[family.index()].min(LAST_CHOICE));
            }
        }
        let times = peer.last_choice;
        let lasts = |family: &Family| times[family.index()].is_some_and(|until| until > now);
        let families: FamilySet = Family::ALL.into_iter().filter(lasts).collect();
        let Some(until) = families.iter().filter_map(|family| times[family.index()]).min() else { return false };
        if begins {
            self.rib.last_choice(id, families);
        } else {
            let gone = Family::ALL.into_iter().filter(|family| !families.contains(*family));
            gone.for_each(|family| self.rib.drop_family(id, family));
        }
        // What it said was perhaps not to be kept for long.
        if self.rib.kept(id).is_empty() {
            return false;
        }
        peer.stale_until = Some(until);
        if begins {
            let (name, address) = (peer.intent.name.clone(), peer.address.ip);
            let seconds = until.saturating_duration_since(now).as_secs();
            let text = format!("{name} did not come back in time: its routes are the last choice for {seconds} s more");
            self.tell(now, address, Level::Warn, text);
        }
        true
    }

    /// What is kept of a peer goes: it is not to come back.
    pub(crate) fn drop_stale(&mut self, id: PeerId) {
        let kept = self.peers.get_mut(&id).and_then(|peer| peer.stale_until.take());
        self.sessions_changed |= kept.is_some();
        if kept.is_some() && self.peers.get(&id).is_some_and(|peer| peer.established().is_none()) {
            self.rib.peer_down(id);
        }
    }
}
