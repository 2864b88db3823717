//! A simulator: several engines, a virtual clock, links that delay, split, break and fall silent.
//!
//! Everything is driven by one seeded queue of events, so a run is repeated exactly by its seed. Bytes arrive in
//! random segments and in order, as TCP delivers them; loss is a connection that breaks or falls silent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::intent::{Intent, Multipath, Network, PeerIntent, RemoteAs, Role};
use engine::snapshot::{PeerSnapshot, PeerState};
use engine::{Action, ConnId, Engine, Event, GroupChange, Hop, Link, RouteQuery, RouteView, Select};
use ipnet::IpNet;
use wire::Family;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The kernel of a node, as far as it is told.
#[derive(Debug, Default)]
pub(crate) struct Fib {
    pub(crate) groups: BTreeMap<u32, Vec<Hop>>,
    pub(crate) routes: BTreeMap<IpNet, u32>,
    pub(crate) swept: bool,
    pub(crate) messages: usize,
}

pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) fib: Fib,
    pub(crate) notes: Vec<String>,
    pub(crate) links: Vec<Link>,
    /// Bytes sent, for tests of what is not said twice.
    pub(crate) sent: usize,
    /// Connections that nobody reads from.
    pub(crate) stalled: bool,
    accepted: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct End {
    node: usize,
    conn: ConnId,
}

