//! Without any event: what the site itself loses, which must be nothing.

use testbed::Daemon;
use testbed::passthrough::addresses_of;

use crate::fabric::reaches;
use crate::harness::{Plan, Site, shared};

#[test]
fn nothing_happens() {
    for (leaf, host) in [(Daemon::Frr, Daemon::Bird), (Daemon::Bird, Daemon::Frr)] {
        let site = Plan::new(&[leaf], host).start();
        let watch = site.watch();
        watch.passes(3000);
        watch.nothing_lost("nothing", "");
    }
}

/// Packets of one flow take one of two leaves, as the router chooses.
#[test]
fn nothing_happens_to_two_leaves() {
    let site = Plan::new(&[Daemon::Frr, Daemon::Bird], Daemon::Bird).start();
    for a in Site::addresses(0) {
        let gateways = [0, 1].map(|leaf| addresses_of(a.family, leaf, 0).leaf);
        reaches(&site.net.lab, &site.node().router_ns, shared(a.family), Some(&gateways));
        reaches(&site.net.lab, &site.node().ns, shared(a.family), Some(&[a.router]));
    }
    let watch = site.watch_shared();
    watch.passes(3000);
    watch.nothing_lost("nothing, with two leaves", "");
}
