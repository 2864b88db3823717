//! Underlay: the router of a node and its fabric.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EmptyStatus, LabelSelector, Neighbor, any_object};

/// The router of a node: its AS, its interfaces, its fabric neighbours.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "network.openperouter.io",
    version = "v1alpha1",
    kind = "Underlay",
    plural = "underlays",
    namespaced,
    status = "EmptyStatus",
    doc = "The router of a node: its AS, the interfaces that it takes, its fabric neighbours."
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.srv6) || has(self.isis)").message("SRv6 can only be configured if isis is set"),
    validation = Rule::new(
        "!has(self.srv6) || (has(self.tunnelEndpoint) && has(self.tunnelEndpoint.cidrs) && self.tunnelEndpoint.cidrs.exists(c, cidr(c).ip().family() == 6))"
    ).message("SRv6 requires at least one IPv6 CIDR in tunnelEndpoint.cidrs"),
    validation = Rule::new(
        "!has(self.routeReflector) || !has(self.routeReflector.clusterID) || !has(self.routerIDCIDR) || !isCIDR(self.routerIDCIDR) || !isIP(self.routeReflector.clusterID) || !cidr(self.routerIDCIDR).containsIP(self.routeReflector.clusterID)"
    ).message("routeReflector.clusterID must be outside the routerIDCIDR range"),
)]
pub struct UnderlaySpec {
    /// The nodes that this is for; every node when unset or empty. Has no effect in a static file of the list form,
    /// which is for the node that it lies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// The router's AS number.
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub asn: i64,
    /// Where router ids come from: the router's id is host number node index + 1 of this IPv4 CIDR.
    #[serde(default = "default_router_id_cidr", rename = "routerIDCIDR")]
    pub router_id_cidr: String,
    /// The fabric's routers that we talk BGP to.
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-list-type" = "atomic"))]
    pub neighbors: Vec<Neighbor>,
    /// The interfaces that the router takes into its namespace, all of the same type.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = Rule::new("self.all(i, i.type == self[0].type)")
        .message("all interfaces must be of the same type, mixing NetworkDevice and CNIDevice is not supported"))]
    pub interfaces: Vec<UnderlayInterface>,
    /// Addresses of tunnel ends, for overlays. Their families are offered to neighbours that list none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-idle" =
        "it is for overlays, which perouter does not serve: no address is set up, only its families are offered to neighbors"))]
    pub tunnel_endpoint: Option<TunnelEndpoint>,
    /// Graceful restart (RFC 4724): on when present, also when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-default" = "off"))]
    pub graceful_restart: Option<GracefulRestart>,
    /// Route reflection (RFC 4456): on when present, also when empty. Routes are passed on between internal
    /// neighbours of which at least one has the property `routeReflectorClient` in that family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-default" = "off"))]
    pub route_reflector: Option<RouteReflector>,
    /// IS-IS, for L3VPN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object", extend("x-perouter-idle" =
        "it is for overlays, which perouter does not serve: it has no effect"))]
    pub isis: Option<serde_json::Value>,
    /// SRv6, for L3VPN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-idle" = "it is for overlays, which perouter does not serve: it has no effect"))]
    pub srv6: Option<Srv6>,
    /// Use of several equally good paths at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true, "x-perouter-default" = "64 paths, relaxed"))]
    pub multipath: Option<Multipath>,
    /// What decides between paths that are otherwise equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true))]
    pub best_path: Option<BestPath>,
    /// How many neighbours may exist because of `listenRange` at a time, all ranges together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), extend("x-perouter-ours" = true, "x-perouter-default" = "65535"))]
    pub listen_limit: Option<i64>,
    /// Whether peers hear of a route only once it is in the kernel, so that nobody sends packets here that cannot be
    /// forwarded yet. Otherwise they hear of it at once, and the kernel follows as fast as it takes routes. A withdrawal
    /// never waits; a route that the kernel refuses is not announced.
    #[serde(default)]
    #[schemars(extend("x-perouter-ours" = true))]
    pub advertise_after_fib: bool,
}

fn default_router_id_cidr() -> String {
    "10.0.0.0/24".into()
}

/// An interface that the router takes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == 'NetworkDevice' ? has(self.networkDevice) : !has(self.networkDevice)")
        .message("type/config mismatch: networkDevice must be set if and only if type is 'NetworkDevice'"),
    validation = Rule::new("self.type == 'CNIDevice' ? has(self.cniDevice) : !has(self.cniDevice)")
        .message("type/config mismatch: cniDevice must be set if and only if type is 'CNIDevice'")
)]
pub struct UnderlayInterface {
    /// What kind it is.
    #[serde(rename = "type")]
    pub kind: InterfaceKind,
    /// Which link of the node, for type `NetworkDevice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_device: Option<NetworkDevice>,
    /// Which CNI plugin makes the link, for type `CNIDevice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-idle" =
        "CNI devices are not served by this version: the link is not made; use a NetworkDevice"))]
    pub cni_device: Option<CniDevice>,
}

