//! Path attributes: walking them, and reading and writing the value of each (RFC 4271 4.3 and 5).
//!
//! Owns type codes, flags, the attribute header and, in the modules below, the values with structure. Everything here is
//! told bytes that are *already valid*, mostly canonical sets, and is lenient: what makes no sense ends an iteration.
//! Judging what a peer sent is `update::decode`'s work.

mod aggregator;
mod as_path;
mod community;
pub(crate) mod merge;
mod narrow;

pub use aggregator::{Aggregator, write_aggregator, write_as4_aggregator};
pub use as_path::{
    AsPath, Asns, Segment, SegmentKind, Segments, needs_as4_path, prepend, write_as_path, write_as4_path,
};
pub(crate) use as_path::{PathError, validate as validate_as_path};
pub use community::{
    Community, ExtendedCommunity, LargeCommunity, communities, extended_communities, large_communities,
};
pub use narrow::write_two_octet;

use std::fmt;

/// Attribute type codes.
pub mod attr_code {
    #![allow(missing_docs, reason = "the names are those of the registry")]
    pub const ORIGIN: u8 = 1;
    pub const AS_PATH: u8 = 2;
    pub const NEXT_HOP: u8 = 3;
    pub const MED: u8 = 4;
    pub const LOCAL_PREF: u8 = 5;
    pub const ATOMIC_AGGREGATE: u8 = 6;
    pub const AGGREGATOR: u8 = 7;
    /// RFC 1997
    pub const COMMUNITIES: u8 = 8;
    /// RFC 4456
    pub const ORIGINATOR_ID: u8 = 9;
    /// RFC 4456
    pub const CLUSTER_LIST: u8 = 10;
    /// RFC 4760
    pub const MP_REACH: u8 = 14;
    /// RFC 4760
    pub const MP_UNREACH: u8 = 15;
    /// RFC 4360
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    /// RFC 6793
    pub const AS4_PATH: u8 = 17;
    /// RFC 6793
    pub const AS4_AGGREGATOR: u8 = 18;
    /// RFC 8092
    pub const LARGE_COMMUNITIES: u8 = 32;
    /// RFC 9234
    pub const OTC: u8 = 35;

    /// As the specification of the attribute writes it; `None` for one that we do not know.
    pub const fn name(code: u8) -> Option<&'static str> {
        Some(match code {
            ORIGIN => "ORIGIN",
            AS_PATH => "AS_PATH",
            NEXT_HOP => "NEXT_HOP",
            MED => "MULTI_EXIT_DISC",
            LOCAL_PREF => "LOCAL_PREF",
            ATOMIC_AGGREGATE => "ATOMIC_AGGREGATE",
            AGGREGATOR => "AGGREGATOR",
            COMMUNITIES => "COMMUNITIES",
            ORIGINATOR_ID => "ORIGINATOR_ID",
            CLUSTER_LIST => "CLUSTER_LIST",
            MP_REACH => "MP_REACH_NLRI",
            MP_UNREACH => "MP_UNREACH_NLRI",
            EXTENDED_COMMUNITIES => "EXTENDED_COMMUNITIES",
            AS4_PATH => "AS4_PATH",
            AS4_AGGREGATOR => "AS4_AGGREGATOR",
            LARGE_COMMUNITIES => "LARGE_COMMUNITIES",
            OTC => "OTC",
            _ => return None,
        })
    }
}

/// Attribute flags (RFC 4271 4.3).
pub mod flag {
    /// Not well-known.
    pub const OPTIONAL: u8 = 0x80;
    /// Passed on also by those who do not know it.
    pub const TRANSITIVE: u8 = 0x40;
    /// Somebody on the way did not know it.
    pub const PARTIAL: u8 = 0x20;
    /// The length has two octets.
    pub const EXTENDED_LENGTH: u8 = 0x10;
}

/// Flags of well-known attributes.
pub(crate) const WELL_KNOWN: u8 = flag::TRANSITIVE;
/// Flags of optional transitive ones.
pub(crate) const OPTIONAL_TRANSITIVE: u8 = flag::OPTIONAL | flag::TRANSITIVE;

/// One attribute, value not interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttr<'a> {
    /// See [`flag`].
    pub flags: u8,
    /// See [`attr_code`].
    pub code: u8,
    /// At most 65535 octets.
    pub value: &'a [u8],
}

/// The attributes in bytes that are already valid, such as a canonical set. Ends with the bytes, or at the first one that
/// makes no sense.
pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes { bytes }
}

/// The first attribute with this code, in bytes that are already valid.
pub fn attribute(bytes: &[u8], code: u8) -> Option<RawAttr<'_>> {
    attributes(bytes).find(|attribute| attribute.code == code)
}

/// See [`attributes`].
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// What has not been walked.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = RawAttr<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawAttr<'a>> {
        let (&[flags, code], rest) = self.bytes.split_first_chunk()?;
        let (len, rest) = if flags & flag::EXTENDED_LENGTH == 0 {
            let (&len, rest) = rest.split_first()?;
            (usize::from(len), rest)
        } else {
            let (&len, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(len)), rest)
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.bytes = rest;
        Some(RawAttr { flags, code, value })
    }
}

/// Appends an attribute; [`flag::EXTENDED_LENGTH`] is set when the value is longer than 255 octets, and only then.
/// A value beyond 65535 octets cannot be said: then nothing is appended.
pub fn write_attribute(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) {
    let flags = flags & !flag::EXTENDED_LENGTH;
    if let Ok(len) = u8::try_from(value.len()) {
        out.extend_from_slice(&[flags, code, len]);
    } else if let Ok(len) = u16::try_from(value.len()) {
        let [hi, lo] = len.to_be_bytes();
        out.extend_from_slice(&[flags | flag::EXTENDED_LENGTH, code, hi, lo]);
    } else {
        return;
    }
    out.extend_from_slice(value);
}

/// As [`write_attribute`], for values made on the way.
pub(crate) fn write_attribute_with(out: &mut Vec<u8>, flags: u8, code: u8, value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    let flags = flags & !flag::EXTENDED_LENGTH;
    out.extend_from_slice(&[flags, code, 0]);
    let value_at = out.len();
    value(out);
    let len = out.len() - value_at;
    if let Ok(short) = u8::try_from(len) {
        out[start + 2] = short;
    } else if let Ok(long) = u16::try_from(len) {
        let [hi, lo] = long.to_be_bytes();
        out[start] = flags | flag::EXTENDED_LENGTH;
        out[start + 2] = hi;
        out.insert(value_at, lo);
    } else {
        out.truncate(start);
    }
}

/// How the information came to the AS that originated it (RFC 4271 5.1.1). The order is the order of preference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Origin {
    /// From within.
    Igp = 0,
    /// From the EGP of old.
    Egp = 1,
    /// Some other way.
    Incomplete = 2,
}

/// A value that ORIGIN does not define.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("origin {0} is not defined")]
pub struct UnknownOrigin(pub u8);

impl Origin {
    /// In lower case, as operators write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Igp => "igp",
            Self::Egp => "egp",
            Self::Incomplete => "incomplete",
        }
    }
}

impl TryFrom<u8> for Origin {
    type Error = UnknownOrigin;

    fn try_from(value: u8) -> Result<Self, UnknownOrigin> {
        match value {
            0 => Ok(Self::Igp),
            1 => Ok(Self::Egp),
            2 => Ok(Self::Incomplete),
            other => Err(UnknownOrigin(other)),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
