use super::*;

fn narrow(segments: &[(u8, &[u16])]) -> Vec<u8> {
    let segment = |(kind, asns): &(u8, &[u16])| {
        let mut out = vec![*kind, u8::try_from(asns.len()).unwrap()];
        out.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
        out
    };
    segments.iter().flat_map(segment).collect()
}

fn wide(segments: &[(u8, &[u32])]) -> Vec<u8> {
    let segment = |(kind, asns): &(u8, &[u32])| {
        let mut out = vec![*kind, u8::try_from(asns.len()).unwrap()];
        out.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
        out
    };
    segments.iter().flat_map(segment).collect()
}

/// Kinds: 1 set, 2 sequence, 3 and 4 of a confederation.
fn merged(path: &[(u8, &[u16])], as4_path: Option<&[(u8, &[u32])]>) -> String {
    let (path, as4_path) = (narrow(path), as4_path.map(wide));
    let mut out = Vec::new();
    merge(&mut out, AsPath::two_octet(&path), as4_path.as_deref().map(AsPath::new));
    AsPath::new(&out).to_string()
}

const T: u16 = 23456;

/// RFC 6793 4.2.3.
#[test]
fn without_as4_path_the_path_is_widened() {
    assert_eq!(merged(&[(2, &[1, T]), (1, &[2])], None), "1 23456 {2}");
}

/// RFC 6793 4.2.3.
#[test]
fn as4_path_replaces_the_right_end() {
    assert_eq!(merged(&[(2, &[1, T, T])], Some(&[(2, &[70000, 80000])])), "1 70000 80000");
    assert_eq!(merged(&[(2, &[T, T])], Some(&[(2, &[70000, 80000])])), "70000 80000");
    assert_eq!(merged(&[(2, &[1, 2]), (1, &[T, 3])], Some(&[(2, &[2]), (1, &[70000, 3])])), "1 2 {70000 3}");
    assert_eq!(merged(&[(1, &[5, 6]), (2, &[7, T])], Some(&[(2, &[70000])])), "{5 6} 7 70000");
}

/// RFC 6793 4.2.3.
#[test]
fn where_sequences_meet_they_become_one() {
    let path = narrow(&[(2, &[1, T, T])]);
    let as4 = wide(&[(2, &[70000, 80000])]);
    let mut out = Vec::new();
    merge(&mut out, AsPath::two_octet(&path), Some(AsPath::new(&as4)));
    assert_eq!(out, wide(&[(2, &[1, 70000, 80000])]));
}

/// RFC 6793 4.2.3.
#[test]
fn an_as4_path_longer_than_the_path_is_ignored() {
    assert_eq!(merged(&[(2, &[1, T])], Some(&[(2, &[1, 2, 70000])])), "1 23456");
}

/// RFC 6793 4.2.3 and 6.
#[test]
fn confederation_segments_stay_in_front_and_never_come_from_as4_path() {
    assert_eq!(merged(&[(3, &[65001]), (2, &[T])], Some(&[(2, &[70000])])), "(65001) 70000");
    assert_eq!(merged(&[(2, &[1, T])], Some(&[(3, &[65001]), (2, &[70000])])), "1 70000");
}

/// RFC 4271 4.3: a segment holds 255, also after RFC 6793 4.2.3 made it longer.
#[test]
fn a_sequence_that_overflows_is_continued() {
    let long = vec![7_u16; 255];
    let path = narrow(&[(2, &long), (2, &[T])]);
    let as4 = wide(&[(2, &[70000])]);
    let mut out = Vec::new();
    merge(&mut out, AsPath::two_octet(&path), Some(AsPath::new(&as4)));
    assert_eq!(AsPath::new(&out).length(), 256);
    assert_eq!(out[1], 255);
}
