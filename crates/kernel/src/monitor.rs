//! What happens in a namespace's kernel state.
//!
//! Owns one netlink socket that hears links, addresses, routes, next hops, and of the kernel settings those that the
//! kernel tells of (forwarding, `rp_filter`), and an eventfd that ends the wait.
//! Emits [`Changes`], coalesced: what happened is read anew by [`links`] and [`foreign_routes`], so that a
//! notification which was lost or came late costs nothing. Keeps only which links can hold next hops.
//!
//! Our own changes do not wake it: a socket filter drops what [`crate::fib`] asked for already in the kernel, or a
//! million routes would be a million wake-ups. It knows them by the port of the asking socket, so that a route or
//! next hop of ours which somebody else deletes is noticed: [`Changes::resync`].
//!
//! **What the kernel does without telling**: when a link goes down or loses its carrier, it deletes the next-hop
//! objects on that link, then the groups left empty, then all routes that pointed there. None of the three is
//! notified. The link's own notification is, so [`Changes::resync`] is set when a link stops being able to hold
//! next hops, also when it is up again by the time of the drain.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ipnet::IpNet;
use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::io::Errno;
use socket2::{SockFilter, SockRef};

use crate::fib::METRIC;
use crate::host::WAY_BACK;
use crate::link::{self, Link};
use crate::netlink::constants::*;
use crate::netlink::{Message, Socket, WRITER_PORTS, WRITER_PORTS_MASK};
use crate::netns::Namespace;
use crate::route::{self, Exit, Filter, Objects, PROTOCOL};
use crate::rule;

/// A link with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Kernel index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// Has carrier (operational state up or unknown).
    pub carrier: bool,
    /// How often the carrier came or went: routes over the link do not survive that.
    pub carrier_changes: u32,
    /// MTU in bytes.
    pub mtu: u32,
    /// Kind as the kernel names it ("veth", "vlan", ""), empty for hardware.
    pub kind: String,
    /// Addresses with prefix lengths; tentative and failed (DAD) ones left out.
    pub addresses: Vec<IpNet>,
}

/// A unicast route of the main table that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// Destination.
    pub prefix: IpNet,
    /// Gateway; `None` is on-link.
    pub gateway: Option<IpAddr>,
    /// Outgoing link.
    pub link: u32,
    /// Its metric.
    pub metric: u32,
}

/// All links of a namespace.
pub fn links(ns: &Namespace) -> io::Result<Vec<LinkInfo>> {
    let mut socket = ns.socket()?;
    let links = link::links(&mut socket)?;
    let addresses = link::addresses(&mut socket)?;
    let usable = |index: u32| {
        addresses
            .iter()
            .filter(move |address| address.link == index)
            .filter(|address| address.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == 0)
            .map(|address| address.net)
            .collect()
    };
    Ok(links
        .into_iter()
        .map(|link| LinkInfo {
            index: link.index,
            up: link.up(),
            carrier: link.carrier(),
            carrier_changes: link.carrier_changes,
            mtu: link.mtu,
            addresses: usable(link.index),
            name: link.name,
            kind: link.kind,
        })
        .collect())
}

/// All unicast routes of the main table that were not installed by us, default routes included. A route with
/// several next hops appears once for each.
pub fn foreign_routes(ns: &Namespace) -> io::Result<Vec<RouteInfo>> {
    let mut socket = ns.socket()?;
    let routes = route::routes(&mut socket, Filter { foreign: true, ..Filter::MAIN })?;
    let unresolved = routes.iter().any(|route| route.exits.is_empty() && route.object.is_some());
    let objects = if unresolved { Objects::new(route::next_hops(&mut socket)?) } else { Objects::default() };
    let mut found = Vec::with_capacity(routes.len());
    for route in routes {
        let exits = match route.object {
            Some(object) if route.exits.is_empty() => objects.exits(object),
            Some(_) | None => route.exits,
        };
        let (prefix, metric) = (route.prefix, route.metric);
        found.extend(exits.into_iter().map(|Exit { gateway, link }| RouteInfo { prefix, gateway, link, metric }));
    }
    Ok(found)
}

/// What changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Links or addresses changed: call [`links`]. Or the way back to the host ([`crate::host`]) was removed, or a kernel
    /// setting changed.
    pub links: bool,
    /// Routes that are not ours changed: call [`foreign_routes`].
    pub routes: bool,
    /// Routes or next hops of ours changed or vanished without our asking, or notifications were lost (ENOBUFS):
    /// compare everything.
    pub resync: bool,
}

impl Changes {
    /// Notifications were lost: anything can have changed.
    const EVERYTHING: Self = Self { links: true, routes: true, resync: true };

    fn any(self) -> bool {
        self.links || self.routes || self.resync
    }
}

/// A subscription to kernel notifications.
#[derive(Debug)]
pub struct Monitor {
    namespace: Namespace,
    socket: Socket,
    stop: Arc<OwnedFd>,
    /// Links that can hold next hops, by index.
    holding: HashSet<u32>,
}

/// Ends a [`Monitor::wait`] from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<OwnedFd>);

