//! The whole router on one thread, without I/O: a table comes in, is decided on, goes out, and moves to other next hops.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing benchmark
#![allow(clippy::disallowed_methods)] // a benchmark is the driver, whose clock it is

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use engine::intent::{Multipath, PeerIntent, RemoteAs, Role};
use engine::{Action, ConnId, Engine, Event, Family, Intent, Link, UnderlyingRoute};
use ipnet::{IpNet, Ipv4Net};
use wire::{Capability, MAX_LEN, NextHop, Open, attr_code, flag, write_attribute};

/// Routes of the table, and how many share attributes.
const ROUTES: u32 = 60_000;
const SHARE: u32 = 6;
const OWN_AS: u32 = 64514;
/// Fabric peers come first, the host's is the last.
const FABRIC: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::new(192, 0, 2, 3)];
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// What a reader hands over at once.
const CHUNK: usize = 64 << 10;

fn main() {
    divan::main();
}

struct Router {
    engine: Engine,
    now: Instant,
}

impl Router {
    /// Sessions are up with two fabric peers and a host; `fib` makes next hops count.
    fn new(fib: bool) -> Self {
        let now = Instant::now();
        let mut peers = BTreeMap::new();
        for address in FABRIC.into_iter().chain([HOST]) {
            let (role, asn) = if address == HOST { (Role::Host, 64515) } else { (Role::Fabric, 64512) };
            let mut peer = PeerIntent::new(address.to_string(), role, RemoteAs::Number(asn), vec![Family::Ipv4Unicast]);
            peer.passive = true;
            peers.insert(IpAddr::V4(address), peer);
        }
        let intent = Intent {
            asn: OWN_AS,
            router_id: Ipv4Addr::new(192, 0, 2, 1),
            peers,
            unnumbered: BTreeMap::new(),
            ranges: Vec::new(),
            listen_limit: 1,
            networks: Vec::new(),
            multipath: Multipath::default(),
            prefer_oldest: false,
            host_routes: None,
            cluster_id: None,
            fib,
            advertise_after_fib: false,
        };
        let mut router = Self { engine: Engine::new(1, now), now };
        router.link(true);
        router.tell(Event::Intent(Box::new(intent)));
        for (number, address) in (1..).zip(FABRIC.into_iter().chain([HOST])) {
            let (conn, asn) = (ConnId::Accepted(number), if address == HOST { 64515 } else { 64512 });
            let (local, remote) = (([192, 0, 2, 1], 179).into(), (address, 40_000).into());
            router.tell(Event::Accepted { conn, local, remote, link: None });
            let capabilities =
                vec![Capability::MultiProtocol(Family::Ipv4Unicast.code()), Capability::FourOctetAs(asn)];
            let mut hello = Vec::new();
            Open { asn, hold_time: 0, router_id: address, capabilities }.encode(&mut hello);
            wire::encode_keepalive(&mut hello);
            router.tell(Event::Bytes { conn, data: hello.into() });
            router.drain();
        }
        router
    }

    fn tell(&mut self, event: Event) {
        self.engine.handle(self.now, event);
    }

    /// The one link, by its first index or, moved, by another.
    fn link(&mut self, first: bool) {
        let index = if first { 1 } else { 2 };
        let net: IpNet = "192.0.2.1/24".parse().unwrap();
        let link = Link { index, name: "eth1".to_owned(), up: true, addresses: vec![net] };
        self.tell(Event::Links(vec![link]));
        let route = UnderlyingRoute { prefix: net.trunc(), gateway: None, link: index, metric: 0 };
        self.tell(Event::Underlying(vec![route]));
    }

    /// Octets of fabric peer `from`, as a reader hands them over.
    fn hear(&mut self, from: u32, table: &[Bytes]) {
        for chunk in table {
            self.tell(Event::Bytes { conn: ConnId::Accepted(from + 1), data: chunk.clone() });
            while let Some(action) = self.engine.poll_action() {
                assert!(!matches!(action, Action::Close(_)), "the session ended");
            }
        }
    }

