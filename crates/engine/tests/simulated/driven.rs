//! One engine, driven step by step: what happens between an event and the answer to an earlier request.

use std::net::Ipv4Addr;
use std::time::Instant;

use engine::intent::{Intent, Role};
use engine::{Action, ConnId, Engine, Event, Family, Link, RouteQuery, Select};
use wire::{Capability, NextHop, Open, attr_code, flag, write_attribute};

use crate::sim::{SECOND, Sim, With, intent};

const ROUTER: u32 = 64514;
const PREFIX: &str = "10.1.0.0/16";

fn engine(own: Intent) -> (Engine, Instant) {
    let now = Sim::new(0).now;
    let mut engine = Engine::new(1, now);
    let addresses = vec!["192.0.2.1/24".parse().expect("an address")];
    engine.handle(now, Event::Links(vec![Link { index: 1, name: "eth0".into(), up: true, addresses }]));
    engine.handle(now, Event::Intent(Box::new(own)));
    (engine, now)
}

fn actions(engine: &mut Engine) -> Vec<Action> {
    std::iter::from_fn(|| engine.poll_action()).collect()
}

fn dialled(actions: &[Action]) -> Vec<ConnId> {
    let dials =
        actions.iter().filter_map(|action| if let Action::Dial { conn, .. } = action { Some(*conn) } else { None });
    dials.collect()
}

fn connect(engine: &mut Engine, now: Instant, number: u32, address: &str) -> ConnId {
    let conn = ConnId::Accepted(number);
    let local = "192.0.2.1:179".parse().expect("an address");
    let remote = (address.parse::<Ipv4Addr>().expect("an address"), 40_000).into();
    engine.handle(now, Event::Accepted { conn, local, remote, link: None });
    conn
}

/// A session with a peer of this AS, which says what it can do.
fn establish(
    engine: &mut Engine,
    now: Instant,
    number: u32,
    address: &str,
    asn: u32,
    capabilities: Vec<Capability>,
) -> ConnId {
    let conn = connect(engine, now, number, address);
    let mut bytes = Vec::new();
    let router_id = Ipv4Addr::new(10, 9, 9, number as u8);
    Open { asn, hold_time: 0, router_id, capabilities }.encode(&mut bytes);
    wire::encode_keepalive(&mut bytes);
    engine.handle(now, Event::Bytes { conn, data: bytes.into() });
    conn
}

fn announce(engine: &mut Engine, now: Instant, conn: ConnId, asn: u16, next_hop: &str) {
    let mut set = Vec::new();
    write_attribute(&mut set, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
    let [hi, lo] = asn.to_be_bytes();
    write_attribute(&mut set, flag::TRANSITIVE, attr_code::AS_PATH, &[2, 1, 0, 0, hi, lo]);
    let next_hop = NextHop::V4(next_hop.parse().expect("an address"));
    let mut bytes = Vec::new();
    let prefixes = std::iter::once(PREFIX.parse::<ipnet::IpNet>().expect("a prefix"));
    wire::encode_reach(&mut bytes, 4096, &set, &next_hop, Family::Ipv4Unicast, prefixes);
    engine.handle(now, Event::Bytes { conn, data: bytes.into() });
}

fn routes(engine: &Engine, select: Select) -> Vec<engine::RouteView> {
    engine.routes(&RouteQuery { family: Family::Ipv4Unicast, select, after: None, limit: 10 })
}

fn passive(address: &str, asn: u32) -> Intent {
    intent(ROUTER, "10.0.0.1").peer_with(address, asn, Role::Peer, |peer| peer.passive = true)
}

/// Otherwise nobody closes it: not when its peer is taken away, and its answer may reach whoever is a peer then.
#[test]
fn a_dial_under_way_is_not_forgotten_when_another_connection_ends() {
    let own = intent(ROUTER, "10.0.0.1").peer("192.0.2.2", 65002, Role::Peer);
    let (mut engine, now) = engine(own);
    engine.handle_timeout(now);
    let [dial] = dialled(&actions(&mut engine))[..] else { panic!("one dial") };
    let conn = connect(&mut engine, now, 1, "192.0.2.2");
    engine.handle(now, Event::Closed { conn, error: None });
    engine.handle_timeout(now + SECOND * 4);
    assert_eq!(dialled(&actions(&mut engine)), [], "one attempt at a time");
    engine.handle(now + SECOND * 4, Event::Intent(Box::new(intent(ROUTER, "10.0.0.1"))));
    assert!(actions(&mut engine).contains(&Action::Close(dial)));
    let local = "192.0.2.1:40000".parse().expect("an address");
    engine.handle(now + SECOND * 4, Event::Connected { conn: dial, local });
    assert_eq!(actions(&mut engine), [Action::Close(dial)], "nobody waits for it");
}

#[test]
fn a_view_shows_the_path_that_a_peer_of_two_octet_as_numbers_gets() {
    let mut own = passive("192.0.2.2", 65002);
    own = own.peer_with("192.0.2.3", 65003, Role::Peer, |peer| peer.passive = true);
    let (mut engine, now) = engine(own);
    let conn = establish(&mut engine, now, 1, "192.0.2.2", 65002, vec![Capability::FourOctetAs(65002)]);
    announce(&mut engine, now, conn, 65002, "192.0.2.2");
    let old = establish(&mut engine, now, 2, "192.0.2.3", 65003, Vec::new());
    while engine.poll_transmit(old).is_some() {}
    let told = routes(&engine, Select::Advertised("192.0.2.3".parse().expect("an address")));
    assert_eq!(told[0].paths[0].as_path, "64514 65002");
}

#[test]
fn a_route_that_is_about_to_be_tried_again_is_not_called_installed() {
    let (mut engine, now) = engine(passive("192.0.2.2", 65002));
    let conn = establish(&mut engine, now, 1, "192.0.2.2", 65002, vec![Capability::FourOctetAs(65002)]);
    announce(&mut engine, now, conn, 65002, "192.0.2.2");
    let batch = engine.poll_fib().expect("a route");
    let failed = vec![(PREFIX.parse().expect("a prefix"), "refused".to_owned())];
    let ack = |id, failed| Event::FibAck { id, failed, failed_groups: Vec::new(), degraded_groups: Vec::new() };
    engine.handle(now, ack(batch.id, failed));
    engine.handle_timeout(now + SECOND * 10);
    assert_eq!(routes(&engine, Select::All)[0].installed, Some(false));
    let batch = engine.poll_fib().expect("again");
    engine.handle(now + SECOND * 10, ack(batch.id, Vec::new()));
    assert_eq!(routes(&engine, Select::All)[0].installed, Some(true));
}

#[test]
fn a_destination_that_only_waits_for_the_kernel_goes_when_the_fib_is_switched_off() {
    let (mut engine, now) = engine(passive("192.0.2.2", 65002));
    let conn = establish(&mut engine, now, 1, "192.0.2.2", 65002, vec![Capability::FourOctetAs(65002)]);
    announce(&mut engine, now, conn, 65002, "192.0.2.2");
    let mut off = intent(ROUTER, "10.0.0.1");
    off.fib = false;
    engine.handle(now, Event::Intent(Box::new(off)));
    assert_eq!(engine.snapshot(now).destinations[0].1, 0);
}