/// The kinds of interface there are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A link of the node.
    NetworkDevice,
    /// A link that a CNI plugin makes.
    #[serde(rename = "CNIDevice")]
    CniDevice,
}

/// A link of the node.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkDevice {
    /// Name of the link, such as `eth1` or `eno2.161`.
    #[schemars(length(min = 1, max = 15), regex(pattern = r"^[a-zA-Z][a-zA-Z0-9._-]*$"))]
    pub interface_name: String,
}

/// A link that a CNI plugin makes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == 'RawConfig' ? has(self.rawConfig) : !has(self.rawConfig)")
    .message("type/config mismatch: rawConfig must be set if and only if type is 'RawConfig'"))]
pub struct CniDevice {
    /// How it is described.
    #[serde(rename = "type")]
    pub kind: CniKind,
    /// A CNI configuration or configuration list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub raw_config: Option<serde_json::Value>,
    /// CNI capability arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub runtime_config: Option<serde_json::Value>,
    /// Name of the link.
    #[serde(default = "default_cni_interface")]
    #[schemars(length(min = 1, max = 15), regex(pattern = r"^[a-zA-Z][a-zA-Z0-9._-]*$"))]
    pub interface_name: String,
}

fn default_cni_interface() -> String {
    "net1".into()
}

/// How a CNI link is described.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CniKind {
    /// By a CNI configuration in full.
    RawConfig,
}

/// Addresses of tunnel ends.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct TunnelEndpoint {
    /// At most one CIDR per family; the address is host number node index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(
        validation = Rule::new("self.all(c, isCIDR(c))").message("all entries must be valid CIDRs"),
        validation = Rule::new("self.filter(c, isCIDR(c) && cidr(c).ip().family() == 4).size() <= 1")
            .message("at most one IPv4 CIDR is allowed"),
        validation = Rule::new("self.filter(c, isCIDR(c) && cidr(c).ip().family() == 6).size() <= 1")
            .message("at most one IPv6 CIDR is allowed")
    )]
    pub cidrs: Option<Vec<String>>,
}

/// Use of several equally good paths at once.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Multipath {
    /// The most paths that a route uses at once; 1 switches multipath off.
    #[serde(default = "default_max_paths")]
    #[schemars(range(min = 1, max = 64))]
    pub max_paths: i32,
    /// Whether paths through different neighbouring ASes count as equally good when they are equally long, as those of
    /// two top-of-rack switches with an AS of their own are.
    #[serde(default = "default_relax")]
    pub relax: bool,
}

/// What decides between paths that are otherwise equal.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BestPath {
    /// Whether among otherwise equal external paths the one that has been best stays (RFC 5004), so that a path that
    /// comes later changes nothing. Otherwise the lowest router id wins, whatever the order of arrival.
    #[serde(default)]
    pub prefer_oldest: bool,
}

fn default_max_paths() -> i32 {
    64
}

fn default_relax() -> bool {
    true
}

/// Graceful restart.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GracefulRestart {
    /// How long peers wait for us, in seconds.
    #[serde(default = "default_restart_time")]
    #[schemars(range(min = 1, max = 4095))]
    pub restart_time_seconds: i64,
    /// How long a restarted peer's paths are kept, in seconds.
    #[serde(default = "default_stale_path_time")]
    #[schemars(range(min = 1, max = 4095))]
    pub stale_path_time_seconds: i64,
}

fn default_restart_time() -> i64 {
    120
}

fn default_stale_path_time() -> i64 {
    360
}

/// Route reflection.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct RouteReflector {
    /// The cluster id (RFC 4456) of all routers that reflect for the same clients. Outside of `routerIDCIDR`.
    #[serde(default = "default_cluster_id", rename = "clusterID")]
    #[schemars(length(min = 7, max = 15))]
    #[x_kube(validation = Rule::new("isIP(self) && ip(self).family() == 4").message("clusterID must be a valid IPv4 address"))]
    pub cluster_id: String,
}

fn default_cluster_id() -> String {
    "192.0.2.1".into()
}

/// SRv6.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Srv6 {
    /// How packets are encapsulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encap_behavior: Option<EncapBehavior>,
    /// Where segment ids come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<Locator>,
}

/// How packets are encapsulated.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncapBehavior {
    /// With a segment routing header that lists every segment.
    #[serde(rename = "H.Encaps")]
    HEncaps,
    /// Without the first segment in the header.
    #[serde(rename = "H.Encaps.Red")]
    HEncapsRed,
}

/// Where segment ids come from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Locator {
    /// IPv6 CIDR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isCIDR(self) && cidr(self).ip().family() == 6").message("prefix must be an IPv6 CIDR"))]
    pub base_prefix: Option<String>,
    /// Layout of segment ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}
