//! Whole tables through the router: everything arrives, with its path, and everything goes again.

use std::collections::BTreeMap;
use std::io::Read;

use engine::{Family, Snapshot};
use ipnet::IpNet;
use wire::{MAX_LEN, NextHop, attr_code, encode_reach, encode_unreach, flag, write_attribute};

use crate::collection::collection;
use crate::common::lines;
use crate::expect::Sender;
use crate::messages::{COLLECTED, OWN};
use crate::router::{RECEIVERS, Router, Table};
use crate::update::{self, AS_PATH, Segments, path_value, segments};

/// One in so many prefixes is taken: as much as passes in some seconds when nothing is optimised.
const SAMPLE: usize = 8;

/// Messages of the sender between two looks at the receiver.
const BURST: usize = 64;

/// The path of each prefix as the sender has it, its own AS first.
type Paths = BTreeMap<IpNet, Segments>;

/// What a file of the collection says, or the sample of it.
fn text(names: &[&str], sample: &str) -> String {
    let Some(data) = collection() else { return sample.into() };
    let mut text = String::new();
    for name in names {
        let file = std::fs::File::open(data.join(name)).unwrap();
        ruzstd::decoding::StreamingDecoder::new(file).unwrap().read_to_string(&mut text).unwrap();
    }
    text
}

/// Today's prefixes. The sender is the only transit there is; where no origin is known it is the origin.
fn today(sender: u32) -> Paths {
    let text = text(&["prefixes-v4.txt.zst", "prefixes-v6.txt.zst"], include_str!("samples/prefixes.txt"));
    let path = |origin: u32| vec![(2, if origin == 0 { vec![sender] } else { vec![sender, origin] })];
    let of_line = |line: &str| {
        let (prefix, origin) = line.split_once(' ').unwrap();
        (prefix.parse().unwrap(), path(origin.parse().unwrap()))
    };
    lines(&text).map(of_line).collect()
}

/// The table of 2002, with the paths that it had: `1853 1239 {701,702}`.
fn of_2002() -> Paths {
    let text = text(&["rib-2002-aspaths.txt.zst"], include_str!("samples/paths-2002.txt"));
    let of_line = |line: &str| {
        let (prefix, path) = line.split_once(' ').unwrap();
        let mut segments: Segments = Vec::new();
        for word in path.split(' ') {
            if let Some(set) = word.strip_prefix('{') {
                let asns = set.trim_end_matches('}').split(',').map(|asn| asn.parse().unwrap());
                segments.push((1, asns.collect()));
            } else if let Some((2, asns)) = segments.last_mut() {
                asns.push(word.parse().unwrap());
            } else {
                segments.push((2, vec![word.parse().unwrap()]));
            }
        }
        (prefix.parse().unwrap(), segments)
    };
    lines(&text).map(of_line).collect()
}

/// Announced, compared, withdrawn, and nothing is left.
fn pass(from: Sender, paths: &Paths) {
    // RFC 4271 6.3: what does not begin with the peer's AS is kept, and goes nowhere.
    let refused = |path: &Segments| from.enforce_first_as && path[0].1[0] != from.asn;
    let due: Vec<_> = paths.iter().filter(|(_, path)| !refused(path)).collect();
    let mut router = Router::new(OWN, from, &RECEIVERS[..1]);
    let mut table = Table::default();
    say(&mut router, &mut table, &announcements(paths));
    assert_eq!(table.0.len(), due.len());
    for ((prefix, told), (expected, path)) in table.0.iter().zip(&due) {
        let mut path = Segments::clone(path);
        path[0].1.insert(0, OWN.asn);
        assert_eq!((prefix, segments(&told.attributes[&AS_PATH].1, 4)), (*expected, path));
    }
    let full = router.snapshot();
    let (all, accepted) = (paths.len(), due.len());
    assert_eq!(counts(&full), [all, all, accepted, accepted], "destinations, received, accepted, advertised");

    say(&mut router, &mut table, &withdrawals(paths));
    assert_eq!(table.0.len(), 0);
    let empty = router.snapshot();
    assert_eq!((counts(&empty), empty.attribute_sets), ([0; 4], 0));
}

/// The sender says it in bursts, so that withdrawals and announcements are not all that the receiver ever has pending.
fn say(router: &mut Router, table: &mut Table, stream: &[u8]) {
    let messages: Vec<&[u8]> = update::messages(stream).collect();
    for burst in messages.chunks(BURST) {
        assert_eq!(router.hears(burst.concat()), None, "{:?}", router.notes);
        for message in update::messages(&router.tells(0)) {
            table.take(message);
        }
    }
}

/// Destinations, and over all peers: received, accepted, advertised.
fn counts(snapshot: &Snapshot) -> [usize; 4] {
    let destinations = snapshot.destinations.iter().map(|(_, count)| count).sum();
    let mut counts = [destinations, 0, 0, 0];
    for family in snapshot.peers.iter().flat_map(|peer| &peer.families) {
        counts[1] += family.received;
        counts[2] += family.accepted;
        counts[3] += family.advertised;
    }
    counts
}

fn announcements(paths: &Paths) -> Vec<u8> {
    let mut alike: BTreeMap<(Family, &Segments), Vec<IpNet>> = BTreeMap::new();
    for (prefix, path) in paths {
        alike.entry((Family::of(prefix), path)).or_default().push(*prefix);
    }
    let mut stream = Vec::new();
    for ((family, path), prefixes) in alike {
        let mut attributes = Vec::new();
        write_attribute(&mut attributes, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
        write_attribute(&mut attributes, flag::TRANSITIVE, attr_code::AS_PATH, &path_value(path, 4));
        let next_hop = match family {
            Family::Ipv4Unicast => NextHop::V4([192, 0, 2, 2].into()),
            Family::Ipv6Unicast => NextHop::V6 { global: "2001:db8:ffff::2".parse().unwrap(), link_local: None },
        };
        encode_reach(&mut stream, MAX_LEN, &attributes, &next_hop, family, prefixes.into_iter());
    }
    stream
}

fn withdrawals(paths: &Paths) -> Vec<u8> {
    let mut stream = Vec::new();
    for family in Family::ALL {
        encode_unreach(&mut stream, MAX_LEN, family, paths.keys().copied());
    }
    stream
}

/// Deterministic, and spread over the whole table.
fn sampled(paths: Paths) -> Paths {
    if paths.len() < 10_000 { paths } else { paths.into_iter().step_by(SAMPLE).collect() }
}

#[test]
fn a_table_of_today_comes_and_goes() {
    let paths = sampled(today(COLLECTED.asn));
    pass(Sender { enforce_first_as: true, ..COLLECTED }, &paths);
}

#[test]
fn the_paths_of_2002_come_and_go() {
    let paths = sampled(of_2002());
    assert!(paths.values().any(|path| path.iter().any(|(kind, _)| *kind == 1)), "AS_SETs were common then");
    pass(COLLECTED, &paths);
    pass(Sender { asn: 1853, enforce_first_as: true, ..COLLECTED }, &paths);
}

#[test]
#[ignore = "a minute or two without optimisation: the tests above take every eighth prefix"]
fn whole_tables_come_and_go() {
    pass(Sender { enforce_first_as: true, ..COLLECTED }, &today(COLLECTED.asn));
    pass(COLLECTED, &of_2002());
}
