//! What is to be done. Pure.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::op::{Missing, Op, Place, SeenWay};
use super::{DEFAULT_MTU, DesiredHost, DesiredVeth, NIC_GROUP, Observed, PT_HOST, PT_NS, Rule, SeenLink, WAY_BACK};

/// The port of BGP.
const BGP: u16 = 179;

/// A kernel setting that the router needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: &'static str,
    pub(super) optional: bool,
}

/// Settings of the namespace: path, value, whether kernels without it do without.
const SETTINGS: [(&str, &str, bool); 16] = [
    ("net/ipv6/conf/all/disable_ipv6", "0", false),
    ("net/ipv6/conf/default/disable_ipv6", "0", false),
    ("net/ipv4/conf/all/forwarding", "1", false),
    ("net/ipv6/conf/all/forwarding", "1", false),
    ("net/ipv4/conf/all/arp_accept", "1", false),
    ("net/ipv4/conf/default/arp_accept", "1", false),
    ("net/ipv6/conf/all/accept_untracked_na", "1", true), // since Linux 5.18
    ("net/ipv6/conf/default/accept_untracked_na", "1", true),
    ("net/ipv4/conf/all/rp_filter", "0", false),
    ("net/ipv4/conf/default/rp_filter", "0", false),
    ("net/ipv4/fib_multipath_hash_policy", "1", true),
    ("net/ipv6/fib_multipath_hash_policy", "1", true),
    ("net/ipv4/nexthop_compat_mode", "0", false),
    ("net/ipv6/conf/all/keep_addr_on_down", "1", true),
    ("net/ipv6/conf/default/keep_addr_on_down", "1", true),
    ("net/ipv6/conf/default/accept_ra", "0", true),
];

/// Settings of the namespace and of the links in it.
pub(super) fn settings<'a>(links: impl Iterator<Item = &'a str>) -> Vec<Setting> {
    let fixed =
        SETTINGS.iter().map(|(key, value, optional)| Setting { key: (*key).to_owned(), value, optional: *optional });
    // Links made later inherit `default`, those that are there do not.
    let own = links.flat_map(|link| {
        [
            // The stricter of `all` and the link's own counts.
            Setting { key: format!("net/ipv4/conf/{link}/rp_filter"), value: "0", optional: false },
            // What routers say is ours to read (crate::advertise), not for the kernel to make routes of.
            Setting { key: format!("net/ipv6/conf/{link}/accept_ra"), value: "0", optional: true },
        ]
    });
    fixed.chain(own).collect()
}

/// What is to be done, in order; empty when everything is as it should be. Pure.
#[must_use]
pub fn plan(desired: &DesiredHost, observed: &Observed) -> Vec<Op> {
    let mut ops = Vec::new();
    namespace(desired, observed, &mut ops);
    // First what leaves, then what comes: an address may move from one NIC to the other.
    leaving_nics(desired, observed, &mut ops);
    wanted_nics(desired, observed, &mut ops);
    match &desired.veth {
        Some(veth) => wanted_veth(veth, mtu(desired, observed), observed, &mut ops),
        None => no_veth(observed, &mut ops),
    }
    ops
}

fn namespace(desired: &DesiredHost, observed: &Observed, ops: &mut Vec<Op>) {
    if !observed.namespace {
        ops.push(Op::EnsureNamespace { name: desired.namespace.clone() });
    }
    if let Some(lo) = find(&observed.router, "lo")
        && !lo.up
    {
        ops.push(Op::LinkUp { place: Place::Router, link: lo.name.clone() });
    }
    let veth = desired.veth.as_ref().map(|veth| veth.ns_name.as_str());
    let used = observed.router.iter().map(|link| link.name.as_str());
    let used = used.filter(|name| Some(*name) == veth || desired.nics.iter().any(|nic| nic == name));
    for Setting { key, value, optional } in settings(used) {
        let is = observed.sysctls.get(&key).map(String::as_str);
        // In a namespace that is there, a setting without a value is one that the kernel does not have.
        let absent = is.is_none() && optional && observed.namespace;
        if is != Some(value) && !absent {
            ops.push(Op::SetSysctl { key, value: value.to_owned(), optional });
        }
    }
    let missing = silences().into_iter().filter(|rule| !observed.rules.contains(rule));
    ops.extend(missing.map(|rule| Op::AddRule { rule }));
}

/// Who connects while no router runs is not refused. Before the way back, which is taken by what the kernel says of itself too.
pub(super) fn silences() -> [Rule; 2] {
    [false, true].map(|ipv6| Rule::Silence { priority: WAY_BACK - 1, ipv6, port: BGP })
}

