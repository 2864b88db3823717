//! COMMUNITIES (RFC 1997), EXTENDED_COMMUNITIES (RFC 4360, 5668) and LARGE_COMMUNITIES (RFC 8092): their values one by
//! one, and each as an operator writes it.

use std::fmt;
use std::net::Ipv4Addr;

/// The communities in a valid value.
pub fn communities(value: &[u8]) -> impl Iterator<Item = u32> {
    value.as_chunks().0.iter().map(|community| u32::from_be_bytes(*community))
}

/// The extended communities in a valid value.
pub fn extended_communities(value: &[u8]) -> impl Iterator<Item = [u8; 8]> {
    value.as_chunks().0.iter().copied()
}

/// The large communities in a valid value: global administrator and the two local parts.
pub fn large_communities(value: &[u8]) -> impl Iterator<Item = (u32, u32, u32)> {
    let number = |octets: &[u8; 4]| u32::from_be_bytes(*octets);
    value.as_chunks::<12>().0.iter().filter_map(move |community| match community.as_chunks().0 {
        [global, local_1, local_2] => Some((number(global), number(local_1), number(local_2))),
        _ => None,
    })
}

/// Displays as `65000:1`, or by name: `no-export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl Community {
    /// RFC 8326: prefer other paths, this one goes away soon.
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// RFC 9494
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// RFC 9494
    pub const NO_LLGR: Self = Self(0xffff_0007);
    /// RFC 7999
    pub const BLACKHOLE: Self = Self(0xffff_029a);
    /// RFC 1997: not out of the AS (or confederation).
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    /// RFC 1997: to nobody.
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    /// RFC 1997: not out of the member AS either.
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);
    /// RFC 3765
    pub const NO_PEER: Self = Self(0xffff_ff04);
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::GRACEFUL_SHUTDOWN => "graceful-shutdown",
            Self::LLGR_STALE => "llgr-stale",
            Self::NO_LLGR => "no-llgr",
            Self::BLACKHOLE => "blackhole",
            Self::NO_EXPORT => "no-export",
            Self::NO_ADVERTISE => "no-advertise",
            Self::NO_EXPORT_SUBCONFED => "no-export-subconfed",
            Self::NO_PEER => "no-peer",
            Self(other) => return write!(f, "{}:{}", other >> 16, other & 0xffff),
        })
    }
}

/// Displays as `rt:65000:1` (route target), `soo:10.0.0.1:1` (route origin), or the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedCommunity(pub [u8; 8]);

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, subtype, a, b, c, d, e, g] = self.0;
        // The transitive ones only: a route target that is not transitive is something else.
        let name = match (kind, subtype) {
            (0..=2, 2) => "rt",
            (0..=2, 3) => "soo",
            _ => return write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        };
        match kind {
            0 => write!(f, "{name}:{}:{}", u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g])),
            1 => write!(f, "{name}:{}:{}", Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([e, g])),
            _ => write!(f, "{name}:{}:{}", u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, g])),
        }
    }
}

/// Displays as `1:2:3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity(pub u32, pub u32, pub u32);

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
#[path = "community_tests.rs"]
mod tests;
