//! The object types, as users write them: upstream's group, kinds, field names, defaults and rules.
//!
//! One definition serves files and Kubernetes. kube's derive makes custom resource definitions of these structs, and
//! `schema` holds files against the very same schema and CEL rules. Structs hold text (a CIDR is a `String` here);
//! `compile` gives it meaning.
//!
//! Doc comments are what users read: the schema's descriptions and `docs/configuration.md` are made of them. Fields
//! carry marks beside, which custom resource definitions leave out: `x-perouter-ours` (unknown to upstream),
//! `x-perouter-default` (what holds when unset, where the schema gives no default) and `x-perouter-idle` (accepted, but
//! without effect in this version; the sentence goes into the object's verdict).

// kube's derive makes a `pub` copy of each struct inside a function.
#![allow(unreachable_pub)]

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

mod neighbor;
mod passthrough;
mod policy;
mod selector;
mod status;
mod underlay;

pub use neighbor::{
    AddressFamily, AddressFamilyKind, AddressFamilyProperty, AddressFamilyPropertyKind, Bfd, BfdMode, EbgpMultiHop,
    Neighbor, NeighborProperty, NeighborPropertyKind, PeerType,
};
pub use passthrough::{HostRoutes, HostSession, L3Passthrough, L3PassthroughSpec, LocalCidr};
pub use policy::{AddPath, BgpRole, LimitAction, MaxPrefixes, PrefixRule, TtlSecurity, UnicastFamily};
pub use selector::{BadOperator, LabelSelector, Requirement};
pub use status::{
    Condition, ConditionStatus, FailedKind, FailedReason, FailedResource, LinkStatus, NoSpec, NodeStatus, NotServed,
    ResourceStatus, RouterNodeConfigurationStatus, RouterStatus, SessionFamily, SessionStatus,
};
pub use underlay::{
    BestPath, CniDevice, CniKind, EncapBehavior, GracefulRestart, InterfaceKind, Locator, Multipath, NetworkDevice,
    RouteReflector, Srv6, TunnelEndpoint, Underlay, UnderlayInterface, UnderlaySpec,
};

/// Upstream's status of these kinds: nothing is ever written there.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
pub struct EmptyStatus {}

/// Schema of a JSON object whose content is somebody else's business.
fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true })
}
