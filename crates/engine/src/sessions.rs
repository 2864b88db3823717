//! Sessions: what the engine does when connections open, speak, fall silent and end.
//!
//! Bytes are framed and decoded here, on the connection's behalf; what a message means for the connection is
//! [`crate::peer::fsm`]'s to say, what an UPDATE means for routes the RIB's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wire::{DecodeContext, Frame, MAX_LEN, MessageType, Notification, Open, Refresh, RouteRefresh, Update, code};

use crate::Engine;
use crate::action::{Action, Dial, Level};
use crate::event::ConnId;
use crate::peer::collision::{self, Resolution};
use crate::peer::fsm::{Input, Phase, Verdict, step};
use crate::peer::negotiate::{Agreed, negotiate};
use crate::peer::{Connection, Dialler, Peer, Session, State};
use crate::policy::PeerFacts;
use crate::rib::table::PeerId;

impl Engine {
    pub(crate) fn connected(&mut self, now: Instant, conn: ConnId, local: SocketAddr) {
        let Some(id) = self.connections.get(&conn).copied() else {
            // The peer went while the connection was being opened.
            self.close(conn, None);
            return;
        };
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.dialler = Dialler::Resting;
        let remote = peer.intent.target(peer.address);
        self.greet(now, id, Connection::new(conn, local, remote, now));
    }

    pub(crate) fn accepted(&mut self, now: Instant, conn: ConnId, local: SocketAddr, remote: SocketAddr) {
        let Some(&id) = self.by_address.get(&remote.ip()) else {
            let text = format!("connection from {} refused: no neighbor with this address is configured", remote.ip());
            self.note(None, Level::Warn, text);
            self.close(conn, None);
            return;
        };
        self.connections.insert(conn, id);
        // A peer that dials again before its earlier attempt came to anything has given that one up.
        let stale = self.peers.get(&id).and_then(|peer| {
            let mut pending = peer.connections.iter().filter(|old| old.state.phase() != Phase::Established);
            pending.find(|old| matches!(old.id, ConnId::Accepted(_))).map(|old| old.id)
        });
        if let Some(stale) = stale {
            let collision = Notification::cease(code::cease::COLLISION_RESOLUTION);
            self.input(now, id, stale, Input::Stop(collision));
        }
        self.greet(now, id, Connection::new(conn, local, remote, now));
    }

    /// Sends OPEN on a fresh connection.
    fn greet(&mut self, _now: Instant, id: PeerId, mut connection: Connection) {
        let Some((intent, peer)) = self.intent.as_ref().zip(self.peers.get_mut(&id)) else {
            return;
        };
        peer.open(intent).encode(&mut connection.out);
        count(&mut peer.sent, MessageType::Open, 1);
        peer.connections.push(connection);
    }

    pub(crate) fn connection_closed(&mut self, now: Instant, conn: ConnId, error: Option<String>) {
        self.closing.remove(&conn);
        let Some(id) = self.connections.get(&conn).copied() else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let reason = error.unwrap_or_else(|| "the peer closed the connection".into());
        if peer.dialler == Dialler::Dialling(conn) {
            self.connections.remove(&conn);
            peer.last_error = Some(reason);
            peer.failures += 1;
            self.redial(now, id);
            return;
        }
        if peer.connection(conn).is_some() {
            peer.last_error = Some(reason);
            self.input(now, id, conn, Input::Closed);
        }
    }

    /// Frames and takes whatever arrived.
    pub(crate) fn bytes_arrived(&mut self, now: Instant, conn: ConnId, data: &Bytes) {
        let Some(id) = self.connections.get(&conn).copied() else {
            return;
        };
        let Some(connection) = self.peers.get_mut(&id).and_then(|peer| peer.connection(conn)) else {
            return;
        };
        let mut partial = std::mem::take(&mut connection.partial);
        let buffer: &[u8] = if partial.is_empty() {
            data
        } else {
            partial.extend_from_slice(data);
            &partial
        };
        let mut taken = 0;
        loop {
            let max = self.max_received(id, conn);
            match wire::next_frame(&buffer[taken..], max) {
                Ok(Some(frame)) => {
                    taken += frame.len;
                    self.message(now, id, conn, &frame);
                }
                Ok(None) => break,
                Err(answer) => {
                    self.input(now, id, conn, Input::Malformed(answer));
                    break;
                }
            }
        }
        let rest = buffer[taken..].to_vec();
        if let Some(connection) = self.peers.get_mut(&id).and_then(|peer| peer.connection(conn)) {
            connection.partial = rest;
        }
    }

