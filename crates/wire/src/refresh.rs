//! ROUTE-REFRESH (RFC 2918) and its enhancement (RFC 7313).

use crate::header::{HEADER_LEN, Message, MessageType};
use crate::notification::code;
use crate::read::Reader;
use crate::{AfiSafi, Notification};

/// A request to send a family again, or the beginning or end of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// Which family, known to us or not.
    pub family: AfiSafi,
    /// Which of the three.
    pub subtype: Refresh,
}

/// The message subtype of RFC 7313 4; the reserved octet of RFC 2918.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// 0: send me everything again.
    Request,
    /// 1: here it begins.
    Begin,
    /// 2: here it ends; what was not repeated is gone.
    End,
    /// To be ignored by the receiver (RFC 7313 5).
    Other(u8),
}

impl RouteRefresh {
    /// Reads what follows the header. A request may be longer than four octets (RFC 5291); the filters in it, which we
    /// never ask for, are passed over.
    ///
    /// # Errors
    /// 7/1 with the whole message as data when it is too short, or a beginning or end not exactly four octets (RFC 7313 5).
    pub fn decode(body: &[u8]) -> Result<Self, Notification> {
        let mut read = Reader(body);
        let (Some(afi), Some(subtype), Some(safi)) = (read.u16(), read.u8(), read.u8()) else {
            return Err(invalid_length(body));
        };
        let subtype = match subtype {
            0 => Refresh::Request,
            1 => Refresh::Begin,
            2 => Refresh::End,
            other => Refresh::Other(other),
        };
        if !read.is_empty() && matches!(subtype, Refresh::Begin | Refresh::End) {
            return Err(invalid_length(body));
        }
        Ok(Self { family: AfiSafi { afi, safi }, subtype })
    }

    /// Appends the whole message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let message = Message::begin(out, MessageType::RouteRefresh);
        out.extend_from_slice(&self.family.afi.to_be_bytes());
        out.push(match self.subtype {
            Refresh::Request => 0,
            Refresh::Begin => 1,
            Refresh::End => 2,
            Refresh::Other(other) => other,
        });
        out.push(self.family.safi);
        message.finish(out);
    }
}

fn invalid_length(body: &[u8]) -> Notification {
    let mut data = Vec::with_capacity(HEADER_LEN + body.len());
    let message = Message::begin(&mut data, MessageType::RouteRefresh);
    data.extend_from_slice(body);
    message.finish(&mut data);
    Notification::with_data(code::ROUTE_REFRESH, code::route_refresh::INVALID_MESSAGE_LENGTH, data)
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
