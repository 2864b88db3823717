//! The same questions to `netgauze-bgp-pkt`. It says what is wrong, not what to do about it.

#![allow(clippy::wildcard_enum_match_arm, reason = "what it can say is not ours to list")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::capabilities::BgpCapability;
use netgauze_bgp_pkt::path_attribute::{Aggregator, AsPath, MpReach, MpUnreach, PathAttributeValue};
use netgauze_bgp_pkt::update::BgpUpdateMessage;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;
use wire::{AddPath, AfiSafi, Capability, DecodeContext, Family, GracefulRestart, LongLived, NextHop, Open};

use crate::common::{Attrs, Listed, Meaning};
use crate::differences::Verdict;

/// Prefixes that are not unicast do not make a message wrong (RFC 4271 6.3).
fn context(four_octet_as: bool) -> BgpParsingContext {
    BgpParsingContext::new(four_octet_as, HashMap::new(), HashMap::new(), false, false, true, true)
}

fn message(bytes: &[u8]) -> BgpMessage {
    BgpMessage::parse(&mut SliceReader::new(bytes), &mut context(true)).unwrap()
}

/// The paths of our messages with path identifiers as they read them, withdrawn and announced, and the messages as they
/// write them.
pub(crate) fn paths(mut bytes: &[u8]) -> (Vec<Listed>, Vec<Listed>, Vec<u8>) {
    let mut context = context(true);
    let mut opening = Vec::new();
    let families = Family::ALL.map(|family| (family.code(), AddPath::Both)).to_vec();
    let capabilities = vec![Capability::AddPath(families)];
    Open { asn: 1, hold_time: 0, router_id: Ipv4Addr::LOCALHOST, capabilities }.encode(&mut opening);
    let BgpMessage::Open(open) = message(&opening) else { panic!("not an OPEN") };
    open.capabilities().into_iter().for_each(|capability| context.update_capabilities(capability, false));
    let (mut withdrawn, mut announced, mut again) = (Vec::new(), Vec::new(), Vec::new());
    macro_rules! listed {
        ($routes:expr) => {
            $routes.iter().map(|route| (route.path_id(), ipnet::IpNet::from(route.network().address())))
        };
    }
    while !bytes.is_empty() {
        let len = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        let message = BgpMessage::parse(&mut SliceReader::new(&bytes[..len]), &mut context).unwrap();
        bytes = &bytes[len..];
        again.extend(written(&message));
        let BgpMessage::Update(update) = message else { panic!("not an UPDATE") };
        withdrawn.extend(listed!(update.withdraw_routes()));
        announced.extend(listed!(update.nlri()));
        for attribute in update.path_attributes() {
            match attribute.value() {
                PathAttributeValue::MpReach(MpReach::Ipv4Unicast { nlri, .. }) => announced.extend(listed!(nlri)),
                PathAttributeValue::MpReach(MpReach::Ipv6Unicast { nlri, .. }) => announced.extend(listed!(nlri)),
                PathAttributeValue::MpUnreach(MpUnreach::Ipv6Unicast { nlri }) => withdrawn.extend(listed!(nlri)),
                _ => {}
            }
        }
    }
    let known =
        |paths: Vec<(Option<u32>, ipnet::IpNet)>| paths.into_iter().map(|(id, prefix)| (id.unwrap(), prefix)).collect();
    (known(withdrawn), known(announced), again)
}

fn written(message: &BgpMessage) -> Vec<u8> {
    let mut out = Vec::new();
    message.write(&mut out).unwrap();
    out
}

/// The message as they write it again.
pub(crate) fn again(bytes: &[u8]) -> Vec<u8> {
    written(&message(bytes))
}

/// The meaning of our messages as they read it, and the same messages as they write them.
pub(crate) fn read_and_write(mut bytes: &[u8]) -> (Meaning, Vec<u8>) {
    let mut meaning = Meaning::default();
    let mut again = Vec::new();
    while !bytes.is_empty() {
        let len = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        let message = message(&bytes[..len]);
        bytes = &bytes[len..];
        again.extend(written(&message));
        let BgpMessage::Update(update) = message else { panic!("not an UPDATE") };
        collect(&update, &mut meaning);
    }
    (meaning, again)
}

