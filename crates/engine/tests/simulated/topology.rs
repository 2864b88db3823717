//! Random networks of routers: who is connected to whom, in which role, and what each originates.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use engine::intent::{Intent, MaxPrefixes, Multipath, Role};
use engine::{Family, FamilySet};
use ipnet::IpNet;

use crate::sim::{SECOND, Sim, With, intent};

/// Prefixes that nodes originate, several of them perhaps the same one.
pub(crate) const PREFIXES: usize = 6;

/// A link between two nodes with a session over it.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) nodes: [usize; 2],
    /// What each end takes the other for.
    pub(crate) roles: [Role; 2],
    /// Whether each end takes the other for a route-reflector client.
    pub(crate) clients: [bool; 2],
    /// Which end only accepts, if one does.
    pub(crate) passive: Option<usize>,
    /// Proposed hold time of both, in seconds.
    pub(crate) hold: u32,
    /// How many prefixes of a family each end takes from the other before it ends the session for a while.
    pub(crate) limits: [Option<usize>; 2],
}

#[derive(Clone, Debug)]
pub(crate) struct Router {
    pub(crate) asn: u32,
    pub(crate) reflector: bool,
    pub(crate) networks: BTreeSet<usize>,
    pub(crate) max_paths: u16,
    /// Whether it forwards at all.
    pub(crate) fib: bool,
    /// Whether it tells its peers of a route only once it forwards.
    pub(crate) advertise_after_fib: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Topology {
    pub(crate) routers: Vec<Router>,
    pub(crate) edges: Vec<Edge>,
}

pub(crate) fn prefix(number: usize) -> IpNet {
    let text =
        if number.is_multiple_of(2) { format!("198.18.{number}.0/24") } else { format!("2001:db8:100{number}::/48") };
    text.parse().expect("a prefix")
}

pub(crate) fn link(edge: usize) -> String {
    format!("link{edge}")
}

/// The address of one end of an edge.
pub(crate) fn address(edge: usize, end: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, edge as u8, end as u8 + 1)
}

pub(crate) fn router_id(node: usize) -> Ipv4Addr {
    // Not in the order of the nodes, nor of their addresses.
    Ipv4Addr::new(10, 255, (node * 5 % 7) as u8, 1)
}

pub(crate) fn any_role(sim: &mut Sim) -> Role {
    [Role::Peer, Role::Fabric, Role::Host][sim.random(3) as usize]
}

impl Topology {
    /// A connected network of three to six nodes in up to four ASes: with one of them all is reflection.
    pub(crate) fn random(sim: &mut Sim) -> Self {
        let count = 3 + sim.random(4) as usize;
        let ases = 1 + sim.random(4);
        let router = |sim: &mut Sim| Router {
            asn: 65001 + sim.random(ases) as u32,
            reflector: sim.chance(300),
            networks: (0..PREFIXES).filter(|_| sim.chance(250)).collect(),
            max_paths: 1 + sim.random(3) as u16,
            fib: true,
            advertise_after_fib: false,
        };
        let routers: Vec<Router> = (0..count).map(|_| router(sim)).collect();
        let mut pairs: Vec<[usize; 2]> = (1..count).map(|node| [sim.random(node as u64) as usize, node]).collect();
        for _ in 0..sim.random(5) {
            let (one, other) = (sim.random(count as u64) as usize, sim.random(count as u64) as usize);
            if one != other {
                pairs.push([one.min(other), one.max(other)]);
            }
        }
        let edge = |sim: &mut Sim, nodes| Edge {
            nodes,
            roles: [any_role(sim), any_role(sim)],
            clients: [sim.chance(300), sim.chance(300)],
            passive: [None, Some(0), Some(1)][sim.random(3) as usize],
            hold: 30,
            limits: [None; 2],
        };
        let edges = pairs.into_iter().map(|nodes| edge(sim, nodes)).collect();
        Self { routers, edges }
    }

    /// The edges of a node, each with the node's end of it.
    pub(crate) fn edges_of(&self, node: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let ends = self.edges.iter().enumerate();
        ends.flat_map(move |(edge, Edge { nodes, .. })| {
            (0..2).filter(move |end| nodes[*end] == node).map(move |end| (edge, end))
        })
    }

    pub(crate) fn intent(&self, node: usize) -> Intent {
        let router = &self.routers[node];
        let mut own = intent(router.asn, &router_id(node).to_string());
        own.cluster_id = router.reflector.then(|| router_id(node));
        own.fib = router.fib;
        own.advertise_after_fib = router.advertise_after_fib;
        own.multipath = Multipath { max_paths: router.max_paths, relax: true };
        for (number, end) in self.edges_of(node) {
            let edge = &self.edges[number];
            let other = &self.routers[edge.nodes[1 - end]];
            own = own.peer_with(&address(number, 1 - end).to_string(), other.asn, edge.roles[end], |peer| {
                peer.passive = edge.passive == Some(end);
                peer.hold_time = SECOND * edge.hold;
                if let Some(limit) = edge.limits[end] {
                    let max = MaxPrefixes { limit, teardown: true, restart: Some(SECOND * 5) };
                    peer.max_prefixes = Family::ALL.map(|family| (family, max)).into();
                }
                peer.reflector_client = if edge.clients[end] { FamilySet::ALL } else { FamilySet::default() };
            });
        }
        for number in &router.networks {
            own = own.network(&prefix(*number).to_string());
        }
        own
    }

    /// Makes the nodes.
    pub(crate) fn build(&self, sim: &mut Sim) {
        for node in 0..self.routers.len() {
            let links: Vec<(String, [String; 2])> = self
                .edges_of(node)
                .map(|(edge, end)| {
                    let addresses = [format!("{}/24", address(edge, end)), format!("2001:db8:{edge}::{}/64", end + 1)];
                    (link(edge), addresses)
                })
                .collect();
            let addresses: Vec<[&str; 2]> = links.iter().map(|(_, [v4, v6])| [v4.as_str(), v6.as_str()]).collect();
            let links: Vec<(&str, &[&str])> =
                links.iter().zip(&addresses).map(|((name, _), addresses)| (name.as_str(), &addresses[..])).collect();
            sim.add(&links, self.intent(node));
        }
    }

    /// The node that has an address.
    pub(crate) fn owner(&self, sought: IpAddr) -> usize {
        let (edge, end) = match sought {
            IpAddr::V4(address) => (usize::from(address.octets()[2]), usize::from(address.octets()[3]) - 1),
            IpAddr::V6(address) => (usize::from(address.segments()[2]), usize::from(address.segments()[7]) - 1),
        };
        self.edges[edge].nodes[end]
    }
}
