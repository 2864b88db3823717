//! Real UPDATEs, one after the other, and after each what every receiver was told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::rc::Rc;

use ipnet::IpNet;
use wire::{DecodeContext, Family, MAX_LEN, MAX_LEN_EXTENDED, Update, next_frame};

use crate::collection::collection;
use crate::common::{SESSION, lines, meaning, unhex};
use crate::differences::Verdict;
use crate::expect::{Own, Receiver, Refused, Route, Sender, received, sent_next_hop};
use crate::router::{RECEIVERS, Router, Table};
use crate::rustbgpd;
use crate::update::{self, AS_PATH, Said, segments};

pub(crate) const OWN: Own =
    Own { asn: 64999, router_id: Ipv4Addr::new(10, 255, 0, 1), cluster_id: Ipv4Addr::new(10, 255, 1, 1) };

/// As a route collector has it: the peer's AS is not the leftmost one.
pub(crate) const COLLECTED: Sender = Sender {
    asn: 64998,
    external: true,
    four_octet: true,
    router_id: Ipv4Addr::new(10, 255, 0, 2),
    enforce_first_as: false,
};

const INTERNAL: Sender = Sender { asn: OWN.asn, external: false, ..COLLECTED };

/// One in so many of the messages sent is given to another codec as well.
const JUDGED: usize = 8;

/// How often something happened in a run, to see that it did.
#[derive(Debug, Default)]
struct Tally {
    messages: usize,
    /// Prefix and receiver.
    told: usize,
    withdrawn: usize,
    /// Routes of accepted messages that stayed with us, by receiver.
    kept_back: [usize; RECEIVERS.len()],
    refused: BTreeMap<Refused, usize>,
    /// Sessions that a message ended.
    resets: usize,
    /// Messages that another codec read as well.
    judged: usize,
    /// Routes at all receivers in the end.
    left: usize,
}

/// The whole collection, or the samples of it that are kept beside the codec.
fn updates(name: &str, sample: &str) -> Vec<Vec<u8>> {
    let text = collection().map(|data| std::fs::read_to_string(data.join("updates").join(name)).unwrap());
    lines(text.as_deref().unwrap_or(sample)).map(unhex).collect()
}

fn four_octet() -> Vec<Vec<u8>> {
    updates("as4.hex", include_str!("../../../wire/tests/data/as4.hex"))
}

fn two_octet() -> Vec<Vec<u8>> {
    updates("as2.hex", include_str!("../../../wire/tests/data/as2.hex"))
}

/// Every so many-th message of the collection, all of a sample: unoptimised, the whole takes half a minute a run.
fn thinned(step: usize, messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if messages.len() < 1000 { messages } else { messages.into_iter().step_by(step).collect() }
}

/// Feeds the messages and compares, after each, what is told with what the RFCs say.
fn run(own: Own, from: Sender, messages: &[Vec<u8>]) -> Tally {
    let mut router = Router::new(own, from, &RECEIVERS);
    let mut tables: [Table; RECEIVERS.len()] = Default::default();
    let mut due: [BTreeMap<IpNet, Route>; RECEIVERS.len()] = Default::default();
    let mut tally = Tally::default();
    for message in messages {
        tally.messages += 1;
        let last_words = router.hears(message.clone());
        assert_eq!(last_words.is_some(), update::read(message).is_none(), "{last_words:02x?} to {message:02x?}");
        let touched = match (update::read(message), last_words) {
            (Some(said), _) => {
                expect(own, from, &said, &mut due, &mut tally);
                said.withdrawn.into_iter().chain(said.announced.into_keys()).collect()
            }
            (None, last_words) => {
                // An UPDATE Message Error, and everything of the session goes with it.
                assert_eq!(last_words.and_then(|words| Some((*words.get(18)?, *words.get(19)?))), Some((3, 3)));
                tally.resets += 1;
                due.iter_mut().flat_map(std::mem::take).map(|(prefix, _)| prefix).collect::<BTreeSet<IpNet>>()
            }
        };
        for (index, to) in RECEIVERS.iter().enumerate() {
            for sent in update::messages(&router.tells(index)) {
                let told = tables[index].take(sent);
                assert!(told.announced.keys().chain(&told.withdrawn).all(|prefix| touched.contains(prefix)));
                tally.told += told.announced.len();
                tally.withdrawn += told.withdrawn.len();
                assert_read_alike(sent, &told, *to, own, &mut tally);
            }
            for prefix in &touched {
                let (told, due) = (tables[index].0.get(prefix), due[index].get(prefix));
                assert_eq!(told, due, "{prefix} to {to:?} after message {} {message:02x?}", tally.messages);
            }
        }
    }
    for (table, due) in tables.iter().zip(&due) {
        assert!(table.0 == *due, "the tables differ in the end");
        tally.left += table.0.len();
    }
    withdraw_all(&mut router, &mut tables, &mut tally);
    assert!(!router.notes.iter().any(|note| note.contains("could not be announced")), "{:?}", router.notes);
    tally
}

