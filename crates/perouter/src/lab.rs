//! `perouter lab`: the whole mission on one machine, for people to look at.
//!
//! Owns: the story that is told while [`testbed`] builds leaf, router and host out of network namespaces.
//! Is told: which daemons play leaf and host, and whether to leave everything up. Emits: text on standard
//! output, and whether everything held. Does not: test; the tests use the same labs and look closer.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use testbed::passthrough::{HOST_ASN, LEAF_ASN, ROUTER_ASN, ROUTER_YAML, addresses};
use testbed::{Family, Lab, Layout, LearnedRoute, Passthrough, Peer, traffic};

pub(crate) use testbed::Daemon;

/// How long sessions and routes may take before the demonstration counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LabOptions {
    /// Who plays the leaf; `None` is the first one that is installed, in the order of [`Daemon::ALL`].
    pub(crate) leaf: Option<Daemon>,
    /// Who speaks on the host; likewise.
    pub(crate) host: Option<Daemon>,
    /// Leave it up.
    pub(crate) keep: bool,
}

/// Builds the demonstration, tells how it goes and removes it. `Ok(true)` when everything held.
///
/// # Errors
/// One sentence when the lab cannot be built at all: no root, a daemon missing that was asked for.
pub(crate) fn up(options: LabOptions) -> Result<bool, String> {
    let choose = |asked: Option<Daemon>| {
        asked.or_else(|| Daemon::ALL.into_iter().find(|d| d.installed())).unwrap_or(Daemon::Perouter)
    };
    let (leaf, host) = (choose(options.leaf), choose(options.host));
    for daemon in [leaf, host] {
        daemon.require().map_err(sentence)?;
    }
    let binary = std::env::current_exe().map_err(|e| format!("the path of this program is not known: {e}"))?;
    let lab = Lab::new(&binary).map_err(sentence)?;
    remove_when_interrupted(&lab)?;
    let fabric = Passthrough::build(lab, Layout::default()).map_err(sentence)?;

    draw(&fabric, leaf, host);
    let leaf = fabric.start_leaf(leaf).map_err(sentence)?;
    let host = fabric.start_host(host).map_err(sentence)?;
    let router = fabric.node().start_router().map_err(sentence)?;
    let outcome = watch(&fabric, router, &leaf, &host);
    if outcome.is_err() {
        say(format_args!("\n{}", fabric.lab.diagnostics()));
    }
    if options.keep {
        fabric.lab.keep().map_err(sentence)?;
        explain_how_to_explore(&fabric);
    } else if outcome.is_ok() {
        say("\nAll of it is taken down now; with --keep it stays, to be explored.");
    }
    match &outcome {
        Ok(held) => say(format_args!("\npassthrough works: {held}")),
        Err(why) => say(format_args!("\nFAILED: {why}")),
    }
    Ok(outcome.is_ok())
}

/// Removes every lab that was kept.
///
/// # Errors
/// What could not be removed.
pub(crate) fn down() -> Result<(), String> {
    let names = testbed::remove_all().map_err(sentence)?;
    match names.as_slice() {
        [] => say("there is no lab to remove"),
        names => say(format_args!("removed {}", names.join(", "))),
    }
    Ok(())
}

/// Sessions, routes, packets: each is said as it is seen, and the first that does not come ends it.
fn watch(fabric: &Passthrough, router: u32, leaf: &Peer, host: &Peer) -> Result<String, String> {
    let sessions = watch_sessions(fabric, router, leaf, host)?;
    let routes = watch_routes(fabric, leaf, host)?;
    for (peer, add) in
        [(leaf, Passthrough::add_leaf_routes as fn(&Passthrough) -> _), (host, Passthrough::add_host_routes)]
    {
        if !peer.daemon().installs_routes() {
            add(fabric).map_err(sentence)?;
            let (daemon, part) = (peer.daemon(), &peer.config().name);
            say(format_args!(
                "  ({daemon} puts no routes into the kernel: the lab has added them on the {part} by hand)"
            ));
        }
    }
    let way = watch_packets(fabric)?;
    Ok(format!("{sessions} sessions, {routes} routes, {way} both ways over IPv4 and IPv6"))
}

