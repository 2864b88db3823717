//! A kernel that loses our routes again and again while a full table is on its way there.

use std::net::Ipv4Addr;

use crate::bytes::{self, UPDATE};
use crate::lab::{Lab, PEER_ASN, host, neighbor};
use crate::peer::{Peer, usual};
use crate::support::wait_until;

/// Prefixes of the table: several batches for the kernel.
const PREFIXES: u32 = 60_000;
/// In a message.
const EACH: u32 = 600;
/// How often what is there is lost. Each time more has been on its way.
const LOSSES: usize = 12;

fn slash24s(from: u32) -> Vec<u8> {
    (from..from + EACH).flat_map(|n| bytes::slash24(Ipv4Addr::from(100 << 24 | n << 8))).collect()
}

#[test]
fn a_full_table_reaches_a_kernel_that_loses_it_meanwhile_and_leaves_it_again() {
    let lab = Lab::forwarding(&neighbor(1, ""));
    let mut peer = Peer::established(&lab, 1, &usual(1));
    // The End-of-RIB: from here on what nobody tells again after a loss is swept.
    peer.send(&bytes::message(UPDATE, &bytes::update_body(&[], &[], &[])));
    let attributes = bytes::mandatory(PEER_ASN, host(1));
    let firsts: Vec<u32> = (0..PREFIXES).step_by(EACH as usize).collect();
    for some in firsts.chunks(firsts.len().div_ceil(LOSSES)) {
        for from in some {
            peer.send(&bytes::message(UPDATE, &bytes::update_body(&[], &attributes, &slash24s(*from))));
        }
        wait_until("there is something to lose", || lab.kernel_routes() > 0);
        lab.inside("nexthop flush proto 168");
    }
    let there = || lab.ask(&["-o", "json", "status"]).json()["router"]["fib"]["installed"].as_u64();
    wait_until("all of it is there", || lab.kernel_routes() == PREFIXES as usize);
    wait_until("and known to be", || there() == Some(u64::from(PREFIXES)));

    for from in firsts {
        peer.send(&bytes::message(UPDATE, &bytes::update_body(&slash24s(from), &[], &[])));
    }
    wait_until("nothing is left", || lab.kernel_routes() == 0);
}
