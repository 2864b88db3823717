use super::super::tests::{printed, status};
use super::*;

#[test]
fn one_screen_starts_with_the_problems() {
    assert_eq!(
        printed(|out| print(out, &status(), false)),
        "\
perouter 0.1.0 (run), up 3d5h, pid 4242
node worker-1, index 3; AS 64514, router id 10.0.0.4; namespace perouter
NOT HEALTHY: 1 problem
  eth2: no such link

Configuration
  /etc/x.yaml:3: L3Passthrough pt: rejected (ValidationFailed)
    spec.hostSession.asn: 64999 differs from the underlay's 64514
  /etc/y.yaml: Underlay underlay: applied
    warning: eth1 carries the default route

Host
  LINK   STATE        MTU  ADDRESSES
  eth1   up          9000  192.168.11.3/24 2001:db8::3/64
  pt-ns  no carrier  1500
  error: eth2: no such link
  warning: NetworkManager claims eth1

Sessions
  NAME    ADDRESS          AS  ROLE    STATE          FOR  FAMILY  RECEIVED  ACCEPTED  ADVERTISED  LAST ERROR
  fabric  192.168.11.2  64512  fabric  Established  1h02m  ipv4      100000     99999           2

Routes
  known      12 ipv4, 0 ipv6 destinations; 20 paths received
  in kernel  11 installed, 1 pending, 0 refused, 2 next-hop groups

Recent warnings
  5m00s ago   192.168.11.2: hold timer expired
"
    );
}

#[test]
fn a_speaker_without_a_node_and_peers_fits_in_a_few_lines() {
    let bare = Status {
        mode: Mode::Speak,
        uptime_seconds: 5,
        healthy: true,
        problems: vec![],
        node: None,
        namespace: None,
        router: None,
        verdicts: vec![],
        links: vec![],
        host_errors: vec![],
        host_warnings: vec![],
        peers: vec![],
        events: vec![],
        ..status()
    };
    assert_eq!(
        printed(|out| print(out, &bare, false)),
        "perouter 0.1.0 (speak), up 5s, pid 4242\nhealthy\n\nSessions\n  none\n"
    );
}

#[test]
fn the_reason_for_no_configuration_is_shown() {
    let status = Status { verdicts: vec![], no_config: Some("/etc/x has no openpe_*.yaml".into()), ..status() };
    let text = printed(|out| print(out, &status, false));
    assert!(text.contains("Configuration\n  none: /etc/x has no openpe_*.yaml\n"), "{text}");
}

#[test]
fn only_the_latest_warnings_are_on_the_screen() {
    let mut status = status();
    let warning = status.events[0].clone();
    status.events = (0..30)
        .map(|number| crate::admin::model::Event { text: format!("warning {number}."), ..warning.clone() })
        .collect();
    let text = printed(|out| print(out, &status, false));
    assert!(text.contains("warning 25.") && text.ends_with("warning 29.\n"), "{text}");
    assert!(!text.contains("warning 24."), "{text}");
}

#[test]
fn a_hundred_sessions_and_mistakes_fit_one_screen_and_what_is_wrong_is_on_it() {
    let mut status = status();
    let peer = status.peers[0].clone();
    let named = |number: usize| crate::admin::model::Peer { name: format!("peer{number}."), ..peer.clone() };
    status.peers = (0..100).map(named).collect();
    status.peers[70].state = crate::admin::model::PeerState::Active;
    status.problems = (0..40).map(|number| format!("problem {number}.")).collect();
    status.verdicts = vec![status.verdicts[0].clone(); 40];
    let text = printed(|out| print(out, &status, false));
    assert!(text.lines().count() <= 60, "{} lines: {text}", text.lines().count());
    assert!(text.contains("peer70.") && text.contains("problem 0."), "{text}");
    for hidden in ["and 32 problems more", "and 34 objects more", "and 88 sessions more; 88 of them up"] {
        assert!(text.contains(hidden), "no {hidden}: {text}");
    }
    let everything = printed(|out| print(out, &status, true));
    assert!(everything.contains("peer99.") && everything.contains("problem 39."), "{everything}");
}
