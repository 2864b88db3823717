//! Random networks under bad conditions: what must hold after each step, when it is quiet, and at the end.
//!
//! Every run follows from its number, which a failure prints. `SIM_RUNS` in the environment makes them more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use engine::snapshot::{PathView, PeerSnapshot};
use engine::{ConnId, Event, Order, Select};
use ipnet::IpNet;

use crate::sim::{Conditions, End, MS, SECOND, Sim};
use crate::topology::{PREFIXES, Topology, address, any_role, link, prefix, router_id};

/// Says which run failed.
struct Run(&'static str, u64);

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run {} of \"{}\"", self.1, self.0);
        }
    }
}

struct World {
    sim: Sim,
    topology: Topology,
    conditions: Conditions,
}

/// What both sides of a session must agree on.
type Attributes = (Option<IpAddr>, String, &'static str, Option<u32>, Option<u32>, Vec<String>);

fn attributes(view: &PathView) -> Attributes {
    let PathView { next_hop, as_path, origin, med, local_pref, communities, .. } = view;
    (*next_hop, as_path.clone(), origin, *med, *local_pref, communities.clone())
}

fn table(sim: &Sim, node: usize, select: Select) -> BTreeMap<IpNet, Attributes> {
    sim.routes(node, select).into_iter().map(|view| (view.prefix, attributes(&view.paths[0]))).collect()
}

/// Connections that something is still on its way to.
fn busy(sim: &Sim) -> BTreeSet<End> {
    let conn = |event: &Event| match event {
        Event::Bytes { conn, .. }
        | Event::Closed { conn, .. }
        | Event::Connected { conn, .. }
        | Event::Accepted { conn, .. } => Some(*conn),
        _ => None,
    };
    sim.pending.values().filter_map(|(node, event)| Some(End { node: *node, conn: conn(event)? })).collect()
}

/// RIB-Out of one side is RIB-In of the other, once nothing is on its way between the two.
fn agree(sim: &Sim, topology: &Topology, edge: usize) {
    let [one, other] = topology.edges[edge].nodes;
    if sim.nodes[one].stalled || sim.nodes[other].stalled {
        return;
    }
    let busy = busy(sim);
    let lost = |end: &End| busy.contains(end) || sim.muted.contains(end);
    let mut between = sim.pipes.iter().filter(|(from, to)| (from.node, to.node) == (one, other));
    let ending = |(node, event): &(usize, Event)| [one, other].contains(node) && matches!(event, Event::Closed { .. });
    if between.any(|(from, to)| lost(from) || lost(to)) || sim.pending.values().any(ending) {
        return;
    }
    let (at_one, at_other) = (IpAddr::V4(address(edge, 0)), IpAddr::V4(address(edge, 1)));
    let ends = |node: usize, peer: IpAddr| {
        let peers = sim.nodes[node].engine.snapshot(sim.now).peers;
        peers.into_iter().find(|known| known.address == peer).and_then(|known| known.endpoints)
    };
    let Some((local, remote)) = ends(one, at_other) else { return };
    if ends(other, at_one) != Some((remote, local)) {
        return;
    }
    for (from, to, told, heard) in [(one, other, at_other, at_one), (other, one, at_one, at_other)] {
        let said = table(sim, from, Select::Advertised(told));
        let known = table(sim, to, Select::Received(heard));
        assert_eq!(said, known, "RIB-Out of node {from} and RIB-In of node {to} over edge {edge}");
    }
}

/// The kernel forwards what the Loc-RIB says, once it has done what it was told.
fn forwards(sim: &Sim, node: usize) {
    let state = &sim.nodes[node];
    let waiting = sim.pending.values().any(|(to, event)| *to == node && matches!(event, Event::FibAck { .. }));
    let totals = state.engine.snapshot(sim.now).fib;
    if waiting || totals.pending > 0 || totals.failed > 0 || !state.fib.degraded.is_empty() {
        return;
    }
    let mut expected: BTreeMap<IpNet, BTreeSet<IpAddr>> = BTreeMap::new();
    for view in sim.routes(node, Select::All) {
        let used = view.paths.iter().filter(|path| (path.best || path.multipath) && path.peer.is_some());
        let hops: BTreeSet<IpAddr> = used.filter_map(|path| path.next_hop).collect();
        if !hops.is_empty() {
            expected.insert(view.prefix, hops);
        }
    }
    let hops = |group: &u32| state.fib.groups[group].iter().map(|hop| hop.gateway).collect();
    let kernel: BTreeMap<IpNet, BTreeSet<IpAddr>> =
        state.fib.routes.iter().map(|(prefix, group)| (*prefix, hops(group))).collect();
    assert_eq!(kernel, expected, "FIB and Loc-RIB of node {node}");
}

/// What has been looked at already: keepalives come and go without anything to be seen.
#[derive(Default)]
struct Seen(BTreeMap<usize, String>);

impl Seen {
    /// After each step: only what the node touches can have changed.
    fn watch(&mut self, sim: &Sim, topology: &Topology, node: usize) {
        let state = &sim.nodes[node];
        let snapshot = state.engine.snapshot(sim.now);
        let updates = |peer: &PeerSnapshot| (peer.endpoints, peer.received[2], peer.sent[2], peer.families.clone());
        let peers: Vec<_> = snapshot.peers.iter().map(updates).collect();
        let waiting = sim.pending.values().filter(|(to, event)| *to == node && !matches!(event, Event::Bytes { .. }));
        let seen = format!("{peers:?} {:?} {} {}", snapshot.fib, state.fib.messages, waiting.count());
        if self.0.get(&node) != Some(&seen) {
            self.0.insert(node, seen);
            watch_all(sim, topology, node);
        }
    }
}

fn watch_all(sim: &Sim, topology: &Topology, node: usize) {
    for (edge, _) in topology.edges_of(node) {
        agree(sim, topology, edge);
    }
    forwards(sim, node);
}

impl World {
    fn new(run: u64, conditions: Conditions) -> Self {
        let mut sim = Sim::new(run);
        let topology = Topology::random(&mut sim);
        topology.build(&mut sim);
        sim.conditions = conditions.clone();
        Self { sim, topology, conditions }
    }

    fn pass(&mut self, time: std::time::Duration) {
        let (topology, mut seen) = (&self.topology, Seen::default());
        self.sim.run_watched(time, |sim, node| seen.watch(sim, topology, node));
    }

    fn configure(&mut self, node: usize) {
        let intent = self.topology.intent(node);
        self.sim.configure(node, intent);
    }

    fn set_link(&mut self, edge: usize, end: usize, up: bool) {
        let node = self.topology.edges[edge].nodes[end];
        self.sim.set_link(node, &link(edge), up);
        // As the watcher of the kernel does it: Linux took routes along without a word.
        if !up {
            self.sim.nodes[node].fib.inherit();
            self.sim.tell(node, Event::FibLost);
        }
    }

    /// Something happens somewhere.
    fn disturb(&mut self) {
        let Self { sim, topology, .. } = self;
        let node = sim.random(topology.routers.len() as u64) as usize;
        let edge = sim.random(topology.edges.len() as u64) as usize;
        let end = sim.random(2) as usize;
        let [one, other] = topology.edges[edge].nodes;
        match sim.random(20) {
            0..=5 => {
                let number = sim.random(PREFIXES as u64) as usize;
                let networks = &mut topology.routers[node].networks;
                if !networks.remove(&number) {
                    networks.insert(number);
                }
                self.configure(node);
            }
            6 => sim.reset(one, other),
            7 => sim.silence(one, other),
            8 => sim.heal(),
            9 => self.set_link(edge, end, false),
            10 => self.set_link(edge, end, true),
            11 => {
                let keep = sim.chance(500);
                sim.restart(node, keep);
            }
            12 => {
                topology.edges[edge].roles[end] = any_role(sim);
                let node = topology.edges[edge].nodes[end];
                self.configure(node);
            }
            13 => {
                topology.edges[edge].hold = 21 + sim.random(10) as u32;
                self.configure(one);
                self.configure(other);
            }
            14 => {
                let router = &mut topology.routers[node];
                router.max_paths = 1 + sim.random(3) as u16;
                router.reflector = !router.reflector;
                self.configure(node);
            }
            15 => {
                topology.edges[edge].clients[end] = !topology.edges[edge].clients[end];
                let node = topology.edges[edge].nodes[end];
                self.configure(node);
            }
            16 => sim.nodes[node].stalled = true,
            17 => sim.unstall(node),
            18 => {
                let peer = IpAddr::V4(address(edge, 1 - end));
                let node = topology.edges[edge].nodes[end];
                let orders = [Order::Reset { message: None }, Order::RefreshIn, Order::RefreshOut];
                let order = orders[sim.random(3) as usize].clone();
                sim.tell(node, Event::Order { peer, order });
            }
            _ => {
                sim.nodes[node].fib.routes.clear();
                sim.nodes[node].fib.groups.clear();
                sim.nodes[node].fib.degraded.clear();
                sim.tell(node, Event::FibLost);
            }
        }
    }

    /// Everything is repaired, and time passes until nothing is left to happen but keepalives.
    fn settle(&mut self) {
        self.sim.conditions = Conditions::GOOD;
        self.sim.segment = 4096;
        self.sim.heal();
        for edge in 0..self.topology.edges.len() {
            for end in 0..2 {
                self.set_link(edge, end, true);
            }
        }
        for node in 0..self.topology.routers.len() {
            self.sim.unstall(node);
        }
        // RFC 4271 8.2.2: a connection that fell silent before the OPEN is waited for four minutes.
        self.pass(SECOND * 260);
        self.until_quiet();
    }

    fn until_quiet(&mut self) {
        for _ in 0..1000 {
            if self.sim.pending.is_empty() {
                return;
            }
            self.pass(MS * 3);
        }
        panic!("something never ends: {:?}", self.sim.pending.values().next());
    }

    /// A quiet network has no pending work: only keepalives and hold timers.
    fn check_quiet(&mut self) {
        for (node, state) in self.sim.nodes.iter_mut().enumerate() {
            assert_eq!(state.engine.poll_action(), None, "node {node}");
            assert_eq!(state.engine.poll_fib(), None, "node {node}");
            let conns: Vec<ConnId> = self.sim.pipes.keys().filter(|end| end.node == node).map(|end| end.conn).collect();
            for conn in conns {
                assert_eq!(state.engine.poll_transmit(conn), None, "node {node}");
            }
            let (at, why) = state.engine.poll_timeout().expect("sessions have timers");
            assert!(["keepalive", "hold"].contains(&why) && at > self.sim.now, "node {node}: {why}");
            assert!(state.fib.left.is_empty() && state.fib.swept, "node {node} keeps {:?}", state.fib.left);
        }
        for (number, edge) in self.topology.edges.iter().enumerate() {
            for end in 0..2 {
                let peer = self.sim.peer(edge.nodes[end], &address(number, 1 - end).to_string());
                assert!(peer.endpoints.is_some(), "edge {number} is not up: {:?}", peer.last_error);
                assert!(peer.families.iter().all(|family| family.end_of_rib), "edge {number} without End-of-RIB");
            }
        }
        for node in 0..self.topology.routers.len() {
            watch_all(&self.sim, &self.topology, node);
        }
        assert_eq!(self.sim.pipes.len(), self.topology.edges.len() * 2, "a connection for each session");
        assert!(self.sim.muted.is_empty());
    }

    /// Every router uses what a computation from scratch says.
    fn check_model(&self) {
        for (number, used) in self.topology.solve_all().into_iter().enumerate() {
            for (node, expected) in used.into_iter().enumerate() {
                let view = self.sim.route(node, &prefix(number).to_string());
                let best = view.as_ref().and_then(|view| view.paths.iter().find(|path| path.best));
                let found = best.map(|path| (path.peer, path.as_path.clone()));
                let expected = expected.map(|route| {
                    let peer = route.from.map(|(edge, end)| IpAddr::V4(address(edge, 1 - end)));
                    let path: Vec<String> = route.path.iter().map(u32::to_string).collect();
                    (peer, path.join(" "))
                });
                assert_eq!(found, expected, "{} at node {node} ({}): {view:?}", prefix(number), router_id(node));
            }
        }
    }

    /// Packets arrive: following the kernels' routes never leads back.
    fn check_loops(&self) {
        for number in 0..PREFIXES {
            for start in 0..self.topology.routers.len() {
                self.follow(&prefix(number), start, &mut Vec::new());
            }
        }
    }

    fn follow(&self, prefix: &IpNet, node: usize, before: &mut Vec<usize>) {
        assert!(!before.contains(&node), "{prefix} goes in circles: {before:?} and {node}");
        let fib = &self.sim.nodes[node].fib;
        let Some(group) = fib.routes.get(prefix) else {
            let own = self.sim.nodes[node].intent.networks.iter().any(|network| network.prefix == *prefix);
            assert!(own || before.is_empty(), "{prefix} ends at node {node}, which has no route: {before:?}");
            return;
        };
        before.push(node);
        for hop in &fib.groups[group] {
            self.follow(prefix, self.topology.owner(hop.gateway), before);
        }
        before.pop();
    }

    /// docs/architecture.md, "roles": who is told what comes from whom.
    fn check_roles(&self) {
        for node in 0..self.topology.routers.len() {
            for (edge, end) in self.topology.edges_of(node) {
                let to = IpAddr::V4(address(edge, 1 - end));
                for view in self.sim.routes(node, Select::Advertised(to)) {
                    let from = view.paths[0].peer.map(|peer| {
                        let ends = self.topology.edges_of(node);
                        let mut ends = ends.filter(|(edge, end)| IpAddr::V4(address(*edge, 1 - *end)) == peer);
                        ends.next().expect("an edge of the node")
                    });
                    let passes = self.topology.passes(node, from, (edge, end));
                    assert!(passes, "node {node} tells {to} of {} from {from:?}", view.prefix);
                }
            }
        }
    }

    /// Nothing is kept once everything was withdrawn.
    fn check_empty(&mut self) {
        for node in 0..self.topology.routers.len() {
            self.topology.routers[node].networks.clear();
            self.configure(node);
        }
        self.pass(SECOND * 10);
        self.until_quiet();
        for (node, state) in self.sim.nodes.iter().enumerate() {
            let snapshot = state.engine.snapshot(self.sim.now);
            assert!(snapshot.destinations.iter().all(|(_, count)| *count == 0), "node {node}: {snapshot:?}");
            assert_eq!((snapshot.attribute_sets, snapshot.fib), (0, Default::default()), "node {node}");
            assert!(state.fib.routes.is_empty() && state.fib.groups.is_empty(), "node {node}: {:?}", state.fib);
            assert_eq!(snapshot.peers.len(), self.topology.edges_of(node).count(), "node {node}");
        }
    }

    fn check_all(&mut self) {
        self.check_quiet();
        self.check_model();
        self.check_loops();
        self.check_roles();
    }
}

fn runs(name: &'static str, count: u64, conditions: &Conditions) {
    let count = std::env::var("SIM_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(count);
    for number in 0..count {
        let _run = Run(name, number);
        let mut world = World::new(number, conditions.clone());
        world.pass(SECOND * 3);
        for round in 0..2 {
            world.sim.conditions = world.conditions.clone();
            world.sim.segment = [1, 20, 4096][world.sim.random(3) as usize];
            for _ in 0..15 {
                world.disturb();
                let pause = MS * world.sim.random(if round == 0 { 300 } else { 20_000 }) as u32;
                world.pass(pause);
            }
            world.settle();
            world.check_all();
        }
        world.check_empty();
    }
}

/// RFC 4271 9.1, 9.2: with delays only.
#[test]
fn any_network_converges_to_what_a_computation_from_scratch_says() {
    runs("good", 12, &Conditions { latency: 200, ..Conditions::GOOD });
}

/// RFC 4271 6.5, 6.8 and 8: connections break, fall silent and stall in the middle of messages.
#[test]
fn a_network_that_loses_connections_converges_all_the_same() {
    runs("lossy", 12, &Conditions { latency: 100, stalls: 20, breaks: 5, mutes: 3, ..Conditions::GOOD });
}

/// RFC 4271 9.1.2.1: the kernel refuses routes and groups, and takes its time.
#[test]
fn a_kernel_that_refuses_and_lags_has_the_routes_in_the_end() {
    runs("refusing", 12, &Conditions { fib_delay: 2000, refusals: 150, ..Conditions::GOOD });
}
