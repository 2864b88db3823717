//! The incremental tables against a model that computes everything from scratch after each step.
//!
//! The peers are scripted: they announce with arbitrary attributes, withdraw, fall and come back in any order. After each
//! step the model, which knows only what each peer has announced, must name the same best path, the same FIB and the same
//! routes for every peer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use engine::intent::{Intent, Role};
use engine::{ConnId, Engine, Event, Family, GroupChange, Link, RouteQuery, Select};
use ipnet::IpNet;
use proptest::prelude::*;
use wire::{AsPath, NextHop, Open, attr_code, flag, write_attribute};

use crate::sim::{SECOND, Sim, With, intent};

const ROUTER: u32 = 64514;
/// The last octet of each peer's address and its AS: two share one, and the last is in ours.
const PEERS: [(u8, u32); 5] = [(2, 65002), (3, 65002), (4, 65004), (5, 65005), (6, ROUTER)];
const PREFIXES: usize = 4;

/// What a path looks like. Local preference counts for the internal peer only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attributes {
    length: u8,
    origin: u8,
    med: u32,
    local_pref: u32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Announce(usize, usize, Attributes),
    Withdraw(usize, usize),
    Bounce(usize),
}

fn address(peer: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, PEERS[peer].0)
}

fn prefix(number: usize) -> IpNet {
    format!("10.{number}.0.0/16").parse().expect("a prefix")
}

fn internal(peer: usize) -> bool {
    PEERS[peer].1 == ROUTER
}

struct World {
    engine: Engine,
    now: Instant,
    conns: [ConnId; PEERS.len()],
    next: u32,
    announced: BTreeMap<(usize, usize), Attributes>,
    fib: BTreeMap<IpNet, u32>,
}

impl World {
    fn new() -> Self {
        let now = Sim::new(0).now;
        let mut own: Intent = intent(ROUTER, "10.0.0.1");
        for (peer, (_, asn)) in PEERS.into_iter().enumerate() {
            let address = address(peer).to_string();
            own = own.peer_with(&address, asn, Role::Peer, |peer| peer.passive = true);
        }
        let mut engine = Engine::new(1, now);
        let addresses = vec!["192.0.2.1/24".parse().expect("an address")];
        engine.handle(now, Event::Links(vec![Link { index: 1, name: "eth0".into(), up: true, addresses }]));
        engine.handle(now, Event::Intent(Box::new(own)));
        let conns = [ConnId::Accepted(0); PEERS.len()];
        let mut world = Self { engine, now, conns, next: 0, announced: BTreeMap::new(), fib: BTreeMap::new() };
        (0..PEERS.len()).for_each(|peer| world.connect(peer));
        world
    }

