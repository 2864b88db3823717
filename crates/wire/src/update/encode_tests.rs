//! What is written reads back, and nothing is longer than it may be.

use std::net::Ipv4Addr;

use super::*;
use crate::{DecodeContext, FamilySet, Frame, MAX_LEN, PathId, Update, next_frame};

const CONTEXT: DecodeContext = DecodeContext {
    four_octet_as: true,
    external: true,
    families: FamilySet::ALL,
    extended_next_hop: true,
    add_path: FamilySet::NONE,
};
const V4: NextHop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
/// ORIGIN, an empty AS_PATH, MED.
const SET: &[u8] = &[0x40, 1, 1, 0, 0x40, 2, 0, 0x80, 4, 4, 0, 0, 0, 9];

fn net(prefix: &str) -> IpNet {
    prefix.parse().unwrap()
}

fn v6(link_local: bool) -> NextHop {
    let link_local = link_local.then(|| "fe80::2".parse().unwrap());
    NextHop::V6 { global: "2001:db8::1".parse().unwrap(), link_local }
}

fn many(family: Family, count: u32) -> Vec<IpNet> {
    (0..count)
        .map(|i| match family {
            Family::Ipv4Unicast => net(&format!("10.{}.{}.0/24", i >> 8 & 255, i & 255)),
            Family::Ipv6Unicast => net(&format!("2001:db8:{i:x}::/48")),
        })
        .collect()
}

type Listed = Vec<(PathId, IpNet)>;

/// All messages in `bytes`; each no longer than allowed and none unnecessarily short.
fn read(mut bytes: &[u8], max_len: usize, add_path: bool) -> (Listed, Listed, usize) {
    let context = if add_path { DecodeContext { add_path: FamilySet::ALL, ..CONTEXT } } else { CONTEXT };
    let longest = if add_path { 21 } else { 17 };
    let (mut announced, mut withdrawn, mut count) = (Vec::new(), Vec::new(), 0);
    while let Some(Frame { body, len, .. }) = next_frame(bytes, max_len).unwrap() {
        let update = Update::decode(body, &context).unwrap();
        assert!(update.problems().is_empty(), "{:?}", update.problems());
        announced.extend(update.announced().flat_map(|(section, _)| section.paths()));
        withdrawn.extend(update.withdrawn().flat_map(|section| section.paths()));
        bytes = &bytes[len..];
        count += 1;
        assert!(bytes.is_empty() || len + longest > max_len, "a message of {len} octets had room for more");
    }
    assert!(bytes.is_empty());
    (announced, withdrawn, count)
}

/// RFC 4271 4.3.
#[test]
fn a_classic_message() {
    let mut out = Vec::new();
    let prefixes = [net("10.0.0.0/8"), net("2001:db8::/32"), net("192.0.2.128/25")];
    assert_eq!(encode_reach(&mut out, MAX_LEN, SET, &V4, Family::Ipv4Unicast, prefixes.into_iter()), 1);
    let expected = [
        &[0xff; 16][..],
        &[0, 51, 2, 0, 0, 0, 21],
        &[0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4, 192, 0, 2, 1, 0x80, 4, 4, 0, 0, 0, 9],
        &[8, 10, 25, 192, 0, 2, 128],
    ];
    assert_eq!(out, expected.concat());
}

/// RFC 7606 5.1.
#[test]
fn a_multiprotocol_message_has_its_prefixes_first() {
    let mut out = Vec::new();
    encode_reach(&mut out, MAX_LEN, SET, &v6(false), Family::Ipv6Unicast, [net("2001:db8::/32")].into_iter());
    assert_eq!(out[19..27], [0, 0, 0, 44, 0x90, 14, 0, 26]);
    assert_eq!(out[27..31], [0, 2, 1, 16]);
    assert_eq!(out[47..53], [0, 32, 0x20, 1, 0xd, 0xb8]);
    assert_eq!(&out[53..], SET);
}

