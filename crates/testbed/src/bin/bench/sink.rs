//! What a speaker was told, and whether it is right.
//!
//! Every announcement must name a prefix of the table, our neighbour's address as next hop, and a path that begins
//! with the router's AS and then the feeder's; of a part of them the whole path and the communities are compared.
//! The first thing that is wrong is kept as a sentence, and fails the row.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use testbed::Family;

use crate::bgp::{self, Update};
use crate::routes::{self, Change, Membership, Prefix, Table};

/// One in so many prefixes is compared with all its attributes.
const SAMPLED: usize = 32;

/// What is to come from the router.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) table: Arc<Table>,
    /// AS of the router, then of whoever feeds it.
    pub(crate) ases: [u32; 2],
    /// The router's address, which every route must have as next hop.
    pub(crate) next_hop: IpAddr,
}

/// A probe that came or went: its number, which of both, and when the octets were read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probed {
    pub(crate) index: u32,
    pub(crate) up: bool,
    pub(crate) at: Instant,
}

#[derive(Debug)]
pub(crate) struct Sink {
    expected: Expected,
    held: Membership,
    /// Set of the sampled prefixes.
    sampled: HashMap<Prefix, usize>,
    /// When the first and the last expected route came (or went), since [`Self::watch`].
    pub(crate) first: Option<Instant>,
    pub(crate) last: Option<Instant>,
    /// Whether routes are expected to come, or to go.
    coming: bool,
    /// Prefixes in announcements, and those of them that were held already.
    pub(crate) announced: usize,
    pub(crate) repeated: usize,
    /// Octets of UPDATEs.
    pub(crate) octets: usize,
    pub(crate) probes: Vec<Probed>,
    /// The first thing that was wrong.
    pub(crate) wrong: Option<String>,
}

impl Sink {
    pub(crate) fn new(expected: Expected) -> Self {
        let held = Membership::of(&expected.table);
        let mut sampled = HashMap::new();
        for (i, set) in expected.table.sets.iter().enumerate().step_by(SAMPLED) {
            sampled.extend(expected.table.members(set).iter().map(|prefix| (*prefix, i)));
        }
        Self {
            expected,
            held,
            sampled,
            first: None,
            last: None,
            coming: true,
            announced: 0,
            repeated: 0,
            octets: 0,
            probes: Vec::new(),
            wrong: None,
        }
    }

    /// From here on, routes come (or go): forgets times and counts.
    pub(crate) fn watch(&mut self, coming: bool) {
        self.coming = coming;
        (self.first, self.last) = (None, None);
        (self.announced, self.repeated, self.octets) = (0, 0, 0);
        self.probes.clear();
    }

    /// Whether every route has come (or gone), and nothing was wrong so far.
    pub(crate) fn complete(&self) -> bool {
        self.held.have == if self.coming { self.held.total } else { 0 }
    }

    /// What is held and what was expected, for a sentence.
    pub(crate) fn progress(&self) -> String {
        format!("{} of {} routes are at the peer", self.held.have, self.held.total)
    }

    pub(crate) fn session_ended(&mut self) {
        self.held.clear();
    }

    /// The body of an UPDATE that was read at `at`.
    pub(crate) fn take(&mut self, body: &[u8], at: Instant) {
        self.octets += bgp::HEADER + body.len();
        let Some(update) = Update::read(body) else {
            return self.complain(|| "an UPDATE whose lengths do not add up".to_owned());
        };
        if update.is_end_of_rib() || self.held.total == 0 {
            return;
        }
        for prefix in bgp::prefixes(update.withdrawn) {
            self.change(prefix, false, at);
        }
        if !update.announced.is_empty() {
            self.check(&update);
        }
        for prefix in bgp::prefixes(update.announced) {
            self.announced += 1;
            self.change(prefix, true, at);
            if let Some(set) = prefix.and_then(|prefix| self.sampled.get(&prefix)) {
                self.compare(&update, *set);
            }
        }
    }

