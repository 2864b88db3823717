//! What the router's hop costs packets, and what settings of links change about it. The kernel forwards: no daemon
//! takes part.

use std::net::Ipv4Addr;
use std::time::Duration;

use testbed::{End, Lab, LabError, find_program, ip, run};

use super::{Bench, Figure, Player, quantile};
use crate::Result;
use crate::blast::Flow;
use crate::site::{Plan, Site};

/// Where the direct link leads, and where the routed way does.
const DIRECT: Ipv4Addr = Ipv4Addr::new(192, 168, 99, 2);
const ROUTED: Ipv4Addr = Ipv4Addr::new(192, 168, 11, 2);

/// The direct way and the routed one, as perouter sets it up.
pub(super) fn forwarding(bench: &Bench, _: Player) -> Result<Vec<Figure>> {
    let site = bench.site(Plan::default())?;
    prepare(&site)?;
    let time = bench.time(3);
    let mut figures = traffic(&site, DIRECT, "forwarding.direct", time)?;
    figures.extend(traffic(&site, ROUTED, "forwarding.routed", time)?);
    let value = |name: &str| figures.iter().find(|(n, _)| n == name).map_or(f64::NAN, |(_, value)| *value);
    let shares = ["tcp", "kpps", "rtt"].map(|what| {
        let share = value(&format!("forwarding.routed.{what}")) / value(&format!("forwarding.direct.{what}"));
        (format!("forwarding.share.{what}"), share)
    });
    figures.extend(shares);
    Ok(figures)
}

/// Settings that are tried on the routed way, by name.
pub(crate) const SETTINGS: [&str; 6] = ["plain", "gro", "notso", "rps", "netkit", "conntrack"];

/// As above, in that order.
const APPLY: [fn(&Site) -> Result<()>; 6] = [
    |_| Ok(()),
    |site| features(site, &["gro", "on"]),
    |site| features(site, &["tso", "off", "gso", "off"]),
    spread,
    netkit,
    conntrack,
];

/// The routed way with one setting changed at a time, three rounds in turn. A setting that this machine does not have has no
/// figure.
pub(super) fn options(bench: &Bench, _: Player) -> Result<Vec<Figure>> {
    let mut values: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..3 {
        for (setting, apply) in SETTINGS.iter().zip(APPLY) {
            let site = bench.site(Plan::default())?;
            if apply(&site).is_err() {
                continue;
            }
            prepare(&site)?;
            for (name, value) in traffic(&site, ROUTED, &format!("options.{setting}"), bench.time(2))? {
                match values.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, all)) => all.push(value),
                    None => values.push((name, vec![value])),
                }
            }
        }
    }
    Ok(values.into_iter().map(|(name, mut all)| (name, quantile(&mut all, 0.5))).collect())
}

/// A link beside the router, and routes through it.
fn prepare(site: &Site) -> Result<()> {
    let net = |text: &str| text.parse().map_err(|_| LabError::new(format!("{text} is no address")));
    let ours = End { ns: &site.host, name: "dir0", addresses: vec![net("192.168.99.1/24")?] };
    let theirs = End { ns: &site.fabric, name: "dir1", addresses: vec![net("192.168.99.2/24")?] };
    let lab: &Lab = &site.lab;
    lab.link(&ours, &theirs, 1500)?;
    lab.add_route(&site.host, net("192.168.11.0/24")?, Ipv4Addr::new(192, 169, 10, 1).into())?;
    lab.add_route(&site.fabric, net("192.169.10.0/24")?, Ipv4Addr::new(192, 168, 11, 1).into())
}

fn traffic(site: &Site, target: Ipv4Addr, row: &str, time: Duration) -> Result<Vec<Figure>> {
    let flow = Flow::between(&site.host, &site.fabric, target)?;
    // The first packets resolve neighbours.
    flow.round_trips(Duration::from_millis(100))?;
    let rtt = quantile(&mut flow.round_trips(time)?, 0.5);
    let (kpps, tcp) = (flow.packets(time)?, flow.stream(time)?);
    Ok(vec![(format!("{row}.tcp"), tcp), (format!("{row}.kpps"), kpps), (format!("{row}.rtt"), rtt)])
}

fn tool(name: &str) -> Result<std::path::PathBuf> {
    find_program(name).ok_or_else(|| LabError::new(format!("the program `{name}` is missing")))
}

fn succeed(ns: &str, program: &str, args: &[&str]) -> Result<()> {
    let said = run(Some(ns), tool(program)?, args)?;
    if said.ok() { Ok(()) } else { Err(LabError::new(said.stderr)) }
}

/// Offloads of every link of the site.
fn features(site: &Site, features: &[&str]) -> Result<()> {
    let ends = [(&site.router, "pt-ns"), (&site.router, "eth1"), (&site.host, "pt-host"), (&site.fabric, "fab0")];
    ends.iter().try_for_each(|(ns, link)| succeed(ns, "ethtool", &[&["-K", link], features].concat()))
}

/// Received packets are spread over all CPUs; `ip netns exec` shows the namespace's own /sys.
fn spread(site: &Site) -> Result<()> {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mask = (1_u64 << cpus.min(32)) - 1;
    ["pt-ns", "eth1"].iter().try_for_each(|link| {
        let script = format!("printf %x {mask} > /sys/class/net/{link}/queues/rx-0/rps_cpus");
        let said = run(None, tool("ip")?, &["netns", "exec", &site.router, "sh", "-c", &script])?;
        if said.ok() { Ok(()) } else { Err(LabError::new(said.stderr)) }
    })
}

/// A netkit pair between router and host instead of the veth pair.
fn netkit(site: &Site) -> Result<()> {
    ip::change(&site.router, &["link", "del", "pt-ns"])?;
    ip::change(
        &site.router,
        &["link", "add", "pt-ns", "type", "netkit", "peer", "name", "pt-host", "netns", &site.host],
    )?;
    for (ns, link, address) in [(&site.router, "pt-ns", "192.169.10.1/24"), (&site.host, "pt-host", "192.169.10.2/24")]
    {
        ip::change(ns, &["address", "add", address, "dev", link])?;
        ip::change(ns, &["link", "set", link, "up"])?;
    }
    Ok(())
}

/// What it costs when somebody's firewall rule makes the router's namespace track connections.
fn conntrack(site: &Site) -> Result<()> {
    let rule = "add table ip t; add chain ip t f { type filter hook forward priority 0; }; add rule ip t f ct state invalid drop";
    succeed(&site.router, "nft", &[rule])
}
