//! Graceful restart (RFC 4724, RFC 8538): nobody loses a route that its owner means to keep.

use std::time::Duration;

use engine::intent::{GracefulRestart, Intent, PrefixRule, Role};
use engine::snapshot::PeerState;
use engine::{Engine, Event, Order};

use wire::{Capability, MessageType};

use crate::kernel::Fib;
use crate::script::{self, Script};
use crate::scripted::{Said, Scripted};
use crate::sim::{SECOND, Sim, With, intent};

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";
const PREFIX: &str = "10.2.0.0/16";

fn gracefully(mut intent: Intent) -> Intent {
    let restart = GracefulRestart { restart_time: SECOND * 120, stale_time: SECOND * 60 };
    intent.peers.values_mut().for_each(|peer| peer.graceful_restart = Some(restart));
    intent
}

fn ours() -> Intent {
    intent(64512, "10.0.0.1").peer(B, 64513, Role::Peer).network("10.1.0.0/16")
}

fn theirs(networks: &[&str]) -> Intent {
    let own = intent(64513, "10.0.0.2").peer(A, 64512, Role::Peer);
    networks.iter().fold(own, |own, network| own.network(network))
}

fn pair(sim: &mut Sim, ours: Intent, theirs: Intent) -> (usize, usize) {
    let a = sim.add(&[("eth0", &["192.0.2.1/24"])], ours);
    let b = sim.add(&[("eth0", &["192.0.2.2/24"])], theirs);
    sim.run(SECOND * 20);
    assert!(sim.established(a, B));
    (a, b)
}

/// Replaces a node's process: what it knew is lost, the kernel's routes stay where `preserved`.
fn restart(sim: &mut Sim, node: usize, intent: Intent, preserved: bool) {
    let links = sim.nodes[node].links.clone();
    let mut engine = Engine::new(7, sim.now);
    engine.handle(sim.now, Event::Links(links));
    if preserved {
        engine.handle(sim.now, Event::Restarted { peers: None });
    } else {
        sim.nodes[node].fib = Fib::default();
    }
    sim.nodes[node].engine = engine;
    sim.configure(node, intent);
}

fn kept(sim: &Sim, node: usize, prefix: &str) -> bool {
    !sim.gateways(node, prefix).is_empty()
}

/// RFC 4724 section 4.2: routes are kept, used and not passed on as withdrawn.
#[test]
fn the_routes_of_a_peer_that_restarts_stay() {
    let mut sim = Sim::new(1);
    let (a, b) = pair(&mut sim, ours(), gracefully(theirs(&[PREFIX, "10.3.0.0/16"])));
    let messages = sim.nodes[a].fib.messages;
    sim.reset(a, b);
    let peer = sim.peer(a, B);
    assert!(peer.state != PeerState::Established && peer.kept_until.is_some());
    assert_eq!(peer.families[0].received, 2, "they are counted as received");
    assert!(sim.route(a, PREFIX).expect("kept").paths[0].stale);
    assert!(sim.nodes[a].notes.iter().any(|note| note.contains("kept for 120 s")), "{:?}", sim.nodes[a].notes);
    restart(&mut sim, b, gracefully(theirs(&[PREFIX])), true);
    sim.run(SECOND * 90);
    assert!(sim.established(a, B));
    assert!(kept(&sim, a, PREFIX) && !sim.route(a, PREFIX).expect("repeated").paths[0].stale);
    assert!(sim.route(a, "10.3.0.0/16").is_none(), "what it does not repeat is gone with its End-of-RIB");
    assert_eq!(sim.nodes[a].fib.messages, messages + 1, "the kernel heard of the one that went");
    assert_eq!(sim.peer(a, B).kept_until, None);
}

/// RFC 4724 section 4.2: the restart timer.
#[test]
fn routes_of_a_peer_that_does_not_come_back_go_after_its_restart_time() {
    let mut sim = Sim::new(2);
    let (a, b) = pair(&mut sim, ours(), gracefully(theirs(&[PREFIX])));
    sim.reset(a, b);
    sim.silence(a, b);
    sim.run(SECOND * 119);
    assert!(kept(&sim, a, PREFIX));
    sim.run(SECOND * 2);
    assert!(!kept(&sim, a, PREFIX) && sim.route(a, PREFIX).is_none());
    assert!(sim.nodes[a].notes.iter().any(|note| note.contains("did not come back in time")));
}

