//! The attributes of one UPDATE that are kept, and their canonical spelling.

use std::collections::BTreeSet;

use crate::attr::merge::merge;
use crate::attr::{
    Aggregator, AsPath, OPTIONAL_TRANSITIVE, RawAttr, WELL_KNOWN, attr_code, attributes, flag, write_aggregator,
    write_as_path, write_attribute, write_attribute_with,
};
use crate::open::AS_TRANS;

/// A set of type codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Codes([u64; 4]);

impl Codes {
    pub(super) fn insert(&mut self, code: u8) {
        self.0[usize::from(code >> 6)] |= 1 << (code & 63);
    }

    pub(super) fn contains(&self, code: u8) -> bool {
        self.0[usize::from(code >> 6)] & (1 << (code & 63)) != 0
    }
}

/// The attributes as they came, and which of them stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a> {
    /// All of them, walkable up to the last one in `kept`.
    pub(super) bytes: &'a [u8],
    /// Those that go into the canonical set; of each the first.
    pub(super) kept: Codes,
    /// Whether `kept` ones stand in ascending order and once each.
    pub(super) ascending: bool,
    /// Whether AS numbers stand in four octets.
    pub(super) four_octet: bool,
    /// Valid, and from a two-octet session.
    pub(super) as4_path: Option<AsPath<'a>>,
    /// Valid, and from a two-octet session.
    pub(super) as4_aggregator: Option<Aggregator>,
}

impl<'a> Attributes<'a> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let as4 = self.as4();
        if self.ascending {
            for attribute in attributes(self.bytes).filter(|attribute| self.kept.contains(attribute.code)) {
                self.write_one(out, attribute, as4);
            }
            return;
        }
        for attribute in self.sorted().iter().filter_map(|at| self.at(*at)) {
            self.write_one(out, attribute, as4);
        }
    }

    /// For each code, where its first attribute stands, plus one; on the stack.
    fn sorted(&self) -> [u16; 256] {
        let mut sorted = [0; 256];
        let mut walk = attributes(self.bytes);
        let mut at = 0;
        while let Some(RawAttr { code, .. }) = walk.next() {
            let place = &mut sorted[usize::from(code)];
            if *place == 0 && self.kept.contains(code) {
                *place = u16::try_from(at + 1).unwrap_or(0);
            }
            at = self.bytes.len() - walk.rest().len();
        }
        sorted
    }

    fn at(&self, place: u16) -> Option<RawAttr<'a>> {
        let start = usize::from(place.checked_sub(1)?);
        attributes(self.bytes.get(start..)?).next()
    }

    /// AS4_PATH and AS4_AGGREGATOR as far as they apply (RFC 6793 4.2.3): an AGGREGATOR whose AS is not AS_TRANS was made
    /// by somebody who did not see them, and makes both void.
    fn as4(&self) -> (Option<AsPath<'a>>, Option<Aggregator>) {
        if self.as4_path.is_none() && self.as4_aggregator.is_none() {
            return (None, None);
        }
        let aggregator = if self.kept.contains(attr_code::AGGREGATOR) {
            attributes(self.bytes)
                .find(|attribute| attribute.code == attr_code::AGGREGATOR)
                .and_then(|attribute| Aggregator::from_value(attribute.value))
        } else {
            None
        };
        match (aggregator, self.as4_aggregator) {
            (Some(aggregator), Some(_)) if aggregator.asn != u32::from(AS_TRANS) => (None, None),
            _ => (self.as4_path, self.as4_aggregator),
        }
    }

    fn write_one(&self, out: &mut Vec<u8>, attribute: RawAttr<'a>, as4: (Option<AsPath<'a>>, Option<Aggregator>)) {
        let RawAttr { flags, code, value } = attribute;
        match code {
            attr_code::AS_PATH if self.four_octet => write_as_path(out, AsPath::new(value), true),
            attr_code::AS_PATH => write_attribute_with(out, WELL_KNOWN, code, |out| {
                merge(out, AsPath::two_octet(value), as4.0);
            }),
            attr_code::AGGREGATOR => {
                if let Some(aggregator) = as4.1.or_else(|| Aggregator::from_value(value)) {
                    write_aggregator(out, flags, aggregator, true);
                }
            }
            attr_code::LARGE_COMMUNITIES => write_large_communities(out, normal_flags(flags), value),
            _ => write_attribute(out, normal_flags(flags), code, value),
        }
    }
}

/// Each value once, the first of it (RFC 8092 3).
fn write_large_communities(out: &mut Vec<u8>, flags: u8, value: &[u8]) {
    let values = value.as_chunks::<12>().0;
    if !has_repeats(values) {
        return write_attribute(out, flags, attr_code::LARGE_COMMUNITIES, value);
    }
    let mut seen = BTreeSet::new();
    write_attribute_with(out, flags, attr_code::LARGE_COMMUNITIES, |out| {
        for value in values.iter().filter(|value| seen.insert(**value)) {
            out.extend_from_slice(value);
        }
    });
}

/// Few are compared with each other. Of many, which the sender chooses, that would be too much work.
fn has_repeats(values: &[[u8; 12]]) -> bool {
    if values.len() <= 32 {
        values.iter().enumerate().any(|(i, value)| values[..i].contains(value))
    } else {
        let mut seen = BTreeSet::new();
        !values.iter().all(|value| seen.insert(value))
    }
}

/// Only optional transitive attributes may be partial (RFC 4271 4.3); the low four bits mean nothing.
fn normal_flags(flags: u8) -> u8 {
    let kind = flags & OPTIONAL_TRANSITIVE;
    if kind == OPTIONAL_TRANSITIVE { flags & (OPTIONAL_TRANSITIVE | flag::PARTIAL) } else { kind }
}
