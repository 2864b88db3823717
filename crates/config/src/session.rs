//! A neighbour as written becomes a peer of the router. Shared by Underlays and the file of `perouter speak`.
//!
//! What this version cannot serve leaves the neighbour out, or is switched off, with a sentence that names the
//! field; the other neighbours are not concerned.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use engine::Family;
use engine::intent::{PeerIntent, RemoteAs, Role, Secret, Ttl};

use crate::types::{AddressFamily, AddressFamilyKind, Neighbor, PeerType};

/// Wait between attempts to connect with graceful restart: a restarted router has to be back before its routes
/// expire at the peers.
const QUICK_RETRY: Duration = Duration::from_secs(5);

/// What a neighbour's session depends on beside the neighbour itself.
pub(crate) struct Surroundings {
    /// Our AS.
    pub(crate) asn: u32,
    /// Whether graceful restart is on.
    pub(crate) graceful_restart: bool,
    /// Families that go with the neighbour's own unless it lists them.
    pub(crate) extra_families: Vec<Family>,
}

/// A field and a sentence about it. The field is relative to the neighbour and may be empty.
pub(crate) type Remark = (&'static str, String);

/// What became of a neighbour.
pub(crate) enum Built {
    /// A peer, with what it does not get.
    Peer(IpAddr, Box<PeerIntent>, Vec<Remark>),
    /// Left out.
    NotServed(Remark),
    /// Wrong.
    Invalid(Remark),
}

/// Makes a peer of a neighbour. `name` is its address when not given.
pub(crate) fn build(neighbor: &Neighbor, name: Option<&str>, role: Role, around: &Surroundings) -> Built {
    let not_served = |field, what: &str| {
        Built::NotServed((field, format!("{what}: this neighbor is left out, the others are not concerned")))
    };
    if let Some(interface) = &neighbor.interface {
        let what = format!("unnumbered neighbors (interface {interface}) are not served by this version");
        return not_served("interface", &what);
    }
    if let Some(range) = &neighbor.listen_range {
        let what = format!("listen ranges ({range}) are not served by this version");
        return not_served("listenRange", &what);
    }
    if let Some(secret) = neighbor.password_secret.as_ref().filter(|_| neighbor.password.is_none()) {
        let what = format!("the Secret \"{secret}\" is not read by this version, use password or passwordFile");
        return not_served("passwordSecret", &what);
    }
    let Some(text) = neighbor.address.as_deref() else {
        return Built::Invalid((
            "",
            "Either a valid Address, Interface name or ListenRange must be provided for Neighbor".into(),
        ));
    };
    let Ok(address) = text.parse::<IpAddr>() else {
        return Built::Invalid(("address", format!("Address must be a valid IPv4 or IPv6 address, got \"{text}\"")));
    };
    if let Some(remark) = useless(address) {
        return Built::Invalid(("address", remark));
    }
    let remote_as = match (neighbor.asn, neighbor.peer_type) {
        (Some(_), Some(_)) => {
            return Built::Invalid(("asn", "ASN and Type cannot be set together".into()));
        }
        (None, None) => return Built::Invalid(("asn", "either ASN or Type must be set".into())),
        (None, Some(PeerType::External)) => RemoteAs::External,
        (None, Some(PeerType::Internal)) => RemoteAs::Internal,
        (Some(asn), None) => match u32::try_from(asn) {
            Ok(asn) if asn > 0 => RemoteAs::Number(asn),
            Ok(_) | Err(_) => {
                return Built::Invalid(("asn", format!("asn must be 1 to 4294967295, got {asn}")));
            }
        },
    };
    let mut remarks = Vec::new();
    let families = match families(neighbor, address, around, &mut remarks) {
        Ok(families) => families,
        Err(what) => return not_served("addressFamilies", &what),
    };

    let internal = is_internal(remote_as, around.asn);
    let mut peer = PeerIntent::new(name.unwrap_or(text), role, remote_as, families);
    peer.extended_next_hop = address.is_ipv6() && peer.families.contains(&Family::Ipv4Unicast);
    if let Err(remark) = timers(neighbor, around, &mut peer) {
        return Built::Invalid(remark);
    }
    peer.port = match neighbor.port.map(u16::try_from) {
        None | Some(Ok(0)) => 179,
        Some(Ok(port)) => port,
        Some(Err(_)) => return Built::Invalid(("port", "port must be 0 to 16384".into())),
    };
    peer.password = neighbor.password.clone().map(Secret);
    peer.ttl = ttl(neighbor, role, internal);
    peer.allow_own_as = if role == Role::Fabric && !internal { 3 } else { 0 };
    if is_client(neighbor) {
        peer.reflector_client = engine::FamilySet::ALL;
    }
    if is_client(neighbor) && some_family_is_no_client(neighbor) {
        let what = "this version reflects all families of a session or none: all are reflected";
        remarks.push(("addressFamilies", what.into()));
    }
    if neighbor.bfd.is_some() {
        remarks.push(("bfd", "BFD is not active in this version: the session relies on its hold time".into()));
    }
    if neighbor.password_secret.is_some() {
        remarks.push(("passwordSecret", "the Secret is not read by this version: password is used".into()));
    }
    Built::Peer(address, Box::new(peer), remarks)
}

/// Whether a peer with this AS is in ours.
pub(crate) fn is_internal(remote_as: RemoteAs, asn: u32) -> bool {
    match remote_as {
        RemoteAs::Number(number) => number == asn,
        RemoteAs::External => false,
        RemoteAs::Internal => true,
    }
}

fn useless(address: IpAddr) -> Option<String> {
    let what = match address {
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        IpAddr::V6(v6) if is_link_local(v6) => {
            return Some(format!(
                "{address} is a link-local address, which means nothing without its interface: use interface, or a global address"
            ));
        }
        IpAddr::V4(_) | IpAddr::V6(_) => return None,
    };
    Some(format!("{address} is {what}: write the neighbor's own address"))
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local()
}

/// The families listed, or those of the address and of the surroundings. `Err`: none of those listed is served.
fn families(
    neighbor: &Neighbor,
    address: IpAddr,
    around: &Surroundings,
    remarks: &mut Vec<Remark>,
) -> Result<Vec<Family>, String> {
    let mut families = Vec::new();
    match neighbor.address_families.as_deref() {
        None | Some([]) => {
            families.push(if address.is_ipv4() { Family::Ipv4Unicast } else { Family::Ipv6Unicast });
            families.extend(around.extra_families.iter().copied());
        }
        Some(listed) => {
            for family in listed {
                match family.kind {
                    AddressFamilyKind::Ipv4Unicast => families.push(Family::Ipv4Unicast),
                    AddressFamilyKind::Ipv6Unicast => families.push(Family::Ipv6Unicast),
                    AddressFamilyKind::Evpn | AddressFamilyKind::Ipv4Vpn | AddressFamilyKind::Ipv6Vpn => {
                        let name = family.kind.name();
                        remarks.push(("addressFamilies", format!("{name} is not served by perouter: left out")));
                    }
                }
            }
            if families.is_empty() {
                let names: Vec<_> = listed.iter().map(|family| family.kind.name()).collect();
                return Err(format!("none of {} is served by perouter", names.join(", ")));
            }
        }
    }
    families.sort_unstable();
    families.dedup();
    Ok(families)
}

fn timers(neighbor: &Neighbor, around: &Surroundings, peer: &mut PeerIntent) -> Result<(), Remark> {
    let seconds = |value: i64| u16::try_from(value).ok().map(|value| Duration::from_secs(value.into()));
    match (neighbor.hold_time_seconds, neighbor.keepalive_time_seconds) {
        (None, None) => {}
        (Some(hold), Some(keepalive)) => {
            // Both travel in, or follow from, a field of 16 bits (RFC 4271 4.2).
            let too_big = |value| format!("must be 0 to 65535 seconds, got {value}");
            peer.hold_time = seconds(hold).ok_or(("holdTimeSeconds", too_big(hold)))?;
            peer.keepalive = seconds(keepalive).ok_or(("keepaliveTimeSeconds", too_big(keepalive)))?;
            if hold == 1 || hold == 2 {
                return Err(("holdTimeSeconds", "holdTimeSeconds must be 0 or >=3".into()));
            }
            if keepalive > hold {
                let what = "keepaliveTimeSeconds must be lower than or equal to holdTimeSeconds";
                return Err(("keepaliveTimeSeconds", what.into()));
            }
        }
        (_, _) => {
            let what = "holdTimeSeconds and keepaliveTimeSeconds must be both set or both unset";
            return Err(("holdTimeSeconds", what.into()));
        }
    }
    match neighbor.connect_time_seconds {
        Some(time) => {
            let what = || format!("connectTimeSeconds must be 1 to 65535, got {time}");
            peer.connect_retry =
                seconds(time).filter(|time| !time.is_zero()).ok_or_else(|| ("connectTimeSeconds", what()))?;
        }
        None if around.graceful_restart => peer.connect_retry = QUICK_RETRY,
        None => {}
    }
    Ok(())
}

fn ttl(neighbor: &Neighbor, role: Role, internal: bool) -> Ttl {
    // Speakers on the node may sit behind the node's own address, one hop further.
    if internal || role == Role::Host {
        return Ttl::System;
    }
    match neighbor.properties.as_deref().and_then(<[_]>::first) {
        Some(property) => {
            let hops = property.ebgp_multi_hop.as_ref().and_then(|parameters| parameters.ttl);
            Ttl::Multihop(hops.and_then(|hops| u8::try_from(hops).ok()).unwrap_or(255))
        }
        None => Ttl::Direct,
    }
}

fn has_client_flag(family: &AddressFamily) -> bool {
    family.properties.as_deref().is_some_and(|properties| !properties.is_empty())
}

fn is_client(neighbor: &Neighbor) -> bool {
    neighbor.address_families.iter().flatten().any(has_client_flag)
}

fn some_family_is_no_client(neighbor: &Neighbor) -> bool {
    neighbor.address_families.iter().flatten().any(|family| !has_client_flag(family))
}