/// RFC 7911 3: the identifier stands before the prefix, in each of the four sections.
#[test]
fn path_identifiers_in_every_section() {
    let (v4, v6_net) = ([(7, net("10.0.0.0/8")), (1 << 24, net("10.0.0.0/8"))], [(9, net("2001:db8::/32"))]);
    let v4_bytes = [0, 0, 0, 7, 8, 10, 1, 0, 0, 0, 8, 10];
    let v6_bytes = [0, 0, 0, 9, 32, 0x20, 1, 0xd, 0xb8];
    let mut out = Vec::new();
    assert_eq!(encode_reach(&mut out, MAX_LEN, SET, &V4, Family::Ipv4Unicast, v4.into_iter()), 1);
    assert_eq!(out[16..23], [0, 56, 2, 0, 0, 0, 21]);
    assert_eq!(out[44..], v4_bytes);
    let mut out = Vec::new();
    assert_eq!(encode_unreach(&mut out, MAX_LEN, Family::Ipv4Unicast, v4.into_iter()), 1);
    assert_eq!(out[19..], [&[0, 12][..], &v4_bytes, &[0, 0]].concat());
    let mut out = Vec::new();
    assert_eq!(encode_reach(&mut out, MAX_LEN, SET, &v6(false), Family::Ipv6Unicast, v6_net.into_iter()), 1);
    assert_eq!(out[19..31], [0, 0, 0, 48, 0x90, 14, 0, 30, 0, 2, 1, 16]);
    assert_eq!(out[47..], [&[0][..], &v6_bytes, SET].concat());
    let mut out = Vec::new();
    assert_eq!(encode_unreach(&mut out, MAX_LEN, Family::Ipv6Unicast, v6_net.into_iter()), 1);
    assert_eq!(out[19..], [&[0, 0, 0, 16, 0x90, 15, 0, 12, 0, 2, 1][..], &v6_bytes].concat());
}

/// RFC 8654 4, RFC 7911 3: the identifier counts for what a message can hold.
#[test]
fn attributes_without_room_for_a_path_identifier_are_refused_whole() {
    for (family, next_hop, fixed) in [(Family::Ipv4Unicast, V4, 7 + 5), (Family::Ipv6Unicast, v6(true), 41 + 17)] {
        for max_len in [MAX_LEN, 65535] {
            let longest = match family {
                Family::Ipv4Unicast => net("192.0.2.1/32"),
                Family::Ipv6Unicast => net("2001:db8::1/128"),
            };
            let room = max_len - HEADER_LEN - 4 - fixed;
            let set = |len: usize| {
                let mut set = Vec::new();
                write_attribute(&mut set, 0xc0, 99, &vec![0; len - 4]);
                set
            };
            let path = || std::iter::once((1, longest));
            let mut out = Vec::new();
            assert_eq!(encode_reach(&mut out, max_len, &set(room - 4), &next_hop, family, path()), 1);
            assert_eq!(out.len(), max_len);
            assert!(reach_fits(max_len, room - 4, &next_hop, family, true));
            let mut out = Vec::new();
            assert_eq!(encode_reach(&mut out, max_len, &set(room - 3), &next_hop, family, path()), 0);
            assert!(out.is_empty());
            assert!(!reach_fits(max_len, room - 3, &next_hop, family, true));
            assert!(reach_fits(max_len, room, &next_hop, family, false));
            assert!(!reach_fits(max_len, room + 1, &next_hop, family, false));
        }
    }
}

/// RFC 4271 4.3, RFC 4760 3, RFC 7911 3, RFC 8654 4.
#[test]
fn every_form_is_packed_and_read_back() {
    let forms = [
        (Family::Ipv4Unicast, V4),
        (Family::Ipv4Unicast, v6(true)),
        (Family::Ipv6Unicast, v6(false)),
        (Family::Ipv6Unicast, v6(true)),
    ];
    for (family, next_hop) in forms {
        for max_len in [128, MAX_LEN, 65535] {
            let prefixes = many(family, 9000);
            let mut out = Vec::new();
            let count = encode_reach(&mut out, max_len, SET, &next_hop, family, prefixes.iter().copied());
            let paths: Listed = prefixes.iter().map(|prefix| (0, *prefix)).collect();
            assert_eq!(read(&out, max_len, false), (paths.clone(), vec![], count));
            let mut out = Vec::new();
            let count = encode_unreach(&mut out, max_len, family, prefixes.iter().copied());
            assert_eq!(read(&out, max_len, false), (vec![], paths, count));

            let paths: Listed = (u32::MAX - 4000..=u32::MAX).zip(prefixes.into_iter().cycle()).collect();
            let mut out = Vec::new();
            let count = encode_reach(&mut out, max_len, SET, &next_hop, family, paths.iter().copied());
            assert_eq!(read(&out, max_len, true), (paths.clone(), vec![], count));
            let mut out = Vec::new();
            let count = encode_unreach(&mut out, max_len, family, paths.iter().copied());
            assert_eq!(read(&out, max_len, true), (vec![], paths, count));
        }
    }
}