fn watch_sessions(fabric: &Passthrough, router: u32, leaf: &Peer, host: &Peer) -> Result<usize, String> {
    say("\nSessions");
    let started = Instant::now();
    let mut missing: Vec<(&Peer, IpAddr)> = [leaf, host]
        .into_iter()
        .flat_map(|peer| peer.config().neighbors.iter().map(move |n| (peer, n.address)))
        .collect();
    let count = missing.len();
    let wait = fabric.lab.poll(PATIENCE, || {
        missing.retain(|(peer, router)| {
            let up = peer.established(*router).unwrap_or(false);
            if up {
                let (seconds, part) = (started.elapsed().as_secs_f32(), &peer.config().name);
                say(format_args!("  {seconds:5.1} s  {part} <-> router at {router}"));
            }
            !up
        });
        if let Some(status) = fabric.lab.exit_status(router) {
            return Ok(Err(format!("the router has ended: {status}")));
        }
        let names: Vec<_> = missing.iter().map(|(p, r)| format!("{} with {r}", p.config().name)).collect();
        if names.is_empty() { Ok(Ok(())) } else { Err(names.join(", ")) }
    });
    wait.map_err(|names| format!("no session after {} s: {names}", PATIENCE.as_secs()))?.map(|()| count)
}

fn watch_routes(fabric: &Passthrough, leaf: &Peer, host: &Peer) -> Result<usize, String> {
    let path_to_host = [ROUTER_ASN, LEAF_ASN].to_vec();
    let path_to_leaf = [ROUTER_ASN, HOST_ASN].to_vec();
    let mut count = 0;
    for (peer, from_leaf) in [(host, true), (leaf, false)] {
        say(format_args!("\nRoutes that the {} has learned", peer.config().name));
        for a in Family::ALL.map(addresses) {
            let wanted = if from_leaf {
                vec![route(a.leaf_network, a.router, &path_to_host)]
            } else {
                vec![
                    route(a.host_network, a.nic.addr(), &path_to_leaf),
                    route(a.host_route(), a.nic.addr(), &[ROUTER_ASN]),
                ]
            };
            count += wanted.len();
            fabric
                .lab
                .poll(PATIENCE, || {
                    let learned = peer.routes(a.family).map_err(|e| e.to_string())?;
                    let missing = wanted.iter().find(|w| !learned.contains(w));
                    let have: Vec<_> = learned.iter().map(ToString::to_string).collect();
                    missing.map_or(Ok(()), |m| Err(format!("{m}; it has: {}", have.join(", "))))
                })
                .map_err(|missing| format!("the {} does not learn {missing}", peer.config().name))?;
            for r in peer.routes(a.family).map_err(sentence)? {
                let path: Vec<_> = r.as_path.iter().map(u32::to_string).collect();
                say(format_args!("  {:<20} via {:<14} AS path {}", r.prefix.to_string(), r.next_hop, path.join(" ")));
            }
        }
    }
    Ok(count)
}

fn route(prefix: ipnet::IpNet, next_hop: IpAddr, as_path: &[u32]) -> LearnedRoute {
    LearnedRoute { prefix, next_hop, as_path: as_path.to_vec() }
}

