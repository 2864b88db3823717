//! Export: does a path go to a peer, and with which attributes?
//!
//! Roles (docs/architecture.md): what a fabric peer says goes to the host and not to another fabric peer, what
//! the host says goes to the fabric, ordinary peers exchange everything. On top of that the rules of
//! RFC 4271 9.2, RFC 4456 (reflection) and RFC 1997 (scope).

use std::net::{IpAddr, Ipv4Addr};

use wire::{AsPath, Community, Family, NextHop, Role as Role9234, attr_code, attributes, flag, write_attribute};

use super::{Own, PeerFacts};
use crate::intent::Role;
use crate::rib::attrs::{AttrSet, Scope};

/// Where a path came from, as far as export cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origination {
    /// We originate it.
    Local,
    /// From a peer of another AS.
    External { role: Role },
    /// From a peer of our AS.
    Internal { role: Role, client: bool, router_id: Ipv4Addr },
}

impl Origination {
    pub(crate) fn of(peer: &PeerFacts, family: Family) -> Self {
        if peer.external {
            Self::External { role: peer.role }
        } else {
            Self::Internal { role: peer.role, client: peer.client.contains(family), router_id: peer.router_id }
        }
    }
}

/// Whether roles and AS boundaries let a path pass at all. Cheap: asked for every peer on every change.
pub(crate) fn may_pass(own: &Own, from: Origination, family: Family, to: &PeerFacts) -> bool {
    let (role, reflected) = match from {
        Origination::Local => return true,
        Origination::External { role } => (role, false),
        Origination::Internal { role, client, .. } => {
            // RFC 4456 section 6: between internal peers only if one of them is a client.
            if !to.external && !client && !to.client.contains(family) {
                return false;
            }
            (role, !to.external)
        }
    };
    match (role, to.role) {
        (Role::Fabric, Role::Fabric) => reflected && own.reflector,
        (Role::Host, Role::Host) => false,
        (Role::Fabric, Role::Host | Role::Peer)
        | (Role::Host, Role::Fabric | Role::Peer)
        | (Role::Peer, Role::Fabric | Role::Host | Role::Peer) => true,
    }
}

/// Whether communities (RFC 1997, RFC 9494 section 4.3) or ONLY_TO_CUSTOMER (RFC 9234 section 5) keep a path from this peer.
pub(crate) fn in_scope(scope: Scope, to: &PeerFacts) -> bool {
    if scope.last_choice && !to.long_lived {
        return false;
    }
    if scope.only_to_customer && to.bgp_role.is_some_and(|ours| !sells(ours)) {
        return false;
    }
    !(scope.no_advertise || scope.no_export && to.external)
}

/// Whether a neighbour to which we have this role gets everything: customers and clients of a route server.
fn sells(ours: Role9234) -> bool {
    match ours {
        Role9234::Provider | Role9234::RouteServer => true,
        Role9234::Customer | Role9234::RouteServerClient | Role9234::Peer => false,
    }
}

/// The next hop to send, `None` when there is none that the peer could use: then the route cannot be sent.
pub(crate) fn next_hop(from: Origination, received: NextHop, family: Family, to: &PeerFacts) -> Option<NextHop> {
    let unchanged = !to.external && !to.next_hop_self && from != Origination::Local;
    if let Some(elsewhere) = beyond_the_link(received).filter(|_| unchanged) {
        let fits = match (family, elsewhere) {
            (Family::Ipv4Unicast, NextHop::V4(_)) | (Family::Ipv6Unicast, NextHop::V6 { .. }) => true,
            (Family::Ipv4Unicast, NextHop::V6 { .. }) => to.extended_next_hop,
            (Family::Ipv6Unicast, NextHop::V4(_)) => false,
        };
        return fits.then_some(elsewhere);
    }
    if let Some(third) = third_party(from, received, family, to) {
        return Some(third);
    }
    let v6 = to.own_v6.map(|global| NextHop::V6 { global, link_local: to.own_link_local });
    match family {
        Family::Ipv4Unicast => {
            // Over an IPv6 session the peer asked for IPv6 next hops; over IPv4 there is an IPv4 one.
            let prefer_v6 = to.extended_next_hop && matches!(to.address, IpAddr::V6(_));
            let v4 = to.own_v4.map(NextHop::V4);
            if prefer_v6 { v6.or(v4) } else { v4.or(v6.filter(|_| to.extended_next_hop)) }
        }
        Family::Ipv6Unicast => v6,
    }
}

