//! As much of BGP as a feeder and a sink need: RFC 4271, 4760, 4724, 6793; unicast only.
//!
//! Written for this benchmark alone, so that what judges the router shares no code with it. Reads what a router
//! may send and says what it cannot read; never panics on it.

use std::net::{IpAddr, Ipv4Addr};

use testbed::Family;

use crate::routes::{Prefix, Set, Table};

pub(crate) const HEADER: usize = 19;
/// Largest message without the extension of RFC 8654, which we do not offer.
const LARGEST: usize = 4096;
pub(crate) const OPEN: u8 = 1;
pub(crate) const UPDATE: u8 = 2;
pub(crate) const NOTIFICATION: u8 = 3;
pub(crate) const KEEPALIVE: u8 = 4;
/// Seconds that peers keep our routes while we are away.
const RESTART_TIME: u16 = 120;

/// One message of a kind.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + body.len()).unwrap_or(u16::MAX);
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// An OPEN for one family, with or without graceful restart.
pub(crate) fn open(asn: u32, hold: u16, id: Ipv4Addr, family: Family, restarts: bool) -> Vec<u8> {
    let mut capabilities = vec![1, 4, 0, afi(family), 0, 1, 65, 4];
    capabilities.extend(asn.to_be_bytes());
    if restarts {
        capabilities.extend([64, 6]);
        capabilities.extend(RESTART_TIME.to_be_bytes());
        capabilities.extend([0, afi(family), 1, 0x80]);
    }
    let length = u8::try_from(capabilities.len()).unwrap_or(u8::MAX);
    let short = u16::try_from(asn).unwrap_or(23456); // AS_TRANS
    let fixed = [&[4][..], &short.to_be_bytes(), &hold.to_be_bytes(), &id.octets(), &[length + 2, 2, length]].concat();
    message(OPEN, &[&fixed[..], &capabilities].concat())
}

fn afi(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 2,
    }
}

/// UPDATEs that announce some sets of a table from `local` in `asn`.
pub(crate) fn announce<'a>(table: &Table, sets: impl IntoIterator<Item = &'a Set>, asn: u32, local: IpAddr) -> Vec<u8> {
    let mut out = Vec::new();
    for set in sets {
        let attributes = attributes(set, asn, local);
        pack(table.members(set), |nlri| match local {
            IpAddr::V4(_) => {
                let length = u16::try_from(attributes.len()).unwrap_or(u16::MAX).to_be_bytes();
                out.extend(message(UPDATE, &[&[0, 0], &length[..], &attributes, nlri].concat()));
            }
            IpAddr::V6(address) => {
                let reach = [&[0, 2, 1, 16][..], &address.octets(), &[0], nlri].concat();
                let all = [&attribute(0x90, 14, &reach), &attributes[..]].concat();
                let length = u16::try_from(all.len()).unwrap_or(u16::MAX).to_be_bytes();
                out.extend(message(UPDATE, &[&[0, 0], &length[..], &all].concat()));
            }
        });
    }
    out
}

/// UPDATEs that withdraw prefixes.
pub(crate) fn withdraw(family: Family, prefixes: &[Prefix]) -> Vec<u8> {
    let mut out = Vec::new();
    pack(prefixes, |nlri| {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
        out.extend(match family {
            Family::Ipv4 => message(UPDATE, &[&length(nlri)[..], nlri, &[0, 0]].concat()),
            Family::Ipv6 => {
                let gone = attribute(0x90, 15, &[&[0, 2, 1], nlri].concat());
                message(UPDATE, &[&[0, 0], &length(&gone)[..], &gone].concat())
            }
        });
    });
    out
}

/// End-of-RIB (RFC 4724 section 2).
pub(crate) fn end_of_rib(family: Family) -> Vec<u8> {
    match family {
        Family::Ipv4 => message(UPDATE, &[0; 4]),
        Family::Ipv6 => message(UPDATE, &[0, 0, 0, 7, 0x90, 15, 0, 3, 0, 2, 1]),
    }
}

/// Prefixes in pieces that fit into a message with the longest attributes of ours.
fn pack(prefixes: &[Prefix], mut each: impl FnMut(&[u8])) {
    const ROOM: usize = LARGEST - 400;
    let mut nlri = Vec::with_capacity(ROOM + 17);
    for prefix in prefixes {
        nlri.push(prefix.length);
        nlri.extend_from_slice(&prefix.bits.to_be_bytes()[..prefix.octets()]);
        if nlri.len() > ROOM {
            each(&nlri);
            nlri.clear();
        }
    }
    if !nlri.is_empty() {
        each(&nlri);
    }
}

fn attributes(set: &Set, asn: u32, local: IpAddr) -> Vec<u8> {
    let numbers = |list: &[u32]| list.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>();
    let mut out = vec![0x40, 1, 1, 0]; // ORIGIN IGP
    let hops = u8::try_from(set.path.len() + 1).unwrap_or(u8::MAX);
    out.extend(attribute(0x40, 2, &[&[2, hops][..], &asn.to_be_bytes(), &numbers(&set.path)].concat()));
    if let IpAddr::V4(address) = local {
        out.extend(attribute(0x40, 3, &address.octets()));
    }
    if let Some(med) = set.med {
        out.extend(attribute(0x80, 4, &med.to_be_bytes()));
    }
    if !set.communities.is_empty() {
        out.extend(attribute(0xc0, 8, &numbers(&set.communities)));
    }
    out
}

