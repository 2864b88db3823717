//! Carries a plan out.
//!
//! A failed step is an error with a sentence; what depends on it (the same link, or everything inside a namespace
//! that could not be made) is left out without further words, the rest is done.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use ipnet::{IpNet, Ipv6Net};
use rustix::io::Errno;

use super::op::{Missing, Op, Place};
use super::{DesiredHost, HostError, NIC_GROUP, WAY_BACK, saved};
use crate::link::{self, Link};
use crate::netlink::constants::*;
use crate::netlink::{Attributes, Socket};
use crate::netns::Namespace;
use crate::route::{self, Exit};
use crate::{rule, sysctl};

/// One namespace to work in.
struct Workplace {
    namespace: Namespace,
    socket: Socket,
}

impl Workplace {
    fn new(namespace: Namespace) -> io::Result<Self> {
        Ok(Self { socket: namespace.socket()?, namespace })
    }

    /// The link with this name; its absence is an error.
    fn link(&mut self, name: &str) -> io::Result<Link> {
        Ok(link::find(&mut self.socket, name)?.ok_or(Errno::NODEV)?)
    }

    fn add_address(&mut self, name: &str, address: IpNet) -> io::Result<()> {
        let index = self.link(name)?.index;
        match link::add_address(&mut self.socket, index, address) {
            Err(refusal) if refusal.errno != Errno::EXIST => Err(refusal.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn set_group(&mut self, name: &str, group: u32) -> io::Result<()> {
        let index = self.link(name)?.index;
        Ok(link::set(&mut self.socket, index, 0, 0, |a| a.u32(IFLA_GROUP, group))?)
    }

    /// Deletes a link; fine when it went with its peer.
    fn delete(&mut self, name: &str) -> io::Result<()> {
        match link::find(&mut self.socket, name)? {
            None => Ok(()),
            Some(found) => match link::delete(&mut self.socket, found.index) {
                Err(refusal) if refusal.errno != Errno::NODEV => Err(refusal.into()),
                Ok(()) | Err(_) => Ok(()),
            },
        }
    }

    /// Sets a NIC up, gives it its addresses and its group; tries all of it and tells the first failure.
    fn finish_nic(&mut self, name: &str, addresses: &[IpNet], group: u32) -> io::Result<()> {
        let mut result = link::set_up(&mut self.socket, name);
        for address in addresses {
            result = result.and(self.add_address(name, *address));
        }
        result.and(self.set_group(name, group))
    }
}

/// Moves a NIC with its addresses and finishes it there. The file is written first, so that nothing is lost if we
/// are stopped in between.
fn move_nic(
    from: &mut Workplace,
    to: &mut Workplace,
    state_dir: &Path,
    nic: &str,
    addresses: &[IpNet],
    group: u32,
) -> io::Result<()> {
    let index = from.link(nic)?.index;
    saved::write(state_dir, nic, addresses)?;
    link::move_to(&mut from.socket, index, &to.namespace)?;
    to.finish_nic(nic, addresses, group)
}

pub(super) fn apply(host: &Namespace, desired: &DesiredHost, ops: &[Op]) -> Vec<HostError> {
    let (host, router) = match open(host, &desired.namespace) {
        Ok(places) => places,
        Err(error) => {
            return vec![HostError::new(&desired.namespace, "open the namespaces", &error)];
        }
    };
    let mut work = Work { desired, host, router, broken: BTreeSet::new() };
    let mut errors = Vec::new();
    let mut no_router = false;
    for op in ops {
        if work.depends_on_failure(op) || (no_router && needs_router(op)) {
            continue;
        }
        if let Op::AwaitNic { nic, missing } = op {
            errors.push(HostError { step: Some(op.clone()), ..missing_nic(nic, missing, &desired.namespace) });
            continue;
        }
        if let Err(error) = work.carry_out(op) {
            errors.push(HostError::of(op, &error));
            work.broken.extend(breaks(op));
            no_router |= matches!(op, Op::EnsureNamespace { .. });
        }
    }
    errors
}

fn open(host: &Namespace, namespace: &str) -> io::Result<(Workplace, Option<Workplace>)> {
    let router = Namespace::open(namespace)?.map(Workplace::new).transpose()?;
    Ok((Workplace::new(host.clone())?, router))
}

fn missing_nic(nic: &str, missing: &Missing, namespace: &str) -> HostError {
    let message = match missing {
        Missing::Never => format!(
            "NIC \"{nic}\" does not exist on this node, neither on the host nor in the router's namespace; correct \
             the name (`ip link` lists what there is) or plug it in: it is taken as soon as it appears"
        ),
        Missing::Gone => format!(
            "NIC \"{nic}\" has left the router's namespace and is not on the host either: it was unplugged, or somebody \
             moved it elsewhere. Plug it in, or move it back with `ip link set {nic} netns {namespace}` where it is: it \
             is taken as soon as it appears"
        ),
        Missing::Renamed(name) => format!(
            "NIC \"{nic}\" was renamed to \"{name}\" in the router's namespace; it stays in use. Give it its name back \
             with `ip -n {namespace} link set dev {name} name {nic}`, or put {name} into the Underlay"
        ),
    };
    HostError::said(nic, message)
}

fn needs_router(op: &Op) -> bool {
    match op {
        Op::EnsureNamespace { .. } | Op::AwaitNic { .. } | Op::RestoreNic { .. } => false,
        Op::DeleteLink { place, .. }
        | Op::SetMtu { place, .. }
        | Op::RemoveAddress { place, .. }
        | Op::AddAddress { place, .. }
        | Op::LinkUp { place, .. } => *place == Place::Router,
        Op::SetSysctl { .. }
        | Op::ReturnNic { .. }
        | Op::MoveNic { .. }
        | Op::MarkNic { .. }
        | Op::CreateVeth { .. }
        | Op::AddRule { .. }
        | Op::RemoveRule { .. }
        | Op::AddWay { .. }
        | Op::RemoveWay { .. } => true,
    }
}

/// Has a link of the pair use its link-local address at once: nobody else can have it there, and speakers on the host that
/// need one (FRR for an IPv6 session) would wait a second and more for duplicate address detection.
fn trust_addresses(namespace: &Namespace, link: &str) -> io::Result<()> {
    match sysctl::write(namespace, &format!("net/ipv6/conf/{link}/accept_dad"), "0") {
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The links that nothing more can be done with once this step has failed.
fn breaks(op: &Op) -> Vec<(Place, String)> {
    match op {
        Op::CreateVeth { host_name, ns_name, .. } => {
            vec![(Place::Host, host_name.clone()), (Place::Router, ns_name.clone())]
        }
        Op::DeleteLink { place, link, .. } => vec![(*place, link.clone())],
        Op::EnsureNamespace { .. }
        | Op::SetSysctl { .. }
        | Op::ReturnNic { .. }
        | Op::RestoreNic { .. }
        | Op::MoveNic { .. }
        | Op::MarkNic { .. }
        | Op::AwaitNic { .. }
        | Op::SetMtu { .. }
        | Op::RemoveAddress { .. }
        | Op::AddAddress { .. }
        | Op::LinkUp { .. }
        | Op::AddRule { .. }
        | Op::RemoveRule { .. }
        | Op::AddWay { .. }
        | Op::RemoveWay { .. } => Vec::new(),
    }
}

struct Work<'a> {
    desired: &'a DesiredHost,
    host: Workplace,
    router: Option<Workplace>,
    broken: BTreeSet<(Place, String)>,
}

impl Work<'_> {
    fn depends_on_failure(&self, op: &Op) -> bool {
        let is_broken = |place: Place, link: &str| self.broken.iter().any(|(p, l)| *p == place && l == link);
        match op {
            Op::SetMtu { place, link, .. }
            | Op::RemoveAddress { place, link, .. }
            | Op::AddAddress { place, link, .. }
            | Op::LinkUp { place, link } => is_broken(*place, link),
            Op::AddWay { link, .. } => is_broken(Place::Router, link),
            Op::CreateVeth { host_name, ns_name, .. } => {
                is_broken(Place::Host, host_name) || is_broken(Place::Router, ns_name)
            }
            Op::EnsureNamespace { .. }
            | Op::SetSysctl { .. }
            | Op::ReturnNic { .. }
            | Op::RestoreNic { .. }
            | Op::MoveNic { .. }
            | Op::MarkNic { .. }
            | Op::AwaitNic { .. }
            | Op::DeleteLink { .. }
            | Op::AddRule { .. }
            | Op::RemoveRule { .. }
            | Op::RemoveWay { .. } => false,
        }
    }

    fn router(&mut self) -> io::Result<&mut Workplace> {
        self.router.as_mut().ok_or_else(|| io::Error::from(Errno::NOENT))
    }

    fn place(&mut self, place: Place) -> io::Result<&mut Workplace> {
        match place {
            Place::Host => Ok(&mut self.host),
            Place::Router => self.router(),
        }
    }

    fn carry_out(&mut self, op: &Op) -> io::Result<()> {
        let state_dir = self.desired.state_dir.as_path();
        match op {
            Op::EnsureNamespace { name } => {
                let (namespace, _) = Namespace::ensure(name)?;
                self.router = Some(Workplace::new(namespace)?);
                Ok(())
            }
            Op::SetSysctl { key, value, optional } => match sysctl::write(&self.router()?.namespace, key, value) {
                Err(error) if *optional && error.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result,
            },
            Op::MoveNic { nic, addresses, .. } => {
                let router = self.router.as_mut().ok_or(Errno::NOENT)?;
                move_nic(&mut self.host, router, state_dir, nic, addresses, NIC_GROUP)
            }
            Op::ReturnNic { nic, addresses } => {
                let router = self.router.as_mut().ok_or(Errno::NOENT)?;
                move_nic(router, &mut self.host, state_dir, nic, addresses, 0)?;
                saved::forget(state_dir, nic)
            }
            Op::RestoreNic { nic, addresses } => {
                self.host.finish_nic(nic, addresses, 0)?;
                saved::forget(state_dir, nic)
            }
            Op::MarkNic { nic } => self.router()?.set_group(nic, NIC_GROUP),
            // Said by the caller.
            Op::AwaitNic { .. } => Ok(()),
            Op::DeleteLink { place, link, .. } => self.place(*place)?.delete(link),
            Op::CreateVeth { host_name, ns_name, mtu } => {
                let router = self.router.as_mut().ok_or(Errno::NOENT)?;
                link::create_veth(&mut self.host.socket, host_name, ns_name, &router.namespace, *mtu)?;
                trust_addresses(&self.host.namespace, host_name)?;
                trust_addresses(&router.namespace, ns_name)
            }
            Op::SetMtu { place, link, mtu } => {
                let place = self.place(*place)?;
                let index = place.link(link)?.index;
                Ok(link::set(&mut place.socket, index, 0, 0, |a| a.u32(IFLA_MTU, *mtu))?)
            }
            Op::RemoveAddress { place, link, address } => {
                let place = self.place(*place)?;
                let index = place.link(link)?.index;
                match link::delete_address(&mut place.socket, index, *address) {
                    // It went with the first address of its subnet.
                    Err(refusal) if refusal.errno != Errno::ADDRNOTAVAIL => Err(refusal.into()),
                    Ok(()) | Err(_) => Ok(()),
                }
            }
            Op::AddAddress { place, link, address } => self.place(*place)?.add_address(link, *address),
            Op::LinkUp { place, link } => {
                let place = self.place(*place)?;
                let index = place.link(link)?.index;
                Ok(link::set(&mut place.socket, index, IFF_UP, IFF_UP, |_| {})?)
            }
            Op::AddRule { rule } => Ok(rule::add(&mut self.router()?.socket, rule)?),
            Op::RemoveRule { rule } => Ok(rule::delete(&mut self.router()?.socket, rule)?),
            Op::AddWay { link, gateway } => {
                let router = self.router()?;
                let exit = Exit::via(*gateway, router.link(link)?.index);
                let any = IpNet::V6(Ipv6Net::default());
                match router.socket.change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, |a| way(a, any, Some(exit))) {
                    Err(refusal) if refusal.errno != Errno::EXIST => Err(refusal.into()),
                    Ok(()) | Err(_) => Ok(()),
                }
            }
            Op::RemoveWay { way: seen } => {
                let router = self.router()?;
                let index = link::find(&mut router.socket, &seen.link)?.map(|link| link.index);
                let exit = index.map(|link| Exit { gateway: seen.gateway, link });
                match router.socket.change(RTM_DELROUTE, 0, |a| way(a, seen.prefix, exit)) {
                    Err(refusal) if !matches!(refusal.errno, Errno::SRCH | Errno::NOENT) => Err(refusal.into()),
                    Ok(()) | Err(_) => Ok(()),
                }
            }
        }
    }
}

/// A request for a route in [`WAY_BACK`]. On-link: the gateway is at the other end of the pair, whatever prefix length
/// the addresses have.
fn way(a: &mut Attributes<'_>, prefix: IpNet, exit: Option<Exit>) {
    route::identify(a, prefix, WAY_BACK, RTNH_F_ONLINK);
    if let Some(Exit { gateway, link }) = exit {
        a.u32(RTA_OIF, link);
        if let Some(gateway) = gateway {
            a.address(RTA_GATEWAY, gateway);
        }
    }
}
