//! Long-lived graceful restart (RFC 9494), as the one that keeps what others have said.

use std::time::Duration;

use engine::intent::{PeerIntent, RangeIntent, RemoteAs, Role};
use engine::snapshot::{PeerSnapshot, PeerState};
use engine::{Event, Family, RouteQuery, RouteView, Select};
use wire::{AsPath, Capability, Community, GracefulRestart, LongLived, NextHop, attr_code, flag, write_attribute};

use crate::routes::announce;
use crate::script::{self, Script, raw};
use crate::scripted::Scripted;
use crate::sim::{SECOND, With, intent};

const B: &str = "192.0.2.2";
const C: &str = "192.0.2.3";
const D: &str = "192.0.2.4";
const BOTH: &str = "10.1.0.0/16";
const SHORT: &str = "10.2.0.0/16";
const ALONE: &str = "10.3.0.0/16";

/// A peer that restarts within so many seconds, and whose routes are kept for so many more.
fn keeps(restart: u16, long: u32, preserved: bool) -> Vec<Capability> {
    let family = Family::Ipv4Unicast.code();
    let families = vec![(family, true)];
    vec![
        Capability::GracefulRestart(GracefulRestart {
            restarting: false,
            notification: false,
            time: restart,
            families,
        }),
        Capability::LongLivedGracefulRestart(vec![LongLived { family, preserved, stale_time: long }]),
    ]
}

/// A peer that understands routes that are kept for long, and has none to keep.
fn understands() -> Vec<Capability> {
    let restart = GracefulRestart { restarting: false, notification: false, time: 0, families: Vec::new() };
    vec![Capability::GracefulRestart(restart), Capability::LongLivedGracefulRestart(Vec::new())]
}

