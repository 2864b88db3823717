use super::*;

/// RFC 4271 4.3.
#[test]
fn the_length_takes_two_octets_only_where_needed() {
    for (len, header) in [
        (0, vec![0xc0, 99, 0]),
        (255, vec![0xc0, 99, 255]),
        (256, vec![0xd0, 99, 1, 0]),
        (65535, vec![0xd0, 99, 0xff, 0xff]),
    ] {
        let value = vec![7; len];
        for flags in [0xc0, 0xd0] {
            let mut out = vec![1];
            write_attribute(&mut out, flags, 99, &value);
            assert_eq!(out[1..], [&header[..], &value].concat(), "{len}");
            let mut same = vec![1];
            write_attribute_with(&mut same, flags, 99, |out| out.extend_from_slice(&value));
            assert_eq!(out, same);
        }
        let mut out = Vec::new();
        write_attribute(&mut out, 0xc0, 99, &value);
        assert_eq!(attribute(&out, 99).unwrap().value, value);
    }
    let mut out = vec![1];
    write_attribute(&mut out, 0xc0, 99, &vec![7; 65536]);
    write_attribute_with(&mut out, 0xc0, 99, |out| out.extend_from_slice(&vec![7; 65536]));
    assert_eq!(out, [1]);
}

/// RFC 7606 4.
#[test]
fn a_walk_ends_at_nonsense() {
    let bytes = [0x40, 1, 1, 0, 0x50, 2, 0, 0, 0x80, 4, 9, 0];
    let codes: Vec<_> = attributes(&bytes).map(|attribute| attribute.code).collect();
    assert_eq!(codes, [1, 2]);
}

/// RFC 4271 4.3.
#[test]
fn origins() {
    assert_eq!(Origin::try_from(2), Ok(Origin::Incomplete));
    assert_eq!(Origin::try_from(3), Err(UnknownOrigin(3)));
    assert_eq!(Origin::Egp.name(), "egp");
}

/// RFC 6793 4.2.2.
#[test]
fn a_set_for_a_two_octet_peer() {
    let mut canonical = Vec::new();
    write_attribute(&mut canonical, 0x40, attr_code::ORIGIN, &[0]);
    write_attribute(&mut canonical, 0x40, attr_code::AS_PATH, &[2, 2, 0, 0, 0, 1, 0, 1, 0x11, 0x70]);
    write_attribute(&mut canonical, 0xe0, attr_code::AGGREGATOR, &[0, 1, 0x11, 0x70, 10, 0, 0, 1]);
    write_attribute(&mut canonical, 0xc0, attr_code::COMMUNITIES, &[0, 1, 0, 2]);
    write_attribute(&mut canonical, 0xc0, attr_code::LARGE_COMMUNITIES, &[0; 12]);
    let mut out = Vec::new();
    write_two_octet(&mut out, &canonical);
    let got: Vec<_> = attributes(&out).map(|attr| (attr.flags, attr.code, attr.value.to_vec())).collect();
    let expected = [
        (0x40, 1, vec![0]),
        (0x40, 2, vec![2, 2, 0, 1, 0x5b, 0xa0]),
        (0xe0, 7, vec![0x5b, 0xa0, 10, 0, 0, 1]),
        (0xc0, 8, vec![0, 1, 0, 2]),
        (0xc0, 17, vec![2, 2, 0, 0, 0, 1, 0, 1, 0x11, 0x70]),
        (0xe0, 18, vec![0, 1, 0x11, 0x70, 10, 0, 0, 1]),
        (0xc0, 32, vec![0; 12]),
    ];
    assert_eq!(got, expected);
}

/// RFC 4271 5, RFC 4760, RFC 9234: every attribute that is judged has a name.
#[test]
fn attributes_have_names() {
    let named: Vec<u8> = (0..=255).filter(|code| attr_code::name(*code).is_some()).collect();
    assert_eq!(named, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 35]);
    assert_eq!(attr_code::name(attr_code::MP_REACH), Some("MP_REACH_NLRI"));
    assert_eq!(attr_code::name(attr_code::COMMUNITIES), Some("COMMUNITIES"));
}
