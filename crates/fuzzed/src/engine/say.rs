//! What the other end says: well-formed messages, made with `wire` from a few octets each, and others.

use std::net::{IpAddr, Ipv4Addr};

use engine::Family;
use ipnet::IpNet;
use wire::{
    AfiSafi, AsPath, Capability, MAX_LEN, NextHop, Notification, Open, Refresh, RouteRefresh, attr_code,
    encode_end_of_rib, encode_keepalive, encode_reach, encode_unreach, flag, prepend, write_attribute, write_two_octet,
};

use super::intents::PREFIXES;
use super::remote::Remote;
use crate::input::Input;

const ASNS: [u32; 8] = [65001, 65002, 65006, 4_200_000_001, 4_200_000_004, 23456, 64512, 65010];
const COMMUNITIES: [u32; 6] = [0xffff_ff01, 0xffff_ff02, 0xffff_ff03, 0xffff_0000, 0xffff_029a, 65_001 << 16 | 7];

/// An OPEN: mostly one that the engine accepts.
pub(crate) fn open(remote: &Remote, input: &mut Input<'_>) -> Vec<u8> {
    let (flags, more) = (input.u8(), input.u8());
    let asn = if more & 1 != 0 { ASNS[usize::from(more >> 5)] } else { remote.place.asn };
    let mut capabilities = Vec::new();
    // Without any family IPv4 unicast is meant (RFC 4760 8).
    for (family, bit) in Family::ALL.into_iter().zip([1, 2]) {
        if flags & bit == 0 {
            capabilities.push(Capability::MultiProtocol(family.code()));
        }
    }
    if flags & 4 == 0 {
        capabilities.push(Capability::FourOctetAs(asn));
    }
    for (bit, capability) in [
        (8, Capability::RouteRefresh),
        (16, Capability::EnhancedRouteRefresh),
        (32, Capability::ExtendedMessage),
        (64, Capability::ExtendedNextHop(vec![(Family::Ipv4Unicast.code(), 2)])),
    ] {
        if flags & bit == 0 {
            capabilities.push(capability);
        }
    }
    let hold_time = if flags & 128 == 0 { 90 } else { 0 };
    let router_id = Ipv4Addr::new(10, 9, 0, if more & 2 != 0 { 1 } else { 2 });
    let router_id = if more & 4 != 0 { Ipv4Addr::new(10, 0, 0, 1) } else { router_id };
    let mut out = Vec::new();
    Open { asn, hold_time, router_id, capabilities }.encode(&mut out);
    out
}

/// A KEEPALIVE.
pub(crate) fn keepalive() -> Vec<u8> {
    let mut out = Vec::new();
    encode_keepalive(&mut out);
    out
}

/// Prefixes of one family: a few by their numbers, or many.
fn prefixes(input: &mut Input<'_>) -> (Family, Vec<IpNet>) {
    let which = input.u8();
    if which >= 0xf8 {
        let many = (0..400_u16).map(|n| format!("100.64.{}.{}/28", n >> 4, (n & 15) << 4).parse().expect("a prefix"));
        return (Family::Ipv4Unicast, many.collect());
    }
    let mask = which.rotate_left(3) | input.u8();
    let v6 = which & 1 != 0;
    let all: Vec<IpNet> = PREFIXES.iter().map(|prefix| prefix.parse().expect("a literal")).collect();
    let of_family = all.into_iter().filter(|prefix| matches!(prefix, IpNet::V6(_)) == v6);
    let chosen = of_family.enumerate().filter(|(at, _)| mask & (1 << at) != 0).map(|(_, prefix)| prefix);
    (if v6 { Family::Ipv6Unicast } else { Family::Ipv4Unicast }, chosen.collect())
}

/// An UPDATE that announces.
pub(crate) fn announce(remote: &Remote, input: &mut Input<'_>) -> Vec<u8> {
    let (family, prefixes) = prefixes(input);
    let Some(next_hop) = next_hop(remote, family, input) else { return Vec::new() };
    let mut set = attributes(remote, input);
    let session = remote.session();
    if session.is_some_and(|session| !session.context.four_octet_as) {
        let mut narrow = Vec::new();
        write_two_octet(&mut narrow, &set);
        set = narrow;
    }
    let max_len = session.map_or(MAX_LEN, |session| session.max_len);
    let mut out = Vec::new();
    encode_reach(&mut out, max_len, &set, &next_hop, family, prefixes.into_iter());
    out
}

/// An UPDATE that withdraws.
pub(crate) fn withdraw(input: &mut Input<'_>) -> Vec<u8> {
    let (family, prefixes) = prefixes(input);
    let mut out = Vec::new();
    encode_unreach(&mut out, MAX_LEN, family, prefixes.into_iter());
    out
}

fn next_hop(remote: &Remote, family: Family, input: &mut Input<'_>) -> Option<NextHop> {
    let choice = input.u8();
    let extended = choice & 0x80 != 0;
    let v4 = |text: &str| NextHop::V4(text.parse().expect("a literal"));
    let v6 = |global: &str, link_local: Option<&str>| NextHop::V6 {
        global: global.parse().expect("a literal"),
        link_local: link_local.map(|text| text.parse().expect("a literal")),
    };
    let own = match (remote.ends.1.ip(), family) {
        (IpAddr::V4(address), Family::Ipv4Unicast) => Some(NextHop::V4(address)),
        (IpAddr::V6(address), _) => Some(NextHop::V6 { global: address, link_local: None }),
        (IpAddr::V4(_), Family::Ipv6Unicast) => None,
    };
    let choices = match family {
        Family::Ipv4Unicast if !extended => {
            vec![own, Some(v4("192.0.2.9")), Some(v4("10.10.0.9")), Some(v4("198.51.100.1")), Some(v4("192.0.2.1"))]
        }
        Family::Ipv4Unicast | Family::Ipv6Unicast => vec![
            own,
            Some(v6("2001:db8::9", Some("fe80::9"))),
            Some(v6("2001:db8:1::9", None)),
            Some(v6("fe80::5", None)),
            Some(v6("2001:db8::1", None)),
        ],
    };
    choices[usize::from(choice & 0x7f) % choices.len()]
}

