//! Packed prefixes: the key of a destination.

use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use wire::Family;

/// A prefix of either family in 17 bytes, ordered as prefixes are: by address, then by length.
/// The family is the table's, not the key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    address: [u8; 16],
    len: u8,
}

impl Key {
    pub(crate) fn new(prefix: &IpNet) -> Self {
        let mut address = [0; 16];
        match prefix {
            IpNet::V4(net) => address[..4].copy_from_slice(&net.network().octets()),
            IpNet::V6(net) => address.copy_from_slice(&net.network().octets()),
        }
        Self { address, len: prefix.prefix_len() }
    }

    pub(crate) fn prefix(&self, family: Family) -> IpNet {
        match family {
            Family::Ipv4Unicast => {
                let [a, b, c, d, ..] = self.address;
                let net = Ipv4Net::new(Ipv4Addr::new(a, b, c, d), self.len);
                IpNet::V4(net.expect("made from an IPv4 prefix, so at most 32"))
            }
            Family::Ipv6Unicast => {
                let net = Ipv6Net::new(Ipv6Addr::from(self.address), self.len);
                IpNet::V6(net.expect("made from an IPv6 prefix, so at most 128"))
            }
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let address = u128::from_be_bytes(self.address);
        state.write_u64((address >> 64) as u64);
        state.write_u64((address as u64) ^ (u64::from(self.len) << 56));
    }
}
