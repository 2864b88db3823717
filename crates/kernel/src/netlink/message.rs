//! Encoding and decoding of messages and attributes. Hostile or torn bytes end an iteration; they never panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::constants::{AF_INET, AF_INET6, NLA_F_NESTED, NLA_TYPE_MASK};

/// Length of `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
const ALIGN: usize = 4;

fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGN)
}

/// Appends one message to `out`; its length is filled in when `body` has run. The sequence number and the port
/// stay zero: the socket sets them.
pub(crate) fn encode(out: &mut Vec<u8>, kind: u16, flags: u16, body: impl FnOnce(&mut Attributes<'_>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&[0; 8]);
    body(&mut Attributes { out });
    let length = u32::try_from(out.len() - start).expect("a message is built from a few attributes");
    patch(out, start, &length.to_ne_bytes());
    out.resize(start + aligned(out.len() - start), 0);
}

/// Overwrites bytes that are already there.
pub(super) fn patch(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Writes the body of a message: the fixed header, then attributes.
#[derive(Debug)]
pub(crate) struct Attributes<'a> {
    out: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    /// The fixed header of the message's family, or any bytes without a header of their own.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + ALIGN).expect("attributes are far below 64 KB");
        self.out.extend_from_slice(&length.to_ne_bytes());
        self.out.extend_from_slice(&kind.to_ne_bytes());
        self.out.extend_from_slice(value);
        self.out.resize(aligned(self.out.len()), 0);
    }

    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Text with the terminating zero byte that the kernel expects.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    pub(crate) fn address(&mut self, kind: u16, value: IpAddr) {
        match value {
            IpAddr::V4(value) => self.bytes(kind, &value.octets()),
            IpAddr::V6(value) => self.bytes(kind, &value.octets()),
        }
    }

    pub(crate) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.out.len();
        self.bytes(kind | NLA_F_NESTED, &[]);
        body(&mut Attributes { out: self.out });
        let length = u16::try_from(self.out.len() - start).expect("attributes are far below 64 KB");
        patch(self.out, start, &length.to_ne_bytes());
    }
}

/// One received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// In a notification: the port of the socket that asked for the change, zero for the kernel itself.
    pub(crate) port: u32,
    /// What follows `nlmsghdr`: the fixed header of the family and its attributes.
    pub(crate) body: &'a [u8],
}

/// The messages in a datagram.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(bytes.u32_at(0)?).ok()?;
        let message = Message {
            kind: bytes.u16_at(4)?,
            flags: bytes.u16_at(6)?,
            sequence: bytes.u32_at(8)?,
            port: bytes.u32_at(12)?,
            body: bytes.get(HEADER..length)?,
        };
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in `bytes`: type without flags, and value.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(bytes.u16_at(0)?);
        let kind = bytes.u16_at(2)? & NLA_TYPE_MASK;
        let value = bytes.get(ALIGN..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Reads of fixed fields; `None` beyond the end.
pub(crate) trait Fields {
    fn u8_at(&self, at: usize) -> Option<u8>;
    fn u16_at(&self, at: usize) -> Option<u16>;
    fn u32_at(&self, at: usize) -> Option<u32>;
    /// The bytes from `at` on; none beyond the end.
    fn tail(&self, at: usize) -> &[u8];
    /// Text up to the first zero byte.
    fn text(&self) -> String;
    /// An address whose family follows from its length.
    fn ip(&self) -> Option<IpAddr>;
    /// The value of an attribute that is a single number.
    fn number(&self) -> Option<u32> {
        self.u32_at(0)
    }
}

impl Fields for [u8] {
    fn u8_at(&self, at: usize) -> Option<u8> {
        self.get(at).copied()
    }
    fn u16_at(&self, at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(self.get(at..at + 2)?.try_into().ok()?))
    }
    fn u32_at(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(self.get(at..at + 4)?.try_into().ok()?))
    }
    fn tail(&self, at: usize) -> &[u8] {
        self.get(at..).unwrap_or_default()
    }
    fn text(&self) -> String {
        let text = self.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
    fn ip(&self) -> Option<IpAddr> {
        if let Ok(octets) = <[u8; 4]>::try_from(self) {
            return Some(Ipv4Addr::from(octets).into());
        }
        <[u8; 16]>::try_from(self).ok().map(|octets| Ipv6Addr::from(octets).into())
    }
}

/// The kernel's number of the family of an address.
pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// A prefix from its bytes, which the kernel leaves out for a default route.
pub(crate) fn prefix(family: u8, address: Option<&[u8]>, length: u8) -> Option<IpNet> {
    let address = match (address, family) {
        (Some(bytes), _) => bytes.ip()?,
        (None, AF_INET) => Ipv4Addr::UNSPECIFIED.into(),
        (None, AF_INET6) => Ipv6Addr::UNSPECIFIED.into(),
        (None, _) => return None,
    };
    IpNet::new(address, length).ok()
}
