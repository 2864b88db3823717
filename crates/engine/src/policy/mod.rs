//! Which routes come in and which go out.
//!
//! Import marks a received path as refused and keeps it; export says for a path and a peer whether it goes out
//! and with which attributes. Both are functions of values: nothing here has state.

pub(crate) mod export;
pub(crate) mod import;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use wire::FamilySet;

use crate::intent::{PrefixRule, Role};

/// What policy must know of an established peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerFacts {
    pub(crate) address: IpAddr,
    pub(crate) role: Role,
    /// Its AS is not ours.
    pub(crate) external: bool,
    pub(crate) asn: u32,
    pub(crate) router_id: Ipv4Addr,
    /// iBGP: families in which it is a route-reflector client (RFC 4456).
    pub(crate) client: FamilySet,
    pub(crate) next_hop_self: bool,
    pub(crate) allow_own_as: u8,
    pub(crate) enforce_first_as: bool,
    pub(crate) four_octet_as: bool,
    /// IPv4 routes may carry IPv6 next hops (RFC 8950).
    pub(crate) extended_next_hop: bool,
    /// The largest message that the peer takes.
    pub(crate) max_message: usize,
    /// Link that its next hops are on, whatever the routing table says.
    pub(crate) link: Option<String>,
    /// Our own addresses on the session's link, for next-hop-self.
    pub(crate) own_v4: Option<Ipv4Addr>,
    pub(crate) own_v6: Option<Ipv6Addr>,
    /// Our link-local address, when the session is between link-local addresses (RFC 2545 section 3).
    pub(crate) own_link_local: Option<Ipv6Addr>,
    /// Networks that we share with it: a next hop there needs no detour through us (RFC 4271 5.1.3).
    pub(crate) shared: Vec<IpNet>,
    /// Families in which it sends, and takes, several paths per prefix (RFC 7911).
    pub(crate) add_path_receive: FamilySet,
    pub(crate) add_path_send: FamilySet,
    /// What it may announce; empty: everything.
    pub(crate) allowed_prefixes: Vec<PrefixRule>,
    /// Its AS is replaced by ours in what it is sent.
    pub(crate) as_override: bool,
    /// What we are to it (RFC 9234); external peers only.
    pub(crate) bgp_role: Option<wire::Role>,
    /// It knows what to make of routes that are kept for long (RFC 9494).
    pub(crate) long_lived: bool,
    /// AS_SETs are taken for withdrawals (RFC 9774).
    pub(crate) reject_as_sets: bool,
}

/// What both directions must know of ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) asn: u32,
    pub(crate) router_id: Ipv4Addr,
    pub(crate) cluster_id: Ipv4Addr,
    /// A cluster id was configured: fabric peers that are clients are reflected to each other.
    pub(crate) reflector: bool,
    /// We are about to go: everything is told with GRACEFUL_SHUTDOWN (RFC 8326 section 4.1).
    pub(crate) draining: bool,
}
