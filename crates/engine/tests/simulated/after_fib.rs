//! Peers hear of a route once the kernel has it, where that is asked for.

use engine::intent::Role;
use engine::{Event, FibBatch, Intent};
use ipnet::IpNet;

use crate::scripted::{Said, Scripted};
use crate::sim::{SECOND, With, intent};

const LEAF: &str = "192.0.2.2";
const HOST: &str = "192.0.2.3";
const PREFIX: &str = "10.1.0.0/16";

fn strict() -> Intent {
    let own = intent(64514, "10.0.0.1").peer(LEAF, 64512, Role::Fabric).peer(HOST, 64515, Role::Host);
    Intent { advertise_after_fib: true, ..own }
}

/// A router with a leaf that has said something and a host that listens.
fn router(own: Intent) -> Scripted {
    let mut router = Scripted::new(&["192.0.2.1/24"], own);
    router.up(LEAF, 64512);
    router.up(HOST, 64515);
    announce(&mut router, &[64512]);
    router
}

fn announce(router: &mut Scripted, path: &[u32]) {
    router.say(LEAF, &Said { prefix: PREFIX, next_hop: LEAF, path: &[(false, path)], local_pref: None });
}

fn withdraw(router: &mut Scripted) {
    let mut gone = Vec::new();
    let prefix: IpNet = PREFIX.parse().expect("a prefix");
    wire::encode_unreach(&mut gone, 4096, engine::Family::Ipv4Unicast, std::iter::once(prefix));
    router.send(LEAF, gone);
}

fn batch(router: &mut Scripted) -> FibBatch {
    router.engine.poll_fib().expect("something to do")
}

fn answer(router: &mut Scripted, batch: &FibBatch, refused: bool) {
    let refusals = batch.routes.iter().map(|change| (change.prefix, "refused".to_owned()));
    let failed = if refused { refusals.collect() } else { Vec::new() };
    let ack = Event::FibAck { id: batch.id, failed, failed_groups: Vec::new(), degraded_groups: Vec::new() };
    router.engine.handle(router.now, ack);
}

fn hears(router: &mut Scripted) -> Vec<String> {
    router.heard(HOST).into_iter().map(|(prefix, _)| prefix.to_string()).collect()
}

fn is_told(router: &Scripted) -> bool {
    router.route(PREFIX).advertised_to.contains(&HOST.parse().expect("an address"))
}

#[test]
fn a_route_is_told_when_the_kernel_has_it() {
    let mut router = router(strict());
    assert_eq!(hears(&mut router), [""; 0]);
    let batch = batch(&mut router);
    assert_eq!(hears(&mut router), [""; 0], "the kernel has not answered");
    answer(&mut router, &batch, false);
    assert_eq!(hears(&mut router), [PREFIX]);
    // Another path through the same next hop is nothing that the kernel has to do with.
    announce(&mut router, &[64512, 64999]);
    assert_eq!(hears(&mut router), [PREFIX]);
    assert_eq!(router.engine.poll_fib(), None);
}

#[test]
fn a_withdrawal_does_not_wait() {
    let mut router = router(strict());
    let first = batch(&mut router);
    answer(&mut router, &first, false);
    hears(&mut router);
    assert!(is_told(&router));
    withdraw(&mut router);
    announce(&mut router, &[64512]);
    withdraw(&mut router);
    hears(&mut router);
    let snapshot = router.engine.snapshot(router.now);
    let host = snapshot.peers.iter().find(|peer| peer.address.to_string() == HOST).expect("the host");
    assert_eq!(host.families[0].advertised, 0);
    assert!(snapshot.fib.pending > 0, "the kernel has still to be told");
}

#[test]
fn a_route_that_the_kernel_refuses_is_not_told_until_it_is_there() {
    let mut router = router(strict());
    let first = batch(&mut router);
    answer(&mut router, &first, true);
    assert_eq!(hears(&mut router), [""; 0]);
    let now = router.now;
    router.engine.handle_timeout(now + SECOND * 10);
    let again = batch(&mut router);
    answer(&mut router, &again, false);
    assert_eq!(hears(&mut router), [PREFIX]);
}

/// RFC 4724 section 2: the marker comes after the routes.
#[test]
fn end_of_rib_comes_after_what_waits() {
    let mut router = Scripted::new(&["192.0.2.1/24"], strict());
    router.up(LEAF, 64512);
    announce(&mut router, &[64512]);
    router.up(HOST, 64515);
    let updates = |router: &Scripted| {
        let peers = router.engine.snapshot(router.now).peers;
        peers.iter().find(|peer| peer.address.to_string() == HOST).expect("the host").sent[2]
    };
    assert_eq!(updates(&router), 0);
    let batch = batch(&mut router);
    answer(&mut router, &batch, false);
    assert_eq!(hears(&mut router), [PREFIX]);
    assert_eq!(updates(&router), 2, "the route and the marker");
}

#[test]
fn who_does_not_ask_for_it_hears_at_once() {
    let mut lax = router(Intent { advertise_after_fib: false, ..strict() });
    assert_eq!(hears(&mut lax), [PREFIX]);
    let mut without = router(Intent { fib: false, ..strict() });
    assert_eq!(hears(&mut without), [PREFIX], "there is nothing to wait for");
}

/// Both are applied to what runs.
#[test]
fn what_waits_is_told_when_nobody_asks_for_it_any_more() {
    for relaxed in [Intent { advertise_after_fib: false, ..strict() }, Intent { fib: false, ..strict() }] {
        let mut router = router(strict());
        assert_eq!(hears(&mut router), [""; 0]);
        let now = router.now;
        router.engine.handle(now, Event::Intent(Box::new(relaxed)));
        assert_eq!(hears(&mut router), [PREFIX]);
    }
}
