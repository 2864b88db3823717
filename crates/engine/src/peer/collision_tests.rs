use std::net::Ipv4Addr;

use super::Direction::{Accepted, Dialled};
use super::{Resolution, resolve};
use crate::peer::fsm::Phase;

const LOW: (Ipv4Addr, u32) = (Ipv4Addr::new(1, 1, 1, 1), 65001);
const HIGH: (Ipv4Addr, u32) = (Ipv4Addr::new(2, 2, 2, 2), 65000);

/// RFC 4271 6.8: the connection that the side with the higher identifier opened stays.
#[test]
fn the_higher_identifier_keeps_the_connection_that_it_opened() {
    for other in [Phase::OpenSent, Phase::OpenConfirm] {
        assert_eq!(resolve(Dialled, Some(other), HIGH, LOW), Resolution::CloseOther);
        assert_eq!(resolve(Accepted, Some(other), HIGH, LOW), Resolution::CloseNew);
        assert_eq!(resolve(Dialled, Some(other), LOW, HIGH), Resolution::CloseNew);
        assert_eq!(resolve(Accepted, Some(other), LOW, HIGH), Resolution::CloseOther);
    }
}

/// RFC 6286 2.3.
#[test]
fn equal_identifiers_are_settled_by_as() {
    let ours = (LOW.0, 65001);
    let theirs = (LOW.0, 65002);
    assert_eq!(resolve(Accepted, Some(Phase::OpenConfirm), ours, theirs), Resolution::CloseOther);
    assert_eq!(resolve(Accepted, Some(Phase::OpenConfirm), theirs, ours), Resolution::CloseNew);
}

#[test]
fn an_established_session_is_not_given_up_for_a_new_connection() {
    for direction in [Dialled, Accepted] {
        assert_eq!(resolve(direction, Some(Phase::Established), LOW, HIGH), Resolution::CloseNew);
        assert_eq!(resolve(direction, Some(Phase::Established), HIGH, LOW), Resolution::CloseNew);
    }
}

/// Whatever the identities, both sides close the same connection.
#[test]
fn both_sides_agree() {
    for (ours, theirs) in [(LOW, HIGH), (HIGH, LOW)] {
        let here = resolve(Dialled, Some(Phase::OpenConfirm), ours, theirs);
        // What we dialled the peer accepted.
        let there = resolve(Accepted, Some(Phase::OpenConfirm), theirs, ours);
        assert_eq!(here, there);
    }
}

#[test]
fn a_connection_that_stays_silent_keeps_nobody_out() {
    assert_eq!(resolve(Accepted, None, HIGH, LOW), Resolution::CloseOther);
    assert_eq!(resolve(Dialled, None, LOW, HIGH), Resolution::CloseOther);
}
