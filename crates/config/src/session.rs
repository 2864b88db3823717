//! Sessions as written become peers of the router. Neighbours are shared by Underlays and the file of
//! `perouter speak`; [`host`] is the session of a passthrough; [`options`] is what both have.
//!
//! What cannot be served leaves that neighbour out, or is switched off, with a sentence that names the field; the
//! other neighbours are not concerned. Pure.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use engine::intent::{GracefulRestart, PeerIntent, RangeIntent, RemoteAs, Role, Secret, Ttl};
use engine::{Family, Intent};
use ipnet::IpNet;

use crate::types::{AddPath, AddressFamily, AddressFamilyKind, BgpRole, Neighbor, PeerType};

pub(crate) mod host;
pub(crate) mod options;

/// Wait between attempts to connect with graceful restart: a restarted router has to be back before its routes
/// expire at the peers.
const QUICK_RETRY: Duration = Duration::from_secs(5);

/// Ends the sentence about a neighbour that is left out.
pub(crate) const LEFT_OUT: &str = ": this neighbor is left out, the others are not concerned";

/// What a neighbour's session depends on beside the neighbour itself.
pub(crate) struct Surroundings {
    /// Our AS.
    pub(crate) asn: u32,
    /// Graceful restart, if it is on.
    pub(crate) graceful_restart: Option<GracefulRestart>,
    /// Whether routes are reflected.
    pub(crate) reflects: bool,
    /// Families that go with the neighbour's own unless it lists them.
    pub(crate) extra_families: Vec<Family>,
    /// Links that the router has; unset: those of the namespace that it runs in, whatever they are.
    pub(crate) links: Option<Vec<String>>,
}

/// A field and a sentence about it. The field is relative to the neighbour and may be empty.
pub(crate) type Remark = (String, String);

/// A remark about a field whose name is fixed.
pub(crate) fn remark(field: &str, message: impl Into<String>) -> Remark {
    (field.to_owned(), message.into())
}

/// Where a neighbour is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this address.
    Address(IpAddr),
    /// Behind this link.
    Link(String),
    /// Anywhere in here.
    Range(IpNet),
}

/// What became of a neighbour.
pub(crate) struct Built {
    pub(crate) place: Place,
    pub(crate) peer: PeerIntent,
    /// What it does not get.
    pub(crate) remarks: Vec<Remark>,
}

impl Built {
    /// Puts the peer where it belongs, and returns the remarks.
    pub(crate) fn add_to(self, intent: &mut Intent) -> Vec<Remark> {
        match self.place {
            Place::Address(address) => drop(intent.peers.insert(address, self.peer)),
            Place::Link(link) => drop(intent.unnumbered.insert(link, self.peer)),
            Place::Range(prefix) => {
                intent.ranges.push(RangeIntent { prefix, link: None, limit: None, peer: self.peer });
            }
        }
        self.remarks
    }
}

/// Why nothing became of a neighbour.
pub(crate) enum Trouble {
    /// It cannot be served, the object that it stands in can.
    LeftOut(Remark),
    /// It is wrong, and with it the object.
    Invalid(Remark),
}

impl From<Remark> for Trouble {
    fn from(remark: Remark) -> Self {
        Self::Invalid(remark)
    }
}

