//! What a message means, independent of any codec; how to make one up; and our own way there and back.

// Every test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::{
    Aggregator, AsPath, DecodeContext, Family, FamilySet, Frame, MAX_LEN, MAX_LEN_EXTENDED, MessageType, NextHop,
    PathId, RawAttr, Update, attr_code, attributes, communities, encode_reach, encode_unreach, extended_communities,
    large_communities, next_frame, write_attribute,
};

/// An internal session that can do everything.
pub(crate) const SESSION: DecodeContext = DecodeContext {
    four_octet_as: true,
    external: false,
    families: FamilySet::ALL,
    extended_next_hop: true,
    add_path: FamilySet::NONE,
};

/// The attributes of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attrs {
    pub(crate) origin: u8,
    /// Kind and AS numbers of each segment.
    pub(crate) path: Vec<(u8, Vec<u32>)>,
    pub(crate) med: Option<u32>,
    pub(crate) local_pref: Option<u32>,
    pub(crate) atomic: bool,
    pub(crate) aggregator: Option<(u32, Ipv4Addr)>,
    pub(crate) communities: Vec<u32>,
    pub(crate) originator: Option<Ipv4Addr>,
    pub(crate) clusters: Vec<Ipv4Addr>,
    pub(crate) extended: Vec<[u8; 8]>,
    pub(crate) large: Vec<(u32, u32, u32)>,
    pub(crate) otc: Option<u32>,
    /// Unknown transitive ones: code and value.
    pub(crate) unknown: Vec<(u8, Vec<u8>)>,
}

/// What one or more messages say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub(crate) withdrawn: BTreeSet<IpNet>,
    pub(crate) announced: BTreeMap<IpNet, NextHop>,
    /// Of what is announced.
    pub(crate) attrs: Option<Attrs>,
}

/// A prefix with the identifier of one of its paths.
pub(crate) type Listed = (PathId, IpNet);

/// Something to say: prefixes of one family, with attributes and next hop, or to be withdrawn.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    pub(crate) family: Family,
    pub(crate) prefixes: BTreeSet<IpNet>,
    pub(crate) route: Option<(NextHop, Attrs)>,
}

impl Speech {
    pub(crate) fn meaning(&self) -> Meaning {
        match &self.route {
            None => Meaning { withdrawn: self.prefixes.clone(), ..Meaning::default() },
            Some((next_hop, attrs)) => Meaning {
                announced: self.prefixes.iter().map(|prefix| (*prefix, *next_hop)).collect(),
                attrs: Some(attrs.clone()),
                ..Meaning::default()
            },
        }
    }

    /// In our bytes.
    pub(crate) fn encode(&self, max_len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let prefixes = self.prefixes.iter().copied();
        let count = match &self.route {
            None => encode_unreach(&mut out, max_len, self.family, prefixes),
            Some((next_hop, attrs)) => {
                encode_reach(&mut out, max_len, &attrs.canonical(), next_hop, self.family, prefixes)
            }
        };
        assert!(count > 0, "there is room for every generated set");
        out
    }
}

