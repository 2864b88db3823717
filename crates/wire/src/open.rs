//! OPEN (RFC 4271 4.2 and 6.2): who a speaker is and what it can do.
//!
//! Owns the fixed part and the optional parameters, classic and extended (RFC 9072); capabilities have their own module.
//! Emits what the peer said, or the NOTIFICATION for what no speaker may say. Whether this AS number, identifier or hold
//! time suits *this* peer is the engine's question.

use std::net::Ipv4Addr;

use crate::header::{Message, MessageType};
use crate::notification::code;
use crate::read::Reader;
use crate::{Capability, Notification};

/// Stands in two octets for an AS number that does not fit (RFC 6793).
pub const AS_TRANS: u16 = 23456;

const VERSION: u8 = 4;
/// The optional parameter that carries capabilities (RFC 5492 4).
const CAPABILITIES: u8 = 2;
/// As the first parameter's type: lengths are in two octets (RFC 9072 2).
const EXTENDED: u8 = 255;
/// What fits into one parameter when all of them fit into 255 octets.
const MAX_CAPABILITIES: usize = 255 - 2;

/// The first message on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS number: that of capability 65 when it is there, else that of the fixed part.
    pub asn: u32,
    /// Seconds; 0, or 3 and more.
    pub hold_time: u16,
    /// The sender's BGP identifier, not 0.
    pub router_id: Ipv4Addr,
    /// In the order they were given; may repeat.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// Reads what follows the header.
    ///
    /// A known capability whose value is malformed comes back as [`Capability::Unknown`]; one that runs out of its
    /// parameter is a malformed parameter.
    ///
    /// # Errors
    /// RFC 4271 6.2: version (2/1, with 4 as data), AS number 0 (2/2, RFC 7607), identifier 0 (2/3, RFC 6286), a
    /// parameter other than capabilities (2/4), hold time 1 or 2 (2/6), malformed parameters (2/0).
    pub fn decode(body: &[u8]) -> Result<Self, Notification> {
        let mut read = Reader(body);
        let version = read.u8().ok_or_else(malformed)?;
        if version != VERSION {
            let data = vec![0, VERSION];
            return Err(Notification::with_data(code::OPEN, code::open::UNSUPPORTED_VERSION, data));
        }
        let fixed = (read.u16(), read.u16(), read.u32(), read.u8());
        let (Some(two_octet_asn), Some(hold_time), Some(router_id), Some(len)) = fixed else {
            return Err(malformed());
        };
        let capabilities = parameters(len, read).ok_or_else(malformed)??;
        let four_octet_asn = capabilities
            .iter()
            .find_map(|capability| if let Capability::FourOctetAs(asn) = capability { Some(*asn) } else { None });
        let asn = four_octet_asn.unwrap_or(u32::from(two_octet_asn));
        if asn == 0 || two_octet_asn == 0 {
            return Err(Notification::new(code::OPEN, code::open::BAD_PEER_AS));
        }
        if matches!(hold_time, 1 | 2) {
            return Err(Notification::new(code::OPEN, code::open::UNACCEPTABLE_HOLD_TIME));
        }
        if router_id == 0 {
            return Err(Notification::new(code::OPEN, code::open::BAD_BGP_IDENTIFIER));
        }
        Ok(Self { asn, hold_time, router_id: Ipv4Addr::from_bits(router_id), capabilities })
    }

    /// Appends the whole message, with all capabilities in one classic parameter: many speakers read nothing else. Its
    /// 253 octets hold every capability we have several times over; one that would not fit is left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let message = Message::begin(out, MessageType::Open);
        out.push(VERSION);
        out.extend_from_slice(&u16::try_from(self.asn).unwrap_or(AS_TRANS).to_be_bytes());
        out.extend_from_slice(&self.hold_time.to_be_bytes());
        out.extend_from_slice(&self.router_id.octets());
        let len_at = out.len();
        out.push(0);
        if !self.capabilities.is_empty() {
            out.extend_from_slice(&[CAPABILITIES, 0]);
            let start = out.len();
            for capability in &self.capabilities {
                let before = out.len();
                capability.encode(out);
                if out.len() - start > MAX_CAPABILITIES {
                    out.truncate(before);
                }
            }
            let len = u8::try_from(out.len() - start).expect("cut at 253 above");
            out[len_at] = len + 2;
            out[start - 1] = len;
        }
        message.finish(out);
    }
}

fn malformed() -> Notification {
    Notification::new(code::OPEN, code::open::UNSPECIFIC)
}

/// All capabilities of all parameters. `None`: lengths that contradict each other.
fn parameters(len: u8, mut read: Reader<'_>) -> Option<Result<Vec<Capability>, Notification>> {
    let extended = len != 0 && read.0.first() == Some(&EXTENDED);
    let len = if extended {
        read.u8()?;
        read.u16()?
    } else {
        u16::from(len)
    };
    if read.0.len() != usize::from(len) {
        return None;
    }
    let mut capabilities = Vec::new();
    while !read.is_empty() {
        let kind = read.u8()?;
        let len = if extended { read.u16()? } else { u16::from(read.u8()?) };
        let mut value = Reader(read.take(usize::from(len))?);
        if kind != CAPABILITIES {
            return Some(Err(Notification::new(code::OPEN, code::open::UNSUPPORTED_OPTIONAL_PARAMETER)));
        }
        while !value.is_empty() {
            let (code, len) = (value.u8()?, value.u8()?);
            capabilities.push(Capability::decode(code, value.take(usize::from(len))?));
        }
    }
    Some(Ok(capabilities))
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
