//! BGP messages: bytes to meaning and back.
//!
//! **Owns** the five messages of RFC 4271, RFC 2918 and RFC 7313, their capabilities, path attributes and NLRI, and the
//! verdict of RFC 7606 on each malformed one. **Is told** byte slices and what the session negotiated
//! ([`DecodeContext`]). **Gives back** borrowed views of those bytes, or the [`Notification`] that ends the session.
//! **Does not** read sockets, know the time, keep state between messages, or apply policy: next hops that are only wrong
//! for a given topology, AS loops and the first AS are the engine's questions.
//!
//! The way in: [`next_frame`] cuts one message off a read buffer, and [`Open::decode`], [`Update::decode`],
//! [`Notification::decode`] and [`RouteRefresh::decode`] read its body. A well-formed UPDATE of a four-octet session is
//! read without allocating. The way out: each type's `encode`, and [`encode_reach`], [`encode_unreach`],
//! [`encode_end_of_rib`] for UPDATEs, append whole messages to a buffer.
//!
//! Between the two stand *canonical attribute sets* ([`Update::write_canonical`]): the attributes of a route in one fixed
//! spelling, so that equal sets are equal bytes. Nothing here panics on any input.

pub mod attr;
pub mod capability;
pub mod family;
pub mod header;
mod hex;
pub mod nlri;
pub mod notification;
pub mod open;
mod read;
pub mod refresh;
pub mod update;

pub use attr::{
    Aggregator, AsPath, Asns, Attributes, Community, ExtendedCommunity, LargeCommunity, Origin, RawAttr, Segment,
    SegmentKind, Segments, UnknownOrigin, attr_code, attribute, attributes, communities, extended_communities, flag,
    large_communities, needs_as4_path, prepend, write_aggregator, write_as_path, write_as4_aggregator, write_as4_path,
    write_attribute, write_two_octet,
};
pub use capability::{AddPath, Capability, GracefulRestart, LongLived, Role};
pub use family::{AfiSafi, Family, FamilySet};
pub use header::{Frame, HEADER_LEN, MAX_LEN, MAX_LEN_EXTENDED, MessageType, encode_keepalive, next_frame};
pub use nlri::{Nlri, NlriError, NlriItem, PathId, Paths, Prefixes, write_prefix};
pub use notification::{Notification, code};
pub use open::{AS_TRANS, Open};
pub use refresh::{Refresh, RouteRefresh};
pub use update::{
    Consequence, DecodeContext, NextHop, Problem, Update, encode_end_of_rib, encode_reach, encode_unreach, reach_fits,
};