/// RFC 4724 section 4.2: a family whose forwarding state did not survive goes at once.
#[test]
fn routes_go_when_the_returning_peer_has_not_preserved_its_forwarding() {
    let mut sim = Sim::new(3);
    let (a, b) = pair(&mut sim, ours(), gracefully(theirs(&[PREFIX])));
    sim.reset(a, b);
    restart(&mut sim, b, gracefully(theirs(&[])), false);
    while !sim.established(a, B) {
        sim.run(SECOND / 10);
    }
    assert!(!kept(&sim, a, PREFIX));
}

/// RFC 4724 section 4.2: the timer for a peer that never says that it has finished.
#[test]
fn what_is_not_said_again_in_time_goes_without_end_of_rib() {
    let mut sim = Sim::new(4);
    let (a, b) = pair(&mut sim, gracefully(ours()), gracefully(theirs(&[PREFIX])));
    sim.reset(a, b);
    restart(&mut sim, b, gracefully(theirs(&[PREFIX])), true);
    // It waits for a second peer that never comes, longer than we wait for it.
    let mut waiting = gracefully(theirs(&[PREFIX]));
    waiting = gracefully(waiting.peer("192.0.2.9", 64519, Role::Peer));
    restart(&mut sim, b, waiting, true);
    sim.run(SECOND * 50);
    assert!(sim.established(a, B) && kept(&sim, a, PREFIX), "kept while it waits");
    sim.run(SECOND * 30);
    assert!(kept(&sim, a, PREFIX) && sim.peer(a, B).kept_until.is_none(), "said again after its own wait");
}

/// Without the capability a lost session takes its routes along.
#[test]
fn without_graceful_restart_routes_go_with_the_session() {
    let mut sim = Sim::new(5);
    let (a, b) = pair(&mut sim, gracefully(ours()), theirs(&[PREFIX]));
    sim.reset(a, b);
    assert!(sim.route(a, PREFIX).is_none() && sim.peer(a, B).kept_until.is_none());
    // The other side keeps ours: we offered it.
    assert!(kept(&sim, b, "10.1.0.0/16"));
}

/// RFC 8538 section 4: a NOTIFICATION that is no hard reset is survived, an administrative shutdown is one.
#[test]
fn a_hold_timer_that_expires_is_survived_and_a_shutdown_is_not() {
    let mut sim = Sim::new(6);
    let fast = |mut intent: Intent| {
        intent.peers.values_mut().for_each(|peer| peer.hold_time = SECOND * 9);
        gracefully(intent)
    };
    let (a, b) = pair(&mut sim, fast(ours()), fast(theirs(&[PREFIX])));
    sim.silence(a, b);
    sim.run(SECOND * 12);
    assert!(!sim.established(a, B) && kept(&sim, a, PREFIX));
    sim.heal();
    sim.run(SECOND * 60);
    assert!(sim.established(a, B) && kept(&sim, a, PREFIX) && sim.peer(a, B).kept_until.is_none());
    let peer = A.parse().expect("an address");
    sim.tell(b, Event::Order { peer, link: None, order: Order::Shutdown { message: Some("bye".into()) } });
    sim.run(SECOND);
    assert!(!kept(&sim, a, PREFIX));
    let told = |note: &String| note.contains("Hard Reset") && note.contains("bye");
    assert!(sim.nodes[a].notes.iter().any(told), "{:?}", sim.nodes[a].notes);
}

