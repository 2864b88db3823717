//! Sites whose every session is watched by BFD.

use std::fmt::Write as _;

use testbed::{Daemon, PeerConfig};

use crate::harness::Plan;

/// Milliseconds between two packets, three of which may be missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval(pub(crate) u32);

/// What a peer makes of a session that BFD takes for dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As the daemon does it without more words.
    Plain,
    /// While the router restarts, its silence means nothing (RFC 5882 section 4.3.2): `bfd check-control-plane-failure` in FRR,
    /// `bfd graceful` in BIRD.
    Lenient,
}

/// The same site with BFD on every session; adds to what the daemons' `lines` say already.
pub(crate) fn watched(plan: Plan, interval: Interval, verdict: Verdict) -> Plan {
    let of_router = format!("bfd: {{receiveInterval: {0}, transmitInterval: {0}, detectMultiplier: 3}}", interval.0);
    plan.yaml(|mut yaml| {
        yaml.neighbors.iter_mut().for_each(|neighbor| {
            let _ = write!(neighbor, ", {of_router}");
        });
        yaml.session(&of_router)
    })
    .everybody(move |daemon, config| add(daemon, config, interval, verdict))
}

fn add(daemon: Daemon, config: &mut PeerConfig, Interval(ms): Interval, verdict: Verdict) {
    let lenient = verdict == Verdict::Lenient;
    if daemon == Daemon::Frr {
        for n in &config.neighbors {
            let _ = writeln!(config.lines, " neighbor {} bfd 3 {ms} {ms}", n.address);
            if lenient {
                let _ = writeln!(config.lines, " neighbor {} bfd check-control-plane-failure", n.address);
            }
        }
        config.bfd = Some(String::new());
    } else {
        let _ = writeln!(config.lines, "  bfd {};", if lenient { "graceful" } else { "on" });
        let times = format!("min tx interval {ms} ms; min rx interval {ms} ms; multiplier 3;");
        config.bfd = Some(format!("  interface \"*\" {{ {times} }};\n"));
    }
}
