//! A simulator: several engines, a virtual clock, links that delay, split, break and fall silent.
//!
//! Everything is driven by one seeded queue of events, so a run is repeated exactly by its seed. Bytes arrive in
//! random segments and in order, as TCP delivers them; loss is a connection that breaks or falls silent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::intent::Intent;
use engine::snapshot::{PeerSnapshot, PeerState};
use engine::{Action, ConnId, Engine, Event, Link, RouteQuery, RouteView, Select};
use ipnet::IpNet;
use wire::Family;

pub(crate) use crate::intents::{With, intent};
use crate::kernel::Fib;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What the network and the kernels do to what they are given. Chances are per thousand.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// Longest ordinary delay in milliseconds.
    pub(crate) latency: u64,
    /// Segments that are held up for up to five seconds, with all that come behind them on their connection.
    pub(crate) stalls: u64,
    /// Segments over which their connection breaks.
    pub(crate) breaks: u64,
    /// Segments after which their direction falls silent for good: only a hold timer notices.
    pub(crate) mutes: u64,
    /// Longest time until a FIB batch is acknowledged, in milliseconds.
    pub(crate) fib_delay: u64,
    /// Changes that a kernel refuses.
    pub(crate) refusals: u64,
}

impl Conditions {
    /// A network that is as good as they come.
    pub(crate) const GOOD: Self = Self { latency: 5, stalls: 0, breaks: 0, mutes: 0, fib_delay: 1, refusals: 0 };
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
    pub(crate) intent: Intent,
    accepted: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct End {
    pub(crate) node: usize,
    pub(crate) conn: ConnId,
}

pub(crate) struct Sim {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    pub(crate) pending: BTreeMap<u64, (usize, Event)>,
    sequence: u64,
    ports: u16,
    /// Each end of a connection with the other one.
    pub(crate) pipes: BTreeMap<End, End>,
    /// Ends from which nothing arrives any more.
    pub(crate) muted: BTreeSet<End>,
    /// Ends whose other end is gone without their knowledge, and where it was.
    orphans: BTreeMap<End, usize>,
    /// When the last byte in a direction arrives: nothing overtakes it.
    arrivals: BTreeMap<End, Instant>,
    /// Pairs of nodes between which everything is lost.
    silent: Vec<(usize, usize)>,
    random: u64,
    /// Most bytes in a segment.
    pub(crate) segment: usize,
    pub(crate) conditions: Conditions,
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: epoch(),
            nodes: Vec::new(),
            queue: BinaryHeap::new(),
            pending: BTreeMap::new(),
            sequence: 0,
            ports: 0,
            pipes: BTreeMap::new(),
            muted: BTreeSet::new(),
            orphans: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            silent: Vec::new(),
            random: seed.wrapping_mul(2).wrapping_add(0x1234_5678_9ABC_DEF1),
            segment: 4096,
            conditions: Conditions::GOOD,
        }
    }

    pub(crate) fn random(&mut self, below: u64) -> u64 {
        below_of(&mut self.random, below)
    }

    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.random(1000) < per_mille
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
        let engine = self.engine(&links, &intent);
        let (fib, notes) = (Fib::default(), Vec::new());
        self.nodes.push(Node { engine, fib, notes, links, sent: 0, stalled: false, intent, accepted: 0 });
        self.nodes.len() - 1
    }

    fn engine(&mut self, links: &[Link], intent: &Intent) -> Engine {
        let seed = self.random(u64::MAX);
        let mut engine = Engine::new(seed, self.now);
        engine.handle(self.now, Event::Links(links.to_vec()));
        engine.handle(self.now, Event::Intent(Box::new(intent.clone())));
        engine
    }

    /// The process ends without a word and another one starts: its connections are reset, its routes stay in the kernel
    /// or go (a new namespace).
    pub(crate) fn restart(&mut self, node: usize, keep_fib: bool) {
        let (links, intent) = (self.nodes[node].links.clone(), self.nodes[node].intent.clone());
        self.pending.retain(|_, (to, _)| *to != node);
        let engine = self.engine(&links, &intent);
        let state = &mut self.nodes[node];
        state.engine = engine;
        state.stalled = false;
        if keep_fib {
            state.fib.inherit();
        } else {
            state.fib = Fib::default();
        }
        let own: Vec<(End, End)> =
            self.pipes.iter().filter(|(end, _)| end.node == node).map(|(end, other)| (*end, *other)).collect();
        for (end, other) in own {
            self.pipes.remove(&end);
            self.pipes.remove(&other);
            if self.is_silent(node, other.node) {
                self.orphans.insert(other, node);
            } else {
                let at = self.arrival(end);
                self.post(at, other.node, Event::Closed { conn: other.conn, error: Some("connection reset".into()) });
            }
        }
        self.forget_ends();
        self.drain(node);
    }

    /// What is known of ends that are gone goes.
    fn forget_ends(&mut self) {
        let pipes = &self.pipes;
        self.arrivals.retain(|end, _| pipes.contains_key(end));
        self.muted.retain(|end| pipes.contains_key(end));
    }

    pub(crate) fn tell(&mut self, node: usize, event: Event) {
        let now = self.now;
        self.nodes[node].engine.handle(now, event);
        self.drain(node);
    }

    pub(crate) fn configure(&mut self, node: usize, intent: Intent) {
        self.nodes[node].intent = intent.clone();
        self.tell(node, Event::Intent(Box::new(intent)));
    }

    pub(crate) fn set_link(&mut self, node: usize, name: &str, up: bool) {
        let Node { links, fib, .. } = &mut self.nodes[node];
        for link in links.iter_mut().filter(|link| link.name == name) {
            link.up = up;
            if !up {
                fib.link_down(link.index);
            }
        }
        let links = self.nodes[node].links.clone();
        self.tell(node, Event::Links(links));
    }

    /// Deletes a link and makes it anew.
    pub(crate) fn replace_link(&mut self, node: usize, name: &str) {
        let Node { links, fib, .. } = &mut self.nodes[node];
        let fresh = links.iter().map(|link| link.index).max().unwrap_or_default() + 1;
        let all = links.clone();
        for link in links.iter_mut().filter(|link| link.name == name) {
            fib.link_down(link.index);
            link.index = fresh;
        }
        let (mut without, with) = (all, links.clone());
        without.retain(|link| link.name != name);
        self.tell(node, Event::Links(without));
        self.tell(node, Event::Links(with));
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
        self.forget_ends();
    }

    /// The node's end of every connection is lost, and the other ends are not told: a machine that was switched off.
    pub(crate) fn forget(&mut self, node: usize) {
        self.pipes.retain(|from, to| from.node != node && to.node != node);
    }

    fn post(&mut self, at: Instant, node: usize, event: Event) {
        self.sequence += 1;
        self.pending.insert(self.sequence, (node, event));
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
                let (refusals, random) = (self.conditions.refusals, &mut self.random);
                let ack = self.nodes[node].fib.carry_out(&batch, || below_of(random, 1000) < refusals);
                let delay = 1 + self.random(self.conditions.fib_delay) as u32;
                self.post(self.now + MS * delay, node, ack);
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
                self.orphans.remove(&from);
                if let Some(to) = self.pipes.remove(&from) {
                    let at = self.arrival(from);
                    // The other end's own closing finds no pipe any more.
                    self.pipes.remove(&to);
                    if self.is_silent(node, to.node) || self.muted.contains(&from) {
                        self.orphans.insert(to, node);
                    } else {
                        self.post(at, to.node, Event::Closed { conn: to.conn, error: None });
                    }
                    self.forget_ends();
                }
            }
            Action::Admit(_) | Action::Bfd(_) | Action::Sessions(_) => {}
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
        // Every connection has its own, so that both ends' views can be compared.
        self.ports = self.ports % 20_000 + 1;
        let local = SocketAddr::new(local, 40_000 + self.ports);
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
        let mut latency = MS * (1 + self.random(self.conditions.latency) as u32);
        if self.chance(self.conditions.stalls) {
            latency += MS * self.random(5000) as u32;
        }
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
            let Some(to) = self.pipes.get(&from).copied() else {
                // Nobody is there: the other end says so as soon as it can be reached.
                let gone = self.orphans.get(&from).copied().filter(|other| !self.is_silent(node, *other));
                if gone.is_some() {
                    self.orphans.remove(&from);
                    self.post(self.now + MS, node, Event::Closed { conn, error: Some("connection reset".into()) });
                }
                continue;
            };
            let mut rest = bytes;
            while !rest.is_empty() {
                let size = 1 + self.random(self.segment.min(rest.len()) as u64) as usize;
                let data: Bytes = rest.split_to(size.min(rest.len()));
                let at = self.arrival(from);
                // A stream has no holes: once something is lost, nothing that comes after it arrives.
                if self.is_silent(node, to.node) || self.chance(self.conditions.mutes) {
                    self.muted.insert(from);
                }
                if self.muted.contains(&from) {
                    continue;
                }
                self.post(at, to.node, Event::Bytes { conn: to.conn, data });
                if self.chance(self.conditions.breaks) {
                    for (end, at) in [(from, self.now + MS), (to, at)] {
                        self.pipes.remove(&end);
                        let error = Some("connection reset".into());
                        self.post(at, end.node, Event::Closed { conn: end.conn, error });
                    }
                    self.forget_ends();
                    break;
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
        self.run_watched(limit, |_, _| {});
    }

    /// As [`Self::run`]; `watch` is shown everything after each step, with the node that took it.
    pub(crate) fn run_watched(&mut self, limit: Duration, mut watch: impl FnMut(&Self, usize)) {
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
            let node = match timed {
                Some(node) => {
                    let now = self.now;
                    self.nodes[node].engine.handle_timeout(now);
                    self.drain(node);
                    node
                }
                None => {
                    let Some(Reverse((_, sequence, node))) = self.queue.pop() else { break };
                    let Some((_, event)) = self.pending.remove(&sequence) else { continue };
                    self.tell(node, event);
                    node
                }
            };
            watch(self, node);
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

/// xorshift64.
fn below_of(random: &mut u64, below: u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random % below.max(1)
}

/// Some instant: virtual time starts there, and nothing reads a clock again.
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
fn epoch() -> Instant {
    Instant::now()
}