fn say(router: &mut Scripted, from: &str, prefix: &str, path: &[u32], communities: &[Community]) {
    let mut set = Vec::new();
    write_attribute(&mut set, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
    let mut value = vec![2, path.len() as u8];
    value.extend(path.iter().flat_map(|asn| asn.to_be_bytes()));
    wire::write_as_path(&mut set, AsPath::new(&value), true);
    if !communities.is_empty() {
        let value: Vec<u8> = communities.iter().flat_map(|community| community.0.to_be_bytes()).collect();
        write_attribute(&mut set, flag::OPTIONAL | flag::TRANSITIVE, attr_code::COMMUNITIES, &value);
    }
    let next_hop = NextHop::V4(from.parse().expect("an address"));
    let mut data = Vec::new();
    let prefix = std::iter::once(prefix.parse::<ipnet::IpNet>().expect("a prefix"));
    wire::encode_reach(&mut data, 4096, &set, &next_hop, Family::Ipv4Unicast, prefix);
    router.send(from, data);
}

/// What B says in each test, and C of one prefix, by a longer way.
fn routes(router: &mut Scripted) {
    say(router, B, BOTH, &[64513], &[]);
    say(router, C, BOTH, &[64514, 64599], &[]);
    say(router, B, SHORT, &[64513], &[Community::NO_LLGR]);
    say(router, B, ALONE, &[64513], &[Community(64513 << 16 | 7)]);
}

fn start(b: &[Capability]) -> Scripted {
    let own =
        intent(64512, "10.0.0.1").peer(B, 64513, Role::Peer).peer(C, 64514, Role::Peer).peer(D, 64515, Role::Peer);
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up_with(B, 64513, b);
    router.up_with(C, 64514, &understands());
    router.up(D, 64515);
    routes(&mut router);
    router
}

fn pass(router: &mut Scripted, time: Duration) {
    let end = router.now + time;
    while let Some((at, _)) = router.engine.poll_timeout().filter(|(at, _)| *at <= end) {
        router.now = router.now.max(at);
        router.engine.handle_timeout(router.now);
    }
    router.now = end;
}

fn found(router: &Scripted, select: Select) -> Vec<RouteView> {
    let query = RouteQuery { family: Family::Ipv4Unicast, select, after: None, limit: 10 };
    router.engine.routes(&query)
}

fn prefixes(router: &Scripted) -> Vec<String> {
    found(router, Select::All).iter().map(|route| route.prefix.to_string()).collect()
}

/// What a peer has been told, once it has taken everything.
fn told(router: &mut Scripted, peer: &str) -> Vec<String> {
    router.heard(peer);
    let routes = found(router, Select::Advertised(peer.parse().expect("an address")));
    routes.iter().map(|route| route.prefix.to_string()).collect()
}

/// RFC 9494 sections 4.2, 4.3: after the restart time what a peer has said is the last choice, is told only to those who
/// understand that, and goes when its time is over.
#[test]
fn routes_of_a_peer_that_stays_away_are_the_last_choice_until_their_time_is_over() {
    let mut router = start(&keeps(120, 3600, true));
    assert_eq!(told(&mut router, D), [BOTH, SHORT, ALONE]);
    router.lose(B);
    pass(&mut router, SECOND * 119);
    assert_eq!(prefixes(&router), [BOTH, SHORT, ALONE], "first they are kept as ever");
    assert_eq!(router.route(BOTH).paths[0].peer, B.parse().ok());

    pass(&mut router, SECOND * 2);
    assert_eq!(prefixes(&router), [BOTH, ALONE], "NO_LLGR");
    let both = router.route(BOTH).paths;
    assert_eq!((both[0].peer, both.len()), (C.parse().ok(), 2), "the shorter path loses");
    let alone = &router.route(ALONE).paths[0];
    assert!(alone.usable && alone.stale, "{alone:?}");
    assert_eq!(alone.communities, ["64513:7", "llgr-stale"]);
    assert_eq!(told(&mut router, C), [ALONE], "its own is not told to it");
    assert_eq!(told(&mut router, D), [BOTH], "it does not know what such a route is");

    pass(&mut router, SECOND * 3597);
    assert_eq!(prefixes(&router), [BOTH, ALONE]);
    pass(&mut router, SECOND * 3);
    assert_eq!(prefixes(&router), [BOTH]);
    assert_eq!(router.route(BOTH).paths.len(), 1);
}

/// RFC 9494 section 4.2: back in time, the peer says what it has; what it does not say again goes with its End-of-RIB, and at
/// once when it did not go on forwarding.
#[test]
fn a_peer_that_returns_within_the_long_time_has_its_routes_as_before() {
    for preserved in [true, false] {
        let mut router = start(&keeps(120, 3600, true));
        router.lose(B);
        pass(&mut router, SECOND * 1800);
        router.up_with(B, 64513, &keeps(120, 3600, preserved));
        let expected = if preserved { vec![BOTH, ALONE] } else { vec![BOTH] };
        assert_eq!(prefixes(&router), expected);
        say(&mut router, B, BOTH, &[64513], &[]);
        router.send(B, raw(2, &[0, 0, 0, 0]));
        assert_eq!(prefixes(&router), [BOTH]);
        let best = &router.route(BOTH).paths[0];
        assert!(best.peer == B.parse().ok() && best.communities.is_empty() && !best.stale, "{best:?}");
        assert_eq!(told(&mut router, D), [BOTH]);
    }
}

/// RFC 9494 section 4.2: a peer that needs no time to restart in, or offers it without graceful restart.
#[test]
fn the_long_time_begins_at_once_without_a_restart_time_and_means_nothing_alone() {
    let mut router = start(&keeps(0, 3600, true));
    router.lose(B);
    pass(&mut router, Duration::ZERO);
    assert_eq!(prefixes(&router), [BOTH, ALONE]);
    assert_eq!(router.route(BOTH).paths[0].peer, C.parse().ok());

    let mut router = start(&keeps(120, 3600, true)[1..]);
    router.lose(B);
    pass(&mut router, Duration::ZERO);
    assert_eq!(prefixes(&router), [BOTH]);
}

/// RFC 9494 section 4.3: also what arrives with the mark is less preferred than any other, and not for everybody.
#[test]
fn a_route_that_arrives_as_the_last_choice_is_one() {
    let mut router = start(&keeps(120, 3600, true));
    say(&mut router, C, ALONE, &[64514], &[Community::LLGR_STALE]);
    say(&mut router, C, "10.4.0.0/16", &[64514], &[Community::LLGR_STALE]);
    say(&mut router, C, SHORT, &[64514], &[]);
    say(&mut router, B, SHORT, &[64513], &[Community::LLGR_STALE]);
    assert_eq!(router.route(ALONE).paths[0].peer, B.parse().ok());
    assert_eq!(router.route(SHORT).paths[0].peer, C.parse().ok());
    assert_eq!(told(&mut router, B), [SHORT, "10.4.0.0/16"]);
    assert_eq!(told(&mut router, D), [BOTH, SHORT, ALONE]);
}

fn peer(router: &Scripted, address: &str) -> Option<PeerSnapshot> {
    let peers = router.engine.snapshot(router.now).peers;
    peers.into_iter().find(|peer| peer.address.to_string() == address)
}

/// RFC 9494 section 3.3: where nothing may be kept for long there is nothing to wait for.
#[test]
fn a_peer_that_has_said_nothing_that_may_be_kept_for_long_is_over_with_its_restart_time() {
    let mut router = Scripted::new(&["192.0.2.1/24"], intent(64512, "10.0.0.1").peer(B, 64513, Role::Peer));
    router.up_with(B, 64513, &keeps(120, 3600, true));
    say(&mut router, B, SHORT, &[64513], &[Community::NO_LLGR]);
    router.lose(B);
    pass(&mut router, SECOND * 119);
    assert!(peer(&router, B).expect("configured").kept_until.is_some());
    pass(&mut router, SECOND * 2);
    assert_eq!(prefixes(&router), Vec::<String>::new());
    assert_eq!(peer(&router, B).expect("configured").kept_until, None);
}

/// The host's speaker may come from another address than before; days are too long to wait for the old one.
#[test]
fn a_peer_of_a_range_that_did_not_come_back_makes_room_for_another() {
    let mut own = intent(64512, "10.0.0.1");
    let families = vec![Family::Ipv4Unicast];
    let peers = PeerIntent::new("range", Role::Host, RemoteAs::External, families);
    let prefix = "192.0.2.0/24".parse().expect("a prefix");
    own.ranges = vec![RangeIntent { prefix, link: None, limit: Some(1), peer: peers }];
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up_with(B, 64513, &keeps(120, 3600, true));
    say(&mut router, B, ALONE, &[64513], &[]);
    router.lose(B);
    pass(&mut router, SECOND * 60);
    router.up(C, 64514);
    assert!(peer(&router, C).is_none(), "B may be back at any moment");
    pass(&mut router, SECOND * 100);
    assert_eq!(prefixes(&router), [ALONE], "the last choice");
    router.up(C, 64514);
    assert_eq!(peer(&router, C).expect("accepted").state, PeerState::Established);
    assert!(peer(&router, B).is_none() && prefixes(&router).is_empty());
}

/// After our own restart we know nothing of what was kept of it, and do not defer everything for it.
#[test]
fn a_later_process_does_not_wait_for_a_peer_that_did_not_come_back_in_time() {
    let mut script = Script::new(script::own(|peer| peer.passive = true));
    let multi = Capability::MultiProtocol(Family::Ipv4Unicast.code());
    let conn = script.establish(&script::open("10.0.0.7", 90, &[vec![multi], keeps(120, 3600, true)].concat()));
    script.send(conn, announce(ALONE, &[script::PEER]));
    script.tell(Event::Closed { conn, error: None });
    assert_eq!(script.sessions.take().map(|peers| peers.len()), Some(1));
    script.pass(SECOND * 119);
    assert_eq!(script.sessions, None);
    script.pass(SECOND * 2);
    assert!(script.peer().kept_until.is_some(), "kept");
    assert_eq!(script.sessions.take().map(|peers| peers.len()), Some(0));
}
