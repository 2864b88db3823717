//! Without any event: what the site itself loses, which must be nothing.

use testbed::Daemon;

use crate::harness::Plan;

#[test]
fn nothing_happens() {
    for (leaf, host) in [(Daemon::Frr, Daemon::Bird), (Daemon::Bird, Daemon::Frr)] {
        let site = Plan::new(&[leaf], host).start();
        let watch = site.watch();
        watch.passes(3000);
        watch.nothing_lost("nothing", "");
    }
}
