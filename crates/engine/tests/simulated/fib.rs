//! What the kernel is told when it refuses, loses or lags.

use engine::intent::Role;
use engine::{Action, Engine, Event, FibBatch, GroupChange};

use crate::routing::{behind_another_router, way_to_the_origin};
use crate::scripted::{Said, Scripted};
use crate::sim::{SECOND, Sim, With, intent};

const LEAF: u32 = 64512;
const ROUTER: u32 = 64514;

fn leaf_and_router(sim: &mut Sim) -> usize {
    let leaf = intent(LEAF, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer).network("192.170.20.0/24");
    sim.add(&[("eth0", &["192.168.11.2/24"])], leaf);
    let own = intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric);
    sim.add(&[("eth1", &["192.168.11.3/24"])], own)
}

#[test]
fn a_route_withdrawn_while_the_fib_is_lost_leaves_the_kernel() {
    let mut sim = Sim::new(101);
    let router = leaf_and_router(&mut sim);
    sim.run(SECOND * 20);
    sim.nodes[router].fib.swept = false;
    // A batch is in flight from here on, and the withdrawal waits behind it.
    sim.tell(router, Event::FibLost);
    sim.configure(router, intent(ROUTER, "10.0.0.1"));
    sim.nodes[router].fib.groups.clear();
    sim.tell(router, Event::FibLost);
    let kept = std::mem::take(&mut sim.nodes[router].fib.routes);
    sim.run(SECOND * 5);
    assert!(sim.nodes[router].fib.swept, "nobody ever removes {kept:?}");
}

/// The answer to a batch of which nothing was refused.
fn done(batch: &FibBatch) -> Event {
    Event::FibAck { id: batch.id, failed: Vec::new(), failed_groups: Vec::new(), degraded_groups: Vec::new() }
}

/// Takes the next batch and answers it.
fn answer(engine: &mut Engine, now: std::time::Instant, failed: impl FnOnce(&FibBatch, &mut Event)) -> FibBatch {
    let batch = engine.poll_fib().expect("something to do");
    let mut ack = done(&batch);
    failed(&batch, &mut ack);
    engine.handle(now, ack);
    batch
}

#[test]
fn a_group_that_the_kernel_refused_is_tried_again_with_all_its_routes() {
    let mut sim = Sim::new(102);
    let router = behind_another_router(&mut sim);
    sim.tell(router, way_to_the_origin("192.168.11.2"));
    sim.run(SECOND * 20);
    let now = sim.now;
    let engine = &mut sim.nodes[router].engine;
    engine.handle(now, way_to_the_origin("192.168.11.9"));
    let batch = answer(engine, now, |batch, ack| {
        let [GroupChange::Set(group, _)] = batch.groups[..] else { panic!("{batch:?}") };
        let Event::FibAck { failed_groups, .. } = ack else { return };
        failed_groups.push((group, "refused".into()));
    });
    assert!(batch.routes.is_empty(), "one message moves the route");
    engine.handle_timeout(now + SECOND * 10);
    let batch = answer(engine, now, |_, _| {});
    let set = batch.groups.iter().any(|change| matches!(change, GroupChange::Set(..)));
    assert!(batch.routes.len() == 1 && set, "{batch:?}");
}

#[test]
fn a_deletion_that_the_kernel_refused_is_tried_again() {
    let own = intent(ROUTER, "10.0.0.1").peer("192.0.2.2", LEAF, Role::Fabric);
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up("192.0.2.2", LEAF);
    let path: &[(bool, &[u32])] = &[(false, &[LEAF])];
    for prefix in ["10.1.0.0/16", "10.2.0.0/16"] {
        router.say("192.0.2.2", &Said { prefix, next_hop: "192.0.2.2", path, local_pref: None });
    }
    let now = router.now;
    answer(&mut router.engine, now, |_, _| {});
    let mut gone = Vec::new();
    let prefix: ipnet::IpNet = "10.1.0.0/16".parse().expect("a prefix");
    wire::encode_unreach(&mut gone, 4096, engine::Family::Ipv4Unicast, std::iter::once(prefix));
    router.send("192.0.2.2", gone);
    let engine = &mut router.engine;
    let batch = answer(engine, now, |batch, ack| {
        let Event::FibAck { failed, .. } = ack else { return };
        failed.push((batch.routes[0].prefix, "refused".into()));
    });
    assert_eq!((batch.routes[0].prefix, batch.routes[0].group), (prefix, None));
    assert_eq!(engine.snapshot(now).fib.failed, 1);
    engine.handle_timeout(now + SECOND * 10);
    let again = answer(engine, now, |_, _| {});
    assert_eq!(again.routes, batch.routes);
    assert_eq!(engine.snapshot(now).destinations[0].1, 1, "and then it is forgotten");
}

