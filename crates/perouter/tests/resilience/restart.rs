//! The router ends and another process takes over: an upgrade, and a crash.

use rustix::process::Signal;
use testbed::Daemon;

use crate::fabric::reaches;
use crate::harness::{Plan, SOME, Site, shared};

/// What the router says when it has told and installed everything again.
const OVER: &str = "restarted gracefully";

const PEERS: [(Daemon, Daemon); 2] = [(Daemon::Frr, Daemon::Bird), (Daemon::Bird, Daemon::Frr)];

/// FRR dials a peer that restarts once and then waits to be dialled ("passiveNSF"): a host's that does not listen has no
/// session again before the restart time is over.
fn graceful(leaf: Daemon, host: Daemon) -> Site {
    let plan = Plan::new(&[leaf], host).yaml(|yaml| yaml.underlay("gracefulRestart: {}"));
    plan.host(|config| config.listen = true).start()
}

#[test]
fn upgrade() {
    for (leaf, host) in PEERS {
        let mut site = graceful(leaf, host);
        let before = site.installed();
        let watch = site.watch();
        site.stop(Signal::TERM);
        watch.passes(SOME);
        site.start_again();
        site.logs(OVER, 1);
        site.works();
        watch.passes(SOME);
        assert_eq!(site.installed(), before);
        watch.nothing_lost("upgrade: SIGTERM, then a new process", "every route installed once, as before");
    }
}

/// A route that its owner withdraws in the meantime is swept.
#[test]
fn crash() {
    for (leaf, host) in PEERS {
        let mut site = graceful(leaf, host);
        let mut before = site.installed();
        let watch = site.watch();
        site.stop(Signal::KILL);
        for family in testbed::Family::ALL {
            site.leaves[0].withdraw(shared(family)).unwrap();
            assert!(before.remove(&shared(family)).is_some());
        }
        watch.sends(5000);
        site.start_again();
        site.logs(OVER, 1);
        site.works();
        for family in testbed::Family::ALL {
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
