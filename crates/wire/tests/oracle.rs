//! Our codec against two others: `rustbgpd-wire` and `netgauze-bgp-pkt`.
//!
//! * What we write, they read with the same meaning; what they write of it, we read with the same meaning.
//! * Over many broken messages, all three come to the same verdict, or the difference is on the list in `differences`,
//!   with the RFC that justifies us.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;
#[path = "common/differences.rs"]
mod differences;
#[path = "common/netgauze.rs"]
mod netgauze;
#[path = "common/opens.rs"]
mod opens;
#[path = "common/rustbgpd.rs"]
mod rustbgpd;

use std::collections::BTreeMap;

use common::{
    Attrs, ONE_MESSAGE, SESSION, Speech, bodies, decode, decode_paths, encode_paths, lines, listed, speech, unhex,
};
use differences::{Seen, Verdict};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use wire::{Consequence, DecodeContext, Frame, Notification, Open, Problem, Refresh, RouteRefresh, Update, next_frame};

/// AS_SETs may not be in what goes to rustbgpd (RFC 9774), nor sequences that it joins.
fn plain(speech: &Speech) -> bool {
    speech.route.as_ref().is_none_or(|(_, Attrs { path, .. })| path.iter().all(|(kind, _)| *kind == 2))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// RFC 4271 4.3, RFC 4760 3.
    #[test]
    fn netgauze_reads_and_writes_the_same(speech in speech(true)) {
        let bytes = speech.encode(ONE_MESSAGE);
        let (meaning, again) = netgauze::read_and_write(&bytes);
        prop_assert_eq!(&meaning, &speech.meaning());
        prop_assert_eq!(decode(&again, &SESSION), meaning);
    }

    /// RFC 4271 4.3, RFC 4760 3.
    #[test]
    fn rustbgpd_reads_and_writes_the_same(speech in speech(false).prop_filter("sets", plain)) {
        let bytes = speech.encode(ONE_MESSAGE);
        let (meaning, again) = rustbgpd::read_and_write(&bytes, true);
        prop_assert_eq!(&meaning, &speech.meaning());
        prop_assert_eq!(decode(&again, &SESSION), meaning);
    }

    /// RFC 6793: each reads the AS_TRANS, AS4_PATH and AS4_AGGREGATOR of the other.
    #[test]
    fn rustbgpd_reads_and_writes_two_octets_the_same(speech in speech(false).prop_filter("sets", plain)) {
        let mut speech = speech;
        if let Some((_, attrs)) = &mut speech.route {
            attrs.path.truncate(1); // where segments are cut is each codec's own choice
        }
        let bytes = narrowed(&speech);
        let (meaning, again) = rustbgpd::read_and_write(&bytes, false);
        prop_assert_eq!(&meaning, &speech.meaning());
        prop_assert_eq!(decode(&again, &DecodeContext { four_octet_as: false, ..SESSION }), meaning);
    }

    /// RFC 7911 3: path identifiers mean the same to all, in every section.
    #[test]
    fn path_identifiers_mean_the_same_to_all((paths, speech) in listed(40)) {
        let bytes = encode_paths(&speech, &paths, ONE_MESSAGE);
        let expected = if speech.route.is_some() { (vec![], paths) } else { (paths, vec![]) };
        for (withdrawn, announced, again) in [netgauze::paths(&bytes), rustbgpd::paths(&bytes)] {
            prop_assert_eq!(&(withdrawn, announced), &expected);
            prop_assert_eq!(&decode_paths(&again), &expected);
        }
    }

    /// RFC 4271 4.2, RFC 5492 4.
    #[test]
    fn opens_mean_the_same_to_all(open in opens::open()) {
        let mut bytes = Vec::new();
        open.encode(&mut bytes);
        for again in [netgauze::open(&bytes, &open), rustbgpd::open(&bytes, &open)] {
            let frame = next_frame(&again, 4096).unwrap().unwrap();
            let read = Open::decode(frame.body).unwrap();
            prop_assert_eq!(&read, &open);
        }
    }

    /// RFC 4271 4.5, RFC 2918 3, RFC 7313 3.2.
    #[test]
    fn notifications_and_refreshes_mean_the_same_to_all(
        (code, subcode) in known_errors(), data in proptest::collection::vec(any::<u8>(), 0..40), subtype in 0..3_u8,
    ) {
        let notification = Notification::with_data(code, subcode, data);
        let mut bytes = Vec::new();
        notification.encode(&mut bytes);
        for again in [netgauze::again(&bytes), rustbgpd::again(&bytes)] {
            prop_assert_eq!(&again, &bytes);
        }
        let subtype = [Refresh::Request, Refresh::Begin, Refresh::End][usize::from(subtype)];
        for family in wire::Family::ALL {
            let mut bytes = Vec::new();
            RouteRefresh { family: family.code(), subtype }.encode(&mut bytes);
            for again in [netgauze::again(&bytes), rustbgpd::again(&bytes)] {
                prop_assert_eq!(&again, &bytes);
            }
        }
    }
}

