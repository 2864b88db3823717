use super::*;
use crate::{RawAttr, attributes};

/// `[(kind, asns)]` as a four-octet value.
fn value(segments: &[(SegmentKind, &[u32])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, asns) in segments {
        out.extend_from_slice(&[*kind as u8, u8::try_from(asns.len()).unwrap()]);
        out.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
    }
    out
}

use SegmentKind::{ConfedSequence, ConfedSet, Sequence, Set};

#[test]
fn a_path_and_what_it_says() {
    let bytes = value(&[(Sequence, &[64514, 64512, 64512]), (Set, &[1, 2])]);
    let path = AsPath::new(&bytes);
    assert_eq!(path.to_string(), "64514 64512 64512 {1 2}");
    assert_eq!(path.length(), 4);
    assert_eq!((path.count(64512), path.count(2), path.count(3)), (2, 1, 0));
    assert_eq!((path.first(), path.origin_as()), (Some(64514), None));

    let empty = AsPath::new(&[]);
    assert_eq!((empty.length(), empty.first(), empty.origin_as()), (0, None, None));
    assert_eq!(empty.to_string(), "");

    let bytes = value(&[(ConfedSequence, &[65001]), (ConfedSet, &[65002]), (Sequence, &[7, 8])]);
    let path = AsPath::new(&bytes);
    assert_eq!(path.to_string(), "(65001) [65002] 7 8");
    assert_eq!((path.length(), path.first(), path.origin_as()), (2, None, Some(8)));
}

#[test]
fn nonsense_ends_a_path() {
    for bytes in [&[2][..], &[2, 1, 0, 0], &[9, 1, 0, 0, 0, 1]] {
        assert_eq!(AsPath::new(bytes).segments().count(), 0);
    }
}

#[test]
fn prepending() {
    let prepended = |segments: &[(SegmentKind, &[u32])]| {
        let mut out = Vec::new();
        prepend(&mut out, AsPath::new(&value(segments)), 9);
        AsPath::new(&out).to_string()
    };
    assert_eq!(prepended(&[]), "9");
    assert_eq!(prepended(&[(Sequence, &[1, 2])]), "9 1 2");
    assert_eq!(prepended(&[(Set, &[1, 2]), (Sequence, &[3])]), "9 {1 2} 3");
    assert_eq!(prepended(&[(ConfedSequence, &[1])]), "9 (1)");
}

#[test]
fn a_full_sequence_gets_another_in_front() {
    let mut out = Vec::new();
    let full = value(&[(Sequence, &[7; 254])]);
    prepend(&mut out, AsPath::new(&full), 8);
    assert_eq!(out[..2], [2, 255]);
    let mut more = Vec::new();
    prepend(&mut more, AsPath::new(&out), 9);
    assert_eq!(more[..8], [2, 1, 0, 0, 0, 9, 2, 255]);
    assert_eq!(more[6..], out);
}

#[test]
fn in_two_octets_large_numbers_become_as_trans() {
    let bytes = value(&[(ConfedSequence, &[65001]), (Sequence, &[64512, 4_200_000_000]), (Set, &[65536])]);
    let path = AsPath::new(&bytes);
    assert!(needs_as4_path(path));
    assert!(!needs_as4_path(AsPath::new(&value(&[(Sequence, &[65535])]))));

    let mut out = Vec::new();
    write_as_path(&mut out, path, false);
    write_as4_path(&mut out, path);
    write_as_path(&mut out, path, true);
    let written: Vec<_> = attributes(&out).collect();
    let as4 = value(&[(Sequence, &[64512, 4_200_000_000]), (Set, &[65536])]);
    let narrow = [3, 1, 0xfd, 0xe9, 2, 2, 0xfc, 0, 0x5b, 0xa0, 1, 1, 0x5b, 0xa0];
    assert_eq!(
        written,
        [
            RawAttr { flags: 0x40, code: 2, value: &narrow },
            RawAttr { flags: 0xc0, code: 17, value: &as4 },
            RawAttr { flags: 0x40, code: 2, value: &bytes },
        ]
    );
}

/// RFC 6793 4.2.2 and 6: AS4_PATH does not carry such segments, and must not be empty.
#[test]
fn wide_numbers_inside_a_confederation_need_no_as4_path() {
    let path = value(&[(ConfedSequence, &[4_200_000_000]), (Sequence, &[64512])]);
    assert!(!needs_as4_path(AsPath::new(&path)));
    let path = value(&[(ConfedSet, &[1]), (Sequence, &[64512, 65536])]);
    assert!(needs_as4_path(AsPath::new(&path)));
}

#[test]
fn a_path_is_judged() {
    let judged = |bytes: &[u8]| validate(AsPath::new(bytes));
    assert_eq!(judged(&[]), Ok(false));
    assert_eq!(judged(&value(&[(Sequence, &[1]), (Set, &[2])])), Ok(false));
    assert_eq!(judged(&value(&[(Sequence, &[1]), (ConfedSet, &[2])])), Ok(true));
    assert_eq!(judged(&value(&[(Sequence, &[1]), (Set, &[2, 0])])), Err(PathError::ZeroAs));
    let malformed: [&[u8]; 5] = [&[2], &[2, 0], &[0, 1, 0, 0, 0, 1], &[5, 1, 0, 0, 0, 1], &[2, 2, 0, 0, 0, 1]];
    for bytes in malformed {
        assert_eq!(judged(bytes), Err(PathError::Malformed), "{bytes:?}");
    }
}
