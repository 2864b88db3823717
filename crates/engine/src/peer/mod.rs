//! Peers: configured neighbours, the TCP connections with each, and the session that results.
//!
//! A peer owns up to two connections (we dial, it dials) and decides which one stays. RFC 4271's Idle, Connect
//! and Active are the states of its [`Dialler`]; OpenSent, OpenConfirm and Established those of a connection
//! ([`fsm`]). Sans I/O: it is told what happened and returns what to do.

pub(crate) mod collision;
pub(crate) mod fsm;
pub(crate) mod negotiate;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use wire::{MessageType, Notification, code};

use crate::Earliest;
use crate::event::ConnId;
use crate::intent::{Intent, PeerIntent};
use crate::rib::table::PeerId;
use crate::snapshot::PeerState;
use collision::Direction;
use fsm::Phase;
use negotiate::{Agreed, LongLived, OwnRestart};

/// RFC 4271 8.2.2: how long to wait for an OPEN.
pub(crate) const OPEN_HOLD: Duration = Duration::from_secs(240);
/// How long a connection on which no OPEN has come yet counts in a collision: one that stays silent must not keep others
/// out.
pub(crate) const SILENT: Duration = Duration::from_secs(5);
/// RFC 9687 section 4.3.
const SEND_HOLD: Duration = Duration::from_secs(480);
/// First wait after a failure; doubled up to the configured connect retry time.
pub(crate) const FIRST_RETRY: Duration = Duration::from_secs(1);
/// For how long it is tried without waits that grow once the link to the peer has come back: the peer is there, and refuses until
/// a timer of its own is over. A wait that had grown until then would come on top of that.
const EAGER: Duration = Duration::from_secs(10);
/// The wait between attempts during that time.
const EAGER_RETRY: Duration = Duration::from_millis(100);

/// What we do about reaching the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialler {
    /// Nothing: it must connect, or a connection exists.
    Resting,
    /// Waiting to dial.
    Waiting(Instant),
    /// A TCP connection is being opened, until the connect retry time is over (RFC 4271 8.2.2, event 9).
    Dialling(ConnId, Instant),
}

/// What a peer is known by on the wire. `scope` is the link's index for a link-local address, else zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerAddress {
    pub(crate) ip: IpAddr,
    pub(crate) scope: u32,
}

impl PeerAddress {
    /// An unnumbered neighbour that was not heard yet.
    pub(crate) const UNKNOWN: Self = Self { ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED), scope: 0 };

    pub(crate) fn global(ip: IpAddr) -> Self {
        Self { ip, scope: 0 }
    }

    /// The peer's end of a connection.
    pub(crate) fn of(remote: SocketAddr) -> Self {
        let scope = match remote {
            SocketAddr::V6(address) if address.ip().is_unicast_link_local() => address.scope_id(),
            SocketAddr::V6(_) | SocketAddr::V4(_) => 0,
        };
        Self { ip: remote.ip(), scope }
    }

    /// Where to dial it.
    pub(crate) fn target(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(_) => SocketAddr::new(self.ip, port),
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, self.scope)),
        }
    }
}

/// Why a peer exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Its address is configured.
    Configured,
    /// Its link is: an unnumbered neighbour.
    Link,
    /// It connected from a range, named by prefix and link; it goes with its last connection.
    Range(IpNet, Option<String>),
}

/// Why there is to be no session for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeldDown {
    /// It announced too many prefixes: not before this moment, or before an operator's reset.
    TooMany { until: Option<Instant> },
    /// An operator shut it down: not before an operator's reset. Whoever tries meanwhile is told the same again.
    Operator(Notification),
}

impl HeldDown {
    /// When it is over by itself.
    pub(crate) fn until(&self) -> Option<Instant> {
        match self {
            Self::TooMany { until } => *until,
            Self::Operator(_) => None,
        }
    }
}

/// Timers of a session whose parameters are agreed; `None` when the hold time is zero.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) agreed: Agreed,
    pub(crate) hold: Option<Instant>,
    pub(crate) keepalive: Option<Instant>,
}

/// State of a connection, with what belongs to it.
#[derive(Clone, Debug)]
pub(crate) enum State {
    OpenSent { hold: Instant, since: Instant },
    OpenConfirm(Session),
    Established(Session),
}