    fn connect(&mut self, peer: usize) {
        self.next += 1;
        let conn = ConnId::Accepted(self.next);
        self.conns[peer] = conn;
        let local = "192.0.2.1:179".parse().expect("an address");
        let remote = (IpAddr::V4(address(peer)), 40_000).into();
        self.engine.handle(self.now, Event::Accepted { conn, local, remote, link: None });
        let mut bytes = Vec::new();
        let router_id = Ipv4Addr::new(10, 9, 9, PEERS[peer].0);
        let capabilities = vec![wire::Capability::FourOctetAs(PEERS[peer].1)];
        Open { asn: PEERS[peer].1, hold_time: 0, router_id, capabilities }.encode(&mut bytes);
        wire::encode_keepalive(&mut bytes);
        self.engine.handle(self.now, Event::Bytes { conn, data: bytes.into() });
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Announce(peer, number, attributes) => {
                self.announced.insert((peer, number), attributes);
                let mut bytes = Vec::new();
                let next_hop = NextHop::V4(address(peer));
                let encoded = encode(peer, attributes);
                let prefixes = std::iter::once(prefix(number));
                wire::encode_reach(&mut bytes, 4096, &encoded, &next_hop, Family::Ipv4Unicast, prefixes);
                self.engine.handle(self.now, Event::Bytes { conn: self.conns[peer], data: bytes.into() });
            }
            Step::Withdraw(peer, number) => {
                self.announced.remove(&(peer, number));
                let mut bytes = Vec::new();
                wire::encode_unreach(&mut bytes, 4096, Family::Ipv4Unicast, std::iter::once(prefix(number)));
                self.engine.handle(self.now, Event::Bytes { conn: self.conns[peer], data: bytes.into() });
            }
            Step::Bounce(peer) => {
                self.announced.retain(|(own, _), _| *own != peer);
                self.engine.handle(self.now, Event::Closed { conn: self.conns[peer], error: None });
                self.connect(peer);
            }
        }
        self.settle();
    }

    /// The kernel and every peer take what there is for them.
    fn settle(&mut self) {
        while self.engine.poll_action().is_some() {}
        while let Some(batch) = self.engine.poll_fib() {
            for change in &batch.routes {
                match change.group {
                    Some(group) => self.fib.insert(change.prefix, group.0),
                    None => self.fib.remove(&change.prefix),
                };
            }
            for change in &batch.groups {
                if let GroupChange::Delete(gone) = change {
                    self.fib.retain(|_, group| *group != gone.0);
                }
            }
            let ack = Event::FibAck {
                id: batch.id,
                failed: Vec::new(),
                failed_groups: Vec::new(),
                degraded_groups: Vec::new(),
            };
            self.engine.handle(self.now, ack);
        }
        for conn in self.conns {
            while self.engine.poll_transmit(conn).is_some() {}
        }
        self.now += SECOND;
    }

    fn listed(&self, select: Select) -> BTreeMap<IpNet, Option<IpAddr>> {
        let query = RouteQuery { family: Family::Ipv4Unicast, select, after: None, limit: 100 };
        let routes = self.engine.routes(&query).into_iter();
        routes
            .map(|route| (route.prefix, route.paths.iter().find(|path| path.best).and_then(|path| path.peer)))
            .collect()
    }

    /// RFC 4271 9.1.2, from scratch: who is best for a prefix.
    fn best(&self, number: usize) -> Option<usize> {
        let mut live: Vec<(usize, Attributes)> =
            (0..PEERS.len()).filter_map(|peer| Some((peer, *self.announced.get(&(peer, number))?))).collect();
        let preference = |(peer, path): &(usize, Attributes)| if internal(*peer) { path.local_pref } else { 100 };
        let highest = live.iter().map(preference).max()?;
        live.retain(|one| preference(one) == highest);
        let shortest = live.iter().map(|(_, path)| path.length).min()?;
        live.retain(|(_, path)| path.length == shortest);
        let origin = live.iter().map(|(_, path)| path.origin).min()?;
        live.retain(|(_, path)| path.origin == origin);
        let all = live.clone();
        let beats = |other: &(usize, Attributes), own: &(usize, Attributes)| {
            neighbor(other.0, other.1) == neighbor(own.0, own.1) && other.1.med < own.1.med
        };
        live.retain(|own| !all.iter().any(|other| beats(other, own)));
        if live.iter().any(|(peer, _)| !internal(*peer)) {
            live.retain(|(peer, _)| !internal(*peer));
        }
        // The identifiers are in the order of the addresses, so the first one has the lowest of both.
        live.first().map(|(peer, _)| *peer)
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let best: BTreeMap<IpNet, usize> =
            (0..PREFIXES).filter_map(|number| Some((prefix(number), self.best(number)?))).collect();
        let expected: BTreeMap<IpNet, Option<IpAddr>> =
            best.iter().map(|(prefix, peer)| (*prefix, Some(IpAddr::V4(address(*peer))))).collect();
        prop_assert_eq!(self.listed(Select::All), expected);
        prop_assert_eq!(
            self.fib.keys().copied().collect::<BTreeSet<_>>(),
            best.keys().copied().collect::<BTreeSet<_>>()
        );
        for to in 0..PEERS.len() {
            let told = self.listed(Select::Advertised(IpAddr::V4(address(to))));
            // To all but the one that it came from. There is one internal peer, so nothing would be reflected.
            let expected: Vec<IpNet> =
                best.iter().filter(|(_, from)| **from != to).map(|(prefix, _)| *prefix).collect();
            prop_assert_eq!(told.into_keys().collect::<Vec<_>>(), expected, "to {}", address(to));
        }
        Ok(())
    }
}

/// The AS that MED is compared within: the leftmost one of the path.
fn neighbor(peer: usize, path: Attributes) -> Option<u32> {
    if internal(peer) { (path.length > 0).then_some(65100) } else { Some(PEERS[peer].1) }
}

fn encode(peer: usize, attributes: Attributes) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::ORIGIN, &[attributes.origin]);
    let mut path = Vec::new();
    if !internal(peer) {
        path.push(PEERS[peer].1);
    }
    let mut further = 65100;
    while path.len() < usize::from(attributes.length) {
        path.push(further);
        further += 1;
    }
    let mut value = Vec::new();
    for asn in path.into_iter().rev() {
        let before = std::mem::take(&mut value);
        wire::prepend(&mut value, AsPath::new(&before), asn);
    }
    write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::AS_PATH, &value);
    write_attribute(&mut bytes, flag::OPTIONAL, attr_code::MED, &attributes.med.to_be_bytes());
    if internal(peer) {
        write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::LOCAL_PREF, &attributes.local_pref.to_be_bytes());
    }
    bytes
}

fn any_step() -> impl Strategy<Value = Step> {
    let attributes = (1u8..4, 0u8..3, 0u32..3, 99u32..102).prop_map(|(length, origin, med, local_pref)| Attributes {
        length,
        origin,
        med,
        local_pref,
    });
    let (peer, number) = (0..PEERS.len(), 0..PREFIXES);
    prop_oneof![
        6 => (peer.clone(), number.clone(), attributes).prop_map(|(peer, number, path)| Step::Announce(peer, number, path)),
        2 => (peer.clone(), number).prop_map(|(peer, number)| Step::Withdraw(peer, number)),
        1 => peer.prop_map(Step::Bounce),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_tables_are_what_a_computation_from_scratch_says(steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check()?;
        }
    }
}
