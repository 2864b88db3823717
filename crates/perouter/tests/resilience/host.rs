//! The speaker on the host ends and begins again.

use rustix::process::Signal;
use testbed::passthrough::{HOST_ASN, ROUTER_ASN};
use testbed::{Daemon, PeerConfig};

use crate::fabric::learns;
use crate::harness::{Plan, SOME, Site};

/// Makes it a speaker that restarts gracefully and leaves its kernel's routes in place.
fn graceful(daemon: Daemon) -> impl Fn(&mut PeerConfig) {
    move |config| {
        config.lines = match daemon {
            Daemon::Frr => " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n".into(),
            _ => "  graceful restart on;\n".into(),
        };
    }
}

/// The fabric keeps the host's routes, and they are not withdrawn from it for a moment.
#[test]
fn host_speaker_restarts_gracefully() {
    for (leaf, host) in [(Daemon::Frr, Daemon::Bird), (Daemon::Bird, Daemon::Frr)] {
        let mut site = Plan::new(&[leaf], host).host(graceful(host)).start();
        let watch = site.watch();
        site.host.stop(Signal::KILL).unwrap();
        watch.passes(SOME);
        site.host.start_again().unwrap();
        site.logs("established", 6);
        site.works();
        watch.passes(SOME);
        let log = site.log();
        assert_eq!(log.matches("routes are kept for").count(), 2, "{log}");
        let event = "host's speaker restarts, graceful restart";
        if host == Daemon::Bird {
            watch.nothing_lost(event, "the fabric keeps the host's routes");
        } else {
            // FRR 8.4's zebra removes the stale IPv6 routes of its own kernel before bgpd has given it the new ones.
            let row = watch
                .row(event, "0 lost to the host: the fabric keeps its routes; FRR takes its own away for a moment");
            row.report();
            assert_eq!(row.to_host.lost, 0, "{:?}", row.to_host);
        }
    }
}

/// What was not negotiated is not done: the fabric forgets, and learns again.
#[test]
fn host_speaker_restarts_without_graceful_restart() {
    for (leaf, host) in [(Daemon::Frr, Daemon::Bird), (Daemon::Bird, Daemon::Frr)] {
        let plan = Plan::new(&[leaf], host).host(move |config| {
            if host == Daemon::Frr {
                config.lines = " bgp graceful-restart-disable\n".into();
            } else {
                config.lines = "  graceful restart off;\n".into();
            }
        });
        let mut site = plan.start();
        let watch = site.watch();
        site.host.stop(Signal::KILL).unwrap();
        for a in Site::addresses(0) {
            learns(&site.net.lab, &site.leaves[0], a.host_network, None);
        }
        site.host.start_again().unwrap();
        site.works();
        watch.passes(SOME);
        let row = watch.row(
            "host's speaker restarts, no graceful restart",
            "the fabric drops the host's routes, and has them again without anybody's help",
        );
        row.report();
        for a in Site::addresses(0) {
            let path = [ROUTER_ASN, HOST_ASN];
            learns(&site.net.lab, &site.leaves[0], a.host_network, Some((a.nic.addr(), &path)));
        }
        assert!(row.to_host.lost > 0, "a session that ends without graceful restart costs packets: {:?}", row.to_host);
    }
}