    /// The largest message that may arrive; nothing may once the connection is gone.
    fn max_received(&mut self, id: PeerId, conn: ConnId) -> usize {
        let connection = self.peers.get_mut(&id).and_then(|peer| peer.connection(conn));
        let session = connection.and_then(|connection| connection.state.session());
        session.map_or(MAX_LEN, |session| session.agreed.max_message())
    }

    fn message(&mut self, now: Instant, id: PeerId, conn: ConnId, frame: &Frame<'_>) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        // The connection may have ended over an earlier message of the same read.
        let Some(connection) = peer.connections.iter().find(|connection| connection.id == conn) else {
            return;
        };
        let phase = connection.state.phase();
        count(&mut peer.received, frame.kind, 1);
        match frame.kind {
            MessageType::Open => self.open_arrived(now, id, conn, phase, frame.body),
            MessageType::Keepalive => self.input(now, id, conn, Input::Keepalive),
            MessageType::Notification => {
                let notification = Notification::decode(frame.body);
                peer.last_error = Some(format!("received {notification}"));
                self.input(now, id, conn, Input::Notification(notification));
            }
            MessageType::Update => self.update_arrived(now, id, conn, phase, frame.body),
            MessageType::RouteRefresh => match RouteRefresh::decode(frame.body) {
                Ok(refresh) => {
                    self.input(now, id, conn, Input::RouteRefresh);
                    if phase == Phase::Established {
                        self.refresh_arrived(id, &refresh);
                    }
                }
                Err(answer) => self.input(now, id, conn, Input::Malformed(answer)),
            },
        }
    }

    fn open_arrived(&mut self, now: Instant, id: PeerId, conn: ConnId, phase: Phase, body: &[u8]) {
        if phase != Phase::OpenSent {
            self.input(now, id, conn, Input::Open);
            return;
        }
        let Some((intent, peer)) = self.intent.as_ref().zip(self.peers.get_mut(&id)) else {
            return;
        };
        let open = match Open::decode(body) {
            Ok(open) => open,
            Err(answer) => return self.input(now, id, conn, Input::Malformed(answer)),
        };
        peer.asn = Some(open.asn);
        let agreed = match negotiate(intent, &peer.intent, &open) {
            Ok(agreed) => agreed,
            Err(answer) => return self.input(now, id, conn, Input::Malformed(answer)),
        };
        let ours = (intent.router_id, intent.asn);
        let theirs = (agreed.router_id, agreed.asn);
        let Some(new) = peer.connections.iter().find(|connection| connection.id == conn) else {
            return;
        };
        let direction = new.direction();
        let others = peer.connections.iter().filter(|other| other.id != conn);
        let resolutions: Vec<(ConnId, Resolution)> =
            others.map(|other| (other.id, collision::resolve(direction, other.state.phase(), ours, theirs))).collect();
        let collided = || Input::Stop(Notification::cease(code::cease::COLLISION_RESOLUTION));
        if resolutions.iter().any(|(_, resolution)| *resolution == Resolution::CloseNew) {
            return self.input(now, id, conn, collided());
        }
        for (other, resolution) in resolutions {
            if resolution == Resolution::CloseOther {
                self.input(now, id, other, collided());
            }
        }
        self.confirm(now, id, conn, agreed);
    }

