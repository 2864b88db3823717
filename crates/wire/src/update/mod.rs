//! UPDATE: what a peer announces and withdraws (RFC 4271 4.3, RFC 4760), judged by RFC 7606.
//!
//! [`Update::decode`] reads one message into a view that borrows it: sections of NLRI, next hops, and the attributes that
//! are kept. Every error has one of three consequences. *Session reset* is `Err`, with the NOTIFICATION to send. *Treat as
//! withdraw* keeps the session and moves every prefix of the message to [`Update::withdrawn`]. *Attribute discard* leaves
//! one attribute out. The last two are listed in [`Update::problems`].
//!
//! The attributes that remain are written by [`Update::write_canonical`] in one fixed spelling, which is what the engine
//! interns and passes on. The `encode` functions go the other way: canonical bytes and prefixes to whole messages.

mod canonical;
mod decode;
mod encode;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use encode::{encode_end_of_rib, encode_reach, encode_unreach, reach_fits};

use crate::attr::attr_code;
use crate::hex::Hex;
use crate::{Family, FamilySet, Nlri};
use canonical::Attributes;

/// What the session negotiated, as far as it changes the meaning of an UPDATE.
#[derive(Clone, Copy, Debug)]
pub struct DecodeContext {
    /// Both sides have capability 65: AS numbers stand in four octets.
    pub four_octet_as: bool,
    /// The peer is in another AS.
    pub external: bool,
    /// Families that both sides announced. Without any multiprotocol capability that is IPv4 unicast (RFC 4760 8).
    pub families: FamilySet,
    /// IPv4 unicast may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Families in which the peer sends path identifiers (RFC 7911 3): it offered to send, and we to receive.
    pub add_path: FamilySet,
}

/// Where to send packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NextHop {
    /// In NEXT_HOP, or in MP_REACH_NLRI for IPv4.
    V4(Ipv4Addr),
    /// In MP_REACH_NLRI (RFC 2545, RFC 8950).
    V6 {
        /// The global address; the link-local one where the peer gave no other.
        global: Ipv6Addr,
        /// The link-local address beside a global one.
        link_local: Option<Ipv6Addr>,
    },
}

impl NextHop {
    /// The (global) address.
    pub const fn address(&self) -> IpAddr {
        match self {
            Self::V4(address) => IpAddr::V4(*address),
            Self::V6 { global, .. } => IpAddr::V6(*global),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6 { global, link_local: None } => global.fmt(f),
            Self::V6 { global, link_local: Some(link_local) } => write!(f, "{global} ({link_local})"),
        }
    }
}

/// What an error that does not end the session leads to (RFC 7606 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consequence {
    /// The attribute, or section, is left out.
    Discard,
    /// All prefixes of the message are withdrawn.
    Withdraw,
}

/// Something wrong with an UPDATE that does not end the session. Displays on one line, fit for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem<'a> {
    /// The attribute's type code; 0 for the message as a whole.
    pub code: u8,
    /// What was done about it.
    pub consequence: Consequence,
    /// In words.
    pub what: &'static str,
    /// The attribute as it stood in the message, header included. Empty for one that is missing and for the message as a
    /// whole.
    pub data: &'a [u8],
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, consequence, what, data } = self;
        let done = match consequence {
            Consequence::Discard => "left out",
            Consequence::Withdraw => "routes withdrawn",
        };
        match attr_code::name(*code) {
            Some(name) => write!(f, "attribute {code} ({name}): ")?,
            None if *code == 0 => {}
            None => write!(f, "attribute {code}: ")?,
        }
        write!(f, "{what}: {done}")?;
        if data.is_empty() { Ok(()) } else { write!(f, " ({})", Hex(data)) }
    }
}

/// One UPDATE, borrowed from the bytes it came in.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    classic_withdrawn: Nlri<'a>,
    classic: Option<(Nlri<'a>, NextHop)>,
    mp_unreach: Option<Nlri<'a>>,
    mp_reach: Option<(Nlri<'a>, NextHop)>,
    /// The prefixes of those that were to be announced, when treated as withdrawn. Next hops may be missing then.
    instead: [Option<Nlri<'a>>; 2],
    attributes: Attributes<'a>,
    problems: Vec<Problem<'a>>,
    treat_as_withdraw: bool,
    end_of_rib: Option<Family>,
}

impl<'a> Update<'a> {
    /// Sections of withdrawn prefixes: the classic one, MP_UNREACH_NLRI, and, when [`Self::treat_as_withdraw`], all that
    /// the message meant to announce. To be applied before [`Self::announced`]: a prefix in both is announced (RFC 4271 4.3).
    pub fn withdrawn(&self) -> impl Iterator<Item = Nlri<'a>> + use<'a> {
        [Some(self.classic_withdrawn), self.mp_unreach]
            .into_iter()
            .chain(self.instead)
            .flatten()
            .filter(|section| !section.is_empty())
    }

    /// Sections of announced prefixes, each with its next hop. None when [`Self::treat_as_withdraw`].
    pub fn announced(&self) -> impl Iterator<Item = (Nlri<'a>, NextHop)> + use<'a> {
        [self.classic, self.mp_reach].into_iter().flatten().filter(|(section, _)| !section.is_empty())
    }

    /// Whether an attribute was so wrong that the routes must go (RFC 7606 2).
    pub fn treat_as_withdraw(&self) -> bool {
        self.treat_as_withdraw
    }

    /// What was wrong. The first few are kept, and always one for each consequence that occurred.
    pub fn problems(&self) -> &[Problem<'a>] {
        &self.problems
    }

    /// The family whose initial routes are now complete (RFC 4724 2).
    pub fn end_of_rib(&self) -> Option<Family> {
        self.end_of_rib
    }

    /// Appends the canonical attribute set: all attributes that are kept, except NEXT_HOP, MP_REACH_NLRI,
    /// MP_UNREACH_NLRI, AS4_PATH and AS4_AGGREGATOR; in ascending order of type code; AS numbers in four octets, merged by
    /// RFC 6793 4.2.3 on a two-octet session; flags as the attribute's definition has them, with the Partial bit of
    /// optional transitive ones kept and the extended length only where needed; of repeated large communities the first
    /// (RFC 8092 3). Discarded attributes, unknown ones that are
    /// not transitive, and LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST from an external peer are not in it.
    ///
    /// Has meaning only with something announced.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        self.attributes.write(out);
    }
}
