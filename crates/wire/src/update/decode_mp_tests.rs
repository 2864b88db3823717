//! MP_REACH_NLRI and MP_UNREACH_NLRI.

use super::*;

/// RFC 4760 7, RFC 7606 5.3 and 7.11, RFC 8950 3: 3/9 with the whole attribute.
#[test]
fn mp_attributes_that_cannot_be_read() {
    let mut table = vec![
        attribute(0xc0, 14, &mp_reach(2, &GLOBAL, DB8)[3..]), // flags
        attribute(0x40, 15, &mp_unreach(2, DB8)[3..]),
        mp_reach(2, &GLOBAL, &[129; 18]),
        mp_reach(2, &GLOBAL, &[32, 1]),
        mp_reach(2, &GLOBAL[..15], DB8),
        mp_reach(2, &[GLOBAL, GLOBAL].concat()[..24], DB8),
        mp_reach(2, &[192, 0, 2, 1], DB8),
        mp_reach(1, &GLOBAL, TEN), // RFC 8950 was not negotiated
        mp_reach(2, &[], DB8),
        mp_unreach(2, &[129; 18]),
        mp_unreach(1, &[33; 6]),
    ];
    table.extend((0..5).map(|len| attribute(0x80, 14, &[0, 2, 1, 0, 0][..len])));
    table.extend((0..3).map(|len| attribute(0x80, 15, &[0, 2, 1][..len])));
    for bad in table {
        let body = message(&[], &[&bad, ORIGIN, AS_PATH, NEXT_HOP], TEN);
        let error = Update::decode(&body, &EXTERNAL).unwrap_err();
        assert_eq!(error, Notification::with_data(3, 9, bad));
    }
}

/// RFC 2545 3, RFC 8950 3, RFC 4760 3.
#[test]
fn next_hops_of_each_form() {
    let extended = DecodeContext { extended_next_hop: true, ..EXTERNAL };
    let next_hop = |afi, octets: &[u8], nlri: &[u8]| {
        let body = message(&[], &[&mp_reach(afi, octets, nlri), ORIGIN, AS_PATH], &[]);
        let update = Update::decode(&body, &extended).unwrap();
        announced(&update).first().map(|(_, next_hop)| next_hop.clone())
    };
    assert_eq!(next_hop(1, &[192, 0, 2, 7], TEN).unwrap(), "192.0.2.7");
    assert_eq!(next_hop(1, &GLOBAL, TEN).unwrap(), "2001:db8::1");
    assert_eq!(next_hop(1, &[GLOBAL, LINK_LOCAL].concat(), TEN).unwrap(), "2001:db8::1 (fe80::2)");
    assert_eq!(next_hop(2, &GLOBAL, DB8).unwrap(), "2001:db8::1");
    // Link-local only, in the three spellings that are in use.
    for octets in [LINK_LOCAL.to_vec(), [LINK_LOCAL, LINK_LOCAL].concat(), [[0; 16], LINK_LOCAL].concat()] {
        assert_eq!(next_hop(2, &octets, DB8).unwrap(), "fe80::2");
    }
    // The second one must be link-local.
    assert_eq!(next_hop(2, &[GLOBAL, GLOBAL].concat(), DB8).unwrap(), "2001:db8::1");
    // Not a host's address.
    let loopback = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    for octets in [[0; 16], loopback, [0xff; 16]] {
        assert_eq!(next_hop(2, &octets, DB8), None);
    }
    assert_eq!(next_hop(1, &[127, 0, 0, 1], TEN), None);
}

/// RFC 4760 7 and 8.
#[test]
fn a_family_that_was_not_negotiated_is_ignored() {
    let (reach, unreach) = (mp_reach(2, &GLOBAL, DB8), mp_unreach(2, DB8));
    let body = message(&[], &[&reach, &unreach, ORIGIN, AS_PATH, NEXT_HOP], TEN);
    let update = Update::decode(&body, &IPV4_ONLY).unwrap();
    assert_eq!((update.withdrawn().count(), announced(&update).len(), update.problems().len()), (0, 1, 2));

    let update = Update::decode(&body, &IPV6_ONLY).unwrap();
    assert_eq!(announced(&update), [("2001:db8::/32".into(), "2001:db8::1".into())]);
    assert_eq!(update.problems()[0].to_string(), "IPv4 unicast was not negotiated: left out");

    // One that nobody here can read: VPN-IPv4.
    let vpn = attribute(0x80, 14, &[0, 1, 128, 12, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1, 0, 1, 2, 3]);
    assert_eq!(outcome(&message(&[], &[&vpn, ORIGIN, AS_PATH], &[]), &EXTERNAL), Discard);
}

/// RFC 4724 2.
#[test]
fn ends_of_rib() {
    let end = |body: &[u8], context: &DecodeContext| Update::decode(body, context).unwrap().end_of_rib();
    assert_eq!(end(&[0; 4], &EXTERNAL), Some(Family::Ipv4Unicast));
    assert_eq!(end(&[0; 4], &IPV6_ONLY), None);
    assert_eq!(end(&message(&[], &[&mp_unreach(2, &[])], &[]), &EXTERNAL), Some(Family::Ipv6Unicast));
    assert_eq!(end(&message(&[], &[&mp_unreach(1, &[])], &[]), &EXTERNAL), Some(Family::Ipv4Unicast));
    assert_eq!(end(&message(&[], &[&mp_unreach(2, &[])], &[]), &IPV4_ONLY), None);
    assert_eq!(end(&message(&[], &[&mp_unreach(2, DB8)], &[]), &EXTERNAL), None);
    assert_eq!(end(&message(TEN, &[&mp_unreach(2, &[])], &[]), &EXTERNAL), None);
    assert_eq!(end(&message(&[], &[&mp_unreach(2, &[]), ORIGIN], &[]), &EXTERNAL), None);
}