/// Whatever the sender may ever have announced, and nothing is left of it.
fn withdraw_all(router: &mut Router, tables: &mut [Table], tally: &mut Tally) {
    let mut stream = Vec::new();
    for family in Family::ALL {
        let all: BTreeSet<IpNet> = tables.iter().flat_map(|table| table.0.keys()).copied().collect();
        wire::encode_unreach(&mut stream, MAX_LEN, family, all.into_iter());
    }
    assert_eq!(router.hears(stream), None);
    for (index, table) in tables.iter_mut().enumerate() {
        for sent in update::messages(&router.tells(index)) {
            tally.withdrawn += table.take(sent).withdrawn.len();
        }
        assert_eq!(table.0.len(), 0);
    }
    let snapshot = router.snapshot();
    let advertised = snapshot.peers.iter().flat_map(|peer| &peer.families).map(|family| family.advertised);
    assert_eq!(advertised.sum::<usize>(), 0);
}

/// Brings what is due up to date.
fn expect(own: Own, from: Sender, said: &Said, due: &mut [BTreeMap<IpNet, Route>; RECEIVERS.len()], tally: &mut Tally) {
    let received = (!said.announced.is_empty()).then(|| received(own, from, said));
    if let Some(Err(refused)) = &received {
        *tally.refused.entry(*refused).or_default() += 1;
    }
    let accepted = received.and_then(Result::ok);
    for (index, to) in RECEIVERS.into_iter().enumerate() {
        let due = &mut due[index];
        for prefix in &said.withdrawn {
            due.remove(prefix);
        }
        let sent = accepted.as_ref().and_then(|received| received.sent(own, from, to));
        for (prefix, next_hop) in &said.announced {
            match &sent {
                Some(attributes) => {
                    let next_hop = sent_next_hop(to, next_hop);
                    due.insert(*prefix, Route { next_hop, attributes: Rc::clone(attributes) });
                }
                None => drop(due.remove(prefix)),
            }
        }
        if accepted.is_some() && sent.is_none() {
            tally.kept_back[index] += said.announced.len();
        }
    }
}

