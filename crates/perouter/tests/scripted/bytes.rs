//! Messages as octets, after RFC 4271 section 4 and nothing else.

use std::net::Ipv4Addr;

pub(crate) const OPEN: u8 = 1;
pub(crate) const UPDATE: u8 = 2;
pub(crate) const NOTIFICATION: u8 = 3;
pub(crate) const KEEPALIVE: u8 = 4;
pub(crate) const ROUTE_REFRESH: u8 = 5;
pub(crate) const HEADER: usize = 19;

/// Capability codes.
pub(crate) const MULTIPROTOCOL: u8 = 1;
pub(crate) const REFRESH: u8 = 2;
pub(crate) const EXTENDED_MESSAGE: u8 = 6;
pub(crate) const FOUR_OCTET_AS: u8 = 65;
pub(crate) const ENHANCED_REFRESH: u8 = 70;

/// A message with its header (RFC 4271 4.1).
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    with_length(kind, u16::try_from(HEADER + body.len()).unwrap(), body)
}

/// One that says another length than it has.
pub(crate) fn with_length(kind: u8, length: u16, body: &[u8]) -> Vec<u8> {
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

pub(crate) fn keepalive() -> Vec<u8> {
    message(KEEPALIVE, &[])
}

/// What an OPEN says (RFC 4271 4.2). The fields can be set to anything.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) version: u8,
    pub(crate) asn: u16,
    pub(crate) hold: u16,
    pub(crate) id: Ipv4Addr,
    /// The octets after the length of the optional parameters.
    pub(crate) parameters: Vec<u8>,
}

impl Open {
    /// IPv4 unicast, four-octet AS numbers, route refresh.
    pub(crate) fn new(asn: u16, hold: u16, id: Ipv4Addr) -> Self {
        let parameters = capabilities(&[&ipv4_unicast(), &four_octet_as(asn.into()), &capability(REFRESH, &[])]);
        Self { version: 4, asn, hold, id, parameters }
    }

    /// With these capabilities instead, in one parameter.
    pub(crate) fn offering(self, offered: &[&[u8]]) -> Self {
        Self { parameters: capabilities(offered), ..self }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let length = u8::try_from(self.parameters.len()).unwrap();
        [&self.fixed()[..], &[length], &self.parameters].concat()
    }

    /// Without the length of the optional parameters.
    pub(crate) fn fixed(&self) -> Vec<u8> {
        let (asn, hold) = (self.asn.to_be_bytes(), self.hold.to_be_bytes());
        [&[self.version][..], &asn, &hold, &self.id.octets()].concat()
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        message(OPEN, &self.body())
    }
}

/// One capability (RFC 5492 4).
pub(crate) fn capability(code: u8, value: &[u8]) -> Vec<u8> {
    [&[code, u8::try_from(value.len()).unwrap()], value].concat()
}

/// The optional parameter with these capabilities.
pub(crate) fn capabilities(list: &[&[u8]]) -> Vec<u8> {
    let value = list.concat();
    [&[2, u8::try_from(value.len()).unwrap()], &value[..]].concat()
}

pub(crate) fn ipv4_unicast() -> Vec<u8> {
    capability(MULTIPROTOCOL, &[0, 1, 0, 1])
}

pub(crate) fn ipv6_unicast() -> Vec<u8> {
    capability(MULTIPROTOCOL, &[0, 2, 0, 1])
}

pub(crate) fn four_octet_as(asn: u32) -> Vec<u8> {
    capability(FOUR_OCTET_AS, &asn.to_be_bytes())
}

/// The capabilities in the body of an OPEN with classic parameters: code and value. Panics on anything else, which the
/// speaker under test never sends.
pub(crate) fn offered(body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    assert_eq!(usize::from(body[9]), body.len() - 10, "length of the optional parameters: {body:?}");
    let mut parameters = &body[10..];
    while let [kind, length, rest @ ..] = parameters {
        assert_eq!(*kind, 2, "only the parameter of capabilities: {body:?}");
        let (mut inner, after) = rest.split_at(usize::from(*length));
        while let [code, length, rest @ ..] = inner {
            let (value, after) = rest.split_at(usize::from(*length));
            found.push((*code, value.to_vec()));
            inner = after;
        }
        parameters = after;
    }
    found
}

/// A path attribute (RFC 4271 4.3), with the extended length where it needs one.
pub(crate) fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    match u8::try_from(value.len()) {
        Ok(length) => [&[flags, code, length], value].concat(),
        Err(_) => {
            let length = u16::try_from(value.len()).unwrap().to_be_bytes();
            [&[flags | 0x10, code], &length[..], value].concat()
        }
    }
}

/// ORIGIN, AS_PATH of one AS, NEXT_HOP: all that an external peer must say.
pub(crate) fn mandatory(asn: u16, next_hop: Ipv4Addr) -> Vec<u8> {
    let path = [&[2, 1][..], &u32::from(asn).to_be_bytes()].concat();
    [attribute(0x40, 1, &[0]), attribute(0x40, 2, &path), attribute(0x40, 3, &next_hop.octets())].concat()
}

/// A /24 as NLRI.
pub(crate) fn slash24(prefix: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, _] = prefix.octets();
    vec![24, a, b, c]
}

/// The body of an UPDATE.
pub(crate) fn update_body(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length(withdrawn)[..], withdrawn, &length(attributes), attributes, nlri].concat()
}

pub(crate) fn announce(attributes: &[u8], prefix: Ipv4Addr) -> Vec<u8> {
    message(UPDATE, &update_body(&[], attributes, &slash24(prefix)))
}

pub(crate) fn withdraw(prefix: Ipv4Addr) -> Vec<u8> {
    message(UPDATE, &update_body(&slash24(prefix), &[], &[]))
}

/// An UPDATE as it is read: prefixes as "10.1.0.0/24", attributes as (flags, code, value).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) withdrawn: Vec<String>,
    pub(crate) attributes: Vec<(u8, u8, Vec<u8>)>,
    pub(crate) announced: Vec<String>,
}

impl Update {
    pub(crate) fn read(body: &[u8]) -> Self {
        let (withdrawn, rest) = section(body);
        let (mut attributes, nlri) = section(rest);
        let mut read = Self { withdrawn: prefixes(withdrawn), announced: prefixes(nlri), attributes: Vec::new() };
        while let [flags, code, rest @ ..] = attributes {
            let (length, rest) = if flags & 0x10 == 0 {
                (usize::from(rest[0]), &rest[1..])
            } else {
                (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..])
            };
            let (value, after) = rest.split_at(length);
            read.attributes.push((*flags, *code, value.to_vec()));
            attributes = after;
        }
        read
    }

    pub(crate) fn attribute(&self, code: u8) -> Option<&[u8]> {
        let found = self.attributes.iter().find(|(_, other, _)| *other == code);
        found.map(|(_, _, value)| value.as_slice())
    }
}

fn section(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_at(2);
    rest.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])))
}

fn prefixes(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let [length, rest @ ..] = bytes {
        let (octets, after) = rest.split_at(usize::from(length.div_ceil(8)));
        let mut address = [0; 4];
        address[..octets.len()].copy_from_slice(octets);
        found.push(format!("{}/{length}", Ipv4Addr::from(address)));
        bytes = after;
    }
    found
}
