//! What a peer may send, and how a session is guarded: shared by neighbours and host sessions.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A prefix, or the prefixes inside of one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new("!has(self.ge) || has(self.le)").message("ge needs le: without it only the prefix itself matches"),
    validation = Rule::new("!has(self.ge) || !has(self.le) || self.ge <= self.le").message("ge must be lower than or equal to le"),
    validation = Rule::new("!has(self.ge) || !isCIDR(self.prefix) || self.ge >= cidr(self.prefix).prefixLength()")
        .message("ge must not be lower than the length of prefix"),
    validation = Rule::new("!has(self.le) || !isCIDR(self.prefix) || self.le >= cidr(self.prefix).prefixLength()")
        .message("le must not be lower than the length of prefix"),
    validation = Rule::new("!has(self.le) || !isCIDR(self.prefix) || cidr(self.prefix).ip().family() == 6 || self.le <= 32")
        .message("le must not be higher than 32 for an IPv4 prefix"),
)]
pub struct PrefixRule {
    /// The prefix, such as `10.244.0.0/16`. Alone it stands for itself only; with `le` also for what lies inside of
    /// it.
    #[schemars(length(min = 1, max = 43))]
    #[x_kube(validation = Rule::new("isCIDR(self)").message("prefix must be a valid CIDR"))]
    pub prefix: String,
    /// Shortest length that matches. Needs `le`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 128), extend("x-perouter-default" = "the length of `prefix`"))]
    pub ge: Option<i32>,
    /// Longest length that matches: `le: 32` makes `10.244.0.0/16` stand for every prefix inside of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 128), extend("x-perouter-default" = "the length of `prefix`"))]
    pub le: Option<i32>,
}

/// How many prefixes a peer may announce in one family.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.restartSeconds) || self.action == 'Teardown'")
        .message("restartSeconds can only be set when action is Teardown")
)]
pub struct MaxPrefixes {
    /// The family that is counted.
    #[serde(rename = "type")]
    pub family: UnicastFamily,
    /// The most prefixes that the peer may announce, those that are refused for another reason included.
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub limit: i64,
    /// What happens beyond the limit.
    #[serde(default)]
    pub action: LimitAction,
    /// Connect again this many seconds after a teardown. Unset: not before its limit is changed, `perouter clear`, or a
    /// restart of the router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub restart_seconds: Option<i64>,
}

/// The families whose prefixes can be counted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum UnicastFamily {
    /// IPv4 unicast.
    Ipv4Unicast,
    /// IPv6 unicast.
    Ipv6Unicast,
}

/// What happens beyond a limit.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitAction {
    /// Say so in status and log, and keep the session.
    #[default]
    Warn,
    /// End the session and tell the peer why (Cease, maximum number of prefixes reached).
    Teardown,
}

/// Acceptance of packets by the distance that they came over (RFC 5082). Present but empty: one hop.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct TtlSecurity {
    /// How many hops away the neighbour is at most; packets from farther away are dropped by the kernel.
    #[serde(default = "one_hop")]
    #[schemars(range(min = 1, max = 254))]
    pub hops: i32,
}

fn one_hop() -> i32 {
    1
}

/// What we are to a neighbour, in business terms (RFC 9234).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum BgpRole {
    /// We are its provider.
    Provider,
    /// We are its customer.
    Customer,
    /// We are equals.
    Peer,
    /// We are a route server, it is our client.
    RouteServer,
    /// We are a client of its route server.
    RouteServerClient,
}

impl BgpRole {
    /// The role as the router knows it.
    pub(crate) fn meaning(self) -> engine::BgpRole {
        match self {
            Self::Provider => engine::BgpRole::Provider,
            Self::Customer => engine::BgpRole::Customer,
            Self::Peer => engine::BgpRole::Peer,
            Self::RouteServer => engine::BgpRole::RouteServer,
            Self::RouteServerClient => engine::BgpRole::RouteServerClient,
        }
    }
}

/// In which direction several paths per prefix may be sent (RFC 7911).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddPath {
    /// We may send several.
    Send,
    /// We accept several.
    Receive,
    /// Both.
    Both,
}

impl AddPath {
    /// What it is to the router.
    pub(crate) fn meaning(self) -> engine::AddPath {
        match self {
            Self::Send => engine::AddPath::Send,
            Self::Receive => engine::AddPath::Receive,
            Self::Both => engine::AddPath::Both,
        }
    }
}
