//! ROUTE-REFRESH, its markers and End-of-RIB: RFC 2918, 7313 and 4724 section 2.

use std::collections::BTreeSet;

use engine::intent::{Intent, PeerIntent, RemoteAs, Role};
use engine::snapshot::PeerState;
use engine::{ConnId, Event, Order, RouteQuery, Select};
use wire::{Capability, Family, MessageType, Notification, Open, Refresh};

use crate::routes::{announce, announce_all, withdraw};
use crate::script::{ADDRESS, HOLD, PEER, Script, keepalive, open, own, raw, refresh};
use crate::sim::{SECOND, With};

use Family::{Ipv4Unicast, Ipv6Unicast};

const ID: &str = "10.0.0.1";
const A: &str = "198.51.100.0/24";
const B: &str = "203.0.113.0/24";
const C: &str = "2001:db8:77::/48";

/// Both families, and refresh as far as it is offered.
fn capabilities(refresh: bool, enhanced: bool) -> Vec<Capability> {
    let mut all: Vec<Capability> = Family::ALL.map(|family| Capability::MultiProtocol(family.code())).to_vec();
    all.extend(refresh.then_some(Capability::RouteRefresh));
    all.extend(enhanced.then_some(Capability::EnhancedRouteRefresh));
    all
}

fn passive() -> Intent {
    own(|peer| peer.passive = true)
}

fn session(own: Intent, enhanced: bool) -> (Script, ConnId) {
    let mut script = Script::new(own);
    let conn = script.establish(&open(ID, HOLD, &capabilities(true, enhanced)));
    (script, conn)
}

/// What the peer announced, as we hold it.
fn held(script: &Script) -> BTreeSet<String> {
    let peer = ADDRESS.parse().expect("an address");
    let query = |family| RouteQuery { family, select: Select::Received(peer), after: None, limit: 1000 };
    let routes = Family::ALL.into_iter().flat_map(|family| script.engine.routes(&query(family)));
    routes.map(|route| route.prefix.to_string()).collect()
}

fn set(prefixes: &[&str]) -> BTreeSet<String> {
    prefixes.iter().map(|prefix| (*prefix).to_string()).collect()
}

fn begin(family: Family) -> Vec<u8> {
    refresh(family, Refresh::Begin)
}

fn end(family: Family) -> Vec<u8> {
    refresh(family, Refresh::End)
}

fn end_of_rib(family: Family) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode_end_of_rib(&mut bytes, family);
    bytes
}

/// RFC 7313 section 4: what is not repeated between the markers is gone, wherever the stream is cut.
#[test]
fn what_a_refresh_does_not_repeat_is_gone_wherever_the_segments_end() {
    let again = [begin(Ipv4Unicast), announce(A, &[PEER]), end(Ipv4Unicast), keepalive()].concat();
    for cut in 0..=again.len() {
        let (mut script, conn) = session(passive(), true);
        for prefix in [A, B, C] {
            script.send(conn, announce(prefix, &[PEER]));
        }
        script.send(conn, again[..cut].to_vec());
        let ended = cut >= again.len() - keepalive().len();
        let before: &[&str] = if ended { &[A, C] } else { &[A, B, C] };
        assert_eq!(held(&script), set(before), "cut at {cut}");
        script.send(conn, again[cut..].to_vec());
        assert_eq!(held(&script), set(&[A, C]), "cut at {cut}; the other family is not concerned");
        assert_eq!(script.state(), PeerState::Established);
    }
}

/// RFC 7313 section 4, one octet per segment.
#[test]
fn a_refresh_may_come_one_octet_at_a_time() {
    let (mut script, conn) = session(passive(), true);
    let all = [announce(A, &[PEER]), announce(B, &[PEER]), begin(Ipv4Unicast), announce(B, &[PEER]), end(Ipv4Unicast)];
    for byte in all.concat() {
        script.send(conn, vec![byte]);
    }
    assert_eq!(held(&script), set(&[B]));
}

/// RFC 7313 section 4: changes during a refresh count as what they are.
#[test]
fn changes_during_a_refresh_are_neither_lost_nor_undone() {
    let (mut script, conn) = session(passive(), true);
    script.send(conn, announce_all(&[A.into(), B.into()], &[PEER]));
    script.send(conn, begin(Ipv4Unicast));
    // Repeated and withdrawn; new; changed.
    script.send(conn, [announce(A, &[PEER]), withdraw(A)].concat());
    script.send(conn, announce("192.0.3.0/24", &[PEER]));
    script.send(conn, announce(B, &[PEER, 65099]));
    script.send(conn, end(Ipv4Unicast));
    assert_eq!(held(&script), set(&[B, "192.0.3.0/24"]));
    let query =
        RouteQuery { family: Ipv4Unicast, select: Select::Exact(B.parse().expect("one")), after: None, limit: 1 };
    assert_eq!(script.engine.routes(&query)[0].paths[0].as_path, format!("{PEER} 65099"));
}

