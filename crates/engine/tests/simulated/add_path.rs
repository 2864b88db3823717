//! Several paths per prefix (RFC 7911).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use engine::intent::{Intent, Role};
use engine::{ConnId, Event, Family, Order, RouteQuery, Select};
use ipnet::IpNet;
use proptest::prelude::*;
use wire::{AddPath, Capability, NextHop, Open, attr_code, flag, write_attribute};

use crate::sim::{SECOND, Sim, With, intent};

const REFLECTOR: &str = "192.0.2.1";
const CLIENT: &str = "192.0.2.9";
const PREFIX: &str = "10.1.0.0/16";

/// A reflector without a FIB, `sources` external routers that all announce the same prefix, and a client in the reflector's
/// AS. Returns reflector, client and sources.
fn reflected(sim: &mut Sim, sources: u8, ours: Option<AddPath>, theirs: Option<AddPath>) -> (usize, usize, Vec<usize>) {
    let mut reflector = intent(64512, "10.0.0.1").peer_with(CLIENT, 64512, Role::Peer, |peer| {
        peer.add_path = ours;
        peer.reflector_client = engine::FamilySet::ALL;
    });
    reflector.fib = false;
    for source in 0..sources {
        reflector = reflector.peer(&address(source), asn(source), Role::Peer);
    }
    let reflector = sim.add(&[("eth0", &["192.0.2.1/24"])], reflector);
    let client = intent(64512, "10.0.0.9").peer_with(REFLECTOR, 64512, Role::Peer, |peer| peer.add_path = theirs);
    let client = sim.add(&[("eth0", &["192.0.2.9/24"])], client);
    let sources: Vec<usize> =
        (0..sources).map(|source| sim.add(&link(source), announcing(source, &[PREFIX]))).collect();
    sim.run(SECOND * 20);
    assert!(sim.established(reflector, CLIENT));
    (reflector, client, sources)
}

fn address(source: u8) -> String {
    format!("192.0.2.{}", 10 + source)
}

fn asn(source: u8) -> u32 {
    64600 + u32::from(source)
}

