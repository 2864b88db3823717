use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering};

use kernel::datagram::{Receiver, Sender, Way};
use kernel::netns::Namespace;

use crate::lab::{Pair, eventually, index, ip};

const PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;

fn way(remote: &str, local: Option<&str>, link: Option<&str>) -> Way {
    let address = |text: &str| text.parse().unwrap();
    Way { remote: address(remote), port: 3784, local: local.map(address), link: link.map(str::to_owned) }
}

/// Sends until something of it arrives: an IPv6 neighbour may have to be found first, and what waited for it arrives late.
/// Returns source, destination, link and TTL of what arrived.
fn carried(sender: &Sender, receiver: &Receiver) -> (String, String, u32, u8) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let hello = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut buffer = [0; 64];
    let mut seen = None;
    eventually("a packet", || {
        match sender.send(&hello) {
            // What waits for the neighbour has filled the buffer.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            sent => sent.unwrap(),
        }
        let received = receiver.receive(&mut buffer).unwrap();
        seen = received
            .filter(|r| r.payload == hello)
            .map(|r| (r.source.to_string(), r.destination.to_string(), r.link, r.ttl));
        seen.is_some()
    });
    seen.unwrap()
}

fn opened(ns: &Namespace, way: &Way) -> Sender {
    Sender::open(ns, way, PORTS, 50_000).unwrap()
}

#[test]
fn a_packet_arrives_with_its_addresses_its_link_and_its_ttl() {
    let pair = Pair::new();
    ip(&pair.left, "address add fe80::1:1/64 dev va nodad");
    ip(&pair.right, "address add fe80::1:2/64 dev vb nodad");
    ip(&pair.left, "address add 10.0.0.9/24 dev va");
    let vb = index(&pair.right, "vb");
    let v4 = Receiver::open(&pair.right, false, 3784).unwrap();
    let v6 = Receiver::open(&pair.right, true, 3784).unwrap();
    for (receiver, remote, local, link, source) in [
        (&v4, "10.0.0.2", None, None, "10.0.0.1"),
        (&v4, "10.0.0.2", Some("10.0.0.9"), None, "10.0.0.9"),
        (&v4, "10.0.0.2", None, Some("va"), "10.0.0.1"),
        (&v6, "fd00::2", None, None, "fd00::1"),
        (&v6, "fe80::1:2", Some("fe80::1:1"), Some("va"), "fe80::1:1"),
    ] {
        let sender = opened(&pair.left, &way(remote, local, link));
        assert_eq!(carried(&sender, receiver), (source.to_owned(), remote.to_owned(), vb, 255));
        assert!(PORTS.contains(&sender.local().unwrap().port()));
        assert_eq!(sender.link(), link.map(|_| pair.link));
    }
    assert!(Receiver::open(&pair.right, false, 3784).is_err(), "one daemon per namespace");
}

#[test]
fn every_sender_has_a_port_of_its_own() {
    let pair = Pair::new();
    let one = opened(&pair.left, &way("10.0.0.2", None, None));
    let two = opened(&pair.left, &way("10.0.0.2", None, None));
    let last = Sender::open(&pair.left, &way("10.0.0.2", None, None), 50_000..=50_001, 50_001);
    assert_eq!((one.local().unwrap().port(), two.local().unwrap().port()), (50_000, 50_001));
    assert_eq!(last.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn an_address_that_is_not_there_yet_can_be_a_source_and_a_link_cannot() {
    let pair = Pair::new();
    let early = opened(&pair.left, &way("10.0.0.2", Some("10.0.0.77"), None));
    let receiver = Receiver::open(&pair.right, false, 3784).unwrap();
    ip(&pair.left, "address add 10.0.0.77/24 dev va");
    assert_eq!(carried(&early, &receiver).0, "10.0.0.77");
    assert!(Sender::open(&pair.left, &way("10.0.0.2", None, Some("none")), PORTS, 50_000).is_err());
}

/// The policy of the calling thread, as the kernel shows it.
fn policy() -> String {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // Field 41 of proc(5); the name in field 2 is without spaces here.
    stat.split_whitespace().nth(40).unwrap().to_owned()
}

#[test]
fn a_raised_thread_is_scheduled_first_and_its_threads_are_not() {
    let (own, child) = std::thread::Builder::new()
        .name("raised".into())
        .spawn(move || {
            kernel::priority::raise().expect("root may raise its threads");
            let child = std::thread::Builder::new().name("child".into()).spawn(policy).unwrap().join().unwrap();
            (policy(), child)
        })
        .unwrap()
        .join()
        .unwrap();
    assert_eq!((own.as_str(), child.as_str()), ("2", "0"), "SCHED_RR and SCHED_OTHER");
}

#[test]
fn a_thread_whose_work_can_wait_says_so_and_may_change_its_mind() {
    fn nice() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }
    let child =
        || std::thread::Builder::new().name("child".into()).spawn(|| (policy(), nice())).unwrap().join().unwrap();
    let seen = std::thread::Builder::new()
        .name("patient".into())
        .spawn(move || {
            kernel::priority::let_others_first().unwrap();
            let patient = (policy(), nice());
            kernel::priority::answer_soon().unwrap();
            [patient, (policy(), nice()), child()]
        })
        .unwrap()
        .join()
        .unwrap();
    let own = nice();
    let expected = [("3".to_owned(), own), ("0".to_owned(), -5), ("0".to_owned(), -5)];
    assert_eq!(seen, expected, "SCHED_BATCH, then SCHED_OTHER, for its threads as well");
}
