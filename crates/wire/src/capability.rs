//! Capabilities (RFC 5492): what a speaker says it can do.
//!
//! Owns the value of each capability. A known capability whose value has a wrong length is kept as
//! [`Capability::Unknown`], which means "not offered": RFC 5492 has no error for it, and a peer that cannot spell one
//! feature can still be talked to without it. Which capabilities a session then uses is the engine's decision.

use std::fmt;

use crate::AfiSafi;
use crate::read::Reader;

/// One capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// 1, RFC 4760: this family.
    MultiProtocol(AfiSafi),
    /// 2, RFC 2918.
    RouteRefresh,
    /// 70, RFC 7313.
    EnhancedRouteRefresh,
    /// 6, RFC 8654: messages of up to 65535 octets.
    ExtendedMessage,
    /// 65, RFC 6793: AS numbers in four octets, and the sender's.
    FourOctetAs(u32),
    /// 5, RFC 8950: families with next hops of another address family (its AFI).
    ExtendedNextHop(Vec<(AfiSafi, u16)>),
    /// 64, RFC 4724.
    GracefulRestart(GracefulRestart),
    /// 71, RFC 9494 3.1: families whose stale routes are kept beyond the restart time.
    LongLivedGracefulRestart(Vec<LongLived>),
    /// 69, RFC 7911 4: families with several paths to a prefix.
    AddPath(Vec<(AfiSafi, AddPath)>),
    /// 9, RFC 9234: what the sender is to the receiver.
    Role(Role),
    /// One we do not know, or whose value makes no sense.
    Unknown {
        /// Capability code.
        code: u8,
        /// Its value, at most 255 octets.
        value: Vec<u8>,
    },
}

/// The value of capability 9 (RFC 9234 4.1): what a speaker is to its neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// 0: sells transit.
    Provider,
    /// 1: a route server.
    RouteServer,
    /// 2: a client of a route server.
    RouteServerClient,
    /// 3: buys transit.
    Customer,
    /// 4: exchanges own and customers' routes.
    Peer,
}

impl Role {
    /// By code point.
    const ALL: [Self; 5] = [Self::Provider, Self::RouteServer, Self::RouteServerClient, Self::Customer, Self::Peer];

    /// What the neighbour must be.
    pub fn counterpart(self) -> Self {
        match self {
            Self::Provider => Self::Customer,
            Self::Customer => Self::Provider,
            Self::RouteServer => Self::RouteServerClient,
            Self::RouteServerClient => Self::RouteServer,
            Self::Peer => Self::Peer,
        }
    }

    fn code(self) -> u8 {
        Self::ALL.iter().position(|role| *role == self).map_or(0, |code| code as u8)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provider => "provider",
            Self::RouteServer => "route server",
            Self::RouteServerClient => "route server client",
            Self::Customer => "customer",
            Self::Peer => "peer",
        })
    }
}

/// The value of capability 64 (RFC 4724 3, RFC 8538 2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GracefulRestart {
    /// R: the sender has just restarted, do not wait for its End-of-RIB.
    pub restarting: bool,
    /// N: retain routes over NOTIFICATION and hold timer expiry too (RFC 8538).
    pub notification: bool,
    /// Seconds until the session should be back, 0..=4095.
    pub time: u16,
    /// Families that take part, and whether forwarding state survived for each.
    pub families: Vec<(AfiSafi, bool)>,
}

/// One family of capability 71 (RFC 9494 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongLived {
    /// Which.
    pub family: AfiSafi,
    /// F: forwarding state survived the restart.
    pub preserved: bool,
    /// Seconds that stale routes are kept beyond the restart time, in 24 bits: 0..=16777215.
    pub stale_time: u32,
}

/// What the sender of capability 69 can do in a family (RFC 7911 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddPath {
    /// Take several paths to one prefix.
    Receive = 1,
    /// Send them.
    Send = 2,
    /// Both.
    Both = 3,
}

impl AddPath {
    /// Whether it takes several paths.
    pub const fn receives(self) -> bool {
        matches!(self, Self::Receive | Self::Both)
    }

    /// Whether it may send several.
    pub const fn sends(self) -> bool {
        matches!(self, Self::Send | Self::Both)
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Receive, Self::Send, Self::Both].into_iter().find(|mode| *mode as u8 == code)
    }
}

impl fmt::Display for AddPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Receive => "receive",
            Self::Send => "send",
            Self::Both => "send and receive",
        })
    }
}

