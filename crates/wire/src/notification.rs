//! NOTIFICATION (RFC 4271 4.5 and 6): why a session ends, in bytes and in words.
//!
//! Owns the code points and their names. Emits what a log line or a status shows. Does not decide anything.

use std::fmt;

use crate::HEADER_LEN;
use crate::header::{MAX_LEN, Message, MessageType};
use crate::hex::Hex;

/// Error codes, and their sub-codes in modules.
pub mod code {
    #![allow(missing_docs, reason = "the names are those of the registry")]
    pub const MESSAGE_HEADER: u8 = 1;
    pub const OPEN: u8 = 2;
    pub const UPDATE: u8 = 3;
    pub const HOLD_TIMER: u8 = 4;
    pub const FSM: u8 = 5;
    pub const CEASE: u8 = 6;
    /// RFC 7313
    pub const ROUTE_REFRESH: u8 = 7;
    /// RFC 9687
    pub const SEND_HOLD_TIMER: u8 = 8;

    /// RFC 4271 6.1
    pub mod header {
        pub const CONNECTION_NOT_SYNCHRONIZED: u8 = 1;
        pub const BAD_MESSAGE_LENGTH: u8 = 2;
        pub const BAD_MESSAGE_TYPE: u8 = 3;
    }
    /// RFC 4271 6.2
    pub mod open {
        pub const UNSPECIFIC: u8 = 0;
        pub const UNSUPPORTED_VERSION: u8 = 1;
        pub const BAD_PEER_AS: u8 = 2;
        pub const BAD_BGP_IDENTIFIER: u8 = 3;
        pub const UNSUPPORTED_OPTIONAL_PARAMETER: u8 = 4;
        pub const UNACCEPTABLE_HOLD_TIME: u8 = 6;
        /// RFC 5492
        pub const UNSUPPORTED_CAPABILITY: u8 = 7;
        /// RFC 9234
        pub const ROLE_MISMATCH: u8 = 11;
    }
    /// RFC 4271 6.3
    pub mod update {
        pub const MALFORMED_ATTRIBUTE_LIST: u8 = 1;
        pub const UNRECOGNIZED_WELL_KNOWN: u8 = 2;
        pub const MISSING_WELL_KNOWN: u8 = 3;
        pub const ATTRIBUTE_FLAGS: u8 = 4;
        pub const ATTRIBUTE_LENGTH: u8 = 5;
        pub const INVALID_ORIGIN: u8 = 6;
        pub const INVALID_NEXT_HOP: u8 = 8;
        pub const OPTIONAL_ATTRIBUTE: u8 = 9;
        pub const INVALID_NETWORK_FIELD: u8 = 10;
        pub const MALFORMED_AS_PATH: u8 = 11;
    }
    /// RFC 6608
    pub mod fsm {
        pub const UNSPECIFIED: u8 = 0;
        pub const IN_OPEN_SENT: u8 = 1;
        pub const IN_OPEN_CONFIRM: u8 = 2;
        pub const IN_ESTABLISHED: u8 = 3;
    }
    /// RFC 4486; 9: RFC 8538; 10: RFC 9384
    pub mod cease {
        pub const MAX_PREFIXES: u8 = 1;
        pub const ADMINISTRATIVE_SHUTDOWN: u8 = 2;
        pub const PEER_DECONFIGURED: u8 = 3;
        pub const ADMINISTRATIVE_RESET: u8 = 4;
        pub const CONNECTION_REJECTED: u8 = 5;
        pub const OTHER_CONFIGURATION_CHANGE: u8 = 6;
        pub const COLLISION_RESOLUTION: u8 = 7;
        pub const OUT_OF_RESOURCES: u8 = 8;
        pub const HARD_RESET: u8 = 9;
        pub const BFD_DOWN: u8 = 10;
    }
    /// RFC 7313
    pub mod route_refresh {
        pub const INVALID_MESSAGE_LENGTH: u8 = 1;
    }
}

/// Data beyond this would make the message longer than every peer must accept.
const MAX_DATA: usize = MAX_LEN - HEADER_LEN - 2;

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// One of [`code`], or one unknown to us.
    pub code: u8,
    /// Depends on the code; 0 where there is nothing more to say.
    pub subcode: u8,
    /// Depends on both.
    pub data: Vec<u8>,
}

