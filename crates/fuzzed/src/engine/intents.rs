//! Configurations: a few neighbours of every kind, each with options chosen by the input.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use engine::intent::{
    GracefulRestart, HostRoutes, Intent, MaxPrefixes, Multipath, Network, PeerIntent, PrefixRule, RangeIntent,
    RemoteAs, Role,
};
use engine::{BgpRole, Family, FamilySet};

use crate::input::Input;

/// Our AS, of two octets or of four.
pub(crate) const OWN: [u32; 2] = [65001, 4_200_000_001];

/// Somebody who may connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) address: &'static str,
    /// Kernel index of the link, for addresses that mean nothing without.
    pub(crate) scope: u32,
    /// The link that its connections arrive over.
    pub(crate) link: &'static str,
    pub(crate) asn: u32,
}

const fn place(address: &'static str, scope: u32, link: &'static str, asn: u32) -> Place {
    Place { address, scope, link, asn }
}

/// Three neighbours by address, one by link, two of a range, and a stranger.
pub(crate) const PLACES: [Place; 7] = [
    place("192.0.2.2", 0, "eth0", 65002),
    place("192.0.2.3", 0, "eth0", 65001),
    place("2001:db8::4", 0, "eth0", 4_200_000_004),
    place("fe80::5", 1, "eth0", 65005),
    place("10.10.0.2", 0, "pt-ns", 65006),
    place("10.10.0.3", 0, "pt-ns", 65006),
    place("203.0.113.9", 0, "eth0", 65009),
];
/// Those of [`PLACES`] that are configured by address.
const BY_ADDRESS: usize = 3;

/// Destinations that routes are about.
pub(crate) const PREFIXES: [&str; 14] = [
    "0.0.0.0/0",
    "10.1.0.0/16",
    "10.1.1.0/24",
    "10.2.0.0/16",
    "192.0.2.2/32",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.128/25",
    "::/0",
    "2001:db8:1::/48",
    "2001:db8:1:1::/64",
    "2001:db8:2::/48",
    "2001:db8::4/128",
    "fe80::/10",
];

/// A configuration.
pub(crate) fn intent(input: &mut Input<'_>) -> Intent {
    let (who, global) = (input.u8(), input.u8());
    let mut intent = bare(OWN[usize::from(who >> 7)]);
    intent.fib = who & 0x40 == 0;
    for (at, place) in PLACES.iter().enumerate().take(BY_ADDRESS) {
        if who & (1 << at) != 0 {
            let peer = peer(place.address, place.asn, input);
            intent.peers.insert(place.address.parse().expect("a literal"), peer);
        }
    }
    if who & 0x08 != 0 {
        let peer = PeerIntent { link: Some("eth0".into()), ..peer("unnumbered", PLACES[3].asn, input) };
        intent.unnumbered.insert("eth0".into(), peer);
    }
    if who & 0x10 != 0 {
        let limit = (global & 0x20 != 0).then_some(1);
        intent.ranges.push(range("10.10.0.0/24", Some("pt-ns"), limit, input));
    }
    if who & 0x20 != 0 {
        intent.ranges.push(range("10.0.0.0/8", None, None, input));
    }
    let network = |prefix: &str, link: Option<&str>| Network {
        prefix: prefix.parse().expect("a literal"),
        while_link_up: link.map(Into::into),
    };
    if global & 1 != 0 {
        intent.networks.push(network("198.51.100.0/24", None));
        intent.networks.push(network("2001:db8:9::/48", None));
    }
    if global & 2 != 0 {
        intent.networks.push(network("10.1.0.0/16", Some("pt-ns")));
    }
    if global & 4 != 0 {
        intent.multipath = Multipath { max_paths: 1, relax: false };
    }
    if global & 8 != 0 {
        let rule = PrefixRule { prefix: "10.0.0.0/8".parse().expect("a literal"), ge: 8, le: 24 };
        let prefixes = if global & 0x80 != 0 { vec![rule] } else { Vec::new() };
        intent.host_routes = Some(HostRoutes { prefixes, allow_default: global & 0x10 != 0 });
    }
    if global & 0x10 != 0 {
        intent.cluster_id = Some(Ipv4Addr::new(10, 0, 0, 9));
    }
    if global & 0x40 != 0 {
        intent.listen_limit = 1;
        let seconds = Duration::from_secs(120);
        let restart = GracefulRestart { restart_time: seconds, stale_time: seconds };
        let peers = intent.peers.values_mut().chain(intent.unnumbered.values_mut());
        peers.for_each(|peer| peer.graceful_restart = Some(restart));
    }
    intent
}