/// Capability codes.
mod cap {
    pub(super) const MULTI_PROTOCOL: u8 = 1;
    pub(super) const ROUTE_REFRESH: u8 = 2;
    pub(super) const EXTENDED_NEXT_HOP: u8 = 5;
    pub(super) const EXTENDED_MESSAGE: u8 = 6;
    pub(super) const ROLE: u8 = 9;
    pub(super) const GRACEFUL_RESTART: u8 = 64;
    pub(super) const FOUR_OCTET_AS: u8 = 65;
    pub(super) const ADD_PATH: u8 = 69;
    pub(super) const ENHANCED_ROUTE_REFRESH: u8 = 70;
    pub(super) const LONG_LIVED_GRACEFUL_RESTART: u8 = 71;
}

/// The restart state bit, over the 12 bits of time.
const RESTARTING: u16 = 0x8000;
/// The N bit of RFC 8538.
const NOTIFICATION: u16 = 0x4000;
const TIME: u16 = 0x0fff;
/// The F bit of one family.
const FORWARDING: u8 = 0x80;
/// The time field of [`LongLived`].
const STALE_TIME: u32 = 0x00ff_ffff;

impl Capability {
    /// Its code point.
    pub fn code(&self) -> u8 {
        match self {
            Self::MultiProtocol(_) => cap::MULTI_PROTOCOL,
            Self::RouteRefresh => cap::ROUTE_REFRESH,
            Self::EnhancedRouteRefresh => cap::ENHANCED_ROUTE_REFRESH,
            Self::ExtendedMessage => cap::EXTENDED_MESSAGE,
            Self::FourOctetAs(_) => cap::FOUR_OCTET_AS,
            Self::ExtendedNextHop(_) => cap::EXTENDED_NEXT_HOP,
            Self::GracefulRestart(_) => cap::GRACEFUL_RESTART,
            Self::LongLivedGracefulRestart(_) => cap::LONG_LIVED_GRACEFUL_RESTART,
            Self::AddPath(_) => cap::ADD_PATH,
            Self::Role(_) => cap::ROLE,
            Self::Unknown { code, .. } => *code,
        }
    }

    pub(crate) fn decode(code: u8, value: &[u8]) -> Self {
        Self::decode_known(code, value).unwrap_or_else(|| Self::Unknown { code, value: value.to_vec() })
    }

    /// `None`: not known, or not well formed.
    fn decode_known(code: u8, value: &[u8]) -> Option<Self> {
        let mut read = Reader(value);
        let capability = match code {
            cap::MULTI_PROTOCOL => {
                let (afi, _reserved, safi) = (read.u16()?, read.u8()?, read.u8()?);
                Self::MultiProtocol(AfiSafi { afi, safi })
            }
            cap::ROUTE_REFRESH => Self::RouteRefresh,
            cap::ENHANCED_ROUTE_REFRESH => Self::EnhancedRouteRefresh,
            cap::EXTENDED_MESSAGE => Self::ExtendedMessage,
            cap::FOUR_OCTET_AS => Self::FourOctetAs(read.u32()?),
            cap::ROLE => Self::Role(*Role::ALL.get(usize::from(read.u8()?))?),
            cap::EXTENDED_NEXT_HOP => {
                let mut families = Vec::with_capacity(value.len() / 6);
                while !read.is_empty() {
                    let (afi, safi, next_hop) = (read.u16()?, read.u16()?, read.u16()?);
                    families.push((AfiSafi { afi, safi: u8::try_from(safi).ok()? }, next_hop));
                }
                Self::ExtendedNextHop(families)
            }
            cap::GRACEFUL_RESTART => {
                let head = read.u16()?;
                let mut families = Vec::with_capacity(value.len() / 4);
                while !read.is_empty() {
                    let (afi, safi, flags) = (read.u16()?, read.u8()?, read.u8()?);
                    families.push((AfiSafi { afi, safi }, flags & FORWARDING != 0));
                }
                Self::GracefulRestart(GracefulRestart {
                    restarting: head & RESTARTING != 0,
                    notification: head & NOTIFICATION != 0,
                    time: head & TIME,
                    families,
                })
            }
            cap::LONG_LIVED_GRACEFUL_RESTART => {
                let mut families = Vec::with_capacity(value.len() / 7);
                while !read.is_empty() {
                    let (afi, safi, flags) = (read.u16()?, read.u8()?, read.u8()?);
                    let [hi, mid, lo] = read.array()?;
                    families.push(LongLived {
                        family: AfiSafi { afi, safi },
                        preserved: flags & FORWARDING != 0,
                        stale_time: u32::from_be_bytes([0, hi, mid, lo]),
                    });
                }
                Self::LongLivedGracefulRestart(families)
            }
            cap::ADD_PATH => {
                let mut families = Vec::with_capacity(value.len() / 4);
                while !read.is_empty() {
                    let (afi, safi, mode) = (read.u16()?, read.u8()?, read.u8()?);
                    // RFC 7911 4: a mode that is not defined is ignored; the other families stay.
                    families.extend(AddPath::from_code(mode).map(|mode| (AfiSafi { afi, safi }, mode)));
                }
                Self::AddPath(families)
            }
            _ => return None,
        };
        read.is_empty().then_some(capability)
    }

