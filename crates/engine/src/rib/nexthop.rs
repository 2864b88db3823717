//! Next-hop tracking: which next hops are usable, and through which link.
//!
//! Every distinct next hop of a received path is one entry, counted by the attribute sets that carry it. An
//! entry is resolved against the addresses of our links and the kernel's other routes (RFC 4271 9.1.2.1), and
//! again whenever those change; the caller then re-decides what depends on entries that changed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use smallvec::SmallVec;
use wire::NextHop;

use crate::event::{Link, UnderlyingRoute};
use crate::fib::Hop;
use crate::rib::table::PeerId;

/// A handle of a tracked next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NextHopId(pub(crate) u32);

/// What identifies a next hop: its addresses, and the link it must be on when the peer is bound to one or the
/// address means nothing without one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NextHopKey {
    pub(crate) next_hop: NextHop,
    pub(crate) via: Option<String>,
}

/// What is known of a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// We originate the path: nothing to forward to.
    Local,
    /// Usable through this hop.
    Via(Hop),
    /// Usable, as everything is without a FIB.
    Unchecked,
    /// One of our own addresses.
    Own,
    /// No link leads there.
    Unreachable,
}

impl Resolution {
    pub(crate) fn usable(self) -> bool {
        match self {
            Self::Local | Self::Via(_) | Self::Unchecked => true,
            Self::Own | Self::Unreachable => false,
        }
    }
}

#[derive(Debug)]
struct Entry {
    key: NextHopKey,
    resolution: Resolution,
    /// Metric of the kernel's route that leads there; zero on a connected network.
    cost: u32,
    refs: u32,
    /// Whose paths have it, and how many.
    users: SmallVec<[(PeerId, u32); 2]>,
    /// All peers that had it are gone: nobody vouches for it while their paths are being removed.
    orphaned: bool,
}

impl Entry {
    fn new(key: NextHopKey, (resolution, cost): (Resolution, u32)) -> Self {
        Self { key, resolution, cost, refs: 0, users: SmallVec::new(), orphaned: false }
    }
}

/// Where a resolved prefix leads.
#[derive(Clone, Copy, Debug)]
struct Way {
    gateway: Option<IpAddr>,
    link: u32,
    cost: u32,
}

/// Entries whose resolution or cost changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) ids: Vec<NextHopId>,
    /// One of them became, or ceased to be, an address of ours: import judges that.
    pub(crate) own: bool,
}

/// The configured neighbours on a link, at most one per family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Neighbors {
    pub(crate) v4: Option<Ipv4Addr>,
    pub(crate) v6: Option<Ipv6Addr>,
}

/// All tracked next hops.
#[derive(Debug)]
pub(crate) struct NextHops {
    entries: Vec<Entry>,
    free: Vec<u32>,
    index: BTreeMap<NextHopKey, NextHopId>,
    links: Vec<Link>,
    /// By name of the link.
    neighbors: BTreeMap<String, Neighbors>,
    underlying: Vec<UnderlyingRoute>,
    v4: PrefixMap<Ipv4Net, Way>,
    v6: PrefixMap<Ipv6Net, Way>,
    checked: bool,
}

impl NextHops {
    /// The entry of our own paths.
    pub(crate) const LOCAL: NextHopId = NextHopId(0);

    pub(crate) fn new() -> Self {
        let unspecified = NextHop::V4(Ipv4Addr::UNSPECIFIED);
        let key = NextHopKey { next_hop: unspecified, via: None };
        let local = Entry { refs: 1, ..Entry::new(key, (Resolution::Local, 0)) };
        Self {
            entries: vec![local],
            free: Vec::new(),
            index: BTreeMap::new(),
            links: Vec::new(),
            neighbors: BTreeMap::new(),
            underlying: Vec::new(),
            v4: PrefixMap::new(),
            v6: PrefixMap::new(),
            checked: true,
        }
    }