fn leaving_nics(desired: &DesiredHost, observed: &Observed, ops: &mut Vec<Op>) {
    let kept = renamed(desired, observed);
    let ours = observed.router.iter().filter(|link| is_ours(observed, link) && !desired.nics.contains(&link.name));
    for link in ours.filter(|link| !kept.contains(&link.name.as_str())) {
        ops.push(Op::ReturnNic { nic: link.name.clone(), addresses: with_saved(observed, link) });
    }
    // Back without us: the namespace ended, or we were stopped half way.
    for link in observed.host.iter().filter(|link| observed.saved.contains_key(&link.name)) {
        if !desired.nics.contains(&link.name) && find(&observed.router, &link.name).is_none() {
            ops.push(Op::RestoreNic { nic: link.name.clone(), addresses: with_saved(observed, link) });
        }
    }
}

/// Desired NICs that were taken and are nowhere.
fn lost<'a>(desired: &'a DesiredHost, observed: &Observed) -> Vec<&'a str> {
    let nowhere = |nic: &&str| find(&observed.router, nic).is_none() && find(&observed.host, nic).is_none();
    let nics = desired.nics.iter().map(String::as_str);
    nics.filter(nowhere).filter(|nic| observed.saved.contains_key(*nic)).collect()
}

/// New names of lost NICs: links with our mark that we never took under that name.
fn renamed<'a>(desired: &DesiredHost, observed: &'a Observed) -> Vec<&'a str> {
    if lost(desired, observed).is_empty() {
        return Vec::new();
    }
    let strange = |link: &&SeenLink| !desired.nics.contains(&link.name) && !observed.saved.contains_key(&link.name);
    let marked = observed.router.iter().filter(|link| link.group == NIC_GROUP);
    marked.filter(strange).map(|link| link.name.as_str()).collect()
}

/// What became of a desired NIC that is nowhere. With several lost ones nobody can tell which one got which name.
fn missing(nic: &str, desired: &DesiredHost, observed: &Observed) -> Missing {
    match (lost(desired, observed).as_slice(), renamed(desired, observed).as_slice()) {
        ([_], [name]) if observed.saved.contains_key(nic) => Missing::Renamed((*name).to_owned()),
        _ if observed.saved.contains_key(nic) => Missing::Gone,
        _ => Missing::Never,
    }
}

fn wanted_nics(desired: &DesiredHost, observed: &Observed, ops: &mut Vec<Op>) {
    for (position, nic) in desired.nics.iter().enumerate() {
        if desired.nics.iter().take(position).any(|earlier| earlier == nic) {
            continue;
        }
        if let Some(link) = find(&observed.router, nic) {
            inside(link, observed, ops);
        } else if let Some(link) = find(&observed.host, nic) {
            ops.push(Op::MoveNic {
                nic: nic.clone(),
                namespace: desired.namespace.clone(),
                addresses: with_saved(observed, link),
            });
        } else {
            ops.push(Op::AwaitNic { nic: nic.clone(), missing: missing(nic, desired, observed) });
        }
    }
}

/// A NIC that is where it belongs, but perhaps not finished.
fn inside(link: &SeenLink, observed: &Observed, ops: &mut Vec<Op>) {
    if !link.up {
        ops.push(Op::LinkUp { place: Place::Router, link: link.name.clone() });
    }
    for address in with_saved(observed, link) {
        if !link.addresses.contains(&address) {
            ops.push(Op::AddAddress { place: Place::Router, link: link.name.clone(), address });
        }
    }
    if is_ours(observed, link) && link.group != NIC_GROUP {
        ops.push(Op::MarkNic { nic: link.name.clone() });
    }
}

/// Whether we brought it in.
pub(super) fn is_ours(observed: &Observed, link: &SeenLink) -> bool {
    link.group == NIC_GROUP || observed.saved.contains_key(&link.name)
}

/// The addresses of a NIC, and those that it had when we took it.
fn with_saved(observed: &Observed, link: &SeenLink) -> Vec<IpNet> {
    let mut all = link.addresses.clone();
    for address in observed.saved.get(&link.name).into_iter().flatten() {
        if !all.contains(address) {
            all.push(*address);
        }
    }
    all
}

/// The smallest of the desired NICs'.
fn mtu(desired: &DesiredHost, observed: &Observed) -> u32 {
    let nic = |name: &String| find(&observed.router, name).or_else(|| find(&observed.host, name));
    desired.nics.iter().filter_map(nic).map(|link| link.mtu).min().unwrap_or(DEFAULT_MTU)
}

