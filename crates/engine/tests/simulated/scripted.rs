//! One engine and peers that are scripts: they say exactly what they are told to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use engine::intent::Intent;
use engine::{ConnId, Engine, Event, Family, Link, RouteQuery, RouteView, Select};
use ipnet::IpNet;
use wire::{AsPath, Capability, DecodeContext, NextHop, Open, Update, attr_code, flag, write_attribute};

use crate::sim::Sim;

/// What a script announces.
pub(crate) struct Said<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) next_hop: &'a str,
    /// As many segments as there are; the flag marks a set.
    pub(crate) path: &'a [(bool, &'a [u32])],
    pub(crate) local_pref: Option<u32>,
}

pub(crate) struct Scripted {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    conns: BTreeMap<IpAddr, ConnId>,
}

impl Scripted {
    pub(crate) fn new(addresses: &[&str], intent: Intent) -> Self {
        let now = Sim::new(0).now;
        let mut engine = Engine::new(1, now);
        let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
        engine.handle(now, Event::Links(vec![Link { index: 1, name: "eth0".into(), up: true, addresses }]));
        engine.handle(now, Event::Intent(Box::new(intent)));
        Self { engine, now, conns: BTreeMap::new() }
    }

    /// Brings the session with a peer up. Its identifier is 10.9.9.x, x the last octet of its address.
    pub(crate) fn up(&mut self, address: &str, asn: u32) {
        self.up_with(address, asn, &[]);
    }

    /// As [`Self::up`], with further capabilities.
    pub(crate) fn up_with(&mut self, address: &str, asn: u32, further: &[Capability]) {
        let address: IpAddr = address.parse().expect("an address");
        let last = match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        let conn = ConnId::Accepted(u32::from(last));
        self.conns.insert(address, conn);
        let local = "192.0.2.1:179".parse().expect("an address");
        self.engine.handle(self.now, Event::Accepted { conn, local, remote: (address, 40_000).into(), link: None });
        let mut bytes = Vec::new();
        let router_id = Ipv4Addr::new(10, 9, 9, last);
        let capabilities = [&[Capability::FourOctetAs(asn)], further].concat();
        Open { asn, hold_time: 0, router_id, capabilities }.encode(&mut bytes);
        wire::encode_keepalive(&mut bytes);
        self.engine.handle(self.now, Event::Bytes { conn, data: bytes.into() });
        self.heard(&address.to_string());
    }

    pub(crate) fn say(&mut self, address: &str, said: &Said<'_>) {
        let mut set = Vec::new();
        write_attribute(&mut set, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
        let mut path = Vec::new();
        for (is_set, asns) in said.path {
            path.extend_from_slice(&[if *is_set { 1 } else { 2 }, asns.len() as u8]);
            path.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
        }
        wire::write_as_path(&mut set, AsPath::new(&path), true);
        if let Some(preference) = said.local_pref {
            write_attribute(&mut set, flag::TRANSITIVE, attr_code::LOCAL_PREF, &preference.to_be_bytes());
        }
        let next_hop = NextHop::V4(said.next_hop.parse().expect("an address"));
        let prefix: IpNet = said.prefix.parse().expect("a prefix");
        let mut data = Vec::new();
        wire::encode_reach(&mut data, 4096, &set, &next_hop, Family::Ipv4Unicast, std::iter::once(prefix));
        self.send(address, data);
    }

    pub(crate) fn send(&mut self, address: &str, data: Vec<u8>) {
        let address: IpAddr = address.parse().expect("an address");
        let conn = self.conns[&address];
        self.engine.handle(self.now, Event::Bytes { conn, data: data.into() });
    }

    /// The connection with a peer breaks.
    pub(crate) fn lose(&mut self, address: &str) {
        let address: IpAddr = address.parse().expect("an address");
        if let Some(conn) = self.conns.remove(&address) {
            self.engine.handle(self.now, Event::Closed { conn, error: None });
        }
    }

    /// Prefixes and next hops that a peer was told since the last question.
    pub(crate) fn heard(&mut self, address: &str) -> Vec<(IpNet, NextHop)> {
        let address: IpAddr = address.parse().expect("an address");
        let mut bytes = Vec::new();
        while let Some(chunk) = self.engine.poll_transmit(self.conns[&address]) {
            bytes.extend_from_slice(&chunk);
        }
        let context = DecodeContext {
            four_octet_as: true,
            external: true,
            families: wire::FamilySet::ALL,
            extended_next_hop: false,
            add_path: wire::FamilySet::NONE,
        };
        let mut heard = Vec::new();
        let mut rest = &bytes[..];
        while let Ok(Some(frame)) = wire::next_frame(rest, wire::MAX_LEN) {
            rest = &rest[frame.len..];
            if frame.kind == wire::MessageType::Update {
                let update = Update::decode(frame.body, &context).expect("what we send can be read");
                let announced = update.announced();
                heard.extend(announced.flat_map(|(nlri, next_hop)| nlri.into_iter().map(move |net| (net, next_hop))));
            }
        }
        heard
    }

    pub(crate) fn route(&self, prefix: &str) -> RouteView {
        let select = Select::Exact(prefix.parse().expect("a prefix"));
        let query = RouteQuery { family: Family::Ipv4Unicast, select, after: None, limit: 1 };
        self.engine.routes(&query).pop().expect("a route")
    }
}
