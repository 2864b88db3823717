//! Routes in the host's own table, through the veth pair to the router.
//!
//! Owns one netlink socket in the host's namespace and, in one table, the routes with our protocol
//! ([`crate::fib::PROTOCOL`]), one metric, over one link. Told prefixes; emits what the kernel refused. Like
//! [`crate::fib`] it does not keep the routes, only those that an earlier process left, until they are swept.
//!
//! **Shape**: plain routes via the router's address of their family, on-link, without next-hop objects, which are
//! the host's to use. An IPv4 route goes via an IPv6 gateway when there is no other (RFC 8950). No sysctl of the
//! host is touched.
//!
//! **Others' routes** are never replaced nor removed: a route is made only where none with the same table, prefix and
//! metric is (`NLM_F_EXCL`, without which IPv4 puts ours before it and IPv6 beside it), and deleted only by its whole
//! key: protocol, metric, link and gateway.
//!
//! **The link goes down or away**: its routes go along, without a word. The same routes can be applied again, and
//! what was adopted before that is not taken for present ([`HostRoutes::apply`] looks at the link first).

pub(crate) mod conflict;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use rustix::io::Errno;

use crate::errno::explain;
use crate::link::{self, Link};
use crate::netlink::constants::*;
use crate::netlink::{Attributes, Refusal, Socket, family};
use crate::netns::Namespace;
use crate::route::{self, Exit, Filter, PROTOCOL};
use conflict::Conflicts;

/// Which table, and where its routes lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTable {
    /// Routing table, 1..=4294967295; 254 is main.
    pub table: u32,
    /// Metric (priority) of every route, 1..=4294967295.
    pub metric: u32,
    /// Name of the host's end of the veth pair.
    pub link: String,
    /// The router's addresses on it, one per family that there is.
    pub gateways: Vec<IpAddr>,
}

impl HostTable {
    /// The gateway of the prefix's family, else for IPv4 the IPv6 one.
    fn gateway(&self, prefix: IpNet) -> Option<IpAddr> {
        let same = |gateway: &&IpAddr| gateway.is_ipv4() == prefix.addr().is_ipv4();
        let other = || self.gateways.first().filter(|_| prefix.addr().is_ipv4());
        self.gateways.iter().find(same).or_else(other).copied()
    }

    fn name(&self) -> String {
        if self.table == RT_TABLE_MAIN.into() { "main".to_owned() } else { self.table.to_string() }
    }
}

/// A link in one of its lives: its routes live no longer than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    index: u32,
    carrier_changes: u32,
}

impl From<Link> for Life {
    fn from(link: Link) -> Self {
        Self { index: link.index, carrier_changes: link.carrier_changes }
    }
}

/// A set of prefixes, in a few bytes: enough to see that another one differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest {
    count: u64,
    sum: u64,
}

impl Digest {
    fn of<'a>(prefixes: impl IntoIterator<Item = &'a IpNet>) -> Self {
        let mut digest = Self::default();
        prefixes.into_iter().for_each(|prefix| digest.add(prefix));
        digest
    }

    fn add(&mut self, prefix: &IpNet) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash(prefix));
    }

    fn remove(&mut self, prefix: &IpNet) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash(prefix));
    }
}

fn hash(prefix: &IpNet) -> u64 {
    let mut hasher = DefaultHasher::new();
    prefix.hash(&mut hasher);
    hasher.finish()
}

/// Our routes in the host's table.
#[derive(Debug)]
pub struct HostRoutes {
    socket: Socket,
    table: HostTable,
    /// The link's life in which `adopted` was read.
    life: Option<Life>,
    /// Gateways of the routes that an earlier process left and nobody has set or deleted since.
    adopted: HashMap<IpNet, IpAddr>,
    /// What should be in the table: what was adopted and what was set since.
    believed: Digest,
}

