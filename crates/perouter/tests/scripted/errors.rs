//! Malformed UPDATEs, one for each consequence of RFC 7606, seen by the peer that the routes go to, and what the operator
//! reads afterwards. Every attribute's verdict is the codec's own table; here the verdicts take effect.

use crate::bytes::{self, UPDATE};
use crate::lab::{Lab, PEER_ASN, host, neighbor};
use crate::peer::{Peer, Reason, usual};
use crate::support::wait_until;

const PREFIX: &str = "10.10.1.0/24";

fn lab() -> (Lab, Peer, Peer) {
    let lab = Lab::new(&(neighbor(1, "") + &neighbor(2, "")));
    let (peer, witness) = (Peer::established(&lab, 1, &usual(1)), Peer::established(&lab, 2, &usual(2)));
    (lab, peer, witness)
}

fn good() -> Vec<u8> {
    bytes::mandatory(PEER_ASN, host(1))
}

/// With `bad` in place of the attribute of that code, or behind the others.
fn with(bad: Vec<u8>) -> Vec<u8> {
    let kept = [bytes::attribute(0x40, 1, &[0]), bytes::attribute(0x40, 2, &[2, 1, 0, 0, 0xfd, 0xe9])];
    let next_hop = bytes::attribute(0x40, 3, &host(1).octets());
    let others = kept.into_iter().chain([next_hop]).filter(|attribute| attribute[1] != bad[1]);
    others.chain([bad.clone()]).flatten().collect()
}

/// RFC 7606 section 2, treat-as-withdraw: the earlier route goes everywhere, the session stays. Sections 3 and 7 say where.
#[test]
fn an_error_that_is_treated_as_withdraw_removes_the_earlier_route() {
    let (lab, mut peer, mut witness) = lab();
    let table = [
        ("7.1: ORIGIN 9", with(bytes::attribute(0x40, 1, &[9]))),
        ("3.c: ORIGIN as optional", with(bytes::attribute(0xc0, 1, &[0]))),
        ("3.d: no AS_PATH", [bytes::attribute(0x40, 1, &[0]), bytes::attribute(0x40, 3, &host(1).octets())].concat()),
        ("7.2: an empty segment", with(bytes::attribute(0x40, 2, &[2, 0]))),
        ("RFC 7607 2: AS 0", with(bytes::attribute(0x40, 2, &[2, 1, 0, 0, 0, 0]))),
        ("7.3: NEXT_HOP of 3", with(bytes::attribute(0x40, 3, &[10, 9, 0]))),
        ("7.4: MED of 3", with(bytes::attribute(0x80, 4, &[0, 0, 1]))),
        ("7.8: COMMUNITIES of 5", with(bytes::attribute(0xc0, 8, &[0; 5]))),
        ("RFC 8092 5: LARGE_COMMUNITIES of 11", with(bytes::attribute(0xc0, 32, &[0; 11]))),
        ("4: an attribute beyond the attributes", [good(), vec![0x80, 4, 9, 0]].concat()),
    ];
    for (count, (what, attributes)) in (1..).zip(&table) {
        peer.send(&bytes::announce(&good(), host(0x100)));
        witness.announcement(PREFIX);
        peer.send(&bytes::announce(attributes, host(0x100)));
        witness.withdrawal(PREFIX);
        let seen = lab.peer(1);
        assert_eq!((&seen["state"], &seen["malformed"]), (&"established".into(), &count.into()), "{what}");
    }
    let each = lab.peer(1)["malformed_attributes"].as_object().unwrap().clone();
    assert!(each["ORIGIN"].as_u64() >= Some(1) && each.contains_key("LARGE_COMMUNITIES"), "{each:?}");
    let sum: u64 = each.values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(sum, table.len() as u64, "each counts once: {each:?}");
    let log = lab.log();
    let line = log.lines().find(|line| line.contains("malformed UPDATE")).unwrap();
    assert!(
        line.contains("attribute 1 (ORIGIN): undefined origin: routes withdrawn") && line.contains("10.10.0.1"),
        "{line}"
    );
}

