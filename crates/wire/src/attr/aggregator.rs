//! AGGREGATOR (RFC 4271 5.1.7) and AS4_AGGREGATOR (RFC 6793).

use std::fmt;
use std::net::Ipv4Addr;

use super::{OPTIONAL_TRANSITIVE, attr_code, flag, write_attribute};
use crate::open::AS_TRANS;

/// Who aggregated a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aggregator {
    /// Its AS.
    pub asn: u32,
    /// Its BGP identifier.
    pub router_id: Ipv4Addr,
}

impl Aggregator {
    /// Reads the value: eight octets, or six with an AS number of two.
    pub fn from_value(value: &[u8]) -> Option<Self> {
        let (asn, router_id) = match *value {
            [a, b, c, d, ref router_id @ ..] if value.len() == 8 => (u32::from_be_bytes([a, b, c, d]), router_id),
            [a, b, ref router_id @ ..] if value.len() == 6 => (u32::from(u16::from_be_bytes([a, b])), router_id),
            _ => return None,
        };
        let router_id: [u8; 4] = router_id.try_into().ok()?;
        Some(Self { asn, router_id: router_id.into() })
    }

    /// The four-octet value.
    pub(crate) fn value(self) -> [u8; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (self.asn.to_be_bytes(), self.router_id.octets());
        [a, b, c, d, e, f, g, h]
    }

    /// Whether an AS4_AGGREGATOR has to go along on a two-octet session.
    pub fn needs_as4(self) -> bool {
        self.asn > u32::from(u16::MAX)
    }
}

impl fmt::Display for Aggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.asn, self.router_id)
    }
}

/// Appends the whole AGGREGATOR attribute; `partial` is [`flag::PARTIAL`] or nothing (its other bits are not taken). In two
/// octets an AS number that does not fit becomes AS_TRANS, and [`write_as4_aggregator`] goes along (RFC 6793 4.2.2).
pub fn write_aggregator(out: &mut Vec<u8>, partial: u8, aggregator: Aggregator, four_octet: bool) {
    let flags = OPTIONAL_TRANSITIVE | partial & flag::PARTIAL;
    let value = aggregator.value();
    if four_octet {
        return write_attribute(out, flags, attr_code::AGGREGATOR, &value);
    }
    let mut short = [0; 6];
    short[..2].copy_from_slice(&u16::try_from(aggregator.asn).unwrap_or(AS_TRANS).to_be_bytes());
    short[2..].copy_from_slice(&value[4..]);
    write_attribute(out, flags, attr_code::AGGREGATOR, &short);
}

/// Appends the whole AS4_AGGREGATOR attribute.
pub fn write_as4_aggregator(out: &mut Vec<u8>, partial: u8, aggregator: Aggregator) {
    let flags = OPTIONAL_TRANSITIVE | partial & flag::PARTIAL;
    write_attribute(out, flags, attr_code::AS4_AGGREGATOR, &aggregator.value());
}
