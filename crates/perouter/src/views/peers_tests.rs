use super::super::tests::{peer, peer_down, printed};
use super::*;
use crate::admin::model::{Bfd, BfdSide, BfdState, Family, FamilyCounts, PeerState};

#[test]
fn the_table_has_a_row_per_family_and_shows_why_a_session_is_down() {
    let mut dual = peer();
    dual.families.push(FamilyCounts {
        family: Family::Ipv6Unicast,
        received: 1,
        accepted: 1,
        advertised: 0,
        own_as_in_path: 0,
        end_of_rib: false,
    });
    assert_eq!(
        printed(|out| table(out, 0, &[dual, peer_down()], false)),
        "\
NAME    ADDRESS                                  AS  ROLE    STATE          FOR  FAMILY  RECEIVED  ACCEPTED  ADVERTISED  LAST ERROR
fabric  192.168.11.2                          64512  fabric  Established  1h02m  ipv4      100000     99999           2
                                                                                 ipv6           1         1           0
v6      2001:db8:11:1111:2222:3333:4444:5555      -  host    OpenConfirm    45s                                          connection refused
"
    );
}

#[test]
fn one_session_in_detail() {
    assert_eq!(
        printed(|out| detail(out, &peer())),
        "\
fabric (192.168.11.2)
  state         Established for 1h02m
  AS            64512
  role          fabric
  router id     10.0.0.1
  connection    192.168.11.3:179 (here) - 192.168.11.2:41000
  hold time     90 s
  capabilities  4-octet AS, route refresh
  times lost    1
  last error    Cease: administrative reset

  FAMILY  RECEIVED  ACCEPTED  ADVERTISED  END-OF-RIB
  ipv4      100000     99999           2  received

  MESSAGES  OPEN  UPDATE  NOTIFICATION  KEEPALIVE  ROUTE-REFRESH
  received     1    1234             0         60              0
  sent         1       3             0         61              0
"
    );
}

#[test]
fn a_peer_that_an_operator_shut_down_says_so_and_what_ends_it() {
    let down = Peer {
        name: "fabric".into(),
        state: PeerState::Idle,
        shut_down: true,
        malformed: 3,
        malformed_attributes: [("COMMUNITIES".into(), 2), ("attribute 99".into(), 1)].into(),
        last_error: Some("shut down by an operator: disk change".into()),
        ..peer_down()
    };
    let text = printed(|out| detail(out, &down));
    for line in [
        "state       Idle for 45s",
        "malformed   3 attributes or routes set aside: 2 COMMUNITIES, 1 attribute 99",
        "last error  shut down by an operator: disk change",
        "shut down   until `perouter clear fabric`, or a restart of the daemon",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let text = printed(|out| table(out, 0, &[down], false));
    assert!(text.contains(" Idle ") && text.ends_with("shut down by an operator: disk change\n"), "{text}");
}

#[test]
fn a_session_that_never_was_shows_only_what_is_known() {
    let text = printed(|out| detail(out, &peer_down()));
    assert!(text.contains("state       OpenConfirm for 45s"), "{text}");
    assert!(text.contains("AS          -"), "{text}");
    assert!(!text.contains("hold time") && !text.contains("FAMILY"), "{text}");
}

fn bfd() -> Bfd {
    let side = |state, discriminator| BfdSide {
        state,
        diagnostic: "control detection time expired".into(),
        discriminator,
        desired_min_tx_ms: 300,
        required_min_rx_ms: 50,
        multiplier: 3,
        control_plane_independent: false,
    };
    Bfd {
        since_seconds: 5,
        reason: "nothing was heard for 900 ms".into(),
        times_lost: 1,
        multihop: false,
        held_down_by_peer: false,
        transmit_interval_ms: Some(1000),
        receive_interval_ms: Some(300),
        detection_time_ms: Some(900),
        local: side(BfdState::Down, 7),
        remote: Some(side(BfdState::Up, 9)),
        received: 40,
        sent: 50,
        trouble: None,
    }
}

#[test]
fn the_table_is_followed_by_what_is_kept_and_by_bfd() {
    let kept = Peer { routes_kept_seconds: Some(93), bfd: Some(bfd()), ..peer_down() };
    let text = printed(|out| table(out, 2, &[peer(), kept], false));
    let (_, rest) = text.split_once("connection refused\n").unwrap();
    assert_eq!(
        rest,
        "  v6 (2001:db8:11:1111:2222:3333:4444:5555): routes kept for 93 s more, for it to restart

  BFD WITH  STATE  FOR  SENT EVERY  LOST AFTER  TIMES LOST  WHY
  v6        Down    5s  1000 ms     900 ms               1  nothing was heard for 900 ms
"
    );
}

#[test]
fn the_detail_shows_restarts_errors_by_attribute_and_both_ends_of_bfd() {
    let restart =
        GracefulRestart { restart_seconds: 120, families: vec![Family::Ipv4Unicast], covers_notifications: true };
    let one = Peer {
        malformed: 3,
        malformed_attributes: [("AS_PATH".into(), 2), ("77".into(), 1)].into(),
        graceful_restart: Some(restart.clone()),
        routes_kept_seconds: Some(7),
        bfd: Some(bfd()),
        ..peer()
    };
    let text = printed(|out| detail(out, &one));
    for line in [
        "  malformed     3 attributes or routes set aside: 1 77, 2 AS_PATH\n",
        "  restarts      graceful within 120 s: ipv4, also after NOTIFICATIONs\n",
        "  routes        routes kept for 7 s more, for it to say them again\n",
        "  BFD           Down for 5s: nothing was heard for 900 ms\n",
        "    timers      sent every 1000 ms, received every 300 ms, lost after 900 ms\n",
        "    here        Down (control detection time expired), discriminator 7, wants to send every 300 ms and to receive every 50 ms, x3\n",
        "    there       Up (control detection time expired), discriminator 9, ",
        "    packets     40 received, 50 sent; times lost: 1\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    let only_ours = Peer {
        graceful_restart: Some(GracefulRestart { families: vec![], ..restart }),
        bfd: Some(Bfd { remote: None, ..bfd() }),
        ..peer()
    };
    let text = printed(|out| detail(out, &only_ours));
    assert!(text.contains("its own are not graceful") && text.contains("not heard yet"), "{text}");
}