/// A canonical set; with a first octet of zero, the plainest one.
fn attributes(remote: &Remote, input: &mut Input<'_>) -> Vec<u8> {
    let (what, more) = (input.u8(), if input.0.is_empty() { 0 } else { input.u8() });
    let mut out = Vec::new();
    let mut put = |flags, code, value: &[u8]| write_attribute(&mut out, flags, code, value);
    let transitive = flag::OPTIONAL | flag::TRANSITIVE;
    put(flag::TRANSITIVE, attr_code::ORIGIN, &[(more & 3) % 3]);
    put(flag::TRANSITIVE, attr_code::AS_PATH, &path(remote, what & 3, input));
    if what & 4 != 0 {
        put(flag::OPTIONAL, attr_code::MED, &u32::from(input.u8()).to_be_bytes());
    }
    if what & 8 != 0 {
        put(flag::TRANSITIVE, attr_code::LOCAL_PREF, &u32::from(input.u8()).to_be_bytes());
    }
    if more & 4 != 0 {
        put(flag::TRANSITIVE, attr_code::ATOMIC_AGGREGATE, &[]);
        let asn = ASNS[input.below(ASNS.len())].to_be_bytes();
        put(transitive, attr_code::AGGREGATOR, &[&asn[..], &[10, 9, 9, 9]].concat());
    }
    if what & 16 != 0 {
        let community = input.pick(&COMMUNITIES).copied().unwrap_or(0);
        put(transitive, attr_code::COMMUNITIES, &community.to_be_bytes());
    }
    if more & 8 != 0 {
        put(flag::OPTIONAL, attr_code::ORIGINATOR_ID, &[10, 0, 0, 1 + (input.u8() & 1)]);
        put(flag::OPTIONAL, attr_code::CLUSTER_LIST, &[10, 0, 0, 9 - (input.u8() & 1)]);
    }
    if what & 32 != 0 {
        let kind = input.u8();
        put(transitive, attr_code::EXTENDED_COMMUNITIES, &[kind, 2, 0, 1, 0, 0, 0, 7]);
    }
    if what & 64 != 0 {
        put(transitive, attr_code::LARGE_COMMUNITIES, &[1; 12]);
    }
    if more & 16 != 0 {
        put(transitive, attr_code::OTC, &ASNS[input.below(ASNS.len())].to_be_bytes());
    }
    if what & 128 != 0 {
        // One that nobody knows, at times so long that it leaves room for nothing else.
        let length = usize::from(input.u8()) * 16;
        put(transitive | flag::PARTIAL, 200, &vec![7; length]);
    }
    out
}

fn path(remote: &Remote, kind: u8, input: &mut Input<'_>) -> Vec<u8> {
    let mut value = Vec::new();
    if kind == 3 {
        // A set, or segments of a confederation.
        let segment = 1 + input.u8() % 4;
        value.extend_from_slice(&[segment, 1]);
        value.extend_from_slice(&ASNS[input.below(ASNS.len())].to_be_bytes());
    }
    if kind == 2 {
        // A sequence that has no room for one more.
        value.extend_from_slice(&[2, 255]);
        (0..255_u32).for_each(|_| value.extend_from_slice(&65_100_u32.to_be_bytes()));
    }
    for _ in 0..(if kind == 0 { 0 } else { input.u8() % 4 }) {
        let asn = ASNS[input.below(ASNS.len())];
        let before = std::mem::take(&mut value);
        prepend(&mut value, AsPath::new(&before), asn);
    }
    let external = remote.session().is_none_or(|session| session.context.external);
    if external {
        let before = std::mem::take(&mut value);
        prepend(&mut value, AsPath::new(&before), remote.place.asn);
    }
    value
}

/// A message that is neither OPEN nor a route.
pub(crate) fn other(input: &mut Input<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let what = input.u8();
    let family = Family::ALL[usize::from(what >> 7)];
    let refresh = |subtype| RouteRefresh { family: family.code(), subtype };
    match what & 7 {
        0 => encode_end_of_rib(&mut out, family),
        1 => refresh(Refresh::Request).encode(&mut out),
        2 => refresh(Refresh::Begin).encode(&mut out),
        3 => refresh(Refresh::End).encode(&mut out),
        4 => RouteRefresh { family: AfiSafi { afi: 25, safi: 70 }, subtype: Refresh::Other(what) }.encode(&mut out),
        5 => Notification::with_data(input.u8(), input.u8(), input.take(usize::from(what)).to_vec()).encode(&mut out),
        _ => encode_keepalive(&mut out),
    }
    out
}

/// Any body behind a good header.
pub(crate) fn hostile(input: &mut Input<'_>) -> Vec<u8> {
    let (kind, length) = (1 + input.u8() % 6, usize::from(input.u8()));
    let body = input.take(length);
    let mut out = vec![0xff; 16];
    out.extend_from_slice(&u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    out.push(kind);
    out.extend_from_slice(body);
    out
}