/// RFC 7606 section 2, attribute discard: the route goes on without the attribute.
#[test]
fn an_attribute_that_is_discarded_is_not_passed_on() {
    let (lab, mut peer, mut witness) = lab();
    let table = [
        ("7.6: ATOMIC_AGGREGATE with a value", 6, with(bytes::attribute(0x40, 6, &[1]))),
        ("7.7: AGGREGATOR of 7", 7, with(bytes::attribute(0xc0, 7, &[0; 7]))),
        ("RFC 7607 2: AGGREGATOR of AS 0", 7, with(bytes::attribute(0xc0, 7, &[0, 0, 0, 0, 10, 0, 0, 1]))),
        ("7.5: LOCAL_PREF from outside", 5, with(bytes::attribute(0x40, 5, &[0, 0, 0, 200]))),
        ("RFC 6793 6: AS4_PATH between four-octet speakers", 17, with(bytes::attribute(0xc0, 17, &[2, 1, 0, 0, 0, 9]))),
    ];
    for (count, (what, code, attributes)) in (1..).zip(&table) {
        // MED distinguishes this route from the one before.
        peer.send(&bytes::announce(attributes, host(0x100)));
        let update = witness.announcement(PREFIX);
        assert_eq!(update.attribute(*code), None, "{what}");
        peer.send(&bytes::withdraw(host(0x100)));
        witness.withdrawal(PREFIX);
        let seen = lab.peer(1);
        assert_eq!((&seen["state"], &seen["malformed"]), (&"established".into(), &count.into()), "{what}");
    }
    let log = lab.log();
    let line = log.lines().find(|line| line.contains("malformed UPDATE")).unwrap();
    assert!(line.contains("attribute 6 (ATOMIC_AGGREGATE): wrong length: left out"), "{line}");
}

/// RFC 4271 section 6.3 and RFC 7606 sections 3 and 5.3: where nothing less will do the session ends, with subcode and data;
/// its routes go, and `peers` and the log say why.
#[test]
fn an_error_that_hides_the_routes_ends_the_session() {
    let (lab, peer, mut witness) = lab();
    drop(peer);
    wait_until("its session is over", || lab.peer(1)["state"] != "established");
    let nlri = bytes::slash24(host(0x100));
    let body = |attributes: &[u8]| bytes::update_body(&[], attributes, &nlri);
    let reach = bytes::attribute(0x80, 14, &[0, 2, 1, 99, 0]);
    let unknown = bytes::attribute(0x40, 99, &[1, 2]);
    let unreach = bytes::attribute(0x80, 15, &[0, 1, 1]);
    let table: [(&str, Vec<u8>, Reason); 7] = [
        ("7606 3.i: a prefix of 33 bits", bytes::update_body(&[], &good(), &[33, 10, 0, 0, 0, 0]), (3, 10, vec![])),
        ("7606 3.i: a prefix that is cut off", bytes::update_body(&[], &good(), &[24, 10, 0]), (3, 10, vec![])),
        (
            "7606 3.j: a withdrawn prefix of 40 bits",
            bytes::update_body(&[40, 1, 2, 3, 4, 5], &[], &[]),
            (3, 10, vec![]),
        ),
        ("6.3: withdrawn routes beyond the message", vec![0, 9, 0, 0], (3, 1, vec![])),
        ("7606 7.11: an MP_REACH_NLRI that contradicts itself", body(&[good(), reach.clone()].concat()), (3, 9, reach)),
        ("7606 3.g: two MP_UNREACH_NLRI", body(&[good(), unreach.clone(), unreach].concat()), (3, 1, vec![])),
        ("6.3: a well-known attribute that nobody knows", body(&[good(), unknown.clone()].concat()), (3, 2, unknown)),
    ];
    for (what, body, answer) in table {
        let mut peer = Peer::established(&lab, 1, &usual(1));
        peer.send(&bytes::announce(&good(), host(0x100)));
        witness.announcement(PREFIX);
        peer.send(&bytes::message(UPDATE, &body));
        assert_eq!(peer.end(), Some(answer), "{what}");
        witness.withdrawal(PREFIX);
    }
    let said = lab.peer(1)["last_error"].as_str().unwrap().to_owned();
    assert!(said.contains("Unrecognized Well-known Attribute"), "{said}");
    wait_until("the log says it", || lab.log().contains("lost: sent UPDATE Message Error/Invalid Network Field"));
    assert_eq!(lab.peer(2)["flaps"], 0, "the other session is not touched");
}
