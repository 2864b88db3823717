//! One hostile peer beside three that behave: they lose no session and hardly any time, the process lives within bounds, and
//! the operator can read who it was.
//!
//! Each test is a [`Scene`]: how long a route takes from one good speaker to the other two is measured undisturbed first,
//! and then beside the hostile one, for longer than the good ones' hold time of three seconds.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bytes::{self, OPEN, UPDATE};
use crate::lab::{Lab, PEER_ASN, host, neighbor};
use crate::peer::{Peer, Seen, dial, reset, usual};
use crate::speaker::Speaker;
use crate::support::wait_until;

/// Latency is compared, so that no two of these may share the machine's cores.
static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no flood runs, and keeps others back: for tests of what happens when.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Number of the hostile address, a configured neighbour. Those of the range of strangers lie from [`RANGE`] on.
const HOSTILE: u16 = 0x900;
const RANGE: u16 = 0x1000;
const HOLD: u16 = 3;
const CALM_ROUNDS: usize = 30;
/// How long it is disturbed: longer than the hold time, so that a session that was starved is lost.
const DISTURBED: Duration = Duration::from_secs(4);
/// As much slower a route may be: both factor and floor are generous, because a busy machine is not a hostile peer.
const SLOWER: u32 = 20;
/// What nobody can notice; the undisturbed latency is a fraction of a millisecond.
const FLOOR: Duration = Duration::from_millis(250);
/// A third of the hold time: the interval of KEEPALIVEs.
const SLOWEST: Duration = Duration::from_secs(HOLD as u64 / 3);
/// What queues may hold in KiB: batches for the FIB and for peers, doubled for what the allocator keeps.
const QUEUES: u64 = 2 * 2 * 16 * 256;
/// Per connection, in KiB: a message that has not come whole, and what is to be written.
const CONNECTION: u64 = 2 * 256;
/// Per route, in KiB: path, attributes, what is pending for each peer.
const ROUTE: u64 = 1;
/// Lines of the log in a scene, whatever the hostile peer does.
const LINES: usize = 100;
/// And more for every address that it has.
const LINES_EACH: usize = 3;

struct Scene {
    lab: Lab,
    good: Vec<Speaker>,
    calm: Vec<Duration>,
    memory: u64,
    /// The hostile peer has not yet begun.
    preparing: AtomicBool,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    /// Three good speakers, and the hostile address with these options in the file.
    fn new(hostile: &str) -> Self {
        let alone = alone();
        // Who measures waits for the router, not for a processor; what is started from here is ordinary.
        kernel::priority::raise().unwrap();
        let short = format!(", holdTimeSeconds: {HOLD}, keepaliveTimeSeconds: 1");
        let good: String = (1..=3).map(|number| neighbor(number, &short)).collect();
        let range =
            "  - {name: strangers, listenRange: 10.10.16.0/20, type: External, addressFamilies: [ipv4unicast]}\n";
        let lab = Lab::new(&format!("{good}{}{range}", neighbor(HOSTILE, hostile)));
        let good: Vec<Speaker> =
            (1..=3).map(|number| Speaker::start(&lab, number, PEER_ASN, HOLD).established()).collect();
        let calm = (0..CALM_ROUNDS).map(|round| latency(&good, round)).collect();
        let memory = lab.memory("VmHWM");
        Self { lab, good, calm, memory, preparing: AtomicBool::new(false), _alone: alone }
    }

