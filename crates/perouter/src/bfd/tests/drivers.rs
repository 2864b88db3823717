//! Two threads against each other.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::bfd::{Packet, Reason};
use testbed::ip::change;

use super::*;

#[test]
fn every_kind_of_session_comes_up_and_a_link_that_is_cut_takes_it_down() {
    let (lab, [a, b]) = pair();
    let [left, mut right] = [&a, &b].map(|ns| Driver::start(&lab, ns));
    left.want(&every_kind(1, settings(50, 3)));
    right.want(&every_kind(2, settings(50, 3)));
    let peers = ["10.9.0.1", "2001:db8:9::1", "fe80::9:1", "10.1.0.1"];
    for peer in peers {
        let view = right.until_up(peer, 50, 150);
        assert_eq!(view.trouble, None);
    }
    assert!(right.last_reports(peers.len(), true).iter().all(|report| !report.admin_down_by_peer));
    change(&a, &["link", "set", "eth1", "down"]).unwrap();
    for report in right.last_reports(peers.len(), false) {
        assert_eq!(report.reason, "nothing was heard for 150 ms");
        assert!(!report.admin_down_by_peer);
    }
    for peer in peers {
        assert!(is_expired(&right.view(peer)));
    }
    change(&a, &["link", "set", "eth1", "up"]).unwrap();
    for address in ["fe80::9:1/64", "2001:db8:9::1/64"] {
        // IPv6 addresses go with the link.
        let _ = change(&a, &["address", "add", address, "dev", "eth1", "nodad"]);
    }
    change(&a, &["route", "replace", "10.2.0.1/32", "via", "10.9.0.2"]).unwrap();
    for peer in peers {
        right.until_up(peer, 50, 150);
    }
    right.last_reports(peers.len(), true);
}

#[test]
fn a_session_that_is_removed_is_held_down_on_purpose_and_comes_back() {
    let (lab, [a, b]) = pair();
    let [mut left, mut right] = [&a, &b].map(|ns| Driver::start(&lab, ns));
    let to_right = [wanted("10.9.0.2", settings(50, 20))];
    left.want(&to_right);
    right.want(&[wanted("10.9.0.1", settings(50, 20))]);
    right.reports_up("10.9.0.1");
    left.want(&[]);
    let purpose = "the neighbour holds its session down on purpose";
    assert!(right.reports_down("10.9.0.1", purpose).admin_down_by_peer);
    assert!(left.views().is_empty());
    left.want(&to_right);
    right.reports_up("10.9.0.1");
    left.reports_up("10.9.0.2");
    left.stop();
    assert!(right.reports_down("10.9.0.1", purpose).admin_down_by_peer);
}

#[test]
fn a_session_that_is_wanted_as_before_is_not_disturbed_and_a_changed_one_stays_up() {
    let (lab, [a, b]) = pair();
    let [left, right] = [&a, &b].map(|ns| Driver::start(&lab, ns));
    let [one, two, three, _] = every_kind(1, settings(50, 20));
    left.want(&[one.clone(), two.clone()]);
    right.want(&every_kind(2, settings(50, 20))[..3]);
    let before = left.until_up("10.9.0.2", 50, 1000).session;
    let changing = left.until_up("2001:db8:9::2", 50, 1000).session;

    let slower = Wanted { settings: settings(200, 10), ..two };
    left.want(&[three, slower, one]);
    left.until_up("fe80::9:2", 50, 1000);
    let changed = left.until_up("2001:db8:9::2", 200, 4000).session;
    right.until_up("2001:db8:9::1", 200, 2000);
    let after = left.view("10.9.0.2").session;
    assert_eq!((after.since, after.downs), (before.since, 0));
    assert_eq!(
        (after.local.discriminator, changed.local.discriminator),
        (before.local.discriminator, changing.local.discriminator)
    );
    assert_eq!((changed.since, changed.downs), (changing.since, 0));
}

#[test]
fn a_packet_that_a_router_has_touched_is_for_no_session_of_one_hop() {
    let (lab, [a, b]) = pair();
    let left = Driver::start(&lab, &a);
    left.want(&[wanted("10.9.0.2", settings(50, 3))]);
    let sockets = Namespace::open(&b).unwrap().unwrap();
    let socket = sockets.run(|| UdpSocket::bind("10.9.0.2:50000").unwrap()).unwrap();
    let packet = |my_discriminator| Packet {
        diagnostic: Diagnostic::NONE,
        state: State::Down,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        multiplier: 255,
        my_discriminator: std::num::NonZeroU32::new(my_discriminator).unwrap(),
        your_discriminator: 0,
        desired_min_tx: 1_000_000,
        required_min_rx: 1_000_000,
        required_min_echo_rx: 0,
    };
    left.until("10.9.0.2", "is listened for", |view| view.session.sent > 0);
    // In this order on one link: the first one would be counted before the last.
    for (ttl, port, number) in [(254, 3784, 1), (64, 3784, 2), (255, 4784, 3), (255, 3784, 4)] {
        socket.set_ttl(ttl).unwrap();
        socket.send_to(&packet(number).encode(), ("10.9.0.1", port)).unwrap();
    }
    let view = left.until("10.9.0.2", "is heard", |view| view.session.received > 0);
    assert_eq!((view.session.received, view.session.remote.discriminator), (1, 4));
    assert_eq!((view.session.local.state, view.session.reason), (State::Init, Reason::Heard));
}