    fn change(&mut self, prefix: Option<Prefix>, up: bool, at: Instant) {
        let Some(prefix) = prefix else {
            return self.complain(|| "a prefix that is cut off".to_owned());
        };
        if let Some(index) = routes::probe_index(prefix) {
            self.probes.push(Probed { index, up, at });
            return;
        }
        match self.held.set(prefix, up) {
            Change::New => {
                self.first = self.first.or(Some(at));
                if self.complete() {
                    self.last = Some(at);
                }
            }
            Change::Repeated => self.repeated += usize::from(up),
            Change::Unknown if up => {
                let family = self.expected.table.family;
                self.complain(|| format!("{} was announced, which nobody sent", prefix.show(family)));
            }
            Change::Unknown => {}
        }
    }

    /// What every announcement must have.
    fn check(&mut self, update: &Update<'_>) {
        let right = match self.expected.next_hop {
            IpAddr::V4(address) => update.next_hop == address.octets(),
            IpAddr::V6(address) => update.next_hop == address.octets(),
        };
        if !right {
            let seen = update.next_hop.to_vec();
            self.complain(|| format!("next hop {seen:?} is not the router's address"));
        }
        let begins = update.ases().is_some_and(|ases| ases.take(2).eq(self.expected.ases));
        if !begins {
            let (seen, ases) = (update.path.to_vec(), self.expected.ases);
            self.complain(|| format!("AS_PATH {seen:?} does not begin with {ases:?}"));
        }
    }

    /// The whole path and the communities of a prefix whose set we know.
    fn compare(&mut self, update: &Update<'_>, set: usize) {
        let set = &self.expected.table.sets[set];
        let path = self.expected.ases.iter().chain(&set.path).copied();
        let communities = set.communities.iter().copied();
        let same = update.ases().is_some_and(|ases| ases.eq(path))
            && update.communities.chunks(4).map(bgp::number).eq(communities);
        if !same {
            let (seen, wanted) = (update.path.to_vec(), set.path.clone());
            self.complain(|| format!("attributes differ: AS_PATH {seen:?}, sent with {wanted:?}"));
        }
    }

    fn complain(&mut self, sentence: impl FnOnce() -> String) {
        self.wrong.get_or_insert_with(sentence);
    }
}

/// The family that a table's sessions carry.
pub(crate) fn family(expected: &Expected) -> Family {
    expected.table.family
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sink(ases: [u32; 2]) -> (Sink, Arc<Table>) {
        let table = Arc::new(Table::public(Family::Ipv4, 500));
        let next_hop = "192.0.2.1".parse().unwrap();
        (Sink::new(Expected { table: Arc::clone(&table), ases, next_hop }), table)
    }

    fn feed(sink: &mut Sink, mut stream: &[u8]) {
        while let [_, rest @ ..] = stream {
            let length = usize::from(u16::from_be_bytes([rest[15], rest[16]]));
            sink.take(&stream[bgp::HEADER..length], Instant::now());
            stream = &stream[length..];
        }
    }

    /// As a router would pass it on: its own AS before the feeder's.
    fn passed_on(table: &Table, router: u32, local: &str) -> Vec<u8> {
        let sets: Vec<_> =
            table.sets.iter().map(|s| routes::Set { path: [&[2][..], &s.path].concat(), ..s.clone() }).collect();
        bgp::announce(table, &sets, router, local.parse().unwrap())
    }

    #[test]
    fn a_right_table_is_complete_and_nothing_is_wrong() {
        let (mut sink, table) = sink([1, 2]);
        feed(&mut sink, &passed_on(&table, 1, "192.0.2.1"));
        assert_eq!((sink.held.have, sink.repeated, &sink.wrong), (500, 0, &None));
        assert!(sink.complete() && sink.last.is_some());
    }

    #[test]
    fn another_next_hop_another_path_and_an_unknown_prefix_are_wrong() {
        for (router, local) in [(1, "192.0.2.9"), (7, "192.0.2.1")] {
            let (mut sink, table) = sink([1, 2]);
            feed(&mut sink, &passed_on(&table, router, local));
            assert!(sink.wrong.is_some());
        }
        let (mut sink, _) = sink([1, 2]);
        feed(&mut sink, &passed_on(&Table::services(0, 1), 1, "192.0.2.1"));
        assert!(sink.wrong.unwrap().contains("which nobody sent"));
    }
}
