//! One engine and one scripted peer: every event is chosen, every byte read.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use engine::intent::{Intent, PeerIntent, Role};
use engine::snapshot::{PeerSnapshot, PeerState};
use engine::{Action, ConnId, Engine, Event, Link, Order};
use wire::{Capability, Family, MessageType, Notification, Open, Refresh, RouteRefresh};

use crate::sim::{SECOND, Sim, With, intent};

pub(crate) const OWN: u32 = 64512;
pub(crate) const PEER: u32 = 64513;
pub(crate) const ADDRESS: &str = "192.0.2.2";
/// What the peer proposes, in seconds; we propose 180.
pub(crate) const HOLD: u16 = 90;

/// A message that the engine sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) conn: ConnId,
    pub(crate) kind: MessageType,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
}

pub(crate) struct Script {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) own: Intent,
    pub(crate) said: Vec<Said>,
    pub(crate) closed: Vec<ConnId>,
    pub(crate) dials: Vec<(ConnId, Instant)>,
    /// Whom a later process would wait for, as it was told last.
    pub(crate) sessions: Option<BTreeSet<IpAddr>>,
    /// The peer takes nothing: its window is closed.
    pub(crate) deaf: bool,
    accepted: u32,
}

/// Ourselves with the one neighbour. Without a FIB, whose timer would be seen among the session's.
pub(crate) fn own(change: impl FnOnce(&mut PeerIntent)) -> Intent {
    let mut own = intent(OWN, "10.0.0.5").peer_with(ADDRESS, PEER, Role::Peer, change);
    own.fib = false;
    own
}

impl Script {
    pub(crate) fn new(own: Intent) -> Self {
        let mut script = Self::empty();
        script.own = own.clone();
        script.tell(Event::Intent(Box::new(own)));
        script
    }

    /// Without a configuration so far.
    pub(crate) fn empty() -> Self {
        let now = Sim::new(0).now;
        let mut engine = Engine::new(7, now);
        let addresses = vec!["192.0.2.1/24".parse().expect("an address"), "2001:db8::1/64".parse().expect("one")];
        engine.handle(now, Event::Links(vec![Link { index: 1, name: "eth0".into(), up: true, addresses }]));
        let own = intent(OWN, "10.0.0.5");
        let (said, closed, dials) = (Vec::new(), Vec::new(), Vec::new());
        let mut script = Self { engine, now, own, said, closed, dials, sessions: None, deaf: false, accepted: 0 };
        script.drain();
        script
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.engine.handle(self.now, event);
        self.drain();
    }

    pub(crate) fn order(&mut self, order: Order) {
        self.tell(Event::Order { peer: ADDRESS.parse().expect("an address"), link: None, order });
    }