    /// OpenSent to OpenConfirm: the verdict for an acceptable OPEN, with what was agreed.
    fn confirm(&mut self, now: Instant, id: PeerId, conn: ConnId, agreed: Agreed) {
        let keepalive = self.keepalive_at(now, agreed.keepalive);
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(connection) = peer.connections.iter_mut().find(|connection| connection.id == conn) else {
            return;
        };
        if step(connection.state.phase(), Input::Open) != Verdict::Confirm {
            return;
        }
        let timed = !agreed.hold_time.is_zero();
        let hold = timed.then(|| now + agreed.hold_time);
        let keepalive = timed.then_some(keepalive);
        connection.state = State::OpenConfirm(Session { agreed, hold, keepalive });
        wire::encode_keepalive(&mut connection.out);
        count(&mut peer.sent, MessageType::Keepalive, 1);
        self.abandon_dial(id);
    }

    /// A dial that is still under way would only collide with what we have.
    fn abandon_dial(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if let Dialler::Dialling(dial) = std::mem::replace(&mut peer.dialler, Dialler::Resting) {
            self.connections.remove(&dial);
            self.actions.push_back(Action::Close(dial));
        }
    }

    fn update_arrived(&mut self, now: Instant, id: PeerId, conn: ConnId, phase: Phase, body: &[u8]) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let session = peer.connection(conn).and_then(|connection| connection.state.session());
        let Some(agreed) = session.filter(|_| phase == Phase::Established).map(|session| &session.agreed) else {
            return self.input(now, id, conn, Input::Update);
        };
        let context = DecodeContext {
            four_octet_as: agreed.four_octet_as,
            external: agreed.external,
            families: agreed.families,
            extended_next_hop: agreed.extended_next_hop,
        };
        let update = match Update::decode(body, &context) {
            Ok(update) => update,
            Err(answer) => return self.input(now, id, conn, Input::Malformed(answer)),
        };
        self.input(now, id, conn, Input::Update);
        if !update.problems().is_empty() {
            self.report_problems(id, &update);
        }
        self.rib.receive(id, &update);
        if let Some(family) = update.end_of_rib() {
            self.rib.end_of_rib(id, family);
            self.check_convergence();
        }
    }

    fn report_problems(&mut self, id: PeerId, update: &Update<'_>) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        // The first and then ever rarer ones are told: a peer may repeat its error for every route.
        let before = peer.malformed;
        peer.malformed += update.problems().len() as u64;
        if before == 0 || before.ilog2() != peer.malformed.ilog2() {
            let (address, total) = (peer.address, peer.malformed);
            if let Some(problem) = update.problems().first() {
                let text = format!("malformed UPDATE: {problem} ({total} so far)");
                self.note(Some(address), Level::Warn, text);
            }
        }
    }

    fn refresh_arrived(&mut self, id: PeerId, refresh: &RouteRefresh) {
        let Some(family) = wire::Family::from_code(refresh.family) else {
            return;
        };
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let enhanced = peer.established().is_some_and(|(_, session)| session.agreed.enhanced_refresh);
        match refresh.subtype {
            Refresh::Request => self.rib.refresh_requested(id, family, enhanced),
            Refresh::Begin if enhanced => self.rib.refresh_begins(id, family),
            Refresh::End if enhanced => self.rib.refresh_ends(id, family),
            // RFC 7313 section 5: markers that were not negotiated and unknown subtypes are ignored.
            Refresh::Begin | Refresh::End | Refresh::Other(_) => {}
        }
    }

    /// Lets the state machine say what follows from an input, and does it.
    pub(crate) fn input(&mut self, now: Instant, id: PeerId, conn: ConnId, input: Input) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(connection) = peer.connections.iter_mut().find(|connection| connection.id == conn) else {
            return;
        };
        match step(connection.state.phase(), input) {
            Verdict::Alive | Verdict::Deliver => connection.restart_hold(now),
            Verdict::Establish => self.establish(now, id, conn),
            Verdict::SendKeepalive => {
                let interval = connection.state.session().map_or(Duration::ZERO, |session| session.agreed.keepalive);
                wire::encode_keepalive(&mut connection.out);
                count(&mut peer.sent, MessageType::Keepalive, 1);
                let at = self.keepalive_at(now, interval);
                if let Some(connection) = self.peers.get_mut(&id).and_then(|peer| peer.connection(conn)) {
                    connection.restart_keepalive(at);
                }
            }
            Verdict::End(notification) => self.end(now, id, conn, notification),
            // An acceptable OPEN goes through `open_arrived`, which has what was agreed.
            Verdict::Confirm | Verdict::Ignore => {}
        }
    }

    fn establish(&mut self, now: Instant, id: PeerId, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(connection) = peer.connections.iter_mut().find(|connection| connection.id == conn) else {
            return;
        };
        let State::OpenConfirm(session) = &connection.state else {
            return;
        };
        connection.state = State::Established(session.clone());
        connection.restart_hold(now);
        peer.since = now;
        peer.failures = 0;
        peer.last_error = None;
        let Some((facts, families, text)) = self.peers.get(&id).and_then(|peer| {
            let (connection, session) = peer.established()?;
            let facts = self.facts(peer, connection, &session.agreed);
            let families: Vec<String> = session.agreed.families.iter().map(|family| family.to_string()).collect();
            let text = format!(
                "session with {} (AS {}) established: {}",
                peer.intent.name,
                session.agreed.asn,
                families.join(", ")
            );
            Some((facts, session.agreed.families, text))
        }) else {
            return;
        };
        let address = facts.address;
        self.rib.peer_up(id, facts, families);
        self.note(Some(address), Level::Info, text);
    }

    /// What policy must know of an established peer.
    fn facts(&self, peer: &Peer, connection: &Connection, agreed: &Agreed) -> PeerFacts {
        let local = connection.local.ip();
        let link = self.rib.next_hops.link_of(local);
        let addresses = || link.into_iter().flat_map(|link| &link.addresses).map(|net| net.addr());
        let own_v4 = match local {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => addresses().find_map(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }),
        };
        let global = |address: &Ipv6Addr| !address.is_unicast_link_local();
        let own_v6 = match local {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => addresses().find_map(|address| match address {
                IpAddr::V6(address) => Some(address).filter(global),
                IpAddr::V4(_) => None,
            }),
        };
        PeerFacts {
            address: peer.address,
            role: peer.intent.role,
            external: agreed.external,
            asn: agreed.asn,
            router_id: agreed.router_id,
            client: !agreed.external && Self::is_client(&peer.intent),
            next_hop_self: peer.intent.next_hop_self,
            allow_own_as: peer.intent.allow_own_as,
            enforce_first_as: peer.intent.enforce_first_as,
            four_octet_as: agreed.four_octet_as,
            extended_next_hop: agreed.extended_next_hop,
            max_message: agreed.max_message(),
            link: peer.intent.link.clone(),
            own_v4: own_v4.filter(|address| *address != Ipv4Addr::UNSPECIFIED),
            own_v6,
        }
    }

    /// Policy or links changed: what is known of the established peers is looked at again.
    pub(crate) fn refresh_facts(&mut self) {
        let facts: Vec<(PeerId, PeerFacts)> = self
            .peers
            .values()
            .filter_map(|peer| {
                let (connection, session) = peer.established()?;
                let mut facts = self.facts(peer, connection, &session.agreed);
                // A link that is gone for the moment does not change what the session was told.
                if let Some(known) = self.rib.peer(peer.id).map(|known| &known.facts) {
                    facts.own_v4 = facts.own_v4.or(known.own_v4);
                    facts.own_v6 = facts.own_v6.or(known.own_v6);
                }
                Some((peer.id, facts))
            })
            .collect();
        for (id, facts) in facts {
            self.rib.set_facts(id, facts);
        }
    }

    /// Ends a connection, with a last NOTIFICATION where one is due, and the session that it carried.
    fn end(&mut self, now: Instant, id: PeerId, conn: ConnId, notification: Option<Notification>) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(index) = peer.connections.iter().position(|connection| connection.id == conn) else {
            return;
        };
        let connection = peer.connections.remove(index);
        let was_established = connection.state.phase() == Phase::Established;
        if let Some(notification) = &notification {
            // The loser of a collision says nothing about the peer.
            let collision = (code::CEASE, code::cease::COLLISION_RESOLUTION);
            if (notification.code, notification.subcode) != collision {
                peer.last_error = Some(match peer.asn {
                    Some(asn) if (notification.code, notification.subcode) == (code::OPEN, code::open::BAD_PEER_AS) => {
                        format!("sent {notification}: the peer says AS {asn}, which is not the configured one")
                    }
                    _ => format!("sent {notification}"),
                });
            }
            count(&mut peer.sent, MessageType::Notification, 1);
        }
        self.connections.remove(&conn);
        let mut last_words = connection.out;
        if let Some(notification) = &notification {
            notification.encode(&mut last_words);
        }
        self.close(conn, Some(last_words));
        self.session_ended(now, id, was_established);
    }

    fn session_ended(&mut self, now: Instant, id: PeerId, was_established: bool) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if was_established {
            peer.flaps += 1;
            peer.since = now;
            let reason = peer.last_error.clone().unwrap_or_default();
            let text = format!("session with {} lost: {reason}", peer.intent.name);
            let address = peer.address;
            self.rib.peer_down(id);
            self.note(Some(address), Level::Warn, text);
        } else if peer.connections.is_empty() {
            peer.failures += 1;
            // Told once, not once per attempt.
            if peer.failures == 1 {
                let reason = peer.last_error.clone().unwrap_or_default();
                let text = format!("no session with {} yet: {reason}; trying again", peer.intent.name);
                let address = peer.address;
                self.note(Some(address), Level::Warn, text);
            }
        }
        self.redial(now, id);
    }

    /// Plans the next attempt, unless a connection exists or the peer is to dial us.
    fn redial(&mut self, now: Instant, id: PeerId) {
        let portion = self.portion();
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        let idle = peer.connections.is_empty() && !matches!(peer.dialler, Dialler::Waiting(_));
        if peer.intent.passive {
            peer.dialler = Dialler::Resting;
        } else if idle {
            peer.dialler = Dialler::Waiting(now + peer.retry_delay(portion));
        } else if !peer.connections.is_empty() {
            peer.dialler = Dialler::Resting;
        }
    }

    fn close(&mut self, conn: ConnId, last_words: Option<Vec<u8>>) {
        if let Some(bytes) = last_words.filter(|bytes| !bytes.is_empty()) {
            self.closing.insert(conn, bytes);
        }
        self.actions.push_back(Action::Close(conn));
    }

    /// Ends every connection of a peer.
    fn stop(&mut self, now: Instant, id: PeerId, notification: Option<&Notification>) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if let Dialler::Dialling(dial) = std::mem::replace(&mut peer.dialler, Dialler::Resting) {
            self.connections.remove(&dial);
            self.actions.push_back(Action::Close(dial));
        }
        let Some(peer) = self.peers.get(&id) else {
            return;
        };
        let open: Vec<ConnId> = peer.connections.iter().map(|connection| connection.id).collect();
        for conn in open {
            match notification {
                Some(notification) => self.input(now, id, conn, Input::Stop(notification.clone())),
                None => self.input(now, id, conn, Input::Closed),
            }
        }
    }

    /// The peer's session parameters changed: a new session with the new ones, at once.
    pub(crate) fn reconfigure(&mut self, now: Instant, address: IpAddr) {
        self.restart(now, address, code::cease::OTHER_CONFIGURATION_CHANGE);
    }

    /// An operator wants a new session.
    pub(crate) fn reset(&mut self, now: Instant, address: IpAddr) {
        self.restart(now, address, code::cease::ADMINISTRATIVE_RESET);
    }

    fn restart(&mut self, now: Instant, address: IpAddr, subcode: u8) {
        let Some(&id) = self.by_address.get(&address) else {
            return;
        };
        self.stop(now, id, Some(&Notification::cease(subcode)));
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        peer.failures = 0;
        peer.dialler = if peer.intent.passive { Dialler::Resting } else { Dialler::Waiting(now) };
    }

    pub(crate) fn remove_peer(&mut self, now: Instant, address: IpAddr) {
        let Some(id) = self.by_address.remove(&address) else {
            return;
        };
        self.stop(now, id, Some(&Notification::cease(code::cease::PEER_DECONFIGURED)));
        self.peers.remove(&id);
    }

    pub(crate) fn shutdown(&mut self, now: Instant, graceful: bool) {
        let notification = Notification::cease(code::cease::ADMINISTRATIVE_SHUTDOWN);
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.stop(now, id, (!graceful).then_some(&notification));
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.dialler = Dialler::Resting;
            }
        }
    }

    pub(crate) fn session_timeouts(&mut self, now: Instant) {
        let due: Vec<PeerId> = self
            .peers
            .values()
            .filter(|peer| peer.deadline().is_some_and(|(at, _)| at <= now))
            .map(|peer| peer.id)
            .collect();
        for id in due {
            self.dial_if_due(now, id);
            let Some(peer) = self.peers.get(&id) else {
                continue;
            };
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
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        match peer.dialler {
            Dialler::Waiting(at) if at <= now => {}
            Dialler::Waiting(_) | Dialler::Resting | Dialler::Dialling(_) => return,
        }
        if !peer.connections.is_empty() {
            peer.dialler = Dialler::Resting;
            return;
        }
        let conn = ConnId::Dialled(self.next_conn);
        self.next_conn += 1;
        peer.dialler = Dialler::Dialling(conn);
        let dial = Dial {
            remote: peer.intent.target(peer.address),
            local: peer.intent.local_address,
            ttl: peer.intent.ttl,
            password: peer.intent.password.clone(),
            link: peer.intent.link.clone(),
            ttl_security: peer.intent.ttl_security,
        };
        self.connections.insert(conn, id);
        self.actions.push_back(Action::Dial { conn, dial });
    }

    fn keepalive_at(&mut self, now: Instant, interval: Duration) -> Instant {
        // RFC 4271 section 10: jittered by up to a quarter.
        let portion = self.portion();
        now + interval.mul_f64(1.0 - portion / 4.0)
    }

    /// All peers have sent everything: what nobody announced again can go from the kernel.
    fn check_convergence(&mut self) {
        if self.converging.is_some() && self.peers.keys().all(|id| self.rib.synchronised(*id)) {
            self.converging = None;
            self.rib.fib.request_sweep();
        }
    }

    /// Bytes for a connection: control messages first, then routes.
    pub(crate) fn session_output(&mut self, conn: ConnId) -> Option<Bytes> {
        let id = *self.connections.get(&conn)?;
        let connection = self.peers.get_mut(&id)?.connection(conn)?;
        let mut out = std::mem::take(&mut connection.out);
        if connection.state.phase() == Phase::Established {
            let (updates, refreshes) = self.rib.pull(id, &mut out);
            let peer = self.peers.get_mut(&id)?;
            count(&mut peer.sent, MessageType::Update, updates as u64);
            count(&mut peer.sent, MessageType::RouteRefresh, refreshes as u64);
        }
        if !out.is_empty() {
            return Some(Bytes::from(out));
        }
        // Changes that cancelled each other out leave nothing to say, and perhaps more behind them.
        if self.rib.has_output(id) && self.is_established(id, conn) {
            return self.session_output(conn);
        }
        self.peers.get_mut(&id)?.connection(conn)?.announced = false;
        None
    }

    fn is_established(&self, id: PeerId, conn: ConnId) -> bool {
        let established = self.peers.get(&id).and_then(Peer::established);
        established.is_some_and(|(connection, _)| connection.id == conn)
    }

    /// Tells the driver which connections have something to send.
    pub(crate) fn announce_output(&mut self) {
        for peer in self.peers.values_mut() {
            for connection in &mut peer.connections {
                if connection.announced {
                    continue;
                }
                let routes = connection.state.phase() == Phase::Established && self.rib.has_output(peer.id);
                if routes || !connection.out.is_empty() {
                    connection.announced = true;
                    self.actions.push_back(Action::Transmit(connection.id));
                }
            }
        }
    }
}

fn count(counters: &mut [u64; 6], kind: MessageType, by: u64) {
    counters[kind as usize] += by;
}
