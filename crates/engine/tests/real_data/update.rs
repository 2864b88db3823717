//! An UPDATE read octet by octet from RFC 4271 4.3, RFC 4760 3 and 4, and RFC 2545 3: the test's own reading, which
//! shares nothing with the code under test.
//!
//! NLRI that cannot be read make a message unreadable; over anything else that is wrong this panics, for there is nothing of
//! the kind in the data. Families other than IPv4 and IPv6 unicast are passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Flags, without the one that only says how long the length is, and value, by type code.
pub(crate) type Attributes = BTreeMap<u8, (u8, Vec<u8>)>;

/// Kind and AS numbers of each segment of an AS_PATH.
pub(crate) type Segments = Vec<(u8, Vec<u32>)>;

pub(crate) const ORIGIN: u8 = 1;
pub(crate) const AS_PATH: u8 = 2;
pub(crate) const NEXT_HOP: u8 = 3;
pub(crate) const MP_REACH: u8 = 14;
pub(crate) const MP_UNREACH: u8 = 15;

/// What a message says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) withdrawn: BTreeSet<IpNet>,
    /// With the next hop as it stands on the wire: 4, 16 or 32 octets.
    pub(crate) announced: BTreeMap<IpNet, Vec<u8>>,
    /// All but NEXT_HOP, MP_REACH_NLRI and MP_UNREACH_NLRI.
    pub(crate) attributes: Attributes,
}

/// Takes octets off the front.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

/// A number of that many octets.
fn number(bytes: &mut &[u8], octets: usize) -> usize {
    take(bytes, octets).iter().fold(0, |number, octet| number << 8 | usize::from(*octet))
}

/// The messages in a stream, each with its header.
pub(crate) fn messages(mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_be_bytes([*stream.get(16)?, stream[17]]));
        Some(take(&mut stream, len))
    })
}

/// A whole message; `None` when its prefixes cannot be told from each other, which ends a session (RFC 7606 3.j, 5.3).
pub(crate) fn read(message: &[u8]) -> Option<Said> {
    assert_eq!(message[18], 2, "an UPDATE");
    let mut body = &message[19..];
    let len = number(&mut body, 2);
    let mut said = Said::default();
    said.withdrawn.extend(prefixes(take(&mut body, len), false)?);
    let len = number(&mut body, 2);
    let mut rest = take(&mut body, len);
    let mut next_hop = Vec::new();
    while !rest.is_empty() {
        let (flags, code) = (number(&mut rest, 1) as u8, number(&mut rest, 1) as u8);
        let len = number(&mut rest, if flags & 0x10 == 0 { 1 } else { 2 });
        let mut value = take(&mut rest, len);
        match code {
            NEXT_HOP => next_hop = value.to_vec(),
            MP_REACH => {
                if let Some(v6) = family(&mut value) {
                    let len = number(&mut value, 1);
                    let next_hop = take(&mut value, len).to_vec();
                    take(&mut value, 1);
                    said.announced.extend(prefixes(value, v6)?.into_iter().map(|prefix| (prefix, next_hop.clone())));
                }
            }
            MP_UNREACH => {
                if let Some(v6) = family(&mut value) {
                    said.withdrawn.extend(prefixes(value, v6)?);
                }
            }
            _ => {
                let twice = said.attributes.insert(code, (flags & 0xEF, value.to_vec()));
                assert!(twice.is_none(), "attribute {code} twice");
            }
        }
    }
    said.announced.extend(prefixes(body, false)?.into_iter().map(|prefix| (prefix, next_hop.clone())));
    Some(said)
}

/// Whether it is IPv6; `None`: a family that no session here has.
fn family(value: &mut &[u8]) -> Option<bool> {
    match (number(value, 2), number(value, 1)) {
        (1, 1) => Some(false),
        (2, 1) => Some(true),
        _ => None,
    }
}

/// Bits beyond the length mean nothing (RFC 4271 4.3).
fn prefixes(mut bytes: &[u8], v6: bool) -> Option<Vec<IpNet>> {
    let mut prefixes = Vec::new();
    while !bytes.is_empty() {
        let len = number(&mut bytes, 1);
        if len > if v6 { 128 } else { 32 } || len.div_ceil(8) > bytes.len() {
            return None;
        }
        let octets = take(&mut bytes, len.div_ceil(8));
        let mut address = [0; 16];
        address[..octets.len()].copy_from_slice(octets);
        let v4 = Ipv4Addr::new(address[0], address[1], address[2], address[3]);
        let address = if v6 { Ipv6Addr::from(address).into() } else { IpAddr::V4(v4) };
        prefixes.push(IpNet::new(address, len as u8).expect("judged above").trunc());
    }
    Some(prefixes)
}

/// The value of AS_PATH or AS4_PATH, `width` octets an AS number.
pub(crate) fn segments(mut value: &[u8], width: usize) -> Segments {
    let mut segments = Vec::new();
    while !value.is_empty() {
        let (kind, count) = (number(&mut value, 1) as u8, number(&mut value, 1));
        segments.push((kind, (0..count).map(|_| number(&mut value, width) as u32).collect()));
    }
    segments
}

/// The other way; in two octets what does not fit is AS_TRANS (RFC 6793 4.2.2).
pub(crate) fn path_value(segments: &Segments, width: usize) -> Vec<u8> {
    let mut value = Vec::new();
    for (kind, asns) in segments {
        value.extend([*kind, u8::try_from(asns.len()).unwrap()]);
        for asn in asns {
            let fits = width == 4 || *asn <= 0xFFFF;
            value.extend_from_slice(&(if fits { *asn } else { 23456 }).to_be_bytes()[4 - width..]);
        }
    }
    value
}