/// RFC 7313 section 4: a refresh that begins again marks everything again; an end without a beginning sweeps nothing.
#[test]
fn a_refresh_may_begin_twice_and_an_end_alone_means_nothing() {
    let (mut script, conn) = session(passive(), true);
    script.send(conn, announce_all(&[A.into(), B.into()], &[PEER]));
    script.send(conn, end(Ipv4Unicast));
    assert_eq!(held(&script), set(&[A, B]));
    script.send(conn, [begin(Ipv4Unicast), announce(A, &[PEER]), begin(Ipv4Unicast)].concat());
    script.send(conn, [announce(B, &[PEER]), end(Ipv4Unicast)].concat());
    assert_eq!(held(&script), set(&[B]));
    script.send(conn, end(Ipv4Unicast));
    assert_eq!(held(&script), set(&[B]));
}

/// RFC 7313 section 4: while a refresh is under way what is stale is still used and told to others.
#[test]
fn stale_routes_are_used_until_the_end_of_the_refresh() {
    let (mut script, conn) = session(passive(), true);
    script.send(conn, announce(A, &[PEER]));
    script.send(conn, begin(Ipv4Unicast));
    let query = RouteQuery { family: Ipv4Unicast, select: Select::All, after: None, limit: 9 };
    assert!(script.engine.routes(&query)[0].paths[0].best);
    script.send(conn, end(Ipv4Unicast));
    assert!(script.engine.routes(&query).is_empty());
}

/// RFC 7313 section 4: the end of a refresh is lost with its session, and so is what was stale; the next session owes it
/// nothing.
#[test]
fn a_refresh_that_a_broken_session_cut_short_leaves_nothing_behind() {
    let (mut script, conn) = session(passive(), true);
    script.send(conn, announce_all(&[A.into(), B.into()], &[PEER]));
    script.send(conn, [begin(Ipv4Unicast), announce(A, &[PEER])].concat());
    script.tell(Event::Closed { conn, error: Some("connection reset".into()) });
    assert_eq!(script.engine.snapshot(script.now).attribute_sets, 0);
    let conn = script.establish(&open(ID, HOLD, &capabilities(true, true)));
    script.send(conn, announce_all(&[A.into(), B.into()], &[PEER]));
    script.send(conn, end(Ipv4Unicast));
    assert_eq!(held(&script), set(&[A, B]), "no beginning in this session");
}

/// RFC 7313 section 5, RFC 2918 section 4: what was not negotiated and what is not known is ignored.
#[test]
fn markers_that_were_not_negotiated_and_unknown_families_are_ignored() {
    let (mut script, conn) = session(passive(), false);
    script.send(conn, announce(A, &[PEER]));
    let said = script.said.len();
    script.send(conn, [begin(Ipv4Unicast), end(Ipv4Unicast)].concat());
    // A family that nobody has, an unknown subtype.
    script.send(conn, [raw(5, &[0x40, 4, 0, 71]), raw(5, &[0, 1, 99, 1])].concat());
    assert_eq!((held(&script), script.kinds(said)), (set(&[A]), Vec::new()));
    assert_eq!(script.state(), PeerState::Established);
}

/// RFC 7313 section 5: a marker of the wrong length ends the session, with the whole message as data.
#[test]
fn a_marker_of_the_wrong_length_is_answered_with_itself() {
    for bad in [raw(5, &[0, 1, 1, 1, 0]), raw(5, &[0, 1, 2])] {
        let (mut script, conn) = session(passive(), true);
        let said = script.said.len();
        script.send(conn, bad.clone());
        assert_eq!(script.kinds(said), ["7/1"]);
        assert_eq!(Notification::decode(&script.said[said].body).data, bad);
    }
}

fn with_networks() -> Intent {
    passive().network("10.1.0.0/16").network("2001:db8:1::/48")
}

/// RFC 2918 section 4, RFC 7313 section 4: the family that was asked for comes again, between markers when both sides know
/// them.
#[test]
fn a_request_is_answered_for_its_family_with_markers_where_they_were_negotiated() {
    for (enhanced, expected) in [(true, vec!["BoRR", "UPDATE", "EoRR"]), (false, vec!["UPDATE"])] {
        let (mut script, conn) = session(with_networks(), enhanced);
        for family in Family::ALL {
            let said = script.said.len();
            script.send(conn, refresh(family, Refresh::Request));
            assert_eq!(script.kinds(said), expected, "{family}");
            let told = script.said[said..].iter().find(|said| said.kind == MessageType::Update).expect("one");
            let v6 = told.body.windows(4).any(|bytes| bytes == [0x20, 0x01, 0x0d, 0xb8]);
            assert_eq!(v6, family == Ipv6Unicast);
        }
    }
}

