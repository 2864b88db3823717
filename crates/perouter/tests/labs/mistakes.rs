//! What a user gets wrong costs that user one clear sentence, and nothing that works stops working.

use testbed::passthrough::{LEAF_ASN, ROUTER_ASN, ROUTER_YAML};
use testbed::{Daemon, ip};

use crate::fabric::{Fabric, PATIENCE};

#[test]
fn a_nic_that_does_not_exist_is_named_and_the_other_one_works() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    let nic = "      - type: NetworkDevice\n        networkDevice: {interfaceName: eth1}\n";
    let yaml = ROUTER_YAML.replace(nic, &format!("{nic}{}", nic.replace("eth1", "nosuchnic")));
    fabric.node().write_config("openpe_lab.yaml", &yaml).unwrap();
    fabric.node().start_router().unwrap();
    fabric.status_says(&["nosuchnic"]);
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        fabric.packets_pass(&a);
    }
    let said = fabric.node().ask(&["status"]).unwrap();
    assert_eq!(said.code, Some(1), "a node without one of its NICs is not healthy:\n{}", said.stdout);
    assert!(said.stdout.contains("nosuchnic"), "{}", said.stdout);
}

#[test]
fn a_host_session_with_another_asn_is_rejected_and_the_fabric_session_stays() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    let yaml = ROUTER_YAML.replace("    asn: 64514\n    hostASN", "    asn: 64599\n    hostASN");
    assert_ne!(yaml, ROUTER_YAML);
    fabric.node().write_config("openpe_lab.yaml", &yaml).unwrap();
    fabric.node().start_router().unwrap();
    fabric.status_says(&["64599", "64514"]);
    for a in fabric.plans() {
        fabric.session(&fabric.leaf, a.nic.addr(), true);
    }
    let said = fabric.node().ask(&["status"]).unwrap();
    assert_eq!(said.code, Some(1), "{}", said.stdout);

    // Corrected while it runs: applied live, and the sessions with the leaf are not reset.
    let before = fabric.flaps();
    fabric.node().write_config("openpe_lab.yaml", ROUTER_YAML).unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
    }
    assert_eq!(fabric.flaps(), before);
}

#[test]
fn a_bad_file_beside_a_good_one_is_named_and_the_good_one_works() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    fabric.node().write_config("openpe_zz_bad.yaml", "underlays:\n  - asn: [not a number\n").unwrap();
    fabric.node().start_router().unwrap();
    fabric.status_says(&["openpe_zz_bad.yaml"]);
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
    }
    assert_eq!(fabric.node().ask(&["status"]).unwrap().code, Some(1));

    std::fs::remove_file(fabric.node().config_dir().join("openpe_zz_bad.yaml")).unwrap();
    fabric.net.lab.wait_until("the node is healthy", PATIENCE, || {
        let said = fabric.node().ask(&["status"]).map_err(|e| e.to_string())?;
        if said.ok() { Ok(()) } else { Err(said.stdout) }
    });
}

#[test]
fn a_second_router_is_refused_in_one_sentence_and_the_first_one_works_on() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    let router = fabric.node().start_router().unwrap();
    fabric.sessions_up();
    let said = fabric.node().run_with_files(&["run"]).unwrap();
    assert!(matches!(said.code, Some(1 | 2)), "{said:?}");
    let spoken: Vec<_> = said.stderr.lines().filter(|l| !l.trim().is_empty()).collect();
    assert_eq!(spoken.len(), 1, "one sentence: {said:?}");
    assert!(said.stdout.is_empty(), "{said:?}");

    assert_eq!(fabric.net.lab.exit_status(router), None, "the first one runs");
    for a in fabric.plans() {
        fabric.learns(&fabric.host, a.leaf_network, Some((a.router, &[ROUTER_ASN, LEAF_ASN])));
        fabric.packets_pass(&a);
    }
    let said = fabric.node().ask(&["status"]).unwrap();
    assert!(said.ok(), "{}", said.stdout);
    assert!(ip::link_named(&fabric.node().router_ns, "pt-ns").is_ok());
}