    /// The handle for a next hop. An entry that nobody retains is dropped by [`Self::release`].
    pub(crate) fn track(&mut self, key: NextHopKey) -> NextHopId {
        if let Some(&id) = self.index.get(&key) {
            return id;
        }
        let entry = Entry::new(key.clone(), self.resolve(&key));
        let id = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                NextHopId(slot)
            }
            None => {
                self.entries.push(entry);
                NextHopId(self.entries.len() as u32 - 1)
            }
        };
        self.index.insert(key, id);
        id
    }

    pub(crate) fn retain(&mut self, id: NextHopId) {
        self.entries[id.0 as usize].refs += 1;
    }

    pub(crate) fn release(&mut self, id: NextHopId) {
        let entry = &mut self.entries[id.0 as usize];
        entry.refs -= 1;
        if entry.refs == 0 && id != Self::LOCAL {
            let key = entry.key.clone();
            self.index.remove(&key);
            self.free.push(id.0);
        }
    }

    pub(crate) fn resolution(&self, id: NextHopId) -> Resolution {
        self.entries[id.0 as usize].resolution
    }

    /// A peer has one more path with it.
    pub(crate) fn used(&mut self, id: NextHopId, by: PeerId) {
        let users = &mut self.entries[id.0 as usize].users;
        match users.iter_mut().find(|(user, _)| *user == by) {
            Some((_, paths)) => *paths += 1,
            None => users.push((by, 1)),
        }
    }

    /// A peer has one path less with it.
    pub(crate) fn unused(&mut self, id: NextHopId, by: PeerId) {
        let users = &mut self.entries[id.0 as usize].users;
        if let Some(at) = users.iter().position(|(user, _)| *user == by) {
            users[at].1 -= 1;
            if users[at].1 == 0 {
                users.swap_remove(at);
            }
        }
    }

    /// A peer is gone: what only its paths have is unreachable from now on.
    pub(crate) fn orphan(&mut self, gone: PeerId) -> Moved {
        let only_its = |entry: &Entry| entry.refs > 0 && matches!(entry.users.as_slice(), [(user, _)] if *user == gone);
        let mut moved = Moved::default();
        for (slot, entry) in self.entries.iter_mut().enumerate().skip(1) {
            if only_its(entry) {
                entry.orphaned = true;
                entry.cost = 0;
                if std::mem::replace(&mut entry.resolution, Resolution::Unreachable) != Resolution::Unreachable {
                    moved.ids.push(NextHopId(slot as u32));
                }
            }
        }
        moved
    }

    /// Somebody announces it: if nobody vouched for it, somebody does again. Returns it if that changes it; no path had it but
    /// those that are being removed, so that there is nothing to decide again.
    pub(crate) fn adopt(&mut self, id: NextHopId) -> Option<NextHopId> {
        let entry = &mut self.entries[id.0 as usize];
        if !std::mem::take(&mut entry.orphaned) {
            return None;
        }
        let key = entry.key.clone();
        let (resolution, cost) = self.resolve(&key);
        let entry = &mut self.entries[id.0 as usize];
        let changed = (entry.resolution, entry.cost) != (resolution, cost);
        (entry.resolution, entry.cost) = (resolution, cost);
        changed.then_some(id)
    }

    /// How far it is (RFC 4271 9.1.2.2 e).
    pub(crate) fn cost(&self, id: NextHopId) -> u32 {
        self.entries[id.0 as usize].cost
    }

    pub(crate) fn next_hop(&self, id: NextHopId) -> NextHop {
        self.entries[id.0 as usize].key.next_hop
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Whether a link of this name is up.
    pub(crate) fn link_up(&self, name: &str) -> bool {
        self.links.iter().any(|link| link.up && link.name == name)
    }

    /// The link that has this address.
    pub(crate) fn link_of(&self, address: IpAddr) -> Option<&Link> {
        self.links.iter().find(|link| link.addresses.iter().any(|net| net.addr() == address))
    }

    /// Sets whether next hops must be reachable.
    pub(crate) fn set_checked(&mut self, checked: bool) -> Moved {
        self.checked = checked;
        self.update()
    }

    /// Takes the links as they are.
    pub(crate) fn set_links(&mut self, links: Vec<Link>) -> Moved {
        self.links = links;
        self.update()
    }

    /// Takes the configured neighbours of the links that peers are bound to.
    pub(crate) fn set_neighbors(&mut self, neighbors: BTreeMap<String, Neighbors>) -> Moved {
        if self.neighbors == neighbors {
            return Moved::default();
        }
        self.neighbors = neighbors;
        self.update()
    }

    /// Takes the kernel's other routes.
    pub(crate) fn set_underlying(&mut self, routes: Vec<UnderlyingRoute>) -> Moved {
        self.underlying = routes;
        self.update()
    }

    fn update(&mut self) -> Moved {
        self.v4 = PrefixMap::new();
        self.v6 = PrefixMap::new();
        let up: Vec<u32> = self.links.iter().filter(|link| link.up).map(|link| link.index).collect();
        let routes = self.underlying.iter().filter(|route| up.contains(&route.link));
        // The kernel lists routes to the same prefix by metric, and uses the first.
        for route in routes.rev() {
            insert(
                &mut self.v4,
                &mut self.v6,
                route.prefix,
                Way { gateway: route.gateway, link: route.link, cost: route.metric },
            );
        }
        // Last, so that a connected prefix wins over a route to the same prefix.
        for link in self.links.iter().filter(|link| link.up) {
            for net in &link.addresses {
                if net.prefix_len() < net.max_prefix_len() {
                    insert(&mut self.v4, &mut self.v6, net.trunc(), Way { gateway: None, link: link.index, cost: 0 });
                }
            }
        }
        let mut moved = Moved::default();
        for slot in 1..self.entries.len() {
            let entry = &self.entries[slot];
            if entry.refs == 0 {
                continue;
            }
            let (resolution, cost) =
                if entry.orphaned { (Resolution::Unreachable, 0) } else { self.resolve(&entry.key) };
            if (resolution, cost) != (entry.resolution, entry.cost) {
                moved.own |= resolution == Resolution::Own || entry.resolution == Resolution::Own;
                moved.ids.push(NextHopId(slot as u32));
                self.entries[slot].resolution = resolution;
                self.entries[slot].cost = cost;
            }
        }
        moved
    }

    fn resolve(&self, key: &NextHopKey) -> (Resolution, u32) {
        let address = key.next_hop.address();
        if self.link_of(address).is_some() {
            return (Resolution::Own, 0);
        }
        if !self.checked {
            return (Resolution::Unchecked, 0);
        }
        if let Some(name) = &key.via {
            let link = self.links.iter().find(|link| link.up && link.name == *name);
            let resolution = match link {
                Some(link) => {
                    let neighbors = self.neighbors.get(name).copied().unwrap_or_default();
                    Resolution::Via(Hop { gateway: preferred(&key.next_hop, link, neighbors), link: link.index })
                }
                None => Resolution::Unreachable,
            };
            return (resolution, 0);
        }
        let way = match address {
            IpAddr::V4(address) => self.v4.get_lpm(&Ipv4Net::from(address)).map(|(_, way)| *way),
            IpAddr::V6(address) => self.v6.get_lpm(&Ipv6Net::from(address)).map(|(_, way)| *way),
        };
        match way {
            Some(way) => (Resolution::Via(Hop { gateway: way.gateway.unwrap_or(address), link: way.link }), way.cost),
            None => (Resolution::Unreachable, 0),
        }
    }
}

/// The address to send to on a link: the announced one when the link has its prefix, else the link-local one where
/// there is one (RFC 2545 section 3), else the configured neighbour's. The last is for a neighbour that speaks from an
/// address of another link of its own: it need not answer for that on this link, and for IPv6 it does not.
fn preferred(next_hop: &NextHop, link: &Link, neighbors: Neighbors) -> IpAddr {
    let announced = next_hop.address();
    if link.addresses.iter().any(|net| net.contains(&announced)) {
        return announced;
    }
    match next_hop {
        NextHop::V4(_) => neighbors.v4.map_or(announced, IpAddr::V4),
        NextHop::V6 { link_local, .. } => link_local.or(neighbors.v6).map_or(announced, IpAddr::V6),
    }
}

fn insert(v4: &mut PrefixMap<Ipv4Net, Way>, v6: &mut PrefixMap<Ipv6Net, Way>, prefix: IpNet, way: Way) {
    match prefix {
        IpNet::V4(net) => {
            v4.insert(net, way);
        }
        IpNet::V6(net) => {
            v6.insert(net, way);
        }
    }
}