/// RFC 2918 section 4: what we do not speak with the peer is not sent, though it asks.
#[test]
fn a_request_for_a_family_that_was_not_negotiated_is_ignored() {
    let mut script = Script::new(with_networks());
    let only_v4 = [Capability::MultiProtocol(Ipv4Unicast.code()), Capability::RouteRefresh];
    let conn = script.establish(&open(ID, HOLD, &only_v4));
    let said = script.said.len();
    script.send(conn, refresh(Ipv6Unicast, Refresh::Request));
    assert!(script.kinds(said).is_empty());
    script.send(conn, refresh(Ipv4Unicast, Refresh::Request));
    assert_eq!(script.kinds(said), ["UPDATE"]);
}

/// RFC 7313 section 4: no beginning of a refresh before End-of-RIB; the initial routes answer the request.
#[test]
fn a_request_before_our_end_of_rib_is_answered_by_the_initial_routes() {
    let mut script = Script::new(with_networks());
    script.deaf = true;
    let conn = script.establish(&open(ID, HOLD, &capabilities(true, true)));
    script.send(conn, refresh(Ipv4Unicast, Refresh::Request));
    script.deaf = false;
    script.pull(conn);
    let kinds = script.kinds(0);
    // Two families: the routes and End-of-RIB of each.
    assert_eq!(kinds, ["OPEN", "KEEPALIVE", "UPDATE", "UPDATE", "UPDATE", "UPDATE"]);
}

/// RFC 7313 section 4: a peer that reads slowly and asks again meanwhile gets a beginning for every answer, and the end
/// last.
#[test]
fn requests_of_a_slow_peer_are_answered_by_one_refresh() {
    let (mut script, conn) = session(with_networks(), true);
    let said = script.said.len();
    script.deaf = true;
    for _ in 0..5 {
        script.send(conn, refresh(Ipv4Unicast, Refresh::Request));
    }
    script.deaf = false;
    script.pull(conn);
    assert_eq!(script.kinds(said), ["BoRR", "UPDATE", "EoRR"]);
}

/// RFC 2918 section 3: a peer without the capability is not asked, and says so to the operator.
#[test]
fn a_peer_that_cannot_refresh_is_not_asked() {
    let mut script = Script::new(passive());
    script.establish(&open(ID, HOLD, &capabilities(false, false)));
    let peer = ADDRESS.parse().expect("an address");
    assert!(script.engine.may_order(peer, None, &Order::RefreshIn).is_err_and(|why| why.contains("RFC 2918")));
    let said = script.said.len();
    script.order(Order::RefreshIn);
    assert!(script.kinds(said).is_empty());
}

/// RFC 4724 section 2: one marker per negotiated family, after all routes of the family, also when there are none.
#[test]
fn end_of_rib_follows_the_initial_routes_of_each_family() {
    let markers = |script: &Script| -> Vec<Vec<u8>> {
        let updates = script.said.iter().filter(|said| said.kind == MessageType::Update);
        updates.map(|said| said.body.clone()).filter(|body| body.len() == 4 || body.len() == 10).collect()
    };
    let (v4, v6) = (vec![0; 4], vec![0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1]);
    let (script, _) = session(passive(), true);
    assert_eq!(markers(&script), [v4.clone(), v6.clone()]);
    assert_eq!(script.kinds(2).len(), 2, "and nothing else");

    let (mut script, conn) = session(with_networks(), true);
    let updates: Vec<usize> = script.said[2..].iter().map(|said| said.body.len()).collect();
    assert!(updates.len() == 4 && updates[1] == 4 && updates[3] == 10, "{updates:?}");
    // Once: neither a change nor a refresh repeats it.
    script.tell(Event::Intent(Box::new(with_networks().network("10.2.0.0/16"))));
    script.send(conn, refresh(Ipv4Unicast, Refresh::Request));
    assert_eq!(markers(&script).len(), 2);

    let mut script = Script::new(with_networks());
    script.establish(&open(ID, HOLD, &[Capability::MultiProtocol(Ipv6Unicast.code())]));
    assert_eq!(markers(&script), [v6]);
}

/// RFC 4724 section 2: the peer's markers are noted per family, withdraw nothing, and are forgotten with the session.
#[test]
fn end_of_rib_of_the_peer_is_noted_per_family_and_per_session() {
    let (mut script, conn) = session(passive(), true);
    let seen = |script: &Script| script.peer().families.iter().map(|family| family.end_of_rib).collect::<Vec<_>>();
    script.send(conn, [announce(A, &[PEER]), announce(C, &[PEER])].concat());
    assert_eq!(seen(&script), [false, false]);
    script.send(conn, end_of_rib(Ipv6Unicast));
    assert_eq!(seen(&script), [false, true]);
    script.send(conn, end_of_rib(Ipv4Unicast));
    assert_eq!((seen(&script), held(&script)), (vec![true, true], set(&[A, C])));
    script.tell(Event::Closed { conn, error: None });
    script.establish(&open(ID, HOLD, &capabilities(true, true)));
    assert_eq!(seen(&script), [false, false]);
}