/// What only a lost peer led to is unreachable at once: one message, whatever the number of routes, and none for each.
#[test]
fn a_lost_peer_takes_its_routes_out_of_the_kernel_with_one_message() {
    let own = intent(ROUTER, "10.0.0.1").peer("192.0.2.2", LEAF, Role::Fabric).peer("192.0.2.3", LEAF, Role::Fabric);
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    let path: &[(bool, &[u32])] = &[(false, &[LEAF])];
    let prefixes: Vec<String> = (0..20_000u32).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    for peer in ["192.0.2.2", "192.0.2.3"] {
        router.up(peer, LEAF);
        for prefix in &prefixes {
            router.say(peer, &Said { prefix, next_hop: peer, path, local_pref: None });
        }
    }
    let now = router.now;
    let engine = &mut router.engine;
    while let Some(batch) = engine.poll_fib() {
        engine.handle(now, done(&batch));
    }
    router.lose("192.0.2.2");
    let engine = &mut router.engine;
    let batch = answer(engine, now, |_, _| {});
    assert!(matches!(&batch.groups[..], [GroupChange::Set(_, hops)] if hops.len() == 1), "{:?}", batch.groups);
    assert!(batch.routes.is_empty(), "first of all");

    router.lose("192.0.2.3");
    let engine = &mut router.engine;
    let mut deletions = 0;
    while engine.poll_timeout().is_some_and(|(_, what)| what == "tables") {
        engine.handle_timeout(now);
        while let Some(batch) = engine.poll_fib() {
            deletions += batch.groups.iter().filter(|change| matches!(change, GroupChange::Delete(_))).count();
            assert!(batch.routes.is_empty(), "the kernel drops them with their group");
            engine.handle(now, done(&batch));
        }
    }
    assert_eq!(deletions, 1);
    let snapshot = engine.snapshot(now);
    assert_eq!((snapshot.destinations[0].1, snapshot.fib.installed, snapshot.fib.groups), (0, 0, 0));
    assert_eq!(snapshot.attribute_sets, 0);
}

#[test]
fn what_an_earlier_process_left_is_swept_also_when_the_configuration_comes_late() {
    let now = Sim::new(104).now;
    let mut engine = Engine::new(1, now);
    engine.handle_timeout(now + SECOND * 300);
    engine.handle(now + SECOND * 301, Event::Intent(Box::new(intent(ROUTER, "10.0.0.1"))));
    let (at, why) = engine.poll_timeout().expect("a deadline");
    assert_eq!(why, "convergence");
    engine.handle_timeout(at);
    assert!(engine.poll_fib().expect("a batch").sweep);
}

/// The tables converge while there is no FIB: once there is one, what is lost of it is still swept.
#[test]
fn a_fib_that_was_off_when_the_tables_converged_is_swept_later() {
    let now = Sim::new(109).now;
    let mut engine = Engine::new(1, now);
    let mut own = intent(ROUTER, "10.0.0.1");
    for (fib, after) in [(true, 0), (false, 10), (true, 300)] {
        own.fib = fib;
        engine.handle_timeout(now + SECOND * after);
        engine.handle(now + SECOND * after, Event::Intent(Box::new(own.clone())));
    }
    assert!(answer(&mut engine, now, |_, _| {}).sweep);
    engine.handle(now, Event::FibLost);
    assert!(answer(&mut engine, now, |_, _| {}).sweep);
}

