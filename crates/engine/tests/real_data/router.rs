//! A router with one peer that speaks and several that listen; there is no kernel, so every next hop counts as usable.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Instant;

use engine::intent::Role;
use engine::snapshot::{PeerState, Snapshot};
use engine::{Action, ConnId, Engine, Event, Family, FamilySet, Link};
use ipnet::IpNet;
use wire::{Capability, Open};

use crate::expect::{Own, Receiver, Route, Sender};
use crate::sim::{Sim, With, intent};
use crate::update::{self, Said};

const SENDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const OURS: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::new(0x2001, 0xdb8, 0xFFFF, 0, 0, 0, 0, 1));

/// Four octets outside, two octets outside, a client inside.
pub(crate) const RECEIVERS: [Receiver; 3] = [
    Receiver { external: true, four_octet: true, own_v4: OURS.0, own_v6: OURS.1 },
    Receiver { external: true, four_octet: false, own_v4: OURS.0, own_v6: OURS.1 },
    Receiver { external: false, four_octet: true, own_v4: OURS.0, own_v6: OURS.1 },
];

pub(crate) struct Router {
    engine: Engine,
    now: Instant,
    from: Sender,
    sender: ConnId,
    conns: u32,
    receivers: Vec<ConnId>,
    /// What was said to people.
    pub(crate) notes: Vec<String>,
}

impl Router {
    /// Every session is up, and nothing was said on any.
    pub(crate) fn new(own: Own, from: Sender, to: &[Receiver]) -> Self {
        let now = Sim::new(0).now;
        let mut config = intent(own.asn, &own.router_id.to_string());
        config.cluster_id = Some(own.cluster_id);
        config.fib = false;
        let mut peers = vec![(SENDER, from.asn, from.four_octet, from.router_id)];
        for (to, number) in to.iter().zip(3..) {
            let asn = if to.external { 65000 + u32::from(number) } else { own.asn };
            peers.push((Ipv4Addr::new(192, 0, 2, number), asn, to.four_octet, Ipv4Addr::new(10, 255, 0, number)));
        }
        for (address, asn, ..) in &peers {
            config = config.peer_with(&address.to_string(), *asn, Role::Peer, |peer| {
                peer.passive = true;
                peer.enforce_first_as = from.enforce_first_as;
                if *address != SENDER {
                    peer.reflector_client = FamilySet::ALL;
                }
            });
        }
        let mut engine = Engine::new(1, now);
        let addresses = vec![
            IpNet::new(OURS.0.into(), 24).expect("a length of IPv4"),
            IpNet::new(OURS.1.into(), 64).expect("a length of IPv6"),
        ];
        engine.handle(now, Event::Links(vec![Link { index: 1, name: "eth0".into(), up: true, addresses }]));
        engine.handle(now, Event::Intent(Box::new(config)));
        let conns: Vec<ConnId> = (1..).take(peers.len()).map(ConnId::Accepted).collect();
        let (sender, receivers) = (conns[0], conns[1..].to_vec());
        let mut router = Self { engine, now, from, sender, conns: peers.len() as u32, receivers, notes: Vec::new() };
        for (conn, (address, asn, four_octet, router_id)) in conns.into_iter().zip(peers) {
            router.connect(conn, address, asn, four_octet, router_id);
        }
        router
    }

    fn connect(&mut self, conn: ConnId, address: Ipv4Addr, asn: u32, four_octet: bool, router_id: Ipv4Addr) {
        let (local, remote) = ((IpAddr::V4(OURS.0), 179).into(), (IpAddr::V4(address), 40_000).into());
        self.engine.handle(self.now, Event::Accepted { conn, local, remote, link: None });
        let mut capabilities: Vec<_> =
            Family::ALL.into_iter().map(|family| Capability::MultiProtocol(family.code())).collect();
        if four_octet {
            capabilities.extend([Capability::FourOctetAs(asn), Capability::ExtendedMessage]);
        }
        let mut bytes = Vec::new();
        Open { asn, hold_time: 0, router_id, capabilities }.encode(&mut bytes);
        wire::encode_keepalive(&mut bytes);
        self.engine.handle(self.now, Event::Bytes { conn, data: bytes.into() });
        while self.engine.poll_transmit(conn).is_some() {}
        let up = |snapshot: Snapshot| {
            let established = |peer: &&engine::snapshot::PeerSnapshot| peer.state == PeerState::Established;
            snapshot.peers.iter().filter(established).any(|peer| peer.address == IpAddr::V4(address))
        };
        assert!(up(self.engine.snapshot(self.now)), "no session with {address}");
    }

    /// The sender says this. `Some`: it ended the session, with these last words; another session follows it.
    pub(crate) fn hears(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        self.engine.handle(self.now, Event::Bytes { conn: self.sender, data: bytes.into() });
        let mut last_words = None;
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Note(note) => self.notes.push(note.text),
                Action::Close(conn) => {
                    assert_eq!(conn, self.sender, "{:?}", self.notes);
                    last_words = Some(self.engine.poll_transmit(conn).map(Vec::from).unwrap_or_default());
                }
                Action::Dial { .. }
                | Action::Transmit(_)
                | Action::Admit(_)
                | Action::Bfd(_)
                | Action::Sessions(_)
                | Action::ClearFib => {}
            }
        }
        if last_words.is_some() {
            self.conns += 1;
            self.sender = ConnId::Accepted(self.conns);
            self.connect(self.sender, SENDER, self.from.asn, self.from.four_octet, self.from.router_id);
        }
        last_words
    }

    /// What a receiver is told next, whole messages.
    pub(crate) fn tells(&mut self, receiver: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(bytes) = self.engine.poll_transmit(self.receivers[receiver]) {
            all.extend_from_slice(&bytes);
        }
        all
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.engine.snapshot(self.now)
    }
}

/// What a receiver has after all that it was told.
#[derive(Debug, Default)]
pub(crate) struct Table(pub(crate) BTreeMap<IpNet, Route>);

impl Table {
    /// Takes one message, and gives its reading.
    pub(crate) fn take(&mut self, message: &[u8]) -> Said {
        let said = update::read(message).expect("what a router says can be read");
        for prefix in &said.withdrawn {
            self.0.remove(prefix);
        }
        let attributes = Rc::new(said.attributes.clone());
        for (prefix, next_hop) in &said.announced {
            let route = Route { next_hop: next_hop.clone(), attributes: Rc::clone(&attributes) };
            self.0.insert(*prefix, route);
        }
        said
    }
}
