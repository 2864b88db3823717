//! A whole network computed from scratch: what every router uses when nothing happens any more.
//!
//! It knows the topology and the rules (RFC 4271 9.1.2, RFC 4456, docs/architecture.md "roles"), and repeats the choice of
//! every router until none changes. It shares no code with the engine.

use std::net::Ipv4Addr;

use engine::intent::Role;

use crate::topology::{PREFIXES, Topology, address, router_id};

/// A route as one router has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) path: Vec<u32>,
    /// The edge that it came over, and our end of it; `None` when we originate it.
    pub(crate) from: Option<(usize, usize)>,
    external: bool,
    /// The edge and end that the next hop is the address of.
    next_hop: Option<(usize, usize)>,
    originator: Option<Ipv4Addr>,
    clusters: Vec<Ipv4Addr>,
}

impl Topology {
    fn internal(&self, edge: usize) -> bool {
        let [one, other] = self.edges[edge].nodes;
        self.routers[one].asn == self.routers[other].asn
    }

    /// RFC 4456: whether the other end is our client. An internal host always is.
    fn client(&self, (edge, end): (usize, usize)) -> bool {
        let edge = &self.edges[edge];
        edge.clients[end] || edge.roles[end] == Role::Host
    }

    /// Whether a router that uses `route` may tell it to the other end of an edge.
    pub(crate) fn passes(&self, node: usize, from: Option<(usize, usize)>, to: (usize, usize)) -> bool {
        let Some(from) = from else { return true };
        if from.0 == to.0 {
            return false;
        }
        let between_internal = self.internal(from.0) && self.internal(to.0);
        if between_internal && !self.client(from) && !self.client(to) {
            return false;
        }
        match (self.edges[from.0].roles[from.1], self.edges[to.0].roles[to.1]) {
            (Role::Fabric, Role::Fabric) => between_internal && self.routers[node].reflector,
            (Role::Host, Role::Host) => false,
            _ => true,
        }
    }

    /// What a router says of its route over an edge.
    fn told(&self, node: usize, route: &Route, to: (usize, usize)) -> Option<Route> {
        if !self.passes(node, route.from, to) {
            return None;
        }
        let (edge, end) = to;
        let internal = self.internal(edge);
        let mut told = Route { from: Some((edge, 1 - end)), external: !internal, ..route.clone() };
        if !internal {
            told.path.insert(0, self.routers[node].asn);
        }
        if !internal || route.from.is_none() || self.edges[edge].roles[end] != Role::Peer {
            told.next_hop = Some((edge, end));
        }
        let reflected = route.from.filter(|_| internal && !route.external);
        match reflected {
            Some((edge, end)) => {
                let sender = self.edges[edge].nodes[1 - end];
                told.originator = route.originator.or(Some(router_id(sender)));
                told.clusters.insert(0, router_id(node));
            }
            None => (told.originator, told.clusters) = (None, Vec::new()),
        }
        Some(told)
    }

    fn accepts(&self, node: usize, route: &Route) -> bool {
        let Some((edge, end)) = route.from else { return true };
        let tolerated = if self.edges[edge].roles[end] == Role::Fabric { 3 } else { 0 };
        let own = route.path.iter().filter(|asn| **asn == self.routers[node].asn).count();
        let (via, whose) = route.next_hop.expect("told with a next hop");
        own <= tolerated
            && route.originator != Some(router_id(node))
            && !route.clusters.contains(&router_id(node))
            // On a link of ours, and not ourselves.
            && self.edges[via].nodes[1 - whose] == node
    }

    /// RFC 4271 9.1.2.2. There is one local preference, one origin and no MED.
    fn choose(&self, node: usize, routes: Vec<Route>) -> Option<Route> {
        let rank = |route: &Route| {
            let peer = route.from.map(|(edge, end)| (edge, 1 - end));
            let sender = peer.map(|(edge, end)| router_id(self.edges[edge].nodes[end]));
            let id = route.originator.or(sender);
            let address = peer.map(|(edge, end)| address(edge, end));
            (route.from.is_some(), route.path.len(), !route.external, id, route.clusters.len(), address)
        };
        routes.into_iter().filter(|route| self.accepts(node, route)).min_by_key(rank)
    }

    /// What every router uses for a prefix.
    pub(crate) fn solve(&self, number: usize) -> Vec<Option<Route>> {
        let originated = Route {
            path: Vec::new(),
            from: None,
            external: false,
            next_hop: None,
            originator: None,
            clusters: Vec::new(),
        };
        let mut used: Vec<Option<Route>> = vec![None; self.routers.len()];
        for _ in 0..100 {
            let before = used.clone();
            for node in 0..self.routers.len() {
                let mut routes = Vec::new();
                if self.routers[node].networks.contains(&number) {
                    routes.push(originated.clone());
                }
                for (edge, end) in self.edges_of(node) {
                    let other = self.edges[edge].nodes[1 - end];
                    let route = used[other].as_ref().and_then(|route| self.told(other, route, (edge, 1 - end)));
                    routes.extend(route);
                }
                used[node] = self.choose(node, routes);
            }
            if used == before {
                return used;
            }
        }
        panic!("no stable choice for prefix {number} in {self:?}");
    }

    pub(crate) fn solve_all(&self) -> Vec<Vec<Option<Route>>> {
        (0..PREFIXES).map(|number| self.solve(number)).collect()
    }
}