/// By ping where there is one, else by a transfer over TCP.
fn watch_packets(fabric: &Passthrough) -> Result<&'static str, String> {
    let pinging = traffic::can_ping();
    let way = if pinging { "ping" } else { "TCP" };
    say("\nPackets");
    if !pinging {
        say("  (this machine has no ping: 1 MiB over TCP each way instead)");
    }
    let (leaf, node) = (fabric.leaf_ns(), fabric.node().ns.as_str());
    for a in Family::ALL.map(addresses) {
        let there = ("host", (node, a.host_server), (leaf, a.leaf_server));
        let back = ("leaf", (leaf, a.leaf_server), (node, a.host_server));
        for (part, from, to) in [there, back] {
            let attempt = || {
                if pinging { traffic::ping(from.0, from.1, to.1) } else { traffic::tcp(from, to) }
            };
            // The kernels get their routes a moment after the sessions show them.
            fabric.lab.poll(Duration::from_secs(10), attempt)?;
            say(format_args!("  {way} from the {part}: {} -> {} answered", from.1, to.1));
        }
    }
    Ok(way)
}

fn draw(fabric: &Passthrough, leaf: Daemon, host: Daemon) {
    let [a, b] = Family::ALL.map(addresses);
    let columns = [
        [format!("leaf: {leaf}"), format!("router: {}", Daemon::Perouter), format!("host: {host}")],
        [format!("AS {LEAF_ASN}"), format!("AS {ROUTER_ASN}"), format!("AS {HOST_ASN}")],
        [fabric.leaf_ns(), &fabric.node().router_ns, &fabric.node().ns].map(|n| format!("namespace {n}")),
        [String::new(), "eth1              pt-ns".to_owned(), "pt-host".to_owned()],
        [format!("{} ------", a.leaf), format!("{:<17} {} =====", a.nic.addr(), a.router), a.host.to_string()],
        [b.leaf.to_string(), format!("{:<17} {}", b.nic.addr(), b.router), b.host.to_string()],
        ["behind it", "", "behind it"].map(str::to_owned),
        [a.leaf_network.to_string(), String::new(), a.host_network.to_string()],
        [b.leaf_network.to_string(), String::new(), b.host_network.to_string()],
    ];
    say("");
    for [left, middle, right] in columns {
        say(format!("  {left:<24}{middle:<38}{right}").trim_end());
    }
    say(format_args!(
        "\nWhat the router is given ({}):\n",
        fabric.node().config_dir().join("openpe_lab.yaml").display()
    ));
    for line in ROUTER_YAML.lines() {
        say(format_args!("    {line}"));
    }
}

fn explain_how_to_explore(fabric: &Passthrough) {
    let state = fabric.node().state_dir();
    let program = fabric.lab.perouter();
    let ask = format!("{} --state-dir {}", program.display(), state.display());
    say("\nIt stays up. Look around:");
    for question in ["status", "peers", "routes", "routes 192.170.20.1"] {
        say(format_args!("  {ask} {question}"));
    }
    say(format_args!("  ip -n {} route; ip -n {} nexthop", fabric.node().router_ns, fabric.node().router_ns));
    say(format_args!("  ip netns exec {} ping -I 10.244.1.1 192.170.20.1", fabric.node().ns));
    say(format_args!("  ls {}      files and logs", fabric.lab.dir().display()));
    say(format_args!("  {} lab down      remove it", program.display()));
}

/// Ctrl-C and SIGTERM must not leave namespaces and daemons behind. The thread ends with the process.
fn remove_when_interrupted(lab: &Lab) -> Result<(), String> {
    let explain = |e: io::Error| format!("signals cannot be watched: {e}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(explain)?;
    // The clone would keep the lab alive beyond `up`: a weak one sees it only while somebody uses it.
    let lab = lab.downgrade();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let terminated = async {
                match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
                    Ok(mut signal) => drop(signal.recv().await),
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                () = terminated => {}
            }
        });
        if let Some(lab) = lab.upgrade() {
            say("interrupted: removing the lab");
            if let Err(e) = lab.remove() {
                say(e);
            }
        }
        std::process::exit(130);
    });
    Ok(())
}

/// Nobody may be reading any more; the lab must be removed all the same.
fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn sentence(error: impl Display) -> String {
    error.to_string()
}
