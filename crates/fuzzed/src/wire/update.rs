//! UPDATE: verdicts of RFC 7606, the canonical set, and both ways back to bytes.

use std::collections::BTreeSet;

use ipnet::IpNet;
use wire::{
    AsPath, Consequence, DecodeContext, Family, FamilySet, MAX_LEN, MAX_LEN_EXTENDED, MessageType, NextHop, Nlri,
    SegmentKind, Update, attr_code, attribute, attributes, code, encode_reach, encode_unreach, next_frame, reach_fits,
    write_two_octet,
};

use super::{assert_loggable, assert_sendable};
use crate::input::Input;

/// Bits of the first octet of the input.
pub(crate) mod bit {
    pub(crate) const FOUR_OCTET_AS: u8 = 1;
    pub(crate) const EXTERNAL: u8 = 2;
    pub(crate) const EXTENDED_NEXT_HOP: u8 = 4;
    pub(crate) const IPV4: u8 = 8;
    pub(crate) const IPV6: u8 = 16;
    pub(crate) const EXTENDED_MESSAGE: u8 = 32;
    pub(crate) const ADD_PATH: u8 = 64;
}

/// Most problems that one message is remembered by: the first few, and one for each consequence.
const MAX_PROBLEMS: usize = 18;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input(data);
    let bits = input.u8();
    let context = context(bits);
    let max_len = if bits & bit::EXTENDED_MESSAGE != 0 { MAX_LEN_EXTENDED } else { MAX_LEN };
    match Update::decode(input.0, &context) {
        Err(answer) => {
            assert_eq!(answer.code, code::UPDATE);
            assert_sendable(&answer);
        }
        Ok(update) => {
            verdict(&update, &context);
            let set = canonical(&update);
            if update.announced().next().is_some() {
                one_spelling(&set, &context);
            }
            for (section, next_hop) in update.announced() {
                announce(&set, &section, &next_hop, max_len, &context);
                announce_narrow(&set, &section, &next_hop, max_len, &context);
            }
            for section in update.withdrawn() {
                withdraw(&section, max_len, &context);
            }
        }
    }
}

fn context(bits: u8) -> DecodeContext {
    let mut families = FamilySet::default();
    for (family, bit) in Family::ALL.into_iter().zip([bit::IPV4, bit::IPV6]) {
        if bits & bit != 0 {
            families.insert(family);
        }
    }
    DecodeContext {
        four_octet_as: bits & bit::FOUR_OCTET_AS != 0,
        external: bits & bit::EXTERNAL != 0,
        families,
        extended_next_hop: bits & bit::EXTENDED_NEXT_HOP != 0,
        add_path: if bits & bit::ADD_PATH != 0 { FamilySet::ALL } else { FamilySet::NONE },
    }
}

/// Of a session that can do everything, towards the same kind of peer.
fn capable(context: &DecodeContext) -> DecodeContext {
    DecodeContext {
        four_octet_as: true,
        families: FamilySet::ALL,
        extended_next_hop: true,
        add_path: FamilySet::NONE,
        ..*context
    }
}

fn verdict(update: &Update<'_>, context: &DecodeContext) {
    let problems = update.problems();
    problems.iter().for_each(|problem| assert_loggable(&problem.to_string()));
    assert!(problems.len() <= MAX_PROBLEMS);
    let withdraws = problems.iter().any(|problem| problem.consequence == Consequence::Withdraw);
    assert_eq!(withdraws, update.treat_as_withdraw(), "a withdrawal has its reason");
    assert!(!withdraws || update.announced().next().is_none());
    let sections = update.announced().map(|(section, _)| section).chain(update.withdrawn());
    for section in sections {
        assert!(context.families.contains(section.family()) && !section.is_empty());
        assert!(section.iter().count() > 0);
        for prefix in section.iter() {
            assert_eq!(Family::of(&prefix), section.family());
            assert_eq!(prefix.trunc(), prefix);
        }
    }
    for (section, next_hop) in update.announced() {
        assert_loggable(&next_hop.to_string());
        let v6 = matches!(next_hop, NextHop::V6 { .. });
        assert!(v6 == (section.family() == Family::Ipv6Unicast) || (v6 && context.extended_next_hop));
        let address = next_hop.address();
        assert!(!address.is_unspecified() && !address.is_loopback() && !address.is_multicast());
    }
    if let Some(family) = update.end_of_rib() {
        assert!(context.families.contains(family));
        assert!(update.announced().next().is_none() && update.withdrawn().next().is_none());
    }
}

fn canonical(update: &Update<'_>) -> Vec<u8> {
    let mut set = Vec::new();
    update.write_canonical(&mut set);
    set
}

