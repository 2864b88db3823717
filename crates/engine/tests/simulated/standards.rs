//! Single rules of the RFCs, seen from a scripted peer.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use engine::intent::Role;
use engine::{Action, ConnId, Engine, Event, Family, Link, RouteQuery, RouteView, Select};
use wire::{
    Capability, Frame, GracefulRestart, MessageType, NextHop, Open, Refresh, RouteRefresh, attr_code, flag,
    write_attribute,
};

use crate::sim::{Sim, With, intent};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const CONN: ConnId = ConnId::Accepted(1);
const V4: Family = Family::Ipv4Unicast;

/// A router with one peer, whose session is up, and a network of its own.
struct Script {
    engine: Engine,
    now: Instant,
    notes: Vec<String>,
}

impl Script {
    fn new() -> Self {
        let now = Sim::new(0).now;
        let mut engine = Engine::new(1, now);
        let addresses = vec!["192.0.2.1/24".parse().expect("an address")];
        engine.handle(now, Event::Links(vec![Link { index: 1, name: "eth0".into(), up: true, addresses }]));
        let own = intent(64514, "10.0.0.1").network("10.9.0.0/16");
        let own = own.peer_with(&PEER.to_string(), 64512, Role::Peer, |peer| peer.passive = true);
        engine.handle(now, Event::Intent(Box::new(own)));
        let mut script = Self { engine, now, notes: Vec::new() };
        script.accept(CONN, PEER);
        let open = script.said(CONN);
        assert_eq!(open.first().map(|(kind, _)| *kind), Some(MessageType::Open));
        let capabilities = vec![
            Capability::FourOctetAs(64512),
            Capability::MultiProtocol(V4.code()),
            Capability::RouteRefresh,
            Capability::EnhancedRouteRefresh,
        ];
        let mut bytes = Vec::new();
        Open { asn: 64512, hold_time: 0, router_id: Ipv4Addr::new(10, 0, 0, 2), capabilities }.encode(&mut bytes);
        wire::encode_keepalive(&mut bytes);
        script.hears(bytes);
        script
    }

    fn accept(&mut self, conn: ConnId, from: IpAddr) {
        let local = "192.0.2.1:179".parse().expect("an address");
        self.engine.handle(self.now, Event::Accepted { conn, local, remote: (from, 40_000).into(), link: None });
    }

    fn hears(&mut self, bytes: Vec<u8>) {
        self.engine.handle(self.now, Event::Bytes { conn: CONN, data: bytes.into() });
    }

    /// What was said on a connection since the last time: kinds and bodies.
    fn said(&mut self, conn: ConnId) -> Vec<(MessageType, Vec<u8>)> {
        while let Some(action) = self.engine.poll_action() {
            if let Action::Note(note) = action {
                self.notes.push(note.text);
            }
        }
        let mut bytes = Vec::new();
        while let Some(more) = self.engine.poll_transmit(conn) {
            bytes.extend_from_slice(&more);
        }
        let (mut said, mut rest) = (Vec::new(), bytes.as_slice());
        while let Ok(Some(Frame { kind, body, len })) = wire::next_frame(rest, wire::MAX_LEN) {
            said.push((kind, body.to_vec()));
            rest = &rest[len..];
        }
        said
    }

    /// Announces `10.N.0.0/16` with these extra attributes.
    fn announces(&mut self, numbers: &[u8], extra: &[u8]) {
        self.announces_via(Ipv4Addr::new(192, 0, 2, 2), numbers, extra);
    }

    fn announces_via(&mut self, next_hop: Ipv4Addr, numbers: &[u8], extra: &[u8]) {
        self.hears(Self::announcement(next_hop, numbers, extra));
    }

    fn announcement(next_hop: Ipv4Addr, numbers: &[u8], extra: &[u8]) -> Vec<u8> {
        let mut attributes = Vec::new();
        write_attribute(&mut attributes, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
        write_attribute(&mut attributes, flag::TRANSITIVE, attr_code::AS_PATH, &[2, 1, 0, 0, 0xFC, 0]);
        attributes.extend_from_slice(extra);
        let prefixes =
            numbers.iter().map(|number| format!("10.{number}.0.0/16").parse::<ipnet::IpNet>().expect("a prefix"));
        let mut bytes = Vec::new();
        wire::encode_reach(&mut bytes, wire::MAX_LEN, &attributes, &NextHop::V4(next_hop), V4, prefixes);
        bytes
    }

    fn refresh(&mut self, subtype: Refresh) {
        let mut bytes = Vec::new();
        RouteRefresh { family: V4.code(), subtype }.encode(&mut bytes);
        self.hears(bytes);
    }

    fn listed(&self) -> Vec<RouteView> {
        let query = RouteQuery { family: V4, select: Select::Received(PEER), after: None, limit: 100 };
        self.engine.routes(&query)
    }

    fn received(&self) -> Vec<String> {
        self.listed().iter().map(|route| route.prefix.to_string()).collect()
    }
}

fn cease(subcode: u8) -> Vec<(MessageType, Vec<u8>)> {
    vec![(MessageType::Notification, vec![6, subcode])]
}

#[test]
fn updates_are_counted_when_they_are_whole() {
    let mut script = Script::new();
    let mut bytes = Vec::new();
    wire::encode_keepalive(&mut bytes);
    for number in 1..=3 {
        bytes.extend(Script::announcement(Ipv4Addr::new(192, 0, 2, 2), &[number], &[]));
    }
    let (first, rest) = bytes.split_at(bytes.len() - 5);
    let mut received = |bytes| script.engine.received(script.now, CONN, bytes);
    assert_eq!([first, rest, &[]].map(&mut received), [2, 1, 0]);
    assert_eq!(script.received(), ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]);
}

