//! A BGP neighbour, as it stands in `Underlay.spec.neighbors` and in the file of `perouter speak`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
)]
pub struct Neighbor {
    /// Its AS number. Exactly one of `asn` and `type` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub asn: Option<i64>,
    /// `External`: any AS but ours; `Internal`: ours.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub peer_type: Option<PeerType>,
    /// Its address. Exactly one of `address`, `interface` and `listenRange` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 39))]
    #[x_kube(validation = Rule::new("isIP(self)").message("Address must be a valid IPv4 or IPv6 address"))]
    pub address: Option<String>,
    /// The link behind which an unnumbered neighbour is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(
        validation = Rule::new("self.matches('^[^\\\\/:\\\\s]+$')").message("Interface must not contain /, :, or whitespace"),
        validation = Rule::new("self != '.' && self != '..'").message("Interface cannot be . or ..")
    )]
    pub interface: Option<String>,
    /// Accept sessions from any address of this range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 43))]
    #[x_kube(
        validation = Rule::new("isCIDR(self)").message("listenRange must be a valid CIDR"),
        validation = Rule::new("!isCIDR(self) || cidr(self).ip().family() != 6 || !cidr(self).ip().isLinkLocalUnicast()")
            .message("listenRange must not be an IPv6 link-local range")
    )]
    pub listen_range: Option<String>,
    /// TCP port to dial; 179 when unset or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16384))]
    pub port: Option<i32>,
    /// TCP-MD5 key (RFC 2385), without whitespace, at most 80 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^\S+$"))]
    pub password: Option<String>,
    /// Secret that holds the TCP-MD5 key under `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<String>,
    /// Proposed hold time in seconds: 0, or at least 3; 180 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_time_seconds: Option<i64>,
    /// Keepalive interval in seconds; 60 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive_time_seconds: Option<i64>,
    /// Longest wait between two attempts to connect, in seconds; 120 when unset, 5 with graceful restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub connect_time_seconds: Option<i64>,
    /// More about the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub properties: Option<Vec<NeighborProperty>>,
    /// Bidirectional forwarding detection (RFC 5880); off when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<Bfd>,
    /// What is exchanged; follows from the neighbour's address and the passthrough when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub address_families: Option<Vec<AddressFamily>>,
}

/// A peer's AS by relation.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerType {
    /// Any AS but ours.
    External,
    /// Our AS.
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
    /// Parameters of `ebgpMultiHop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ebgp_multi_hop: Option<EbgpMultiHop>,
}

/// The properties there are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum NeighborPropertyKind {
    /// The neighbour is not directly connected.
    EbgpMultiHop,
}

/// Parameters of `ebgpMultiHop`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
pub struct EbgpMultiHop {
    /// Hops away at most; 255 when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255))]
    pub ttl: Option<i32>,
}

/// Bidirectional forwarding detection. Present but empty: on, with 300 ms, 300 ms and 3.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Bfd {
    /// Shortest interval in which we can receive, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60000))]
    pub receive_interval: Option<i32>,
    /// Interval in which we want to send, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 60000))]
    pub transmit_interval: Option<i32>,
    /// Packets lost in a row that mean down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 255))]
    pub detect_multiplier: Option<i32>,
    /// Who begins; `Active` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_mode: Option<BfdMode>,
    /// Least TTL of received packets, for neighbours several hops away.
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
    /// More about it.
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
    /// The neighbour is a route-reflector client (RFC 4456).
    RouteReflectorClient,
}
