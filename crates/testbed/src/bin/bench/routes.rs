//! Tables as a feeder sends them: the lengths, neighbourhoods and shared attributes of a public table, from a seed.
//!
//! Feeder, sink and watcher of a run share one [`Table`]. Prefixes that share a path are one [`Set`]; sets come in
//! no order, as they do from a peer. [`Membership`] says in constant time whether a prefix belongs to a table, and
//! which of them a peer holds.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use testbed::Family;

/// A prefix; the address stands at the left end of the number, IPv4 in its first 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prefix {
    pub(crate) bits: u128,
    pub(crate) length: u8,
}

impl Prefix {
    pub(crate) fn v4(address: u32, length: u8) -> Self {
        Self { bits: u128::from(address) << 96, length }
    }

    /// The next one of the same length.
    fn next(self) -> Self {
        Self { bits: self.bits.wrapping_add(1 << (128 - u32::from(self.length))), length: self.length }
    }

    /// How many octets of the address a message has.
    pub(crate) fn octets(self) -> usize {
        usize::from(self.length).div_ceil(8)
    }

    pub(crate) fn show(self, family: Family) -> String {
        match family {
            Family::Ipv4 => format!("{}/{}", Ipv4Addr::from((self.bits >> 96) as u32), self.length),
            Family::Ipv6 => format!("{}/{}", Ipv6Addr::from(self.bits), self.length),
        }
    }
}

/// Prefixes with one set of attributes.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) members: Range<usize>,
    /// ASes behind the feeder's own.
    pub(crate) path: Vec<u32>,
    pub(crate) communities: Vec<u32>,
    pub(crate) med: Option<u32>,
}

/// What a feeder sends.
pub(crate) struct Table {
    pub(crate) family: Family,
    pub(crate) prefixes: Vec<Prefix>,
    /// In the order of sending.
    pub(crate) sets: Vec<Set>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} prefixes in {} sets", self.prefixes.len(), self.sets.len())
    }
}

/// Prefixes per set of attributes, on average.
const SHARE: f64 = 6.0;
/// ASes behind the feeder's, on average, and at most.
const PATH: (f64, usize) = (4.5, 12);
/// Communities of a set, on average, and at most.
const COMMUNITIES: (f64, usize) = (3.0, 24);
/// Of a hundred prefixes, those that directly follow the one before.
const NEIGHBOURS: u64 = 70;

/// Shares of the prefix lengths of a public table, in thousandths or about.
const LENGTHS_V4: [(u8, u64); 12] = [
    (24, 600),
    (23, 98),
    (22, 113),
    (21, 52),
    (20, 44),
    (19, 26),
    (18, 14),
    (17, 8),
    (16, 13),
    (15, 2),
    (14, 1),
    (13, 1),
];
const LENGTHS_V6: [(u8, u64); 9] =
    [(48, 460), (32, 120), (44, 100), (40, 90), (36, 60), (33, 40), (29, 40), (46, 30), (47, 20)];
/// First sixteen bits of IPv6 prefixes.
const TOPS_V6: [u128; 5] = [0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];

impl Table {
    /// `n` different prefixes, like those of a public table.
    pub(crate) fn public(family: Family, n: usize) -> Self {
        let mut random = Random::new(n as u64);
        let mut table = Self { family, prefixes: Vec::with_capacity(n), sets: Vec::new() };
        let mut seen = HashSet::with_capacity(n);
        while table.prefixes.len() < n {
            let start = table.prefixes.len();
            let wanted = random.geometric(SHARE).min(n - start);
            let mut last: Option<Prefix> = None;
            while table.prefixes.len() < start + wanted {
                let prefix = match last {
                    Some(last) if random.below(100) < NEIGHBOURS => last.next(),
                    Some(_) | None => random.prefix(family),
                };
                last = (routable(family, prefix) && seen.insert(prefix)).then_some(prefix);
                table.prefixes.extend(last);
            }
            let set = random.attributes(start..table.prefixes.len());
            table.sets.push(set);
        }
        for i in (1..table.sets.len()).rev() {
            let j = random.below(i as u64 + 1) as usize;
            table.sets.swap(i, j);
        }
        table
    }

