//! Round trips, and hostile bytes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;
#[path = "common/opens.rs"]
mod opens;

use common::{Attrs, SESSION, attrs, bodies, canonical, decode, decode_paths, encode_paths, listed, speech};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::{
    DecodeContext, Family, FamilySet, MAX_LEN, MAX_LEN_EXTENDED, Nlri, Notification, Open, RouteRefresh, Update,
    attributes, next_frame, write_prefix, write_two_octet,
};

fn contexts() -> impl Strategy<Value = DecodeContext> {
    let set = || vec(0..2_usize, 0..3).prop_map(|set| set.into_iter().map(|i| Family::ALL[i]).collect::<FamilySet>());
    (any::<[bool; 3]>(), set(), set()).prop_map(|([four_octet_as, external, extended_next_hop], families, add_path)| {
        DecodeContext { four_octet_as, external, families, extended_next_hop, add_path }
    })
}

/// Looks at everything a decoder gives back.
fn exercise(body: &[u8], context: &DecodeContext) {
    match Update::decode(body, context) {
        Err(notification) => {
            let mut out = Vec::new();
            notification.encode(&mut out);
            let frame = next_frame(&out, MAX_LEN).unwrap().unwrap();
            assert_eq!(frame.len, out.len());
            let _ = notification.to_string();
        }
        Ok(update) => {
            for (section, next_hop) in update.announced() {
                assert!(context.families.contains(section.family()));
                assert_paths(&section, context);
                let _ = next_hop.to_string();
            }
            for section in update.withdrawn() {
                assert!(context.families.contains(section.family()));
                assert!(section.into_iter().count() > 0);
                assert_paths(&section, context);
            }
            for problem in update.problems() {
                assert!(problem.data.is_empty() || problem.data.get(1).copied().unwrap_or(0) == problem.code);
                assert!(problem.to_string().len() < 250);
            }
            assert!(!update.treat_as_withdraw() || update.announced().count() == 0);
            let set = canonical(&update);
            assert_ascending(&set);
            assert_reads_back(&set, &update);
        }
    }
    let _ = Open::decode(body);
    let _ = RouteRefresh::decode(body);
    let _ = Notification::decode(body).to_string();
    let _ = attributes(body).count();
}

/// Prefixes and paths are the same list, and written again the same octets but for host bits.
fn assert_paths(section: &Nlri<'_>, context: &DecodeContext) {
    assert_eq!(section.has_path_ids(), context.add_path.contains(section.family()));
    assert!(section.iter().eq(section.paths().map(|(_, prefix)| prefix)));
    assert!(section.has_path_ids() || section.paths().all(|(id, _)| id == 0));
    let mut again = Vec::new();
    for (id, prefix) in section.paths() {
        if section.has_path_ids() {
            again.extend(id.to_be_bytes());
        }
        write_prefix(&mut again, &prefix);
    }
    assert_eq!(again.len(), section.as_bytes().len());
    let reparsed = Nlri::parse(section.family(), section.has_path_ids(), &again).unwrap();
    assert!(reparsed.paths().eq(section.paths()));
}

fn assert_ascending(set: &[u8]) {
    let codes: Vec<u8> = attributes(set).map(|attribute| attribute.code).collect();
    assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    assert!(codes.iter().all(|code| ![3, 14, 15, 17, 18].contains(code)), "{codes:?}");
}

