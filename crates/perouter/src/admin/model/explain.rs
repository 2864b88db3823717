//! The walk of a packet.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PeerRef, Route};

/// What becomes of a packet, and of the answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Explanation {
    /// Where it goes.
    pub(crate) address: IpAddr,
    /// Where it begins.
    pub(crate) from: Side,
    /// Its source: as asked, or what the kernel or the fabric's session suggests; `null` when neither does.
    pub(crate) source: Option<IpAddr>,
    /// It reaches somebody, and the answer comes back.
    pub(crate) good: bool,
    /// One sentence for each thing that is to be known, gravest first.
    pub(crate) verdicts: Vec<String>,
    /// Where it goes along.
    pub(crate) walk: Walk,
    /// Where the answer to `source` goes along; `null` without a source, or when nobody gets the packet.
    pub(crate) back: Option<Walk>,
    /// What BGP knows of the address; `null`: nothing.
    pub(crate) route: Option<Route>,
    /// The route of the source that fabric peers are told, for the answer to find the node; `null`: none, or not needed.
    pub(crate) announced: Option<Announced>,
}

/// What others are told of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Announced {
    /// The longest prefix with it.
    #[schemars(with = "String")]
    pub(crate) prefix: IpNet,
    /// Fabric peers that are told.
    pub(crate) to: Vec<PeerRef>,
}

/// Where a packet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    /// On the host.
    Host,
    /// In the fabric.
    Fabric,
}

/// One way of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Walk {
    /// Lookups in order.
    pub(crate) steps: Vec<Step>,
    /// It ends where it should.
    pub(crate) good: bool,
    /// How it ends, in one sentence.
    pub(crate) end: String,
}

/// One lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Step {
    /// Whose.
    pub(crate) place: Place,
    /// The link that the packet came over; `null`: it begins here.
    pub(crate) input: Option<String>,
    /// The policy rule, as `ip rule` shows it.
    pub(crate) rule: Option<String>,
    /// The route that decided.
    #[schemars(with = "Option<String>")]
    pub(crate) route: Option<IpNet>,
    /// Whose route it is, as `ip route` names it: `kernel`, `static`, `bgp`, ..; `perouter` for ours.
    pub(crate) protocol: Option<String>,
    /// Its metric.
    pub(crate) metric: Option<u32>,
    /// The next hop; `null`: the destination itself.
    pub(crate) next_hop: Option<IpAddr>,
    /// The link that it leaves over; `null`: it does not leave.
    pub(crate) link: Option<String>,
    /// The neighbour entry of the next hop: link-layer address and state; `null`: none yet.
    pub(crate) neighbor: Option<String>,
    /// What becomes of it here, in few words.
    pub(crate) fate: String,
}

/// A routing table's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// The host's namespace.
    Host,
    /// The router's.
    Router,
}

impl Place {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Router => "router",
        }
    }
}