impl Attrs {
    /// The canonical set, written by hand so that it does not depend on what it is to test.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |flags, code, value: &[u8]| write_attribute(&mut out, flags, code, value);
        put(0x40, attr_code::ORIGIN, &[self.origin]);
        let mut path = Vec::new();
        for (kind, asns) in &self.path {
            path.extend_from_slice(&[*kind, u8::try_from(asns.len()).unwrap()]);
            path.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
        }
        put(0x40, attr_code::AS_PATH, &path);
        if let Some(med) = self.med {
            put(0x80, attr_code::MED, &med.to_be_bytes());
        }
        if let Some(local_pref) = self.local_pref {
            put(0x40, attr_code::LOCAL_PREF, &local_pref.to_be_bytes());
        }
        if self.atomic {
            put(0x40, attr_code::ATOMIC_AGGREGATE, &[]);
        }
        if let Some((asn, router_id)) = self.aggregator {
            put(0xc0, attr_code::AGGREGATOR, &[asn.to_be_bytes(), router_id.octets()].concat());
        }
        let list = |values: &[u32]| values.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<u8>>();
        if !self.communities.is_empty() {
            put(0xc0, attr_code::COMMUNITIES, &list(&self.communities));
        }
        if let Some(originator) = self.originator {
            put(0x80, attr_code::ORIGINATOR_ID, &originator.octets());
        }
        if !self.clusters.is_empty() {
            let clusters: Vec<u32> = self.clusters.iter().map(|cluster| cluster.to_bits()).collect();
            put(0x80, attr_code::CLUSTER_LIST, &list(&clusters));
        }
        if !self.extended.is_empty() {
            put(0xc0, attr_code::EXTENDED_COMMUNITIES, &self.extended.concat());
        }
        if !self.large.is_empty() {
            let large: Vec<u32> = self.large.iter().flat_map(|(a, b, c)| [*a, *b, *c]).collect();
            put(0xc0, attr_code::LARGE_COMMUNITIES, &list(&large));
        }
        if let Some(otc) = self.otc {
            put(0xc0, attr_code::OTC, &otc.to_be_bytes());
        }
        for (code, value) in &self.unknown {
            put(0xc0, *code, value);
        }
        out
    }

    /// From a canonical set.
    pub(crate) fn read(canonical: &[u8]) -> Self {
        let mut attrs = Self::default();
        let number = |value: &[u8]| u32::from_be_bytes(value.try_into().unwrap());
        for RawAttr { code, value, .. } in attributes(canonical) {
            match code {
                attr_code::ORIGIN => attrs.origin = value[0],
                attr_code::AS_PATH => {
                    let segments = AsPath::new(value).segments();
                    attrs.path = segments.map(|segment| (segment.kind as u8, segment.asns.collect())).collect();
                }
                attr_code::MED => attrs.med = Some(number(value)),
                attr_code::LOCAL_PREF => attrs.local_pref = Some(number(value)),
                attr_code::ATOMIC_AGGREGATE => attrs.atomic = true,
                attr_code::AGGREGATOR => {
                    let aggregator = Aggregator::from_value(value).unwrap();
                    attrs.aggregator = Some((aggregator.asn, aggregator.router_id));
                }
                attr_code::COMMUNITIES => attrs.communities = communities(value).collect(),
                attr_code::ORIGINATOR_ID => attrs.originator = Some(number(value).into()),
                attr_code::CLUSTER_LIST => attrs.clusters = communities(value).map(Ipv4Addr::from_bits).collect(),
                attr_code::EXTENDED_COMMUNITIES => attrs.extended = extended_communities(value).collect(),
                attr_code::LARGE_COMMUNITIES => attrs.large = large_communities(value).collect(),
                attr_code::OTC => attrs.otc = Some(number(value)),
                other => attrs.unknown.push((other, value.to_vec())),
            }
        }
        attrs
    }
}

/// The bodies of all messages in `bytes`, which must be UPDATEs.
pub(crate) fn bodies(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    while let Some(Frame { kind, body, len }) = next_frame(bytes, MAX_LEN_EXTENDED).unwrap() {
        assert_eq!(kind, MessageType::Update);
        bodies.push(body);
        bytes = &bytes[len..];
    }
    assert!(bytes.is_empty());
    bodies
}

pub(crate) fn canonical(update: &Update<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    update.write_canonical(&mut out);
    out
}

impl Attrs {
    /// Without what codecs may choose: where sequences are cut (they add up to the same path), repeated values, and the
    /// order of unknown attributes.
    pub(crate) fn comparable(mut self) -> Self {
        fn once<T: PartialEq>(values: &mut Vec<T>) {
            let mut kept = Vec::new();
            for value in values.drain(..) {
                if !kept.contains(&value) {
                    kept.push(value);
                }
            }
            *values = kept;
        }
        let mut path: Vec<(u8, Vec<u32>)> = Vec::new();
        for (kind, asns) in self.path.drain(..) {
            match path.last_mut() {
                Some((2, last)) if kind == 2 => last.extend(asns),
                _ => path.push((kind, asns)),
            }
        }
        self.path = path;
        once(&mut self.communities);
        once(&mut self.extended);
        once(&mut self.large);
        self.unknown.sort();
        self
    }
}