    pub(crate) fn drain(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Dial { conn, .. } => self.dials.push((conn, self.now)),
                Action::Transmit(conn) => self.pull(conn),
                Action::Close(conn) => {
                    self.pull(conn);
                    self.closed.push(conn);
                }
                Action::Sessions(peers) => self.sessions = Some(peers),
                Action::Admit(_) | Action::Bfd(_) | Action::ClearFib | Action::Note(_) => {}
            }
        }
    }

    pub(crate) fn pull(&mut self, conn: ConnId) {
        if self.deaf {
            return;
        }
        while let Some(bytes) = self.engine.poll_transmit(conn) {
            let mut rest = &bytes[..];
            while let Some(frame) = wire::next_frame(rest, wire::MAX_LEN_EXTENDED).expect("well-formed messages") {
                self.said.push(Said { conn, kind: frame.kind, body: frame.body.to_vec(), at: self.now });
                rest = &rest[frame.len..];
            }
            assert!(rest.is_empty(), "whole messages");
        }
    }

    /// Lets time pass up to the next deadline; its name and how long it took.
    pub(crate) fn next_deadline(&mut self) -> Option<(&'static str, std::time::Duration)> {
        let (at, why) = self.engine.poll_timeout()?;
        let passed = at.saturating_duration_since(self.now);
        self.now = self.now.max(at);
        self.engine.handle_timeout(self.now);
        self.drain();
        Some((why, passed))
    }

    /// Lets time pass, doing what is due when it is due.
    pub(crate) fn pass(&mut self, time: std::time::Duration) {
        let end = self.now + time;
        while self.engine.poll_timeout().is_some_and(|(at, _)| at <= end) {
            self.next_deadline();
        }
        self.now = end;
    }

    /// The connection that was dialled last.
    pub(crate) fn dialled(&self) -> ConnId {
        self.dials.last().expect("a dial").0
    }

    /// The peer answers our dial.
    pub(crate) fn connected(&mut self) -> ConnId {
        let conn = self.dialled();
        self.tell(Event::Connected { conn, local: "192.0.2.1:40000".parse().expect("an endpoint") });
        conn
    }

    /// Somebody dials us.
    pub(crate) fn accept(&mut self, from: &str) -> ConnId {
        self.accepted += 1;
        let conn = ConnId::Accepted(self.accepted);
        let remote = SocketAddr::new(from.parse::<IpAddr>().expect("an address"), 40_000 + self.accepted as u16);
        let local = "192.0.2.1:179".parse().expect("an endpoint");
        self.tell(Event::Accepted { conn, local, remote, link: None });
        conn
    }

    pub(crate) fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        self.tell(Event::Bytes { conn, data: bytes.into() });
    }

    /// A session on a connection that the peer dialled, with this OPEN.
    pub(crate) fn establish(&mut self, open: &Open) -> ConnId {
        let conn = self.accept(ADDRESS);
        let mut bytes = Vec::new();
        open.encode(&mut bytes);
        wire::encode_keepalive(&mut bytes);
        self.send(conn, bytes);
        assert_eq!(self.state(), PeerState::Established);
        conn
    }

    pub(crate) fn peer(&self) -> PeerSnapshot {
        self.engine.snapshot(self.now).peers.into_iter().next().expect("the neighbour")
    }

    pub(crate) fn state(&self) -> PeerState {
        self.peer().state
    }

    /// The kinds of what was said since there were `from` messages, with the codes of NOTIFICATIONs.
    pub(crate) fn kinds(&self, from: usize) -> Vec<String> {
        self.said[from..].iter().map(Said::name).collect()
    }
}

impl Said {
    pub(crate) fn name(&self) -> String {
        match self.kind {
            MessageType::Open => "OPEN".into(),
            MessageType::Update => "UPDATE".into(),
            MessageType::Keepalive => "KEEPALIVE".into(),
            MessageType::Notification => {
                let Notification { code, subcode, .. } = Notification::decode(&self.body);
                format!("{code}/{subcode}")
            }
            MessageType::RouteRefresh => match RouteRefresh::decode(&self.body).expect("well-formed").subtype {
                Refresh::Request => "REFRESH".into(),
                Refresh::Begin => "BoRR".into(),
                Refresh::End => "EoRR".into(),
                Refresh::Other(other) => format!("REFRESH {other}"),
            },
        }
    }
}

/// The peer's OPEN with these capabilities besides the four-octet AS.
pub(crate) fn open(router_id: &str, hold_time: u16, capabilities: &[Capability]) -> Open {
    let mut capabilities = capabilities.to_vec();
    capabilities.push(Capability::FourOctetAs(PEER));
    Open { asn: PEER, hold_time, router_id: router_id.parse::<Ipv4Addr>().expect("an identifier"), capabilities }
}

pub(crate) fn open_bytes(router_id: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    open(router_id, HOLD, &[]).encode(&mut bytes);
    bytes
}

pub(crate) fn keepalive() -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode_keepalive(&mut bytes);
    bytes
}

pub(crate) fn notification(code: u8, subcode: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    Notification::new(code, subcode).encode(&mut bytes);
    bytes
}

pub(crate) fn refresh(family: Family, subtype: Refresh) -> Vec<u8> {
    let mut bytes = Vec::new();
    RouteRefresh { family: family.code(), subtype }.encode(&mut bytes);
    bytes
}

/// A message with this body, whatever it means.
pub(crate) fn raw(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff; 16];
    bytes.extend_from_slice(&((19 + body.len()) as u16).to_be_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(body);
    bytes
}

/// Longer than any timer of a session.
pub(crate) const LONG: std::time::Duration = SECOND.saturating_mul(600);