/// RFC 4271 5.1.3, 2: a next hop on a network that the external peer shares with us is passed on, because the detour
/// through us would be for nothing; but never the peer's own address.
fn third_party(from: Origination, received: NextHop, family: Family, to: &PeerFacts) -> Option<NextHop> {
    let passes = to.external && !to.next_hop_self && from != Origination::Local;
    let address = received.address();
    let fits = match (family, address) {
        (Family::Ipv4Unicast, IpAddr::V4(_)) | (Family::Ipv6Unicast, IpAddr::V6(_)) => true,
        (Family::Ipv4Unicast, IpAddr::V6(_)) | (Family::Ipv6Unicast, IpAddr::V4(_)) => false,
    };
    let shared = address != to.address && to.shared.iter().any(|net| net.contains(&address));
    (passes && fits && shared).then_some(received)
}

/// What of a next hop means something to a peer that need not share its link: RFC 2545 section 3 keeps link-local
/// addresses there.
fn beyond_the_link(next_hop: NextHop) -> Option<NextHop> {
    match next_hop {
        NextHop::V4(_) => Some(next_hop),
        NextHop::V6 { global, .. } if global.is_unicast_link_local() => None,
        NextHop::V6 { global, .. } => Some(NextHop::V6 { global, link_local: None }),
    }
}

/// Writes the attributes of `set` as `to` must see them, without next hop: RFC 4271 section 5.
pub(crate) fn write_attributes(out: &mut Vec<u8>, own: &Own, set: &AttrSet, from: Origination, to: &PeerFacts) {
    if to.four_octet_as {
        write_canonical(out, own, set, from, to);
    } else {
        // RFC 6793 4.2.2: AS_TRANS where needed, and the truth in AS4_PATH and AS4_AGGREGATOR.
        let mut canonical = Vec::with_capacity(set.bytes.len() + 16);
        write_canonical(&mut canonical, own, set, from, to);
        wire::write_two_octet(out, &canonical);
    }
}

/// The same in the canonical spelling, whatever the peer's AS numbers: for views.
pub(crate) fn write_canonical(out: &mut Vec<u8>, own: &Own, set: &AttrSet, from: Origination, to: &PeerFacts) {
    let reflected = match from {
        Origination::Internal { router_id, .. } if !to.external => Some(router_id),
        Origination::Internal { .. } | Origination::External { .. } | Origination::Local => None,
    };
    // Attributes go out in ascending order of their codes; those that we add are merged in at their place.
    let mut added = Added::new(own, set, reflected, to);
    for attribute in attributes(&set.bytes) {
        added.write_below(out, attribute.code);
        match attribute.code {
            attr_code::AS_PATH => write_path(out, own, AsPath::new(attribute.value), to),
            // RFC 4271 5.1.4: not beyond the neighbouring AS, unless it is ours to begin with.
            attr_code::MED if to.external && from != Origination::Local => {}
            // RFC 4271 5.1.5: only inside the AS.
            attr_code::LOCAL_PREF if to.external => {}
            // RFC 4456: non-transitive, and rewritten when reflecting.
            attr_code::ORIGINATOR_ID | attr_code::CLUSTER_LIST if to.external => {}
            attr_code::CLUSTER_LIST if reflected.is_some() => {}
            attr_code::LOCAL_PREF if own.draining => {
                write_attribute(out, attribute.flags, attribute.code, &[0; 4]);
            }
            attr_code::COMMUNITIES if own.draining => write_shutting_down(out, attribute.flags, attribute.value),
            attr_code::EXTENDED_COMMUNITIES if to.external => write_transitive(out, attribute.flags, attribute.value),
            attr_code::ORIGIN
            | attr_code::MED
            | attr_code::LOCAL_PREF
            | attr_code::ATOMIC_AGGREGATE
            | attr_code::AGGREGATOR
            | attr_code::COMMUNITIES
            | attr_code::ORIGINATOR_ID
            | attr_code::CLUSTER_LIST
            | attr_code::EXTENDED_COMMUNITIES
            | attr_code::LARGE_COMMUNITIES
            | attr_code::OTC => write_attribute(out, attribute.flags, attribute.code, attribute.value),
            // RFC 4271 section 5: passed on with the Partial bit, because we do not know it.
            _ => write_attribute(out, attribute.flags | flag::PARTIAL, attribute.code, attribute.value),
        }
    }
    added.write_below(out, u8::MAX);
}

/// Attributes that the received set does not have and the peer must see, by ascending code.
struct Added {
    pending: Vec<(u8, Vec<u8>)>,
}