impl HostRoutes {
    /// Opens the table in the host's namespace and reads what an earlier process left there.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn open(host: &Namespace, table: HostTable) -> io::Result<Self> {
        let mut socket = host.run(Socket::open_writer)??;
        let life = link::find(&mut socket, &table.link)?.map(Life::from);
        let mut routes = Self { socket, table, life, adopted: HashMap::new(), believed: Digest::default() };
        routes.adopted = routes.read()?;
        routes.believed = Digest::of(routes.adopted.keys());
        Ok(routes)
    }

    /// Our routes over the link as it was last seen, with their gateways.
    fn read(&mut self) -> io::Result<HashMap<IpNet, IpAddr>> {
        let Some(Life { index, .. }) = self.life else {
            return Ok(HashMap::new());
        };
        let filter = Filter { table: self.table.table, protocol: PROTOCOL, link: Some(index), ..Filter::default() };
        let mut found = route::routes(&mut self.socket, filter)?;
        found.retain(|route| route.metric == self.table.metric);
        let gateway = |exits: Vec<Exit>| exits.into_iter().find(|exit| exit.link == index)?.gateway;
        Ok(found.into_iter().filter_map(|route| Some((route.prefix, gateway(route.exits)?))).collect())
    }

    /// Looks whether the link is still the one whose routes were read; if not, reads them again.
    fn follow_link(&mut self) -> io::Result<Option<u32>> {
        let life = link::find(&mut self.socket, &self.table.link)?.map(Life::from);
        if life != self.life {
            self.life = life;
            if !self.adopted.is_empty() {
                let present = self.read()?;
                self.adopted.retain(|prefix, gateway| present.get(prefix) == Some(gateway));
            }
        }
        Ok(life.map(|life| life.index))
    }

    /// Whether exactly those routes are there that should be, and over the same link. Also `false` after a change that
    /// had been made already: the routes are not kept, only what they add up to.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn intact(&mut self) -> io::Result<bool> {
        let life = link::find(&mut self.socket, &self.table.link)?.map(Life::from);
        Ok(life == self.life && Digest::of(self.read()?.keys()) == self.believed)
    }

    /// Makes these routes present (`true`) or absent; returns those that the kernel refused, each with a sentence.
    ///
    /// # Errors
    /// When the kernel cannot be asked at all.
    pub fn apply(&mut self, routes: &[(IpNet, bool)]) -> io::Result<Vec<(IpNet, String)>> {
        let link = self.follow_link()?;
        let mut failed = Vec::new();
        let mut batch = self.socket.batch();
        // What was sent, for each message: the prefix, and the gateway if it makes a route.
        let mut sent: Vec<(IpNet, Option<IpAddr>)> = Vec::new();
        for (prefix, present) in routes {
            let prefix = prefix.trunc();
            let gateway = self.table.gateway(prefix);
            let Some(link) = link else {
                // With the link its routes are gone.
                if *present {
                    failed.push((prefix, no_link(&self.table, prefix)));
                }
                continue;
            };
            let left = self.adopted.remove(&prefix);
            match (*present, left) {
                (true, None) => self.believed.add(&prefix),
                (true, Some(_)) => {}
                (false, _) => self.believed.remove(&prefix),
            }
            match (*present, gateway) {
                (true, Some(gateway)) => {
                    if left == Some(gateway) {
                        continue;
                    }
                    if let Some(left) = left {
                        batch.push(RTM_DELROUTE, 0, |a| key(a, &self.table, prefix, Exit::via(left, link)))?;
                        sent.push((prefix, None));
                    }
                    batch.push(RTM_NEWROUTE, MAKE, |a| key(a, &self.table, prefix, Exit::via(gateway, link)))?;
                    sent.push((prefix, Some(gateway)));
                }
                (true, None) => failed.push((prefix, no_gateway(&self.table, prefix))),
                (false, gateway) => {
                    if let Some(gateway) = left.or(gateway) {
                        batch.push(RTM_DELROUTE, 0, |a| key(a, &self.table, prefix, Exit::via(gateway, link)))?;
                        sent.push((prefix, None));
                    }
                }
            }
        }
        let refusals = batch.finish()?;
        let mut taken = Vec::new();
        for (at, refusal) in refusals {
            match sent.get(at).copied() {
                Some((prefix, Some(gateway))) if refusal.errno == Errno::EXIST => taken.push((prefix, gateway)),
                Some((prefix, gateway)) => failed.extend(self.explained(prefix, gateway, &refusal)),
                None => {}
            }
        }
        if let Some(link) = link
            && !taken.is_empty()
        {
            self.settle(&taken, link, &mut failed)?;
        }
        self.disbelieve(routes, &failed);
        Ok(failed)
    }

    /// Takes back what was believed of routes that failed.
    fn disbelieve(&mut self, routes: &[(IpNet, bool)], failed: &[(IpNet, String)]) {
        if failed.is_empty() || self.life.is_none() {
            return;
        }
        let mut asked: HashMap<IpNet, bool> =
            routes.iter().map(|(prefix, present)| (prefix.trunc(), *present)).collect();
        for (prefix, _) in failed {
            match asked.remove(prefix) {
                Some(true) => self.believed.remove(prefix),
                Some(false) => self.believed.add(prefix),
                None => {}
            }
        }
    }

    /// Routes that the kernel has already: equal ones are what was wanted, ours with another gateway are replaced,
    /// others' stay.
    fn settle(&mut self, taken: &[(IpNet, IpAddr)], link: u32, failed: &mut Vec<(IpNet, String)>) -> io::Result<()> {
        let conflicts = Conflicts::read(&mut self.socket, &self.table, taken)?;
        let mut batch = self.socket.batch();
        let mut sent = Vec::new();
        for (prefix, gateway) in taken {
            let wanted = Exit::via(*gateway, link);
            match conflicts.find(*prefix, wanted) {
                Some(conflict::Present::Equal) => {}
                Some(conflict::Present::Foreign(text)) => {
                    let what = format!("cannot install route {prefix} in the host's table {}", self.table.name());
                    let metric = self.table.metric;
                    let remedy = "choose another metric or table for the host's routes, or remove that one";
                    failed.push((*prefix, format!("{what}: {text} has the same metric {metric}; {remedy}")));
                }
                Some(conflict::Present::Ours(exit)) => {
                    batch.push(RTM_DELROUTE, 0, |a| key(a, &self.table, *prefix, exit))?;
                    sent.push((*prefix, None));
                    batch.push(RTM_NEWROUTE, MAKE, |a| key(a, &self.table, *prefix, wanted))?;
                    sent.push((*prefix, Some(*gateway)));
                }
                // It went away in the meantime.
                None => {
                    batch.push(RTM_NEWROUTE, MAKE, |a| key(a, &self.table, *prefix, wanted))?;
                    sent.push((*prefix, Some(*gateway)));
                }
            }
        }
        for (at, refusal) in batch.finish()? {
            if let Some((prefix, gateway)) = sent.get(at) {
                failed.extend(self.explained(*prefix, *gateway, &refusal));
            }
        }
        Ok(())
    }

    /// What a refusal means for the caller, if anything: a route that is to be absent is allowed to be.
    fn explained(&self, prefix: IpNet, gateway: Option<IpAddr>, refusal: &Refusal) -> Option<(IpNet, String)> {
        let HostTable { link, .. } = &self.table;
        let table = self.table.name();
        let what = match gateway {
            Some(gateway) => {
                format!("cannot install route {prefix} in the host's table {table} via {gateway} on {link}")
            }
            None if matches!(refusal.errno, Errno::SRCH | Errno::NOENT | Errno::NODEV) => return None,
            None => format!("cannot delete route {prefix} from the host's table {table}"),
        };
        Some((prefix, explain(&what, refusal)))
    }

    /// Removes what an earlier process left and nobody has asked for since.
    ///
    /// # Errors
    /// When the kernel cannot be asked at all.
    pub fn sweep(&mut self) -> io::Result<()> {
        let link = self.follow_link()?;
        let left = std::mem::take(&mut self.adopted);
        left.keys().for_each(|prefix| self.believed.remove(prefix));
        self.delete(link, left)
    }

    /// Removes every route of ours from the table, and nothing else.
    ///
    /// # Errors
    /// When the kernel cannot be asked at all.
    pub fn clear(&mut self) -> io::Result<()> {
        let link = self.follow_link()?;
        let routes = self.read()?;
        self.adopted.clear();
        self.believed = Digest::default();
        self.delete(link, routes)
    }

    fn delete(&mut self, link: Option<u32>, routes: HashMap<IpNet, IpAddr>) -> io::Result<()> {
        let Some(link) = link else { return Ok(()) };
        let mut batch = self.socket.batch();
        for (prefix, gateway) in routes {
            batch.push(RTM_DELROUTE, 0, |a| key(a, &self.table, prefix, Exit::via(gateway, link)))?;
        }
        // Routes that are gone already, with their link or by hand, are what was wanted.
        batch.finish()?;
        Ok(())
    }

    /// Routes of ours in the kernel, with their gateways.
    ///
    /// # Errors
    /// When the kernel cannot be asked at all.
    pub fn routes(&mut self) -> io::Result<Vec<(IpNet, IpAddr)>> {
        self.follow_link()?;
        Ok(self.read()?.into_iter().collect())
    }

    /// Messages that asked the kernel for a change since [`Self::open`].
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.socket.changes()
    }
}