pub(crate) struct Sim {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    pending: BTreeMap<u64, Event>,
    sequence: u64,
    pipes: BTreeMap<End, End>,
    /// When the last byte in a direction arrives: nothing overtakes it.
    arrivals: BTreeMap<End, Instant>,
    /// Pairs of nodes between which everything is lost.
    silent: Vec<(usize, usize)>,
    random: u64,
    /// Most bytes in a segment.
    pub(crate) segment: usize,
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: epoch(),
            nodes: Vec::new(),
            queue: BinaryHeap::new(),
            pending: BTreeMap::new(),
            sequence: 0,
            pipes: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            silent: Vec::new(),
            random: seed.wrapping_mul(2).wrapping_add(0x1234_5678_9ABC_DEF1),
            segment: 4096,
        }
    }

    pub(crate) fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    /// Adds a node with these links, each with an index from 1, and its configuration.
    pub(crate) fn add(&mut self, links: &[(&str, &[&str])], intent: Intent) -> usize {
        let links = links.iter().zip(1..).map(|((name, addresses), index)| Link {
            index,
            name: (*name).into(),
            up: true,
            addresses: addresses.iter().map(|address| address.parse().expect("an address with its length")).collect(),
        });
        let links: Vec<Link> = links.collect();
        let seed = self.random(u64::MAX);
        let mut engine = Engine::new(seed, self.now);
        engine.handle(self.now, Event::Links(links.clone()));
        engine.handle(self.now, Event::Intent(Box::new(intent)));
        let node = Node { engine, fib: Fib::default(), notes: Vec::new(), links, sent: 0, stalled: false, accepted: 0 };
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(crate) fn tell(&mut self, node: usize, event: Event) {
        let now = self.now;
        self.nodes[node].engine.handle(now, event);
        self.drain(node);
    }

    pub(crate) fn configure(&mut self, node: usize, intent: Intent) {
        self.tell(node, Event::Intent(Box::new(intent)));
    }

    pub(crate) fn set_link(&mut self, node: usize, name: &str, up: bool) {
        for link in &mut self.nodes[node].links {
            if link.name == name {
                link.up = up;
            }
        }
        let links = self.nodes[node].links.clone();
        self.tell(node, Event::Links(links));
    }

    /// Everything between two nodes is lost from now on, without anybody being told.
    pub(crate) fn silence(&mut self, a: usize, b: usize) {
        self.silent.push((a, b));
    }

    pub(crate) fn heal(&mut self) {
        self.silent.clear();
    }

    /// Breaks every connection between two nodes: both ends are told.
    pub(crate) fn reset(&mut self, a: usize, b: usize) {
        let broken: Vec<(End, End)> = self.pipes.iter().map(|(from, to)| (*from, *to)).collect();
        for (from, to) in broken {
            if (from.node, to.node) == (a, b) || (from.node, to.node) == (b, a) {
                self.pipes.remove(&from);
                self.tell(from.node, Event::Closed { conn: from.conn, error: Some("connection reset".into()) });
            }
        }
    }

    fn post(&mut self, at: Instant, node: usize, event: Event) {
        self.sequence += 1;
        self.pending.insert(self.sequence, event);
        self.queue.push(Reverse((at, self.sequence, node)));
    }

    fn owner(&self, address: IpAddr) -> Option<(usize, SocketAddr)> {
        let has = |node: &Node| {
            node.links.iter().any(|link| link.up && link.addresses.iter().any(|net| net.addr() == address))
        };
        let node = self.nodes.iter().position(has)?;
        Some((node, SocketAddr::new(address, 179)))
    }

    /// The address of `node` on the network of `remote`.
    fn source(&self, node: usize, remote: IpAddr) -> Option<IpAddr> {
        let addresses = self.nodes[node].links.iter().filter(|link| link.up).flat_map(|link| &link.addresses);
        addresses.into_iter().find(|net| net.contains(&remote)).map(IpNet::addr)
    }

    fn is_silent(&self, a: usize, b: usize) -> bool {
        self.silent.contains(&(a, b)) || self.silent.contains(&(b, a))
    }

    /// Carries out what a node asks for.
    fn drain(&mut self, node: usize) {
        loop {
            let mut idle = true;
            while let Some(action) = self.nodes[node].engine.poll_action() {
                idle = false;
                self.act(node, action);
            }
            while let Some(batch) = self.nodes[node].engine.poll_fib() {
                idle = false;
                let fib = &mut self.nodes[node].fib;
                fib.messages += batch.groups.len() + batch.routes.len();
                fib.swept |= batch.sweep;
                for change in &batch.groups {
                    if let GroupChange::Set(id, hops) = change {
                        assert!(!hops.is_empty(), "an empty group cannot exist in the kernel");
                        fib.groups.insert(id.0, hops.clone());
                    }
                }
                for change in &batch.routes {
                    match change.group {
                        Some(group) => {
                            assert!(fib.groups.contains_key(&group.0), "route {} without its group", change.prefix);
                            fib.routes.insert(change.prefix, group.0);
                        }
                        None => {
                            fib.routes.remove(&change.prefix);
                        }
                    }
                }
                for change in &batch.groups {
                    if let GroupChange::Delete(id) = change {
                        assert!(!fib.routes.values().any(|group| *group == id.0), "group deleted under its routes");
                        fib.groups.remove(&id.0);
                    }
                }
                let ack = Event::FibAck {
                    id: batch.id,
                    failed: Vec::new(),
                    failed_groups: Vec::new(),
                    degraded_groups: Vec::new(),
                };
                self.post(self.now + MS, node, ack);
            }
            if idle {
                return;
            }
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Dial { conn, dial } => self.dial(node, conn, dial.remote),
            Action::Transmit(conn) => self.transmit(node, conn),
            Action::Close(conn) => {
                self.transmit(node, conn);
                let from = End { node, conn };
                if let Some(to) = self.pipes.remove(&from) {
                    let at = self.arrival(from);
                    // The other end's own closing finds no pipe any more.
                    if self.pipes.remove(&to).is_some() && !self.is_silent(node, to.node) {
                        self.post(at, to.node, Event::Closed { conn: to.conn, error: None });
                    }
                }
            }
            Action::Admit(_) => {}
            Action::ClearFib => self.nodes[node].fib = Fib::default(),
            Action::Note(note) => self.nodes[node].notes.push(note.text),
        }
    }

    fn dial(&mut self, node: usize, conn: ConnId, remote: SocketAddr) {
        let latency = MS * (1 + self.random(5) as u32);
        let target = self.owner(remote.ip()).filter(|(other, _)| !self.is_silent(node, *other));
        let (Some((other, _)), Some(local)) = (target, self.source(node, remote.ip())) else {
            let error = Some("connection timed out".to_string());
            return self.post(self.now + SECOND * 3, node, Event::Closed { conn, error });
        };
        let local = SocketAddr::new(local, 40000 + self.random(1000) as u16);
        self.nodes[other].accepted += 1;
        let accepted = ConnId::Accepted(self.nodes[other].accepted);
        let (here, there) = (End { node, conn }, End { node: other, conn: accepted });
        self.pipes.insert(here, there);
        self.pipes.insert(there, here);
        self.post(
            self.now + latency,
            other,
            Event::Accepted { conn: accepted, local: remote, remote: local, link: None },
        );
        self.post(self.now + latency * 2, node, Event::Connected { conn, local });
        self.arrivals.insert(here, self.now + latency * 2);
        self.arrivals.insert(there, self.now + latency * 2);
    }

    fn arrival(&mut self, from: End) -> Instant {
        let latency = MS * (1 + self.random(5) as u32);
        let at = (self.now + latency).max(self.arrivals.get(&from).copied().unwrap_or(self.now));
        self.arrivals.insert(from, at);
        at
    }

    fn transmit(&mut self, node: usize, conn: ConnId) {
        if self.nodes[node].stalled {
            return;
        }
        while let Some(bytes) = self.nodes[node].engine.poll_transmit(conn) {
            self.nodes[node].sent += bytes.len();
            let from = End { node, conn };
            let Some(to) = self.pipes.get(&from).copied() else { continue };
            let mut rest = bytes;
            while !rest.is_empty() {
                let size = 1 + self.random(self.segment.min(rest.len()) as u64) as usize;
                let data: Bytes = rest.split_to(size.min(rest.len()));
                let at = self.arrival(from);
                if !self.is_silent(node, to.node) {
                    self.post(at, to.node, Event::Bytes { conn: to.conn, data });
                }
            }
        }
    }

    /// Lets a stalled node's peers read again.
    pub(crate) fn unstall(&mut self, node: usize) {
        self.nodes[node].stalled = false;
        let ends: Vec<ConnId> = self.pipes.keys().filter(|end| end.node == node).map(|end| end.conn).collect();
        for conn in ends {
            self.transmit(node, conn);
        }
    }

    /// Runs until nothing but timers is left to happen before `limit` from now.
    pub(crate) fn run(&mut self, limit: Duration) {
        let end = self.now + limit;
        for node in 0..self.nodes.len() {
            self.drain(node);
        }
        loop {
            let timers = self.nodes.iter().enumerate();
            let timer = timers.filter_map(|(node, state)| Some((state.engine.poll_timeout()?.0, node))).min();
            let event = self.queue.peek().map(|Reverse((at, _, _))| *at);
            let (at, timed) = match (timer, event) {
                (Some((timer, node)), Some(event)) if timer < event => (timer, Some(node)),
                (_, Some(event)) => (event, None),
                (Some((timer, node)), None) => (timer, Some(node)),
                (None, None) => break,
            };
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            match timed {
                Some(node) => {
                    let now = self.now;
                    self.nodes[node].engine.handle_timeout(now);
                    self.drain(node);
                }
                None => {
                    let Some(Reverse((_, sequence, node))) = self.queue.pop() else { break };
                    if let Some(event) = self.pending.remove(&sequence) {
                        self.tell(node, event);
                    }
                }
            }
        }
        self.now = end;
    }

    pub(crate) fn peer(&self, node: usize, address: &str) -> PeerSnapshot {
        let address: IpAddr = address.parse().expect("an address");
        let snapshot = self.nodes[node].engine.snapshot(self.now);
        snapshot.peers.into_iter().find(|peer| peer.address == address).expect("a configured peer")
    }

    pub(crate) fn established(&self, node: usize, address: &str) -> bool {
        self.peer(node, address).state == PeerState::Established
    }

    pub(crate) fn routes(&self, node: usize, select: Select) -> Vec<RouteView> {
        let list = |family| RouteQuery { family, select: select.clone(), after: None, limit: 100_000 };
        Family::ALL.into_iter().flat_map(|family| self.nodes[node].engine.routes(&list(family))).collect()
    }

    pub(crate) fn route(&self, node: usize, prefix: &str) -> Option<RouteView> {
        let prefix: IpNet = prefix.parse().expect("a prefix");
        self.routes(node, Select::Exact(prefix)).into_iter().next()
    }

    /// The gateways that a prefix is forwarded to.
    pub(crate) fn gateways(&self, node: usize, prefix: &str) -> Vec<String> {
        let fib = &self.nodes[node].fib;
        let Some(group) = fib.routes.get(&prefix.parse().expect("a prefix")) else { return Vec::new() };
        fib.groups[group].iter().map(|hop| hop.gateway.to_string()).collect()
    }
}

