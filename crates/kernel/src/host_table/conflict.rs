//! Whose route it is that keeps ours out.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use super::HostTable;
use crate::link;
use crate::netlink::Socket;
use crate::netlink::constants::RTN_UNICAST;
use crate::route::{self, Exit, Filter, PROTOCOL, Route};

/// What the kernel has for a prefix, in our table and with our metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Present {
    /// What is wanted.
    Equal,
    /// Ours, with another gateway.
    Ours(Exit),
    /// Somebody else's, in words.
    Foreign(String),
}

/// The routes for some prefixes.
pub(super) struct Conflicts {
    routes: HashMap<IpNet, Vec<Route>>,
    /// Names of links, by index.
    links: HashMap<u32, String>,
}

impl Conflicts {
    pub(super) fn read(socket: &mut Socket, table: &HostTable, taken: &[(IpNet, IpAddr)]) -> io::Result<Self> {
        let prefixes: HashSet<IpNet> = taken.iter().map(|(prefix, _)| *prefix).collect();
        let mut routes: HashMap<IpNet, Vec<Route>> = HashMap::new();
        for route in route::every_kind(socket, Filter { table: table.table, ..Filter::default() })? {
            if route.metric == table.metric && prefixes.contains(&route.prefix) {
                routes.entry(route.prefix).or_default().push(route);
            }
        }
        let links = link::links(socket)?.into_iter().map(|link| (link.index, link.name)).collect();
        Ok(Self { routes, links })
    }

    pub(super) fn find(&self, prefix: IpNet, wanted: Exit) -> Option<Present> {
        let routes = self.routes.get(&prefix)?;
        let ours = |route: &&Route| route.protocol == PROTOCOL && route.kind == RTN_UNICAST;
        let exits = || routes.iter().filter(ours).flat_map(|route| &route.exits);
        if exits().any(|exit| *exit == wanted) {
            return Some(Present::Equal);
        }
        if let Some(exit) = exits().find(|exit| exit.link == wanted.link) {
            return Some(Present::Ours(*exit));
        }
        routes.first().map(|route| Present::Foreign(self.describe(route)))
    }

    /// "a route of protocol 186 (bgp) via 10.0.0.1 on eth0".
    fn describe(&self, route: &Route) -> String {
        let number = route.protocol;
        let mut text = match protocol_name(number) {
            Some(name) => format!("a route of protocol {number} ({name})"),
            None => format!("a route of protocol {number}"),
        };
        for Exit { gateway, link } in &route.exits {
            if let Some(gateway) = gateway {
                text += &format!(" via {gateway}");
            }
            text += &format!(" on {}", self.links.get(link).map_or("another link", String::as_str));
        }
        if let (true, Some(object)) = (route.exits.is_empty(), route.object) {
            text += &format!(" via next-hop object {object}");
        }
        text
    }
}

/// Names of `/etc/iproute2/rt_protos`.
pub(crate) fn protocol_name(number: u8) -> Option<&'static str> {
    Some(match number {
        2 => "kernel",
        3 => "boot, a person or a script",
        4 => "static",
        9 => "router advertisement",
        11 => "zebra",
        12 => "bird",
        16 => "dhcp",
        PROTOCOL => "ours, over another link",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        _ => return None,
    })
}
