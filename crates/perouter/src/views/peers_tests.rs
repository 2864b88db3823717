use super::super::tests::{peer, peer_down, printed};
use super::*;
use crate::admin::model::{Family, FamilyCounts, PeerState};

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
        printed(|out| table(out, 0, &[dual, peer_down()])),
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
    let text = printed(|out| table(out, 0, &[down]));
    assert!(text.contains(" Idle ") && text.ends_with("shut down by an operator: disk change\n"), "{text}");
}

#[test]
fn a_session_that_never_was_shows_only_what_is_known() {
    let text = printed(|out| detail(out, &peer_down()));
    assert!(text.contains("state       OpenConfirm for 45s"), "{text}");
    assert!(text.contains("AS          -"), "{text}");
    assert!(!text.contains("hold time") && !text.contains("FAMILY"), "{text}");
}