impl State {
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::OpenSent { .. } => Phase::OpenSent,
            Self::OpenConfirm(_) => Phase::OpenConfirm,
            Self::Established(_) => Phase::Established,
        }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::OpenSent { .. } => None,
            Self::OpenConfirm(session) | Self::Established(session) => Some(session),
        }
    }

    /// Whether it is an established session with a peer that can restart gracefully.
    pub(crate) fn restarts(&self) -> bool {
        match self {
            Self::Established(session) => session.agreed.restart.is_some(),
            Self::OpenSent { .. } | Self::OpenConfirm(_) => false,
        }
    }

    fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            Self::OpenSent { .. } => None,
            Self::OpenConfirm(session) | Self::Established(session) => Some(session),
        }
    }
}

/// A TCP connection with a peer.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) state: State,
    /// The beginning of a message whose end has not arrived.
    pub(crate) partial: Vec<u8>,
    /// Messages to send before any UPDATE.
    pub(crate) out: Vec<u8>,
    /// The driver knows that there is something to send.
    pub(crate) announced: bool,
    /// Since when the message waits that the peer has not taken, as far as our keepalives show.
    pub(crate) stuck: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(id: ConnId, local: SocketAddr, remote: SocketAddr, now: Instant) -> Self {
        let state = State::OpenSent { hold: now + OPEN_HOLD, since: now };
        Self { id, local, remote, state, partial: Vec::new(), out: Vec::new(), announced: false, stuck: None }
    }

    /// Notes that a KEEPALIVE is due. Whether the peer has taken nothing for so long that it must be given up: RFC 9687
    /// section 4.3, the greater of 8 minutes and twice the hold time.
    pub(crate) fn is_stuck(&mut self, now: Instant) -> bool {
        if self.out.is_empty() {
            // What is queued next waits from here on.
            self.stuck = Some(now);
            return false;
        }
        let since = *self.stuck.get_or_insert(now);
        let hold = self.state.session().map_or(Duration::ZERO, |session| session.agreed.hold_time);
        now.saturating_duration_since(since) >= SEND_HOLD.max(hold * 2)
    }

    /// What this connection is worth in a collision; `None`: nothing, it has been silent for too long.
    pub(crate) fn weight(&self, now: Instant) -> Option<Phase> {
        match &self.state {
            State::OpenSent { since, .. } if now.saturating_duration_since(*since) > SILENT => None,
            State::OpenSent { .. } | State::OpenConfirm(_) | State::Established(_) => Some(self.state.phase()),
        }
    }

    pub(crate) fn direction(&self) -> Direction {
        match self.id {
            ConnId::Dialled(_) => Direction::Dialled,
            ConnId::Accepted(_) => Direction::Accepted,
        }
    }

    /// The peer is alive: RFC 4271 8.2.2, HoldTimer.
    pub(crate) fn restart_hold(&mut self, now: Instant) {
        let session = self.state.session_mut().filter(|session| session.hold.is_some());
        if let Some(session) = session {
            session.hold = Some(now + session.agreed.hold_time);
        }
    }

    /// The hold timer does not end it before this moment.
    pub(crate) fn spare(&mut self, until: Instant) {
        let hold = match &mut self.state {
            State::OpenSent { hold, .. } => Some(hold),
            State::OpenConfirm(session) | State::Established(session) => session.hold.as_mut(),
        };
        if let Some(hold) = hold {
            *hold = (*hold).max(until);
        }
    }

    pub(crate) fn restart_keepalive(&mut self, at: Instant) {
        let session = self.state.session_mut().filter(|session| session.keepalive.is_some());
        if let Some(session) = session {
            session.keepalive = Some(at);
        }
    }

    pub(crate) fn hold_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::OpenSent { hold, .. } => Some(*hold),
            State::OpenConfirm(session) | State::Established(session) => session.hold,
        }
    }

    pub(crate) fn keepalive_deadline(&self) -> Option<Instant> {
        self.state.session().and_then(|session| session.keepalive)
    }
}

