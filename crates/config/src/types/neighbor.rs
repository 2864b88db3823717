//! A BGP neighbour, as it stands in `Underlay.spec.neighbors` and in the file of `perouter speak`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AddPath, BgpRole, MaxPrefixes, PrefixRule, TtlSecurity};

/// A BGP neighbour.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.asn) || has(self.type)").message("either ASN or Type must be set"),
    validation = Rule::new("!has(self.asn) || !has(self.type)").message("ASN and Type cannot be set together"),
    validation = Rule::new("has(self.holdTimeSeconds) == has(self.keepaliveTimeSeconds)")
        .message("holdTimeSeconds and keepaliveTimeSeconds must be both set or both unset"),
    validation = Rule::new("!has(self.holdTimeSeconds) || self.holdTimeSeconds == 0 || self.holdTimeSeconds >= 3")
        .message("holdTimeSeconds must be 0 or >=3"),
    validation = Rule::new(
        "!has(self.holdTimeSeconds) || !has(self.keepaliveTimeSeconds) || self.keepaliveTimeSeconds <= self.holdTimeSeconds"
    ).message("keepaliveTimeSeconds must be lower than or equal to holdTimeSeconds"),
    validation = Rule::new("has(self.address) || has(self.interface) || has(self.listenRange)")
        .message("Either a valid Address, Interface name or ListenRange must be provided for Neighbor"),
    validation = Rule::new("!has(self.address) || !has(self.interface)")
        .message("Address and Interface cannot be set together for Neighbor"),
    validation = Rule::new("!has(self.listenRange) || !has(self.address)")
        .message("listenRange and address are mutually exclusive"),
    validation = Rule::new("!has(self.listenRange) || !has(self.interface)")
        .message("listenRange and interface are mutually exclusive"),
    validation = Rule::new(
        "!has(self.addressFamilies) || (has(self.type) && self.type == 'Internal') || !self.addressFamilies.exists(f, has(f.properties) && f.properties.exists(p, p.type == 'routeReflectorClient'))"
    ).message("routeReflectorClient requires type Internal"),
    validation = Rule::new(
        "!has(self.addressFamilies) || !self.addressFamilies.exists(f, f.type == 'evpn') || !self.addressFamilies.exists(f, f.type == 'ipv4vpn' || f.type == 'ipv6vpn')"
    ).message("EVPN and IPv4VPN/IPv6VPN address families are mutually exclusive"),
    validation = Rule::new(
        "!has(self.interface) || !has(self.addressFamilies) || !self.addressFamilies.exists(f, f.type == 'ipv4vpn' || f.type == 'ipv6vpn')"
    ).message("ipv4vpn and ipv6vpn address families are not supported for unnumbered (interface) neighbors"),
    validation = Rule::new(
        "!has(self.address) || !isIP(self.address) || ip(self.address).family() == 6 || !has(self.addressFamilies) || !self.addressFamilies.exists(f, f.type == 'ipv4vpn' || f.type == 'ipv6vpn')"
    ).message("ipv4vpn and ipv6vpn address families require an IPv6 neighbor address"),
    validation = Rule::new("!has(self.ttlSecurity) || !has(self.properties) || !self.properties.exists(p, p.type == 'ebgpMultiHop')")
        .message("ttlSecurity and ebgpMultiHop cannot be set together: write the distance as ttlSecurity.hops"),
)]
pub struct Neighbor {
    /// The neighbour's AS number. Exactly one of `asn` and `type` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub asn: Option<i64>,
    /// The neighbour's AS by its relation to ours.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub peer_type: Option<PeerType>,
    /// The neighbour's address, IPv4 or IPv6, not link-local. Exactly one of `address`, `interface` and `listenRange`
    /// is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 39))]
    #[x_kube(validation = Rule::new("isIP(self)").message("Address must be a valid IPv4 or IPv6 address"))]
    pub address: Option<String>,
    /// The interface behind which the neighbour is found (unnumbered): the router advertises itself there, listens for
    /// the other side's advertisements and connects to its link-local address. Must be one of the Underlay's
    /// interfaces. IPv4 routes then have IPv6 next hops (RFC 8950).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(
        validation = Rule::new("self.matches('^[^\\\\/:\\\\s]+$')").message("Interface must not contain /, :, or whitespace"),
        validation = Rule::new("self != '.' && self != '..'").message("Interface cannot be . or ..")
    )]
    pub interface: Option<String>,
    /// Accepts a session from any address of this CIDR. The router never connects to these neighbours. Ranges must not
    /// overlap; a neighbour with an `address` of its own keeps its own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 43))]
    #[x_kube(
        validation = Rule::new("isCIDR(self)").message("listenRange must be a valid CIDR"),
        validation = Rule::new("!isCIDR(self) || cidr(self).ip().family() != 6 || !cidr(self).ip().isLinkLocalUnicast()")
            .message("listenRange must not be an IPv6 link-local range")
    )]
    pub listen_range: Option<String>,
    /// The TCP port to connect to. 0 is the same as unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16384), extend("x-perouter-default" = "179"))]
    pub port: Option<i32>,
    /// TCP-MD5 key (RFC 2385): text without whitespace, at most 80 bytes. Holds for every neighbour of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^\S+$"))]
    pub password: Option<String>,
    /// Name of the Secret that holds the TCP-MD5 key under `password`. In files: `passwordFile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<String>,
    /// The hold time that we propose, in seconds: 0 (never expires), or 3 to 65535. Set together
    /// with `keepaliveTimeSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-default" = "180"))]
    pub hold_time_seconds: Option<i64>,
    /// How often we send a keepalive, in seconds, at most the hold time. A third of the negotiated hold time is used
    /// when that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-default" = "60"))]
    pub keepalive_time_seconds: Option<i64>,
    /// Longest wait between two attempts to connect, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), extend("x-perouter-default" = "120; 5 with graceful restart"))]
    pub connect_time_seconds: Option<i64>,
    /// More about the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub properties: Option<Vec<NeighborProperty>>,
    /// Bidirectional forwarding detection (RFC 5880). Present but empty is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-default" = "off"))]
    pub bfd: Option<Bfd>,
    /// What is exchanged. A list replaces the default, which is the family of the neighbour's address or range (IPv4
    /// unicast for an `interface`) and the families of the passthrough's `localCIDR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"],
        "x-perouter-default" = "follows from address and passthrough"))]
    pub address_families: Option<Vec<AddressFamily>>,
    /// What the neighbour may announce, both families in one list. Everything when unset; what matches no entry is
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-perouter-ours" = true, "x-perouter-default" = "everything"))]
    pub allowed_prefixes: Option<Vec<PrefixRule>>,
    /// How many prefixes the neighbour may announce, per family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"],
        "x-perouter-ours" = true, "x-perouter-default" = "no limit"))]
    pub max_prefixes: Option<Vec<MaxPrefixes>>,
    /// Accepts only packets that came over few hops (RFC 5082), so that nobody far away can reach the session. The
    /// neighbour must send with TTL 255, that is, have the same option. Present but empty is one hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true, "x-perouter-default" = "off"))]
    pub ttl_security: Option<TtlSecurity>,
    /// Refuses routes of an external neighbour whose path does not begin with its own AS. Switch it off for a route
    /// server, which leaves its AS out.
    #[serde(default, rename = "enforceFirstAS", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true, "x-perouter-default" = "true"))]
    pub enforce_first_as: Option<bool>,
    /// What we are to an external neighbour (RFC 9234). Told to it, and a session is refused when its own role does not
    /// match; routes of providers, peers and route servers are then passed to customers only. Unset: no role is told
    /// and none is looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true))]
    pub bgp_role: Option<BgpRole>,
    /// Treats routes whose path holds an AS_SET or AS_CONFED_SET as withdrawn (RFC 9774): nobody can tell which AS of a
    /// set a route came through. Otherwise they are accepted and passed on.
    #[serde(default)]
    #[schemars(extend("x-perouter-ours" = true))]
    pub reject_as_sets: bool,
    /// Several paths per prefix (RFC 7911), as far as the neighbour offers the same: all usable ones are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true, "x-perouter-default" = "off"))]
    pub add_path: Option<AddPath>,
}

