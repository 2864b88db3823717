//! Which next hops a router tells its neighbours.

use engine::intent::{Intent, Role};
use wire::Family;

use crate::sim::{SECOND, Sim, With, intent};

const SENDER: u32 = 64514;
const RECEIVER: u32 = 64512;
const PREFIX: &str = "2001:db8:170::/48";

/// The gateway of a receiver that has no other way to the global address than the link itself: the link-local address
/// when it was told one.
fn gateway(over: [&str; 2]) -> Vec<String> {
    let [here, there] = over;
    let dual = |mut intent: Intent| {
        for peer in intent.peers.values_mut() {
            peer.families = Family::ALL.to_vec();
            peer.link = Some("eth0".into());
        }
        intent
    };
    let mut sim = Sim::new(31);
    let sender = dual(intent(SENDER, "10.0.0.1").peer(there, RECEIVER, Role::Fabric).network(PREFIX));
    sim.add(&[("eth0", &["2001:db8:11::3/64", "fe80::3/64", "192.168.11.3/24"])], sender);
    let receiver = dual(intent(RECEIVER, "10.1.0.1").peer(here, SENDER, Role::Peer));
    let receiver = sim.add(&[("eth0", &["2001:db8:11::2/128", "fe80::2/64", "192.168.11.2/24"])], receiver);
    sim.run(SECOND * 20);
    let route = sim.route(receiver, PREFIX).unwrap_or_else(|| panic!("nothing over {over:?}"));
    assert_eq!(route.paths[0].next_hop, "2001:db8:11::3".parse().ok(), "over {over:?}");
    sim.gateways(receiver, PREFIX)
}

/// RFC 2545 section 3.
#[test]
fn the_link_local_address_goes_beside_the_global_one_to_a_peer_on_the_link() {
    assert_eq!(gateway(["2001:db8:11::3", "2001:db8:11::2"]), ["fe80::3"]);
    assert_eq!(gateway(["192.168.11.3", "192.168.11.2"]), ["fe80::3"], "whatever the session goes over");
}