#[test]
fn over_a_router_the_least_ttl_counts() {
    let lab = Lab::new(Path::new("perouter")).unwrap();
    let [a, middle, b] = ["a", "middle", "b"].map(|name| lab.namespace(name).unwrap());
    for (ns, port, subnet) in [(&a, "to-a", 1), (&b, "to-b", 2)] {
        let end = End { ns, name: "eth1", addresses: nets(&[&format!("10.9.{subnet}.2/24")]) };
        let router = End { ns: &middle, name: port, addresses: nets(&[&format!("10.9.{subnet}.1/24")]) };
        lab.link(&end, &router, 1500).unwrap();
        lab.add_route(ns, nets(&["10.9.0.0/16"])[0], ip(&format!("10.9.{subnet}.1"))).unwrap();
    }
    lab.forwards(&middle).unwrap();
    let [left, right] = [&a, &b].map(|ns| Driver::start(&lab, ns));
    let over =
        |peer: &str, minimum_ttl| wanted(peer, Settings { hops: Hops::Multi { minimum_ttl }, ..settings(50, 3) });
    left.want(&[over("10.9.2.2", 255)]);
    right.want(&[over("10.9.1.2", 254)]);
    // The right one hears the left one, whose first check refuses everything that crossed the router.
    right.until("10.9.1.2", "hears", |view| view.session.local.state == State::Init && view.session.received > 1);
    assert_eq!(left.view("10.9.2.2").session.received, 0);
    left.want(&[over("10.9.2.2", 254)]);
    left.until_up("10.9.2.2", 50, 150);
    right.until_up("10.9.1.2", 50, 150);
}

#[test]
fn a_link_that_is_made_anew_under_its_name_is_found_again() {
    let (lab, [a, b]) = pair();
    let [left, right] = [&a, &b].map(|ns| Driver::start(&lab, ns));
    let passive = Settings { passive: true, ..settings(50, 3) };
    left.want(&every_kind(1, passive)[2..3]);
    right.want(&every_kind(2, settings(50, 3))[2..3]);
    left.until_up("fe80::9:2", 50, 150);
    right.until_up("fe80::9:1", 50, 150);
    change(&a, &["link", "del", "eth1"]).unwrap();
    right.until("fe80::9:1", "is down", is_expired);
    left.until("fe80::9:2", "is down", is_expired);
    // Other indexes on both sides.
    lab.bridge(&End { ns: &a, name: "other", addresses: vec![] }, 1500).unwrap();
    lab.bridge(&End { ns: &b, name: "other", addresses: vec![] }, 1500).unwrap();
    let ends = [(&a, "fe80::9:1/64"), (&b, "fe80::9:2/64")];
    let ends = ends.map(|(ns, address)| End { ns, name: "eth1", addresses: nets(&[address]) });
    lab.link(&ends[0], &ends[1], 1500).unwrap();
    left.until_up("fe80::9:2", 50, 150);
    right.until_up("fe80::9:1", 50, 150);
}

#[test]
fn a_port_that_somebody_else_has_is_told_once_and_taken_when_it_is_free() {
    let (lab, [a, b]) = pair();
    let namespace = Namespace::open(&a).unwrap().unwrap();
    let other = namespace.run(|| UdpSocket::bind("0.0.0.0:3784").unwrap()).unwrap();
    let [left, right] = [&a, &b].map(|ns| Driver::start(&lab, ns));
    left.want(&[wanted("10.9.0.2", settings(50, 3))]);
    right.want(&[wanted("10.9.0.1", settings(50, 3))]);
    right.until("10.9.0.1", "hears", |view| view.session.received > 2);
    let told =
        || left.status.journal().newest(100).events.iter().filter(|event| event.text.contains("UDP port 3784")).count();
    assert_eq!((told(), left.view("10.9.0.2").session.received), (1, 0));
    drop(other);
    left.until_up("10.9.0.2", 50, 150);
    assert_eq!(told(), 1);
}

/// Spins on four threads until it is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start() -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        for _ in 0..4 {
            let stopped = Arc::clone(&stopped);
            std::thread::spawn(move || while !stopped.load(Ordering::Relaxed) {});
        }
        Self(stopped)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_busy_machine_takes_no_session_down() {
    let (lab, [a, b]) = pair();
    let [left, right] = [&a, &b].map(|ns| Driver::start(&lab, ns));
    left.want(&[wanted("10.9.0.2", settings(300, 3))]);
    right.want(&[wanted("10.9.0.1", settings(300, 3))]);
    let before = left.until_up("10.9.0.2", 300, 900).session;
    let other = right.until_up("10.9.0.1", 300, 900).session;
    // Nor do sessions that keep trying to reach a link that is not there.
    let lost =
        |number: u8| Wanted { scope_link: Some("none".into()), ..wanted(&format!("fe80::{number}"), settings(300, 3)) };
    left.want(&[wanted("10.9.0.2", settings(300, 3)), lost(1), lost(2)]);
    left.until("fe80::1", "cannot be reached", |view| view.trouble.as_deref() == Some("No such device"));
    let load = Load::start();
    left.until("10.9.0.2", "goes on", |view| view.session.received > before.received + 15);
    right.until("10.9.0.1", "goes on", |view| view.session.received > other.received + 15);
    drop(load);
    assert_eq!((left.view("10.9.0.2").session.downs, right.view("10.9.0.1").session.downs), (0, 0));
}
