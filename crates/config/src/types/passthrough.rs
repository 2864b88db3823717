//! L3Passthrough: the veth pair and the BGP session between the node and its router.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{AddPath, Bfd, EmptyStatus, GracefulRestart, LabelSelector, MaxPrefixes, PeerType, PrefixRule};

/// Connects the node's own BGP speaker and traffic to the fabric through the router, without encapsulation.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "network.openperouter.io",
    version = "v1alpha1",
    kind = "L3Passthrough",
    plural = "l3passthroughs",
    namespaced,
    status = "EmptyStatus",
    doc = "Connects the node's own BGP speaker and traffic to the fabric through the router, without encapsulation."
)]
#[serde(rename_all = "camelCase")]
pub struct L3PassthroughSpec {
    /// The nodes that this is for; every node when unset or empty. Has no effect in a static file of the list form,
    /// which is for the node that it lies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// The session between the router and the node's own BGP speaker, such as MetalLB, Calico or Cilium.
    pub host_session: HostSession,
    /// Installs the fabric's routes in the node's own routing table, through the veth pair, for speakers that
    /// install none themselves (MetalLB in native mode, Cilium). Off when unset; present but empty is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true, "x-perouter-default" = "off"))]
    pub host_routes: Option<HostRoutes>,
}

/// The session between the router and the node's own BGP speaker.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.hostASN) || has(self.hostType)").message("either HostASN or HostType must be set"),
    validation = Rule::new("!has(self.hostASN) || !has(self.hostType)").message("HostASN and HostType cannot be set together"),
    validation = Rule::new("has(self.holdTimeSeconds) == has(self.keepaliveTimeSeconds)")
        .message("holdTimeSeconds and keepaliveTimeSeconds must be both set or both unset"),
    validation = Rule::new("!has(self.holdTimeSeconds) || self.holdTimeSeconds == 0 || self.holdTimeSeconds >= 3")
        .message("holdTimeSeconds must be 0 or >=3"),
    validation = Rule::new(
        "!has(self.holdTimeSeconds) || !has(self.keepaliveTimeSeconds) || self.keepaliveTimeSeconds <= self.holdTimeSeconds"
    ).message("keepaliveTimeSeconds must be lower than or equal to holdTimeSeconds"),
)]
pub struct HostSession {
    /// The router's AS number. Must be the same as the Underlay's `asn`.
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub asn: i64,
    /// The AS number of the node's speaker. Exactly one of `hostASN` and `hostType` is set.
    #[serde(default, rename = "hostASN", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub host_asn: Option<i64>,
    /// The AS of the node's speaker by its relation to the router's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_type: Option<PeerType>,
    /// Where the addresses of both ends of the veth pair come from, and with them the families that are exchanged.
    /// Cannot be changed in a cluster: delete the object and create it anew.
    #[serde(rename = "localCIDR")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("LocalCIDR can't be changed"))]
    pub local_cidr: LocalCidr,
    /// The hold time that the router proposes, in seconds: 0 (never expires), or 3 to 65535. Set together
    /// with `keepaliveTimeSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535), extend("x-perouter-ours" = true, "x-perouter-default" = "180"))]
    pub hold_time_seconds: Option<i64>,
    /// How often the router sends a keepalive, in seconds, at most the hold time. A third of the negotiated hold
    /// time is used when that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535), extend("x-perouter-ours" = true, "x-perouter-default" = "60"))]
    pub keepalive_time_seconds: Option<i64>,
    /// Longest wait between two attempts of the router to connect to the node's speaker, in seconds. The speaker may
    /// connect to the router at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535), extend("x-perouter-ours" = true, "x-perouter-default" = "5"))]
    pub connect_time_seconds: Option<i64>,
    /// TCP-MD5 key (RFC 2385): text without whitespace, at most 80 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^\S+$"), extend("x-perouter-ours" = true))]
    pub password: Option<String>,
    /// Name of the Secret that holds the TCP-MD5 key under `password`. In files: `passwordFile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("x-perouter-ours" = true))]
    pub password_secret: Option<String>,
    /// Graceful restart (RFC 4724) of this session. Unset: as on the Underlay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true, "x-perouter-default" = "as on the Underlay"))]
    pub graceful_restart: Option<GracefulRestart>,
    /// Bidirectional forwarding detection (RFC 5880) with the node's speaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true, "x-perouter-default" = "off"))]
    pub bfd: Option<Bfd>,
    /// What the node's speaker may announce, both families in one list. Everything when unset; what matches no entry
    /// is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-perouter-ours" = true, "x-perouter-default" = "everything"))]
    pub allowed_prefixes: Option<Vec<PrefixRule>>,
    /// How many prefixes the node's speaker may announce, per family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"],
        "x-perouter-ours" = true, "x-perouter-default" = "no limit"))]
    pub max_prefixes: Option<Vec<MaxPrefixes>>,
    /// Replaces the host's AS number by the router's in the paths that the host is sent. Needed where the speakers of
    /// several nodes share an AS number: each would otherwise refuse the others' routes as a loop.
    #[serde(default)]
    #[schemars(extend("x-perouter-ours" = true))]
    pub as_override: bool,
    /// Treats routes of the node's speaker whose path holds an AS_SET or AS_CONFED_SET as withdrawn (RFC 9774).
    /// Otherwise they are accepted and passed on.
    #[serde(default)]
    #[schemars(extend("x-perouter-ours" = true))]
    pub reject_as_sets: bool,
    /// Several paths per prefix (RFC 7911), as far as the neighbour offers the same: all usable ones are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true, "x-perouter-default" = "off"))]
    pub add_path: Option<AddPath>,
}

/// One CIDR per family, at least one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("has(self.ipv4) || has(self.ipv6)").message("at least one of ipv4 or ipv6 must be specified"))]
pub struct LocalCidr {
    /// IPv4 CIDR. The router has the same address of it on every node, the host has one that follows from the node's
    /// index: of `192.169.10.0/24` the router is `.1`, the host of node 0 is `.2`, of node 1 `.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// IPv6 CIDR, used in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
}

/// Which of the fabric's routes go where on the node.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HostRoutes {
    /// The routing table that they go to; 254 is the main table.
    #[serde(default = "main_table")]
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    #[x_kube(validation = Rule::new("self != 255").message("table 255 is the kernel's own table of local addresses"))]
    pub table: i64,
    /// Their metric. Routes of the node to the same destination with a lower metric win.
    #[serde(default = "default_metric")]
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub metric: i64,
    /// Which routes: those that match an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-perouter-default" = "all"))]
    pub prefixes: Option<Vec<PrefixRule>>,
    /// Whether default routes (`0.0.0.0/0`, `::/0`) are installed too. They would compete with the node's own.
    #[serde(default)]
    pub allow_default: bool,
}

fn main_table() -> i64 {
    254
}

fn default_metric() -> i64 {
    20
}
