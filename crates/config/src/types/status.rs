//! RouterNodeConfigurationStatus: what a node has made of the objects.
//!
//! Upstream's object, which has no spec: `failedResources` and `conditions` are as there. What follows them is ours.

// Columns are alike in part.
#![allow(clippy::duplicated_attributes)]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Nothing: the object has no spec. [`crate::crds`] takes the field out of the definition.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "network.openperouter.io",
    version = "v1alpha1",
    kind = "RouterNodeConfigurationStatus",
    plural = "routernodeconfigurationstatuses",
    namespaced,
    status = "NodeStatus",
    doc = "What a node has made of the Underlays and L3Passthroughs that select it. Has the node's name.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Degraded", type_ = "string", json_path = ".status.conditions[?(@.type==\"Degraded\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct NoSpec {}

/// What a node has made of the objects.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Whether what was written is in force: `Ready` and its opposite `Degraded`. Beside these, `SessionsEstablished`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
    /// Objects that select the node and are not in force, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub failed_resources: Option<Vec<FailedResource>>,
    /// Every object that selects the node, with the generation that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic", "x-perouter-ours" = true))]
    pub resources: Option<Vec<ResourceStatus>>,
    /// Kinds whose objects exist in the cluster and that this router does not serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic", "x-perouter-ours" = true))]
    pub not_served: Option<Vec<NotServed>>,
    /// The router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-perouter-ours" = true))]
    pub router: Option<RouterStatus>,
    /// The BGP sessions, those that are wanted and not there included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic", "x-perouter-ours" = true))]
    pub sessions: Option<Vec<SessionStatus>>,
    /// The links of the router's network namespace, without `lo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic", "x-perouter-ours" = true))]
    pub links: Option<Vec<LinkStatus>>,
    /// What is not as it should be or deserves a look, in sentences, gravest first; at most 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic", "x-perouter-ours" = true))]
    pub problems: Option<Vec<String>>,
}

/// A Kubernetes condition.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it says something of.
    #[serde(rename = "type")]
    #[schemars(length(max = 316))]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The generation of this object, which has no spec and hence only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When `status` changed last.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Why, in one word.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,
    /// Why, in a sentence.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// An object that is not in force.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct FailedResource {
    /// Its kind.
    pub kind: FailedKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Why, in one word.
    pub reason: FailedReason,
    /// Why: the field, its value, what is wrong with it and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub message: Option<String>,
}

/// Kinds that can fail.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedKind {
    /// Underlay.
    Underlay,
    /// L2VNI.
    L2VNI,
    /// L3VNI.
    L3VNI,
    /// Upstream's configuration of FRR.
    FrrConfiguration,
    /// L3Passthrough.
    L3Passthrough,
    /// L3VPN, which upstream's list lacks.
    L3VPN,
    /// RawFRRConfig, of a static file.
    RawFRRConfig,
    /// A static file that could not be read as objects.
    File,
}

/// Why an object is not in force.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedReason {
    /// What it says cannot be.
    ValidationFailed,
    /// What it depends on is not in force.
    DependencyFailed,
    /// Upstream's, about overlays.
    OverlayAttachmentFailed,
    /// Upstream's, about FRR.
    FrrConfigurationFailed,
}

/// What became of an object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// Its kind.
    pub kind: String,
    /// Its namespace; unset for one of a static file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The generation that this is about; unset for one of a static file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether this generation is in force.
    pub applied: bool,
    /// Why not, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why not, or what to know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub message: Option<String>,
}

/// A kind whose objects have no effect here.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct NotServed {
    /// The kind.
    pub kind: String,
    /// How many there are.
    pub objects: i64,
    /// Why they have no effect.
    pub message: String,
}

/// The router.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RouterStatus {
    /// Version of the program.
    pub version: String,
    /// Index of the node, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_index: Option<i64>,
    /// Its AS number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<i64>,
    /// Its BGP identifier.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "routerID")]
    pub router_id: Option<String>,
    /// Routes in the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes_installed: Option<i64>,
}

/// A BGP session.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatus {
    /// Address of the peer, with the link where the address alone says too little.
    pub peer: String,
    /// `fabric` or `host`.
    pub role: String,
    /// The peer's AS number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<i64>,
    /// `Established`, or the state in which it is not (RFC 4271 8.2.2).
    pub state: String,
    /// Since when it is established, or not.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// How often it was lost.
    pub lost: i64,
    /// What is exchanged, while it is established.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub families: Option<Vec<SessionFamily>>,
    /// Why the last session or attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Its BFD session: `Up`, `Down`, `Init` or `AdminDown`; unset when none is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<String>,
}

/// A family of a session.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct SessionFamily {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: String,
    /// Prefixes that the peer has sent.
    pub received: i64,
    /// Of these, those that are accepted.
    pub accepted: i64,
    /// Prefixes that it was sent.
    pub advertised: i64,
}

/// A link of the router's namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct LinkStatus {
    /// Its name.
    pub name: String,
    /// Whether it is up and has carrier.
    pub up: bool,
    /// In bytes.
    pub mtu: i64,
    /// With prefix lengths, without link-local ones.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub addresses: Vec<String>,
}