    /// Everything that is to be said; octets for the host.
    fn drain(&mut self) -> usize {
        let mut octets = 0;
        for number in 1..=FABRIC.len() as u32 + 1 {
            while let Some(bytes) = self.engine.poll_transmit(ConnId::Accepted(number)) {
                octets += bytes.len();
            }
        }
        octets
    }

    /// Carries out what the kernel is to do; how many changes that was.
    fn install(&mut self) -> usize {
        let mut changes = 0;
        loop {
            while let Some(batch) = self.engine.poll_fib() {
                changes += batch.routes.len() + batch.groups.len();
                let (failed, failed_groups, degraded_groups) = (Vec::new(), Vec::new(), Vec::new());
                self.tell(Event::FibAck { id: batch.id, failed, failed_groups, degraded_groups });
            }
            match self.engine.poll_timeout() {
                Some((at, _)) if at <= self.now => self.engine.handle_timeout(self.now),
                Some(_) | None => return changes,
            }
        }
    }
}

/// A table as fabric peer `from` sends it.
fn table(from: usize) -> Vec<Bytes> {
    let mut stream = Vec::new();
    let numbers = |list: &[u32]| list.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>();
    for set in 0..ROUTES / SHARE {
        let mut attributes = Vec::new();
        write_attribute(&mut attributes, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
        let path = [&[2, 4][..], &numbers(&[64512, 3000 + set % 40, 10_000 + set, 200_000 + set])].concat();
        write_attribute(&mut attributes, flag::TRANSITIVE, attr_code::AS_PATH, &path);
        let communities = numbers(&[(3000 << 16) + set % 4000, (3001 << 16) + set % 4000]);
        write_attribute(&mut attributes, flag::OPTIONAL | flag::TRANSITIVE, attr_code::COMMUNITIES, &communities);
        let first = 0x0100_0000 + set * SHARE * 256;
        let prefixes = (0..SHARE).map(|i| IpNet::from(Ipv4Net::new_assert(Ipv4Addr::from(first + i * 256), 24)));
        let next_hop = NextHop::V4(FABRIC[from]);
        wire::encode_reach(&mut stream, MAX_LEN, &attributes, &next_hop, Family::Ipv4Unicast, prefixes);
    }
    stream.chunks(CHUNK).map(Bytes::copy_from_slice).collect()
}

/// A first table: decoded, interned, inserted, decided, marked for the host.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn insert(bencher: Bencher<'_, '_>) {
    let table = table(0);
    bencher.counter(ItemsCount::new(ROUTES)).with_inputs(|| Router::new(false)).bench_local_values(|mut router| {
        router.hear(0, &table);
        router
    });
}

/// The same table from a second peer: every prefix is decided between two paths.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn decide(bencher: Bencher<'_, '_>) {
    let (first, second) = (table(0), table(1));
    let filled = || {
        let mut router = Router::new(false);
        router.hear(0, &first);
        router.drain();
        router
    };
    bencher.counter(ItemsCount::new(ROUTES)).with_inputs(filled).bench_local_values(|mut router| {
        router.hear(1, &second);
        router
    });
}

/// What the host is told of a full table: attributes rewritten, prefixes packed, messages encoded.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn pack(bencher: Bencher<'_, '_>) {
    let table = table(0);
    let filled = || {
        let mut router = Router::new(false);
        router.hear(0, &table);
        router
    };
    bencher.counter(ItemsCount::new(ROUTES)).with_inputs(filled).bench_local_values(|mut router| {
        assert!(router.drain() > ROUTES as usize * 4);
        router
    });
}

/// Every next hop moves to another link: until the kernel has been told all of it.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn next_hop_change(bencher: Bencher<'_, '_>) {
    let table = table(0);
    let filled = || {
        let mut router = Router::new(true);
        router.hear(0, &table);
        assert!(router.install() > ROUTES as usize);
        router.drain();
        router
    };
    bencher.counter(ItemsCount::new(ROUTES)).with_inputs(filled).bench_local_values(|mut router| {
        router.link(false);
        black_box(router.install());
        router
    });
}