/// RFC 4486 section 3.
#[test]
fn a_removed_neighbor_is_told_so() {
    let mut script = Script::new();
    script.said(CONN);
    script.engine.handle(script.now, Event::Intent(Box::new(intent(64514, "10.0.0.1"))));
    assert_eq!(script.said(CONN), cease(3));
}

/// RFC 4486 section 3.
#[test]
fn a_stranger_is_told_that_it_is_rejected() {
    let mut script = Script::new();
    let stranger = ConnId::Accepted(2);
    script.accept(stranger, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77)));
    assert_eq!(script.said(stranger), cease(5));
}

/// RFC 7313 section 4.
#[test]
fn a_refresh_is_answered_between_its_markers() {
    let mut script = Script::new();
    let first = script.said(CONN);
    assert_eq!(first.iter().filter(|(kind, _)| *kind == MessageType::RouteRefresh).count(), 0);
    script.refresh(Refresh::Request);
    let marker = |said: &(MessageType, Vec<u8>)| match said {
        (MessageType::RouteRefresh, body) => Some(RouteRefresh::decode(body).expect("ours").subtype),
        (MessageType::Update, _) => None,
        (MessageType::Open | MessageType::Notification | MessageType::Keepalive, _) => {
            panic!("not asked for: {said:?}")
        }
    };
    let answer: Vec<_> = script.said(CONN).iter().map(marker).collect();
    assert_eq!(answer, [Some(Refresh::Begin), None, Some(Refresh::End)]);
}

/// RFC 7313 section 4.
#[test]
fn what_a_refresh_does_not_repeat_is_gone() {
    let mut script = Script::new();
    script.announces(&[1, 2, 3], &[]);
    script.refresh(Refresh::Begin);
    assert_eq!(script.received().len(), 3, "until the end it may still be repeated");
    script.announces(&[2, 4], &[]);
    script.refresh(Refresh::End);
    assert_eq!(script.received(), ["10.2.0.0/16", "10.4.0.0/16"]);
}

/// RFC 4271 5.1.3.
#[test]
fn a_next_hop_that_is_ours_is_refused() {
    let mut script = Script::new();
    script.announces_via(Ipv4Addr::new(192, 0, 2, 1), &[1], &[]);
    let path = &script.listed()[0].paths[0];
    assert!(!path.usable && path.reason == "refused: the next hop is one of our own addresses", "{path:?}");
}

/// RFC 7606 section 6.
#[test]
fn malformed_attributes_are_counted_and_told() {
    let mut script = Script::new();
    let mut bad = Vec::new();
    write_attribute(&mut bad, flag::OPTIONAL | flag::TRANSITIVE, attr_code::AGGREGATOR, &[1]);
    for _ in 0..3 {
        script.announces(&[1], &bad);
    }
    script.said(CONN);
    let told: Vec<&String> = script.notes.iter().filter(|note| note.contains("malformed UPDATE")).collect();
    let named = told.iter().all(|note| note.contains("attribute 7 (AGGREGATOR): wrong length: left out (c0070101)"));
    assert!(told.len() == 2 && named, "the first and the second: {told:?}");
    let peer = &script.engine.snapshot(script.now).peers[0];
    assert_eq!((peer.malformed, peer.malformed_attributes.get(&attr_code::AGGREGATOR)), (3, Some(&3)));
    assert_eq!(script.received(), ["10.1.0.0/16"], "only the attribute was left out");
}

/// Of what RFC 5492's registry has, only what works is offered.
#[test]
fn what_we_do_not_serve_is_not_offered() {
    let mut script = Script::new();
    let second = ConnId::Accepted(2);
    script.accept(second, PEER);
    let (_, body) = script.said(second).swap_remove(0);
    let offered: Vec<Capability> = Open::decode(&body).expect("ours").capabilities;
    let expected = [
        Capability::MultiProtocol(V4.code()),
        Capability::MultiProtocol(Family::Ipv6Unicast.code()),
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedMessage,
        Capability::FourOctetAs(64514),
        // Without families: we keep what a restarting peer has said, and do not restart gracefully ourselves.
        Capability::GracefulRestart(GracefulRestart {
            restarting: false,
            notification: true,
            time: 0,
            families: Vec::new(),
        }),
        Capability::LongLivedGracefulRestart(Vec::new()),
    ];
    assert_eq!(offered, expected);
}