/// A peer's AS by relation.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerType {
    /// Any AS but the router's.
    External,
    /// The router's AS.
    Internal,
}

/// More about a session.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.ebgpMultiHop) || self.type == 'ebgpMultiHop'")
    .message("ebgpMultiHop parameters can only be set when type is ebgpMultiHop"))]
pub struct NeighborProperty {
    /// Which property.
    #[serde(rename = "type")]
    pub kind: NeighborPropertyKind,
    /// How far away the neighbour is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ebgp_multi_hop: Option<EbgpMultiHop>,
}

/// The properties there are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum NeighborPropertyKind {
    /// The external neighbour is not directly connected.
    EbgpMultiHop,
}

/// Parameters of `ebgpMultiHop`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
pub struct EbgpMultiHop {
    /// How many hops away the neighbour is at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255), extend("x-perouter-default" = "255"))]
    pub ttl: Option<i32>,
}

/// Bidirectional forwarding detection. Present but empty: on, with 300 ms, 300 ms and 3.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Bfd {
    /// Shortest interval in which we can receive, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60000), extend("x-perouter-default" = "300"))]
    pub receive_interval: Option<i32>,
    /// Interval in which we want to send, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60000), extend("x-perouter-default" = "300"))]
    pub transmit_interval: Option<i32>,
    /// Packets lost in a row that mean down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 255), extend("x-perouter-default" = "3"))]
    pub detect_multiplier: Option<i32>,
    /// Who begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-default" = "Active"))]
    pub session_mode: Option<BfdMode>,
    /// Least TTL of received packets. It makes the session one over several hops (RFC 5883), as `ebgpMultiHop` does, for
    /// which it is 254 when unset.
    #[serde(default, rename = "minimumTTL", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 254))]
    pub minimum_ttl: Option<i32>,
}

/// Who begins a BFD session.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum BfdMode {
    /// We send from the start.
    Active,
    /// We wait for the other side.
    Passive,
}

/// A family that is exchanged with a neighbour.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct AddressFamily {
    /// Which family.
    #[serde(rename = "type")]
    pub kind: AddressFamilyKind,
    /// More about the family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub properties: Option<Vec<AddressFamilyProperty>>,
}

/// The families there are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum AddressFamilyKind {
    /// IPv4 unicast.
    Ipv4Unicast,
    /// IPv6 unicast.
    Ipv6Unicast,
    /// L2VPN EVPN.
    Evpn,
    /// VPN-IPv4.
    Ipv4Vpn,
    /// VPN-IPv6.
    Ipv6Vpn,
}

impl AddressFamilyKind {
    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4Unicast => "ipv4unicast",
            Self::Ipv6Unicast => "ipv6unicast",
            Self::Evpn => "evpn",
            Self::Ipv4Vpn => "ipv4vpn",
            Self::Ipv6Vpn => "ipv6vpn",
        }
    }
}

/// More about a family of a neighbour.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct AddressFamilyProperty {
    /// Which property.
    #[serde(rename = "type")]
    pub kind: AddressFamilyPropertyKind,
}

/// The properties a family can have.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum AddressFamilyPropertyKind {
    /// The neighbour is a route-reflector client (RFC 4456) in this family. Only for neighbours of type `Internal`,
    /// together with `routeReflector`.
    RouteReflectorClient,
}
