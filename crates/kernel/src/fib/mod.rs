//! Routes with our protocol number, each pointing at a next-hop group.
//!
//! Owns one netlink socket and all next-hop objects and groups of ours in one namespace. Told batches, in the
//! caller's group numbers; emits what the kernel refused. Does not keep the routes (the caller does): only those
//! that an earlier process left, until they are swept.
//!
//! **Shape**: route -> group -> next hop, for both families, also when a group has one member. A next hop is one
//! object for all groups that use it. Changing a group's members is one message, whatever the number of routes;
//! an IPv6 route without the group would make it linear. An IPv4 route may use an IPv6 next hop (RFC 8950), an
//! IPv6 route cannot use an IPv4 one. Next hops are on-link (`RTNH_F_ONLINK`): their reachability is the caller's
//! business, so that an unnumbered link or a gateway outside the link's prefixes works.
//!
//! **Identity**: protocol [`PROTOCOL`] (168) on routes and next hops, table main, metric 20. The metric is part of
//! a route's identity in the kernel and therefore constant. Ids of objects lie in [`HOP_IDS`] and [`GROUP_IDS`].
//! What others own is never touched.
//!
//! **Adoption**: [`Fib::open`] reads what an earlier process left. It stays in force; a group set again with the
//! same members takes over the group in the kernel, a route set again to it costs no message. A sweep removes the
//! rest.
//!
//! **Links that go down**: the kernel deletes their next hops, the groups left empty and all their routes without
//! telling (see [`crate::monitor`]). The caller sets the groups and routes again; a group that turns out to be
//! damaged is rebuilt with its next hops.

mod objects;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use rustix::io::Errno;

use crate::errno::explain;
use crate::netlink::constants::*;
use crate::netlink::{Attributes, Refusal, Socket};
use crate::netns::Namespace;
use crate::route::{self, Exit, Filter};
use objects::{Groups, SetGroup};

pub use crate::route::PROTOCOL;

/// Ids of our next-hop objects.
pub const HOP_IDS: Range<u32> = 0x5045_0000..0x5145_0000;
/// Ids of our next-hop groups.
pub const GROUP_IDS: Range<u32> = 0x5245_0000..0x5345_0000;
/// Metric (`RTA_PRIORITY`) of all our routes, that of FRR's and upstream's BGP routes.
pub const METRIC: u32 = 20;

/// Our routes.
const OURS: Filter = Filter { protocol: PROTOCOL, ..Filter::MAIN };

/// One way out: an on-link gateway on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// Gateway.
    pub gateway: IpAddr,
    /// Kernel index of the outgoing link.
    pub link: u32,
}

/// One unit of work; carried out in this order: set groups, routes, delete groups, sweep.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Groups by the caller's number, with their members in order.
    pub set_groups: Vec<(u32, Vec<Hop>)>,
    /// Routes by group number; `None` deletes.
    pub routes: Vec<(IpNet, Option<u32>)>,
    /// Groups no longer used. The kernel removes routes that still point there.
    pub delete_groups: Vec<u32>,
    /// Remove what an earlier process left and nobody has set again since.
    pub sweep: bool,
}

/// What the kernel refused, each with a sentence that names the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Routes that are not in the kernel as asked.
    pub failed_routes: Vec<(IpNet, String)>,
    /// Groups without a usable next hop. They are not in the kernel, and no route of theirs is.
    pub failed_groups: Vec<(u32, String)>,
    /// Groups that are in the kernel, but without some of their next hops.
    pub degraded_groups: Vec<(u32, String)>,
}

/// The FIB of a namespace: owns the netlink socket and the kernel's next-hop ids.
#[derive(Debug)]
pub struct Fib {
    socket: Socket,
    groups: Groups,
    /// Routes that an earlier process left and nobody has set or deleted since: the kernel's group id.
    /// `None`: the group was sent again, so the route may be gone.
    adopted: HashMap<IpNet, Option<u32>>,
}

