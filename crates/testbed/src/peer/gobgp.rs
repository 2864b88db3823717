//! GoBGP, asked through its command line client. It installs nothing in the kernel.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::{Family, LearnedRoute, Peer, program, text};
use crate::process::run_ok;
use crate::{LabError, Result};

/// `session_state` of an established session.
const ESTABLISHED: u64 = 6;

pub(super) fn start(peer: &Peer) -> Result<u32> {
    let file = text(&peer.write("gobgp.toml", &peer.config_text(config))?);
    let args = ["-f", &file, "--api-hosts", "127.0.0.1:50051", "--pprof-disable"];
    let pid = peer.lab.spawn(&peer.ns, &program("gobgpd")?, &args, &peer.dir.join("gobgpd.log"))?;
    // The interface answers before the file is read: ready is when the last neighbour is known.
    peer.until_ready(pid, || match neighbors(peer)?.len() {
        n if n == peer.config.neighbors.len() => Ok(()),
        n => Err(LabError::new(format!("it knows {n} neighbours so far"))),
    })?;
    for prefix in &peer.config.networks {
        network(peer, *prefix, true)?;
    }
    Ok(pid)
}

pub(super) fn established(peer: &Peer, neighbor: IpAddr) -> Result<bool> {
    let neighbor = neighbor.to_string();
    let all = neighbors(peer)?;
    let found = all.iter().find(|n| n["state"]["neighbor_address"] == neighbor.as_str());
    Ok(found.is_some_and(|n| n["state"]["session_state"].as_u64() == Some(ESTABLISHED)))
}

pub(super) fn routes(peer: &Peer, family: Family) -> Result<Vec<LearnedRoute>> {
    let answer = gobgp(peer, &["-j", "global", "rib", "-a", word(family)])?;
    let table = json(&answer)?;
    let routes = table.as_object().into_iter().flatten();
    Ok(routes.filter_map(|(prefix, paths)| best(prefix, paths.as_array()?)).collect())
}

pub(super) fn network(peer: &Peer, prefix: IpNet, announced: bool) -> Result<()> {
    let verb = if announced { "add" } else { "del" };
    gobgp(peer, &["global", "rib", verb, &prefix.to_string(), "-a", word(Family::of(prefix))]).map(drop)
}

fn best(prefix: &str, paths: &[Value]) -> Option<LearnedRoute> {
    let path = paths.iter().find(|p| p["best"] == true)?;
    path["neighbor-ip"].as_str()?; // absent in its own
    let attributes = path["attrs"].as_array()?;
    let next_hop = attributes.iter().find_map(|a| a["nexthop"].as_str())?.parse().ok()?;
    let segments = attributes.iter().find_map(|a| a["as_paths"].as_array());
    let as_path = segments
        .into_iter()
        .flatten()
        .flat_map(|s| s["asns"].as_array().into_iter().flatten())
        .map(|a| a.as_u64().and_then(|a| u32::try_from(a).ok()))
        .collect::<Option<_>>()?;
    Some(LearnedRoute { prefix: prefix.parse().ok()?, next_hop, as_path })
}

fn config(peer: &Peer) -> String {
    let config = &peer.config;
    let mut out = format!("[global.config]\nas = {}\nrouter-id = \"{}\"\n", config.asn, config.router_id);
    if !config.listen {
        out.push_str("port = -1\n");
    }
    for n in &config.neighbors {
        let _ = writeln!(
            out,
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{}\"\npeer-as = {}\n\
             [neighbors.timers.config]\nhold-time = 9\nkeepalive-interval = 3\nconnect-retry = 1\n\
             idle-hold-time-after-reset = 1",
            n.address, n.asn
        );
        for family in &n.families {
            let name = match family {
                Family::Ipv4 => "ipv4-unicast",
                Family::Ipv6 => "ipv6-unicast",
            };
            let _ = writeln!(out, "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{name}\"");
        }
    }
    out.push_str(&config.lines);
    out
}

fn word(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

fn neighbors(peer: &Peer) -> Result<Vec<Value>> {
    let answer = gobgp(peer, &["-j", "neighbor"])?;
    Ok(json(&answer)?.as_array().cloned().unwrap_or_default())
}

fn json(answer: &str) -> Result<Value> {
    serde_json::from_str(answer).map_err(|e| LabError::new(format!("gobgp: {e}: {answer}")))
}

/// The client must be inside: the daemon listens on the namespace's own loopback.
pub(super) fn gobgp(peer: &Peer, args: &[&str]) -> Result<String> {
    run_ok(Some(&peer.ns), program("gobgp")?, args)
}
