//! Draining: traffic first, sessions afterwards, the kernel not at all.

use engine::intent::{GracefulRestart, Intent, RangeIntent, Role};
use engine::snapshot::PeerState;
use engine::{Drain, Event, Order};

use crate::sim::{SECOND, Sim, With, intent};

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";
const OURS: &str = "10.1.0.0/16";
const THEIRS: &str = "10.2.0.0/16";

fn ours() -> Intent {
    intent(64512, "10.0.0.1").peer(B, 64513, Role::Peer).network(OURS)
}

/// Both restart gracefully: what is meant to end must end all the same.
fn pair(sim: &mut Sim, ours: Intent) -> (usize, usize) {
    let gracefully = |mut intent: Intent| {
        let restart = GracefulRestart { restart_time: SECOND * 120, stale_time: SECOND * 60 };
        intent.peers.values_mut().for_each(|peer| peer.graceful_restart = Some(restart));
        intent
    };
    let a = sim.add(&[("eth0", &["192.0.2.1/24"])], gracefully(ours));
    let theirs = intent(64513, "10.0.0.2").peer(A, 64512, Role::Peer).network(THEIRS);
    let b = sim.add(&[("eth0", &["192.0.2.2/24"])], gracefully(theirs));
    sim.run(SECOND * 20);
    assert!(sim.established(b, A));
    (a, b)
}

fn drain(sim: &mut Sim, node: usize, seconds: u32) {
    sim.tell(node, Event::Drain(Some(Drain { wait: SECOND * seconds, message: Some("new kernel".into()) })));
}

fn marked(sim: &Sim, node: usize) -> bool {
    let route = sim.route(node, OURS).expect("still announced");
    route.paths[0].communities.iter().any(|community| community == "65535:0" || community == "graceful-shutdown")
}

/// RFC 8326 section 4.2, RFC 9003 section 2, RFC 8538 section 3.
#[test]
fn sessions_end_after_the_wait_and_nobody_keeps_our_routes() {
    let mut sim = Sim::new(1);
    let (a, b) = pair(&mut sim, ours());
    drain(&mut sim, a, 10);
    sim.run(SECOND * 9);
    assert!(marked(&sim, b) && sim.established(a, B));
    let until = sim.nodes[a].engine.snapshot(sim.now).drain.expect("it is under way").until;
    assert_eq!(until.map(|until| until - sim.now), Some(SECOND));
    let messages = sim.nodes[a].fib.messages;
    sim.run(SECOND * 2);

    let seen = sim.peer(b, A);
    assert!(seen.state != PeerState::Established && seen.kept_until.is_none(), "{seen:?}");
    let why = seen.last_error.expect("it was told");
    assert!(why.contains("Administrative Shutdown: new kernel"), "{why}");
    assert!(sim.route(b, OURS).is_none());
    let drained = sim.nodes[a].engine.snapshot(sim.now).drain.expect("it is");
    assert_eq!((drained.until, drained.message.as_deref()), (None, Some("new kernel")));
    assert!(!sim.gateways(a, THEIRS).is_empty(), "forwarding stays");
    assert_eq!(sim.nodes[a].fib.messages, messages);

    // Attempts of the peer and changes of the configuration do not bring it back, nor does an operator's reset.
    sim.configure(a, ours().network("10.4.0.0/16"));
    sim.run(SECOND * 60);
    assert!(!sim.established(a, B) && sim.peer(a, B).state == PeerState::Idle && !sim.peer(a, B).shut_down);
    assert!(sim.nodes[a].notes.iter().any(|note| note.contains("refused: this router is drained")));
    let reset = Order::Reset { message: None };
    let refused = sim.nodes[a].engine.may_order(B.parse().expect("an address"), None, &reset).expect_err("drained");
    assert!(refused.contains("the router is drained"), "{refused}");
    assert!(!sim.gateways(a, THEIRS).is_empty(), "forwarding stays");

    // Undone: as before, and the kernel has had the route all the time.
    sim.tell(a, Event::Drain(None));
    sim.run_watched(SECOND * 20, |sim, _| assert_eq!(sim.gateways(a, THEIRS).len(), 1));
    assert!(sim.established(b, A) && !marked(&sim, b));
    assert!(sim.nodes[a].engine.snapshot(sim.now).drain.is_none());
}