    /// Lets `hostile` do its worst until the flag is set, and checks what must hold. `routes` and `connections` are how many
    /// it may have at most.
    fn endures(&self, routes: u64, connections: u64, hostile: impl FnOnce(&Lab, &AtomicBool) + Send) {
        let over = AtomicBool::new(false);
        let disturbed: Vec<Duration> = std::thread::scope(|scope| {
            scope.spawn(|| hostile(&self.lab, &over));
            let _ended = SetOnDrop(&over);
            let mut begin = Instant::now();
            let mut lasts = |round: &usize| {
                if self.preparing.load(Ordering::Relaxed) {
                    begin = Instant::now();
                }
                *round < CALM_ROUNDS || begin.elapsed() < DISTURBED
            };
            (0..).take_while(|round| lasts(round)).map(|round| latency(&self.good, round)).collect()
        });
        let (calm, slow) = (typical(&self.calm), typical(&disturbed));
        let peak = self.lab.memory("VmHWM");
        let lines = self.lab.log().lines().count();
        eprintln!("latency {calm:?} -> {slow:?}, memory {} -> {peak} KiB, {lines} lines", self.memory);
        for speaker in &self.good {
            assert_eq!(speaker.ended(), None, "a session was lost");
            assert_eq!(self.lab.peer(speaker.number)["flaps"], 0);
        }
        assert!(slow <= (calm * SLOWER).max(FLOOR), "{calm:?} -> {slow:?}");
        assert!(slow <= SLOWEST, "{slow:?}");
        let bound = self.memory + QUEUES + CONNECTION * connections + ROUTE * routes;
        assert!(peak <= bound, "{peak} KiB > {bound} KiB");
        let addresses = usize::try_from(connections).unwrap();
        assert!(lines <= LINES + LINES_EACH * addresses, "{lines} lines:\n{}", self.lab.log());
        // And a new peer is served.
        let late = Speaker::start(&self.lab, RANGE + 0x800, PEER_ASN, 90).established();
        self.good[0].announce([10, 77, 0, 0].into());
        late.wait_for([10, 77, 0, 0].into());
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn running(over: &AtomicBool) -> bool {
    !over.load(Ordering::Relaxed)
}

/// How long a route takes from one speaker to the other two, there and away again.
fn latency(good: &[Speaker], round: usize) -> Duration {
    let prefix = Ipv4Addr::new(10, 66, (round % 256) as u8, 0);
    let (from, to) = (&good[round % 3], [&good[(round + 1) % 3], &good[(round + 2) % 3]]);
    let begin = Instant::now();
    from.announce(prefix);
    to.iter().for_each(|speaker| speaker.wait_for(prefix));
    from.withdraw(prefix);
    to.iter().for_each(|speaker| speaker.wait_gone(prefix));
    begin.elapsed() / 2
}

/// The latency in the middle of the time that was measured, not of the samples: in a quiet moment there are many of them.
fn typical(samples: &[Duration]) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort();
    let half = sorted.iter().sum::<Duration>() / 2;
    let mut sum = Duration::ZERO;
    let reached = |sample: &&Duration| {
        sum += **sample;
        sum >= half
    };
    sorted.iter().find(reached).copied().unwrap_or_default()
}

/// Numbers that look random and are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Writes as much as is taken until it is over. Returns false when the connection broke.
fn pour(stream: &mut TcpStream, bytes: &[u8], over: &AtomicBool) -> bool {
    stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut rest = bytes;
    while !rest.is_empty() && running(over) {
        match stream.write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Prefixes for the hostile peer: 11.0.0.0/24 and so on.
fn foreign(number: u32) -> Ipv4Addr {
    Ipv4Addr::from((11 << 24) + (number << 8))
}

#[test]
fn one_that_floods_with_good_updates() {
    const ROUTES: u32 = 1000;
    let scene = Scene::new("");
    scene.endures(ROUTES.into(), 1, |lab, over| {
        let attributes =
            |med: u8| [bytes::mandatory(PEER_ASN, host(HOSTILE)), bytes::attribute(0x80, 4, &[0, 0, 0, med])].concat();
        let round = |med| (0..ROUTES).flat_map(move |number| bytes::announce(&attributes(med), foreign(number)));
        let flood: Vec<u8> = round(1).chain(round(2)).collect();
        let mut peer = Peer::established(lab, HOSTILE, &usual(HOSTILE));
        while running(over) {
            assert!(pour(&mut peer.stream, &flood, over), "the session was lost");
        }
    });
    let seen = scene.lab.peer(HOSTILE);
    assert!(seen["messages_received"]["update"].as_u64() > Some(10_000), "it was a flood: {seen:#}");
}

#[test]
fn one_that_sends_other_attributes_every_time() {
    let scene = Scene::new("");
    let sent = std::sync::atomic::AtomicU64::new(0);
    scene.endures(100, 1, |lab, over| {
        let mut peer = Peer::established(lab, HOSTILE, &usual(HOSTILE));
        let mandatory = bytes::mandatory(PEER_ASN, host(HOSTILE));
        let mut number = 0_u32;
        while running(over) {
            let mut some = Vec::new();
            for _ in 0..1000 {
                number += 1;
                let large = [0x1234_5678_u32.to_be_bytes(), number.to_be_bytes(), [0; 4]].concat();
                let attributes = [mandatory.clone(), bytes::attribute(0xc0, 32, &large)].concat();
                some.extend(bytes::announce(&attributes, foreign(number % 100)));
            }
            assert!(pour(&mut peer.stream, &some, over), "the session was lost");
            sent.store(number.into(), Ordering::Relaxed);
        }
    });
    let sent = sent.into_inner();
    assert!(sent > 10_000, "many sets were sent: {sent}");
}

#[test]
fn one_that_sends_garbage_and_comes_back_at_once() {
    for number in [HOSTILE, RANGE] {
        let scene = Scene::new("");
        scene.endures(10, 3, |lab, over| {
            let mut random = Random(0x5EED_0BAD);
            let update = bytes::announce(&bytes::mandatory(PEER_ASN, host(number)), foreign(1));
            while running(over) {
                let Ok(stream) = dial(&lab.outside, host(number)) else { continue };
                let mut peer = Peer::over(stream);
                let mut talk = [usual(number).message(), bytes::keepalive(), update.repeat(5)].concat();
                for _ in 0..=random.below(6) {
                    let at = random.below(talk.len());
                    talk[at] = random.next() as u8;
                }
                let _ = peer.stream.write_all(&talk);
                if random.below(2) == 0 {
                    reset(peer.stream);
                }
            }
        });
        assert!(scene.lab.log().contains(&host(number).to_string()), "{}", scene.lab.log());
    }
}

#[test]
fn one_that_comes_and_goes_as_fast_as_it_can() {
    for number in [HOSTILE, RANGE] {
        let scene = Scene::new("");
        let flaps = std::sync::atomic::AtomicU64::new(0);
        scene.endures(10, 3, |lab, over| {
            while running(over) {
                let Ok(stream) = dial(&lab.outside, host(number)) else { continue };
                let mut peer = Peer::over(stream);
                let greeting = [usual(number).message(), bytes::keepalive()].concat();
                if peer.stream.write_all(&greeting).is_ok() {
                    flaps.fetch_add(u64::from(peer.next() != Seen::Closed), Ordering::Relaxed);
                }
            }
        });
        assert!(flaps.into_inner() > 20, "it came and went");
        assert!(scene.lab.log().contains(&host(number).to_string()), "{}", scene.lab.log());
        if number == HOSTILE {
            assert!(scene.lab.peer(number)["flaps"].as_u64() > Some(5), "{:#}", scene.lab.peer(number));
        }
    }
}

#[test]
fn one_that_never_reads() {
    const ROUTES: u32 = 5000;
    let scene = Scene::new("");
    scene.endures(u64::from(ROUTES), 3, |lab, over| {
        let mut deaf = Peer::established(lab, HOSTILE, &usual(HOSTILE));
        // Another one changes the whole table again and again.
        let mut busy = Peer::established(lab, RANGE, &usual(RANGE));
        let mut witness = Peer::established(lab, RANGE + 1, &usual(RANGE + 1));
        let last = format!("{}/24", foreign(ROUTES - 1));
        let attributes = bytes::mandatory(PEER_ASN, host(RANGE));
        let blocks = |part: fn(&[u8], &[u8]) -> Vec<u8>| -> Vec<u8> {
            let prefixes: Vec<Vec<u8>> = (0..ROUTES).map(|number| bytes::slash24(foreign(number))).collect();
            prefixes.chunks(500).flat_map(|some| bytes::message(UPDATE, &part(&attributes, &some.concat()))).collect()
        };
        let there = blocks(|attributes, prefixes| bytes::update_body(&[], attributes, prefixes));
        let gone = blocks(|_, prefixes| bytes::update_body(prefixes, &[], &[]));
        while running(over) {
            // Each change has arrived everywhere else before the next one.
            busy.send(&there);
            witness.announcement(&last);
            busy.send(&gone);
            witness.withdrawal(&last);
            assert!(pour(&mut deaf.stream, &bytes::keepalive(), over), "it is alive and keeps its session");
        }
    });
}

#[test]
fn one_with_five_hundred_connections() {
    let scene = Scene::new("");
    scene.preparing.store(true, Ordering::Relaxed);
    scene.endures(0, 500, |lab, over| {
        let mut open = Vec::new();
        for number in 0..500 {
            let mut peer = Peer::dial(lab, RANGE + number);
            // Some say nothing, some half of an OPEN, some all of it, some are peers.
            match number % 4 {
                0 => {}
                1 => peer.send(&usual(RANGE + number).message()[..30]),
                2 => peer.send(&usual(RANGE + number).message()),
                _ => peer.send(&[usual(RANGE + number).message(), bytes::keepalive()].concat()),
            }
            open.push(peer);
        }
        scene.preparing.store(false, Ordering::Relaxed);
        wait_until("it is over", || !running(over));
    });
}

#[test]
fn one_that_never_ends_a_message() {
    let scene = Scene::new("");
    scene.endures(0, 2, |lab, over| {
        let update = bytes::with_length(UPDATE, 4096, &[0; 4000]);
        while running(over) {
            let Ok(stream) = dial(&lab.outside, host(HOSTILE)) else { continue };
            let mut peer = Peer::over(stream);
            let greeting = [usual(HOSTILE).message(), bytes::keepalive()].concat();
            // Refused as long as the one before is not forgotten.
            if peer.stream.write_all(&greeting).is_err() || !matches!(peer.next(), Seen::Message(OPEN, _)) {
                continue;
            }
            for octet in &update {
                if !running(over) || peer.stream.write_all(&[*octet]).is_err() {
                    break;
                }
            }
        }
    });
}

#[test]
fn one_that_announces_two_hundred_thousand_prefixes_beyond_its_limit() {
    const LIMIT: u64 = 1000;
    let limit = format!(", maxPrefixes: [{{type: ipv4unicast, limit: {LIMIT}, action: Teardown}}]");
    let scene = Scene::new(&limit);
    scene.endures(LIMIT + 1000, 1, |lab, over| {
        let attributes = bytes::mandatory(PEER_ASN, host(HOSTILE));
        let prefixes: Vec<Vec<u8>> = (0..200_000).map(|number| bytes::slash24(foreign(number))).collect();
        let all: Vec<u8> = prefixes
            .chunks(1000)
            .flat_map(|some| bytes::message(UPDATE, &bytes::update_body(&[], &attributes, &some.concat())))
            .collect();
        while running(over) {
            let Ok(stream) = dial(&lab.outside, host(HOSTILE)) else { continue };
            let mut peer = Peer::over(stream);
            let _ = peer.stream.write_all(&[usual(HOSTILE).message(), bytes::keepalive()].concat());
            pour(&mut peer.stream, &all, over);
        }
    });
    let log = scene.lab.log();
    assert!(log.contains("more than the 1000 it may"), "{log}");
    assert!(log.contains("refused: it announced too many prefixes"), "{log}");
    let said = scene.lab.peer(HOSTILE)["last_error"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("Maximum Number of Prefixes"), "{said}");
}