/// RFC 4724 section 4.1: after our own restart nothing is told, and nothing is installed, before the peers have said all.
#[test]
fn a_restarted_router_says_nothing_before_it_knows_everything() {
    let mut sim = Sim::new(7);
    let leaf = |last: u8, prefix: &str| {
        let own = intent(64512, &format!("10.1.0.{last}"));
        gracefully(own.peer("192.0.2.9", 64514, Role::Peer).network(prefix))
    };
    let router = || {
        let own = intent(64514, "10.0.0.9").peer("192.0.2.11", 64512, Role::Fabric);
        gracefully(own.peer("192.0.2.12", 64515, Role::Host))
    };
    let node = sim.add(&[("eth0", &["192.0.2.9/24"])], router());
    let fabric = sim.add(&[("eth0", &["192.0.2.11/24"])], leaf(11, "10.11.0.0/16"));
    let mut host_intent = intent(64515, "10.2.0.12").peer("192.0.2.9", 64514, Role::Peer).network("10.12.0.0/16");
    host_intent = gracefully(host_intent);
    let host = sim.add(&[("eth0", &["192.0.2.12/24"])], host_intent);
    sim.run(SECOND * 20);
    assert!(kept(&sim, fabric, "10.12.0.0/16") && kept(&sim, host, "10.11.0.0/16"));

    // The process dies; the host cannot be reached for a while.
    sim.reset(node, fabric);
    sim.reset(node, host);
    sim.silence(node, host);
    restart(&mut sim, node, router(), true);
    let before = sim.nodes[node].fib.messages;
    sim.run(SECOND * 15);
    assert!(sim.established(node, "192.0.2.11"));
    assert!(kept(&sim, fabric, "10.12.0.0/16"), "no End-of-RIB yet: the fabric keeps the host's routes");
    assert_eq!(sim.nodes[node].fib.messages, before, "and the kernel was left alone");
    sim.heal();
    sim.run(SECOND * 30);
    assert!(sim.established(node, "192.0.2.12"));
    for (at, prefix) in
        [(fabric, "10.12.0.0/16"), (host, "10.11.0.0/16"), (node, "10.11.0.0/16"), (node, "10.12.0.0/16")]
    {
        assert!(kept(&sim, at, prefix), "{at} {prefix}");
    }
    assert!(sim.peer(fabric, "192.0.2.9").kept_until.is_none() && sim.peer(host, "192.0.2.9").kept_until.is_none());
    assert!(sim.nodes[node].fib.swept);
    assert!(sim.nodes[node].notes.iter().any(|note| note.contains("after every peer has said what it has")));
}

/// ... and not longer than a minute: a peer that is down must not hold the others.
#[test]
fn a_restarted_router_does_not_wait_for_ever() {
    let mut sim = Sim::new(8);
    let both = || gracefully(ours().peer("192.0.2.3", 64519, Role::Peer));
    let (a, b) = pair(&mut sim, both(), gracefully(theirs(&[PREFIX])));
    sim.reset(a, b);
    restart(&mut sim, a, both(), true);
    sim.run(Duration::from_secs(59));
    assert!(sim.peer(b, A).kept_until.is_some());
    sim.run(SECOND * 3);
    assert!(sim.peer(b, A).kept_until.is_none() && kept(&sim, b, "10.1.0.0/16"));
    assert!(sim.nodes[a].notes.iter().any(|note| note.contains("without waiting longer for 192.0.2.3")));
}

/// RFC 4724 section 3: a cold start does not claim that anything survived.
#[test]
fn a_first_start_promises_nothing() {
    let mut sim = Sim::new(9);
    let (a, b) = pair(&mut sim, gracefully(ours()), gracefully(theirs(&[PREFIX])));
    sim.reset(a, b);
    restart(&mut sim, a, gracefully(ours()), false);
    let before = sim.nodes[b].fib.messages;
    sim.run(SECOND * 20);
    assert!(sim.established(b, A) && kept(&sim, b, "10.1.0.0/16"));
    assert!(sim.nodes[b].fib.messages > before, "its routes went and came back");
}

/// RFC 4724 section 4.2: the old connection of a peer that restarted is not known to be dead when the new one arrives.
#[test]
fn a_new_connection_replaces_the_one_of_the_dead_process() {
    let mut sim = Sim::new(10);
    let (a, b) = pair(&mut sim, ours(), gracefully(theirs(&[PREFIX])));
    sim.forget(b);
    restart(&mut sim, b, gracefully(theirs(&[PREFIX])), true);
    sim.run(SECOND * 40);
    assert!(sim.established(b, A), "long before the hold time of 180 s");
    assert!(kept(&sim, a, PREFIX) && sim.peer(a, B).flaps == 1);
}