#[test]
fn undone_during_the_wait_nothing_ends() {
    let mut sim = Sim::new(2);
    let (a, b) = pair(&mut sim, ours());
    drain(&mut sim, a, 10);
    sim.run(SECOND * 5);
    sim.tell(a, Event::Drain(None));
    sim.run(SECOND * 30);
    assert!(!marked(&sim, b));
    assert_eq!((sim.peer(a, B).flaps, sim.peer(b, A).flaps), (0, 0));
}

#[test]
fn a_second_one_sets_the_wait_anew() {
    let mut sim = Sim::new(3);
    let (a, _) = pair(&mut sim, ours());
    drain(&mut sim, a, 600);
    sim.run(SECOND * 5);
    assert!(sim.established(a, B));
    drain(&mut sim, a, 0);
    sim.run(SECOND);
    assert!(!sim.established(a, B));
}

/// What went meanwhile goes from the kernel too, as soon as the peers have said what they have, or do not come back.
#[test]
fn after_the_return_the_kernel_follows_again() {
    for comes_back in [true, false] {
        let mut sim = Sim::new(4);
        let (a, b) = pair(&mut sim, ours());
        drain(&mut sim, a, 0);
        sim.run(SECOND * 5);
        assert!(!sim.gateways(a, THEIRS).is_empty());
        if comes_back {
            sim.configure(b, intent(64513, "10.0.0.2").peer(A, 64512, Role::Peer).network("10.3.0.0/16"));
        } else {
            sim.silence(a, b);
        }
        sim.tell(a, Event::Drain(None));
        sim.run(SECOND * 20);
        assert_eq!(sim.established(a, B), comes_back);
        assert!(sim.gateways(a, THEIRS).is_empty());
        assert_eq!(!sim.gateways(a, "10.3.0.0/16").is_empty(), comes_back);
    }
}

#[test]
fn who_was_shut_down_before_stays_so_when_it_is_undone() {
    let mut sim = Sim::new(5);
    let (a, _) = pair(&mut sim, ours());
    let order = |order| Event::Order { peer: B.parse().expect("an address"), link: None, order };
    sim.tell(a, order(Order::Shutdown { message: None }));
    drain(&mut sim, a, 0);
    sim.run(SECOND);
    sim.tell(a, Event::Drain(None));
    sim.run(SECOND * 60);
    assert!(!sim.established(a, B) && sim.peer(a, B).shut_down);
    sim.tell(a, order(Order::Reset { message: None }));
    sim.run(SECOND * 60);
    assert!(sim.established(a, B));
}

#[test]
fn whoever_connects_from_a_range_is_refused_with_the_text() {
    let mut sim = Sim::new(6);
    let external = engine::intent::RemoteAs::External;
    let peer = engine::intent::PeerIntent::new("range", Role::Host, external, vec![wire::Family::Ipv4Unicast]);
    let mut own = intent(64512, "10.0.0.1");
    own.ranges = vec![RangeIntent { prefix: "192.0.2.0/24".parse().expect("a prefix"), link: None, limit: None, peer }];
    let (a, b) = pair(&mut sim, own);
    drain(&mut sim, a, 0);
    sim.run(SECOND * 60);
    assert!(sim.nodes[a].engine.snapshot(sim.now).peers.is_empty());
    let why = sim.peer(b, A).last_error.expect("it is told");
    assert!(why.contains("Administrative Shutdown: new kernel"), "{why}");
    sim.tell(a, Event::Drain(None));
    sim.run(SECOND * 60);
    assert!(sim.established(b, A));
}
