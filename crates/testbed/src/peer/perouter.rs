//! The binary under test as a peer: `perouter speak` with the file that a person would write.

use std::fmt::Write as _;
use std::net::IpAddr;

use rustix::process::Signal;
use serde_json::Value;

use super::{Family, LearnedRoute, Peer, text};
use crate::process::run;
use crate::{LabError, Result};

pub(super) fn start(peer: &Peer) -> Result<u32> {
    let file = text(&peer.write("speak.yaml", &peer.config_text(config))?);
    let pid = peer.lab.spawn(&peer.ns, peer.lab.perouter(), &["speak", &file], &peer.dir.join("perouter.log"))?;
    peer.until_ready(pid, || ask(peer, "peers"))?;
    Ok(pid)
}

pub(super) fn established(peer: &Peer, neighbor: IpAddr) -> Result<bool> {
    let neighbor = neighbor.to_string();
    let answer = ask(peer, "peers")?;
    let found = list(&answer, "peers").iter().find(|p| p["address"] == neighbor.as_str());
    Ok(found.is_some_and(|p| p["state"].as_str().is_some_and(|s| s.eq_ignore_ascii_case("established"))))
}

pub(super) fn routes(peer: &Peer, family: Family) -> Result<Vec<LearnedRoute>> {
    let answer = ask(peer, "routes")?;
    Ok(list(&answer, "routes").iter().filter_map(best).filter(|r| Family::of(r.prefix) == family).collect())
}

/// SIGHUP makes it read its file again.
pub(super) fn reload(peer: &Peer) -> Result<()> {
    peer.write("speak.yaml", &peer.config_text(config))?;
    peer.lab.signal(peer.pid, Signal::HUP)
}

fn best(route: &Value) -> Option<LearnedRoute> {
    let path = route["paths"].as_array()?.iter().find(|p| p["best"] == true)?;
    path["from"].as_object()?; // null in its own
    Some(LearnedRoute {
        prefix: route["prefix"].as_str()?.parse().ok()?,
        next_hop: path["next_hop"].as_str()?.parse().ok()?,
        as_path: path["as_path"].as_str()?.split_whitespace().map(|a| a.parse().ok()).collect::<Option<_>>()?,
    })
}

fn config(peer: &Peer) -> String {
    let config = &peer.config;
    let mut out = format!(
        "asn: {}\nrouterID: {}\nconnectRetrySeconds: 1\nkernelRoutes: {}\nstateDir: {}\n",
        config.asn,
        config.router_id,
        config.install,
        peer.dir.join("state").display()
    );
    if !config.listen {
        out.push_str("listen: []\n");
    }
    out.push_str("neighbors:\n");
    for (i, n) in config.neighbors.iter().enumerate() {
        let families: Vec<_> = n.families.iter().map(|f| word(*f)).collect();
        let _ = writeln!(
            out,
            "  - {{name: n{i}, address: \"{}\", asn: {}, role: fabric, addressFamilies: [{}]}}",
            n.address,
            n.asn,
            families.join(", ")
        );
    }
    let networks: Vec<_> = config.networks.iter().map(|n| format!("\"{n}\"")).collect();
    let _ = writeln!(out, "networks: [{}]", networks.join(", "));
    out.push_str(&config.lines);
    out
}

fn word(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4unicast",
        Family::Ipv6 => "ipv6unicast",
    }
}

fn list<'a>(answer: &'a Value, key: &str) -> &'a [Value] {
    answer.as_array().or_else(|| answer[key].as_array()).map_or(&[], Vec::as_slice)
}

pub(super) fn say(peer: &Peer, question: &[&str]) -> Result<String> {
    let state = text(&peer.dir.join("state"));
    let args = [&["--state-dir", state.as_str()], question].concat();
    run(None, peer.lab.perouter(), &args).map(|answer| answer.stdout)
}

/// Exit code 1 is an answer too: a session is down, or there is no route yet.
fn ask(peer: &Peer, question: &str) -> Result<Value> {
    let state = text(&peer.dir.join("state"));
    let answer = run(None, peer.lab.perouter(), &["--state-dir", &state, "-o", "json", question])?;
    let explain = |why: &str| LabError::new(format!("perouter {question}: {why} {}", answer.stderr.trim()));
    match answer.code {
        Some(0 | 1) => serde_json::from_str(&answer.stdout).map_err(|e| explain(&e.to_string())),
        Some(_) | None => Err(explain("")),
    }
}
