//! Operators' soft refreshes.

use testbed::Daemon;

use crate::harness::{Plan, SOME, Site};

/// In both directions of every session, while packets pass.
#[test]
fn soft_refresh() {
    for (leaf, host) in [(Daemon::Frr, Daemon::Bird), (Daemon::Bird, Daemon::Frr)] {
        let site = Plan::new(&[leaf], host).start();
        let before = site.installed();
        let watch = site.watch();
        for address in Site::addresses(0).into_iter().flat_map(|a| [a.leaf, a.host]) {
            let said = site.node().ask(&["clear", &address.to_string(), "--soft", "both"]).unwrap();
            assert!(said.ok(), "{said:?}");
        }
        site.logs("an operator has our routes sent again", 4);
        watch.passes(SOME);
        assert_eq!(site.installed(), before);
        assert_eq!(crate::fabric::flaps(site.node()), 0);
        watch.nothing_lost("soft refresh of every session", "no session is lost, no route moves");
    }
}
