//! The router ends and another process takes over: an upgrade, and a crash.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use rustix::process::Signal;
use testbed::{Daemon, Family, ip};

use crate::fabric::{peers, reaches};
use crate::harness::{OURS, Plan, SOME, Site, shared};
use crate::liveness::{Interval, Verdict, watched};

/// What the router says when it has told and installed everything again.
const OVER: &str = "restarted gracefully";

const PEERS: [(Daemon, Daemon); 2] = [(Daemon::Frr, Daemon::Bird), (Daemon::Bird, Daemon::Frr)];

/// Everybody restarts gracefully.
///
/// FRR dials a peer that restarts once and then waits to be dialled ("passiveNSF"): a host's that does not listen has no
/// session again before the restart time is over.
fn graceful(leaf: Daemon, host: Daemon) -> Plan {
    let plan = Plan::new(&[leaf], host).yaml(|yaml| yaml.underlay("gracefulRestart: {}"));
    let plan = plan.leaf(move |config| {
        let frr = leaf == Daemon::Frr;
        config.lines = if frr { " bgp graceful-restart\n" } else { "  graceful restart on;\n" }.into();
    });
    // The daemon's default, which is to help others that do.
    plan.host(|config| config.listen = true)
}

/// The program's file is another one when the next process starts, as after the installation of another version.
#[test]
fn upgrade() {
    for (leaf, host) in PEERS {
        let mut site = graceful(leaf, host).start();
        let before = site.installed();
        let program = site.net.lab.dir().join("perouter");
        let watch = site.watch();
        for times in 1..=2 {
            site.stop(Signal::TERM);
            watch.passes(SOME);
            install(&site, &program);
            site.router = site.node().start_router_by(&[&program.to_string_lossy()]).unwrap();
            site.logs(OVER, times);
            site.works();
        }
        watch.passes(SOME);
        assert_eq!(fs::read_link(format!("/proc/{}/exe", site.router)).unwrap(), program);
        assert_eq!(site.installed(), before);
        let event = "upgrade, twice: SIGTERM, then a new process of a new file";
        watch.nothing_lost(event, "every route installed once, as before");
    }
}

/// Puts a file into place that runs as the router does and is not the one that was there.
fn install(site: &Site, program: &Path) {
    let fresh = program.with_extension("fresh");
    let before = if program.exists() { program } else { site.net.lab.perouter() };
    fs::copy(before, &fresh).unwrap();
    // What comes after an ELF file's sections is nobody's.
    OpenOptions::new().append(true).open(&fresh).unwrap().write_all(b"another version").unwrap();
    fs::rename(fresh, program).unwrap();
}

/// A route that its owner withdraws in the meantime is swept.
#[test]
fn crash() {
    for (leaf, host) in PEERS {
        let mut site = graceful(leaf, host).start();
        let mut before = site.installed();
        let watch = site.watch();
        site.stop(Signal::KILL);
        for family in Family::ALL {
            site.leaves[0].withdraw(shared(family)).unwrap();
            assert!(before.remove(&shared(family)).is_some());
        }
        watch.sends(5000);
        site.start_again();
        site.logs(OVER, 1);
        site.works();
        for family in Family::ALL {
            reaches(&site.net.lab, &site.node().router_ns, shared(family), None);
        }
        watch.passes(SOME);
        assert_eq!(site.installed(), before);
        watch.nothing_lost(
            "`kill -9`, new process after 5 s",
            "every route installed once; what was withdrawn meanwhile is swept",
        );
    }
}

/// The router's BFD ends with it, and says so all along: its C bit is clear.
#[test]
fn crash_under_bfd() {
    for (leaf, host) in PEERS {
        for verdict in [Verdict::Lenient, Verdict::Plain] {
            let mut site = watched(graceful(leaf, host), Interval(300), verdict).start();
            let independent = |peer: &serde_json::Value| peer["bfd"]["local"]["control_plane_independent"] == true;
            let dependent = peers(site.node()).iter().filter(|peer| !independent(peer)).count();
            assert_eq!(dependent, peers(site.node()).len(), "what is honest: {:#?}", peers(site.node()));
            let before = site.installed();
            let watch = site.watch();
            site.stop(Signal::KILL);
            watch.sends(5000);
            site.start_again();
            site.logs(OVER, 1);
            site.works();
            watch.passes(SOME);
            assert_eq!(site.installed(), before);
            let event = "`kill -9`, new process after 5 s, BFD 3 x 300 ms";
            match verdict {
                Verdict::Lenient => {
                    let event = &format!("{event}, peers that look at the C bit");
                    watch.nothing_lost(event, "BFD that goes down means nothing");
                }
                Verdict::Plain => {
                    let event = format!("{event}, peers by default");
                    let row = watch.row(&event, "FRR helps on, BIRD's BFD ends its help; all is back by itself");
                    row.report();
                    for (daemon, loss) in [(leaf, row.to_host), (host, row.to_fabric)] {
                        assert_eq!(loss.lost > 0, daemon == Daemon::Bird, "{daemon}: {loss:?}");
                    }
                }
            }
        }
    }
}

/// The F bit of RFC 4724 is a promise: it is not made when the kernel has lost what was installed.
#[test]
fn a_start_without_the_routes_of_before_is_no_restart() {
    let mut site = graceful(Daemon::Bird, Daemon::Bird).start();
    site.stop(Signal::KILL);
    ip::change(&site.node().router_ns, &["nexthop", "flush", "proto", OURS]).unwrap();
    assert_eq!(site.installed().len(), 0, "routes go with their next-hop objects");
    site.start_again();
    site.works();
    assert!(!site.log().contains(OVER), "{}", site.log());
}
