//! Writing UPDATEs: as many prefixes that share one attribute set as a message holds.
//!
//! Is told canonical attributes (already as this peer wants them), one next hop and prefixes of one family, with path
//! identifiers (RFC 7911) where the peer takes them; appends whole messages. Does not choose what to send to whom.

use std::iter::Peekable;

use ipnet::IpNet;

use super::NextHop;
use crate::attr::{RawAttr, WELL_KNOWN, attr_code, attributes, flag, write_attribute};
use crate::header::{HEADER_LEN, MAX_LEN_EXTENDED, Message, MessageType, put_u16};
use crate::nlri::NlriItem;
use crate::nlri::item::{PATH_ID_LEN, sealed::Item as _};
use crate::{AfiSafi, Family};

/// Appends messages that announce the prefixes, and returns how many messages.
///
/// `attributes` is a canonical set: ascending, no next hop in it, AS numbers as wide as the peer wants them (see
/// [`crate::write_two_octet`]). IPv4 with an IPv4 next hop takes the classic form, all else MP_REACH_NLRI, which then comes
/// first (RFC 7606 5.1). `max_len` is what the session negotiated. Prefixes of another family are passed over. They are
/// [`IpNet`], or `(PathId, IpNet)` for a family in which the peer takes path identifiers: all of a session's messages for a
/// family are of one kind (RFC 7911 3).
///
/// When [`reach_fits`] says no, nothing is appended, no prefix is taken, and the result is 0.
pub fn encode_reach<T: NlriItem>(
    out: &mut Vec<u8>,
    max_len: usize,
    attributes: &[u8],
    next_hop: &NextHop,
    family: Family,
    prefixes: impl Iterator<Item = T>,
) -> usize {
    if !reach_fits(max_len, attributes.len(), next_hop, family, T::ADD_PATH) {
        return 0;
    }
    let form = ReachForm::of(family, next_hop);
    messages(max_len, family, prefixes, |prefixes| {
        let message = Message::begin(out, MessageType::Update);
        out.extend_from_slice(&[0, 0]);
        let lens_at = out.len();
        out.extend_from_slice(&[0, 0]);
        match form {
            ReachForm::Classic(address) => {
                let (before, after) = attributes.split_at(next_hop_place(attributes));
                out.extend_from_slice(before);
                write_attribute(out, WELL_KNOWN, attr_code::NEXT_HOP, &address.octets());
                out.extend_from_slice(after);
                let len = out.len() - lens_at - 2;
                put_u16(out, lens_at, len);
                prefixes.pack(out, message, 0);
            }
            ReachForm::MultiProtocol | ReachForm::None => {
                let attribute = begin_mp(out, attr_code::MP_REACH, family);
                write_mp_next_hop(out, next_hop);
                prefixes.pack(out, message, attributes.len());
                attribute.finish(out);
                out.extend_from_slice(attributes);
                let len = out.len() - lens_at - 2;
                put_u16(out, lens_at, len);
            }
        }
        message.finish(out);
    })
}

/// Whether a message has room for the attributes, the next hop, and the longest prefix of the family, with its path
/// identifier if `add_path`. What does not fit cannot be said to this peer (RFC 8654 4 speaks of withdrawing such routes).
/// IPv6 with an IPv4 next hop never fits.
pub fn reach_fits(max_len: usize, attributes_len: usize, next_hop: &NextHop, family: Family, add_path: bool) -> bool {
    let next_hop_len = match (ReachForm::of(family, next_hop), next_hop) {
        (ReachForm::None, _) => return false,
        (ReachForm::Classic(_), _) => 3 + 4,
        (ReachForm::MultiProtocol, NextHop::V4(_)) => MP_REACH_FIXED + 4,
        (ReachForm::MultiProtocol, NextHop::V6 { link_local: None, .. }) => MP_REACH_FIXED + 16,
        (ReachForm::MultiProtocol, NextHop::V6 { link_local: Some(_), .. }) => MP_REACH_FIXED + 32,
    };
    let longest = match family {
        Family::Ipv4Unicast => 1 + 4,
        Family::Ipv6Unicast => 1 + 16,
    };
    let id = if add_path { PATH_ID_LEN } else { 0 };
    HEADER_LEN + 4 + attributes_len + next_hop_len + id + longest <= max_len.min(MAX_LEN_EXTENDED)
}

/// Attribute header with long length, AFI, SAFI, next hop length, reserved octet.
const MP_REACH_FIXED: usize = 4 + 3 + 1 + 1;

/// A withdrawal of the longest prefix there is. Real sessions have [`crate::MAX_LEN`] and more.
const UNREACH_MIN: usize = HEADER_LEN + 4 + 4 + 3 + PATH_ID_LEN + 17;

/// Appends messages that withdraw the prefixes, and returns how many messages. Prefixes of another family are passed over.
/// As with [`encode_reach`], they have path identifiers or not. A `max_len` that no session has (under 51 octets) holds
/// nothing: 0.
pub fn encode_unreach<T: NlriItem>(
    out: &mut Vec<u8>,
    max_len: usize,
    family: Family,
    prefixes: impl Iterator<Item = T>,
) -> usize {
    if max_len < UNREACH_MIN {
        return 0;
    }
    messages(max_len, family, prefixes, |prefixes| {
        let message = Message::begin(out, MessageType::Update);
        let lens_at = out.len();
        match family {
            Family::Ipv4Unicast => {
                out.extend_from_slice(&[0, 0]);
                prefixes.pack(out, message, 2);
                let len = out.len() - lens_at - 2;
                put_u16(out, lens_at, len);
                out.extend_from_slice(&[0, 0]);
            }
            Family::Ipv6Unicast => {
                out.extend_from_slice(&[0; 4]);
                let attribute = begin_mp(out, attr_code::MP_UNREACH, family);
                prefixes.pack(out, message, 0);
                attribute.finish(out);
                let len = out.len() - lens_at - 4;
                put_u16(out, lens_at + 2, len);
            }
        }
        message.finish(out);
    })
}

