//! FRRouting: zebra for the kernel, bgpd for the sessions, bfdd where it is wanted, asked through vtysh.
//!
//! All run as the distribution's user `frr` from a directory of their own, so any number of them fits on a
//! machine. Configured as frr-k8s does it: no policy required, no import check, retry after a second.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use ipnet::IpNet;
use serde_json::Value;

use super::{Family, LearnedRoute, Peer, program, text};
use crate::process::run_ok;
use crate::{LabError, Result, ip};

/// Name of the route map of what is announced.
const EXPORT: &str = "announced";

pub(super) fn start(peer: &Peer) -> Result<u32> {
    let dir = &peer.dir;
    let (uid, gid) = frr_user()?;
    chown(dir, Some(uid), Some(gid))
        .map_err(|e| LabError::new(format!("{} cannot be given to user frr: {e}", dir.display())))?;
    let file = peer.write("zebra.conf", "hostname lab\n")?;
    let args = arguments(peer, "zebra", &file);
    let pid = spawn(peer, "zebra", &args)?;
    peer.until_ready(pid, || vtysh(peer, "zebra", &["show zebra"]))?;
    start_bgpd(peer)
}

/// The BGP process alone: zebra and what it has in the kernel stay.
pub(super) fn start_bgpd(peer: &Peer) -> Result<u32> {
    let file = peer.write("bgpd.conf", &peer.config_text(config))?;
    let mut args = arguments(peer, "bgpd", &file);
    if !peer.config.listen {
        args.extend(["-p".to_owned(), "0".to_owned()]);
    }
    if !peer.config.install {
        args.push("-n".to_owned());
    }
    let pid = spawn(peer, "bgpd", &args)?;
    peer.until_ready(pid, || vtysh(peer, "bgpd", &["show bgp summary json"]))?;
    Ok(pid)
}

/// Starts bfdd beside a zebra that runs, and returns its pid.
pub(super) fn start_bfd(peer: &Peer) -> Result<u32> {
    let file = peer.write("bfdd.conf", peer.config.bfd.as_deref().unwrap_or_default())?;
    let mut args = arguments(peer, "bfdd", &file);
    args.extend(["--bfdctl".to_owned(), text(&peer.dir.join("bfdd.sock"))]);
    let pid = spawn(peer, "bfdd", &args)?;
    peer.until_ready(pid, || vtysh(peer, "bfdd", &["show bfd peers json"]))?;
    Ok(pid)
}

/// What every daemon is told: its file, and where in the peer's directory its sockets are.
fn arguments(peer: &Peer, name: &str, config: &Path) -> Vec<String> {
    let dir = &peer.dir;
    let (pid, zebra) = (text(&dir.join(format!("{name}.pid"))), text(&dir.join("zserv.api")));
    let (config, dir) = (text(config), text(dir));
    let pairs = [("-f", config), ("-i", pid), ("-z", zebra), ("--vty_socket", dir), ("-P", "0".into())];
    let pairs = pairs.into_iter().chain([("--log", "stdout".into())]);
    pairs.flat_map(|(option, value)| [option.to_owned(), value]).collect()
}

fn spawn(peer: &Peer, name: &str, args: &[String]) -> Result<u32> {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    peer.lab.spawn(&peer.ns, &program(name)?, &args, &peer.dir.join(format!("{name}.log")))
}

pub(super) fn established(peer: &Peer, neighbor: IpAddr) -> Result<bool> {
    let answer = ask(peer, &format!("show bgp neighbors {neighbor} json"))?;
    let established = answer[neighbor.to_string()]["bgpState"] == "Established";
    Ok(established)
}

/// FRR 8.4's zebra can lose an address that comes within milliseconds of its link, and bgpd then waits for a connected route
/// for ever. The kernel is asked to say again what zebra does not know.
fn announce_again(peer: &Peer) -> Result<()> {
    for link in ip::links(&peer.ns)?.iter().filter(|link| link.up) {
        let known = vtysh(peer, "zebra", &[&format!("show interface {}", link.name)])?;
        let link_local = |net: &&IpNet| matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local());
        let nets = link.addresses.iter().filter(|net| !link_local(net)).map(ToString::to_string);
        for net in nets.filter(|net| !known.contains(net.as_str())) {
            ip::change(&peer.ns, &["address", "change", &net, "dev", &link.name])?;
        }
    }
    Ok(())
}