/// Makes a peer of a neighbour. `name` follows from its place when not given; `unreadable` says why its key could not
/// be read.
pub(crate) fn build(
    neighbor: &Neighbor,
    name: Option<&str>,
    role: Role,
    unreadable: Option<&str>,
    around: &Surroundings,
) -> Result<Built, Trouble> {
    let place = place(neighbor)?;
    let remote_as = remote_as(neighbor.asn, neighbor.peer_type)
        .ok_or_else(|| remark("asn", "either ASN or Type must be set, and an ASN is 1 to 4294967295"))?;
    let mut remarks = Vec::new();
    let families = families(neighbor, &place, around, &mut remarks)?;
    let internal = is_internal(remote_as, around.asn);

    let name = name.map_or_else(|| default_name(&place, neighbor), str::to_owned);
    let mut peer = PeerIntent::new(name, role, remote_as, families);
    peer.extended_next_hop = match &place {
        Place::Link(_) => true,
        Place::Address(address) => address.is_ipv6() && peer.families.contains(&Family::Ipv4Unicast),
        Place::Range(range) => range.addr().is_ipv6() && peer.families.contains(&Family::Ipv4Unicast),
    };
    if let Place::Link(link) = &place {
        peer.link = Some(link.clone());
    }
    options::timers(neighbor.hold_time_seconds, neighbor.keepalive_time_seconds, &mut peer)?;
    peer.graceful_restart = around.graceful_restart;
    if around.graceful_restart.is_some() {
        peer.connect_retry = QUICK_RETRY;
    }
    options::connect_time(neighbor.connect_time_seconds, &mut peer)?;
    peer.port = match neighbor.port.map(u16::try_from) {
        None | Some(Ok(0)) => 179,
        Some(Ok(port)) => port,
        Some(Err(_)) => return Err(remark("port", "port must be 0 to 16384").into()),
    };
    peer.ttl = ttl(neighbor, role, internal);
    peer.bfd = options::bfd(neighbor.bfd.as_ref(), matches!(peer.ttl, Ttl::Multihop(_)))?;
    peer.ttl_security =
        match &neighbor.ttl_security {
            None => None,
            Some(security) => {
                let hops = u8::try_from(security.hops).ok().filter(|hops| (1..=254).contains(hops));
                Some(hops.ok_or_else(|| {
                    remark("ttlSecurity.hops", format!("hops must be 1 to 254, got {}", security.hops))
                })?)
            }
        };
    peer.allow_own_as = if role == Role::Fabric && !internal { 3 } else { 0 };
    peer.enforce_first_as = neighbor.enforce_first_as.unwrap_or(true);
    peer.bgp_role = neighbor.bgp_role.map(BgpRole::meaning);
    peer.add_path = neighbor.add_path.map(AddPath::meaning);
    peer.reject_as_sets = neighbor.reject_as_sets;
    peer.reflector_client = match role {
        // With iBGP on both sides a host would otherwise be told nothing of the fabric (RFC 4456).
        Role::Host if internal => peer.families.iter().copied().collect(),
        Role::Host | Role::Fabric | Role::Peer => clients(neighbor),
    };
    peer.allowed_prefixes = options::prefix_rules(neighbor.allowed_prefixes.as_deref(), "allowedPrefixes")?;
    peer.max_prefixes = options::max_prefixes(neighbor.max_prefixes.as_deref(), &peer.families, &mut remarks)?;
    peer.password = neighbor.password.clone().map(Secret);

    without_effect(neighbor, &place, &peer, role, around, &mut remarks);
    if let Some(why) =
        options::key(peer.password.is_some(), neighbor.password_secret.as_deref(), unreadable, &mut remarks)
    {
        return Err(left_out(why));
    }
    if let (Place::Link(link), Some(links)) = (&place, &around.links)
        && !links.contains(link)
    {
        let links = if links.is_empty() { "none".into() } else { links.join(", ") };
        let what = format!("{link} is not among the interfaces that this Underlay takes ({links}): add it there");
        return Err(left_out(remark("interface", what)));
    }
    Ok(Built { place, peer, remarks })
}

fn left_out((field, what): Remark) -> Trouble {
    Trouble::LeftOut((field, format!("{what}{LEFT_OUT}")))
}

fn place(neighbor: &Neighbor) -> Result<Place, Remark> {
    match (&neighbor.address, &neighbor.interface, &neighbor.listen_range) {
        (Some(text), None, None) => match text.parse::<IpAddr>() {
            Ok(address) => match useless(address) {
                Some(what) => Err(remark("address", what)),
                None => Ok(Place::Address(address)),
            },
            Err(_) => Err(remark("address", format!("Address must be a valid IPv4 or IPv6 address, got \"{text}\""))),
        },
        (None, Some(link), None) => Ok(Place::Link(link.clone())),
        (None, None, Some(text)) => match text.parse::<IpNet>().map(|range| range.trunc()) {
            Ok(IpNet::V6(range)) if is_link_local(range.addr()) => {
                Err(remark("listenRange", "listenRange must not be an IPv6 link-local range"))
            }
            Ok(range) if range.addr().is_multicast() => Err(remark(
                "listenRange",
                format!("{range} is a multicast range: write one of the neighbors' own addresses"),
            )),
            Ok(range) => Ok(Place::Range(range)),
            Err(_) => Err(remark("listenRange", format!("listenRange must be a valid CIDR, got \"{text}\""))),
        },
        (None, None, None) => {
            Err(remark("", "Either a valid Address, Interface name or ListenRange must be provided for Neighbor"))
        }
        (Some(_), Some(_), _) => Err(remark("", "Address and Interface cannot be set together for Neighbor")),
        (Some(_), None, Some(_)) => Err(remark("", "listenRange and address are mutually exclusive")),
        (None, Some(_), Some(_)) => Err(remark("", "listenRange and interface are mutually exclusive")),
    }
}