/// A second neighbour, which announces; the first one listens.
fn announcer(script: &mut Script) -> ConnId {
    let conn = script.accept("192.0.2.3");
    let capabilities = [capabilities(true, true), vec![Capability::FourOctetAs(65003)]].concat();
    let router_id = "10.0.0.3".parse().expect("an identifier");
    let mut bytes = Vec::new();
    Open { asn: 65003, hold_time: HOLD, router_id, capabilities }.encode(&mut bytes);
    bytes.extend(keepalive());
    script.send(conn, bytes);
    conn
}

fn two_neighbors(change: impl FnOnce(&mut PeerIntent)) -> Intent {
    own(|peer| {
        peer.passive = true;
        peer.remote_as = RemoteAs::Number(PEER);
        change(peer);
    })
    .peer_with("192.0.2.3", 65003, Role::Peer, |peer| peer.passive = true)
}

/// RFC 4271 9.2, 9.4: after a change of outbound policy the peer is told what is different for it and nothing else,
/// counted in octets.
#[test]
fn a_change_of_outbound_policy_costs_as_much_as_it_changes() {
    let (mut script, conn) = session(two_neighbors(|_| {}), true);
    let from = announcer(&mut script);
    let many: Vec<String> = (0..200).map(|number| format!("10.{number}.0.0/16")).collect();
    script.send(from, announce_all(&many, &[65003]));
    script.send(from, announce("192.0.3.0/24", &[65003, PEER]));
    let octets = |script: &Script, since: usize| -> usize {
        script.said[since..].iter().inspect(|said| assert_eq!(said.conn, conn)).map(|said| said.body.len() + 19).sum()
    };
    let configure = |script: &mut Script, change: fn(&mut PeerIntent)| {
        let since = script.said.len();
        script.tell(Event::Intent(Box::new(two_neighbors(change))));
        octets(script, since)
    };
    // One route of 201 has the peer's AS in its path: one message.
    let overridden = configure(&mut script, |peer| peer.as_override = true);
    assert!((30..100).contains(&overridden), "{overridden} octets");
    // Import policy, and the same again, say nothing.
    let imported = configure(&mut script, |peer| {
        peer.as_override = true;
        peer.allow_own_as = 5;
    });
    assert_eq!(imported, 0);
    // As it was: the same route once more.
    assert_eq!(configure(&mut script, |_| {}), overridden);
    // A fabric peer between two that are not: nothing differs for it.
    assert_eq!(configure(&mut script, |peer| peer.role = Role::Fabric), 0);
    // Both are fabric now: everything is withdrawn, three octets each at most, and comes back when it is over.
    let since = script.said.len();
    let fabric = |peer: &mut PeerIntent| peer.role = Role::Fabric;
    let mut both = two_neighbors(fabric);
    both.peers.values_mut().for_each(fabric);
    script.tell(Event::Intent(Box::new(both)));
    let withdrawn = octets(&script, since);
    assert!((200 * 3..200 * 3 + 100).contains(&withdrawn), "{withdrawn} octets");
    assert!(configure(&mut script, |_| {}) > 200 * 3);
    assert_eq!((script.peer().flaps, script.closed.len()), (0, 0), "all of it without a new session");
    script.pass(SECOND);
}

/// RFC 2918 section 4: whoever asks a thousand times at once is answered once.
#[test]
fn a_thousand_requests_are_one() {
    use crate::scripted::{Said, Scripted};
    use crate::sim::With;
    let own = crate::sim::intent(64512, "10.0.0.1").peer("192.0.2.2", 65002, engine::intent::Role::Peer).peer(
        "192.0.2.3",
        65003,
        engine::intent::Role::Peer,
    );
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up("192.0.2.2", 65002);
    router.up_with("192.0.2.3", 65003, &[wire::Capability::RouteRefresh]);
    let said = Said { prefix: "10.1.0.0/16", next_hop: "192.0.2.2", path: &[(false, &[65002])], local_pref: None };
    router.say("192.0.2.2", &said);
    assert_eq!(router.heard("192.0.2.3").len(), 1);
    let mut requests = Vec::new();
    for _ in 0..1000 {
        let family = Family::Ipv4Unicast.code();
        wire::RouteRefresh { family, subtype: Refresh::Request }.encode(&mut requests);
    }
    router.send("192.0.2.3", requests);
    assert_eq!(router.heard("192.0.2.3").len(), 1);
}