pub(crate) fn intent(asn: u32, router_id: &str) -> Intent {
    Intent {
        asn,
        router_id: router_id.parse::<Ipv4Addr>().expect("an identifier"),
        peers: BTreeMap::new(),
        networks: Vec::new(),
        graceful_restart: None,
        unnumbered: BTreeMap::new(),
        host_routes: None,
        ranges: Vec::new(),
        listen_limit: 65_535,
        multipath: Multipath::default(),
        prefer_oldest: false,
        cluster_id: None,
        fib: true,
    }
}

pub(crate) trait With: Sized {
    fn peer(self, address: &str, asn: u32, role: Role) -> Self;
    fn peer_with(self, address: &str, asn: u32, role: Role, change: impl FnOnce(&mut PeerIntent)) -> Self;
    fn network(self, prefix: &str) -> Self;
}

impl With for Intent {
    fn peer(self, address: &str, asn: u32, role: Role) -> Self {
        self.peer_with(address, asn, role, |_| {})
    }

    fn peer_with(mut self, address: &str, asn: u32, role: Role, change: impl FnOnce(&mut PeerIntent)) -> Self {
        let families = vec![Family::Ipv4Unicast, Family::Ipv6Unicast];
        let mut peer = PeerIntent::new(address, role, RemoteAs::Number(asn), families);
        peer.connect_retry = SECOND * 5;
        change(&mut peer);
        self.peers.insert(address.parse().expect("an address"), peer);
        self
    }

    fn network(mut self, prefix: &str) -> Self {
        self.networks.push(Network { prefix: prefix.parse().expect("a prefix"), while_link_up: None });
        self
    }
}

/// Some instant: virtual time starts there, and nothing reads a clock again.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
fn epoch() -> Instant {
    Instant::now()
}