fn known_errors() -> impl Strategy<Value = (u8, u8)> {
    prop_oneof![
        (Just(1_u8), 1..4_u8),
        (Just(2_u8), prop_oneof![1..5_u8, Just(6_u8), Just(7_u8)]),
        (Just(3_u8), prop_oneof![1..7_u8, 8..12_u8]),
        (Just(5_u8), 0..4_u8),
        (Just(6_u8), 1..11_u8),
    ]
}

/// A speech as it goes to a two-octet peer.
fn narrowed(speech: &Speech) -> Vec<u8> {
    let Some((next_hop, attrs)) = &speech.route else {
        return speech.encode(ONE_MESSAGE);
    };
    let mut set = Vec::new();
    wire::write_two_octet(&mut set, &attrs.canonical());
    let mut out = Vec::new();
    let prefixes = speech.prefixes.iter().copied();
    assert!(wire::encode_reach(&mut out, ONE_MESSAGE, &set, next_hop, speech.family, prefixes) > 0);
    out
}

/// Our verdict, and in words why: everything that was wrong.
fn ours(body: &[u8], context: &DecodeContext) -> (Verdict, String) {
    match Update::decode(body, context) {
        Err(notification) => (Verdict::Reset, notification.to_string()),
        Ok(update) => {
            // Without the octets: reasons are compared and grouped.
            let reason = |problem: &Problem<'_>| format!("attribute {}: {}", problem.code, problem.what);
            let problems: Vec<String> = update.problems().iter().map(reason).collect();
            let verdict = match update.problems().iter().map(|problem| problem.consequence).max() {
                None => Verdict::Accept,
                Some(Consequence::Discard) => Verdict::Discard,
                Some(Consequence::Withdraw) => Verdict::Withdraw,
            };
            (verdict, problems.join("; "))
        }
    }
}

