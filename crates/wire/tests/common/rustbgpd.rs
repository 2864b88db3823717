//! The same questions to `rustbgpd-wire`.

#![allow(clippy::wildcard_enum_match_arm, reason = "what it can say is not ours to list")]

use std::net::IpAddr;

use bytes::Bytes;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustbgpd_wire::attribute::{AsPathSegment, PathAttribute};
use rustbgpd_wire::nlri::{Ipv4NlriEntry, NlriEntry, Prefix};
use rustbgpd_wire::validate::{ErrorDisposition, UpdateValidationOptions, validate_update_attributes_with_context};
use rustbgpd_wire::{
    AddPathMode, Afi, Capability as Theirs, Ipv4UnicastMode, Message, Safi, UpdateMessage, decode_message,
    encode_message, update::ParsedUpdate,
};
use wire::{AddPath, AfiSafi, Capability, DecodeContext, GracefulRestart, LongLived, NextHop, Open};

use crate::common::{Attrs, Listed, Meaning};
use crate::differences::Verdict;

fn prefix(prefix: &Prefix) -> IpNet {
    match prefix {
        Prefix::V4(v4) => Ipv4Net::new(v4.addr, v4.len).unwrap().into(),
        Prefix::V6(v6) => Ipv6Net::new(v6.addr, v6.len).unwrap().into(),
    }
}

fn message(bytes: &[u8]) -> Message {
    decode_message(&mut Bytes::copy_from_slice(bytes), 4096).unwrap()
}

/// The message as they write it again.
pub(crate) fn again(bytes: &[u8]) -> Vec<u8> {
    encode_message(&message(bytes)).unwrap().to_vec()
}

/// The meaning of our messages as they read it, and the same messages as they write them.
pub(crate) fn read_and_write(mut bytes: &[u8], four_octet_as: bool) -> (Meaning, Vec<u8>) {
    let mut meaning = Meaning::default();
    let mut again = Vec::new();
    while !bytes.is_empty() {
        let len = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        let Message::Update(update) = message(&bytes[..len]) else { panic!("not an UPDATE") };
        bytes = &bytes[len..];
        let revised = update.parse_revised(four_octet_as, true, false, &[]).unwrap();
        assert_eq!(revised.malformed, []);
        let parsed = revised.update;
        assert!(collect(&parsed, &mut meaning));
        let ParsedUpdate { announced, withdrawn, attributes, .. } = &parsed;
        let mode = Ipv4UnicastMode::Body;
        let built = UpdateMessage::try_build(announced, withdrawn, attributes, four_octet_as, false, mode).unwrap();
        again.extend_from_slice(&encode_message(&Message::Update(built)).unwrap());
    }
    (meaning, again)
}

/// The paths of our messages with path identifiers as they read them, withdrawn and announced, and the messages as they
/// write them.
pub(crate) fn paths(mut bytes: &[u8]) -> (Vec<Listed>, Vec<Listed>, Vec<u8>) {
    let families = [(Afi::Ipv4, Safi::Unicast), (Afi::Ipv6, Safi::Unicast)];
    let (mut withdrawn, mut announced, mut again) = (Vec::new(), Vec::new(), Vec::new());
    let v4 = |entry: &Ipv4NlriEntry| (entry.path_id, prefix(&Prefix::V4(entry.prefix)));
    let any = |entry: &NlriEntry| (entry.path_id, prefix(&entry.prefix));
    while !bytes.is_empty() {
        let len = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        let Message::Update(update) = message(&bytes[..len]) else { panic!("not an UPDATE") };
        bytes = &bytes[len..];
        let revised = update.parse_revised(true, true, true, &families).unwrap();
        assert_eq!(revised.malformed, []);
        let parsed = revised.update;
        withdrawn.extend(parsed.withdrawn.iter().map(v4));
        announced.extend(parsed.announced.iter().map(v4));
        for attribute in &parsed.attributes {
            match attribute {
                PathAttribute::MpReachNlri(reach) => announced.extend(reach.announced.iter().map(any)),
                PathAttribute::MpUnreachNlri(unreach) => withdrawn.extend(unreach.withdrawn.iter().map(any)),
                _ => {}
            }
        }
        let mode = Ipv4UnicastMode::Body;
        let built =
            UpdateMessage::try_build(&parsed.announced, &parsed.withdrawn, &parsed.attributes, true, true, mode);
        again.extend_from_slice(&encode_message(&Message::Update(built.unwrap())).unwrap());
    }
    (withdrawn, announced, again)
}

