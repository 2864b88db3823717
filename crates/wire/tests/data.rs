//! Messages that were really on some wire.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "common/collection.rs"]
mod collection;
mod common;

use common::{SESSION, canonical, lines, unhex};
use wire::{DecodeContext, FamilySet, MAX_LEN, MAX_LEN_EXTENDED, MessageType, Open, Update, attributes, next_frame};

const AS4: &str = include_str!("data/as4.hex");
const AS2: &str = include_str!("data/as2.hex");
const EXABGP: &str = include_str!("data/exabgp.txt");

/// As a route collector had them: external peers.
const COLLECTOR: DecodeContext =
    DecodeContext { external: true, extended_next_hop: false, families: FamilySet::ALL, ..SESSION };

/// Accepted, with something discarded, withdrawn, reset.
fn verdicts<'a>(lines: impl Iterator<Item = &'a str>, context: &DecodeContext) -> [usize; 4] {
    let mut verdicts = [0; 4];
    for line in lines {
        let message = unhex(line.split_whitespace().last().unwrap());
        let Ok(Some(frame)) = next_frame(&message, MAX_LEN_EXTENDED) else { panic!("no frame in {line}") };
        match frame.kind {
            MessageType::Update => {}
            MessageType::Open => {
                Open::decode(frame.body).unwrap();
                continue;
            }
            MessageType::Notification | MessageType::Keepalive | MessageType::RouteRefresh => {
                continue;
            }
        }
        let verdict = match Update::decode(frame.body, context) {
            Err(_) => 3,
            Ok(update) if update.treat_as_withdraw() => 2,
            Ok(update) => {
                assert_one_spelling(&update);
                usize::from(!update.problems().is_empty())
            }
        };
        verdicts[verdict] += 1;
    }
    verdicts
}

/// Its canonical set, sent on, is the same set.
fn assert_one_spelling(update: &Update<'_>) {
    let set = canonical(update);
    for (section, next_hop) in update.announced() {
        let mut out = Vec::new();
        let count = wire::encode_reach(&mut out, MAX_LEN, &set, &next_hop, section.family(), section.into_iter());
        assert_eq!(count, 1);
        let again = Update::decode(next_frame(&out, MAX_LEN).unwrap().unwrap().body, &SESSION).unwrap();
        assert_eq!(canonical(&again), set);
        let prefixes: Vec<_> = again.announced().flat_map(|(section, _)| section).collect();
        assert_eq!(prefixes, section.into_iter().collect::<Vec<_>>());
    }
    assert!(attributes(&set).is_sorted_by(|a, b| a.code < b.code));
}

/// RFC 4271 4.3, RFC 6793 4: what route collectors recorded.
#[test]
fn real_updates_are_good_ones() {
    let [accepted, discarded, withdrawn, reset] = verdicts(lines(AS4), &COLLECTOR);
    assert!(accepted >= 40, "{accepted} {discarded} {withdrawn} {reset}");
    assert_eq!(reset, 0);
    let [accepted, discarded, withdrawn, reset] =
        verdicts(lines(AS2), &DecodeContext { four_octet_as: false, ..COLLECTOR });
    assert!(accepted >= 40, "{accepted} {discarded} {withdrawn} {reset}");
    assert_eq!(reset, 0);
}

/// RFC 4271 4.3: what another speaker tests itself with.
#[test]
fn what_exabgp_says_is_read() {
    let verdicts = verdicts(lines(EXABGP), &SESSION);
    assert!(verdicts[0] + verdicts[1] > verdicts[2] + verdicts[3], "{verdicts:?}");
}

/// The whole collection that the samples were taken from, or these.
#[test]
fn a_large_collection_is_read() {
    let data = collection::collection();
    let read = |name: &str, sample: &str| match &data {
        Some(data) => std::fs::read_to_string(data.join(name)).unwrap(),
        None => sample.to_owned(),
    };
    let old = DecodeContext { four_octet_as: false, ..COLLECTOR };
    for (name, sample, context, bad) in [
        ("updates/as4.hex", AS4, COLLECTOR, 0.01),
        ("updates/as2.hex", AS2, old, 0.01),
        ("exabgp-encodings.txt", EXABGP, SESSION, 0.5),
    ] {
        let [accepted, discarded, withdrawn, reset] = verdicts(lines(&read(name, sample)), &context);
        let all = accepted + discarded + withdrawn + reset;
        #[allow(clippy::cast_precision_loss, reason = "a share")]
        let share = (withdrawn + reset) as f64 / all as f64;
        assert!(
            share < bad,
            "{name}: {accepted} accepted, {discarded} discarded, {withdrawn} withdrawn, {reset} reset"
        );
    }
}
