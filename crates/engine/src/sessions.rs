//! Sessions: what the engine does when connections open, speak, fall silent and end.
//!
//! Bytes are framed and decoded here, on the connection's behalf; what a message means for the connection is
//! [`crate::peer::fsm`]'s to say, what an UPDATE means for routes the RIB's.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ipnet::IpNet;
use wire::{
    DecodeContext, FamilySet, Frame, MAX_LEN, MessageType, Notification, Open, Refresh, RouteRefresh, Update, code,
};

use crate::Engine;
use crate::action::{Action, Level};
use crate::event::{ConnId, Link};
use crate::intent::PeerIntent;
use crate::peer::collision::{self, Resolution};
use crate::peer::fsm::{Input, Phase, Verdict, step};
use crate::peer::negotiate::{Agreed, negotiate};
use crate::peer::{Connection, OPEN_HOLD, Peer, SILENT, Session, State};
use crate::policy::PeerFacts;
use crate::rib::MAX_PATHS;
use crate::rib::table::PeerId;

/// RFC 4271 4.4: KEEPALIVEs must not follow each other faster.
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);
/// How long the hold timer waits for us to read what has arrived.
const UNREAD: Duration = Duration::from_secs(1);

impl Engine {
    /// Frames and takes whatever arrived, and returns how many UPDATEs were among the messages.
    pub(crate) fn bytes_arrived(&mut self, now: Instant, conn: ConnId, data: &[u8]) -> u64 {
        let Some(id) = self.connections.get(&conn).copied() else {
            return 0;
        };
        let Some(connection) = self.peers.get_mut(&id).and_then(|peer| peer.connection(conn)) else {
            return 0;
        };
        let mut partial = std::mem::take(&mut connection.partial);
        let buffer: &[u8] = if partial.is_empty() {
            data
        } else {
            partial.extend_from_slice(data);
            &partial
        };
        let (mut taken, mut updates) = (0, 0);
        while taken < buffer.len() {
            let max = self.max_received(id, conn);
            match wire::next_frame(&buffer[taken..], max) {
                Ok(Some(frame)) => {
                    taken += frame.len;
                    updates += u64::from(frame.kind == MessageType::Update);
                    self.message(now, id, conn, &frame);
                }
                Ok(None) => break,
                Err(answer) => {
                    self.input(now, id, conn, Input::Malformed(answer));
                    break;
                }
            }
        }
        let rest = &buffer[taken..];
        if !rest.is_empty()
            && let Some(connection) = self.peers.get_mut(&id).and_then(|peer| peer.connection(conn))
        {
            connection.partial = rest.to_vec();
        }
        updates
    }

    /// Something of the peer's waits to be read: the hold timer waits for that, too.
    pub(crate) fn spare(&mut self, now: Instant, conn: ConnId) {
        let peer = self.connections.get(&conn).and_then(|id| self.peers.get_mut(id));
        if let Some(connection) = peer.and_then(|peer| peer.connection(conn)) {
            connection.spare(now + UNREAD);
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
                peer.notification(format!("received {notification}"));
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
        // RFC 4724 section 4.2: a peer that restarts connects before its old connection is known to be dead.
        let old = now.saturating_duration_since(peer.since) > SILENT;
        let restarts = |other: &&Connection| old && other.state.restarts();
        let lost: Option<ConnId> = others.clone().find(restarts).map(|other| other.id);
        let others = others.filter(|other| Some(other.id) != lost);
        let resolutions: Vec<(ConnId, Resolution)> =
            others.map(|other| (other.id, collision::resolve(direction, other.weight(now), ours, theirs))).collect();
        if let Some(lost) = lost {
            peer.failed("it has restarted".into());
            self.input(now, id, lost, Input::Closed);
        }
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
        // Without a hold time the peer must still answer our OPEN.
        let hold = Some(now + if timed { agreed.hold_time } else { OPEN_HOLD });
        let keepalive = timed.then_some(keepalive);
        connection.state = State::OpenConfirm(Session { agreed, hold, keepalive });
        wire::encode_keepalive(&mut connection.out);
        count(&mut peer.sent, MessageType::Keepalive, 1);
        self.abandon_dial(id);
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
            add_path: agreed.add_path_receive,
        };
        let update = match Update::decode(body, &context) {
            Ok(update) => update,
            Err(answer) => return self.input(now, id, conn, Input::Malformed(answer)),
        };
        self.input(now, id, conn, Input::Update);
        if !update.problems().is_empty() {
            self.report_problems(now, id, &update);
        }
        self.rib.receive(id, &update);
        self.report_overflowing(now, id);
        if self.peers.get(&id).is_some_and(|peer| !peer.intent.max_prefixes.is_empty()) {
            self.check_limits(now, id);
        }
        if let Some(family) = update.end_of_rib() {
            self.rib.end_of_rib(id, family);
            self.repeated(id, family);
            self.check_convergence(now);
        }
    }