/// False: there is an attribute that only they know.
fn collect(parsed: &ParsedUpdate, meaning: &mut Meaning) -> bool {
    let v4 = |entry: &Ipv4NlriEntry| IpNet::from(Ipv4Net::new(entry.prefix.addr, entry.prefix.len).unwrap());
    meaning.withdrawn.extend(parsed.withdrawn.iter().map(v4));
    let mut attrs = Attrs::default();
    let mut any = false;
    for attribute in &parsed.attributes {
        match attribute {
            PathAttribute::Origin(origin) => attrs.origin = *origin as u8,
            PathAttribute::AsPath(path) => {
                attrs.path = path
                    .segments
                    .iter()
                    .map(|segment| match segment {
                        AsPathSegment::AsSet(asns) => (1, asns.clone()),
                        AsPathSegment::AsSequence(asns) => (2, asns.clone()),
                    })
                    .collect();
            }
            PathAttribute::Aggregator(aggregator) => attrs.aggregator = Some((aggregator.asn, aggregator.router_id)),
            PathAttribute::AtomicAggregate => attrs.atomic = true,
            PathAttribute::NextHop(next_hop) => {
                any |= !parsed.announced.is_empty();
                meaning.announced.extend(parsed.announced.iter().map(|entry| (v4(entry), NextHop::V4(*next_hop))));
            }
            PathAttribute::LocalPref(value) => attrs.local_pref = Some(*value),
            PathAttribute::Med(value) => attrs.med = Some(*value),
            PathAttribute::Communities(values) | PathAttribute::CommunitiesPartial(values) => {
                attrs.communities.clone_from(values)
            }
            PathAttribute::ExtendedCommunities(values) | PathAttribute::ExtendedCommunitiesPartial(values) => {
                attrs.extended = values.iter().map(|value| value.as_u64().to_be_bytes()).collect();
            }
            PathAttribute::LargeCommunities(values) | PathAttribute::LargeCommunitiesPartial(values) => {
                attrs.large =
                    values.iter().map(|value| (value.global_admin, value.local_data1, value.local_data2)).collect();
            }
            PathAttribute::OriginatorId(value) => attrs.originator = Some(*value),
            PathAttribute::ClusterList(values) => attrs.clusters.clone_from(values),
            PathAttribute::MpReachNlri(reach) => {
                any = true;
                let next_hop = match reach.next_hop {
                    IpAddr::V4(address) => NextHop::V4(address),
                    IpAddr::V6(global) => NextHop::V6 { global, link_local: reach.link_local_next_hop },
                };
                meaning.announced.extend(reach.announced.iter().map(|entry| (prefix(&entry.prefix), next_hop)));
            }
            PathAttribute::MpUnreachNlri(unreach) => {
                meaning.withdrawn.extend(unreach.withdrawn.iter().map(|entry| prefix(&entry.prefix)));
            }
            PathAttribute::OnlyToCustomer(asn) | PathAttribute::OnlyToCustomerPartial(asn) => attrs.otc = Some(*asn),
            // One that is not transitive, and known to them.
            PathAttribute::Unknown(raw) if raw.flags & 0x40 == 0 => {}
            PathAttribute::Unknown(raw) => attrs.unknown.push((raw.type_code, raw.data.to_vec())),
            // Known to them, bytes to us.
            _ => return false,
        }
    }
    if any {
        meaning.attrs = Some(attrs);
    }
    true
}

/// What they make of a message that they accept; `None` if something in it is known to them only.
pub(crate) fn read(body: &[u8], context: &DecodeContext) -> Option<Meaning> {
    let update = UpdateMessage::decode(&mut Bytes::copy_from_slice(body), body.len()).ok()?;
    let revised = update.parse_revised(context.four_octet_as, !context.external, false, &[]).ok()?;
    let mut meaning = Meaning::default();
    collect(&revised.update, &mut meaning).then_some(meaning)
}

/// Asserts that they read the same OPEN, and gives theirs.
pub(crate) fn open(bytes: &[u8], expected: &Open) -> Vec<u8> {
    let Message::Open(open) = message(bytes) else { panic!("not an OPEN") };
    let read = Open {
        asn: open.four_byte_as(),
        hold_time: open.hold_time,
        router_id: open.bgp_identifier,
        capabilities: open.capabilities.iter().map(capability).collect(),
    };
    assert_eq!(&read, expected);
    encode_message(&Message::Open(open)).unwrap().to_vec()
}