/// Removes our routes over `link` from all tables of the host but `keep`: what an earlier process left that was
/// configured otherwise. Fine when there is no such link: no route is left then.
///
/// # Errors
/// When the kernel cannot be asked at all.
pub fn remove_others(host: &Namespace, link: &str, keep: Option<&HostTable>) -> io::Result<()> {
    let mut socket = host.run(Socket::open_writer)??;
    let Some(index) = link::find(&mut socket, link)?.map(|link| link.index) else {
        return Ok(());
    };
    let routes =
        route::routes(&mut socket, Filter { table: 0, protocol: PROTOCOL, link: Some(index), ..Filter::default() })?;
    let mut batch = socket.batch();
    for route in routes {
        let kept = keep.is_some_and(|keep| (keep.table, keep.metric) == (route.table, route.metric));
        let exit = route.exits.iter().find(|exit| exit.link == index);
        if let (false, Some(exit)) = (kept, exit) {
            batch.push(RTM_DELROUTE, 0, |a| whole_key(a, route.table, route.metric, route.prefix, *exit))?;
        }
    }
    batch.finish()?;
    Ok(())
}

/// Makes a route only where there is none with the same table, prefix and metric.
const MAKE: u16 = NLM_F_CREATE | NLM_F_EXCL;

/// The body of a request for one route: all of it, which is also the key to delete exactly that one.
fn key(a: &mut Attributes<'_>, table: &HostTable, prefix: IpNet, exit: Exit) {
    whole_key(a, table.table, table.metric, prefix, exit);
}