/// A peer of a range is known only when it connects: after a restart it is waited for all the same, by its address.
#[test]
fn peers_of_a_range_that_had_a_session_are_waited_for() {
    for known in [true, false] {
        let mut sim = Sim::new(11);
        let router = || {
            let mut own = gracefully(intent(64514, "10.0.0.9").peer("192.0.2.11", 64512, Role::Fabric));
            let mut peer = engine::intent::PeerIntent::new(
                "range",
                Role::Host,
                engine::intent::RemoteAs::External,
                vec![engine::Family::Ipv4Unicast],
            );
            peer.graceful_restart = own.peers.values().next().and_then(|peer| peer.graceful_restart);
            let prefix = "192.0.2.0/24".parse().expect("a prefix");
            own.ranges = vec![engine::intent::RangeIntent { prefix, link: None, limit: None, peer }];
            own
        };
        let node = sim.add(&[("eth0", &["192.0.2.9/24"])], router());
        let fabric = gracefully(intent(64512, "10.1.0.11").peer("192.0.2.9", 64514, Role::Peer));
        let fabric = sim.add(&[("eth0", &["192.0.2.11/24"])], fabric);
        let host = intent(64515, "10.2.0.12").peer("192.0.2.9", 64514, Role::Peer).network("10.12.0.0/16");
        let host = sim.add(&[("eth0", &["192.0.2.12/24"])], gracefully(host));
        sim.run(SECOND * 20);
        assert!(kept(&sim, fabric, "10.12.0.0/16"));
        sim.reset(node, fabric);
        sim.reset(node, host);
        sim.silence(node, host);
        let links = sim.nodes[node].links.clone();
        let mut engine = Engine::new(7, sim.now);
        engine.handle(sim.now, Event::Links(links));
        let peers = ["192.0.2.11", "192.0.2.12"].map(|address| address.parse().expect("an address"));
        engine.handle(sim.now, Event::Restarted { peers: known.then(|| peers.to_vec()) });
        sim.nodes[node].engine = engine;
        sim.configure(node, router());
        sim.run(SECOND * 15);
        assert!(sim.established(node, "192.0.2.11") && kept(&sim, fabric, "10.12.0.0/16"), "known {known}");
        sim.heal();
        sim.run(SECOND * 70);
        assert!(kept(&sim, fabric, "10.12.0.0/16") && kept(&sim, node, "10.12.0.0/16"), "known {known}");
        assert!(sim.peer(fabric, "192.0.2.9").kept_until.is_none());
    }
}

/// RFC 7313 section 4 and RFC 4724: a refresh that was under way when the session broke is no reason to lose what was kept.
#[test]
fn a_refresh_that_was_under_way_costs_no_kept_route() {
    use wire::{Refresh, RouteRefresh};
    let own = gracefully(intent(64512, "10.0.0.1").peer(B, 64513, Role::Peer));
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up_with(B, 64513, &gracefully_capable());
    let path: &[(bool, &[u32])] = &[(false, &[64513])];
    router.say(B, &Said { prefix: PREFIX, next_hop: B, path, local_pref: None });
    let mut begin = Vec::new();
    let family = engine::Family::Ipv4Unicast.code();
    RouteRefresh { family, subtype: Refresh::Begin }.encode(&mut begin);
    router.send(B, begin);
    router.lose(B);
    let paths = router.route(PREFIX).paths;
    assert!(paths[0].usable && paths[0].stale);
}

fn gracefully_capable() -> Vec<wire::Capability> {
    let families = vec![(engine::Family::Ipv4Unicast.code(), true)];
    let restart = wire::GracefulRestart { restarting: false, notification: true, time: 120, families };
    let refresh = [wire::Capability::RouteRefresh, wire::Capability::EnhancedRouteRefresh];
    [&refresh[..], &[wire::Capability::GracefulRestart(restart)]].concat()
}

