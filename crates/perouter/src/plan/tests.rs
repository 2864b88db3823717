use super::bgp::{changes, resets};
use super::*;
use engine::intent::{Multipath, PeerIntent, RemoteAs, Role};
use engine::{Family, Intent};
use std::collections::BTreeMap;
use std::time::Duration;

fn intent(hold_time: u64) -> Intent {
    let mut peer = PeerIntent::new("fabric", Role::Fabric, RemoteAs::Number(64512), vec![Family::Ipv4Unicast]);
    peer.hold_time = Duration::from_secs(hold_time);
    Intent {
        prefer_oldest: false,
        asn: 64514,
        router_id: "10.0.0.1".parse().unwrap(),
        peers: BTreeMap::from([("192.168.11.2".parse().unwrap(), peer)]),
        unnumbered: BTreeMap::new(),
        ranges: Vec::new(),
        listen_limit: 10,
        networks: Vec::new(),
        multipath: Multipath::default(),
        host_routes: None,
        cluster_id: None,
        fib: true,
        advertise_after_fib: false,
    }
}

fn table(metric: u32) -> HostTable {
    HostTable { table: 254, metric, link: "pt-host".into(), gateways: Vec::new() }
}

#[test]
fn a_session_parameter_names_the_session_that_it_resets() {
    let found = changes(Some(&intent(90)), Some(&intent(30)));
    assert_eq!(resets(&found), ["fabric"]);
    assert!(changes(Some(&intent(90)), Some(&intent(90))).is_empty());
}

#[test]
fn a_router_that_goes_ends_its_sessions_and_one_that_comes_ends_none() {
    let coming = changes(None, Some(&intent(90)));
    let going = changes(Some(&intent(90)), None);
    let effects = |changes: &[model::PlanChange]| -> Vec<_> {
        changes.iter().filter(|change| change.peer.is_some()).map(|change| change.effect).collect()
    };
    assert_eq!(effects(&coming), [model::PlanEffect::Added]);
    assert_eq!(effects(&going), [model::PlanEffect::Removed]);
    assert!(resets(&coming).is_empty());
    assert_eq!(resets(&going), ["fabric"]);
}

#[test]
fn another_table_is_left_before_the_new_one_is_filled() {
    let texts: Vec<_> = table_steps(Some(&table(20)), Some(&table(30))).into_iter().map(|step| step.text).collect();
    assert_eq!(
        texts,
        [
            "remove our routes over pt-host in the host's table 254, metric 20",
            "install routes over pt-host in the host's table 254, metric 30"
        ]
    );
    assert!(table_steps(Some(&table(20)), Some(&table(20))).is_empty());
}
