//! What a router must make of an UPDATE, written down from the RFCs' text and from nothing else.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use crate::update::{AS_PATH, Attributes, ORIGIN, Said, Segments, path_value, segments};

const MED: u8 = 4;
const LOCAL_PREF: u8 = 5;
const AGGREGATOR: u8 = 7;
const COMMUNITIES: u8 = 8;
const ORIGINATOR_ID: u8 = 9;
const CLUSTER_LIST: u8 = 10;
const EXTENDED_COMMUNITIES: u8 = 16;
const AS4_PATH: u8 = 17;
const AS4_AGGREGATOR: u8 = 18;

const WELL_KNOWN: u8 = 0x40;
const OPTIONAL: u8 = 0x80;
const OPTIONAL_TRANSITIVE: u8 = 0xC0;
const PARTIAL: u8 = 0x20;

const AS_SET: u8 = 1;
const AS_SEQUENCE: u8 = 2;
const AS_TRANS: u32 = 23456;

/// The router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) asn: u32,
    pub(crate) router_id: Ipv4Addr,
    pub(crate) cluster_id: Ipv4Addr,
}

/// Whom the messages come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) asn: u32,
    pub(crate) external: bool,
    pub(crate) four_octet: bool,
    pub(crate) router_id: Ipv4Addr,
    pub(crate) enforce_first_as: bool,
}

/// Whom they go to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver {
    pub(crate) external: bool,
    pub(crate) four_octet: bool,
    /// Our addresses on the session's link.
    pub(crate) own_v4: Ipv4Addr,
    pub(crate) own_v6: Ipv6Addr,
}

/// What the receiver has of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// As on the wire.
    pub(crate) next_hop: Vec<u8>,
    pub(crate) attributes: Rc<Attributes>,
}

/// Why nothing of a message is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refused {
    /// RFC 4271 6.3, as RFC 7606 7 softens it: the routes are withdrawn.
    NextHop,
    /// RFC 4271 6.3.
    FirstAs,
    /// RFC 4271 9.1.2.
    OwnAs,
    /// RFC 4456 8.
    Originator,
    /// RFC 4456 8.
    Cluster,
}

/// A message's attributes as the router has them: AS numbers in four octets.
#[derive(Debug)]
pub(crate) struct Received {
    path: Segments,
    attributes: Attributes,
}

/// RFC 4271 6.3 and 9.1.2, RFC 4456 8, RFC 6793 4.2.3.
pub(crate) fn received(own: Own, from: Sender, said: &Said) -> Result<Received, Refused> {
    let valid = |next_hop: &Vec<u8>| match next_hop.as_slice() {
        [first, _, _, _] => !matches!(first, 0 | 127 | 224..),
        // Nor the unspecified, the loopback or a multicast address of IPv6.
        longer => longer[0] != 0xFF && longer[..15].iter().any(|octet| *octet != 0),
    };
    if !said.announced.values().all(valid) {
        return Err(Refused::NextHop);
    }
    let mut attributes = said.attributes.clone();
    assert!(attributes[&ORIGIN].1[0] <= 2, "the data has no undefined ORIGIN");
    let path = path(from, &mut attributes);
    assert!(path.iter().all(|(kind, asns)| matches!(kind, 1 | 2) && !asns.is_empty()), "nor malformed paths: {path:?}");
    if from.external {
        for code in [LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST] {
            attributes.remove(&code); // RFC 7606 7.5, 7.9, 7.10
        }
    }
    let leftmost = path.first().filter(|(kind, _)| *kind == AS_SEQUENCE).map(|(_, asns)| asns[0]);
    if from.external && from.enforce_first_as && leftmost != Some(from.asn) {
        return Err(Refused::FirstAs);
    }
    if path.iter().any(|(_, asns)| asns.contains(&own.asn)) {
        return Err(Refused::OwnAs);
    }
    let value = |code| attributes.get(&code).map_or(&[][..], |(_, value)| value.as_slice());
    if value(ORIGINATOR_ID) == own.router_id.octets() {
        return Err(Refused::Originator);
    }
    if value(CLUSTER_LIST).chunks(4).any(|id| id == own.cluster_id.octets()) {
        return Err(Refused::Cluster);
    }
    Ok(Received { path, attributes })
}

/// Takes the AS_PATH out, AS4_PATH merged in, and widens AGGREGATOR.
fn path(from: Sender, attributes: &mut Attributes) -> Segments {
    let (_, value) = attributes.remove(&AS_PATH).expect("AS_PATH is mandatory");
    let as4_path = attributes.remove(&AS4_PATH);
    let as4_aggregator = attributes.remove(&AS4_AGGREGATOR);
    if from.four_octet {
        return segments(&value, 4); // RFC 6793 4.1: a four-octet speaker must not send the other two
    }
    let mut trust = true;
    if let Some((_, aggregator)) = attributes.get_mut(&AGGREGATOR) {
        let asn = u32::from(u16::from_be_bytes([aggregator[0], aggregator[1]]));
        trust = as4_aggregator.is_none() || asn == AS_TRANS;
        match as4_aggregator.filter(|_| trust) {
            Some((_, value)) => *aggregator = value,
            None => drop(aggregator.splice(..0, [0, 0])),
        }
    }
    let mut path = segments(&value, 2);
    let Some(as4_path) = as4_path.filter(|_| trust).map(|(_, value)| segments(&value, 4)) else { return path };
    let length = |path: &Segments| -> usize {
        path.iter().map(|(kind, asns)| if *kind == AS_SET { 1 } else { asns.len() }).sum()
    };
    let Some(mut leading) = length(&path).checked_sub(length(&as4_path)) else { return path };
    path.retain_mut(|(kind, asns)| {
        let takes = if *kind == AS_SET { leading.min(1) } else { leading.min(asns.len()) };
        leading -= takes;
        if *kind == AS_SEQUENCE {
            asns.truncate(takes);
        }
        takes > 0
    });
    for (index, (kind, asns)) in as4_path.into_iter().enumerate() {
        match path.last_mut() {
            // What was one sequence before a two-octet speaker came is one again.
            Some((AS_SEQUENCE, before)) if index == 0 && kind == AS_SEQUENCE => before.extend(asns),
            _ => path.push((kind, asns)),
        }
    }
    path
}