impl Stopper {
    /// From here on every [`Monitor::wait`] returns at once, without changes.
    pub fn stop(&self) -> io::Result<()> {
        match rustix::io::write(&self.0, &1u64.to_ne_bytes()) {
            // A full counter is a stopped one as well.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Monitor {
    /// Subscribes in `ns`. What changes from here on is heard, so read [`links`] and [`foreign_routes`] afterwards.
    pub fn open(ns: &Namespace) -> io::Result<Self> {
        let groups = [
            RTNLGRP_LINK,
            RTNLGRP_IPV4_IFADDR,
            RTNLGRP_IPV6_IFADDR,
            RTNLGRP_IPV4_ROUTE,
            RTNLGRP_IPV6_ROUTE,
            RTNLGRP_IPV6_RULE,
            RTNLGRP_IPV4_NETCONF,
            RTNLGRP_IPV6_NETCONF,
            RTNLGRP_NEXTHOP,
        ];
        let mask = groups.into_iter().fold(0, |mask, group| mask | 1 << (group - 1));
        let socket = ns.run(move || Socket::bound(mask, 0))??;
        SockRef::from(&socket).attach_filter(&own_changes_filter())?;
        let holding = holding(ns)?;
        let stop = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { namespace: ns.clone(), socket, stop: Arc::new(stop), holding })
    }

    /// A handle that ends [`Self::wait`].
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    /// Blocks until something changed, then drains what is queued and says what it was. No change at all
    /// (`Changes::default()`) means that it was stopped.
    pub fn wait(&mut self) -> io::Result<Changes> {
        loop {
            let mut polled = [PollFd::new(&self.stop, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
            rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, None))?;
            if !polled[0].revents().is_empty() {
                return Ok(Changes::default());
            }
            let changes = self.drain()?;
            if changes.any() {
                return Ok(changes);
            }
        }
    }

    fn drain(&mut self) -> io::Result<Changes> {
        let mut changes = Changes::default();
        let mut lost = false;
        loop {
            let holding = &mut self.holding;
            let received = self.socket.try_receive(|message| note(&message, holding, &mut changes));
            match received.map_err(|error| (Errno::from_io_error(&error), error)) {
                Ok(()) => {}
                Err((Some(Errno::AGAIN), _)) if lost => {
                    self.holding = self::holding(&self.namespace)?;
                    return Ok(Changes::EVERYTHING);
                }
                Err((Some(Errno::AGAIN), _)) => return Ok(changes),
                Err((Some(Errno::NOBUFS), _)) => lost = true,
                Err((_, error)) => return Err(error),
            }
        }
    }
}

/// Links that can hold next hops. Asked on a socket of its own, so that the answer does not mix with notifications.
fn holding(namespace: &Namespace) -> io::Result<HashSet<u32>> {
    let links = link::links(&mut namespace.socket()?)?;
    Ok(links.iter().filter(|link| link.keeps_next_hops()).map(|link| link.index).collect())
}

/// Adds one notification to what is known to have changed.
pub(crate) fn note(message: &Message<'_>, holding: &mut HashSet<u32>, changes: &mut Changes) {
    let Message { kind, body, flags, .. } = *message;
    match kind {
        RTM_NEWLINK | RTM_DELLINK => {
            let Some(link) = link::parse(body) else {
                return;
            };
            changes.links = true;
            changes.resync |= !held(kind, &link, holding);
        }
        RTM_NEWADDR | RTM_DELADDR | RTM_NEWNETCONF => changes.links = true,
        RTM_NEWROUTE | RTM_DELROUTE => {
            let Some(route) = route::parse(body) else { return };
            let counts =
                route.table == RT_TABLE_MAIN.into() && route.kind == RTN_UNICAST && route.flags & RTM_F_CLONED == 0;
            changes.links |= route.table == WAY_BACK && kind == RTM_DELROUTE;
            changes.routes |= counts && route.protocol != PROTOCOL;
            // Ours, and not by us: our own requests do not come here. Or in place of ours, of whose end nothing is told.
            let replaced = kind == RTM_NEWROUTE && flags & NLM_F_REPLACE != 0 && route.metric == METRIC;
            changes.resync |= counts && (route.protocol == PROTOCOL || replaced);
        }
        RTM_DELRULE => changes.links |= rule::is_ours(body),
        RTM_NEWNEXTHOP | RTM_DELNEXTHOP => {
            let Some(object) = route::parse_next_hop(body) else { return };
            // A change of somebody else's object changes the routes that use it.
            changes.routes |= object.protocol != PROTOCOL;
            changes.resync |= object.protocol == PROTOCOL && kind == RTM_DELNEXTHOP;
        }
        _ => {}
    }
}

/// Whether the next hops on a link survived this notification.
fn held(kind: u16, link: &Link, holding: &mut HashSet<u32>) -> bool {
    if kind == RTM_NEWLINK && link.keeps_next_hops() {
        holding.insert(link.index);
        true
    } else {
        !holding.remove(&link.index)
    }
}

/// Drops notifications of what our own FIB sockets asked for: their port is in [`WRITER_PORTS`]. Each notification
/// is a datagram of its own that starts with `nlmsghdr`, the port at 12. Loads of classic BPF are big-endian, the
/// message is in the machine's order.
fn own_changes_filter() -> [SockFilter; 5] {
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let loaded = |number: u32| u32::from_be_bytes(number.to_ne_bytes());
    [
        SockFilter::new(LOAD_WORD, 0, 0, 12),
        SockFilter::new(AND, 0, 0, loaded(!WRITER_PORTS_MASK)),
        SockFilter::new(JUMP_EQUAL, 1, 0, loaded(WRITER_PORTS)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}
