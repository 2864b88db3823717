//! Plain prefixes: a length in bits, then as many octets as hold them (RFC 4271 4.3, RFC 4760 5), perhaps after a path
//! identifier (RFC 7911 3).

use std::iter::FusedIterator;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::NlriError;
use super::item::{PATH_ID_LEN, PathId};
use crate::Family;

/// Octets that hold this many bits.
fn octets(bits: u8) -> usize {
    usize::from(bits).div_ceil(8)
}

pub(super) fn validate(mut bytes: &[u8], max_bits: u8, add_path: bool) -> Result<(), NlriError> {
    let skip = if add_path { PATH_ID_LEN } else { 0 };
    while !bytes.is_empty() {
        let (&bits, rest) = bytes.get(skip..).and_then(<[u8]>::split_first).ok_or(NlriError::Truncated)?;
        if bits > max_bits {
            return Err(NlriError::PrefixTooLong(bits));
        }
        bytes = rest.get(octets(bits)..).ok_or(NlriError::Truncated)?;
    }
    Ok(())
}

/// The prefixes of a section, host bits masked to zero.
#[derive(Clone, Debug)]
pub struct Prefixes<'a>(pub(super) Paths<'a>);

impl Iterator for Prefixes<'_> {
    type Item = IpNet;

    #[inline]
    fn next(&mut self) -> Option<IpNet> {
        self.0.next().map(|(_, prefix)| prefix)
    }
}

impl FusedIterator for Prefixes<'_> {}

/// The prefixes of a section with their path identifiers; host bits masked to zero.
#[derive(Clone, Debug)]
pub struct Paths<'a> {
    family: Family,
    add_path: bool,
    bytes: &'a [u8],
}

impl<'a> Paths<'a> {
    pub(super) fn new(family: Family, add_path: bool, bytes: &'a [u8]) -> Self {
        Self { family, add_path, bytes }
    }

    #[inline]
    fn prefix(&mut self) -> Option<IpNet> {
        let (&bits, rest) = self.bytes.split_first()?;
        self.bytes = rest.get(octets(bits)..)?;
        match self.family {
            Family::Ipv4Unicast => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(bits))).unwrap_or(0);
                let address = u32::from_be_bytes(leading(rest)) & mask;
                Ipv4Net::new(Ipv4Addr::from_bits(address), bits).ok().map(IpNet::V4)
            }
            Family::Ipv6Unicast => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(bits))).unwrap_or(0);
                let address = u128::from_be_bytes(leading(rest)) & mask;
                Ipv6Net::new(Ipv6Addr::from_bits(address), bits).ok().map(IpNet::V6)
            }
        }
    }
}

impl Iterator for Paths<'_> {
    type Item = (PathId, IpNet);

    #[inline]
    fn next(&mut self) -> Option<(PathId, IpNet)> {
        let mut id = 0;
        if self.add_path {
            let (octets, rest) = self.bytes.split_first_chunk()?;
            id = PathId::from_be_bytes(*octets);
            self.bytes = rest;
        }
        Some((id, self.prefix()?))
    }
}

impl FusedIterator for Paths<'_> {}

/// The first octets, which may be the next prefix's too: the mask takes those away. One load, except at the very end.
#[inline]
fn leading<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut last = [0; N];
        last.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        last
    })
}

/// Octets that a prefix takes.
pub(crate) fn prefix_size(prefix: &IpNet) -> usize {
    1 + octets(prefix.prefix_len())
}

/// Appends one prefix; host bits are not sent.
pub fn write_prefix(out: &mut Vec<u8>, prefix: &IpNet) {
    let bits = prefix.prefix_len();
    out.push(bits);
    match prefix {
        IpNet::V4(net) => out.extend_from_slice(&net.network().octets()[..octets(bits)]),
        IpNet::V6(net) => out.extend_from_slice(&net.network().octets()[..octets(bits)]),
    }
}