/// A configured peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) address: PeerAddress,
    pub(crate) origin: Origin,
    pub(crate) intent: PeerIntent,
    pub(crate) dialler: Dialler,
    pub(crate) connections: Vec<Connection>,
    /// Failures since the last established session.
    pub(crate) failures: u32,
    /// Its link has come back, and it is tried again and again until this moment.
    pub(crate) eager_until: Option<Instant>,
    pub(crate) since: Instant,
    pub(crate) flaps: u32,
    pub(crate) asn: Option<u32>,
    pub(crate) received: [u64; 6],
    pub(crate) sent: [u64; 6],
    pub(crate) last_error: Option<String>,
    /// The last NOTIFICATION either way since a session was up: what follows it is seldom the reason.
    pub(crate) last_notification: Option<String>,
    /// The reasons that were told for there being no session.
    pub(crate) told: Vec<String>,
    pub(crate) malformed: u64,
    /// Of these, by the attribute's type code; 0 for messages as a whole.
    pub(crate) malformed_attributes: BTreeMap<u8, u64>,
    /// Paths dropped because one destination had too many.
    pub(crate) overflowing: u64,
    /// Routes that were not announced because they did not fit into a message.
    pub(crate) oversized: u64,
    pub(crate) held_down: Option<HeldDown>,
    /// What BFD says, where it is asked for.
    pub(crate) bfd: Option<crate::liveness::Bfd>,
    /// Its connections that were refused since it was held down last.
    pub(crate) turned_away: u64,
    /// Paths of an earlier session are kept until this moment: for it to come back, and then to say them again.
    pub(crate) stale_until: Option<Instant>,
    /// For how much longer such paths are then kept as the last choice (RFC 9494).
    pub(crate) long_lived: LongLived,
    /// By family, until when; once that has begun.
    pub(crate) last_choice: [Option<Instant>; 2],
    /// An unnumbered neighbour that was heard at another address while its session is up.
    pub(crate) moving: Option<PeerAddress>,
    /// Per family: it was said that it announces too much.
    pub(crate) warned: [bool; 2],
}

impl Peer {
    pub(crate) fn new(id: PeerId, address: PeerAddress, intent: PeerIntent, now: Instant) -> Self {
        let dialler = if intent.passive { Dialler::Resting } else { Dialler::Waiting(now) };
        Self {
            id,
            address,
            origin: Origin::Configured,
            intent,
            dialler,
            connections: Vec::new(),
            failures: 0,
            eager_until: None,
            since: now,
            flaps: 0,
            asn: None,
            received: [0; 6],
            sent: [0; 6],
            last_error: None,
            last_notification: None,
            told: Vec::new(),
            malformed: 0,
            malformed_attributes: BTreeMap::new(),
            overflowing: 0,
            oversized: 0,
            held_down: None,
            bfd: None,
            turned_away: 0,
            stale_until: None,
            long_lived: LongLived::default(),
            last_choice: [None; 2],
            moving: None,
            warned: [false; 2],
        }
    }