fn whole_key(a: &mut Attributes<'_>, table: u32, metric: u32, prefix: IpNet, exit: Exit) {
    route::identify(a, prefix, table, RTNH_F_ONLINK);
    a.u32(RTA_PRIORITY, metric);
    a.u32(RTA_OIF, exit.link);
    match exit.gateway {
        Some(gateway) if gateway.is_ipv4() == prefix.addr().is_ipv4() => a.address(RTA_GATEWAY, gateway),
        Some(gateway) => {
            // struct rtvia: the family in two bytes, then the address.
            let mut via = u16::from(family(gateway)).to_ne_bytes().to_vec();
            match gateway {
                IpAddr::V4(gateway) => via.extend(gateway.octets()),
                IpAddr::V6(gateway) => via.extend(gateway.octets()),
            }
            a.bytes(RTA_VIA, &via);
        }
        None => {}
    }
}

fn no_link(table: &HostTable, prefix: IpNet) -> String {
    let HostTable { link, .. } = table;
    format!(
        "cannot install route {prefix} in the host's table {}: there is no link {link}; it is tried again when it appears",
        table.name()
    )
}

fn no_gateway(table: &HostTable, prefix: IpNet) -> String {
    let family = if prefix.addr().is_ipv4() { "IPv4" } else { "IPv6" };
    format!(
        "cannot install route {prefix} in the host's table {}: the router has no {family} address on the passthrough; \
         give the host session's localCIDR an {family} prefix",
        table.name()
    )
}