#[test]
fn switching_the_fib_off_clears_it_and_on_again_fills_it() {
    let mut sim = Sim::new(105);
    let router = leaf_and_router(&mut sim);
    sim.run(SECOND * 20);
    let mut own = intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric);
    own.fib = false;
    let now = sim.now;
    let engine = &mut sim.nodes[router].engine;
    engine.handle(now, Event::Intent(Box::new(own.clone())));
    let actions: Vec<Action> = std::iter::from_fn(|| engine.poll_action()).collect();
    assert!(actions.contains(&Action::ClearFib), "{actions:?}");
    assert_eq!(engine.poll_fib(), None);
    assert_eq!(engine.snapshot(now).fib.groups, 0);
    sim.nodes[router].fib = Default::default();
    own.fib = true;
    sim.configure(router, own);
    sim.run(SECOND);
    assert_eq!(sim.gateways(router, "192.170.20.0/24"), ["192.168.11.2"]);
}

/// RFC 4271 8.2.2, Connect, event 9.
#[test]
fn a_dial_without_answer_is_given_up_after_the_connect_retry_time() {
    let now = Sim::new(107).now;
    let mut engine = Engine::new(1, now);
    let own = intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric);
    engine.handle(now, Event::Intent(Box::new(own)));
    let dials = |engine: &mut Engine| {
        let actions = std::iter::from_fn(|| engine.poll_action());
        actions.filter(|action| matches!(action, Action::Dial { .. })).count()
    };
    engine.handle_timeout(now);
    assert_eq!(dials(&mut engine), 1);
    assert_eq!(engine.poll_timeout(), Some((now + SECOND * 5, "connect retry")));
    engine.handle_timeout(now + SECOND * 5);
    assert_eq!(dials(&mut engine), 1, "and tried again at once");
}

#[test]
fn a_wrong_as_is_told_also_when_the_peer_was_unreachable_before() {
    let mut sim = Sim::new(106);
    let own = intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, Role::Fabric);
    let router = sim.add(&[("eth1", &["192.168.11.3/24"])], own);
    sim.run(SECOND * 20);
    let other = intent(64599, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer);
    sim.add(&[("eth0", &["192.168.11.2/24"])], other);
    sim.run(SECOND * 60);
    let notes = &sim.nodes[router].notes;
    assert!(notes.iter().any(|note| note.contains("Bad Peer AS") && note.contains("64599")), "{notes:?}");
    assert!(notes.len() < 8, "once per reason: {notes:?}");
}

#[test]
fn a_peer_that_becomes_fabric_is_no_transit_any_more() {
    let leaves =
        |first| intent(ROUTER, "10.0.0.1").peer("192.168.11.2", LEAF, first).peer("192.168.12.2", 64513, Role::Fabric);
    let mut sim = Sim::new(108);
    let first = intent(LEAF, "10.1.0.1").peer("192.168.11.3", ROUTER, Role::Peer).network("192.170.20.0/24");
    sim.add(&[("eth0", &["192.168.11.2/24"])], first);
    let second = intent(64513, "10.1.0.2").peer("192.168.12.3", ROUTER, Role::Peer);
    let second = sim.add(&[("eth0", &["192.168.12.2/24"])], second);
    let links: &[(&str, &[&str])] = &[("eth1", &["192.168.11.3/24"]), ("eth2", &["192.168.12.3/24"])];
    let router = sim.add(links, leaves(Role::Peer));
    sim.run(SECOND * 20);
    assert!(sim.route(second, "192.170.20.0/24").is_some());
    sim.configure(router, leaves(Role::Fabric));
    sim.run(SECOND * 5);
    assert!(sim.route(second, "192.170.20.0/24").is_none());
}