    pub(crate) fn connection(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.id == id)
    }

    pub(crate) fn established(&self) -> Option<(&Connection, &Session)> {
        self.connections.iter().find_map(|connection| match &connection.state {
            State::Established(session) => Some((connection, session)),
            State::OpenSent { .. } | State::OpenConfirm(_) => None,
        })
    }

    pub(crate) fn hold_down(&mut self, why: HeldDown) {
        self.held_down = Some(why);
        self.turned_away = 0;
    }

    /// Whether it must not come back yet.
    pub(crate) fn is_held(&self, now: Instant) -> bool {
        self.held_down.as_ref().is_some_and(|held| held.until().is_none_or(|until| until > now))
    }

    /// Whether it did not come back in time, and its paths are kept nevertheless (RFC 9494).
    pub(crate) fn is_last_choice(&self) -> bool {
        self.stale_until.is_some() && self.last_choice != [None; 2]
    }

    /// Whether an operator shut it down.
    pub(crate) fn is_shut_down(&self) -> bool {
        matches!(self.held_down, Some(HeldDown::Operator(_)))
    }

    /// Whether we dial it.
    pub(crate) fn dials(&self) -> bool {
        !self.intent.passive && self.address != PeerAddress::UNKNOWN && !self.is_shut_down()
    }

    /// Notes what we told the peer at the end.
    pub(crate) fn sent_notification(&mut self, notification: &Notification) {
        self.sent[MessageType::Notification as usize] += 1;
        match (notification.code, notification.subcode) {
            // The loser of a collision says nothing about the peer.
            (code::CEASE, code::cease::COLLISION_RESOLUTION) => {}
            (code::OPEN, code::open::BAD_PEER_AS) => {
                let said = self.asn.map_or_else(String::new, |asn| format!(": it says AS {asn}"));
                self.notification(format!("sent {notification}{said}"));
            }
            _ => self.notification(format!("sent {notification}")),
        }
    }

    /// Notes a NOTIFICATION, sent or received, as the reason.
    pub(crate) fn notification(&mut self, text: String) {
        self.last_notification = Some(text.clone());
        self.last_error = Some(text);
    }

    /// Notes that a connection failed or ended without one. A NOTIFICATION before says more.
    pub(crate) fn failed(&mut self, reason: String) {
        self.last_error = Some(match &self.last_notification {
            Some(said) if self.established().is_none() => format!("{said} (then: {reason})"),
            Some(_) | None => reason,
        });
    }

    /// RFC 4271's state of the peer: that of its better connection, else the dialler's.
    pub(crate) fn state(&self) -> PeerState {
        let best = self.connections.iter().map(|connection| connection.state.phase()).max();
        match (best, self.dialler) {
            (Some(Phase::Established), _) => PeerState::Established,
            (Some(Phase::OpenConfirm), _) => PeerState::OpenConfirm,
            (Some(Phase::OpenSent), _) => PeerState::OpenSent,
            (None, Dialler::Dialling(..)) => PeerState::Connect,
            (None, _) if self.is_shut_down() => PeerState::Idle,
            (None, Dialler::Waiting(_)) if self.failures > 0 => PeerState::Idle,
            (None, Dialler::Waiting(_) | Dialler::Resting) => PeerState::Active,
        }
    }

    /// The way to it is there again: it is tried at once, and a session that it has given up meanwhile ends, which it says when
    /// it is sent something.
    pub(crate) fn way_returns(&mut self, now: Instant) {
        self.failures = 0;
        self.eager_until = Some(now + EAGER);
        if matches!(self.dialler, Dialler::Waiting(_)) && self.held_down.is_none() {
            self.dialler = Dialler::Waiting(now);
        }
        self.connections.iter_mut().for_each(|connection| connection.restart_keepalive(now));
    }

    /// How long to wait before dialling again, by the number of failures: `portion` in 0.0..1.0 shortens it by up
    /// to a quarter (RFC 4271 section 10).
    pub(crate) fn retry_delay(&mut self, now: Instant, portion: f64) -> Duration {
        let delay = if self.eager_until.is_some_and(|until| until > now) {
            EAGER_RETRY
        } else {
            if self.eager_until.take().is_some() {
                self.failures = 1;
            }
            let backoff = FIRST_RETRY * (1 << self.failures.min(10));
            backoff.min(self.intent.connect_retry).max(EAGER_RETRY)
        };
        delay.mul_f64(1.0 - portion / 4.0)
    }

    /// Whether something is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let mut next = Earliest::default();
        self.deadlines(&mut next);
        next.0.is_some_and(|(at, _)| at <= now)
    }

    /// When something is due, and what.
    pub(crate) fn deadlines(&self, next: &mut Earliest) {
        match self.dialler {
            Dialler::Waiting(at) => next.consider(Some(at), "dial"),
            Dialler::Dialling(_, until) => next.consider(Some(until), "connect retry"),
            Dialler::Resting => {}
        }
        for connection in &self.connections {
            next.consider(connection.hold_deadline(), "hold");
            next.consider(connection.keepalive_deadline(), "keepalive");
        }
        // A peer of a range that is held down goes when that is over: it is there to be refused.
        if let (Some(held_down), Origin::Range(..)) = (&self.held_down, &self.origin) {
            next.consider(held_down.until(), "held down");
        }
        next.consider(self.stale_until, "stale paths");
    }

    /// The OPEN for a new connection.
    pub(crate) fn open(&self, intent: &Intent, own: OwnRestart) -> wire::Open {
        negotiate::offer(intent, &self.intent, own)
    }
}

#[cfg(test)]
mod tests;