/// Ranges are called as upstream calls them: `internal@192.168.10.0/24`, `64512@192.168.11.0/24`.
fn default_name(place: &Place, neighbor: &Neighbor) -> String {
    match place {
        Place::Address(address) => address.to_string(),
        Place::Link(link) => link.clone(),
        Place::Range(range) => match (neighbor.asn, neighbor.peer_type) {
            (Some(asn), _) => format!("{asn}@{range}"),
            (None, Some(PeerType::Internal)) => format!("internal@{range}"),
            (None, Some(PeerType::External) | None) => format!("external@{range}"),
        },
    }
}

/// The AS that was written; `None` when neither or both were, or no AS at all.
pub(crate) fn remote_as(asn: Option<i64>, kind: Option<PeerType>) -> Option<RemoteAs> {
    match (asn, kind) {
        (Some(_), Some(_)) | (None, None) => None,
        (None, Some(PeerType::External)) => Some(RemoteAs::External),
        (None, Some(PeerType::Internal)) => Some(RemoteAs::Internal),
        (Some(asn), None) => u32::try_from(asn).ok().filter(|asn| *asn > 0).map(RemoteAs::Number),
    }
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

/// The families listed, or those of the place and of the surroundings.
fn families(
    neighbor: &Neighbor,
    place: &Place,
    around: &Surroundings,
    remarks: &mut Vec<Remark>,
) -> Result<Vec<Family>, Trouble> {
    let mut families = Vec::new();
    match neighbor.address_families.as_deref() {
        None | Some([]) => {
            families.push(match place {
                Place::Address(address) => Family::of(&IpNet::from(*address)),
                Place::Range(range) => Family::of(range),
                Place::Link(_) => Family::Ipv4Unicast,
            });
            families.extend(around.extra_families.iter().copied());
        }
        Some(listed) => {
            for family in listed {
                match served(family.kind) {
                    Some(family) => families.push(family),
                    None => {
                        let what = format!("{} is not served by perouter: left out", family.kind.name());
                        remarks.push(remark("addressFamilies", what));
                    }
                }
            }
            if families.is_empty() {
                let names: Vec<_> = listed.iter().map(|family| family.kind.name()).collect();
                let what = format!("none of {} is served by perouter", names.join(", "));
                return Err(left_out(remark("addressFamilies", what)));
            }
        }
    }
    families.sort_unstable();
    families.dedup();
    Ok(families)
}

fn served(family: AddressFamilyKind) -> Option<Family> {
    match family {
        AddressFamilyKind::Ipv4Unicast => Some(Family::Ipv4Unicast),
        AddressFamilyKind::Ipv6Unicast => Some(Family::Ipv6Unicast),
        AddressFamilyKind::Evpn | AddressFamilyKind::Ipv4Vpn | AddressFamilyKind::Ipv6Vpn => None,
    }
}

/// The families in which the neighbour is a route-reflector client.
fn clients(neighbor: &Neighbor) -> engine::FamilySet {
    let flagged =
        |family: &&AddressFamily| family.properties.as_deref().is_some_and(|properties| !properties.is_empty());
    neighbor.address_families.iter().flatten().filter(flagged).filter_map(|family| served(family.kind)).collect()
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

/// Options that are right and do nothing where they stand.
fn without_effect(
    neighbor: &Neighbor,
    place: &Place,
    peer: &PeerIntent,
    role: Role,
    around: &Surroundings,
    remarks: &mut Vec<Remark>,
) {
    if matches!(place, Place::Range(_)) {
        let dialled =
            [("port", neighbor.port.is_some()), ("connectTimeSeconds", neighbor.connect_time_seconds.is_some())];
        for (field, _) in dialled.into_iter().filter(|(_, set)| *set) {
            remarks.push(remark(field, "has no effect: we never connect to the neighbors of a listenRange"));
        }
    }
    let internal = is_internal(peer.remote_as, around.asn);
    if internal && neighbor.properties.as_ref().is_some_and(|properties| !properties.is_empty()) {
        remarks.push(remark("properties", "ebgpMultiHop has no effect on an internal neighbor"));
    }
    if role == Role::Fabric && !peer.reflector_client.is_empty() && !around.reflects {
        let what = "routeReflectorClient alone passes no routes on between neighbors: add routeReflector: {}";
        remarks.push(remark("addressFamilies", what));
    }
}
