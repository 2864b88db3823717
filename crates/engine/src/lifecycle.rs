//! Connections from their first to their last moment: dialled, accepted, ended, tried again.
//!
//! A connection from an address that no neighbour has may belong to a range ([`crate::intent::RangeIntent`]): then a
//! peer is made for it, which goes with its last connection.

use std::net::SocketAddr;
use std::time::Instant;

use ipnet::IpNet;
use wire::{Family, FamilySet, MessageType, Notification, code};

use crate::Engine;
use crate::action::{Action, Dial, Level};
use crate::event::ConnId;
use crate::intent::RangeIntent;
use crate::peer::fsm::{Input, Phase};
use crate::peer::negotiate::Agreed;
use crate::peer::{Connection, Dialler, FIRST_RETRY, HeldDown, Origin, Peer, PeerAddress};
use crate::restart;
use crate::rib::table::PeerId;
use crate::sessions::count;

/// Why a connection is not wanted.
struct Refusal {
    text: String,
    answer: Notification,
    /// How many of this peer there were since it is held down; `None` for strangers, who are counted together.
    nth: Option<u64>,
}

/// Reasons for having no session that are told until there is one: a peer must not fill the log by varying its own.
const TOLD: usize = 8;

impl Engine {
    pub(crate) fn connected(&mut self, now: Instant, conn: ConnId, local: SocketAddr) {
        let Some(id) = self.connections.get(&conn).copied() else {
            // The peer went while the connection was being opened.
            self.close(conn, None);
            return;
        };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.dialler = Dialler::Resting;
        let remote = peer.address.target(peer.intent.port);
        self.greet(id, Connection::new(conn, local, remote, now));
    }

    pub(crate) fn accepted(
        &mut self,
        now: Instant,
        conn: ConnId,
        local: SocketAddr,
        remote: SocketAddr,
        link: Option<&str>,
    ) {
        let id = match self.acceptor(now, remote, link) {
            Ok(id) => id,
            Err(refusal) => {
                self.tell_refusal(remote, &refusal);
                self.refuse(conn, &refusal.answer);
                return;
            }
        };
        self.connections.insert(conn, id);
        // After our restart a second connection would look like a second restart.
        if self.deferring() {
            self.abandon_dial(id);
        }
        // A peer that dials again before its earlier attempt came to anything has given that one up.
        let stale = self.peers.get(&id).and_then(|peer| {
            let mut pending = peer.connections.iter().filter(|old| old.state.phase() != Phase::Established);
            pending.find(|old| matches!(old.id, ConnId::Accepted(_))).map(|old| old.id)
        });
        self.greet(id, Connection::new(conn, local, remote, now));
        if let Some(stale) = stale {
            let collision = Notification::cease(code::cease::COLLISION_RESOLUTION);
            self.input(now, id, stale, Input::Stop(collision));
        }
    }

    /// Who connects decides how often this happens, not we. Of strangers the first ten are told, and then each time their
    /// number doubles. Of a peer that is held down, which was told then, the first and each time their number is ten times
    /// as high.
    fn tell_refusal(&mut self, remote: SocketAddr, refusal: &Refusal) {
        let (count, told, counted) = match refusal.nth {
            Some(nth) => (nth, 10_u64.pow(nth.max(1).ilog10()) == nth, nth > 1),
            None => {
                self.refusals += 1;
                let count = self.refusals;
                (count, count <= 10 || count.is_power_of_two(), count > 10)
            }
        };
        if told {
            let total = if counted { format!(" ({count} so far)") } else { String::new() };
            self.note(Some(remote.ip()), Level::Warn, format!("{}{total}", refusal.text));
        }
    }