/// A peer that returns as another one, here with another role, has nothing to keep.
#[test]
fn a_changed_role_ends_what_was_kept() {
    let mut sim = Sim::new(12);
    let (a, b) = pair(&mut sim, ours(), gracefully(theirs(&[PREFIX])));
    let changed = intent(64512, "10.0.0.1").peer_with(B, 64513, Role::Fabric, |peer| peer.hold_time = SECOND * 30);
    sim.configure(a, changed);
    sim.silence(a, b);
    assert!(sim.peer(a, B).kept_until.is_some(), "kept: a change of configuration is no hard reset");
    sim.heal();
    while !sim.established(a, B) {
        sim.run(SECOND / 100);
    }
    assert!(!sim.route(a, PREFIX).is_some_and(|route| route.paths[0].stale));
    sim.run(SECOND * 30);
    assert!(sim.route(a, PREFIX).is_some());
}

/// What is kept of a peer is under the same policy as what others say.
#[test]
fn a_change_of_policy_reaches_what_is_kept_of_a_peer_that_is_away() {
    let mut sim = Sim::new(13);
    let both = |rule: &[&str]| {
        let rules = rule.iter().map(|prefix| {
            let prefix: ipnet::IpNet = prefix.parse().expect("a prefix");
            PrefixRule { prefix, ge: prefix.prefix_len(), le: 32 }
        });
        let rules: Vec<PrefixRule> = rules.collect();
        let own = intent(64512, "10.0.0.1").peer_with(B, 64513, Role::Fabric, |peer| peer.allowed_prefixes = rules);
        own.peer("192.0.2.3", 64514, Role::Host)
    };
    let (a, b) = pair(&mut sim, both(&[]), gracefully(theirs(&[PREFIX])));
    let c = sim.add(&[("eth0", &["192.0.2.3/24"])], intent(64514, "10.0.0.3").peer(A, 64512, Role::Peer));
    sim.run(SECOND * 20);
    assert!(kept(&sim, c, PREFIX));
    sim.reset(a, b);
    sim.silence(a, b);
    let settle = |sim: &mut Sim, rule: &[&str]| {
        sim.configure(a, both(rule));
        sim.run(SECOND);
        assert!(sim.peer(a, B).kept_until.is_some(), "no reason to give up what is kept");
        (kept(sim, a, PREFIX), kept(sim, c, PREFIX))
    };
    assert_eq!(settle(&mut sim, &["10.99.0.0/16"]), (false, false), "it may not announce this any more");
    assert_eq!(settle(&mut sim, &["10.0.0.0/8"]), (true, true), "and now it may");
    assert!(sim.route(a, PREFIX).expect("kept").paths[0].stale);
    // Whom it may pass to changes as well.
    let peers = |role| {
        let mut own = both(&[]);
        own.peers.get_mut(&B.parse().expect("an address")).expect("the peer").role = role;
        own
    };
    sim.configure(a, peers(Role::Host));
    sim.run(SECOND);
    assert!(kept(&sim, a, PREFIX) && !kept(&sim, c, PREFIX), "from host to host nothing passes");
    sim.configure(a, peers(Role::Fabric));
    sim.heal();
    sim.run(SECOND * 30);
    assert!(kept(&sim, a, PREFIX) && kept(&sim, c, PREFIX) && sim.peer(a, B).kept_until.is_none());
}

/// What the next process is to wait for is known at any moment this one could die at.
#[test]
fn whom_a_later_process_waits_for_is_told_as_sessions_come_and_go() {
    let mut script = Script::new(gracefully(script::own(|peer| peer.passive = true)));
    let told =
        |script: &mut Script| script.sessions.take().map(|peers| peers.iter().map(ToString::to_string).collect());
    let none: Vec<String> = Vec::new();
    let one = vec![script::ADDRESS.to_string()];
    assert_eq!(told(&mut script), None::<Vec<String>>);
    let restart = wire::GracefulRestart {
        restarting: false,
        notification: false,
        time: 120,
        families: vec![(engine::Family::Ipv4Unicast.code(), true)],
    };
    let open = script::open(
        "10.0.0.7",
        90,
        &[Capability::MultiProtocol(engine::Family::Ipv4Unicast.code()), Capability::GracefulRestart(restart)],
    );
    let conn = script.establish(&open);
    assert_eq!(told(&mut script), Some(one.clone()));
    // Kept, so expected back.
    script.send(conn, crate::routes::announce(PREFIX, &[script::PEER]));
    script.tell(Event::Closed { conn, error: None });
    assert!(script.peer().kept_until.is_some());
    assert_eq!(told(&mut script), None);
    script.pass(SECOND * 121);
    assert_eq!(told(&mut script), Some(none));
    script.establish(&open);
    assert_eq!(told(&mut script), Some(one));
    script.tell(Event::Shutdown { graceful: true });
    assert_eq!(told(&mut script), None, "what ends because we stop is what is waited for");
}

