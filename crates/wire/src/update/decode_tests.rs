//! RFC 7606, attribute by attribute.

use super::*;
use crate::{Attributes as Walker, FamilySet, write_attribute};

const EXTERNAL: DecodeContext = DecodeContext {
    four_octet_as: true,
    external: true,
    families: FamilySet::ALL,
    extended_next_hop: false,
    add_path: FamilySet::NONE,
};
const INTERNAL: DecodeContext = DecodeContext { external: false, ..EXTERNAL };
const OLD: DecodeContext = DecodeContext { four_octet_as: false, ..EXTERNAL };
const IPV4_ONLY: DecodeContext = DecodeContext { families: FamilySet::only(Family::Ipv4Unicast), ..EXTERNAL };
const IPV6_ONLY: DecodeContext = DecodeContext { families: FamilySet::only(Family::Ipv6Unicast), ..EXTERNAL };

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
/// 10.0.0.0/8
const TEN: &[u8] = &[8, 10];
/// 2001:db8::/32
const DB8: &[u8] = &[32, 0x20, 1, 0xd, 0xb8];
const GLOBAL: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

fn message(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let len = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&len(withdrawn)[..], withdrawn, &len(&attributes), &attributes, nlri].concat()
}

fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_attribute(&mut out, flags, code, value);
    out
}

fn mp_reach(afi: u16, next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let len = u8::try_from(next_hop.len()).unwrap();
    attribute(0x80, 14, &[&afi.to_be_bytes()[..], &[1, len], next_hop, &[0], nlri].concat())
}

fn mp_unreach(afi: u16, nlri: &[u8]) -> Vec<u8> {
    attribute(0x80, 15, &[&afi.to_be_bytes()[..], &[1], nlri].concat())
}

/// What a message led to, for tables.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Accept,
    Discard,
    Withdraw,
    Reset(u8),
}
use Outcome::{Accept, Discard, Reset, Withdraw};

fn outcome(body: &[u8], context: &DecodeContext) -> Outcome {
    match Update::decode(body, context) {
        Err(Notification { code: 3, subcode, .. }) => Reset(subcode),
        Err(other) => panic!("not an UPDATE error: {other}"),
        Ok(update) if update.treat_as_withdraw() => {
            assert!(update.problems().iter().any(|problem| problem.consequence == Consequence::Withdraw));
            assert_eq!(update.announced().count(), 0);
            Withdraw
        }
        Ok(update) if update.problems().is_empty() => Accept,
        Ok(_) => Discard,
    }
}

fn prefixes<'a>(sections: impl Iterator<Item = Nlri<'a>>) -> Vec<String> {
    sections.flatten().map(|prefix| prefix.to_string()).collect()
}

fn announced(update: &Update<'_>) -> Vec<(String, String)> {
    let each = |(section, next_hop): (Nlri<'_>, NextHop)| {
        section.into_iter().map(move |prefix| (prefix.to_string(), next_hop.to_string())).collect::<Vec<_>>()
    };
    update.announced().flat_map(each).collect()
}

fn canonical(update: &Update<'_>) -> Vec<(u8, u8, Vec<u8>)> {
    let mut out = Vec::new();
    update.write_canonical(&mut out);
    let walk: Walker<'_> = attributes(&out);
    walk.map(|attr| (attr.flags, attr.code, attr.value.to_vec())).collect()
}