fn attribute(flags: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    match u8::try_from(value.len()) {
        Ok(length) if flags & 0x10 == 0 => [&[flags, kind, length], value].concat(),
        Ok(_) | Err(_) => {
            let length = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
            [&[flags | 0x10, kind], &length[..], value].concat()
        }
    }
}

/// An UPDATE, in pieces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Update<'a> {
    pub(crate) withdrawn: &'a [u8],
    pub(crate) announced: &'a [u8],
    /// Next hop, 4 or 16 octets; a link-local one behind it is cut off.
    pub(crate) next_hop: &'a [u8],
    /// Value of AS_PATH.
    pub(crate) path: &'a [u8],
    /// Value of COMMUNITIES.
    pub(crate) communities: &'a [u8],
}

impl<'a> Update<'a> {
    /// From a message's body; `None` when its lengths do not add up.
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let (withdrawn, rest) = counted(body)?;
        let (mut attributes, announced) = counted(rest)?;
        let mut update = Self { withdrawn, announced, ..Self::default() };
        while let [flags, kind, rest @ ..] = attributes {
            let (value, rest) = if flags & 0x10 == 0 {
                let (length, rest) = rest.split_first()?;
                rest.split_at_checked(usize::from(*length))?
            } else {
                counted(rest)?
            };
            attributes = rest;
            match *kind {
                2 => update.path = value,
                3 => update.next_hop = value,
                8 => update.communities = value,
                14 => {
                    let length = usize::from(*value.get(3)?);
                    update.next_hop = value.get(4..4 + length.min(16))?;
                    update.announced = value.get(5 + length..)?;
                }
                15 => update.withdrawn = value.get(3..)?,
                _ => {}
            }
        }
        Some(update)
    }

    /// Whether it is an End-of-RIB.
    pub(crate) fn is_end_of_rib(&self) -> bool {
        self.withdrawn.is_empty() && self.announced.is_empty()
    }

    /// ASes of the path; `None` when it is not one sequence.
    pub(crate) fn ases(&self) -> Option<impl Iterator<Item = u32> + use<'a>> {
        let [2, count, ases @ ..] = self.path else { return None };
        (ases.len() == usize::from(*count) * 4).then(|| ases.chunks_exact(4).map(number))
    }
}

/// Four octets as a number.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte))
}

/// What stands behind a length of two octets, and the rest.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(2)?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(length.try_into().ok()?)))
}

/// The prefixes of a field; ends early where one is cut off, which `whole` then does not have the end of.
pub(crate) fn prefixes(mut field: &[u8]) -> impl Iterator<Item = Option<Prefix>> + '_ {
    std::iter::from_fn(move || {
        let (length, rest) = field.split_first()?;
        let prefix = Prefix { bits: 0, length: *length };
        let Some((address, rest)) = rest.split_at_checked(prefix.octets()).filter(|_| *length <= 128) else {
            field = &[];
            return Some(None);
        };
        field = rest;
        let mut octets = [0; 16];
        octets[..address.len()].copy_from_slice(address);
        Some(Some(Prefix { bits: u128::from_be_bytes(octets), length: *length }))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Every message of a stream, without its header.
    fn bodies(mut stream: &[u8]) -> Vec<&[u8]> {
        let mut bodies = Vec::new();
        while !stream.is_empty() {
            let length = usize::from(u16::from_be_bytes([stream[16], stream[17]]));
            assert!((HEADER..=LARGEST).contains(&length) && stream[18] == UPDATE);
            bodies.push(&stream[HEADER..length]);
            stream = &stream[length..];
        }
        bodies
    }

    #[test]
    fn what_is_announced_and_withdrawn_can_be_read_again() {
        for (family, local) in [(Family::Ipv4, "192.0.2.1"), (Family::Ipv6, "2001:db8::1")] {
            let local: IpAddr = local.parse().unwrap();
            let table = Table::public(family, 3000);
            let stream = announce(&table, &table.sets, 64512, local);
            let mut read = Vec::new();
            for body in bodies(&stream) {
                let update = Update::read(body).unwrap();
                assert_eq!(update.ases().unwrap().next(), Some(64512));
                match local {
                    IpAddr::V4(local) => assert_eq!(update.next_hop, local.octets()),
                    IpAddr::V6(local) => assert_eq!(update.next_hop, local.octets()),
                }
                read.extend(prefixes(update.announced).map(Option::unwrap));
            }
            let sent: Vec<_> = table.in_order().collect();
            assert_eq!(read, sent);
            let stream = withdraw(family, &sent);
            let gone: Vec<_> = bodies(&stream)
                .into_iter()
                .flat_map(|b| prefixes(Update::read(b).unwrap().withdrawn).map(Option::unwrap))
                .collect();
            assert_eq!(gone, sent);
            assert!(Update::read(&end_of_rib(family)[HEADER..]).unwrap().is_end_of_rib());
        }
    }

    #[test]
    fn what_is_cut_off_is_not_taken_for_whole() {
        assert_eq!(Update::read(&[0, 9, 0]), None);
        assert_eq!(prefixes(&[24, 1, 2]).collect::<Vec<_>>(), [None]);
    }
}
