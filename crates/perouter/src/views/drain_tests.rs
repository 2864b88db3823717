use super::super::tests::printed;
use super::*;

fn drain(left: Option<u64>) -> Drain {
    let state = if left.is_some() { DrainState::Draining } else { DrainState::Drained };
    Drain { state, since_seconds: 3, left_seconds: left, message: Some("new kernel".into()) }
}

#[test]
fn progress_is_told_at_the_beginning_every_ten_seconds_and_at_the_end() {
    let mut progress = Progress::default();
    let said: Vec<_> =
        (0..=27u64).rev().flat_map(|left| [left, left]).filter_map(|left| progress.line(&drain(Some(left)))).collect();
    assert_eq!(said[0], "peers are asked to move their traffic; sessions end in 27 s");
    let rest: Vec<_> = [20, 10, 5, 4, 3, 2, 1, 0].map(|left| format!("sessions end in {left} s")).into();
    assert_eq!(said[1..], rest);
}

#[test]
fn the_end_says_what_brings_the_sessions_back() {
    assert_eq!(
        printed(|out| end(out, false, Some(&drain(None)))),
        "\
drained: every session was ended with the message: new kernel
`perouter drain --undo` brings them back, as does a restart of the daemon
"
    );
    assert!(printed(|out| end(out, false, None)).contains("undone meanwhile"));
    assert!(printed(|out| end(out, true, None)).contains("come back"));
}