/// RFC 4271 4.3.
#[test]
fn a_classic_announcement() {
    let body = message(&[16, 172, 16], &[ORIGIN, AS_PATH, NEXT_HOP, &[0x80, 4, 4, 0, 0, 0, 9]], TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    assert_eq!(prefixes(update.withdrawn()), ["172.16.0.0/16"]);
    assert_eq!(announced(&update), [("10.0.0.0/8".into(), "192.0.2.1".into())]);
    assert_eq!(
        canonical(&update),
        [(0x40, 1, vec![0]), (0x40, 2, vec![2, 1, 0, 0, 0xfc, 0]), (0x80, 4, vec![0, 0, 0, 9])]
    );
    assert!(update.problems().is_empty() && !update.treat_as_withdraw());
    assert_eq!(update.end_of_rib(), None);
    assert_eq!(update.problems.capacity(), 0, "a good message allocates nothing");
}

/// RFC 4760 3 and 4.
#[test]
fn both_families_in_one_message() {
    let reach = mp_reach(2, &[GLOBAL, LINK_LOCAL].concat(), DB8);
    let unreach = mp_unreach(2, &[0]);
    let body = message(&[], &[&reach, &unreach, ORIGIN, AS_PATH, NEXT_HOP], TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    assert_eq!(prefixes(update.withdrawn()), ["::/0"]);
    assert_eq!(
        announced(&update),
        [("10.0.0.0/8".into(), "192.0.2.1".into()), ("2001:db8::/32".into(), "2001:db8::1 (fe80::2)".into())]
    );
    assert_eq!(canonical(&update).iter().map(|(_, code, _)| *code).collect::<Vec<_>>(), [1, 2]);
}

/// RFC 7606 3.c and 7.1 to 7.14, RFC 8092 6: flags and lengths.
#[test]
fn every_attribute_right_and_wrong() {
    const OT: u8 = 0xc0;
    const ON: u8 = 0x80;
    const WK: u8 = 0x40;
    // Flags, code, a right value; then what a value one octet longer leads to, and one that is empty,
    // from an external and from an internal peer.
    type Row = (u8, u8, &'static [u8], [Outcome; 3], [Outcome; 3]);
    let rows: [Row; 12] = [
        (WK, 1, &[2], [Accept, Withdraw, Withdraw], [Accept, Withdraw, Withdraw]),
        (WK, 2, &[2, 1, 0, 0, 0, 7], [Accept, Withdraw, Accept], [Accept, Withdraw, Accept]),
        (WK, 3, &[192, 0, 2, 1], [Accept, Withdraw, Withdraw], [Accept, Withdraw, Withdraw]),
        (ON, 4, &[0; 4], [Accept, Withdraw, Withdraw], [Accept, Withdraw, Withdraw]),
        (WK, 5, &[0; 4], [Discard, Discard, Discard], [Accept, Withdraw, Withdraw]),
        (WK, 6, &[], [Accept, Discard, Accept], [Accept, Discard, Accept]),
        (OT, 7, &[0, 0, 0, 7, 10, 0, 0, 1], [Accept, Discard, Discard], [Accept, Discard, Discard]),
        (OT, 8, &[0; 8], [Accept, Withdraw, Withdraw], [Accept, Withdraw, Withdraw]),
        (ON, 9, &[10, 0, 0, 1], [Discard, Discard, Discard], [Accept, Withdraw, Withdraw]),
        (ON, 10, &[10, 0, 0, 1], [Discard, Discard, Discard], [Accept, Withdraw, Withdraw]),
        (OT, 16, &[0; 16], [Accept, Withdraw, Withdraw], [Accept, Withdraw, Withdraw]),
        (OT, 32, &[0; 24], [Accept, Withdraw, Withdraw], [Accept, Withdraw, Withdraw]),
    ];
    for (flags, code, right, external, internal) in rows {
        for (context, expected) in [(EXTERNAL, external), (INTERNAL, internal)] {
            let got = |flags, value: &[u8]| {
                let others = [ORIGIN, AS_PATH, NEXT_HOP].into_iter().filter(|other| other[1] != code);
                let mut list: Vec<Vec<u8>> = others.map(<[u8]>::to_vec).collect();
                list.push(attribute(flags, code, value));
                let list: Vec<&[u8]> = list.iter().map(Vec::as_slice).collect();
                outcome(&message(&[], &list, TEN), &context)
            };
            let longer = [right, &[0]].concat();
            let who = if context.external { "external" } else { "internal" };
            assert_eq!([got(flags, right), got(flags, &longer), got(flags, &[])], expected, "{code} {who}");
            // RFC 7606 3.c, whoever sends it; the Partial and the unused bits are not looked at.
            for wrong in [flags ^ 0x80, flags ^ 0x40] {
                assert_eq!(got(wrong, right), Withdraw, "{code} {who} flags {wrong:02x}");
            }
            assert_eq!(got(flags | 0x2f, right), expected[0], "{code} {who}");
        }
    }
}

/// RFC 9234 5.
#[test]
fn otc_has_four_octets() {
    for (value, expected) in [(&[0; 4][..], Accept), (&[0; 3], Withdraw), (&[0; 5], Withdraw)] {
        let otc = attribute(0xc0, 35, value);
        assert_eq!(outcome(&message(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &otc], TEN), &EXTERNAL), expected);
    }
}

/// RFC 7606 7.1 to 7.3, RFC 7607 2, RFC 5065 5, RFC 4271 6.3.
#[test]
fn values_that_are_wrong_in_themselves() {
    let with = |replacement: &[u8], context| {
        let others = [ORIGIN, AS_PATH, NEXT_HOP].into_iter().filter(|other| other[1] != replacement[1]);
        let list: Vec<&[u8]> = others.chain([replacement]).collect();
        outcome(&message(&[], &list, TEN), &context)
    };
    assert_eq!(with(&[0x40, 1, 1, 3], EXTERNAL), Withdraw); // RFC 7606 7.1
    assert_eq!(with(&[0x40, 2, 6, 2, 1, 0, 0, 0, 0], EXTERNAL), Withdraw); // RFC 7607
    assert_eq!(with(&[0x40, 2, 6, 3, 1, 0, 0, 0, 9], EXTERNAL), Withdraw); // RFC 5065 5
    assert_eq!(with(&[0x40, 2, 6, 3, 1, 0, 0, 0, 9], INTERNAL), Accept);
    assert_eq!(with(&[0x40, 2, 2, 2, 0], EXTERNAL), Withdraw); // RFC 7606 7.2
    assert_eq!(with(&[0xc0, 7, 8, 0, 0, 0, 0, 10, 0, 0, 1], EXTERNAL), Discard); // RFC 7607
    for bad in [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 5], [240, 0, 0, 1], [255; 4]] {
        let next_hop = [&[0x40, 3, 4][..], &bad].concat();
        assert_eq!(with(&next_hop, EXTERNAL), Withdraw, "{bad:?}");
    }
}

/// RFC 7606 2.
#[test]
fn treat_as_withdraw_moves_every_prefix() {
    let reach = mp_reach(2, &GLOBAL, DB8);
    let body = message(&[16, 172, 16], &[&reach, &[0x40, 1, 1, 9], AS_PATH, NEXT_HOP], TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    assert!(update.treat_as_withdraw());
    assert_eq!(prefixes(update.withdrawn()), ["172.16.0.0/16", "10.0.0.0/8", "2001:db8::/32"]);
    assert_eq!(update.announced().count(), 0);
    assert_eq!(update.problems()[0].to_string(), "attribute 1 (ORIGIN): undefined origin: routes withdrawn (40010109)");
}

/// RFC 7606 3.d, RFC 4760 3.
#[test]
fn what_is_mandatory_depends_on_what_is_announced() {
    let reach = mp_reach(2, &GLOBAL, DB8);
    type Row<'a> = (&'a [&'a [u8]], &'a [u8], Outcome);
    let table: [Row<'_>; 9] = [
        (&[AS_PATH, NEXT_HOP], TEN, Withdraw),
        (&[ORIGIN, NEXT_HOP], TEN, Withdraw),
        (&[ORIGIN, AS_PATH], TEN, Withdraw),
        (&[&reach, ORIGIN, AS_PATH], TEN, Withdraw), // the classic part needs NEXT_HOP
        (&[&reach, ORIGIN, AS_PATH], &[], Accept),
        (&[&reach, ORIGIN], &[], Withdraw),
        (&[&reach, AS_PATH], &[], Withdraw),
        (&[], &[], Accept), // nothing is announced
        (&[ORIGIN, AS_PATH], &[], Accept),
    ];
    for (list, nlri, expected) in table {
        assert_eq!(outcome(&message(&[], list, nlri), &EXTERNAL), expected, "{list:?}");
    }
    // LOCAL_PREF is well-known, not mandatory.
    assert_eq!(outcome(&message(&[], &[ORIGIN, AS_PATH, NEXT_HOP], TEN), &INTERNAL), Accept);
}

/// RFC 4760 3.
#[test]
fn next_hop_says_nothing_without_classic_prefixes() {
    let reach = mp_reach(2, &GLOBAL, DB8);
    let zero: &[u8] = &[0x40, 3, 4, 0, 0, 0, 0];
    assert_eq!(outcome(&message(&[], &[&reach, ORIGIN, AS_PATH, zero], &[]), &EXTERNAL), Accept);
}

/// RFC 7606 5.2.
#[test]
fn an_error_without_reachable_prefixes_ends_the_session() {
    // RFC 7606 5.2. Only what would be treated as withdraw; discarding is still possible.
    let unreach = mp_unreach(2, DB8);
    let bad_origin: &[u8] = &[0x40, 1, 1, 9];
    let body = message(&[], &[bad_origin], &[]);
    assert_eq!(Update::decode(&body, &EXTERNAL).unwrap_err(), Notification::with_data(3, 6, bad_origin.to_vec()));
    assert_eq!(outcome(&message(&[], &[&unreach, &[0x80, 4, 1, 0]], &[]), &EXTERNAL), Reset(5));
    assert_eq!(outcome(&message(&[], &[&mp_reach(2, &GLOBAL, &[]), bad_origin], &[]), &EXTERNAL), Reset(6));
    assert_eq!(outcome(&message(&[], &[&[0x40, 6, 1, 0]], &[]), &EXTERNAL), Discard);
    assert_eq!(outcome(&message(TEN, &[&[0x40, 6, 1, 0]], &[]), &EXTERNAL), Discard);
}

/// RFC 7606 3.g.
#[test]
fn duplicates() {
    // RFC 7606 3.g: the first counts.
    let second: &[u8] = &[0x40, 3, 4, 192, 0, 2, 2];
    let body = message(&[], &[ORIGIN, AS_PATH, NEXT_HOP, second], TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    assert_eq!(announced(&update)[0].1, "192.0.2.1");
    assert_eq!(
        update.problems(),
        [Problem { code: 3, consequence: Consequence::Discard, what: "given more than once", data: second }]
    );
    // Also when the first is not kept, and when unknown.
    let list: [&[u8]; 5] = [ORIGIN, AS_PATH, NEXT_HOP, &[0x40, 6, 1, 0], &[0x40, 6, 0]];
    let body = message(&[], &list, TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    assert_eq!(canonical(&update).iter().map(|(_, code, _)| *code).collect::<Vec<_>>(), [1, 2]);
    let list: [&[u8]; 5] = [ORIGIN, AS_PATH, NEXT_HOP, &[0xc0, 99, 1, 1], &[0xc0, 99, 1, 2]];
    let body = message(&[], &list, TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    assert_eq!(canonical(&update)[2], (0xc0, 99, vec![1]));

    let (reach, unreach) = (mp_reach(2, &GLOBAL, DB8), mp_unreach(2, DB8));
    assert_eq!(outcome(&message(&[], &[&reach, &reach, ORIGIN, AS_PATH], &[]), &EXTERNAL), Reset(1));
    assert_eq!(outcome(&message(&[], &[&unreach, &unreach], &[]), &EXTERNAL), Reset(1));
}

/// RFC 4271 5 and 6.3.
#[test]
fn attributes_that_nobody_knows() {
    let with = |unknown: &[u8]| message(&[], &[ORIGIN, AS_PATH, NEXT_HOP, unknown], TEN);
    let kept = |unknown: &[u8]| canonical(&Update::decode(&with(unknown), &EXTERNAL).unwrap()).get(2).cloned();
    assert_eq!(kept(&[0xc0, 99, 1, 7]), Some((0xc0, 99, vec![7])));
    assert_eq!(kept(&[0xff, 99, 0, 1, 7]), Some((0xe0, 99, vec![7])));
    assert_eq!(kept(&[0x80, 99, 1, 7]), None);
    assert_eq!(outcome(&with(&[0x80, 99, 1, 7]), &EXTERNAL), Accept);
    for flags in [0x40, 0x00] {
        let unknown = [flags, 99, 1, 7];
        let error = Update::decode(&with(&unknown), &EXTERNAL).unwrap_err();
        assert_eq!(error, Notification::with_data(3, 2, unknown.to_vec()));
    }
}

/// RFC 4271 6.3, RFC 7606 3.i, 3.j and 5.3.
#[test]
fn lengths_of_the_sections() {
    let table: [&[u8]; 7] =
        [&[], &[0, 0, 0], &[0, 1, 0, 0], &[0, 9, 0, 0], &[0, 0, 0, 1], &[0, 1, 8, 0, 0], &[0, 1, 0, 0]];
    for body in table {
        let got = Update::decode(body, &EXTERNAL);
        assert!(matches!(got, Err(Notification { code: 3, subcode: 1 | 10, .. })), "{body:?}");
    }
    assert_eq!(outcome(&message(&[33, 1, 2, 3, 4, 5], &[], &[]), &EXTERNAL), Reset(10));
    assert_eq!(outcome(&message(&[], &[ORIGIN, AS_PATH, NEXT_HOP], &[8]), &EXTERNAL), Reset(10));
    assert_eq!(outcome(&message(&[], &[ORIGIN, AS_PATH, NEXT_HOP], &[40, 1, 2, 3, 4, 5]), &EXTERNAL), Reset(10));
}

/// RFC 7606 4 and 3.j.
#[test]
fn an_attribute_that_runs_out_of_the_attributes() {
    // RFC 7606 4: the NLRI are still found.
    for tail in [&[0x80, 4, 5, 0, 0, 0, 0][..], &[0x80], &[0x80, 4], &[0x90, 4, 0]] {
        let body = message(&[], &[ORIGIN, AS_PATH, NEXT_HOP, tail], TEN);
        let update = Update::decode(&body, &EXTERNAL).unwrap();
        assert_eq!(prefixes(update.withdrawn()), ["10.0.0.0/8"]);
        assert_eq!(outcome(&message(&[], &[ORIGIN, AS_PATH, NEXT_HOP, tail], &[]), &EXTERNAL), Reset(5));
    }
    // Not so those that would have been in the attribute itself.
    for tail in [&[0x80, 14, 9, 0, 2][..], &[0x80, 15], &[0x90, 15, 0]] {
        assert_eq!(outcome(&message(&[], &[ORIGIN, AS_PATH, NEXT_HOP, tail], TEN), &EXTERNAL), Reset(5));
    }
}

/// RFC 6793 4.2.3 and 6, RFC 7607 2.
#[test]
fn a_two_octet_session_is_widened() {
    let path: &[u8] = &[0x40, 2, 6, 2, 2, 0, 1, 0x5b, 0xa0];
    let as4_path: &[u8] = &[0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70];
    let trans: &[u8] = &[0xe0, 7, 6, 0x5b, 0xa0, 10, 0, 0, 1];
    let narrow: &[u8] = &[0xc0, 7, 6, 0, 7, 10, 0, 0, 1];
    let as4_aggregator: &[u8] = &[0xc0, 18, 8, 0, 1, 0x11, 0x70, 10, 0, 0, 2];
    let wide = vec![2, 2, 0, 0, 0, 1, 0, 1, 0x11, 0x70];
    let as_it_stands = vec![2, 2, 0, 0, 0, 1, 0, 0, 0x5b, 0xa0];
    let set = |list: &[&[u8]], expected: Outcome| {
        let list: Vec<&[u8]> = [ORIGIN, path, NEXT_HOP].into_iter().chain(list.iter().copied()).collect();
        let body = message(&[], &list, TEN);
        assert_eq!(outcome(&body, &OLD), expected);
        let update = Update::decode(&body, &OLD).unwrap();
        canonical(&update).into_iter().filter(|(_, code, _)| *code != 1).collect::<Vec<_>>()
    };
    assert_eq!(set(&[as4_path], Accept), [(0x40, 2, wide.clone())]);
    assert_eq!(set(&[], Accept), [(0x40, 2, as_it_stands.clone())]);
    assert_eq!(
        set(&[trans, as4_path, as4_aggregator], Accept),
        [(0x40, 2, wide.clone()), (0xe0, 7, vec![0, 1, 0x11, 0x70, 10, 0, 0, 2])]
    );
    // RFC 6793 4.2.3: whoever wrote this AGGREGATOR did not know the others.
    assert_eq!(
        set(&[narrow, as4_path, as4_aggregator], Accept),
        [(0x40, 2, as_it_stands.clone()), (0xc0, 7, vec![0, 0, 0, 7, 10, 0, 0, 1])]
    );
    assert_eq!(set(&[narrow, as4_path], Accept), [(0x40, 2, wide), (0xc0, 7, vec![0, 0, 0, 7, 10, 0, 0, 1])]);
    // RFC 6793 6: malformed ones are discarded.
    for bad in [&[0xc0, 17, 5, 2, 1, 0, 1, 2][..], &[0xc0, 17, 0], &[0xc0, 17, 6, 2, 1, 0, 0, 0, 0]] {
        assert_eq!(set(&[bad], Discard), [(0x40, 2, as_it_stands.clone())]);
    }
    for bad in [&[0xc0, 18, 6, 0, 1, 10, 0, 0, 1][..], &[0xc0, 18, 8, 0, 0, 0, 0, 10, 0, 0, 1]] {
        assert_eq!(set(&[trans, bad], Discard)[1], (0xe0, 7, vec![0, 0, 0x5b, 0xa0, 10, 0, 0, 1]));
    }
    // AGGREGATOR has six octets here.
    assert_eq!(set(&[&[0xc0, 7, 8, 0, 0, 0, 7, 10, 0, 0, 1]], Discard).len(), 1);
    // And between four-octet speakers, neither may be there.
    let body = message(&[], &[ORIGIN, AS_PATH, NEXT_HOP, as4_path, as4_aggregator], TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    assert_eq!((update.problems().len(), canonical(&update).len()), (2, 2));
}

/// RFC 4271 4.3: order, unused bits and the form of lengths mean nothing.
#[test]
fn the_canonical_set_has_one_spelling() {
    let messy: [&[u8]; 6] = [
        &[0xf0, 32, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3],
        &[0x5f, 2, 0, 6, 2, 1, 0, 0, 0xfc, 0],
        &[0xa0, 4, 4, 0, 0, 0, 9],
        NEXT_HOP,
        &[0xc0, 8, 4, 0, 1, 0, 2],
        &[0x60, 1, 1, 0],
    ];
    let body = message(&[], &messy, TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    let set = canonical(&update);
    let heads: Vec<_> = set.iter().map(|(flags, code, _)| (*flags, *code)).collect();
    assert_eq!(heads, [(0x40, 1), (0x40, 2), (0x80, 4), (0xc0, 8), (0xe0, 32)]);
}

/// RFC 7606 8: errors are kept for the operator, within bounds.
#[test]
fn it_is_not_the_sender_who_decides_how_much_is_remembered() {
    let many = [ORIGIN; 1000].concat();
    let body = message(&[], &[&many, AS_PATH, NEXT_HOP, &[0x80, 4, 1, 0]], TEN);
    let update = Update::decode(&body, &EXTERNAL).unwrap();
    assert!(update.problems().len() <= MAX_PROBLEMS + 1);
    assert_eq!(update.problems().last().map(|problem| problem.consequence), Some(Consequence::Withdraw));
}

#[path = "decode_error_tests.rs"]
mod errors;
#[path = "decode_mp_tests.rs"]
mod multiprotocol;
#[path = "decode_path_id_tests.rs"]
mod path_ids;
