//! BIRD 2, asked through birdc, whose answers are text.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Family, LearnedRoute, Peer, program, text};
use crate::process::run_ok;
use crate::{LabError, Result};

/// `recovers`: it takes what it finds in the kernel for its own of before (`-R`).
pub(super) fn start(peer: &Peer, recovers: bool) -> Result<u32> {
    let file = text(&peer.write("bird.conf", &peer.config_text(config))?);
    let (socket, pidfile) = (text(&peer.dir.join("bird.ctl")), text(&peer.dir.join("bird.pid")));
    let mut args = vec!["-c", &file, "-s", &socket, "-P", &pidfile, "-f"];
    if recovers {
        args.push("-R");
    }
    let pid = peer.lab.spawn(&peer.ns, &program("bird")?, &args, &peer.dir.join("bird.log"))?;
    peer.until_ready(pid, || birdc(peer, &["show", "status"]))?;
    Ok(pid)
}

pub(super) fn established(peer: &Peer, neighbor: IpAddr) -> Result<bool> {
    let Some(position) = peer.config.neighbors.iter().position(|n| n.address == neighbor) else {
        return Err(LabError::new(format!("{neighbor} is no neighbour of this BIRD")));
    };
    let name = format!("n{position}");
    let answer = birdc(peer, &["show", "protocols"])?;
    Ok(answer.lines().any(|l| l.split_whitespace().next() == Some(&name) && l.contains("Established")))
}

pub(super) fn routes(peer: &Peer, family: Family) -> Result<Vec<LearnedRoute>> {
    birdc(peer, &["show", "route", "table", table(family), "primary", "all"]).map(|answer| parse(&answer))
}

pub(super) fn count(peer: &Peer, family: Family) -> Result<usize> {
    let filter = ["where", "source", "=", "RTS_BGP", "primary", "count"];
    let answer = birdc(peer, &[&["show", "route", "table", table(family)][..], &filter].concat())?;
    // "3 of 5 routes for 5 networks in table master4"
    let number = answer.lines().filter(|l| l.contains(" of ")).find_map(|l| l.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| LabError::new(format!("birdc does not say how many routes there are: {answer}")))
}

fn table(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "master4",
        Family::Ipv6 => "master6",
    }
}

pub(super) fn reload(peer: &Peer) -> Result<()> {
    peer.write("bird.conf", &peer.config_text(config))?;
    let answer = birdc(peer, &["configure"])?;
    if answer.contains("Reconfigur") {
        return Ok(());
    }
    Err(LabError::new(format!("BIRD refuses its configuration: {answer}")))
}

/// Each route is a line that begins with its prefix, followed by indented attributes.
fn parse(answer: &str) -> Vec<LearnedRoute> {
    let mut routes = Vec::new();
    let (mut prefix, mut path): (Option<IpNet>, Option<Vec<u32>>) = (None, None);
    for line in answer.lines() {
        if !line.starts_with(char::is_whitespace) {
            prefix = line.split_whitespace().next().and_then(|p| p.parse().ok());
            path = None;
        } else if let Some(text) = line.trim().strip_prefix("BGP.as_path:") {
            path = text.split_whitespace().map(|a| a.parse().ok()).collect();
        } else if let Some(text) = line.trim().strip_prefix("BGP.next_hop:") {
            // The global address first, a link-local one may follow.
            let hop = text.split_whitespace().next().and_then(|h| h.parse().ok());
            if let (Some(prefix), Some(next_hop), Some(as_path)) = (prefix, hop, path.take()) {
                routes.push(LearnedRoute { prefix, next_hop, as_path });
            }
        }
    }
    routes
}

fn config(peer: &Peer) -> String {
    let config = &peer.config;
    // After `-R` it waits for a channel whose link lost its address meanwhile until the time is over, whatever the neighbour says.
    let mut out = format!(
        "log stderr all;\nrouter id {};\ngraceful restart wait 20;\nprotocol device {{ scan time 1; }}\n",
        config.router_id
    );
    for family in Family::ALL {
        let word = word(family);
        if config.install {
            // Matters after `-R` alone: what an earlier process put there stays until the neighbours have spoken.
            let _ = writeln!(
                out,
                "protocol kernel {{ graceful restart on; {word} {{ import none; export where source = RTS_BGP; }}; }}"
            );
        }
        let _ = writeln!(out, "protocol static {{\n  {word};");
        for prefix in peer.networks(family) {
            let _ = writeln!(out, "  route {prefix} blackhole;");
        }
        let _ = writeln!(out, "}}");
    }
    if let Some(bfd) = &config.bfd {
        let _ = writeln!(out, "protocol bfd {{\n{bfd}}}");
    }
    for (i, n) in config.neighbors.iter().enumerate() {
        let _ = writeln!(
            out,
            "protocol bgp n{i} {{\n  local as {};\n  neighbor {} as {};\n  hold time 9;\n  \
             connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 2;",
            config.asn, n.address, n.asn
        );
        if n.asn == config.asn {
            // Else it takes internal neighbours for distant ones, and looks for their next hops where none are.
            out.push_str("  direct;\n");
        }
        out.push_str(&config.lines);
        for family in &n.families {
            let _ = writeln!(
                out,
                "  {} {{\n  import all;\n  export filter {{\n  if source !~ [ RTS_STATIC, RTS_BGP ] then reject;\n  \
                 {}\n  accept;\n  }};\n  {}\n  }};",
                word(*family),
                config.export,
                config.family_lines.join("\n  ")
            );
        }
        let _ = writeln!(out, "}}");
    }
    out
}

fn word(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

pub(super) fn birdc(peer: &Peer, command: &[&str]) -> Result<String> {
    let socket = text(&peer.dir.join("bird.ctl"));
    let mut args = vec!["-s", socket.as_str()];
    args.extend_from_slice(command);
    run_ok(None, program("birdc")?, &args)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_bgp_are_read_and_others_are_left_out() {
        let answer = "BIRD 2.0.12 ready.\nTable master6:\n\
            2001:db8:170::/64    blackhole [static2 11:35:03.429] * (200)\n\tType: static univ\n\
            2001:db8:244:1::/64  unicast [n1 11:35:07.450] * (100) [AS64515?]\n\
            \tvia 2001:db8:11::3 on eth1\n\tType: BGP univ\n\tBGP.origin: Incomplete\n\
            \tBGP.as_path: 64514 64515\n\tBGP.next_hop: 2001:db8:11::3 fe80::1\n\tBGP.local_pref: 100\n";
        let route = LearnedRoute {
            prefix: "2001:db8:244:1::/64".parse().unwrap(),
            next_hop: "2001:db8:11::3".parse().unwrap(),
            as_path: vec![64514, 64515],
        };
        assert_eq!(parse(answer), [route]);
    }
}