/// Our own codec reads what we sent like this test, and so does, for a sample, somebody else's.
fn assert_read_alike(sent: &[u8], told: &Said, to: Receiver, own: Own, tally: &mut Tally) {
    let context = DecodeContext { four_octet_as: to.four_octet, external: to.external, ..SESSION };
    let body = next_frame(sent, MAX_LEN_EXTENDED).unwrap().unwrap().body;
    let update = Update::decode(body, &context).unwrap();
    assert_eq!(update.problems(), [], "{sent:02x?}");
    let ours = meaning(&update);
    assert!(ours.withdrawn == told.withdrawn && ours.announced.keys().eq(told.announced.keys()));
    if to.external
        && ours.attrs.as_ref().is_some_and(|attrs| attrs.path.first().is_none_or(|(_, asns)| asns[0] != own.asn))
    {
        panic!("our AS does not lead: {ours:?}");
    }
    let sets = told.attributes.get(&AS_PATH).is_some_and(|(_, value)| {
        segments(value, if to.four_octet { 4 } else { 2 }).iter().any(|(kind, _)| *kind == 1)
    });
    // It withdraws what has an AS_SET in its path (RFC 9774).
    if sets || !(tally.told + tally.withdrawn).is_multiple_of(JUDGED) {
        return;
    }
    let (verdict, why) = rustbgpd::verdict(body, &context);
    assert_eq!(verdict, Verdict::Accept, "{why}: {sent:02x?}");
    let Some(mut theirs) = rustbgpd::read(body, &context) else { return };
    theirs.attrs = theirs.attrs.map(crate::common::Attrs::comparable);
    let ours = crate::common::Meaning { attrs: ours.attrs.map(crate::common::Attrs::comparable), ..ours };
    assert_eq!(theirs, ours, "{sent:02x?}");
    tally.judged += 1;
}

/// Whatever the sample, a run that exercised nothing proves nothing.
fn assert_busy(tally: &Tally) {
    let Tally { messages, told, withdrawn, judged, left, .. } = *tally;
    assert!(messages > 0 && told > 2 * messages && withdrawn > 0 && judged > 0 && left > 0, "{tally:?}");
}

#[test]
fn from_a_four_octet_peer_of_another_system() {
    assert_busy(&run(OWN, COLLECTED, &four_octet()));
}

/// AS4_PATH is merged, and made again for the two-octet receiver, whose path has our own large number in it as well.
#[test]
fn from_a_two_octet_peer_of_another_system() {
    let own = Own { asn: 4_200_000_001, ..OWN };
    let from = Sender { four_octet: false, ..COLLECTED };
    assert_busy(&run(own, from, &two_octet()));
}

/// The receiver in our system is a client: ORIGINATOR_ID and CLUSTER_LIST are kept or made, MED and LOCAL_PREF stay.
#[test]
fn from_an_internal_peer() {
    assert_busy(&run(OWN, INTERNAL, &thinned(4, four_octet())));
}

/// RFC 4456 8, with an originator and a cluster that the data is full of.
#[test]
fn reflected_routes_that_come_back_are_refused() {
    let messages = thinned(16, four_octet());
    let originator = Own { router_id: Ipv4Addr::new(74, 80, 111, 4), ..OWN };
    let tally = run(originator, INTERNAL, &messages);
    assert!(tally.refused[&Refused::Originator] > 0 && tally.left > 0, "{tally:?}");
    let reflector = Own { cluster_id: Ipv4Addr::new(206, 220, 231, 55), ..OWN };
    let tally = run(reflector, INTERNAL, &messages);
    assert!(tally.refused[&Refused::Cluster] > 0 && tally.left > 0, "{tally:?}");
}

/// RFC 4271 6.3: paths that do not begin with the peer's own AS; 9.1.2: paths with ours in them.
#[test]
fn paths_that_begin_elsewhere_or_went_through_us_are_refused() {
    let messages = two_octet();
    let from = Sender { asn: 3356, four_octet: false, enforce_first_as: true, ..COLLECTED };
    let strict = run(Own { asn: 174, ..OWN }, from, &messages);
    assert!(strict.refused[&Refused::FirstAs] > 0 && strict.left > 0, "{strict:?}");
    let lenient = run(Own { asn: 3356, ..OWN }, Sender { asn: 174, enforce_first_as: false, ..from }, &messages);
    assert!(lenient.refused[&Refused::OwnAs] > 0 && lenient.left > strict.left, "{lenient:?}");
    assert_eq!(lenient.refused.get(&Refused::FirstAs), None);
}