    /// The peer that a connection belongs to, made from a range if need be; or why there is none.
    fn acceptor(&mut self, now: Instant, remote: SocketAddr, link: Option<&str>) -> Result<PeerId, Refusal> {
        if let Some(said) = self.drained() {
            let text = format!("connection from {} refused: this router is drained", remote.ip());
            return Err(Refusal { text, answer: said.clone(), nth: None });
        }
        let address = PeerAddress::of(remote);
        self.adopt_unnumbered(now, address);
        if let Some(&id) = self.by_address.get(&address) {
            let Some(peer) = self.peers.get_mut(&id) else { return Ok(id) };
            if peer.is_held(now) {
                let (why, answer) = match &peer.held_down {
                    Some(HeldDown::Operator(said)) => ("an operator shut it down", said.clone()),
                    Some(HeldDown::TooMany { .. }) | None => ("it announced too many prefixes", rejected()),
                };
                let text = format!("connection from {} refused: {why}", remote.ip());
                peer.turned_away += 1;
                return Err(Refusal { text, answer, nth: Some(peer.turned_away) });
            }
            peer.held_down = None;
            return Ok(id);
        }
        let refused = |why: &str| {
            let text = format!("connection from {} refused: {why}", remote.ip());
            Refusal { text, answer: rejected(), nth: None }
        };
        let Some(range) = self.range_for(remote, link).cloned() else {
            return Err(refused("no neighbor with this address is configured"));
        };
        let key = (range.prefix, range.link.clone());
        let in_range = |peer: &&Peer| {
            (!peer.connections.is_empty() || peer.stale_until.is_some() || peer.held_down.is_some())
                && matches!(&peer.origin, Origin::Range(prefix, link) if (*prefix, link.clone()) == key)
        };
        let (used, limit): (Vec<&Peer>, usize) = match range.limit {
            Some(limit) => (self.peers.values().filter(in_range).collect(), limit),
            None => {
                let shared = |peer: &&Peer| match &peer.origin {
                    Origin::Range(prefix, link) => {
                        self.range_named(*prefix, link).is_some_and(|range| range.limit.is_none())
                    }
                    Origin::Configured | Origin::Link => false,
                };
                let limit = self.intent.as_ref().map_or(0, |intent| intent.listen_limit);
                (self.peers.values().filter(shared).collect(), limit)
            }
        };
        if used.len() >= limit {
            let full = format!("{} has {} peers, which is its limit", range.peer.name, used.len());
            // What is kept for days of one that is away keeps nobody out who is here.
            let away = used.iter().find(|peer| peer.connections.is_empty() && peer.is_last_choice());
            let away = away.map(|peer| (peer.id, peer.address.ip, peer.intent.name.clone()));
            let Some((away, address, name)) = away else { return Err(refused(&full)) };
            self.forget(away);
            self.tell(now, address, Level::Warn, format!("{full}: the routes that were kept of {name} are gone"));
        }
        let mut intent = range.peer.clone();
        intent.passive = true;
        intent.name = format!("{} {}", range.peer.name, remote.ip());
        let id = self.free_id().ok_or_else(|| refused("there are too many peers"))?;
        let mut peer = Peer::new(id, address, intent, now);
        self.bfd_changed |= peer.intent.bfd.is_some();
        peer.origin = Origin::Range(range.prefix, range.link);
        self.by_address.insert(address, id);
        self.peers.insert(id, peer);
        Ok(id)
    }

    /// An unnumbered neighbour may dial before it was heard: then its link says who it is.
    fn adopt_unnumbered(&mut self, now: Instant, address: PeerAddress) {
        if address.scope == 0 || self.by_address.contains_key(&address) {
            return;
        }
        let links = self.rib.next_hops.links();
        let Some(link) = links.iter().find(|link| link.index == address.scope) else { return };
        let Some(&id) = self.by_link.get(&link.name) else { return };
        if self.peers.get(&id).is_some_and(|peer| peer.address == PeerAddress::UNKNOWN) {
            self.move_peer(now, id, address);
        }
    }

    /// The range of a source: one of its link before others, the longer before the shorter.
    fn range_for(&self, remote: SocketAddr, link: Option<&str>) -> Option<&RangeIntent> {
        let ranges = self.intent.as_ref()?.ranges.iter();
        let covering = ranges.filter(|range| {
            range.prefix.contains(&remote.ip()) && range.link.as_deref().is_none_or(|wanted| Some(wanted) == link)
        });
        covering.max_by_key(|range| (range.link.is_some(), range.prefix.prefix_len()))
    }

    /// The configured range that a peer was made from.
    pub(crate) fn range_named(&self, prefix: IpNet, link: &Option<String>) -> Option<&RangeIntent> {
        let mut ranges = self.intent.as_ref()?.ranges.iter();
        ranges.find(|range| range.prefix == prefix && range.link == *link)
    }