/// A canonical set, put into an UPDATE as it is, gives the same canonical set.
fn assert_reads_back(set: &[u8], update: &Update<'_>) {
    if update.announced().count() == 0 {
        return;
    }
    let (section, next_hop) = update.announced().next().unwrap();
    let mut out = Vec::new();
    let first = section.into_iter().take(1);
    if wire::encode_reach(&mut out, MAX_LEN_EXTENDED, set, &next_hop, section.family(), first) == 0 {
        return;
    }
    let again = Update::decode(bodies(&out)[0], &SESSION).unwrap();
    assert_eq!(canonical(&again), set);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// RFC 4271 4.3, RFC 4760 3.
    #[test]
    fn what_we_say_we_understand(speech in speech(true), max_len in prop_oneof![Just(MAX_LEN), Just(MAX_LEN_EXTENDED)]) {
        prop_assert_eq!(decode(&speech.encode(max_len), &SESSION), speech.meaning());
    }

    /// RFC 6793 4.2.
    #[test]
    fn a_set_survives_a_two_octet_peer(attrs in attrs(false)) {
        // Sets and adjacent sequences may be cut differently by AS4_PATH; one sequence comes back as it was.
        let mut attrs = attrs;
        attrs.path.truncate(1);
        let mut narrow = Vec::new();
        write_two_octet(&mut narrow, &attrs.canonical());
        let body = [&[0, 0][..], &u16::try_from(narrow.len() + 7).unwrap().to_be_bytes(), &narrow, &[0x40, 3, 4, 10, 0, 0, 1, 8, 10]].concat();
        let update = Update::decode(&body, &DecodeContext { four_octet_as: false, ..SESSION }).unwrap();
        prop_assert!(update.problems().is_empty(), "{:?}", update.problems());
        prop_assert_eq!(Attrs::read(&canonical(&update)), attrs);
    }

    /// RFC 4271 5: a receiver takes attributes in any order.
    #[test]
    fn attributes_in_any_order_are_one_set(attrs in attrs(true), seed in any::<u64>()) {
        let set = attrs.canonical();
        let mut pieces: Vec<_> = attributes(&set).collect();
        // A cheap shuffle: the order only has to differ.
        pieces.sort_by_key(|piece| (u64::from(piece.code) + 1).wrapping_mul(seed | 1).rotate_left(13));
        let mut shuffled = Vec::new();
        for piece in pieces {
            wire::write_attribute(&mut shuffled, piece.flags, piece.code, piece.value);
        }
        let body = [&[0, 0][..], &u16::try_from(shuffled.len() + 7).unwrap().to_be_bytes(), &[0x40, 3, 4, 10, 0, 0, 1], &shuffled, &[8, 10]].concat();
        let update = Update::decode(&body, &SESSION).unwrap();
        prop_assert!(update.problems().is_empty());
        prop_assert_eq!(canonical(&update), set);
    }

    /// RFC 7606 2: nothing that arrives does more than one of the three consequences.
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..600), context in contexts()) {
        exercise(&bytes, &context);
        let _ = next_frame(&bytes, MAX_LEN);
        for capability in Open::decode(&bytes).map(|open| open.capabilities).unwrap_or_default() {
            let _ = capability.to_string();
        }
    }

    /// RFC 7606 2.
    #[test]
    fn mutated_messages(
        speech in speech(true),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        context in contexts(),
    ) {
        let mut bytes = speech.encode(MAX_LEN);
        for (at, octet) in edits {
            let at = at.index(bytes.len());
            bytes[at] = octet;
        }
        let _ = next_frame(&bytes, MAX_LEN);
        exercise(&bytes[19..], &context);
    }

    /// RFC 4271 4.2, RFC 5492 4.
    #[test]
    fn opens_and_back(open in opens::open()) {
        let mut out = Vec::new();
        open.encode(&mut out);
        let frame = next_frame(&out, MAX_LEN).unwrap().unwrap();
        prop_assert_eq!(Open::decode(frame.body), Ok(open));
        for len in 0..frame.body.len() {
            prop_assert!(Open::decode(&frame.body[..len]).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// RFC 7911 3, RFC 8654 4: in as many messages as it takes, every path comes through in its order.
    #[test]
    fn paths_come_through_in_messages_of_any_length(
        (paths, speech) in listed(3000),
        max_len in prop_oneof![Just(MAX_LEN), Just(MAX_LEN_EXTENDED), 3000..9000_usize],
    ) {
        let bytes = encode_paths(&speech, &paths, max_len);
        let expected = if speech.route.is_some() { (vec![], paths) } else { (paths, vec![]) };
        prop_assert_eq!(decode_paths(&bytes), expected);
        for body in bodies(&bytes) {
            prop_assert!(19 + body.len() <= max_len);
        }
    }

    /// RFC 4271 6.3, RFC 7606 4.
    #[test]
    fn messages_cut_anywhere(speech in speech(true)) {
        let bytes = speech.encode(MAX_LEN);
        let body = bodies(&bytes)[0];
        for len in 0..body.len() {
            exercise(&body[..len], &SESSION);
            prop_assert_eq!(next_frame(&bytes[..len], MAX_LEN), Ok(None));
        }
    }
}