/// The set of a message that announces something.
fn one_spelling(set: &[u8], context: &DecodeContext) {
    let codes: Vec<u8> = attributes(set).map(|attribute| attribute.code).collect();
    assert!(codes.is_sorted_by(|one, other| one < other), "{codes:?}");
    for never in [
        attr_code::NEXT_HOP,
        attr_code::MP_REACH,
        attr_code::MP_UNREACH,
        attr_code::AS4_PATH,
        attr_code::AS4_AGGREGATOR,
    ] {
        assert!(!codes.contains(&never), "{codes:?}");
    }
    for mandatory in [attr_code::ORIGIN, attr_code::AS_PATH] {
        assert!(codes.contains(&mandatory), "{codes:?}");
    }
    if context.external {
        for internal in [attr_code::LOCAL_PREF, attr_code::ORIGINATOR_ID, attr_code::CLUSTER_LIST] {
            assert!(!codes.contains(&internal), "{codes:?}");
        }
    }
    let path = AsPath::new(attribute(set, attr_code::AS_PATH).unwrap().value);
    assert!(path.asns().all(|asn| asn != 0));
    let octets: usize = path.segments().map(|segment| 2 + 4 * segment.asns.len()).sum();
    assert_eq!(octets, path.as_bytes().len(), "a path without a rest");
}

/// The bodies of our own messages, all of this type and none too long.
fn bodies(mut bytes: &[u8], max_len: usize) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    while let Some(frame) = next_frame(bytes, max_len).expect("a good header") {
        assert_eq!(frame.kind, MessageType::Update);
        bodies.push(frame.body);
        bytes = &bytes[frame.len..];
    }
    assert!(bytes.is_empty());
    bodies
}

fn announce(set: &[u8], section: &Nlri<'_>, next_hop: &NextHop, max_len: usize, context: &DecodeContext) {
    let family = section.family();
    let mut out = Vec::new();
    let count = encode_reach(&mut out, max_len, set, next_hop, family, section.iter());
    if !reach_fits(max_len, set.len(), next_hop, family, false) {
        assert_eq!((count, out.len()), (0, 0));
        return;
    }
    let bodies = bodies(&out, max_len);
    assert_eq!(bodies.len(), count);
    let mut prefixes = Vec::new();
    for body in bodies {
        let update = Update::decode(body, &capable(context)).expect("what we say is well formed");
        assert!(update.problems().is_empty(), "{:?}", update.problems());
        assert!(update.withdrawn().next().is_none() && update.end_of_rib().is_none());
        assert_eq!(canonical(&update), set);
        for (section, again) in update.announced() {
            assert_eq!(again, *next_hop);
            prefixes.extend(section.iter());
        }
    }
    assert_eq!(prefixes, section.iter().collect::<Vec<_>>());
}

/// Towards a peer that knows AS numbers of two octets only (RFC 6793 4.2.2 and 4.2.3).
fn announce_narrow(set: &[u8], section: &Nlri<'_>, next_hop: &NextHop, max_len: usize, context: &DecodeContext) {
    let mut narrow = Vec::new();
    write_two_octet(&mut narrow, set);
    let mut out = Vec::new();
    encode_reach(&mut out, max_len, &narrow, next_hop, section.family(), section.iter().take(1));
    let context = DecodeContext { four_octet_as: false, ..capable(context) };
    for body in bodies(&out, max_len) {
        let update = Update::decode(body, &context).expect("what we say is well formed");
        assert!(update.problems().is_empty(), "{:?} in {body:02x?}", update.problems());
        let again = canonical(&update);
        let others = |set: &[u8]| -> Vec<(u8, Vec<u8>)> {
            let others = attributes(set).filter(|one| one.code != attr_code::AS_PATH);
            others.map(|one| (one.code, one.value.to_vec())).collect()
        };
        assert_eq!(others(&again), others(set));
        let (before, after) = (segments(set), segments(&again));
        // RFC 6793 6: AS4_PATH carries no confederation segments, so they do not survive behind a wide number.
        let confederation = |(kind, _): &(SegmentKind, Vec<u32>)| kind.is_confederation();
        if !before.iter().any(confederation) || before.iter().all(|(_, asns)| asns.iter().all(|asn| *asn <= 65535)) {
            assert_eq!(after, before);
        }
    }
}

/// The path, adjacent sequences taken together: where they are cut has no meaning.
fn segments(set: &[u8]) -> Vec<(SegmentKind, Vec<u32>)> {
    let mut all: Vec<(SegmentKind, Vec<u32>)> = Vec::new();
    for segment in AsPath::new(attribute(set, attr_code::AS_PATH).unwrap().value).segments() {
        match all.last_mut() {
            Some((SegmentKind::Sequence, last)) if segment.kind == SegmentKind::Sequence => last.extend(segment.asns),
            _ => all.push((segment.kind, segment.asns.collect())),
        }
    }
    all
}

fn withdraw(section: &Nlri<'_>, max_len: usize, context: &DecodeContext) {
    let mut out = Vec::new();
    let count = encode_unreach(&mut out, max_len, section.family(), section.iter());
    let bodies = bodies(&out, max_len);
    assert_eq!(bodies.len(), count);
    let mut prefixes: BTreeSet<IpNet> = BTreeSet::new();
    for body in bodies {
        let update = Update::decode(body, &capable(context)).expect("what we say is well formed");
        assert!(update.problems().is_empty() && update.announced().next().is_none());
        assert_eq!(update.end_of_rib(), None);
        prefixes.extend(update.withdrawn().flatten());
    }
    assert_eq!(prefixes, section.iter().collect::<BTreeSet<_>>());
}