    /// Sends OPEN on a fresh connection.
    fn greet(&mut self, id: PeerId, mut connection: Connection) {
        let own = self.own_restart();
        let Some((intent, peer)) = self.intent.as_ref().zip(self.peers.get_mut(&id)) else { return };
        peer.open(intent, own).encode(&mut connection.out);
        count(&mut peer.sent, MessageType::Open, 1);
        peer.connections.push(connection);
    }

    pub(crate) fn connection_closed(&mut self, now: Instant, conn: ConnId, error: Option<String>) {
        self.closing.remove(&conn);
        let Some(id) = self.connections.get(&conn).copied() else { return };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let reason = error.unwrap_or_else(|| "the peer closed the connection".into());
        if matches!(peer.dialler, Dialler::Dialling(dial, _) if dial == conn) {
            self.connections.remove(&conn);
            peer.failed(reason);
            peer.failures += 1;
            peer.dialler = Dialler::Resting;
            self.tell_failure(now, id);
            self.redial(now, id);
            return;
        }
        if peer.connection(conn).is_some() {
            peer.failed(reason);
            self.input(now, id, conn, Input::Closed);
        }
    }

    /// Ends a connection, with a last NOTIFICATION where one is due, and the session that it carried.
    pub(crate) fn end(
        &mut self,
        now: Instant,
        id: PeerId,
        conn: ConnId,
        notification: Option<Notification>,
        received: Option<&Notification>,
    ) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(index) = peer.connections.iter().position(|connection| connection.id == conn) else { return };
        let connection = peer.connections.remove(index);
        let session = connection.state.session().filter(|_| connection.state.phase() == Phase::Established);
        let established = session.map(|session| session.agreed.clone());
        let notification = notification.map(|notification| harden(notification, established.as_ref()));
        if let Some(notification) = &notification {
            peer.sent_notification(notification);
        }
        let keep = established.as_ref().map(|agreed| restart::keeps(agreed, notification.as_ref().or(received)));
        self.connections.remove(&conn);
        let mut last_words = connection.out;
        if let Some(notification) = &notification {
            notification.encode(&mut last_words);
        }
        self.close(conn, Some(last_words));
        self.session_ended(now, id, established.as_ref().zip(keep));
    }

    /// `ended`: what was agreed with an established session, and the families whose paths are kept.
    fn session_ended(&mut self, now: Instant, id: PeerId, ended: Option<(&Agreed, FamilySet)>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let address = peer.address.ip;
        let reason = peer.last_error.clone().unwrap_or_default();
        if let Some((agreed, keep)) = ended {
            self.sessions_changed = true;
            peer.flaps += 1;
            peer.since = now;
            peer.warned = [false; 2];
            let name = peer.intent.name.clone();
            let kept = self.peer_lost(now, id, agreed, keep);
            // Nothing is to be said of what we end ourselves without a word, as before a restart.
            let how = if reason.is_empty() { "ended".to_owned() } else { format!("lost: {reason}") };
            self.tell(now, address, Level::Warn, format!("session with {name} {how}{kept}"));
        } else if peer.connections.is_empty() {
            peer.failures += 1;
            self.tell_failure(now, id);
        }
        let Some(peer) = self.peers.get(&id) else { return };
        let over = peer.connections.is_empty();
        let stays = peer.is_held(now) || peer.stale_until.is_some();
        if over && matches!(peer.origin, Origin::Range(..)) && !stays {
            return self.forget(id);
        }
        if let Some(address) = peer.moving.filter(|_| over) {
            return self.move_peer(now, id, address);
        }
        self.redial(now, id);
    }

    /// Says why there is no session: once per reason, not once per attempt.
    fn tell_failure(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let reason = peer.last_error.clone().unwrap_or_default();
        if peer.told.contains(&reason) || peer.told.len() >= TOLD {
            return;
        }
        let text = format!("no session with {} yet: {reason}; trying again", peer.intent.name);
        let address = peer.address.ip;
        peer.told.push(reason);
        self.tell(now, address, Level::Warn, text);
    }

    /// Plans the next attempt, unless a connection exists or the peer is to dial us.
    fn redial(&mut self, now: Instant, id: PeerId) {
        let portion = self.portion();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        // A dial under way is the next attempt. It has an answer or an end of its own.
        if matches!(peer.dialler, Dialler::Dialling(..)) {
            return;
        }
        if !peer.dials() || !peer.connections.is_empty() {
            peer.dialler = Dialler::Resting;
            return;
        }
        let at = match peer.held_down.as_ref().map(HeldDown::until) {
            Some(None) => {
                peer.dialler = Dialler::Resting;
                return;
            }
            Some(Some(until)) => until,
            None => now + peer.retry_delay(now, portion),
        };
        if !matches!(peer.dialler, Dialler::Waiting(_)) || peer.held_down.is_some() {
            peer.dialler = Dialler::Waiting(at);
        }
    }

    fn close(&mut self, conn: ConnId, last_words: Option<Vec<u8>>) {
        if let Some(bytes) = last_words.filter(|bytes| !bytes.is_empty()) {
            self.closing.insert(conn, bytes);
        }
        self.actions.push_back(Action::Close(conn));
    }

    /// Closes a connection that nobody wants, with the reason.
    fn refuse(&mut self, conn: ConnId, answer: &Notification) {
        let mut last_words = Vec::new();
        answer.encode(&mut last_words);
        self.close(conn, Some(last_words));
    }

    /// Ends every connection of a peer.
    pub(crate) fn stop(&mut self, now: Instant, id: PeerId, notification: Option<&Notification>) {
        self.abandon_dial(id);
        let Some(peer) = self.peers.get(&id) else { return };
        let open: Vec<ConnId> = peer.connections.iter().map(|connection| connection.id).collect();
        for conn in open {
            match notification {
                Some(notification) => self.input(now, id, conn, Input::Stop(notification.clone())),
                None => self.input(now, id, conn, Input::Closed),
            }
        }
    }

    /// A dial that is still under way would only collide with what we have.
    pub(crate) fn abandon_dial(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Dialler::Dialling(dial, _) = std::mem::replace(&mut peer.dialler, Dialler::Resting) {
            self.connections.remove(&dial);
            self.actions.push_back(Action::Close(dial));
        }
    }

    /// Ends the session and begins a new one at once, unless an operator shut it down.
    pub(crate) fn restart(&mut self, now: Instant, id: PeerId, notification: &Notification) {
        self.stop(now, id, Some(notification));
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.failures = 0;
        peer.told.clear();
        peer.last_notification = None;
        peer.held_down = peer.held_down.take().filter(|held| matches!(held, HeldDown::Operator(_)));
        peer.dialler = if peer.dials() { Dialler::Waiting(now) } else { Dialler::Resting };
    }

    /// Takes a peer away.
    pub(crate) fn remove_peer(&mut self, now: Instant, id: PeerId) {
        self.stop(now, id, Some(&Notification::cease(code::cease::PEER_DECONFIGURED)));
        self.forget(id);
    }

    pub(crate) fn forget(&mut self, id: PeerId) {
        self.unmap(id);
        self.drop_stale(id);
        self.bfd_changed |= self.peers.remove(&id).is_some_and(|peer| peer.intent.bfd.is_some());
    }

    /// `graceful`: peers that were told of our graceful restart are left without a word, so that they keep our routes.
    pub(crate) fn shutdown(&mut self, now: Instant, graceful: bool) {
        self.sessions = None;
        let notification = Notification::cease(code::cease::ADMINISTRATIVE_SHUTDOWN);
        for id in self.ids() {
            let restarts = self.peers.get(&id).is_some_and(|peer| peer.intent.graceful_restart.is_some());
            self.stop(now, id, (!(graceful && restarts)).then_some(&notification));
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.dialler = Dialler::Resting;
            }
        }
    }

    /// Ends the session of a peer that announces more than it may, or says so (RFC 4271 6.7, RFC 4486 section 4).
    pub(crate) fn check_limits(&mut self, now: Instant, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        for (family, max) in peer.intent.max_prefixes.clone() {
            let Some(peer) = self.peers.get_mut(&id) else { return };
            let received = self.rib.received(id, family);
            if received <= max.limit {
                peer.warned[family.index()] = false;
                continue;
            }
            let (name, address) = (peer.intent.name.clone(), peer.address.ip);
            let what = format!("{name} announces {received} {family} prefixes, more than the {} it may", max.limit);
            if max.teardown {
                peer.hold_down(HeldDown::TooMany { until: max.restart.map(|restart| now + restart) });
                self.tell(now, address, Level::Warn, what);
                self.stop(now, id, Some(&over_limit(family, max.limit)));
                return;
            }
            if !std::mem::replace(&mut peer.warned[family.index()], true) {
                self.tell(now, address, Level::Warn, what);
            }
        }
    }

    pub(crate) fn session_timeouts(&mut self, now: Instant) {
        let due = |peer: &&Peer| peer.is_due(now);
        let due: Vec<PeerId> = self.peers.values().filter(due).map(|peer| peer.id).collect();
        for id in due {
            self.dial_if_due(now, id);
            let Some(peer) = self.peers.get(&id) else { continue };
            let held = peer.held_down.is_some() && !peer.is_held(now);
            if held && peer.connections.is_empty() && matches!(peer.origin, Origin::Range(..)) {
                self.forget(id);
                continue;
            }
            if peer.stale_until.is_some_and(|at| at <= now) {
                self.stale_expired(now, id);
            }
            let Some(peer) = self.peers.get(&id) else { continue };
            let expired = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let timers: Vec<(ConnId, bool, bool)> = peer
                .connections
                .iter()
                .map(|open| (open.id, expired(open.hold_deadline()), expired(open.keepalive_deadline())))
                .collect();
            for (conn, hold, keepalive) in timers {
                if hold {
                    self.input(now, id, conn, Input::HoldExpired);
                } else if keepalive {
                    self.input(now, id, conn, Input::KeepaliveDue);
                }
            }
        }
    }

    fn dial_if_due(&mut self, now: Instant, id: PeerId) {
        let drained = self.drained().is_some();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match peer.dialler {
            Dialler::Waiting(at) if at <= now => {}
            Dialler::Dialling(_, until) if until <= now => {
                // Packets without the right key are dropped by whoever gets them (RFC 2385 section 2): only silence.
                let hint = if peer.intent.password.is_some() { ": has it the same password?" } else { "" };
                peer.last_error = Some(format!("no answer within {} s{hint}", peer.intent.connect_retry.as_secs()));
                peer.failures += 1;
                self.abandon_dial(id);
                self.tell_failure(now, id);
            }
            Dialler::Waiting(_) | Dialler::Resting | Dialler::Dialling(..) => return,
        }
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if drained || !peer.connections.is_empty() {
            peer.dialler = Dialler::Resting;
            return;
        }
        peer.held_down = None;
        let conn = ConnId::Dialled(self.next_conn);
        self.next_conn += 1;
        peer.dialler = Dialler::Dialling(conn, now + peer.intent.connect_retry.max(FIRST_RETRY));
        let dial = Dial {
            remote: peer.address.target(peer.intent.port),
            local: peer.intent.local_address,
            ttl: peer.intent.ttl,
            password: peer.intent.password.clone(),
            link: peer.intent.link.clone(),
            ttl_security: peer.intent.ttl_security,
        };
        self.connections.insert(conn, id);
        self.actions.push_back(Action::Dial { conn, dial });
    }
}