    /// `n` addresses of services with one set of attributes, as a load balancer announces them; `index` tells
    /// the tables of several speakers apart.
    pub(crate) fn services(index: u32, n: u32) -> Self {
        let base = 0xac14_0000 + index * n;
        let prefixes: Vec<_> = (0..n).map(|i| Prefix::v4(base + i, 32)).collect();
        let set = Set { members: 0..prefixes.len(), path: Vec::new(), communities: Vec::new(), med: None };
        Self { family: Family::Ipv4, prefixes, sets: vec![set] }
    }

    /// The tables of several speakers as one.
    pub(crate) fn joined(tables: &[Self]) -> Self {
        let mut all = Self { family: Family::Ipv4, prefixes: Vec::new(), sets: Vec::new() };
        for table in tables {
            let start = all.prefixes.len();
            all.prefixes.extend(&table.prefixes);
            all.sets.extend(table.sets.iter().map(|set| {
                let members = start + set.members.start..start + set.members.end;
                Set { members, ..set.clone() }
            }));
        }
        all
    }

    /// Prefixes in the order of sending.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.sets.iter().flat_map(|set| self.members(set)).copied()
    }

    pub(crate) fn members(&self, set: &Set) -> &[Prefix] {
        &self.prefixes[set.members.clone()]
    }
}

/// Neither special nor one that a site or a probe uses.
fn routable(family: Family, prefix: Prefix) -> bool {
    match family {
        Family::Ipv4 => {
            let first = prefix.bits >> 120;
            (1..224).contains(&first) && ![10, 100, 127, 169, 172, 192, 198].contains(&first)
        }
        Family::Ipv6 => prefix.bits >> 125 == 1,
    }
}

/// How many probes there are.
pub(crate) const PROBES: u32 = 16_384;

/// Prefix `i` of those that are announced one at a time; no table has it.
pub(crate) fn probe(i: u32) -> Prefix {
    Prefix::v4(0x6440_0000 + ((i % PROBES) << 8), 24)
}

/// Which probe it is.
pub(crate) fn probe_index(prefix: Prefix) -> Option<u32> {
    let address = (prefix.bits >> 96) as u32;
    (prefix.length == 24 && address >> 22 == 0x6440_0000 >> 22).then_some((address >> 8) & (PROBES - 1))
}

/// SplitMix64: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// At least 1, with this mean.
    fn geometric(&mut self, mean: f64) -> usize {
        let unit = ((self.next() >> 11) as f64 / (1u64 << 53) as f64).max(1e-12);
        1 + (unit.ln() / (1.0 - 1.0 / mean).ln()) as usize
    }

    fn prefix(&mut self, family: Family) -> Prefix {
        let (bits, lengths) = match family {
            Family::Ipv4 => (u128::from(self.next()) << 64, &LENGTHS_V4[..]),
            Family::Ipv6 => {
                let top = TOPS_V6[self.below(TOPS_V6.len() as u64) as usize] + u128::from(self.below(16));
                (top << 112 | u128::from(self.next()) << 48, &LENGTHS_V6[..])
            }
        };
        let mut ticket = self.below(lengths.iter().map(|(_, share)| share).sum());
        let length = lengths.iter().find(|(_, share)| {
            let drawn = ticket < *share;
            ticket = ticket.saturating_sub(*share);
            drawn
        });
        let length = length.map_or(24, |(length, _)| *length);
        let unused = 128 - u32::from(length);
        Prefix { bits: bits >> unused << unused, length }
    }

    fn attributes(&mut self, members: Range<usize>) -> Set {
        let hops = self.geometric(PATH.0).min(PATH.1);
        let path = (0..hops).map(|_| 1000 + self.below(390_000) as u32).collect();
        let count = (self.geometric(COMMUNITIES.0 + 1.0) - 1).min(COMMUNITIES.1);
        let mut communities: Vec<_> =
            (0..count).map(|_| (3000 + self.below(40) as u32) << 16 | self.below(4000) as u32).collect();
        communities.sort_unstable();
        communities.dedup();
        let med = (self.below(4) == 0).then(|| self.below(200) as u32);
        Set { members, path, communities, med }
    }
}

