//! Path identifiers (RFC 7911).

use super::*;

const PATHS: DecodeContext = DecodeContext { add_path: FamilySet::ALL, ..EXTERNAL };
const V4_PATHS: DecodeContext = DecodeContext { add_path: FamilySet::only(Family::Ipv4Unicast), ..EXTERNAL };

/// 10.0.0.0/8 twice, by number 7 and by number 1.
const TENS: &[u8] = &[0, 0, 0, 7, 8, 10, 0, 0, 0, 1, 8, 10];
/// 2001:db8::/32, number 2^24.
const DB8S: &[u8] = &[1, 0, 0, 0, 32, 0x20, 1, 0xd, 0xb8];

fn paths<'a>(sections: impl Iterator<Item = Nlri<'a>>) -> Vec<(u32, String)> {
    sections.flat_map(|section| section.paths()).map(|(id, prefix)| (id, prefix.to_string())).collect()
}

/// RFC 7911 3: in withdrawn routes, NLRI, MP_REACH_NLRI and MP_UNREACH_NLRI.
#[test]
fn every_section_has_them() {
    let (reach, unreach) = (mp_reach(2, &GLOBAL, DB8S), mp_unreach(2, DB8S));
    let body = message(TENS, &[&reach, &unreach, ORIGIN, AS_PATH, NEXT_HOP], TENS);
    let update = Update::decode(&body, &PATHS).unwrap();
    let (ten, db8) = (|id| (id, "10.0.0.0/8".to_owned()), (1 << 24, "2001:db8::/32".to_owned()));
    assert_eq!(paths(update.withdrawn()), [ten(7), ten(1), db8.clone()]);
    assert_eq!(paths(update.announced().map(|(section, _)| section)), [ten(7), ten(1), db8]);
    assert_eq!(update.problems.capacity(), 0, "a good message allocates nothing");
}

/// RFC 7911 4: each family for itself.
#[test]
fn only_families_that_agreed_have_them() {
    let reach = mp_reach(2, &GLOBAL, DB8);
    let body = message(&[], &[&reach, ORIGIN, AS_PATH, NEXT_HOP], TENS);
    let update = Update::decode(&body, &V4_PATHS).unwrap();
    let expected = [(7, "10.0.0.0/8".to_owned()), (1, "10.0.0.0/8".into()), (0, "2001:db8::/32".into())];
    assert_eq!(paths(update.announced().map(|(section, _)| section)), expected);
    // The same octets as plain prefixes: one of 7 bits, and one of 10 that runs into what follows.
    assert_eq!(outcome(&body, &EXTERNAL), Reset(10));
}

/// RFC 7606 2, RFC 7911 3: what is treated as withdrawn keeps its identifiers.
#[test]
fn treat_as_withdraw_keeps_them() {
    let reach = mp_reach(2, &GLOBAL, DB8S);
    let body = message(&[], &[&reach, &[0x40, 1, 1, 9], AS_PATH, NEXT_HOP], TENS);
    let update = Update::decode(&body, &PATHS).unwrap();
    assert!(update.treat_as_withdraw());
    let expected = [(7, "10.0.0.0/8".to_owned()), (1, "10.0.0.0/8".into()), (1 << 24, "2001:db8::/32".into())];
    assert_eq!(paths(update.withdrawn()), expected);
}

/// RFC 7606 5.3, RFC 4271 6.3: a section that ends in an identifier, or right after one, cannot be read.
#[test]
fn cut_ones_end_the_session() {
    for len in [1, 3, 4, 5, 7, 10, 11] {
        let cut = &TENS[..len];
        assert_eq!(outcome(&message(cut, &[], &[]), &PATHS), Reset(10), "{len}");
        assert_eq!(outcome(&message(&[], &[ORIGIN, AS_PATH, NEXT_HOP], cut), &PATHS), Reset(10), "{len}");
    }
    for len in 1..DB8S.len() {
        for bad in [mp_reach(2, &GLOBAL, &DB8S[..len]), mp_unreach(2, &DB8S[..len])] {
            let body = message(&[], &[&bad, ORIGIN, AS_PATH], &[]);
            let error = Update::decode(&body, &PATHS).unwrap_err();
            assert_eq!(error, Notification::with_data(3, 9, bad), "{len}");
        }
    }
}

/// RFC 4724 2: End-of-RIB has no NLRI, so also no identifiers.
#[test]
fn ends_of_rib_are_the_same() {
    let end = |body: &[u8]| Update::decode(body, &PATHS).unwrap().end_of_rib();
    assert_eq!(end(&[0; 4]), Some(Family::Ipv4Unicast));
    assert_eq!(end(&message(&[], &[&mp_unreach(2, &[])], &[])), Some(Family::Ipv6Unicast));
    assert_eq!(end(&message(TENS, &[], &[])), None);
    assert_eq!(end(&message(&[], &[&mp_unreach(2, DB8S)], &[])), None);
}