impl Added {
    fn new(own: &Own, set: &AttrSet, reflected: Option<Ipv4Addr>, to: &PeerFacts) -> Self {
        let mut pending = Vec::new();
        if !to.external && set.value(attr_code::LOCAL_PREF).is_none() {
            let mut bytes = Vec::new();
            let local_pref = if own.draining { 0 } else { set.local_pref };
            write_attribute(&mut bytes, flag::TRANSITIVE, attr_code::LOCAL_PREF, &local_pref.to_be_bytes());
            pending.push((attr_code::LOCAL_PREF, bytes));
        }
        if own.draining && set.value(attr_code::COMMUNITIES).is_none() {
            let mut bytes = Vec::new();
            write_shutting_down(&mut bytes, flag::OPTIONAL | flag::TRANSITIVE, &[]);
            pending.push((attr_code::COMMUNITIES, bytes));
        }
        if let Some(router_id) = reflected {
            if set.originator.is_none() {
                let mut bytes = Vec::new();
                write_attribute(&mut bytes, flag::OPTIONAL, attr_code::ORIGINATOR_ID, &router_id.octets());
                pending.push((attr_code::ORIGINATOR_ID, bytes));
            }
            let mut list = own.cluster_id.octets().to_vec();
            list.extend_from_slice(set.value(attr_code::CLUSTER_LIST).unwrap_or_default());
            let mut bytes = Vec::new();
            write_attribute(&mut bytes, flag::OPTIONAL, attr_code::CLUSTER_LIST, &list);
            pending.push((attr_code::CLUSTER_LIST, bytes));
        }
        // RFC 9234 section 5: what goes to a customer, a peer or a client is marked with our AS.
        let marks = |role| sells(role) || role == Role9234::Peer;
        if to.bgp_role.is_some_and(marks) && !set.scope.only_to_customer {
            let mut bytes = Vec::new();
            let flags = flag::OPTIONAL | flag::TRANSITIVE;
            write_attribute(&mut bytes, flags, attr_code::OTC, &own.asn.to_be_bytes());
            pending.push((attr_code::OTC, bytes));
        }
        Self { pending }
    }

    fn write_below(&mut self, out: &mut Vec<u8>, code: u8) {
        while self.pending.first().is_some_and(|(own, _)| *own < code) {
            let (_, bytes) = self.pending.remove(0);
            out.extend_from_slice(&bytes);
        }
    }
}

fn write_path(out: &mut Vec<u8>, own: &Own, path: AsPath<'_>, to: &PeerFacts) {
    if to.external {
        let overridden = to.as_override.then(|| replace_as(path, to.asn, own.asn));
        let path = overridden.as_deref().map_or(path, AsPath::new);
        // RFC 5065 4.1: what is inside a confederation does not leave it, also when somebody lets it pass to us.
        let inside = path.segments().any(|segment| segment.kind.is_confederation());
        let outside = inside.then(|| without_confederation(path));
        let path = outside.as_deref().map_or(path, AsPath::new);
        let mut value = Vec::with_capacity(64);
        wire::prepend(&mut value, path, own.asn);
        wire::write_as_path(out, AsPath::new(&value), true);
    } else {
        wire::write_as_path(out, path, true);
    }
}

/// The path without the segments of RFC 5065, which another AS must treat as an error.
fn without_confederation(path: AsPath<'_>) -> Vec<u8> {
    let mut value = Vec::with_capacity(path.as_bytes().len());
    for segment in path.segments().filter(|segment| !segment.kind.is_confederation()) {
        value.push(segment.kind as u8);
        value.push(u8::try_from(segment.asns.len()).unwrap_or(u8::MAX));
        value.extend(segment.asns.flat_map(u32::to_be_bytes));
    }
    value
}

/// The path with every occurrence of one AS replaced by another, so that the peer does not take it for a loop.
fn replace_as(path: AsPath<'_>, from: u32, to: u32) -> Vec<u8> {
    let mut value = path.as_bytes().to_vec();
    let mut rest = value.as_mut_slice();
    // Segments: type, count, that many four-octet ASes.
    while let [_, count, tail @ ..] = rest {
        let (asns, next) = tail.split_at_mut(tail.len().min(usize::from(*count) * 4));
        for asn in asns.chunks_exact_mut(4).filter(|asn| **asn == from.to_be_bytes()) {
            asn.copy_from_slice(&to.to_be_bytes());
        }
        rest = next;
    }
    value
}

/// Communities with GRACEFUL_SHUTDOWN among them (RFC 8326 section 4.1).
fn write_shutting_down(out: &mut Vec<u8>, flags: u8, value: &[u8]) {
    let Community(mark) = Community::GRACEFUL_SHUTDOWN;
    let mut value = value.to_vec();
    if !wire::communities(&value).any(|community| community == mark) {
        value.extend_from_slice(&mark.to_be_bytes());
    }
    write_attribute(out, flags, attr_code::COMMUNITIES, &value);
}

/// RFC 4360 section 6: non-transitive extended communities stay inside the AS.
fn write_transitive(out: &mut Vec<u8>, flags: u8, value: &[u8]) {
    const NON_TRANSITIVE: u8 = 0x40;
    let kept: Vec<u8> =
        value.chunks_exact(8).filter(|community| community[0] & NON_TRANSITIVE == 0).flatten().copied().collect();
    if !kept.is_empty() {
        write_attribute(out, flags, attr_code::EXTENDED_COMMUNITIES, &kept);
    }
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