/// Which prefixes of a table somebody holds.
#[derive(Debug)]
pub(crate) struct Membership {
    /// IPv4 prefixes up to /24, as a tree laid out by levels: whether expected, whether held.
    expected: Vec<u64>,
    held: Vec<u64>,
    others: HashMap<Prefix, bool>,
    /// How many are held.
    pub(crate) have: usize,
    /// How many there are.
    pub(crate) total: usize,
    short: bool,
}

/// What a prefix meant to a [`Membership`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was not so before.
    New,
    /// It was so before.
    Repeated,
    /// The table has no such prefix.
    Unknown,
}

impl Membership {
    pub(crate) fn of(table: &Table) -> Self {
        let short = table.family == Family::Ipv4;
        let words = if short { (1 << 25) / 64 } else { 0 };
        let mut new = Self {
            expected: vec![0; words],
            held: vec![0; words],
            others: HashMap::new(),
            have: 0,
            total: table.prefixes.len(),
            short,
        };
        for prefix in &table.prefixes {
            match new.place(*prefix) {
                Some((word, bit)) => new.expected[word] |= bit,
                None => drop(new.others.insert(*prefix, false)),
            }
        }
        new
    }

    fn place(&self, prefix: Prefix) -> Option<(usize, u64)> {
        if !self.short || prefix.length > 24 {
            return None;
        }
        let path = if prefix.length == 0 { 0 } else { (prefix.bits >> (128 - u32::from(prefix.length))) as usize };
        let node = (1 << prefix.length) + path;
        Some((node / 64, 1 << (node % 64)))
    }

    pub(crate) fn set(&mut self, prefix: Prefix, held: bool) -> Change {
        if let Some((word, bit)) = self.place(prefix) {
            if self.expected[word] & bit == 0 {
                return Change::Unknown;
            }
            if (self.held[word] & bit != 0) == held {
                return Change::Repeated;
            }
            self.held[word] ^= bit;
        } else {
            match self.others.get_mut(&prefix) {
                None => return Change::Unknown,
                Some(now) if *now == held => return Change::Repeated,
                Some(now) => *now = held,
            }
        }
        self.have = if held { self.have + 1 } else { self.have - 1 };
        Change::New
    }

    /// Nothing is held: a session has ended.
    pub(crate) fn clear(&mut self) {
        self.held.fill(0);
        self.others.values_mut().for_each(|held| *held = false);
        self.have = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_table_has_as_many_different_prefixes_as_asked_for() {
        for family in Family::ALL {
            let table = Table::public(family, 5000);
            let different: HashSet<_> = table.in_order().collect();
            assert_eq!(different.len(), 5000);
            assert!(different.iter().all(|p| p.bits << p.length == 0 && probe_index(*p).is_none()));
            assert!((600..1200).contains(&table.sets.len()), "{table:?}");
        }
    }

    #[test]
    fn a_membership_tells_new_repeated_and_unknown_prefixes_apart() {
        let table =
            Table { prefixes: vec![Prefix::v4(0x0100_0000, 24), Prefix::v4(0xac14_0001, 32)], ..Table::services(0, 1) };
        let mut member = Membership::of(&table);
        for prefix in &table.prefixes {
            assert_eq!(member.set(*prefix, true), Change::New);
            assert_eq!(member.set(*prefix, true), Change::Repeated);
        }
        assert_eq!(member.set(Prefix::v4(0x0100_0000, 23), true), Change::Unknown);
        assert_eq!((member.have, member.total), (2, 2));
        member.clear();
        assert_eq!(member.set(table.prefixes[0], false), Change::Repeated);
    }

    #[test]
    fn probes_are_recognised() {
        assert_eq!(probe_index(probe(77)), Some(77));
        assert_eq!(probe_index(Prefix::v4(0x6440_0000, 25)), None);
    }
}
