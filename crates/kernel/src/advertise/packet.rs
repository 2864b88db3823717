//! Router advertisements and solicitations as bytes. RFC 4861 sections 4.1, 4.2, 6.1.

use std::net::Ipv6Addr;
use std::time::Duration;

/// ICMPv6 type of a router solicitation.
pub(super) const SOLICITATION: u8 = 133;
/// ICMPv6 type of a router advertisement.
pub(super) const ADVERTISEMENT: u8 = 134;
/// Hop limit that we suggest to hosts, that of Linux and FRR.
const HOP_LIMIT: u8 = 64;
/// Source link-layer address option.
const SOURCE_ADDRESS: u8 = 1;
/// Bytes before the options.
const SOLICITATION_LENGTH: usize = 8;
const ADVERTISEMENT_LENGTH: usize = 16;

/// What a router, or a host that looks for one, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// "Who is a router here?"
    Solicitation,
    /// "I am, for so long." Zero is a goodbye.
    Advertisement { lifetime: Duration },
}

impl Packet {
    /// The bytes. The kernel fills in the checksum. `hardware`: the sender's link-layer address, when it is Ethernet.
    pub(crate) fn encode(self, hardware: Option<[u8; 6]>) -> Vec<u8> {
        let mut bytes = match self {
            Self::Solicitation => vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0],
            Self::Advertisement { lifetime } => {
                let seconds = u16::try_from(lifetime.as_secs()).unwrap_or(u16::MAX).to_be_bytes();
                let mut bytes = vec![ADVERTISEMENT, 0, 0, 0, HOP_LIMIT, 0, seconds[0], seconds[1]];
                bytes.resize(ADVERTISEMENT_LENGTH, 0);
                bytes
            }
        };
        if let Some(hardware) = hardware {
            // The length counts units of eight bytes.
            bytes.extend([SOURCE_ADDRESS, 1]);
            bytes.extend(hardware);
        }
        bytes
    }

    /// Reads a packet whose checksum and hop limit are right. `None`: to be discarded silently.
    pub(crate) fn parse(source: Ipv6Addr, bytes: &[u8]) -> Option<Self> {
        // A solicitation may come from the unspecified address, but not from a router.
        if !source.is_unicast_link_local() || bytes.get(1) != Some(&0) {
            return None;
        }
        let (packet, length) = match *bytes.first()? {
            SOLICITATION => (Self::Solicitation, SOLICITATION_LENGTH),
            ADVERTISEMENT => {
                let seconds = u16::from_be_bytes(bytes.get(6..8)?.try_into().ok()?);
                (Self::Advertisement { lifetime: Duration::from_secs(seconds.into()) }, ADVERTISEMENT_LENGTH)
            }
            _ => return None,
        };
        options_are_whole(bytes.get(length..)?).then_some(packet)
    }
}

fn options_are_whole(mut options: &[u8]) -> bool {
    while !options.is_empty() {
        let length = options.get(1).map_or(0, |units| usize::from(*units) * 8);
        match options.get(length..) {
            Some(rest) if length > 0 => options = rest,
            Some(_) | None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5025, 0xf5ff, 0xfe77, 0xaba);
    /// What FRR 8 and later send for `neighbor IF interface`, checksum zeroed.
    const FRR: [u8; 24] =
        [0x86, 0, 0, 0, 0x40, 0, 0, 0x1e, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x52, 0x25, 0xf5, 0x77, 0x0a, 0xba];

    #[test]
    fn ours_are_those_of_frr() {
        let packet = Packet::Advertisement { lifetime: Duration::from_secs(30) };
        assert_eq!(packet.encode(Some([0x52, 0x25, 0xf5, 0x77, 0x0a, 0xba])), FRR);
        assert_eq!(packet.encode(None), FRR[..16]);
        assert_eq!(Packet::parse(ROUTER, &FRR), Some(packet));
        let solicitation = Packet::Solicitation.encode(Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(Packet::parse(ROUTER, &solicitation), Some(Packet::Solicitation));
    }

    #[test]
    fn what_rfc_4861_calls_invalid_is_discarded() {
        for source in ["2001:db8::1", "::", "ff02::1", "::1"] {
            assert_eq!(Packet::parse(source.parse().unwrap(), &FRR), None, "{source}");
        }
        for length in (0..16).chain(17..24) {
            assert_eq!(Packet::parse(ROUTER, &FRR[..length]), None, "{length} bytes");
        }
        for (at, value, what) in [(0, 135, "type"), (1, 1, "code"), (17, 0, "empty option"), (17, 2, "long option")] {
            let mut bytes = FRR;
            bytes[at] = value;
            assert_eq!(Packet::parse(ROUTER, &bytes), None, "{what}");
        }
    }
}
