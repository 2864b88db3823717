//! Two connections with one peer: which one stays (RFC 4271 section 6.8, RFC 6286 section 2.3).
//!
//! The RFC compares identities once both connections have seen an OPEN, and lets an Established one win whatever
//! the identities say. Between the two lies a race in which each side closes what the other keeps. The identity is
//! the peer's, not the connection's, so one OPEN is enough to know it: the comparison is made as soon as a second
//! connection exists, before a KEEPALIVE could establish the one that must go.

use std::net::Ipv4Addr;

use super::fsm::Phase;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// We did.
    Dialled,
    /// The peer did.
    Accepted,
}

/// What to do when an OPEN arrives on one connection while another one exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// Close the connection that the OPEN arrived on.
    CloseNew,
    /// Close the other one.
    CloseOther,
}

/// One end of a session, as collisions compare them: identifier, then AS.
pub(crate) type Identity = (Ipv4Addr, u32);

/// Decides. `new` is the direction of the connection that the OPEN arrived on; `other` is `None` when the other one has
/// been silent for too long.
pub(crate) fn resolve(new: Direction, other: Option<Phase>, ours: Identity, theirs: Identity) -> Resolution {
    let Some(other) = other else { return Resolution::CloseOther };
    match other {
        Phase::Established => Resolution::CloseNew,
        Phase::OpenSent | Phase::OpenConfirm => {
            // The connection opened by the side with the higher identity stays.
            let stays = if (u32::from(ours.0), ours.1) < (u32::from(theirs.0), theirs.1) {
                Direction::Accepted
            } else {
                Direction::Dialled
            };
            if new == stays { Resolution::CloseOther } else { Resolution::CloseNew }
        }
    }
}

#[cfg(test)]
#[path = "collision_tests.rs"]
mod tests;
