//! Who may connect at all.

use crate::bytes::OPEN;
use crate::lab::{Lab, host, neighbor};
use crate::peer::{Peer, usual};
use crate::support::wait_until;

/// RFC 4486 section 4: connections from addresses that are not configured get Cease, Connection Rejected, and nothing else:
/// no OPEN. The log names the first ones and then ever fewer.
#[test]
fn strangers_are_rejected_in_one_message_and_the_log_stays_short() {
    let range = "  - {name: few, listenRange: 10.10.1.0/24, type: External, addressFamilies: [ipv4unicast]}\n";
    let lab = Lab::new(&format!("{}{range}", neighbor(1, "")));
    for number in (0..300).map(|number| 0x200 + number) {
        let mut stranger = Peer::dial(&lab, number);
        assert_eq!(stranger.end(), Some((6, 5, vec![])), "{}", host(number));
    }
    let refused = lab.lines("no neighbor with this address is configured");
    assert!((10..=20).contains(&refused), "{refused}");
    assert!(lab.lines("(256 so far)") == 1, "{}", lab.log());
    for number in [1, 0x101] {
        Peer::dial(&lab, number).expect(OPEN);
    }
    let _session = Peer::established(&lab, 1, &usual(1));
    wait_until("the configured neighbour is up", || lab.peer(1)["state"] == "established");
}
