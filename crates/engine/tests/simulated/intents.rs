//! Configurations as the simulated tests write them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use engine::Family;
use engine::intent::{Intent, Multipath, Network, PeerIntent, RemoteAs, Role};

use crate::sim::SECOND;

pub(crate) fn intent(asn: u32, router_id: &str) -> Intent {
    Intent {
        asn,
        router_id: router_id.parse::<Ipv4Addr>().expect("an identifier"),
        peers: BTreeMap::new(),
        networks: Vec::new(),
        unnumbered: BTreeMap::new(),
        host_routes: None,
        ranges: Vec::new(),
        listen_limit: 65_535,
        multipath: Multipath::default(),
        prefer_oldest: false,
        cluster_id: None,
        fib: true,
        advertise_after_fib: false,
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