/// Appends the End-of-RIB of a family (RFC 4724 2).
pub fn encode_end_of_rib(out: &mut Vec<u8>, family: Family) {
    let message = Message::begin(out, MessageType::Update);
    match family {
        Family::Ipv4Unicast => out.extend_from_slice(&[0; 4]),
        Family::Ipv6Unicast => {
            let AfiSafi { afi, safi } = family.code();
            let [hi, lo] = afi.to_be_bytes();
            out.extend_from_slice(&[0, 0, 0, 6]);
            write_attribute(out, flag::OPTIONAL, attr_code::MP_UNREACH, &[hi, lo, safi]);
        }
    }
    message.finish(out);
}

#[derive(Clone, Copy)]
enum ReachForm {
    Classic(std::net::Ipv4Addr),
    MultiProtocol,
    /// There is no way to say it.
    None,
}

impl ReachForm {
    fn of(family: Family, next_hop: &NextHop) -> Self {
        match (family, next_hop) {
            (Family::Ipv4Unicast, NextHop::V4(address)) => Self::Classic(*address),
            (Family::Ipv4Unicast | Family::Ipv6Unicast, NextHop::V6 { .. }) => Self::MultiProtocol,
            (Family::Ipv6Unicast, NextHop::V4(_)) => Self::None,
        }
    }
}

/// Where NEXT_HOP belongs in an ascending set.
fn next_hop_place(set: &[u8]) -> usize {
    let mut walk = attributes(set);
    let mut place = 0;
    while let Some(RawAttr { code, .. }) = walk.next() {
        if code > attr_code::NEXT_HOP {
            break;
        }
        place = set.len() - walk.rest().len();
    }
    place
}

/// An MP attribute being appended. Its length always has two octets, for it is known only afterwards.
struct MpAttribute {
    len_at: usize,
}

fn begin_mp(out: &mut Vec<u8>, code: u8, family: Family) -> MpAttribute {
    out.extend_from_slice(&[flag::OPTIONAL | flag::EXTENDED_LENGTH, code, 0, 0]);
    let len_at = out.len() - 2;
    let AfiSafi { afi, safi } = family.code();
    out.extend_from_slice(&afi.to_be_bytes());
    out.push(safi);
    MpAttribute { len_at }
}

impl MpAttribute {
    fn finish(self, out: &mut [u8]) {
        let len = out.len() - self.len_at - 2;
        put_u16(out, self.len_at, len);
    }
}

/// Length, addresses, and the reserved octet after them (RFC 4760 3).
fn write_mp_next_hop(out: &mut Vec<u8>, next_hop: &NextHop) {
    match next_hop {
        NextHop::V4(address) => {
            out.push(4);
            out.extend_from_slice(&address.octets());
        }
        NextHop::V6 { global, link_local: None } => {
            out.push(16);
            out.extend_from_slice(&global.octets());
        }
        NextHop::V6 { global, link_local: Some(link_local) } => {
            out.push(32);
            out.extend_from_slice(&global.octets());
            out.extend_from_slice(&link_local.octets());
        }
    }
    out.push(0);
}

/// Prefixes of one family that wait for room.
struct Waiting<I: Iterator<Item: NlriItem>> {
    prefixes: Peekable<I>,
    max_len: usize,
}

impl<I: Iterator<Item: NlriItem>> Waiting<I> {
    /// Appends as many as fit when `tail` more octets of this message follow.
    fn pack(&mut self, out: &mut Vec<u8>, message: Message, tail: usize) {
        let room = |out: &[u8]| self.max_len.saturating_sub(message.len(out) + tail);
        let mut left = room(out);
        while let Some(prefix) = self.prefixes.next_if(|prefix| prefix.size() <= left) {
            prefix.write(out);
            left -= prefix.size();
        }
    }
}

/// Calls `write` for one message after the other until no prefix waits, and counts. `write` takes at least one prefix each
/// time: a message always has room for one.
fn messages<I: Iterator<Item: NlriItem>>(
    max_len: usize,
    family: Family,
    prefixes: I,
    mut write: impl FnMut(&mut Waiting<std::iter::Filter<I, fn(&I::Item) -> bool>>),
) -> usize {
    let of_family: fn(&I::Item) -> bool = match family {
        Family::Ipv4Unicast => |item| matches!(item.prefix(), IpNet::V4(_)),
        Family::Ipv6Unicast => |item| matches!(item.prefix(), IpNet::V6(_)),
    };
    let max_len = max_len.min(MAX_LEN_EXTENDED);
    let mut waiting = Waiting { prefixes: prefixes.filter(of_family).peekable(), max_len };
    let mut count = 0;
    while waiting.prefixes.peek().is_some() {
        write(&mut waiting);
        count += 1;
    }
    count
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
