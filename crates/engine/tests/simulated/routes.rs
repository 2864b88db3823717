//! UPDATEs of scripted peers.

use wire::{AsPath, Family, NextHop, attr_code, flag, write_attribute};

/// The message that announces a prefix with this path.
pub(crate) fn announce(prefix: &str, path: &[u32]) -> Vec<u8> {
    announce_all(&[prefix.to_string()], path)
}

/// The messages that announce prefixes of one family, all with the same attributes.
pub(crate) fn announce_all(prefixes: &[String], path: &[u32]) -> Vec<u8> {
    let mut attributes = Vec::new();
    write_attribute(&mut attributes, flag::TRANSITIVE, attr_code::ORIGIN, &[0]);
    let mut value = Vec::new();
    for asn in path.iter().rev() {
        let before = std::mem::take(&mut value);
        wire::prepend(&mut value, AsPath::new(&before), *asn);
    }
    write_attribute(&mut attributes, flag::TRANSITIVE, attr_code::AS_PATH, &value);
    let family = family_of(&prefixes[0]);
    let next_hop = match family {
        Family::Ipv4Unicast => NextHop::V4("192.0.2.2".parse().expect("an address")),
        Family::Ipv6Unicast => NextHop::V6 { global: "2001:db8::2".parse().expect("an address"), link_local: None },
    };
    let mut bytes = Vec::new();
    let prefixes = prefixes.iter().map(|prefix| prefix.parse::<ipnet::IpNet>().expect("a prefix"));
    wire::encode_reach(&mut bytes, wire::MAX_LEN, &attributes, &next_hop, family, prefixes);
    bytes
}

/// The message that withdraws a prefix.
pub(crate) fn withdraw(prefix: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let prefixes = std::iter::once(prefix.parse::<ipnet::IpNet>().expect("a prefix"));
    wire::encode_unreach(&mut bytes, wire::MAX_LEN, family_of(prefix), prefixes);
    bytes
}

fn family_of(prefix: &str) -> Family {
    if prefix.contains(':') { Family::Ipv6Unicast } else { Family::Ipv4Unicast }
}