impl Notification {
    /// One without data.
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Vec::new() }
    }

    /// One with.
    pub const fn with_data(code: u8, subcode: u8, data: Vec<u8>) -> Self {
        Self { code, subcode, data }
    }

    /// One that ends a session in order (RFC 4486).
    pub const fn cease(subcode: u8) -> Self {
        Self::new(code::CEASE, subcode)
    }

    /// Appends the whole message. Data that would take it beyond 4096 octets, which every peer must accept, is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let message = Message::begin(out, MessageType::Notification);
        out.extend_from_slice(&[self.code, self.subcode]);
        out.extend_from_slice(&self.data[..self.data.len().min(MAX_DATA)]);
        message.finish(out);
    }

    /// Reads what follows the header. Nothing can be wrong with it: a NOTIFICATION is never answered (RFC 4271 6.4), so
    /// octets that [`crate::next_frame`] would have missed read as zero.
    pub fn decode(body: &[u8]) -> Self {
        let octet = |at: usize| body.get(at).copied().unwrap_or(0);
        Self::with_data(octet(0), octet(1), body.get(2..).unwrap_or_default().to_vec())
    }

    /// What the operator on the other side wrote (RFC 9003): a shutdown or reset with a well-formed, non-empty text. Bytes
    /// that are not UTF-8 and control characters are replaced, so that it can be logged.
    pub fn shutdown_text(&self) -> Option<String> {
        let (code::CEASE, code::cease::ADMINISTRATIVE_SHUTDOWN | code::cease::ADMINISTRATIVE_RESET) =
            (self.code, self.subcode)
        else {
            return None;
        };
        let (len, text) = self.data.split_first()?;
        let text = text.get(..usize::from(*len)).filter(|text| !text.is_empty())?;
        let mut shown = String::with_capacity(text.len());
        for c in String::from_utf8_lossy(text).chars() {
            if c.is_control() {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        Some(shown)
    }

    /// The same reason as a hard reset, which graceful restart does not survive (RFC 8538 3).
    #[must_use]
    pub fn into_hard_reset(self) -> Self {
        let mut data = vec![self.code, self.subcode];
        data.extend_from_slice(&self.data);
        Self::with_data(code::CEASE, code::cease::HARD_RESET, data)
    }

    /// Whether graceful restart does not survive it (RFC 8538 3).
    pub fn is_hard_reset(&self) -> bool {
        (self.code, self.subcode) == (code::CEASE, code::cease::HARD_RESET)
    }

    /// What a hard reset carries (RFC 8538 3).
    fn within_hard_reset(&self) -> Option<Self> {
        let hard = (self.code, self.subcode) == (code::CEASE, code::cease::HARD_RESET) && self.data.len() >= 2;
        // One level only: a hard reset within a hard reset is shown as bytes, so the depth is not the sender's choice.
        hard.then(|| Self::decode(&self.data))
            .filter(|inner| (inner.code, inner.subcode) != (code::CEASE, code::cease::HARD_RESET))
    }

    fn code_name(&self) -> Option<&'static str> {
        Some(match self.code {
            code::MESSAGE_HEADER => "Message Header Error",
            code::OPEN => "OPEN Message Error",
            code::UPDATE => "UPDATE Message Error",
            code::HOLD_TIMER => "Hold Timer Expired",
            code::FSM => "Finite State Machine Error",
            code::CEASE => "Cease",
            code::ROUTE_REFRESH => "ROUTE-REFRESH Message Error",
            code::SEND_HOLD_TIMER => "Send Hold Timer Expired",
            _ => return None,
        })
    }

    fn subcode_name(&self) -> Option<&'static str> {
        Some(match (self.code, self.subcode) {
            (code::MESSAGE_HEADER, code::header::CONNECTION_NOT_SYNCHRONIZED) => "Connection Not Synchronized",
            (code::MESSAGE_HEADER, code::header::BAD_MESSAGE_LENGTH) => "Bad Message Length",
            (code::MESSAGE_HEADER, code::header::BAD_MESSAGE_TYPE) => "Bad Message Type",
            (code::OPEN, code::open::UNSPECIFIC) => "Unspecific",
            (code::OPEN, code::open::UNSUPPORTED_VERSION) => "Unsupported Version Number",
            (code::OPEN, code::open::BAD_PEER_AS) => "Bad Peer AS",
            (code::OPEN, code::open::BAD_BGP_IDENTIFIER) => "Bad BGP Identifier",
            (code::OPEN, code::open::UNSUPPORTED_OPTIONAL_PARAMETER) => "Unsupported Optional Parameter",
            (code::OPEN, code::open::UNACCEPTABLE_HOLD_TIME) => "Unacceptable Hold Time",
            (code::OPEN, code::open::UNSUPPORTED_CAPABILITY) => "Unsupported Capability",
            (code::OPEN, code::open::ROLE_MISMATCH) => "Role Mismatch",
            (code::UPDATE, code::update::MALFORMED_ATTRIBUTE_LIST) => "Malformed Attribute List",
            (code::UPDATE, code::update::UNRECOGNIZED_WELL_KNOWN) => "Unrecognized Well-known Attribute",
            (code::UPDATE, code::update::MISSING_WELL_KNOWN) => "Missing Well-known Attribute",
            (code::UPDATE, code::update::ATTRIBUTE_FLAGS) => "Attribute Flags Error",
            (code::UPDATE, code::update::ATTRIBUTE_LENGTH) => "Attribute Length Error",
            (code::UPDATE, code::update::INVALID_ORIGIN) => "Invalid ORIGIN Attribute",
            (code::UPDATE, code::update::INVALID_NEXT_HOP) => "Invalid NEXT_HOP Attribute",
            (code::UPDATE, code::update::OPTIONAL_ATTRIBUTE) => "Optional Attribute Error",
            (code::UPDATE, code::update::INVALID_NETWORK_FIELD) => "Invalid Network Field",
            (code::UPDATE, code::update::MALFORMED_AS_PATH) => "Malformed AS_PATH",
            (code::FSM, code::fsm::UNSPECIFIED) => "Unspecified Error",
            (code::FSM, code::fsm::IN_OPEN_SENT) => "Unexpected Message in OpenSent State",
            (code::FSM, code::fsm::IN_OPEN_CONFIRM) => "Unexpected Message in OpenConfirm State",
            (code::FSM, code::fsm::IN_ESTABLISHED) => "Unexpected Message in Established State",
            (code::CEASE, code::cease::MAX_PREFIXES) => "Maximum Number of Prefixes Reached",
            (code::CEASE, code::cease::ADMINISTRATIVE_SHUTDOWN) => "Administrative Shutdown",
            (code::CEASE, code::cease::PEER_DECONFIGURED) => "Peer De-configured",
            (code::CEASE, code::cease::ADMINISTRATIVE_RESET) => "Administrative Reset",
            (code::CEASE, code::cease::CONNECTION_REJECTED) => "Connection Rejected",
            (code::CEASE, code::cease::OTHER_CONFIGURATION_CHANGE) => "Other Configuration Change",
            (code::CEASE, code::cease::COLLISION_RESOLUTION) => "Connection Collision Resolution",
            (code::CEASE, code::cease::OUT_OF_RESOURCES) => "Out of Resources",
            (code::CEASE, code::cease::HARD_RESET) => "Hard Reset",
            (code::CEASE, code::cease::BFD_DOWN) => "BFD Down",
            (code::ROUTE_REFRESH, code::route_refresh::INVALID_MESSAGE_LENGTH) => "Invalid Message Length",
            _ => return None,
        })
    }
}

impl std::error::Error for Notification {}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "code {}", self.code)?,
        }
        match self.subcode_name() {
            Some(name) => write!(f, "/{name}")?,
            None if self.subcode == 0 => {}
            None => write!(f, "/subcode {}", self.subcode)?,
        }
        if let Some(text) = self.shutdown_text() {
            return write!(f, ": {text}");
        }
        if let Some(inner) = self.within_hard_reset() {
            return write!(f, ": {inner}");
        }
        if self.data.is_empty() {
            return Ok(());
        }
        write!(f, " (data {})", Hex(&self.data))
    }
}

#[cfg(test)]
#[path = "notification_tests.rs"]
mod tests;