pub(super) fn routes(peer: &Peer, family: Family) -> Result<Vec<LearnedRoute>> {
    let answer = ask(peer, &format!("show bgp {} unicast json", word(family)))?;
    let routes = answer["routes"].as_object().into_iter().flatten();
    Ok(routes.filter_map(|(prefix, paths)| best(prefix, paths.as_array()?)).collect())
}

pub(super) fn network(peer: &Peer, prefix: IpNet, announced: bool) -> Result<()> {
    let no = if announced { "" } else { "no " };
    let router = format!("router bgp {}", peer.config.asn);
    let family = format!("address-family {} unicast", word(Family::of(prefix)));
    vtysh(peer, "bgpd", &["configure terminal", &router, &family, &format!("{no}network {prefix}")]).map(drop)
}

fn best(prefix: &str, paths: &[Value]) -> Option<LearnedRoute> {
    let path = paths.iter().find(|p| p["bestpath"] == true)?;
    let hops = path["nexthops"].as_array()?;
    // With IPv6 a link-local next hop may stand beside the global one.
    let hop = hops.iter().find(|h| h["scope"] != "link-local").or(hops.first())?;
    let next_hop: IpAddr = hop["ip"].as_str()?.parse().ok()?;
    if next_hop.is_unspecified() {
        return None; // its own
    }
    let as_path = path["path"].as_str()?.split_whitespace().map(|a| a.parse().ok()).collect::<Option<_>>()?;
    Some(LearnedRoute { prefix: prefix.parse().ok()?, next_hop, as_path })
}

fn config(peer: &Peer) -> String {
    let config = &peer.config;
    let mut out = format!(
        "hostname lab\nlog stdout informational\nrouter bgp {}\n bgp router-id {}\n no bgp ebgp-requires-policy\n \
         no bgp network import-check\n no bgp default ipv4-unicast\n",
        config.asn, config.router_id
    );
    for n in &config.neighbors {
        let address = n.address;
        let _ = writeln!(out, " neighbor {address} remote-as {}", n.asn);
        let _ = writeln!(out, " neighbor {address} timers 3 9");
        let _ = writeln!(out, " neighbor {address} timers connect 1");
    }
    out.push_str(&config.lines);
    for family in Family::ALL {
        let _ = writeln!(out, " address-family {} unicast", word(family));
        for prefix in peer.networks(family) {
            let _ = writeln!(out, "  network {prefix}");
        }
        for n in config.neighbors.iter().filter(|n| n.families.contains(&family)) {
            let _ = writeln!(out, "  neighbor {} activate", n.address);
            for line in &config.family_lines {
                let _ = writeln!(out, "  neighbor {} {line}", n.address);
            }
            if !config.export.is_empty() {
                let _ = writeln!(out, "  neighbor {} route-map {EXPORT} out", n.address);
            }
        }
        let _ = writeln!(out, " exit-address-family");
    }
    if !config.export.is_empty() {
        let _ = writeln!(out, "exit\nroute-map {EXPORT} permit 10\n{}\nexit", config.export);
    }
    out
}

fn word(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

fn ask(peer: &Peer, question: &str) -> Result<Value> {
    let answer = vtysh(peer, "bgpd", &[question])?;
    serde_json::from_str(&answer).map_err(|e| LabError::new(format!("vtysh: `{question}`: {e}: {answer}")))
}

pub(super) fn vtysh(peer: &Peer, daemon: &str, commands: &[&str]) -> Result<String> {
    static QUESTIONS: AtomicU32 = AtomicU32::new(0);
    // Now and then only: it is one more question per link, and hardly ever needed.
    if daemon == "bgpd" && QUESTIONS.fetch_add(1, Ordering::Relaxed) % 64 == 63 {
        announce_again(peer)?;
    }
    let dir = text(&peer.dir);
    let mut args = vec!["--vty_socket", dir.as_str(), "-d", daemon];
    commands.iter().for_each(|c| args.extend(["-c", c]));
    run_ok(None, program("vtysh")?, &args)
}

/// Uid and gid of the user that FRR's package makes.
fn frr_user() -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields = users.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&"frr"));
    let id = |i: usize| fields.as_ref()?.get(i)?.parse().ok();
    id(2).zip(id(3)).ok_or_else(|| LabError::new("FRR's user `frr` is missing: reinstall the package frr"))
}