impl Fib {
    /// Opens it and reads what an earlier process left there, which stays in force until swept.
    pub fn open(ns: &Namespace) -> io::Result<Self> {
        let mut socket = ns.run(Socket::open_writer)??;
        let groups = Groups::adopt(route::next_hops(&mut socket)?);
        let adopted = route::routes(&mut socket, OURS)?
            .into_iter()
            // A route of ours with another metric is of an older version: its key would not match.
            .filter(|route| route.metric == METRIC)
            .map(|route| (route.prefix, route.object))
            .collect();
        Ok(Self { socket, groups, adopted })
    }

    /// Carries a batch out. Blocks as long as the kernel needs. `Err` only when the kernel cannot be talked to.
    pub fn apply(&mut self, batch: &Batch) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        for (number, hops) in &batch.set_groups {
            let SetGroup { resent, problem } = self.groups.set(&mut self.socket, *number, hops)?;
            if let Some(id) = resent {
                self.distrust(id);
            }
            match problem {
                None => {}
                Some(problem) if self.groups.id(*number).is_some() => {
                    outcome.degraded_groups.push((*number, problem));
                }
                Some(problem) => outcome.failed_groups.push((*number, problem)),
            }
        }
        self.set_routes(&batch.routes, &mut outcome)?;
        for number in &batch.delete_groups {
            self.groups.delete(&mut self.socket, *number)?;
        }
        if batch.sweep {
            self.sweep()?;
        }
        let has_groups = !batch.set_groups.is_empty() || !batch.delete_groups.is_empty();
        if has_groups || batch.sweep {
            self.groups.purge(&mut self.socket)?;
        }
        Ok(outcome)
    }

    /// Routes adopted with this group may have vanished with an earlier one of the same id.
    fn distrust(&mut self, id: u32) {
        for object in self.adopted.values_mut() {
            if *object == Some(id) {
                *object = None;
            }
        }
    }

    fn set_routes(&mut self, routes: &[(IpNet, Option<u32>)], outcome: &mut Outcome) -> io::Result<()> {
        let mut batch = self.socket.batch();
        let mut sent: Vec<usize> = Vec::with_capacity(routes.len());
        let mut last: (u32, Option<u32>) = (0, self.groups.id(0));
        for (position, (prefix, group)) in routes.iter().enumerate() {
            let prefix = prefix.trunc();
            let adopted = if self.adopted.is_empty() { None } else { self.adopted.remove(&prefix) };
            let Some(number) = group else {
                batch.push(RTM_DELROUTE, 0, |a| route_request(a, prefix, None))?;
                sent.push(position);
                continue;
            };
            // Most routes have the group of the one before.
            if last.0 != *number {
                last = (*number, self.groups.id(*number));
            }
            let Some(id) = last.1 else {
                let why = outcome.failed_groups.iter().find(|(failed, _)| failed == number);
                let why = why.map_or("it was never set", |(_, why)| why.as_str());
                let text =
                    format!("cannot install route {prefix}: next-hop group {number} is not in the kernel: {why}");
                outcome.failed_routes.push((prefix, text));
                // What an earlier process left for this prefix is swept like any other.
                if let Some(object) = adopted {
                    self.adopted.insert(prefix, object);
                }
                continue;
            };
            if adopted == Some(Some(id)) {
                continue;
            }
            batch.push(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, |a| route_request(a, prefix, Some(id)))?;
            sent.push(position);
        }
        let refusals = batch.finish()?;
        self.report(routes, &sent, &refusals, outcome)
    }

    fn report(
        &mut self,
        routes: &[(IpNet, Option<u32>)],
        sent: &[usize],
        refusals: &[(usize, Refusal)],
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        let mut present = None;
        for (at, refusal) in refusals {
            let Some((prefix, group)) = sent.get(*at).and_then(|position| routes.get(*position)) else {
                continue;
            };
            let Some(number) = group else {
                // Gone already is what was wanted.
                if !matches!(refusal.errno, Errno::SRCH | Errno::NOENT) {
                    let text = explain(&format!("cannot delete route {prefix}"), refusal);
                    outcome.failed_routes.push((*prefix, text));
                }
                continue;
            };
            let present = match &mut present {
                Some(present) => present,
                none @ None => none.insert(route::Objects::new(route::next_hops(&mut self.socket)?)),
            };
            let there = self.groups.id(*number).is_some_and(|id| present.contains(id));
            let text = if there {
                let hops = self.groups.describe(*number);
                explain(&format!("cannot install route {prefix} via {hops}"), refusal)
            } else {
                format!(
                    "cannot install route {prefix}: the kernel has dropped its next-hop group {number} ({}), because \
                     the link went down; it is installed again when the link is up",
                    self.groups.describe(*number)
                )
            };
            outcome.failed_routes.push((*prefix, text));
        }
        Ok(())
    }

    /// Deletes what an earlier process left.
    fn sweep(&mut self) -> io::Result<()> {
        let mut batch = self.socket.batch();
        for (prefix, _) in self.adopted.drain() {
            batch.push(RTM_DELROUTE, 0, |a| route_request(a, prefix, None))?;
        }
        // Routes that are gone already, with their link or by hand, are what was wanted.
        batch.finish()?;
        self.adopted.shrink_to_fit();
        self.groups.sweep(&mut self.socket)
    }

    /// Removes every route and next-hop object of ours.
    pub fn clear(&mut self) -> io::Result<()> {
        // The kernel removes the routes of a group with it.
        let mut objects = route::next_hops(&mut self.socket)?;
        objects.retain(|object| object.protocol == PROTOCOL);
        objects.sort_by_key(|object| object.members.is_empty());
        let mut batch = self.socket.batch();
        for object in objects {
            batch.push(RTM_DELNEXTHOP, 0, |a| objects::delete_request(a, object.id))?;
        }
        batch.finish()?;
        let routes = route::routes(&mut self.socket, OURS)?;
        let mut batch = self.socket.batch();
        for route in routes {
            batch.push(RTM_DELROUTE, 0, |a| {
                route::identify(a, route.prefix, route.table, 0);
                a.u32(RTA_PRIORITY, route.metric);
            })?;
        }
        batch.finish()?;
        self.adopted.clear();
        self.groups = Groups::default();
        Ok(())
    }

    /// Number of routes of ours in the kernel.
    pub fn len(&mut self) -> io::Result<usize> {
        Ok(route::routes(&mut self.socket, OURS)?.len())
    }

    /// Whether the kernel has no route of ours.
    pub fn is_empty(&mut self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Routes of ours in the kernel with their next hops, as the kernel tells them.
    pub fn routes(&mut self) -> io::Result<Vec<(IpNet, Vec<Hop>)>> {
        let routes = route::routes(&mut self.socket, OURS)?;
        let objects = route::Objects::new(route::next_hops(&mut self.socket)?);
        let hop = |Exit { gateway, link }| Some(Hop { gateway: gateway?, link });
        Ok(routes
            .into_iter()
            .map(|route| {
                let exits = route.object.map_or(route.exits, |id| objects.exits(id));
                (route.prefix, exits.into_iter().filter_map(hop).collect())
            })
            .collect())
    }

    /// Messages that asked the kernel for a change since [`Self::open`].
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.socket.changes()
    }
}

/// Whether a process of ours has left next-hop objects in a namespace: every route of ours points at one.
pub fn has_leftovers(ns: &Namespace) -> io::Result<bool> {
    let mut socket = ns.run(Socket::open_writer)??;
    Ok(route::next_hops(&mut socket)?.iter().any(|object| object.protocol == PROTOCOL))
}

/// The body of a route request; without a group it is a key to delete.
fn route_request(a: &mut Attributes<'_>, prefix: IpNet, group: Option<u32>) {
    route::identify(a, prefix, OURS.table, 0);
    a.u32(RTA_PRIORITY, METRIC);
    if let Some(group) = group {
        a.u32(RTA_NH_ID, group);
    }
}