fn capability(capability: &Theirs) -> Capability {
    let family = |afi: Afi, safi: Safi| AfiSafi { afi: afi as u16, safi: safi as u8 };
    match capability {
        Theirs::MultiProtocol { afi, safi } => Capability::MultiProtocol(family(*afi, *safi)),
        Theirs::ExtendedNextHop(families) => Capability::ExtendedNextHop(
            families.iter().map(|each| (family(each.nlri_afi, each.nlri_safi), each.next_hop_afi as u16)).collect(),
        ),
        Theirs::GracefulRestart { restart_state, notification, restart_time, families } => {
            Capability::GracefulRestart(GracefulRestart {
                restarting: *restart_state,
                notification: *notification,
                time: *restart_time,
                families: families
                    .iter()
                    .map(|each| (family(each.afi, each.safi), each.forwarding_preserved))
                    .collect(),
            })
        }
        Theirs::RouteRefresh => Capability::RouteRefresh,
        Theirs::EnhancedRouteRefresh => Capability::EnhancedRouteRefresh,
        Theirs::ExtendedMessage => Capability::ExtendedMessage,
        Theirs::FourOctetAs { asn } => Capability::FourOctetAs(*asn),
        Theirs::AddPath(families) => Capability::AddPath(
            families
                .iter()
                .map(|each| {
                    let mode = match each.send_receive {
                        AddPathMode::Receive => AddPath::Receive,
                        AddPathMode::Send => AddPath::Send,
                        AddPathMode::Both => AddPath::Both,
                    };
                    (family(each.afi, each.safi), mode)
                })
                .collect(),
        ),
        Theirs::LongLivedGracefulRestart(families) => Capability::LongLivedGracefulRestart(
            families
                .iter()
                .map(|each| LongLived {
                    family: family(each.afi, each.safi),
                    preserved: each.forwarding_preserved,
                    stale_time: each.stale_time,
                })
                .collect(),
        ),
        Theirs::Unknown { code, data } => Capability::Unknown { code: *code, value: data.to_vec() },
        other => panic!("not something we said: {other:?}"),
    }
}

/// The type code, and whether it means nothing to us.
fn named(code: u8) -> String {
    if matches!(code, 1..=10 | 14..=18 | 32 | 35) { code.to_string() } else { format!("{code} (unknown here)") }
}

/// What they do about a message: the decoder's verdict, then the validator's, as their transport combines them.
pub(crate) fn verdict(body: &[u8], context: &DecodeContext) -> (Verdict, String) {
    let mut buf = Bytes::copy_from_slice(body);
    let update = match UpdateMessage::decode(&mut buf, body.len()) {
        Ok(update) => update,
        Err(error) => return (Verdict::Reset, error.to_string()),
    };
    let revised = match update.parse_revised(context.four_octet_as, !context.external, false, &[]) {
        Ok(revised) => revised,
        Err(error) => return (Verdict::Reset, error.to_string()),
    };
    let mut worst: Option<(ErrorDisposition, String)> = None;
    for malformed in &revised.malformed {
        let reason = format!("{}: {}", named(malformed.type_code), malformed.error);
        if worst.as_ref().is_none_or(|(disposition, _)| malformed.disposition > *disposition) {
            worst = Some((malformed.disposition, reason));
        }
    }
    let attributes = &revised.update.attributes;
    let classic = !revised.update.announced.is_empty();
    let mp = attributes.iter().any(|attribute| match attribute {
        PathAttribute::MpReachNlri(reach) => !reach.announced.is_empty(),
        _ => false,
    });
    let mut options = UpdateValidationOptions::default();
    options.allow_ipv4_link_local_mp_reach_next_hop = true;
    options.link_local_next_hop = true;
    let valid = validate_update_attributes_with_context(attributes, classic || mp, classic, context.external, options);
    if let Err(invalid) = valid {
        let disposition = invalid.error.disposition;
        let reason = format!("{}: invalid, subcode {}", invalid.type_code, invalid.error.subcode);
        if worst.as_ref().is_none_or(|(worst, _)| disposition > *worst) {
            worst = Some((disposition, reason));
        }
    }
    match worst {
        None => (Verdict::Accept, String::new()),
        Some((ErrorDisposition::AttributeDiscard, why)) => (Verdict::Discard, why),
        // RFC 7606 5.2 is their caller's.
        Some((ErrorDisposition::TreatAsWithdraw, why)) if !classic && !mp => (Verdict::Reset, why),
        Some((ErrorDisposition::TreatAsWithdraw, why)) => (Verdict::Withdraw, why),
        Some((ErrorDisposition::SessionReset, why)) => (Verdict::Reset, why),
    }
}
