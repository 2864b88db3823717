//! Reads what [`super::plan()`] needs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{DesiredHost, Observed, PT_HOST, SeenLink, SeenWay, WAY_BACK, plan, saved};
use crate::link::{self, Address, Link};
use crate::netlink::Socket;
use crate::netlink::constants::{IFA_F_TEMPORARY, RT_SCOPE_LINK};
use crate::netns::Namespace;
use crate::route::{self, Filter, PROTOCOL};
use crate::{rule, sysctl};

/// All links of one namespace with their addresses, and the number it gives to the other one.
struct Side {
    links: Vec<Link>,
    addresses: Vec<Address>,
    other: Option<u32>,
}

impl Side {
    fn read(socket: &mut Socket, other: Option<&Namespace>) -> io::Result<Self> {
        // The dump makes the kernel number the namespaces of peers, so it comes first.
        let links = link::links(socket)?;
        let addresses = link::addresses(socket)?;
        let other = other.map(|other| link::namespace_number(socket, other)).transpose()?.flatten();
        Ok(Self { links, addresses, other })
    }

    /// The lasting addresses of some links.
    fn on(&self, links: impl Fn(&Link) -> bool) -> impl Iterator<Item = IpAddr> {
        let indexes: BTreeSet<u32> = self.links.iter().filter(|link| links(link)).map(|link| link.index).collect();
        let here = self.addresses.iter().filter(move |address| indexes.contains(&address.link));
        here.filter(|address| lasting(address)).map(|address| address.net.addr())
    }

    /// `across`: the links of the other namespace.
    fn seen(&self, link: &Link, across: &[Link]) -> SeenLink {
        let crosses = link.kind == "veth" && link.peer_nsid.is_some() && link.peer_nsid == self.other;
        let peer = across.iter().find(|other| crosses && Some(other.index) == link.peer);
        SeenLink {
            name: link.name.clone(),
            kind: link.kind.clone(),
            up: link.up(),
            mtu: link.mtu,
            group: link.group,
            addresses: self.addresses.iter().filter(|a| a.link == link.index && lasting(a)).map(|a| a.net).collect(),
            peer: peer.map(|peer| peer.name.clone()),
        }
    }
}

/// Whether an address belongs to the configuration of its link: not made by the kernel, not temporary (RFC 8981).
fn lasting(address: &Address) -> bool {
    match address.net {
        IpNet::V4(_) => true,
        IpNet::V6(_) => address.scope < RT_SCOPE_LINK && address.flags & IFA_F_TEMPORARY == 0,
    }
}

pub(super) fn observe(host: &Namespace, desired: &DesiredHost) -> io::Result<Observed> {
    let saved = saved::read(&desired.state_dir)?;
    let router = Namespace::open(&desired.namespace)?;
    let mut host_socket = host.socket()?;
    let on_host = Side::read(&mut host_socket, router.as_ref())?;
    let (inside, rules, ways) = match &router {
        Some(router) => {
            let mut socket = router.socket()?;
            let inside = Side::read(&mut socket, Some(host))?;
            let rules = rule::ours(&mut socket)?;
            let ways = ways(&mut socket, &inside)?;
            (inside, rules, ways)
        }
        None => (Side { links: Vec::new(), addresses: Vec::new(), other: None }, Vec::new(), Vec::new()),
    };
    let veth = desired.veth.as_ref().map_or(PT_HOST, |veth| veth.host_name.as_str());
    let matters =
        |link: &&Link| link.name == veth || desired.nics.contains(&link.name) || saved.contains_key(&link.name);
    let sysctls = match &router {
        Some(router) => {
            let links = inside.links.iter().map(|link| link.name.as_str());
            let keys = plan::settings(links).into_iter().map(|setting| setting.key).collect();
            let values = sysctl::read(router, keys)?;
            values.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
        }
        None => BTreeMap::new(),
    };
    Ok(Observed {
        namespace: router.is_some(),
        host: on_host.links.iter().filter(matters).map(|link| on_host.seen(link, &inside.links)).collect(),
        router: inside.links.iter().map(|link| inside.seen(link, &on_host.links)).collect(),
        rules,
        ways,
        sysctls,
        saved,
        default_route: default_route(&mut host_socket, &on_host, desired)?,
        martians: martians(&on_host, &inside, desired),
    })
}

fn ways(socket: &mut Socket, inside: &Side) -> io::Result<Vec<SeenWay>> {
    let filter = Filter { table: WAY_BACK, protocol: PROTOCOL, ..Filter::default() };
    let mut ways = Vec::new();
    for route in route::routes(socket, filter)? {
        let exit = route.exits.first();
        let link = exit.and_then(|exit| inside.links.iter().find(|link| link.index == exit.link));
        ways.push(SeenWay {
            prefix: route.prefix,
            link: link.map(|link| link.name.clone()).unwrap_or_default(),
            gateway: exit.and_then(|exit| exit.gateway),
        });
    }
    Ok(ways)
}

/// Addresses that the host keeps although the router has them too, or will have once the desired NICs are moved.
fn martians(host: &Side, inside: &Side, desired: &DesiredHost) -> Vec<IpAddr> {
    let taken = |link: &Link| desired.nics.contains(&link.name);
    let routers: BTreeSet<IpAddr> = inside.on(|link| link.name != "lo").chain(host.on(|link| taken(link))).collect();
    let hosts: BTreeSet<IpAddr> = host.on(|link| !taken(link)).collect();
    hosts.intersection(&routers).copied().collect()
}

fn default_route(socket: &mut Socket, host: &Side, desired: &DesiredHost) -> io::Result<Vec<String>> {
    let mut found = BTreeSet::new();
    for link in host.links.iter().filter(|link| desired.nics.contains(&link.name)) {
        if route::routes(socket, Filter { link: Some(link.index), ..Filter::MAIN })?
            .iter()
            .any(|route| route.prefix.prefix_len() == 0)
        {
            found.insert(link.name.clone());
        }
    }
    Ok(found.into_iter().collect())
}