impl Received {
    /// The attributes that a receiver must be told; `None`: nothing, or that the routes are withdrawn.
    pub(crate) fn sent(&self, own: Own, from: Sender, to: Receiver) -> Option<Rc<Attributes>> {
        // RFC 1997.
        let has = |community: u32| {
            let value = self.attributes.get(&COMMUNITIES).map_or(&[][..], |(_, value)| value.as_slice());
            value.chunks(4).any(|one| one == community.to_be_bytes())
        };
        let (no_export, no_advertise, no_export_subconfed) = (0xFFFF_FF01, 0xFFFF_FF02, 0xFFFF_FF03);
        if has(no_advertise) || to.external && (has(no_export) || has(no_export_subconfed)) {
            return None;
        }
        let mut attributes = Attributes::new();
        for (&code, (flags, value)) in &self.attributes {
            let passes = if known(code) {
                // RFC 4271 5.1.4, 5.1.5; RFC 4456 8: non-transitive.
                !to.external || !matches!(code, MED | LOCAL_PREF | ORIGINATOR_ID | CLUSTER_LIST)
            } else {
                flags & WELL_KNOWN != 0 // here: transitive
            };
            if passes {
                let partial = if known(code) { 0 } else { PARTIAL }; // RFC 4271 5
                attributes.insert(code, ((flags & 0xE0) | partial, value.clone()));
            }
        }
        if to.external {
            internal_communities_stay(&mut attributes);
        } else {
            let graceful_shutdown = 0xFFFF_0000; // RFC 8326 4: the lowest preference
            let preference: u32 = if has(graceful_shutdown) { 0 } else { 100 };
            attributes.entry(LOCAL_PREF).or_insert((WELL_KNOWN, preference.to_be_bytes().to_vec()));
        }
        if !to.external && !from.external {
            // RFC 4456 8: reflected.
            attributes.entry(ORIGINATOR_ID).or_insert((OPTIONAL, from.router_id.octets().to_vec()));
            let list = attributes.entry(CLUSTER_LIST).or_insert((OPTIONAL, Vec::new()));
            list.1.splice(..0, own.cluster_id.octets());
        }
        self.write_path(own, to, &mut attributes);
        Some(Rc::new(attributes))
    }

    /// RFC 4271 5.1.2, RFC 6793 4.2.2.
    fn write_path(&self, own: Own, to: Receiver, attributes: &mut Attributes) {
        let mut path = self.path.clone();
        if to.external {
            match path.first_mut() {
                Some((AS_SEQUENCE, asns)) if asns.len() < 255 => asns.insert(0, own.asn),
                _ => path.insert(0, (AS_SEQUENCE, vec![own.asn])),
            }
        }
        let width = if to.four_octet { 4 } else { 2 };
        attributes.insert(AS_PATH, (WELL_KNOWN, path_value(&path, width)));
        if to.four_octet {
            return;
        }
        if path.iter().any(|(_, asns)| asns.iter().any(|asn| *asn > 0xFFFF)) {
            attributes.insert(AS4_PATH, (OPTIONAL_TRANSITIVE, path_value(&path, 4)));
        }
        let Some((flags, aggregator)) = attributes.get_mut(&AGGREGATOR) else { return };
        let (flags, wide) = (*flags, aggregator.clone());
        let fits = wide[..2] == [0, 0];
        let trans = AS_TRANS.to_be_bytes();
        *aggregator = [if fits { &wide[2..4] } else { &trans[2..] }, &wide[4..]].concat();
        if !fits {
            attributes.insert(AS4_AGGREGATOR, (flags, wide));
        }
    }
}

/// Those that RFC 4271, 1997, 4360, 4456, 8092 and 9234 define. All others are unknown to this router.
fn known(code: u8) -> bool {
    matches!(code, 1..=10 | EXTENDED_COMMUNITIES | 32 | 35)
}

/// RFC 4360 6: bit 0x40 of the type says non-transitive.
fn internal_communities_stay(attributes: &mut Attributes) {
    let Some((_, value)) = attributes.get_mut(&EXTENDED_COMMUNITIES) else { return };
    *value = value.chunks(8).filter(|community| community[0] & 0x40 == 0).flatten().copied().collect();
    if value.is_empty() {
        attributes.remove(&EXTENDED_COMMUNITIES);
    }
}

/// RFC 4271 5.1.3: ours to another AS, else unchanged. RFC 2545 3: a link-local address does not leave its link, and who
/// has given no other is replaced by us.
pub(crate) fn sent_next_hop(to: Receiver, next_hop: &[u8]) -> Vec<u8> {
    let link_local = |octets: &[u8]| octets[0] == 0xFE && octets[1] & 0xC0 == 0x80;
    match next_hop.len() {
        4 if to.external => to.own_v4.octets().to_vec(),
        4 => next_hop.to_vec(),
        _ if to.external || link_local(next_hop) => to.own_v6.octets().to_vec(),
        _ => next_hop[..16].to_vec(),
    }
}