/// RFC 4271 4.3.
#[test]
fn nothing_to_say_is_no_message() {
    let mut out = Vec::new();
    assert_eq!(encode_reach(&mut out, MAX_LEN, SET, &V4, Family::Ipv4Unicast, std::iter::empty::<IpNet>()), 0);
    let other = [net("2001:db8::/32")];
    assert_eq!(encode_reach(&mut out, MAX_LEN, SET, &V4, Family::Ipv4Unicast, other.into_iter()), 0);
    assert_eq!(encode_unreach(&mut out, MAX_LEN, Family::Ipv4Unicast, other.into_iter()), 0);
    assert_eq!(encode_unreach(&mut out, 50, Family::Ipv6Unicast, other.into_iter()), 0);
    assert!(out.is_empty());
}

/// RFC 8654 4.
#[test]
fn attributes_without_room_for_a_prefix_are_refused_whole() {
    let mut set = Vec::new();
    let room = MAX_LEN - HEADER_LEN - 4 - 7 - 5;
    write_attribute(&mut set, 0xc0, 99, &vec![0; room - 4]);
    let prefixes = || [net("192.0.2.1/32"), net("0.0.0.0/0")].into_iter();
    let mut out = Vec::new();
    assert_eq!(encode_reach(&mut out, MAX_LEN, &set, &V4, Family::Ipv4Unicast, prefixes()), 2);
    assert_eq!(next_frame(&out, MAX_LEN).unwrap().unwrap().len, MAX_LEN);

    let mut set = Vec::new();
    write_attribute(&mut set, 0xc0, 99, &vec![0; room - 3]);
    let mut out = Vec::new();
    assert_eq!(encode_reach(&mut out, MAX_LEN, &set, &V4, Family::Ipv4Unicast, prefixes()), 0);
    assert!(out.is_empty());
    assert!(reach_fits(65535, set.len(), &V4, Family::Ipv4Unicast, false));
}

/// RFC 2545 3.
#[test]
fn ipv6_has_no_ipv4_next_hop() {
    let mut out = Vec::new();
    let prefixes = many(Family::Ipv6Unicast, 1).into_iter();
    assert_eq!(encode_reach(&mut out, MAX_LEN, SET, &V4, Family::Ipv6Unicast, prefixes), 0);
    assert!(out.is_empty());
}

/// RFC 4271 5: attributes in ascending order of type.
#[test]
fn next_hop_finds_its_place() {
    for (set, place) in [(&[][..], 0), (&SET[..4], 4), (SET, 7), (&SET[7..], 0)] {
        assert_eq!(next_hop_place(set), place);
    }
}

/// RFC 4724 2.
#[test]
fn ends_of_rib() {
    let mut out = Vec::new();
    encode_end_of_rib(&mut out, Family::Ipv4Unicast);
    assert_eq!(out[16..], [0, 23, 2, 0, 0, 0, 0]);
    let mut out = Vec::new();
    encode_end_of_rib(&mut out, Family::Ipv6Unicast);
    assert_eq!(out[16..], [0, 29, 2, 0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1]);
    for family in Family::ALL {
        let mut out = Vec::new();
        encode_end_of_rib(&mut out, family);
        let body = next_frame(&out, MAX_LEN).unwrap().unwrap().body;
        assert_eq!(Update::decode(body, &CONTEXT).unwrap().end_of_rib(), Some(family));
    }
}
