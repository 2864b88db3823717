//! L3Passthrough: the veth pair and the BGP session between the node and its router.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{EmptyStatus, LabelSelector, PeerType};

/// The session between the node's own BGP speaker and the router.
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
    /// Nodes that this is for; every node when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// The session with the host.
    pub host_session: HostSession,
}

/// A session with the host.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.hostASN) || has(self.hostType)").message("either HostASN or HostType must be set"),
    validation = Rule::new("!has(self.hostASN) || !has(self.hostType)").message("HostASN and HostType cannot be set together")
)]
pub struct HostSession {
    /// The router's AS number; the same as the Underlay's.
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub asn: i64,
    /// The host's AS number. Exactly one of `hostASN` and `hostType` is set.
    #[serde(default, rename = "hostASN", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub host_asn: Option<i64>,
    /// `External`: any AS but the router's; `Internal`: the router's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_type: Option<PeerType>,
    /// Where the addresses of both ends come from.
    #[serde(rename = "localCIDR")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("LocalCIDR can't be changed"))]
    pub local_cidr: LocalCidr,
}

/// One CIDR per family, at least one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("has(self.ipv4) || has(self.ipv6)").message("at least one of ipv4 or ipv6 must be specified"))]
pub struct LocalCidr {
    /// IPv4 CIDR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// IPv6 CIDR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
}