/// Attributes are nothing that the kernel knows; what only looks like a change does not keep it from what is one.
#[test]
fn only_a_change_of_next_hops_is_told_to_the_kernel() {
    let own = intent(ROUTER, "10.0.0.1").peer("192.0.2.2", LEAF, Role::Fabric);
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up("192.0.2.2", LEAF);
    let say = |router: &mut Scripted, path: &[u32], next_hop| {
        router.say("192.0.2.2", &Said { prefix: "10.1.0.0/16", next_hop, path: &[(false, path)], local_pref: None });
    };
    let now = router.now;
    say(&mut router, &[LEAF], "192.0.2.2");
    answer(&mut router.engine, now, |_, _| {});
    say(&mut router, &[LEAF, 64999], "192.0.2.2");
    assert_eq!(router.engine.poll_fib(), None);
    say(&mut router, &[LEAF, 64999], "192.0.2.9");
    say(&mut router, &[LEAF, 64999], "192.0.2.2");
    assert_eq!(router.engine.poll_fib(), None, "as it was");
    say(&mut router, &[LEAF, 64999], "192.0.2.9");
    assert_eq!(answer(&mut router.engine, now, |_, _| {}).routes.len(), 1);
}

/// Forty thousand routes that are as the kernel has them wait between two that are not. A batch of one may be answered at once.
#[test]
fn routes_that_need_nothing_are_passed_over_without_a_wait() {
    let own = intent(ROUTER, "10.0.0.1").peer("192.0.2.2", LEAF, Role::Fabric);
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up("192.0.2.2", LEAF);
    let prefixes: Vec<String> = (0..40_000u32).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    let say = |router: &mut Scripted, prefix: &str, next_hop| {
        router.say("192.0.2.2", &Said { prefix, next_hop, path: &[(false, &[LEAF])], local_pref: None });
    };
    prefixes.iter().for_each(|prefix| say(&mut router, prefix, "192.0.2.2"));
    let now = router.now;
    carry_out(&mut router);
    say(&mut router, "172.17.0.0/16", "192.0.2.2");
    for next_hop in ["192.0.2.9", "192.0.2.2"] {
        prefixes.iter().for_each(|prefix| say(&mut router, prefix, next_hop));
    }
    say(&mut router, "172.16.0.0/16", "192.0.2.2");
    for number in 0..2 {
        let batch = loop {
            if let Some(batch) = router.engine.poll_fib() {
                break batch;
            }
            assert_eq!(router.engine.poll_timeout(), Some((now, "kernel routes")), "somebody must ask again");
        };
        assert_eq!(batch.routes.len(), 1);
        router.engine.handle(now, done(&batch));
        let due = router.engine.poll_timeout().filter(|(_, what)| *what == "kernel routes");
        assert_eq!(due.is_some(), number == 0, "as long as there is more");
    }
}

/// A full table must not wait for us between one batch and the next, nor a change for what was there before.
#[test]
fn of_many_routes_two_batches_are_on_their_way_and_of_few_one() {
    let prefixes: Vec<String> = (0..24_000u32).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    let mut router = with_paths(&prefixes);
    let now = router.now;
    let engine = &mut router.engine;
    let [first, second] = [(); 2].map(|()| engine.poll_fib().expect("there are many"));
    assert!(engine.poll_fib().is_none(), "the rest waits");
    engine.handle(now, done(&first));
    let third = engine.poll_fib().expect("there is more");
    assert_eq!([&first, &second, &third].map(|batch| batch.routes.len()).iter().sum::<usize>(), prefixes.len());
    engine.handle(now, done(&second));
    router.say(
        "192.0.2.2",
        &Said { prefix: "172.16.0.0/16", next_hop: "192.0.2.2", path: &[(false, &[LEAF])], local_pref: None },
    );
    assert!(router.engine.poll_fib().is_none(), "one change waits for the answer");
    router.engine.handle(now, done(&third));
    assert_eq!(answer(&mut router.engine, now, |_, _| {}).routes.len(), 1);
}