fn link(source: u8) -> [(&'static str, &'static [&'static str]); 1] {
    let addresses: [&'static [&'static str]; 4] =
        [&["192.0.2.10/24"], &["192.0.2.11/24"], &["192.0.2.12/24"], &["192.0.2.13/24"]];
    [("eth0", addresses[usize::from(source)])]
}

fn announcing(source: u8, prefixes: &[&str]) -> Intent {
    let own = intent(asn(source), &format!("10.0.1.{source}")).peer(REFLECTOR, 64512, Role::Peer);
    prefixes.iter().fold(own, |own, prefix| own.network(prefix))
}

/// AS path and identifier of what the client has.
fn paths(sim: &Sim, client: usize) -> BTreeSet<(String, Option<u32>)> {
    let route = sim.route(client, PREFIX);
    route.into_iter().flat_map(|route| route.paths).map(|path| (path.as_path, path.path_id)).collect()
}

fn both(sim: &Sim, reflector: usize, client: usize) {
    let of = |node, select| {
        let routes = sim.routes(node, select).into_iter();
        let all = routes.flat_map(|route| {
            route.paths.into_iter().map(move |path| (route.prefix, path.path_id, path.as_path, path.next_hop))
        });
        all.collect::<BTreeSet<_>>()
    };
    let told = of(reflector, Select::Advertised(CLIENT.parse().expect("an address")));
    let has = of(client, Select::Received(REFLECTOR.parse().expect("an address")));
    assert_eq!(told, has, "RIB-Out of one is RIB-In of the other");
}

/// RFC 7911 section 3: every path has an identifier of its own.
#[test]
fn a_client_that_takes_several_paths_gets_all_of_them() {
    let mut sim = Sim::new(1);
    let (reflector, client, _) = reflected(&mut sim, 3, Some(AddPath::Send), Some(AddPath::Receive));
    let has = paths(&sim, client);
    let names: Vec<&str> = has.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(names, ["64600", "64601", "64602"]);
    let ids: BTreeSet<_> = has.iter().map(|(_, id)| id.expect("an identifier")).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(sim.gateways(client, PREFIX).len(), 3, "it shares the traffic among them");
    both(&sim, reflector, client);
    let counts = sim.peer(reflector, CLIENT).families[0];
    assert_eq!(counts.advertised, 3);
    assert_eq!(sim.peer(client, REFLECTOR).families[0].received, 3);
    assert!(sim.peer(client, REFLECTOR).capabilities.iter().any(|name| name == "additional paths received"));
}

/// RFC 7911 section 4: only where one side sends and the other receives.
#[test]
fn without_agreement_only_the_best_path_is_sent() {
    use AddPath::{Both, Receive, Send};
    let table = [
        (None, Some(Both), 1),
        (Some(Both), None, 1),
        (Some(Send), Some(Send), 1),
        (Some(Receive), Some(Both), 1),
        (Some(Send), Some(Both), 3),
        (Some(Both), Some(Receive), 3),
        (Some(Both), Some(Both), 3),
    ];
    for (ours, theirs, expected) in table {
        let mut sim = Sim::new(2);
        let (reflector, client, _) = reflected(&mut sim, 3, ours, theirs);
        assert_eq!(paths(&sim, client).len(), expected, "{ours:?} {theirs:?}");
        both(&sim, reflector, client);
    }
}

/// RFC 7911 section 5: a withdrawal names the path, and another announcement with the same identifier replaces it.
#[test]
fn a_path_is_withdrawn_and_replaced_by_its_identifier() {
    let mut sim = Sim::new(3);
    let (reflector, client, sources) = reflected(&mut sim, 3, Some(AddPath::Both), Some(AddPath::Both));
    let before = paths(&sim, client);
    sim.configure(sources[1], announcing(1, &[]));
    sim.run(SECOND * 2);
    let after = paths(&sim, client);
    let gone: Vec<_> = before.difference(&after).collect();
    assert_eq!((gone.len(), after.len()), (1, 2), "the others keep their identifiers");
    assert_eq!(gone[0].0, "64601");
    sim.configure(sources[1], announcing(1, &[PREFIX]));
    sim.run(SECOND * 2);
    assert_eq!(paths(&sim, client), before, "the free identifier is used again");
    both(&sim, reflector, client);
}

/// Nothing is said twice: a path that does not change is not repeated when another one does.
#[test]
fn a_change_of_one_path_does_not_repeat_the_others() {
    let mut sim = Sim::new(4);
    let (reflector, client, sources) = reflected(&mut sim, 4, Some(AddPath::Send), Some(AddPath::Receive));
    let before = sim.peer(client, REFLECTOR).received[2];
    sim.configure(sources[0], announcing(0, &[]));
    sim.run(SECOND * 2);
    assert_eq!(sim.peer(client, REFLECTOR).received[2], before + 1, "one withdrawal");
    assert_eq!(paths(&sim, client).len(), 3);
    both(&sim, reflector, client);
}

/// A session with a scripted peer that has four-octet AS numbers and path identifiers, and no large messages.
fn scripted(sim: &mut Sim, node: usize, number: u32, peer: &str, asn: u32) -> ConnId {
    let conn = ConnId::Accepted(1_000 + number);
    let remote = (peer.parse::<IpAddr>().expect("an address"), 4000).into();
    sim.tell(node, Event::Accepted { conn, local: "192.0.2.1:179".parse().expect("one"), remote, link: None });
    let modes = vec![(Family::Ipv4Unicast.code(), AddPath::Both)];
    let capabilities = vec![Capability::FourOctetAs(asn), Capability::AddPath(modes)];
    let mut data = Vec::new();
    Open { asn, hold_time: 0, router_id: Ipv4Addr::from(number + 2), capabilities }.encode(&mut data);
    wire::encode_keepalive(&mut data);
    sim.tell(node, Event::Bytes { conn, data: data.into() });
    conn
}

/// An UPDATE of [`PREFIX`] with these identifiers, from AS 65002, with so many communities.
fn update(ids: impl Iterator<Item = u32>, communities: usize) -> Vec<u8> {
    let mut set = Vec::new();
    write_attribute(&mut set, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
    write_attribute(&mut set, flag::TRANSITIVE, attr_code::AS_PATH, &[2, 1, 0, 0, 0xFD, 0xEA]);
    if communities > 0 {
        let flags = flag::TRANSITIVE | flag::OPTIONAL;
        write_attribute(&mut set, flags, attr_code::COMMUNITIES, &[0xFD, 0xEA, 0, 1].repeat(communities));
    }
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 2));
    let prefix: IpNet = PREFIX.parse().expect("a prefix");
    let mut data = Vec::new();
    assert!(wire::encode_reach(&mut data, 4096, &set, &next_hop, Family::Ipv4Unicast, ids.map(|id| (id, prefix))) > 0);
    data
}

/// RFC 7911 knows no limit; we do, so that one destination cannot cost others their turn.
#[test]
fn more_paths_than_can_be_used_are_dropped_and_told() {
    let own = intent(64512, "10.0.0.1").peer_with("192.0.2.2", 65002, Role::Peer, |peer| {
        peer.add_path = Some(AddPath::Receive);
    });
    let mut sim = Sim::new(7);
    let node = sim.add(&[("eth0", &["192.0.2.1/24"])], own);
    let conn = scripted(&mut sim, node, 0, "192.0.2.2", 65002);
    sim.tell(node, Event::Bytes { conn, data: update(1..=100, 0).into() });
    assert_eq!(sim.peer(node, "192.0.2.2").families[0].received, 64);
    assert!(
        sim.nodes[node].notes.iter().any(|note| note.contains("more than 64 paths")),
        "{:?}",
        sim.nodes[node].notes
    );

    let prefix: IpNet = PREFIX.parse().expect("a prefix");
    let mut gone = Vec::new();
    wire::encode_unreach(&mut gone, 4096, Family::Ipv4Unicast, (1..=100u32).map(|id| (id, prefix)));
    sim.tell(node, Event::Bytes { conn, data: gone.into() });
    assert_eq!(sim.peer(node, "192.0.2.2").families[0].received, 0);
    let query = RouteQuery { family: Family::Ipv4Unicast, select: Select::All, after: None, limit: 9 };
    assert!(sim.nodes[node].engine.routes(&query).is_empty());
}

