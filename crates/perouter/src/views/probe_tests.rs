use super::*;
use crate::admin::model::Peer;
use crate::views::tests::{peer, peer_down, status};

fn after(uptime_seconds: u64, peers: Vec<Peer>) -> Option<String> {
    missing(&Status { uptime_seconds, peers, ..status() })
}

#[test]
fn ready_is_who_has_every_session_or_has_waited_long_enough_for_it() {
    assert_eq!(after(0, vec![peer()]), None);
    let waiting = after(59, vec![peer(), peer_down()]).unwrap();
    assert!(waiting.contains("no session with v6"), "{waiting}");
    assert_eq!(after(60, vec![peer(), peer_down()]), None);
    assert_eq!(after(0, vec![peer(), Peer { shut_down: true, ..peer_down() }]), None, "somebody wants it so");
}

#[test]
fn without_sessions_a_configuration_is_waited_for_a_little() {
    assert!(after(9, vec![]).is_some());
    assert_eq!(after(10, vec![]), None);
}

#[test]
fn who_has_not_started_is_not_ready_and_says_why() {
    let problems = vec!["waiting to start: the disk is not there".to_owned()];
    let waiting = Status { router: None, problems, uptime_seconds: 600, ..status() };
    assert_eq!(missing(&waiting).unwrap(), "waiting to start: the disk is not there");
}
