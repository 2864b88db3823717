use super::super::tests::printed;
use super::*;
use crate::admin::model::{PlanChange, PlanStep};

fn plan() -> Plan {
    Plan {
        config_dir: "/etc/openperouter/configs".into(),
        running: true,
        changes: false,
        kernel: vec![],
        bgp: vec![],
        resets: vec![],
        remarks: vec![],
        rejected: vec![],
    }
}

#[test]
fn nothing_to_change_is_one_sentence() {
    assert_eq!(printed(|out| print(out, &plan())), "nothing would change with /etc/openperouter/configs\n");
}

#[test]
fn the_sessions_that_a_change_costs_are_named_last() {
    let change = |peer: Option<&str>, effect, text: &str| PlanChange {
        peer: peer.map(str::to_owned),
        effect,
        text: text.to_owned(),
    };
    let plan = Plan {
        changes: true,
        kernel: vec![PlanStep { object: "eth1".into(), text: "move NIC eth1 into namespace perouter".into() }],
        bgp: vec![
            change(None, PlanEffect::Live, "multipath"),
            change(Some("fabric"), PlanEffect::NewSession, "neighbor 192.168.11.2"),
        ],
        resets: vec!["fabric".into()],
        remarks: vec!["NIC eth1 carries a default route".into()],
        ..plan()
    };
    assert_eq!(
        printed(|out| print(out, &plan)),
        "\
Kernel: 1 step
  move NIC eth1 into namespace perouter
BGP: 2 changes
  PEER      EFFECT       CHANGE
  (router)  live         multipath
  fabric    new session  neighbor 192.168.11.2
1 session would end: fabric
note: NIC eth1 carries a default route
"
    );
}
