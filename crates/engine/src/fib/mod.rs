//! What the kernel should hold: routes that point at next-hop groups.
//!
//! A batch is in flight until it is answered by [`crate::Event::FibAck`]. Changes that come meanwhile coalesce, the latest
//! wins; when they are many, a second batch is made of them behind the first one. Batches are carried out and answered in their order.
//! One that was not begun when the kernel was lost ([`crate::Event::FibLost`]) must not be carried out, only answered.

use std::net::IpAddr;

use ipnet::IpNet;

/// A next-hop group: the set of next hops that a route uses. Shared by all routes with the same set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// One way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// Gateway, always on-link on `link`.
    pub gateway: IpAddr,
    /// Kernel index of the outgoing link.
    pub link: u32,
}

/// A change of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// The group has these members from here on, at least one, in order.
    Set(GroupId, Vec<Hop>),
    /// The group is no longer used by any route.
    Delete(GroupId),
}

/// A change of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteChange {
    /// Destination.
    pub prefix: IpNet,
    /// The group it points at; `None` deletes the route.
    pub group: Option<GroupId>,
}

/// What to do to the kernel, in this order: groups set, routes, groups deleted, sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FibBatch {
    /// Number to acknowledge.
    pub id: u64,
    /// Groups to set or delete.
    pub groups: Vec<GroupChange>,
    /// Routes to set or delete.
    pub routes: Vec<RouteChange>,
    /// After this batch everything that an earlier process left and nobody asked for again is removed:
    /// the tables have converged.
    pub sweep: bool,
}

/// What to do to the host's own table: every route there leads to the router's end of the veth pair.
/// Answered by [`crate::Event::HostAck`]; one batch is in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostBatch {
    /// Number to acknowledge.
    pub id: u64,
    /// Routes to have (`true`) or not to have.
    pub routes: Vec<(IpNet, bool)>,
    /// After this batch everything that an earlier process left and nobody asked for again is removed.
    pub sweep: bool,
}

pub(crate) mod state;
