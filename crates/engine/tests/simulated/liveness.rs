//! BFD and BGP (RFC 5882), and going in order (RFC 8326).

use engine::bfd::Settings;
use engine::intent::{GracefulRestart, Intent, Role};
use engine::{Action, Drain, Event, GroupChange, Liveness};

use crate::scripted::{Said, Scripted};
use crate::sim::{SECOND, Sim, With, intent};

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";
const PREFIX: &str = "10.2.0.0/16";

fn with_bfd(mut intent: Intent) -> Intent {
    intent.peers.values_mut().for_each(|peer| peer.bfd = Some(Settings::default()));
    intent
}

fn gracefully(mut intent: Intent) -> Intent {
    let restart = GracefulRestart { restart_time: SECOND * 120, stale_time: SECOND * 60 };
    intent.peers.values_mut().for_each(|peer| peer.graceful_restart = Some(restart));
    intent
}

fn ours() -> Intent {
    with_bfd(intent(64512, "10.0.0.1").peer(B, 64513, Role::Peer).network("10.1.0.0/16"))
}

fn theirs() -> Intent {
    intent(64513, "10.0.0.2").peer(A, 64512, Role::Peer).network(PREFIX)
}

fn pair(sim: &mut Sim, ours: Intent, theirs: Intent) -> (usize, usize) {
    let a = sim.add(&[("eth0", &["192.0.2.1/24"])], ours);
    let b = sim.add(&[("eth0", &["192.0.2.2/24"])], theirs);
    sim.run(SECOND * 20);
    assert!(sim.established(a, B));
    (a, b)
}

fn said(up: bool, admin_down: bool, control_plane_independent: bool) -> Event {
    let peer = B.parse().expect("an address");
    let reason = "nothing was heard for 900 ms".into();
    Event::Liveness(Liveness { peer, link: None, up, admin_down, control_plane_independent, reason })
}

/// RFC 5882 section 4.1, RFC 9384.
#[test]
fn bfd_that_goes_down_takes_the_session_along_and_says_so() {
    let mut sim = Sim::new(1);
    let (a, b) = pair(&mut sim, ours(), theirs());
    sim.tell(a, said(true, false, false));
    assert!(sim.peer(a, B).bfd.is_some_and(|bfd| bfd.up));
    sim.tell(a, said(false, false, false));
    assert!(!sim.established(a, B) && sim.route(a, PREFIX).is_none());
    let error = sim.peer(a, B).last_error.unwrap_or_default();
    assert!(error.contains("BFD Down"), "{error}");
    sim.run(SECOND);
    assert!(sim.nodes[b].notes.iter().any(|note| note.contains("received Cease/BFD Down")));
    sim.run(SECOND * 20);
    assert!(sim.established(a, B), "BGP does not wait for BFD");
}

/// RFC 5882 section 3.2.
#[test]
fn bfd_that_is_held_down_on_purpose_is_no_broken_path() {
    let mut sim = Sim::new(2);
    let (a, _) = pair(&mut sim, ours(), theirs());
    sim.tell(a, said(true, false, false));
    sim.tell(a, said(false, true, false));
    assert!(sim.established(a, B));
    assert!(sim.peer(a, B).bfd.is_some_and(|bfd| bfd.admin_down && !bfd.up));
}

/// RFC 5882 section 4.3: the way is broken while the session is up, so nothing is kept, with graceful restart or without.
#[test]
fn a_broken_path_is_no_graceful_restart() {
    let mut sim = Sim::new(3);
    let (a, b) = pair(&mut sim, gracefully(ours()), gracefully(theirs()));
    sim.silence(a, b);
    sim.tell(a, said(true, false, false));
    sim.tell(a, said(false, false, false));
    assert!(sim.peer(a, B).kept_until.is_none() && sim.route(a, PREFIX).is_none());
}