/// What our decoder makes of one message.
pub(crate) fn meaning(update: &Update<'_>) -> Meaning {
    let mut meaning = Meaning::default();
    meaning.withdrawn.extend(update.withdrawn().flatten());
    for (section, next_hop) in update.announced() {
        meaning.announced.extend(section.into_iter().map(|prefix| (prefix, next_hop)));
        meaning.attrs = Some(Attrs::read(&canonical(update)));
    }
    meaning
}

/// What our decoder makes of messages that all share their attributes.
pub(crate) fn decode(bytes: &[u8], context: &DecodeContext) -> Meaning {
    let mut all = Meaning::default();
    for body in bodies(bytes) {
        let update = Update::decode(body, context).unwrap();
        assert!(update.problems().is_empty(), "{:?} in {body:02x?}", update.problems());
        let Meaning { withdrawn, announced, attrs } = meaning(&update);
        all.withdrawn.extend(withdrawn);
        all.announced.extend(announced);
        assert!(all.attrs.is_none() || attrs.is_none() || all.attrs == attrs);
        all.attrs = all.attrs.or(attrs);
    }
    all
}

// Strategies. Prefixes and next hops stay clear of multicast and other space that a codec may refuse.

fn v4_prefix() -> impl Strategy<Value = IpNet> {
    (0..224_u32, any::<u32>(), 0..=32_u8).prop_map(|(first, rest, len)| {
        let address = Ipv4Addr::from_bits(first << 24 | rest >> 8);
        IpNet::V4(Ipv4Net::new(address, len).unwrap().trunc())
    })
}

fn v6_prefix() -> impl Strategy<Value = IpNet> {
    (any::<u128>(), 3..=128_u8).prop_map(|(rest, len)| {
        let address = Ipv6Addr::from_bits(0b001 << 125 | rest >> 3);
        IpNet::V6(Ipv6Net::new(address, len).unwrap().trunc())
    })
}

fn v4_host() -> impl Strategy<Value = Ipv4Addr> {
    (1..=100_u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d))
}

fn v6_next_hop() -> impl Strategy<Value = NextHop> {
    let global = any::<u128>().prop_map(|rest| Ipv6Addr::from_bits(0b001 << 125 | rest >> 3));
    let link_local = any::<u64>().prop_map(|low| Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(low)));
    (global, proptest::option::of(link_local)).prop_map(|(global, link_local)| NextHop::V6 { global, link_local })
}

fn asn() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..=65535_u32, 1 => 65536..=u32::MAX]
}

/// `sets`: whether AS_SETs may occur.
fn path(sets: bool) -> impl Strategy<Value = Vec<(u8, Vec<u32>)>> {
    let kind = if sets { prop_oneof![4 => Just(2_u8), 1 => Just(1)].boxed() } else { Just(2).boxed() };
    vec((kind, vec(asn(), 1..6)), 0..3)
}

/// The values of a set in some order: codecs differ on repeated ones.
fn distinct<T: Ord + Clone + std::fmt::Debug + 'static>(
    values: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::btree_set(values, 0..5).prop_map(|set| set.into_iter().rev().collect())
}