#[test]
fn what_was_on_its_way_when_the_kernel_lost_everything_is_no_failure() {
    let prefixes: Vec<String> = (0..20_000u32).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    let mut router = with_paths(&prefixes);
    let now = router.now;
    let batches = [(); 2].map(|()| router.engine.poll_fib().expect("there are many"));
    router.engine.handle(now, Event::FibLost);
    withdraw(&mut router, &prefixes[..1]);
    for batch in &batches {
        let failed = batch.routes.iter().map(|change| (change.prefix, "no such group".to_owned())).collect();
        let ack = Event::FibAck { id: batch.id, failed, failed_groups: Vec::new(), degraded_groups: Vec::new() };
        router.engine.handle(now, ack);
    }
    assert_eq!(router.engine.snapshot(now).fib.failed, 0);
    let actions = std::iter::from_fn(|| router.engine.poll_action());
    assert_eq!(actions.filter(|action| matches!(action, Action::Note(note) if note.text.contains("route"))).count(), 0);
    assert_eq!(
        carry_out(&mut router).0,
        prefixes.len() - 1,
        "all are told again but the one that is not wanted any more"
    );
    assert_eq!(router.engine.snapshot(now).fib.installed, prefixes.len() - 1);
}

/// A router with one leaf whose routes are in the kernel.
fn with_routes(prefixes: &[String]) -> Scripted {
    let mut router = with_paths(prefixes);
    carry_out(&mut router);
    router
}

/// A router with one leaf, of whose routes the kernel has not been told yet.
fn with_paths(prefixes: &[String]) -> Scripted {
    let own = intent(ROUTER, "10.0.0.1").peer("192.0.2.2", LEAF, Role::Fabric);
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up("192.0.2.2", LEAF);
    for prefix in prefixes {
        router.say("192.0.2.2", &Said { prefix, next_hop: "192.0.2.2", path: &[(false, &[LEAF])], local_pref: None });
    }
    router
}

/// Has everything done that the kernel is to do; returns the routes that were named and the groups that were deleted.
fn carry_out(router: &mut Scripted) -> (usize, usize) {
    let (mut routes, mut groups) = (0, 0);
    loop {
        while let Some(batch) = router.engine.poll_fib() {
            routes += batch.routes.len();
            groups += batch.groups.iter().filter(|change| matches!(change, GroupChange::Delete(_))).count();
            router.engine.handle(router.now, done(&batch));
        }
        if router.engine.poll_timeout().is_none_or(|(_, what)| what != "kernel routes") {
            return (routes, groups);
        }
    }
}

fn withdraw(router: &mut Scripted, prefixes: &[String]) {
    let mut gone = Vec::new();
    let prefixes = prefixes.iter().map(|prefix| prefix.parse::<ipnet::IpNet>().expect("a prefix"));
    wire::encode_unreach(&mut gone, 4096, engine::Family::Ipv4Unicast, prefixes);
    router.send("192.0.2.2", gone);
}

#[test]
fn a_table_that_is_withdrawn_as_a_whole_leaves_with_its_group() {
    let prefixes: Vec<String> = (0..20_000u32).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    let mut router = with_routes(&prefixes);
    withdraw(&mut router, &prefixes);
    assert_eq!(carry_out(&mut router), (0, 1), "one message for all");
    let snapshot = router.engine.snapshot(router.now);
    assert_eq!((snapshot.destinations[0].1, snapshot.fib), (0, Default::default()));
}

/// To find the routes of a group the kernel looks through its whole table.
#[test]
fn a_few_routes_that_are_withdrawn_are_deleted_one_by_one() {
    let prefixes: Vec<String> = (0..20u32).map(|n| format!("10.0.{n}.0/24")).collect();
    let mut router = with_routes(&prefixes);
    withdraw(&mut router, &prefixes);
    assert_eq!(carry_out(&mut router), (20, 1));
}

#[test]
fn a_route_that_comes_back_while_its_group_leaves_stays() {
    let prefixes: Vec<String> = (0..20_000u32).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    let mut router = with_routes(&prefixes);
    withdraw(&mut router, &prefixes);
    let back = Said { prefix: &prefixes[7], next_hop: "192.0.2.2", path: &[(false, &[LEAF])], local_pref: None };
    router.say("192.0.2.2", &back);
    assert_eq!(carry_out(&mut router), (1, 1), "it gets another group before its old one goes");
    assert_eq!(router.route(&prefixes[7]).installed, Some(true));
    assert_eq!(router.engine.snapshot(router.now).fib.installed, 1);
}
