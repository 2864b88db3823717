//! Two connections with one peer: which one stays (RFC 4271 section 6.8, RFC 6286 section 2.3).

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
    /// Too early to tell: the other has not seen an OPEN yet.
    Both,
    /// Close the connection that the OPEN arrived on.
    CloseNew,
    /// Close the other one.
    CloseOther,
}

/// One end of a session, as collisions compare them: identifier, then AS.
pub(crate) type Identity = (Ipv4Addr, u32);

/// Decides. `new` is the direction of the connection that the OPEN arrived on.
pub(crate) fn resolve(new: Direction, other: Phase, ours: Identity, theirs: Identity) -> Resolution {
    match other {
        Phase::OpenSent => Resolution::Both,
        Phase::Established => Resolution::CloseNew,
        Phase::OpenConfirm => {
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
