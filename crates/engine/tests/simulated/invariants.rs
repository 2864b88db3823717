//! What must hold in a network of routers: after each step, and when it is quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use engine::snapshot::{PathView, PeerSnapshot};
use engine::{Event, Select};
use ipnet::IpNet;

use crate::sim::{End, Sim};
use crate::topology::{PREFIXES, Topology, address, prefix, router_id};

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
    let conn = |event: &Event| {
        let (Event::Bytes { conn, .. }
        | Event::Closed { conn, .. }
        | Event::Connected { conn, .. }
        | Event::Accepted { conn, .. }) = event
        else {
            return None;
        };
        Some(*conn)
    };
    sim.pending.values().filter_map(|(node, event)| Some(End { node: *node, conn: conn(event)? })).collect()
}

/// What a node tells its peers may wait for its kernel.
fn waits(sim: &Sim, node: usize) -> bool {
    let state = &sim.nodes[node];
    state.intent.advertise_after_fib && state.engine.snapshot(sim.now).fib.pending > 0
}

/// RIB-Out of one side is RIB-In of the other, once nothing is on its way between the two.
fn agree(sim: &Sim, topology: &Topology, edge: usize) {
    let [one, other] = topology.edges[edge].nodes;
    if sim.nodes[one].stalled || sim.nodes[other].stalled || waits(sim, one) || waits(sim, other) {
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
    let routes = if state.intent.fib { sim.routes(node, Select::All) } else { Vec::new() };
    for view in routes {
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
pub(crate) struct Seen(BTreeMap<usize, String>);

impl Seen {
    /// After each step: only what the node touches can have changed.
    pub(crate) fn watch(&mut self, sim: &Sim, topology: &Topology, node: usize) {
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

pub(crate) fn watch_all(sim: &Sim, topology: &Topology, node: usize) {
    for (edge, _) in topology.edges_of(node) {
        agree(sim, topology, edge);
    }
    forwards(sim, node);
}

impl Topology {
    /// Every router uses what a computation from scratch says.
    pub(crate) fn check_model(&self, sim: &Sim) {
        for (number, used) in self.solve_all().into_iter().enumerate() {
            for (node, expected) in used.into_iter().enumerate() {
                let view = sim.route(node, &prefix(number).to_string());
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
    pub(crate) fn check_loops(&self, sim: &Sim) {
        for number in 0..PREFIXES {
            for start in 0..self.routers.len() {
                self.follow(sim, &prefix(number), start, &mut Vec::new());
            }
        }
    }

    fn follow(&self, sim: &Sim, prefix: &IpNet, node: usize, before: &mut Vec<usize>) {
        assert!(!before.contains(&node), "{prefix} goes in circles: {before:?} and {node}");
        let fib = &sim.nodes[node].fib;
        let Some(group) = fib.routes.get(prefix) else {
            let own = sim.nodes[node].intent.networks.iter().any(|network| network.prefix == *prefix);
            assert!(own || before.is_empty(), "{prefix} ends at node {node}, which has no route: {before:?}");
            return;
        };
        before.push(node);
        for hop in &fib.groups[group] {
            self.follow(sim, prefix, self.owner(hop.gateway), before);
        }
        before.pop();
    }

    /// docs/architecture.md, "roles": who is told what comes from whom.
    pub(crate) fn check_roles(&self, sim: &Sim) {
        for node in 0..self.routers.len() {
            for (edge, end) in self.edges_of(node) {
                let to = IpAddr::V4(address(edge, 1 - end));
                for view in sim.routes(node, Select::Advertised(to)) {
                    let from = view.paths[0].peer.map(|peer| {
                        let ends = self.edges_of(node);
                        let mut ends = ends.filter(|(edge, end)| IpAddr::V4(address(*edge, 1 - *end)) == peer);
                        ends.next().expect("an edge of the node")
                    });
                    let passes = self.passes(node, from, (edge, end));
                    assert!(passes, "node {node} tells {to} of {} from {from:?}", view.prefix);
                }
            }
        }
    }
}