/// RFC 8538 section 3: where graceful restart covers NOTIFICATIONs, an end that is meant says so.
fn harden(notification: Notification, agreed: Option<&Agreed>) -> Notification {
    use code::cease::{
        ADMINISTRATIVE_RESET, ADMINISTRATIVE_SHUTDOWN, BFD_DOWN, MAX_PREFIXES, OUT_OF_RESOURCES, PEER_DECONFIGURED,
    };
    let meant = matches!(
        notification.subcode,
        ADMINISTRATIVE_RESET | ADMINISTRATIVE_SHUTDOWN | BFD_DOWN | MAX_PREFIXES | OUT_OF_RESOURCES | PEER_DECONFIGURED
    );
    let covered = agreed.is_some_and(|agreed| agreed.notification && agreed.restart.is_some());
    if covered && meant && notification.code == code::CEASE { notification.into_hard_reset() } else { notification }
}

/// RFC 4486 section 4: nobody is expected there, or not now.
fn rejected() -> Notification {
    Notification::cease(code::cease::CONNECTION_REJECTED)
}

/// RFC 4486 section 4: the family and the limit go along.
fn over_limit(family: Family, limit: usize) -> Notification {
    let code = family.code();
    let mut data = code.afi.to_be_bytes().to_vec();
    data.push(code.safi);
    data.extend_from_slice(&u32::try_from(limit).unwrap_or(u32::MAX).to_be_bytes());
    Notification::with_data(code::CEASE, code::cease::MAX_PREFIXES, data)
}