pub(crate) fn attrs(sets: bool) -> impl Strategy<Value = Attrs> {
    let option = |strategy: BoxedStrategy<u32>| proptest::option::of(strategy);
    let any_u32 = || any::<u32>().boxed();
    // Route targets and origins of the three transitive kinds.
    let extended = (0..3_u8, 2..4_u8, any::<[u8; 6]>())
        .prop_map(|(kind, subtype, [a, b, c, d, e, f])| [kind, subtype, a, b, c, d, e, f]);
    let unknown = proptest::collection::btree_map(200..210_u8, vec(any::<u8>(), 0..300), 0..3);
    let first = (0..3_u8, path(sets), option(any_u32()), option(any_u32()), any::<bool>());
    let second = (proptest::option::of((asn(), v4_host())), distinct(any::<u32>()), proptest::option::of(v4_host()));
    let third = (vec(v4_host(), 0..4), distinct(extended), distinct(any::<(u32, u32, u32)>()), option(asn().boxed()));
    (first, second, third, unknown).prop_map(|(first, second, third, unknown)| {
        let (origin, path, med, local_pref, atomic) = first;
        let (aggregator, communities, originator) = second;
        let (clusters, extended, large, otc) = third;
        Attrs {
            origin,
            path,
            med,
            local_pref,
            atomic,
            aggregator,
            communities,
            originator,
            clusters,
            extended,
            large,
            otc,
            unknown: unknown.into_iter().collect(),
        }
    })
}

pub(crate) fn speech(sets: bool) -> impl Strategy<Value = Speech> {
    let set = |prefix: BoxedStrategy<IpNet>| proptest::collection::btree_set(prefix, 1..40);
    let v4 = (
        Just(Family::Ipv4Unicast),
        set(v4_prefix().boxed()),
        prop_oneof![3 => v4_host().prop_map(NextHop::V4), 1 => v6_next_hop()].boxed(),
    );
    let v6 = (Just(Family::Ipv6Unicast), set(v6_prefix().boxed()), v6_next_hop().boxed());
    (prop_oneof![v4, v6], proptest::option::weighted(0.8, attrs(sets))).prop_map(
        |((family, prefixes, next_hop), attrs)| Speech {
            family,
            prefixes,
            route: attrs.map(|attrs| (next_hop, attrs)),
        },
    )
}

/// Paths of one family, prefixes and identifiers repeated as chance has it, and attributes to announce them with.
pub(crate) fn listed(most: usize) -> impl Strategy<Value = (Vec<Listed>, Speech)> {
    let id = prop_oneof![0..4_u32, any::<u32>()];
    (speech(false), vec((id, any::<prop::sample::Index>()), 1..most)).prop_map(|(speech, ids)| {
        let prefixes: Vec<IpNet> = speech.prefixes.iter().copied().collect();
        (ids.into_iter().map(|(id, at)| (id, *at.get(&prefixes))).collect(), speech)
    })
}

/// In our bytes: the paths, announced with the attributes of `speech` or withdrawn.
pub(crate) fn encode_paths(speech: &Speech, paths: &[Listed], max_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let each = paths.iter().copied();
    let count = match &speech.route {
        None => encode_unreach(&mut out, max_len, speech.family, each),
        Some((next_hop, attrs)) => encode_reach(&mut out, max_len, &attrs.canonical(), next_hop, speech.family, each),
    };
    assert_eq!(bodies(&out).len(), count);
    out
}

/// Withdrawn and announced paths, as our decoder reads them on a session with path identifiers.
pub(crate) fn decode_paths(bytes: &[u8]) -> (Vec<Listed>, Vec<Listed>) {
    let (mut withdrawn, mut announced) = (Vec::new(), Vec::new());
    for body in bodies(bytes) {
        let update = Update::decode(body, &DecodeContext { add_path: FamilySet::ALL, ..SESSION }).unwrap();
        assert!(update.problems().is_empty(), "{:?} in {body:02x?}", update.problems());
        withdrawn.extend(update.withdrawn().flat_map(|section| section.paths()));
        announced.extend(update.announced().flat_map(|(section, _)| section.paths()));
    }
    (withdrawn, announced)
}

/// Generated messages that fit one frame of the classic length.
pub(crate) const ONE_MESSAGE: usize = MAX_LEN;

/// The lines of a data file, without comments.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
