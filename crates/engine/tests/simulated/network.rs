//! Random networks under bad conditions: what must hold after each step, when it is quiet, and at the end.
//!
//! Every run follows from its number, which a failure prints. `SIM_RUNS` in the environment makes them more.

use std::net::IpAddr;

use engine::{ConnId, Event, Order};

use crate::invariants::{Seen, watch_all};
use crate::sim::{Conditions, MS, SECOND, Sim};
use crate::topology::{PREFIXES, Topology, address, any_role, link};

/// Says which run failed.
struct Run(&'static str, u64);

impl Drop for Run {
    #[expect(clippy::print_stderr, reason = "who reads that a run failed must know which")]
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

impl World {
    /// `strict`: some routers tell their peers of a route only once they forward.
    fn new(run: u64, conditions: Conditions, strict: bool) -> Self {
        let mut sim = Sim::new(run);
        let mut topology = Topology::random(&mut sim);
        for (node, router) in topology.routers.iter_mut().enumerate() {
            router.advertise_after_fib = strict && node as u64 % 3 != run % 3;
        }
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
        match sim.random(28) {
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
                topology.edges[edge].hold = [0, 3, 21, 30][sim.random(4) as usize];
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
            18..=19 => {
                let peer = IpAddr::V4(address(edge, 1 - end));
                let node = topology.edges[edge].nodes[end];
                let message = None;
                let ends = [Order::Reset { message: None }, Order::Shutdown { message }];
                let orders = [ends, [Order::RefreshIn, Order::RefreshOut]].concat();
                let order = orders[sim.random(4) as usize].clone();
                sim.tell(node, Event::Order { peer, link: None, order });
            }
            20 => {
                topology.edges[edge].passive = [None, Some(end)][sim.random(2) as usize];
                self.configure(one);
                self.configure(other);
            }
            21..=22 => {
                topology.routers[node].fib = !topology.routers[node].fib;
                self.configure(node);
            }
            23 => {
                topology.routers[node].asn = 65001 + sim.random(4) as u32;
                (0..topology.routers.len()).for_each(|node| self.configure(node));
            }
            24..=25 => {
                topology.edges[edge].limits[end] = [None, Some(1)][sim.random(2) as usize];
                let node = topology.edges[edge].nodes[end];
                self.configure(node);
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
        for edge in &mut self.topology.edges {
            (edge.hold, edge.limits) = (30, [None; 2]);
        }
        for node in 0..self.topology.routers.len() {
            self.sim.unstall(node);
            self.topology.routers[node].fib = true;
            self.configure(node);
        }
        for edge in 0..self.topology.edges.len() {
            for end in 0..2 {
                let (node, peer) = (self.topology.edges[edge].nodes[end], IpAddr::V4(address(edge, 1 - end)));
                let known = self.sim.peer(node, &peer.to_string());
                if known.shut_down {
                    self.sim.tell(node, Event::Order { peer, link: None, order: Order::Reset { message: None } });
                }
            }
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
        self.topology.check_model(&self.sim);
        self.topology.check_loops(&self.sim);
        self.topology.check_roles(&self.sim);
    }
}

fn runs(name: &'static str, count: u64, conditions: &Conditions) {
    runs_of(name, count, conditions, false);
}

fn runs_of(name: &'static str, count: u64, conditions: &Conditions, strict: bool) {
    let count = std::env::var("SIM_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(count);
    for number in 0..count {
        let _run = Run(name, number);
        let mut world = World::new(number, conditions.clone(), strict);
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

/// The same where peers are told of a route only once the kernel has it.
#[test]
fn a_network_that_advertises_after_the_kernel_converges_all_the_same() {
    let conditions =
        Conditions { latency: 50, stalls: 10, breaks: 2, fib_delay: 2000, refusals: 150, ..Conditions::GOOD };
    runs_of("strict", 12, &conditions, true);
}
