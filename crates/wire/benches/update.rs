//! UPDATEs: octets to meaning, canonical attributes, and back. Six prefixes share a set of attributes, as in public tables.
#![allow(clippy::unwrap_used)] // a failing unwrap is a failing benchmark

use std::net::Ipv4Addr;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use ipnet::{IpNet, Ipv4Net};
use wire::{DecodeContext, Family, FamilySet, MAX_LEN, NextHop, Update, attr_code, flag, next_frame, write_attribute};

/// Messages of a run.
const SETS: u32 = 1000;
const SHARE: u32 = 6;

fn main() {
    divan::main();
}

/// A set as routes of a public table have it: four ASes, three communities.
fn attributes(set: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let numbers = |list: &[u32]| list.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>();
    write_attribute(&mut out, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
    let path = [&[2, 4][..], &numbers(&[64512, 3000 + set % 40, 10_000 + set, 200_000 + set])].concat();
    write_attribute(&mut out, flag::TRANSITIVE, attr_code::AS_PATH, &path);
    let communities = numbers(&[(3000 << 16) + set, (3001 << 16) + set, (3002 << 16) + set]);
    write_attribute(&mut out, flag::OPTIONAL | flag::TRANSITIVE, attr_code::COMMUNITIES, &communities);
    out
}

fn prefixes(set: u32) -> impl Iterator<Item = IpNet> {
    let first = 0x0100_0000 + set * SHARE * 256;
    (0..SHARE).map(move |i| Ipv4Net::new_assert(Ipv4Addr::from(first + i * 256), 24).into())
}

fn encoded(set: u32, out: &mut Vec<u8>) {
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
    wire::encode_reach(out, MAX_LEN, &attributes(set), &next_hop, Family::Ipv4Unicast, prefixes(set));
}

/// The bodies of all messages.
fn bodies() -> Vec<Vec<u8>> {
    let mut stream = Vec::new();
    (0..SETS).for_each(|set| encoded(set, &mut stream));
    let (mut rest, mut bodies) = (&stream[..], Vec::new());
    while let Some(frame) = next_frame(rest, MAX_LEN).unwrap() {
        bodies.push(frame.body.to_vec());
        rest = &rest[wire::HEADER_LEN + frame.body.len()..];
    }
    assert_eq!(bodies.len(), SETS as usize);
    bodies
}

const SESSION: DecodeContext = DecodeContext {
    four_octet_as: true,
    external: true,
    families: FamilySet::ALL,
    extended_next_hop: false,
    add_path: FamilySet::NONE,
};

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let bodies = bodies();
    let octets: usize = bodies.iter().map(Vec::len).sum();
    bencher.counter(ItemsCount::new(SETS * SHARE)).counter(BytesCount::new(octets)).bench(|| {
        let mut count = 0;
        for body in &bodies {
            let update = Update::decode(black_box(body), &SESSION).unwrap();
            count += update.announced().map(|(section, _)| section.iter().count()).sum::<usize>();
        }
        assert_eq!(count, (SETS * SHARE) as usize);
    });
}

#[divan::bench]
fn canonical(bencher: Bencher<'_, '_>) {
    let bodies = bodies();
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(SETS)).bench_local(|| {
        for body in &bodies {
            out.clear();
            Update::decode(black_box(body), &SESSION).unwrap().write_canonical(&mut out);
            black_box(&out);
        }
    });
}

#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let sets: Vec<_> = (0..SETS).map(attributes).collect();
    let next_hop = NextHop::V4(Ipv4Addr::new(192, 0, 2, 1));
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(SETS * SHARE)).bench_local(|| {
        out.clear();
        for (set, attributes) in sets.iter().enumerate() {
            let prefixes = prefixes(set as u32);
            wire::encode_reach(&mut out, MAX_LEN, black_box(attributes), &next_hop, Family::Ipv4Unicast, prefixes);
        }
        black_box(&out);
    });
}
