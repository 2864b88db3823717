//! What the kernel refuses, without any help from the product: a gateway that the kernel takes for a broadcast address.

use crate::bytes;
use crate::lab::{Lab, PEER_ASN, neighbor};
use crate::peer::{Peer, usual};
use crate::support::wait_until;

#[test]
fn a_next_hop_that_the_kernel_refuses_is_told_once_and_tried_again_while_the_others_go_in() {
    let lab = Lab::forwarding(&neighbor(1, ""));
    lab.inside("address add 10.8.0.1/24 dev veth0");
    lab.inside("route add broadcast 10.8.0.77 dev veth0 table local");
    let mut peer = Peer::established(&lab, 1, &usual(1));
    let mut announce = |next_hop: [u8; 4], prefix: [u8; 4]| {
        peer.send(&bytes::announce(&bytes::mandatory(PEER_ASN, next_hop.into()), prefix.into()));
    };
    announce([10, 8, 0, 77], [10, 20, 0, 0]);
    announce([10, 8, 0, 77], [10, 21, 0, 0]);
    announce([10, 8, 0, 78], [10, 22, 0, 0]);
    wait_until("the route by another next hop goes in", || lab.has_route("10.22.0.0/24"));
    let refused = || lab.ask(&["status"]).text.contains("the kernel refused 2 routes");
    wait_until("status says so", refused);
    let events = lab.ask(&["events"]).text;
    assert!(events.contains("cannot use next hop 10.8.0.77") && events.contains("trying again"), "{events}");
    assert!(!lab.has_route("10.20.0.0/24") && !lab.has_route("10.21.0.0/24"));
    // What comes later is not held up by what waits.
    announce([10, 8, 0, 78], [10, 23, 0, 0]);
    wait_until("a later route goes in", || lab.has_route("10.23.0.0/24"));
    assert!(refused());

    lab.inside("route delete broadcast 10.8.0.77 dev veth0 table local");
    wait_until("both go in when the kernel takes them", || {
        lab.has_route("10.20.0.0/24") && lab.has_route("10.21.0.0/24")
    });
    wait_until("status is content", || !lab.ask(&["status"]).text.contains("the kernel refused"));
    assert_eq!(lab.lines("cannot use next hop 10.8.0.77"), 1, "{}", lab.log());
}