/// How many broken messages; more on demand.
fn rounds() -> usize {
    std::env::var("ORACLE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(12_000)
}

/// Always the same ones, so that a difference is a change of a codec and not of luck; others on demand.
fn runner() -> TestRunner {
    let seed = std::env::var("ORACLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u8);
    TestRunner::new_with_rng(ProptestConfig::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

/// One change that real bugs make: an octet, a length, flags, an attribute twice, missing or moved.
#[derive(Clone, Debug)]
enum Damage {
    Octet(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
    Flags(prop::sample::Index, u8),
    Value(prop::sample::Index, Vec<u8>),
    /// One of [`PLANTS`] instead of the attribute of its kind.
    Plant(prop::sample::Index),
}

/// Attributes that chance hardly finds: flags, code, value.
const PLANTS: &[(u8, u8, &[u8])] = &[
    (0x40, 2, &[2, 2, 0, 0, 0, 1, 0, 0, 0, 0]),
    (0x40, 2, &[2, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 2]),
    (0x40, 2, &[3, 1, 0, 0, 0, 1]),
    (0x40, 2, &[2, 2, 0, 1, 0, 0]),
    (0x40, 2, &[3, 1, 0, 1]),
    (0x40, 2, &[2, 0]),
    (0x40, 3, &[0, 1, 2, 3]),
    (0x40, 3, &[127, 0, 0, 1]),
    (0x40, 3, &[224, 0, 0, 1]),
    (0x40, 3, &[241, 0, 0, 1]),
    (0x40, 5, &[0, 0, 0, 100]),
    (0xc0, 7, &[0, 0, 0, 0, 10, 0, 0, 1]),
    (0xc0, 7, &[0, 0, 10, 0, 0, 1]),
    (0x80, 9, &[10, 0, 0, 1]),
    (0x80, 10, &[10, 0, 0, 1]),
    (0xc0, 17, &[]),
    (0xc0, 17, &[2, 1, 0, 0, 0, 0]),
    (0xc0, 17, &[2, 1, 0, 1, 0, 0]),
    (0xc0, 18, &[0, 0, 0, 0, 10, 0, 0, 1]),
    (0x80, 14, &[0, 2, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 8, 0x20]),
    (0x80, 14, &[0, 2, 1, 16, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 8, 0x20]),
    (0x80, 14, &[0, 2, 1, 4, 10, 0, 0, 1, 0, 8, 0x20]),
    (0x80, 14, &[0, 1, 1, 4, 10, 0, 0, 1, 0, 8, 10]),
    (0x80, 14, &[0, 1, 1, 4, 0, 0, 0, 0, 0, 8, 10]),
    (0x80, 14, &[0, 25, 70, 4, 10, 0, 0, 1, 0]),
    (0x80, 15, &[0, 2, 1, 129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    (0x80, 15, &[0, 2, 1]),
    (0x80, 15, &[0, 2]),
    (0xc0, 17, &[3, 1, 0, 0, 0, 7, 2, 1, 0, 0, 0, 8]),
    (0x80, 18, &[0, 0, 0, 7, 10, 0, 0, 1]),
    (0xc0, 25, &[1, 2, 3]),
    (0x80, 26, &[7, 0, 3]),
    (0x80, 29, &[1, 2, 3]),
    (0xc0, 40, &[1, 0, 9]),
    (0x40, 99, &[]),
    (0xc0, 99, &[]),
    (0x80, 99, &[]),
];

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, octet)| Damage::Octet(at, octet)),
        (index(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        index().prop_map(Damage::Remove),
        (index(), index()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        (index(), any::<u8>()).prop_map(|(at, flags)| Damage::Flags(at, flags)),
        (index(), proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(at, value)| Damage::Value(at, value)),
        index().prop_map(Damage::Plant),
    ]
}

impl Damage {
    /// On the body of an UPDATE whose attributes are in order.
    fn apply(&self, body: &[u8]) -> Vec<u8> {
        let mut octets = body.to_vec();
        match self {
            Self::Octet(at, octet) => {
                let at = at.index(octets.len());
                octets[at] = *octet;
                return octets;
            }
            Self::Flip(at, bit) => {
                let at = at.index(octets.len());
                octets[at] ^= 1 << bit;
                return octets;
            }
            Self::Remove(_) | Self::Repeat(..) | Self::Flags(..) | Self::Value(..) | Self::Plant(_) => {}
        }
        let Some((withdrawn, set, nlri)) = sections(body) else {
            return octets;
        };
        let mut list: Vec<(u8, u8, Vec<u8>)> =
            wire::attributes(set).map(|attr| (attr.flags, attr.code, attr.value.to_vec())).collect();
        if list.is_empty() && !matches!(self, Self::Plant(_)) {
            return octets;
        }
        match self {
            Self::Octet(..) | Self::Flip(..) => {}
            Self::Remove(at) => {
                list.remove(at.index(list.len()));
            }
            Self::Repeat(from, to) => {
                let copy = list[from.index(list.len())].clone();
                list.insert(to.index(list.len() + 1), copy);
            }
            Self::Flags(at, flags) => {
                let at = at.index(list.len());
                list[at].0 = *flags;
            }
            Self::Value(at, value) => {
                let at = at.index(list.len());
                list[at].2.clone_from(value);
            }
            Self::Plant(which) => {
                let (flags, code, value) = PLANTS[which.index(PLANTS.len())];
                list.retain(|(_, other, _)| *other != code);
                list.push((flags, code, value.to_vec()));
            }
        }
        let mut set = Vec::new();
        for (flags, code, value) in list {
            wire::write_attribute(&mut set, flags, code, &value);
        }
        let len = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&len(withdrawn)[..], withdrawn, &len(&set), &set, nlri].concat()
    }
}

fn sections(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (len, rest) = body.split_first_chunk::<2>()?;
    let (withdrawn, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    let (len, rest) = rest.split_first_chunk::<2>()?;
    let (set, nlri) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    Some((withdrawn, set, nlri))
}

/// Differences that are not on the list: what was seen, how often, and one message.
#[derive(Default)]
struct Unreviewed(BTreeMap<String, (usize, Vec<u8>)>);

impl Unreviewed {
    fn compare(&mut self, body: &[u8], context: &DecodeContext, used: &mut [bool]) {
        let (verdict, why) = ours(body, context);
        let others = [("rustbgpd", rustbgpd::verdict(body, context)), ("netgauze", netgauze::verdict(body, context))];
        for (codec, (theirs, their_reason)) in others {
            let seen = Seen { codec, ours: verdict, our_reason: &why, theirs, their_reason: &their_reason };
            if seen.agrees() || differences::reviewed(&seen, used) {
                continue;
            }
            let key = format!(
                "{codec}: we {verdict:?} ({}), they {theirs:?} ({})",
                differences::gist(why.split(" (data").next().unwrap_or_default()),
                differences::gist(&their_reason)
            );
            let entry = self.0.entry(key).or_insert_with(|| (0, body.to_vec()));
            entry.0 += 1;
        }
    }

    /// A broken message that we and rustbgpd both accept says the same to both.
    fn compare_meaning(&mut self, body: &[u8], context: &DecodeContext) {
        let Ok(update) = Update::decode(body, context) else {
            return;
        };
        let (accepted, _) = rustbgpd::verdict(body, context);
        if accepted != Verdict::Accept || !update.problems().is_empty() {
            return;
        }
        let Some(mut theirs) = rustbgpd::read(body, context) else {
            return;
        };
        let mut ours = common::meaning(&update);
        ours.attrs = ours.attrs.map(Attrs::comparable);
        theirs.attrs = theirs.attrs.map(Attrs::comparable);
        if !wire::attributes(sections(body).map_or(&[], |(_, set, _)| set)).any(|attribute| attribute.code == 7) {
            // AS4_AGGREGATOR alone: RFC 6793 4.2.3 speaks only of both together. They take it, we do not.
            theirs.attrs.iter_mut().for_each(|attrs| attrs.aggregator = None);
        }
        if ours != theirs {
            let (ours, theirs) = (format!("{ours:#?}"), format!("{theirs:#?}"));
            let differ = ours.lines().zip(theirs.lines()).find(|(ours, theirs)| ours != theirs);
            let what = format!("accepted by both, but read differently, first (we, they): {differ:?}");
            self.0.insert(what, (1, body.to_vec()));
        }
    }

    fn assert_none(self) {
        let report: Vec<String> = self
            .0
            .into_iter()
            .map(|(what, (count, body))| {
                let hex: String = body.iter().map(|octet| format!("{octet:02x}")).collect();
                format!("{count} x {what}\n      {hex}")
            })
            .collect();
        assert!(report.is_empty(), "{} differences are not on the list:\n{}", report.len(), report.join("\n"));
    }
}

/// RFC 7606.
#[test]
fn verdicts_on_broken_messages_agree_or_are_reviewed() {
    let mut runner = runner();
    let messages = (speech(false), proptest::collection::vec(damage(), 1..3), any::<[bool; 2]>());
    let mut unreviewed = Unreviewed::default();
    let mut used = vec![false; differences::LIST.len()];
    for _ in 0..rounds() {
        let (mut speech, damages, [external, four_octet_as]) = messages.new_tree(&mut runner).unwrap().current();
        if external && let Some((_, attrs)) = &mut speech.route {
            // What only internal peers send would hide all other differences.
            (attrs.local_pref, attrs.originator, attrs.clusters) = (None, None, Vec::new());
        }
        let bytes = if four_octet_as { speech.encode(ONE_MESSAGE) } else { narrowed(&speech) };
        let context = DecodeContext { external, four_octet_as, ..SESSION };
        let mut body = bodies(&bytes)[0].to_vec();
        for damage in damages {
            body = damage.apply(&body);
        }
        unreviewed.compare(&body, &context, &mut used);
        unreviewed.compare_meaning(&body, &context);
    }
    unreviewed.assert_none();
    let idle: Vec<_> =
        differences::LIST.iter().zip(&used).filter(|(_, used)| !**used).map(|(entry, _)| entry.why).collect();
    assert!(idle.is_empty(), "on the list, but nothing differs there any more: {idle:#?}");
}

/// RFC 7606.
#[test]
fn verdicts_on_real_messages_agree_or_are_reviewed() {
    let mut unreviewed = Unreviewed::default();
    let mut used = vec![false; differences::LIST.len()];
    for (text, four_octet_as) in [(include_str!("data/as4.hex"), true), (include_str!("data/as2.hex"), false)] {
        let context = DecodeContext { four_octet_as, ..SESSION };
        for line in lines(text) {
            let message = unhex(line);
            let Frame { body, .. } = next_frame(&message, 4096).unwrap().unwrap();
            unreviewed.compare(body, &context, &mut used);
            unreviewed.compare_meaning(body, &context);
        }
    }
    unreviewed.assert_none();
}