/// ... and a process that dies before it has found out more leaves what it was told itself.
#[test]
fn those_who_are_awaited_are_awaited_by_the_next_process_too() {
    let own = gracefully(script::own(|peer| peer.passive = true));
    let mut script = Script::new(own.clone());
    script.engine = Engine::new(7, script.now);
    let peers = vec![script::ADDRESS.parse().expect("an address")];
    script.tell(Event::Restarted { peers: Some(peers.clone()) });
    script.tell(Event::Intent(Box::new(own)));
    assert_eq!(script.sessions.take(), Some(peers.into_iter().collect()));
}

/// FRR calls itself restarting for two minutes after every start, waits for nobody, and begins to speak a second after the
/// session is up: whoever takes it at its word tells others that there is nothing.
#[test]
fn a_peer_that_calls_itself_restarting_is_heard_out() {
    for said in [true, false] {
        let own = gracefully(script::own(|_| {}));
        let mut script = Script::new(own.clone());
        script.engine = Engine::new(7, script.now);
        script.tell(Event::Restarted { peers: None });
        script.tell(Event::Intent(Box::new(own)));
        let restart = wire::GracefulRestart { restarting: true, notification: false, time: 120, families: Vec::new() };
        let conn = script.establish(&script::open("10.0.0.7", 90, &[Capability::GracefulRestart(restart)]));
        let told = |script: &Script| script.said.iter().any(|said| said.kind == MessageType::Update);
        script.pass(SECOND * 3);
        assert!(!told(&script), "it may not have begun");
        if said {
            script.send(conn, script::raw(2, &[0, 0, 0, 0]));
        } else {
            script.pass(SECOND * 3);
        }
        assert!(told(&script), "End-of-RIB, or time enough: {said}");
    }
}

/// BIRD takes a second connection for a second restart, and drops what it has kept.
#[test]
fn a_restarted_router_lets_others_come_first() {
    let restarted = || {
        let mut script = Script::empty();
        script.tell(Event::Restarted { peers: None });
        script.tell(Event::Intent(Box::new(gracefully(script::own(|_| {})))));
        script
    };
    let mut script = restarted();
    script.accept(B);
    script.pass(SECOND);
    assert_eq!(script.dials.len(), 0, "it came by itself");

    let mut script = restarted();
    script.pass(SECOND / 2);
    assert_eq!(script.dials.len(), 1, "nobody came");
    script.accept(B);
    assert_eq!(script.closed, [script.dialled()], "somebody did after all");
}

/// The address plan changes between two lives of the router: nobody will come from the old address.
#[test]
fn a_neighbor_that_is_removed_is_not_waited_for() {
    let mut script = Script::empty();
    let old = "192.0.2.77";
    script.tell(Event::Restarted { peers: Some(vec![old.parse().expect("an address")]) });
    let with_old = gracefully(script::own(|_| {}).peer(old, 64600, Role::Peer));
    script.tell(Event::Intent(Box::new(with_old)));
    let without = gracefully(script::own(|_| {}));
    script.establish(&script::open("10.0.0.7", 90, &gracefully_capable()));
    script.pass(SECOND * 2);
    let told = |script: &Script| script.said.iter().any(|said| said.kind == MessageType::Update);
    assert!(!told(&script), "it may still come");
    script.tell(Event::Intent(Box::new(without)));
    script.pass(SECOND * 2);
    assert!(told(&script), "nobody is missing");
}
