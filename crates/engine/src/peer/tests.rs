use std::time::{Duration, Instant};

use wire::Family;

use super::{Peer, PeerAddress, PeerId};
use crate::intent::{PeerIntent, RemoteAs, Role};

/// RFC 4271 8.2.1.1 (DampPeerOscillations) and section 10.
#[test]
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
fn a_retry_waits_twice_as_long_each_time_up_to_the_configured_time() {
    let mut intent = PeerIntent::new("leaf", Role::Peer, RemoteAs::External, vec![Family::Ipv4Unicast]);
    intent.connect_retry = Duration::from_secs(20);
    let now = Instant::now();
    let mut peer = Peer::new(PeerId(1), PeerAddress::UNKNOWN, intent, now);
    let mut waits = Vec::new();
    for failures in 0..7 {
        peer.failures = failures;
        let (longest, shortest) = (peer.retry_delay(now, 0.0), peer.retry_delay(now, 1.0));
        assert_eq!(shortest, longest.mul_f64(0.75), "jittered by up to a quarter");
        waits.push(longest.as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 20, 20]);
}