/// A path whose attributes fill the messages of the peer that sends it does not fit into ours, which say more.
#[test]
fn a_path_that_fits_into_no_message_is_not_told_and_the_other_is() {
    let both = |peer: &mut engine::intent::PeerIntent| peer.add_path = Some(AddPath::Both);
    let own = intent(64512, "10.0.0.1").peer_with("192.0.2.2", 65002, Role::Peer, both);
    let mut sim = Sim::new(8);
    let node = sim.add(&[("eth0", &["192.0.2.1/24"])], own.peer_with(CLIENT, 64512, Role::Peer, both));
    let source = scripted(&mut sim, node, 0, "192.0.2.2", 65002);
    scripted(&mut sim, node, 1, CLIENT, 64512);
    let told = |sim: &mut Sim, updates: &[Vec<u8>]| {
        sim.tell(node, Event::Bytes { conn: source, data: updates.concat().into() });
        sim.run(SECOND);
        let routes = sim.routes(node, Select::Advertised(CLIENT.parse().expect("an address")));
        (routes.iter().map(|route| route.paths.len()).sum::<usize>(), sim.peer(node, CLIENT).families[0].advertised)
    };
    assert_eq!(told(&mut sim, &[update(1..=1, 1009), update(2..=2, 0)]), (1, 1));
    let notes = &sim.nodes[node].notes;
    assert!(notes.iter().any(|note| note.contains("1 routes could not be announced")), "{notes:?}");
    assert_eq!(told(&mut sim, &[update(1..=1, 900)]), (2, 2), "it fits now");
    assert_eq!(told(&mut sim, &[update(1..=1, 1009)]), (1, 1), "the older version is withdrawn");
}

/// RFC 2918 and RFC 7313 with several paths.
#[test]
fn a_refresh_repeats_every_path() {
    let mut sim = Sim::new(5);
    let (reflector, client, _) = reflected(&mut sim, 3, Some(AddPath::Send), Some(AddPath::Receive));
    let before = paths(&sim, client);
    let peer = REFLECTOR.parse().expect("an address");
    sim.tell(client, Event::Order { peer, link: None, order: Order::RefreshIn });
    sim.run(SECOND * 2);
    assert_eq!(paths(&sim, client), before, "nothing is taken for stale");
    both(&sim, reflector, client);
}

#[test]
fn a_session_that_comes_back_has_all_paths_again() {
    let mut sim = Sim::new(6);
    let (reflector, client, _) = reflected(&mut sim, 3, Some(AddPath::Send), Some(AddPath::Receive));
    sim.reset(reflector, client);
    assert!(paths(&sim, client).is_empty());
    sim.run(SECOND * 20);
    assert_eq!(paths(&sim, client).len(), 3);
    both(&sim, reflector, client);
}

#[derive(Clone, Debug)]
enum Step {
    Announce(u8, bool),
    Link(bool),
    Reset,
    Refresh,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// After any history both sides agree, and nothing is left over.
    #[test]
    fn both_sides_agree_after_any_history(
        seed in any::<u64>(),
        steps in proptest::collection::vec(
            prop_oneof![
                6 => (0u8..4, any::<bool>()).prop_map(|(source, up)| Step::Announce(source, up)),
                1 => any::<bool>().prop_map(Step::Link),
                1 => Just(Step::Reset),
                1 => Just(Step::Refresh),
            ],
            1..24,
        ),
    ) {
        let mut sim = Sim::new(seed);
        let (reflector, client, sources) = reflected(&mut sim, 4, Some(AddPath::Both), Some(AddPath::Both));
        let mut announced = [true; 4];
        for step in steps {
            match step {
                Step::Announce(source, up) => {
                    announced[usize::from(source)] = up;
                    let prefixes: &[&str] = if up { &[PREFIX, "10.2.0.0/16"] } else { &[] };
                    sim.configure(sources[usize::from(source)], announcing(source, prefixes));
                }
                Step::Link(up) => sim.set_link(sources[0], "eth0", up),
                Step::Reset => sim.reset(reflector, client),
                Step::Refresh => {
                    let peer = CLIENT.parse().expect("an address");
                    sim.tell(reflector, Event::Order { peer, link: None, order: Order::RefreshOut });
                }
            }
            sim.run(SECOND / 500);
        }
        sim.set_link(sources[0], "eth0", true);
        sim.run(SECOND * 400);
        both(&sim, reflector, client);
        prop_assert_eq!(paths(&sim, client).len(), announced.iter().filter(|up| **up).count());
        for source in 0..4 {
            sim.configure(sources[usize::from(source)], announcing(source, &[]));
        }
        sim.run(SECOND * 5);
        for node in [reflector, client] {
            let left = sim.nodes[node].engine.snapshot(sim.now);
            prop_assert!(left.destinations.iter().all(|(_, count)| *count == 0), "{:?}", left.destinations);
            prop_assert_eq!(left.attribute_sets, 0);
        }
    }
}