fn wanted_veth(veth: &DesiredVeth, mtu: u32, observed: &Observed, ops: &mut Vec<Op>) {
    let host = find(&observed.host, &veth.host_name);
    let router = find(&observed.router, &veth.ns_name);
    let whole = host.zip(router).filter(|(host, router)| {
        host.peer.as_deref() == Some(&veth.ns_name) && router.peer.as_deref() == Some(&veth.host_name)
    });
    if whole.is_none() {
        for (place, link) in [(Place::Host, host), (Place::Router, router)] {
            if let Some(link) = link {
                let reason =
                    if link.kind == "veth" { "its other end is not where it belongs" } else { "it is not a veth" };
                ops.push(Op::DeleteLink { place, link: link.name.clone(), reason });
            }
        }
        ops.push(Op::CreateVeth { host_name: veth.host_name.clone(), ns_name: veth.ns_name.clone(), mtu });
    }
    let made = |name: &str| SeenLink { name: name.to_owned(), mtu, ..SeenLink::default() };
    let (host, router) = match whole {
        Some((host, router)) => (host.clone(), router.clone()),
        None => (made(&veth.host_name), made(&veth.ns_name)),
    };
    end(Place::Host, &host, mtu, &veth.host_addresses, ops);
    end(Place::Router, &router, mtu, &veth.ns_addresses, ops);
    let gone = if whole.is_none() { Some(veth.ns_name.as_str()) } else { None };
    way_back(Some(veth), gone, observed, ops);
}

/// Exactly one rule and one route, or nothing. Last of all: a route needs its link up, and goes with it (`gone`).
fn way_back(veth: Option<&DesiredVeth>, gone: Option<&str>, observed: &Observed, ops: &mut Vec<Op>) {
    let wanted = veth.and_then(|veth| Some((veth.ns_name.clone(), hosts_ipv6(veth)?)));
    let rule =
        wanted.as_ref().map(|(link, _)| Rule::Lookup { priority: WAY_BACK, link: link.clone(), table: WAY_BACK });
    let way = wanted.map(|(link, gateway)| SeenWay { prefix: ANYWHERE, link, gateway: Some(gateway) });
    let stays = |seen: &&SeenWay| gone != Some(seen.link.as_str());
    let ours = |seen: &&Rule| Some(*seen) == rule.as_ref() || silences().contains(seen);
    for seen in observed.rules.iter().filter(|seen| !ours(seen)) {
        ops.push(Op::RemoveRule { rule: seen.clone() });
    }
    for seen in observed.ways.iter().filter(stays).filter(|seen| Some(*seen) != way.as_ref()) {
        ops.push(Op::RemoveWay { way: seen.clone() });
    }
    if let Some(rule) = rule
        && !observed.rules.contains(&rule)
    {
        ops.push(Op::AddRule { rule });
    }
    if let Some(way) = way
        && !observed.ways.iter().filter(stays).any(|seen| *seen == way)
        && let SeenWay { link, gateway: Some(gateway), .. } = way
    {
        ops.push(Op::AddWay { link, gateway });
    }
}

const ANYWHERE: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0));

/// The host's end's IPv6 address, if the router's end has one to speak from.
fn hosts_ipv6(veth: &DesiredVeth) -> Option<IpAddr> {
    let mut addresses = veth.host_addresses.iter().map(IpNet::addr);
    addresses.find(IpAddr::is_ipv6).filter(|_| veth.ns_addresses.iter().any(|net| net.addr().is_ipv6()))
}

/// One end of the pair: MTU, state, and exactly these addresses.
fn end(place: Place, link: &SeenLink, mtu: u32, addresses: &[IpNet], ops: &mut Vec<Op>) {
    let name = || link.name.clone();
    if link.mtu != mtu {
        ops.push(Op::SetMtu { place, link: name(), mtu });
    }
    if !link.up {
        ops.push(Op::LinkUp { place, link: name() });
    }
    let stale: Vec<IpNet> = link.addresses.iter().filter(|address| !addresses.contains(address)).copied().collect();
    for address in &stale {
        ops.push(Op::RemoveAddress { place, link: name(), address: *address });
    }
    for address in addresses {
        // With the first IPv4 address of a subnet the kernel removes the others of that subnet.
        let taken_along = stale.iter().any(|stale| address.addr().is_ipv4() && stale.trunc() == address.trunc());
        if taken_along || !link.addresses.contains(address) {
            ops.push(Op::AddAddress { place, link: name(), address: *address });
        }
    }
}

fn no_veth(observed: &Observed, ops: &mut Vec<Op>) {
    let reason = "no passthrough is configured";
    // Only what can be ours: other kinds of links with these names are not.
    let host = find(&observed.host, PT_HOST).filter(|link| link.kind == "veth");
    let router = find(&observed.router, PT_NS).filter(|link| link.kind == "veth");
    if let Some(link) = host {
        ops.push(Op::DeleteLink { place: Place::Host, link: link.name.clone(), reason });
    }
    if let Some(link) = router
        && host.is_none_or(|host| host.peer.as_deref() != Some(PT_NS))
    {
        ops.push(Op::DeleteLink { place: Place::Router, link: link.name.clone(), reason });
    }
    way_back(None, router.map(|link| link.name.as_str()), observed, ops);
}

fn find<'a>(links: &'a [SeenLink], name: &str) -> Option<&'a SeenLink> {
    links.iter().find(|link| link.name == name)
}
