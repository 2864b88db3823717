use wire::{Notification, code};

use super::{Input, Phase, Verdict, step};

const PHASES: [Phase; 3] = [Phase::OpenSent, Phase::OpenConfirm, Phase::Established];

fn error(subcode: u8, kind: u8) -> Verdict {
    Verdict::End(Some(Notification::with_data(code::FSM, subcode, vec![kind])))
}

/// RFC 4271 8.2.2 for the three states of a connection, every input of each; subcodes and data of RFC 6608 section 4.
#[test]
fn every_pair_of_state_and_message_has_its_verdict() {
    let table = [
        (Input::Open, [Verdict::Confirm, error(2, 1), error(3, 1)]),
        (Input::Keepalive, [error(1, 4), Verdict::Establish, Verdict::Alive]),
        (Input::Update, [error(1, 2), error(2, 2), Verdict::Deliver]),
        (Input::RouteRefresh, [error(1, 5), error(2, 5), Verdict::Deliver]),
        (Input::KeepaliveDue, [Verdict::Ignore, Verdict::SendKeepalive, Verdict::SendKeepalive]),
        (Input::Closed, [Verdict::End(None), Verdict::End(None), Verdict::End(None)]),
    ];
    for (input, verdicts) in table {
        for (phase, verdict) in PHASES.into_iter().zip(verdicts) {
            assert_eq!(step(phase, input.clone()), verdict, "{phase:?} {input:?}");
        }
    }
}

#[test]
fn the_hold_timer_ends_a_connection_in_every_state() {
    for phase in PHASES {
        let expected = Verdict::End(Some(Notification::new(code::HOLD_TIMER, 0)));
        assert_eq!(step(phase, Input::HoldExpired), expected);
    }
}

#[test]
fn what_must_be_answered_is_answered_and_a_notification_never_is() {
    let answer = Notification::cease(code::cease::ADMINISTRATIVE_RESET);
    for phase in PHASES {
        assert_eq!(step(phase, Input::Stop(answer.clone())), Verdict::End(Some(answer.clone())));
        assert_eq!(step(phase, Input::Malformed(answer.clone())), Verdict::End(Some(answer.clone())));
        assert_eq!(step(phase, Input::Notification(answer.clone())), Verdict::End(None));
    }
}