    /// Appends code, length and value. A value of more than 255 octets cannot be said: then nothing is appended.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[self.code(), 0]);
        self.encode_value(out);
        match u8::try_from(out.len() - start - 2) {
            Ok(len) => out[start + 1] = len,
            Err(_) => out.truncate(start),
        }
    }

    fn encode_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::MultiProtocol(AfiSafi { afi, safi }) => {
                out.extend_from_slice(&afi.to_be_bytes());
                out.extend_from_slice(&[0, *safi]);
            }
            Self::RouteRefresh | Self::EnhancedRouteRefresh | Self::ExtendedMessage => {}
            Self::FourOctetAs(asn) => out.extend_from_slice(&asn.to_be_bytes()),
            Self::Role(role) => out.push(role.code()),
            Self::ExtendedNextHop(families) => {
                for (AfiSafi { afi, safi }, next_hop) in families {
                    out.extend_from_slice(&afi.to_be_bytes());
                    out.extend_from_slice(&u16::from(*safi).to_be_bytes());
                    out.extend_from_slice(&next_hop.to_be_bytes());
                }
            }
            Self::GracefulRestart(restart) => {
                let mut head = restart.time.min(TIME);
                if restart.restarting {
                    head |= RESTARTING;
                }
                if restart.notification {
                    head |= NOTIFICATION;
                }
                out.extend_from_slice(&head.to_be_bytes());
                for (AfiSafi { afi, safi }, preserved) in &restart.families {
                    out.extend_from_slice(&afi.to_be_bytes());
                    out.extend_from_slice(&[*safi, if *preserved { FORWARDING } else { 0 }]);
                }
            }
            Self::LongLivedGracefulRestart(families) => {
                for LongLived { family: AfiSafi { afi, safi }, preserved, stale_time } in families {
                    out.extend_from_slice(&afi.to_be_bytes());
                    out.extend_from_slice(&[*safi, if *preserved { FORWARDING } else { 0 }]);
                    out.extend_from_slice(&(*stale_time).min(STALE_TIME).to_be_bytes()[1..]);
                }
            }
            Self::AddPath(families) => {
                for (AfiSafi { afi, safi }, mode) in families {
                    out.extend_from_slice(&afi.to_be_bytes());
                    out.extend_from_slice(&[*safi, *mode as u8]);
                }
            }
            Self::Unknown { value, .. } => out.extend_from_slice(value),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MultiProtocol(family) => write!(f, "{family}"),
            Self::RouteRefresh => f.write_str("route refresh"),
            Self::EnhancedRouteRefresh => f.write_str("enhanced route refresh"),
            Self::ExtendedMessage => f.write_str("extended messages"),
            Self::FourOctetAs(asn) => write!(f, "four-octet AS {asn}"),
            Self::Role(role) => write!(f, "role {role}"),
            Self::ExtendedNextHop(families) => {
                f.write_str("extended next hop (")?;
                for (i, (family, next_hop)) in families.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    match next_hop {
                        1 => write!(f, "{comma}{family} over ipv4")?,
                        2 => write!(f, "{comma}{family} over ipv6")?,
                        other => write!(f, "{comma}{family} over afi {other}")?,
                    }
                }
                f.write_str(")")
            }
            Self::GracefulRestart(restart) => {
                write!(f, "graceful restart ({} s", restart.time)?;
                if restart.restarting {
                    f.write_str(", restarting")?;
                }
                if restart.notification {
                    f.write_str(", over notifications")?;
                }
                for (family, preserved) in &restart.families {
                    write!(f, ", {family}{}", if *preserved { " preserved" } else { "" })?;
                }
                f.write_str(")")
            }
            Self::LongLivedGracefulRestart(families) => {
                f.write_str("long-lived graceful restart (")?;
                for (i, LongLived { family, preserved, stale_time }) in families.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{family} {stale_time} s{}", if *preserved { " preserved" } else { "" })?;
                }
                f.write_str(")")
            }
            Self::AddPath(families) => {
                f.write_str("add-path (")?;
                for (i, (family, mode)) in families.iter().enumerate() {
                    write!(f, "{}{family} {mode}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
            Self::Unknown { code, value } => {
                write!(f, "capability {code} ({} octets)", value.len())
            }
        }
    }
}

#[cfg(test)]
#[path = "capability_tests.rs"]
mod tests;