/// A router without neighbours.
pub(crate) fn bare(asn: u32) -> Intent {
    Intent {
        asn,
        router_id: Ipv4Addr::new(10, 0, 0, 1),
        peers: BTreeMap::new(),
        unnumbered: BTreeMap::new(),
        ranges: Vec::new(),
        listen_limit: 8,
        networks: Vec::new(),
        prefer_oldest: false,
        multipath: Multipath::default(),
        host_routes: None,
        cluster_id: None,
        fib: true,
        advertise_after_fib: false,
    }
}

fn range(prefix: &str, link: Option<&str>, limit: Option<usize>, input: &mut Input<'_>) -> RangeIntent {
    let peer = PeerIntent { remote_as: RemoteAs::External, ..peer(prefix, PLACES[4].asn, input) };
    RangeIntent { prefix: prefix.parse().expect("a literal"), link: link.map(Into::into), limit, peer }
}

fn peer(name: &str, asn: u32, input: &mut Input<'_>) -> PeerIntent {
    let (one, two) = (input.u8(), input.u8());
    let role = [Role::Fabric, Role::Host, Role::Peer, Role::Peer][usize::from(one & 3)];
    let families = match (one >> 2) & 3 {
        0 => vec![Family::Ipv4Unicast],
        1 => vec![Family::Ipv6Unicast],
        _ => Family::ALL.to_vec(),
    };
    let mut peer = PeerIntent::new(name, role, RemoteAs::Number(asn), families);
    peer.extended_next_hop = one & 0x10 != 0;
    peer.hold_time = Duration::from_secs([180, 0, 3, 90][usize::from((one >> 5) & 3)]);
    peer.keepalive = peer.hold_time / 3;
    peer.passive = one & 0x80 == 0;
    peer.connect_retry = Duration::from_secs(5);
    let limit = |teardown, restart| MaxPrefixes { limit: 2, teardown, restart };
    let max = match two & 3 {
        0 => None,
        1 => Some(limit(false, None)),
        2 => Some(limit(true, None)),
        _ => Some(limit(true, Some(Duration::from_secs(30)))),
    };
    peer.max_prefixes = max.map(|max| (Family::Ipv4Unicast, max)).into_iter().collect();
    peer.as_override = two & 4 != 0;
    peer.next_hop_self = two & 8 != 0;
    peer.enforce_first_as = two & 0x10 == 0;
    if two & 0x20 != 0 {
        peer.reflector_client = FamilySet::ALL;
        peer.bgp_role = Some(BgpRole::Provider);
    }
    if two & 0x40 != 0 {
        peer.allowed_prefixes = vec![PrefixRule { prefix: "10.1.0.0/16".parse().expect("a literal"), ge: 16, le: 32 }];
    }
    if two & 0x80 != 0 {
        peer.allow_own_as = 1;
    }
    peer
}

/// Our end of a connection with this address.
pub(crate) fn own_address(remote: IpAddr) -> IpAddr {
    let own = match remote {
        IpAddr::V4(address) if address.octets()[0] == 10 => "10.10.0.1",
        IpAddr::V4(_) => "192.0.2.1",
        IpAddr::V6(address) if address.is_unicast_link_local() => "fe80::1",
        IpAddr::V6(_) => "2001:db8::1",
    };
    own.parse().expect("a literal")
}
