//! Import: is a received path acceptable?

use ipnet::IpNet;
use wire::{Role, attr_code, attributes, flag, write_attribute};

use super::{Own, PeerFacts};
use crate::rib::attrs::AttrSet;
use crate::rib::nexthop::Resolution;
use crate::rib::table::Refusal;

/// Why a path from `peer` is refused, if it is. It stays in RIB-In with the reason.
pub(crate) fn refusal(own: &Own, peer: &PeerFacts, set: &AttrSet, next_hop: Resolution) -> Option<Refusal> {
    let path = set.as_path();
    // RFC 4271 6.3 lets the leftmost AS of an eBGP path be checked; a route server is the exception.
    if peer.external && peer.enforce_first_as && path.first() != Some(peer.asn) {
        return Some(Refusal::FirstAs);
    }
    // RFC 4271 9.1.2: a path that went through us is a loop, except that nodes share an AS.
    if path.count(own.asn) > usize::from(peer.allow_own_as) {
        return Some(Refusal::OwnAs);
    }
    // RFC 9774 section 3, where we are asked to.
    if peer.reject_as_sets && path.segments().any(|segment| segment.kind.is_set()) {
        return Some(Refusal::AsSet);
    }
    // RFC 9234 section 5: a customer's route that was only for customers has leaked, and so has a peer's that another
    // AS marked.
    let marked = set.value(attr_code::OTC).and_then(|value| value.try_into().ok()).map(u32::from_be_bytes);
    let leaked = match peer.bgp_role {
        Some(Role::Provider | Role::RouteServer) => marked.is_some(),
        Some(Role::Peer) => marked.is_some_and(|asn| asn != peer.asn),
        Some(Role::Customer | Role::RouteServerClient) | None => false,
    };
    if leaked {
        return Some(Refusal::Leak);
    }
    // RFC 4456 section 8.
    if set.originator == Some(own.router_id) {
        return Some(Refusal::OwnOriginator);
    }
    let cluster = own.cluster_id.octets();
    if set.value(attr_code::CLUSTER_LIST).is_some_and(|list| list.chunks_exact(4).any(|id| id == cluster)) {
        return Some(Refusal::OwnCluster);
    }
    // RFC 4271 5.1.3: a route must not be used with ourselves as next hop.
    (next_hop == Resolution::Own).then_some(Refusal::OwnNextHop)
}

/// Why this prefix is refused from `peer`, whatever its attributes.
pub(crate) fn prefix_refusal(peer: &PeerFacts, prefix: &IpNet) -> Option<Refusal> {
    let allowed = peer.allowed_prefixes.is_empty() || peer.allowed_prefixes.iter().any(|rule| rule.matches(prefix));
    (!allowed).then_some(Refusal::NotAllowed)
}

/// RFC 9234 section 5: what a provider, a peer or a route server announces is only for customers from here on.
/// Inserts the mark into canonical attributes that have none.
pub(crate) fn mark_only_to_customer(peer: &PeerFacts, canonical: &mut Vec<u8>) {
    let marks = match peer.bgp_role {
        Some(Role::Customer | Role::RouteServerClient | Role::Peer) => true,
        Some(Role::Provider | Role::RouteServer) | None => false,
    };
    if !marks || attributes(canonical).any(|attribute| attribute.code == attr_code::OTC) {
        return;
    }
    let old = std::mem::take(canonical);
    let (flags, asn) = (flag::OPTIONAL | flag::TRANSITIVE, peer.asn.to_be_bytes());
    let mut marked = false;
    for attribute in attributes(&old) {
        if attribute.code > attr_code::OTC && !std::mem::replace(&mut marked, true) {
            write_attribute(canonical, flags, attr_code::OTC, &asn);
        }
        write_attribute(canonical, attribute.flags, attribute.code, attribute.value);
    }
    if !marked {
        write_attribute(canonical, flags, attr_code::OTC, &asn);
    }
}

impl Refusal {
    /// In words.
    pub(crate) fn text(self, own: &Own) -> String {
        match self {
            Self::OwnAs => format!("refused: our AS {} occurs in the AS path more often than allowed", own.asn),
            Self::FirstAs => "refused: the leftmost AS is not the peer's".into(),
            Self::OwnOriginator => format!("refused: originated by us (originator id {})", own.router_id),
            Self::OwnCluster => format!("refused: went through our cluster {}", own.cluster_id),
            Self::Leak => "refused: a route leak, it was marked as only for customers (RFC 9234)".into(),
            Self::AsSet => {
                "refused: its AS path has an AS_SET, which rejectAsSets treats as withdrawn (RFC 9774)".into()
            }
            Self::NotAllowed => "refused: not among the peer's allowed prefixes".into(),
            Self::OwnNextHop => "refused: the next hop is one of our own addresses".into(),
        }
    }
}
