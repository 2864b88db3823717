//! What is said about an error: to the peer in a NOTIFICATION, to the operator in words.

use super::*;

/// RFC 4271 6.3: sub-code and data of each error, in messages without anything to withdraw (RFC 7606 5.2).
#[test]
fn what_a_notification_carries() {
    /// What stands in the message, the sub-code, and what comes back when it is not the same octets.
    type Row<'a> = (&'a [u8], u8, Option<&'a [u8]>);
    let table: [Row<'_>; 14] = [
        (&[0x40, 99, 1, 7], 2, None), // unrecognized well-known
        (&[0x00, 99, 0], 2, None),
        (&[0xc0, 1, 1, 0], 4, None), // flags
        (&[0x80, 2, 0], 4, None),
        (&[0x40, 4, 4, 0, 0, 0, 1], 4, None),
        (&[0x40, 1, 2, 0, 0], 5, None), // length
        (&[0x50, 3, 0, 3, 1, 2, 3], 5, None),
        (&[0x80, 4, 3, 0, 0, 1], 5, None),
        (&[0xc0, 8, 3, 0, 0, 1], 5, None),
        (&[0xc0, 32, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 5, None), // RFC 8092 6
        (&[0x80, 4, 9, 0], 5, None),                                       // ends beyond the attributes
        (&[0x40, 1, 1, 3], 6, None),                                       // ORIGIN
        (&[0x40, 2, 2, 2, 0], 11, Some(&[])),                              // AS_PATH: none
        (&[0x40, 2, 6, 2, 1, 0, 0, 0, 0], 11, Some(&[])),                  // RFC 7607 2
    ];
    for (bad, subcode, data) in table {
        let body = message(&[], &[bad], &[]);
        let expected = Notification::with_data(3, subcode, data.unwrap_or(bad).to_vec());
        assert_eq!(Update::decode(&body, &EXTERNAL).unwrap_err(), expected, "{bad:02x?}");
    }
    // RFC 4760 7, RFC 7606 7.11: the whole of an optional attribute that is wrong inside.
    let bad = mp_reach(2, &GLOBAL, &[129]);
    let error = Update::decode(&message(&[], &[&bad, ORIGIN, AS_PATH], &[]), &EXTERNAL).unwrap_err();
    assert_eq!(error, Notification::with_data(3, 9, bad));
}

/// RFC 4271 6.3: lengths that contradict the message's, prefixes that make no sense, and an attribute given twice
/// (RFC 7606 3.g) come without data.
#[test]
fn what_a_notification_does_not_carry() {
    let unreach = mp_unreach(2, DB8);
    let twice = message(&[], &[&unreach, &unreach], &[]);
    let table: [(&[u8], u8); 6] = [
        (&[0, 0, 0], 1),
        (&[0, 9, 0, 0], 1),
        (&[0, 0, 0, 1], 1),
        (&[0, 1, 33, 0, 0], 10),
        (&[0, 0, 0, 0, 33], 10),
        (&twice, 1),
    ];
    for (body, subcode) in table {
        assert_eq!(Update::decode(body, &EXTERNAL).unwrap_err(), Notification::new(3, subcode), "{body:02x?}");
    }
}

/// RFC 7606 8: the malformed attribute is there for the operator to see, as it came.
#[test]
fn a_problem_has_the_octets_that_were_wrong() {
    let odd = mp_reach(2, &[GLOBAL, GLOBAL].concat(), DB8);
    let vpn = attribute(0x80, 15, &[0, 1, 128]);
    let cases: [(&[u8], &str); 12] = [
        (&[0x40, 1, 1, 3], "attribute 1 (ORIGIN): undefined origin: routes withdrawn (40010103)"),
        (&[0x40, 2, 1, 2], "attribute 2 (AS_PATH): malformed path: routes withdrawn (40020102)"),
        (
            &[0x40, 3, 4, 0, 0, 0, 0],
            "attribute 3 (NEXT_HOP): the next hop is not a host's address: routes withdrawn (40030400000000)",
        ),
        (&[0x40, 5, 0], "attribute 5 (LOCAL_PREF): not allowed from an external peer: left out (400500)"),
        (&[0xc0, 7, 1, 0], "attribute 7 (AGGREGATOR): wrong length: left out (c0070100)"),
        (&[0xc0, 8, 3, 1, 2, 3], "attribute 8 (COMMUNITIES): wrong length: routes withdrawn (c00803010203)"),
        (&[0x40, 4, 0], "attribute 4 (MULTI_EXIT_DISC): its flags contradict its type: routes withdrawn (400400)"),
        (
            &[0xc0, 17, 0],
            "attribute 17 (AS4_PATH): not allowed between speakers of four-octet AS numbers: left out (c01100)",
        ),
        (&[0xc0, 35, 0], "attribute 35 (OTC): wrong length: routes withdrawn (c02300)"),
        (&[0xc0, 99, 9, 1], "attribute 99: an attribute runs beyond the attributes: routes withdrawn (c0630901)"),
        (&vpn, "attribute 15 (MP_UNREACH_NLRI): its family was not negotiated: left out (800f03000180)"),
        (
            &odd,
            "attribute 14 (MP_REACH_NLRI): the second next hop is not link-local and was ignored: left out \
             (800e2a0002012020010db800000000000000000000000120010db80000000000.. 45 octets)",
        ),
    ];
    for (bad, words) in cases {
        let others = [ORIGIN, AS_PATH, NEXT_HOP].into_iter().filter(|other| other[1] != bad[1]);
        let list: Vec<&[u8]> = others.chain([bad]).collect();
        let body = message(&[], &list, TEN);
        let update = Update::decode(&body, &EXTERNAL).unwrap();
        let [problem] = update.problems() else { panic!("{:?}", update.problems()) };
        assert_eq!((problem.code, problem.data), (bad[1], bad));
        assert_eq!(problem.to_string(), words);
    }
}

/// RFC 7606 3.d and 3.g: what is missing has no octets; of what is there twice it is the second.
#[test]
fn problems_about_more_than_one_attribute() {
    let body = message(&[], &[AS_PATH, NEXT_HOP], TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    let what = "ORIGIN is missing";
    assert_eq!(update.problems(), [Problem { code: 1, consequence: Consequence::Withdraw, what, data: &[] }]);
    assert_eq!(update.problems()[0].to_string(), "attribute 1 (ORIGIN): ORIGIN is missing: routes withdrawn");
    let body = message(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &[0x40, 1, 1, 2]], TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    assert_eq!(update.problems()[0].data, [0x40, 1, 1, 2]);
}

/// RFC 8092 3: values that repeat are dropped without a word; the order of the others stays.
#[test]
fn a_large_community_counts_once() {
    let value =
        |numbers: &[u32]| numbers.iter().flat_map(|n| [1, 2, *n]).flat_map(u32::to_be_bytes).collect::<Vec<u8>>();
    let many: Vec<u32> = (0..300).rev().collect();
    let repeated = [&many[..], &many, &[7]].concat();
    for (given, kept) in [
        (&[3, 1, 3, 2, 1][..], &[3, 1, 2][..]),
        (&[5, 5], &[5]),
        (&[2, 1], &[2, 1]),
        (&many, &many),
        (&repeated, &many),
    ] {
        let large = attribute(0xe0, 32, &value(given));
        let body = message(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &large], TEN);
        let update = Update::decode(&body, &EXTERNAL).unwrap();
        assert!(update.problems().is_empty());
        assert_eq!(canonical(&update)[2], (if kept.len() > 21 { 0xf0 } else { 0xe0 }, 32, value(kept)));
    }
}
