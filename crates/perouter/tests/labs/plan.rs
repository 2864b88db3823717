//! `perouter plan`: what would change, without changing it.

use testbed::passthrough::addresses;
use testbed::{Daemon, Family, ip};

use crate::fabric::{Fabric, healthy};
use crate::yaml::{Yaml, address};

#[test]
fn a_plan_is_empty_when_nothing_would_change_and_names_what_would() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    let node = fabric.node();
    // Before the router runs: everything would.
    let said = node.run_with_files(&["plan"]).unwrap();
    for word in ["eth1", "pt-host", "192.168.11.2"] {
        assert!(said.stdout.contains(word), "no `{word}` in:\n{}{}", said.stdout, said.stderr);
    }
    assert!(!ip::has_namespace(&node.router_ns), "nothing was changed");

    node.start_router().unwrap();
    fabric.sessions_up();
    healthy(node);
    let nothing = node.run_with_files(&["plan"]).unwrap();
    assert!(nothing.ok(), "{nothing:?}");
    let json = node.run_with_files(&["-o", "json", "plan"]).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap_or_else(|e| panic!("{e}: {json:?}"));
    let lists = json.as_object().unwrap().values().filter_map(|v| v.as_array());
    assert!(lists.clone().count() > 0 && lists.clone().all(Vec::is_empty), "an empty plan: {json:#}");

    // One neighbour's timers: that session would reset, and no other. The file is tried beside the router's own.
    let slower = format!("asn: 64512, {}, holdTimeSeconds: 30, keepaliveTimeSeconds: 10", address(0, Family::Ipv4));
    let mut yaml = Yaml::new();
    yaml.neighbors[0] = format!("{slower}, addressFamilies: [{{type: ipv4unicast}}]");
    let other = fabric.net.lab.dir().join("planned");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("openpe_lab.yaml"), yaml.to_string()).unwrap();
    let said = node.run_with(&["plan"], &other).unwrap();
    let [v4, v6] = Family::ALL.map(addresses);
    assert!(said.stdout.contains(&v4.leaf.to_string()), "{said:?}");
    assert!(!said.stdout.contains(&v6.leaf.to_string()), "{said:?}");
    assert!(!said.stdout.contains("pt-host") && !said.stdout.contains("eth1"), "{said:?}");
    assert_eq!(fabric.flaps(), 0, "nothing was changed");
    fabric.sessions_up();
}