fn collect(update: &BgpUpdateMessage, meaning: &mut Meaning) {
    meaning
        .withdrawn
        .extend(update.withdraw_routes().iter().map(|route| ipnet::IpNet::from(route.network().address())));
    let mut attrs = Attrs::default();
    let mut any = false;
    for attribute in update.path_attributes() {
        match attribute.value() {
            PathAttributeValue::Origin(origin) => attrs.origin = *origin as u8,
            PathAttributeValue::AsPath(AsPath::As4PathSegments(segments)) => {
                attrs.path = segments
                    .iter()
                    .map(|segment| (segment.segment_type() as u8, segment.as_numbers().to_vec()))
                    .collect();
            }
            PathAttributeValue::NextHop(next_hop) => {
                any |= !update.nlri().is_empty();
                let next_hop = NextHop::V4(next_hop.next_hop());
                let routes = update.nlri().iter();
                meaning.announced.extend(routes.map(|route| (route.network().address().into(), next_hop)));
            }
            PathAttributeValue::MultiExitDiscriminator(med) => attrs.med = Some(med.metric()),
            PathAttributeValue::LocalPreference(value) => attrs.local_pref = Some(value.metric()),
            PathAttributeValue::AtomicAggregate(_) => attrs.atomic = true,
            PathAttributeValue::Aggregator(Aggregator::As4Aggregator(aggregator)) => {
                attrs.aggregator = Some((*aggregator.asn(), aggregator.origin()));
            }
            PathAttributeValue::Communities(values) => {
                attrs.communities = values.communities().iter().map(|value| value.value()).collect();
            }
            PathAttributeValue::ExtendedCommunities(values) => {
                let octets = |value: &netgauze_bgp_pkt::community::ExtendedCommunity| {
                    let mut out = Vec::new();
                    value.write(&mut out).unwrap();
                    out.try_into().unwrap()
                };
                attrs.extended = values.communities().iter().map(octets).collect();
            }
            PathAttributeValue::LargeCommunities(values) => {
                let each = values.communities().iter();
                attrs.large =
                    each.map(|value| (value.global_admin(), value.local_data1(), value.local_data2())).collect();
            }
            PathAttributeValue::Originator(value) => attrs.originator = Some(value.id()),
            PathAttributeValue::ClusterList(values) => {
                attrs.clusters = values.cluster_list().iter().map(|value| value.id()).collect();
            }
            PathAttributeValue::MpReach(MpReach::Ipv4Unicast { next_hop, next_hop_local, nlri }) => {
                any = true;
                let next_hop = match next_hop {
                    IpAddr::V4(address) => NextHop::V4(*address),
                    IpAddr::V6(global) => NextHop::V6 { global: *global, link_local: *next_hop_local },
                };
                meaning.announced.extend(nlri.iter().map(|route| (route.network().address().into(), next_hop)));
            }
            PathAttributeValue::MpReach(MpReach::Ipv6Unicast { next_hop_global, next_hop_local, nlri }) => {
                any = true;
                let next_hop = NextHop::V6 { global: *next_hop_global, link_local: *next_hop_local };
                meaning.announced.extend(nlri.iter().map(|route| (route.network().address().into(), next_hop)));
            }
            PathAttributeValue::MpUnreach(MpUnreach::Ipv6Unicast { nlri }) => {
                meaning.withdrawn.extend(nlri.iter().map(|route| ipnet::IpNet::from(route.network().address())));
            }
            PathAttributeValue::OnlyToCustomer(otc) => attrs.otc = Some(otc.asn()),
            PathAttributeValue::UnknownAttribute(unknown) => {
                attrs.unknown.push((unknown.code(), unknown.value().to_vec()));
            }
            other => panic!("not something we said: {other:?}"),
        }
    }
    if any {
        meaning.attrs = Some(attrs);
    }
}

/// Asserts that they read the same OPEN, and gives theirs.
pub(crate) fn open(bytes: &[u8], expected: &Open) -> Vec<u8> {
    let message = message(bytes);
    let BgpMessage::Open(open) = &message else { panic!("not an OPEN") };
    let read = Open {
        asn: open.my_asn4(),
        hold_time: open.hold_time(),
        router_id: open.bgp_id(),
        capabilities: open.capabilities().into_iter().map(capability).collect(),
    };
    assert_eq!(&read, expected);
    written(&message)
}

fn capability(capability: &BgpCapability) -> Capability {
    macro_rules! family {
        ($address_type:expr) => {{
            let of = $address_type;
            AfiSafi { afi: of.address_family() as u16, safi: of.subsequent_address_family() as u8 }
        }};
    }
    match capability {
        BgpCapability::MultiProtocolExtensions(of) => Capability::MultiProtocol(family!(of.address_type())),
        BgpCapability::RouteRefresh => Capability::RouteRefresh,
        BgpCapability::EnhancedRouteRefresh => Capability::EnhancedRouteRefresh,
        BgpCapability::ExtendedMessage => Capability::ExtendedMessage,
        BgpCapability::FourOctetAs(asn) => Capability::FourOctetAs(asn.asn4()),
        BgpCapability::ExtendedNextHopEncoding(families) => Capability::ExtendedNextHop(
            families
                .encodings()
                .iter()
                .map(|each| (family!(each.address_type()), each.next_hop_afi() as u16))
                .collect(),
        ),
        BgpCapability::GracefulRestartCapability(restart) => Capability::GracefulRestart(GracefulRestart {
            restarting: restart.restart(),
            notification: restart.graceful_notification(),
            time: restart.time(),
            families: restart
                .address_families()
                .iter()
                .map(|each| (family!(each.address_type()), each.forwarding_state()))
                .collect(),
        }),
        BgpCapability::AddPath(families) => Capability::AddPath(
            families
                .address_families()
                .iter()
                .map(|each| {
                    let mode = match (each.send(), each.receive()) {
                        (true, true) => AddPath::Both,
                        (true, false) => AddPath::Send,
                        (false, true) => AddPath::Receive,
                        (false, false) => panic!("neither"),
                    };
                    (family!(each.address_type()), mode)
                })
                .collect(),
        ),
        BgpCapability::LongLivedGracefulRestart(families) => Capability::LongLivedGracefulRestart(
            families
                .address_families()
                .iter()
                .map(|each| LongLived {
                    family: family!(each.address_type()),
                    preserved: each.forwarding_state(),
                    stale_time: each.stale_time(),
                })
                .collect(),
        ),
        BgpCapability::Unrecognized(unknown) => {
            Capability::Unknown { code: *unknown.code(), value: unknown.value().to_vec() }
        }
        other => panic!("not something we said: {other:?}"),
    }
}

/// Whether they read a message.
pub(crate) fn verdict(body: &[u8], context_of: &DecodeContext) -> (Verdict, String) {
    let mut reader = SliceReader::new(body);
    match BgpUpdateMessage::parse(&mut reader, &mut context(context_of.four_octet_as)) {
        Ok(_) => (Verdict::Accept, String::new()),
        Err(error) => (Verdict::Refuse, format!("{error:?}")),
    }
}