/// RFC 5882 section 4.3: while the peer restarts, BFD that shares the fate of its control plane says nothing new; BFD that
/// does not says that it forwards no more.
#[test]
fn while_a_peer_restarts_the_c_bit_decides() {
    for (independent, kept) in [(false, true), (true, false)] {
        let mut sim = Sim::new(4);
        let (a, b) = pair(&mut sim, gracefully(ours()), gracefully(theirs()));
        sim.tell(a, said(true, false, independent));
        sim.silence(a, b);
        sim.reset(a, b);
        assert!(sim.peer(a, B).kept_until.is_some());
        sim.tell(a, said(false, false, independent));
        assert_eq!(sim.route(a, PREFIX).is_some(), kept, "C bit {independent}");
    }
}

/// The driver is told of the whole set whenever it changes, and only then.
#[test]
fn the_wanted_sessions_follow_the_configuration() {
    let mut router = Scripted::new(&["192.0.2.1/24"], ours());
    let wanted = |router: &mut Scripted| {
        let mut last = None;
        while let Some(action) = router.engine.poll_action() {
            if let Action::Bfd(peers) = action {
                last = Some(peers.iter().map(|peer| peer.peer.to_string()).collect::<Vec<_>>());
            }
        }
        last
    };
    assert_eq!(wanted(&mut router), Some(vec![B.to_string()]));
    router.engine.handle(router.now, Event::Intent(Box::new(ours())));
    assert_eq!(wanted(&mut router), None);
    let none = intent(64512, "10.0.0.1").peer(B, 64513, Role::Peer);
    router.engine.handle(router.now, Event::Intent(Box::new(none)));
    assert_eq!(wanted(&mut router), Some(Vec::new()));
}

/// One group changes, whatever the number of routes, and before any route.
#[test]
fn a_lost_path_moves_all_traffic_with_the_first_message() {
    let own = with_bfd(intent(64514, "10.0.0.1").peer(B, 64513, Role::Fabric).peer("192.0.2.3", 64513, Role::Fabric));
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    let path: &[(bool, &[u32])] = &[(false, &[64513])];
    for peer in [B, "192.0.2.3"] {
        router.up(peer, 64513);
        for number in 0..10_000u32 {
            let prefix = format!("10.{}.{}.0/24", number >> 8, number & 255);
            router.say(peer, &Said { prefix: &prefix, next_hop: peer, path, local_pref: None });
        }
    }
    let now = router.now;
    let settle = |router: &mut Scripted| {
        let batch = router.engine.poll_fib()?;
        let (failed, failed_groups, degraded_groups) = Default::default();
        router.engine.handle(now, Event::FibAck { id: batch.id, failed, failed_groups, degraded_groups });
        Some(batch)
    };
    while settle(&mut router).is_some() {}
    router.engine.handle(now, said(true, false, false));
    router.engine.handle(now, said(false, false, false));
    let first = settle(&mut router).expect("a batch");
    assert!(first.routes.is_empty());
    assert!(matches!(&first.groups[..], [GroupChange::Set(_, hops)] if hops.len() == 1));
}

/// RFC 8326 section 4.1.
#[test]
fn a_router_that_drains_asks_its_peers_to_move_their_traffic() {
    let mut sim = Sim::new(5);
    let (a, b) = pair(&mut sim, ours(), theirs());
    let marked = |sim: &Sim| {
        let route = sim.route(b, "10.1.0.0/16").expect("still announced");
        route.paths[0]
            .communities
            .iter()
            .any(|community| community.contains("graceful-shutdown") || community == "65535:0")
    };
    assert!(!marked(&sim));
    sim.tell(a, Event::Drain(Some(Drain { wait: SECOND * 600, message: None })));
    sim.run(SECOND);
    assert!(marked(&sim) && sim.established(a, B));
    sim.tell(a, Event::Drain(None));
    sim.run(SECOND);
    assert!(!marked(&sim) && sim.peer(a, B).flaps == 0);
}