    /// Counts what was malformed by attribute. Of each attribute the first error is told, and then ever rarer ones: a peer may
    /// repeat its error for every route, and must not hide another one behind it.
    fn report_problems(&mut self, now: Instant, id: PeerId, update: &Update<'_>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let address = peer.address.ip;
        let mut told = Vec::new();
        for problem in update.problems() {
            peer.malformed += 1;
            let count = peer.malformed_attributes.entry(problem.code).or_default();
            *count += 1;
            if count.is_power_of_two() {
                told.push(format!("malformed UPDATE: {problem} ({count} so far)"));
            }
        }
        for text in told {
            self.tell(now, address, Level::Warn, text);
        }
    }

    /// Paths that were dropped because a destination had too many of the peer's: the first and then ever rarer ones.
    fn report_overflowing(&mut self, now: Instant, id: PeerId) {
        let overflowing = self.rib.take_overflowing(id) as u64;
        let Some(peer) = self.peers.get_mut(&id).filter(|_| overflowing > 0) else { return };
        let before = peer.overflowing;
        peer.overflowing += overflowing;
        if before > 0 && before.ilog2() == peer.overflowing.ilog2() {
            return;
        }
        let text = format!(
            "{} sends more than {MAX_PATHS} paths for one prefix: {} were dropped so far",
            peer.intent.name, peer.overflowing
        );
        let address = peer.address.ip;
        self.tell(now, address, Level::Warn, text);
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
        let received = if let Input::Notification(received) = &input { Some(received.clone()) } else { None };
        match step(connection.state.phase(), input) {
            Verdict::Alive | Verdict::Deliver => connection.restart_hold(now),
            Verdict::Establish => self.establish(now, id, conn),
            Verdict::SendKeepalive => {
                if connection.is_stuck(now) {
                    return self.end(now, id, conn, Some(Notification::new(code::SEND_HOLD_TIMER, 0)), None);
                }
                let interval = connection.state.session().map_or(Duration::ZERO, |session| session.agreed.keepalive);
                // One that the peer has not taken yet is enough.
                if connection.out.is_empty() {
                    wire::encode_keepalive(&mut connection.out);
                    count(&mut peer.sent, MessageType::Keepalive, 1);
                }
                let at = self.keepalive_at(now, interval);
                if let Some(connection) = self.peers.get_mut(&id).and_then(|peer| peer.connection(conn)) {
                    connection.restart_keepalive(at);
                }
            }
            Verdict::End(notification) => self.end(now, id, conn, notification, received.as_ref()),
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
        let mut session = session.clone();
        session.hold = session.hold.filter(|_| !session.agreed.hold_time.is_zero());
        connection.state = State::Established(session);
        connection.restart_hold(now);
        peer.since = now;
        peer.failures = 0;
        peer.eager_until = None;
        peer.last_error = None;
        peer.told.clear();
        peer.last_notification = None;
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
        self.sessions_changed = true;
        self.peer_returns(now, id, &facts);
        self.rib.peer_up(id, facts, families);
        self.check_convergence(now);
        self.tell(now, address, Level::Info, text);
    }

    /// What policy must know of an established peer.
    fn facts(&self, peer: &Peer, connection: &Connection, agreed: &Agreed) -> PeerFacts {
        let local = connection.local.ip();
        let links = &self.rib.next_hops;
        let link = match &peer.intent.link {
            Some(name) => links.links().iter().find(|link| link.name == *name),
            None => links.link_of(local),
        };
        let addresses = || link.into_iter().flat_map(|link| &link.addresses).map(|net| net.addr());
        let first_v4 = addresses().find_map(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let first_global = addresses().find_map(|address| match address {
            IpAddr::V6(address) => Some(address).filter(|address| !address.is_unicast_link_local()),
            IpAddr::V4(_) => None,
        });
        // RFC 2545 section 3: the link-local address goes beside the global one to a peer that shares the link.
        let on_link = link.is_some_and(|link| link.addresses.iter().any(|net| net.contains(&peer.address.ip)));
        let link_local = addresses().find_map(|address| match address {
            IpAddr::V6(address) => Some(address).filter(|address| on_link && address.is_unicast_link_local()),
            IpAddr::V4(_) => None,
        });
        let (own_v4, own_v6, own_link_local) = match local {
            IpAddr::V4(address) => (Some(address), first_global, link_local),
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                (first_v4, Some(first_global.unwrap_or(address)), Some(address))
            }
            IpAddr::V6(address) => (first_v4, Some(address), link_local),
        };
        let facts = PeerFacts {
            address: peer.address.ip,
            role: peer.intent.role,
            external: agreed.external,
            asn: agreed.asn,
            router_id: agreed.router_id,
            client: FamilySet::default(),
            next_hop_self: false,
            allow_own_as: 0,
            enforce_first_as: false,
            four_octet_as: agreed.four_octet_as,
            extended_next_hop: agreed.extended_next_hop,
            max_message: agreed.max_message(),
            link: peer.intent.link.clone(),
            own_v4: own_v4.filter(|address| *address != Ipv4Addr::UNSPECIFIED),
            own_v6,
            own_link_local,
            allowed_prefixes: Vec::new(),
            as_override: false,
            bgp_role: peer.intent.bgp_role.filter(|_| agreed.external),
            shared: shared(link, peer.address.ip, agreed.external && !peer.intent.next_hop_self),
            add_path_receive: agreed.add_path_receive,
            add_path_send: agreed.add_path_send,
            long_lived: agreed.long_lived.is_some(),
            reject_as_sets: false,
        };
        under(&peer.intent, facts)
    }

    /// Policy or links changed: what is known of the peers is looked at again, also of those that are away and whose paths are
    /// kept.
    pub(crate) fn refresh_facts(&mut self) {
        let facts = self.peers.values().filter_map(|peer| Some((peer.id, self.facts_by_now(peer)?)));
        for (id, facts) in facts.collect::<Vec<_>>() {
            self.rib.set_facts(id, facts);
        }
    }

    /// `None` of a peer that has no session and no paths.
    fn facts_by_now(&self, peer: &Peer) -> Option<PeerFacts> {
        let known = self.rib.peer(peer.id).map(|known| &known.facts);
        let Some((connection, session)) = peer.established() else {
            return Some(under(&peer.intent, known?.clone()));
        };
        let mut facts = self.facts(peer, connection, &session.agreed);
        // A link that is gone for the moment does not change what the session was told.
        if let Some(known) = known {
            facts.own_v4 = facts.own_v4.or(known.own_v4);
            facts.own_v6 = facts.own_v6.or(known.own_v6);
            facts.own_link_local = facts.own_link_local.or(known.own_link_local);
        }
        Some(facts)
    }

    fn keepalive_at(&mut self, now: Instant, interval: Duration) -> Instant {
        // RFC 4271 section 10: jittered by up to a quarter; section 4.4: not more often than once a second.
        let portion = self.portion();
        now + interval.mul_f64(1.0 - portion / 4.0).max(KEEPALIVE_MIN)
    }

    /// Bytes for a connection: control messages first, then routes.
    pub(crate) fn session_output(&mut self, conn: ConnId) -> Option<Bytes> {
        let id = *self.connections.get(&conn)?;
        let connection = self.peers.get_mut(&id)?.connection(conn)?;
        let mut out = std::mem::take(&mut connection.out);
        let is_established = connection.state.phase() == Phase::Established;
        if is_established && !self.deferring() && self.rib.has_output(id) {
            let (updates, refreshes) = self.rib.pull(id, &mut out);
            let peer = self.peers.get_mut(&id)?;
            count(&mut peer.sent, MessageType::Update, updates as u64);
            count(&mut peer.sent, MessageType::RouteRefresh, refreshes as u64);
            self.report_oversized(id);
            if out.is_empty() {
                // Changes that cancelled each other out leave nothing to say, and perhaps more behind them.
                return self.session_output(conn);
            }
        }
        if !out.is_empty() {
            return Some(Bytes::from(out));
        }
        self.peers.get_mut(&id)?.connection(conn)?.announced = false;
        None
    }

    /// Routes that cannot be told to a peer are no secret: the first of them, and then ever rarer ones.
    fn report_oversized(&mut self, id: PeerId) {
        let oversized = self.rib.take_oversized(id) as u64;
        let Some(peer) = self.peers.get_mut(&id).filter(|_| oversized > 0) else { return };
        let before = peer.oversized;
        peer.oversized += oversized;
        if before > 0 && before.ilog2() == peer.oversized.ilog2() {
            return;
        }
        let text = format!(
            "{} routes could not be announced to {}: their attributes do not fit into a message that it takes",
            peer.oversized, peer.intent.name
        );
        let address = peer.address.ip;
        self.note(Some(address), Level::Warn, text);
    }

    /// Tells the driver which connections have something to send.
    pub(crate) fn announce_output(&mut self) {
        let deferring = self.deferring();
        for peer in self.peers.values_mut() {
            for connection in &mut peer.connections {
                if connection.announced {
                    continue;
                }
                let established = connection.state.phase() == Phase::Established;
                let routes = established && !deferring && self.rib.has_output(peer.id);
                if routes || !connection.out.is_empty() {
                    connection.announced = true;
                    self.actions.push_back(Action::Transmit(connection.id));
                }
            }
        }
    }
}

/// A peer under a configuration, as far as that can change without a new session.
fn under(intent: &PeerIntent, facts: PeerFacts) -> PeerFacts {
    PeerFacts {
        role: intent.role,
        client: if facts.external { FamilySet::default() } else { Engine::clients(intent) },
        next_hop_self: intent.next_hop_self,
        allow_own_as: intent.allow_own_as,
        enforce_first_as: intent.enforce_first_as,
        allowed_prefixes: intent.allowed_prefixes.clone(),
        as_override: facts.external && intent.as_override,
        reject_as_sets: intent.reject_as_sets,
        ..facts
    }
}

/// The networks of a link that a peer is on, when its next hops may be third parties.
fn shared(link: Option<&Link>, peer: IpAddr, wanted: bool) -> Vec<IpNet> {
    let networks = link.filter(|_| wanted).into_iter().flat_map(|link| &link.addresses).map(IpNet::trunc);
    let networks: Vec<IpNet> = networks.collect();
    // Several hops away nothing is shared.
    let connected = networks.iter().any(|net| net.contains(&peer));
    if connected { networks } else { Vec::new() }
}

pub(crate) fn count(counters: &mut [u64; 6], kind: MessageType, by: u64) {
    counters[kind as usize] += by;
}
