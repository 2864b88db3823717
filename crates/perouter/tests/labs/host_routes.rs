//! `hostRoutes`: the way back for hosts whose speaker installs nothing.

use ipnet::IpNet;
use testbed::passthrough::Addresses;
use testbed::{Daemon, Family, LabError, ip};

use crate::fabric::{Fabric, PATIENCE, kernel_route};
use crate::yaml::Yaml;

/// The host's table holds this prefix over the veth with this metric, or it does not hold it.
#[track_caller]
fn host_has(fabric: &Fabric, table: &str, prefix: IpNet, wanted: Option<(&Addresses, u64)>) {
    let what = format!("table {table} of the host holds {prefix}: {wanted:?}");
    fabric.net.lab.wait_until(&what, PATIENCE, || {
        // A table without any route is one that does not exist.
        let routes = ip::routes_of(&fabric.node().ns, Family::of(prefix), table)
            .or_else(|e| if e.to_string().contains("does not exist") { Ok(Vec::new()) } else { Err(e) })?;
        let found = routes.iter().find(|r| r.prefix == prefix);
        let as_wanted = match (wanted, found) {
            (None, None) => true,
            (Some((a, metric)), Some(r)) => r.gateways == [a.router] && r.metric == metric,
            (None, Some(_)) | (Some(_), None) => false,
        };
        if as_wanted { Ok(()) } else { Err(LabError::new(format!("{found:?}"))) }
    });
}

#[test]
fn a_host_that_installs_nothing_reaches_the_fabric_and_is_reached() {
    let mut fabric = Fabric::new(Daemon::Frr, Daemon::Gobgp);
    fabric.configure(&Yaml::new().passthrough("hostRoutes: {}"));
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        host_has(&fabric, "main", a.leaf_network, Some((&a, 20)));
        fabric.packets_pass(&a);
    }
    // They follow what the leaf announces.
    for a in fabric.plans() {
        fabric.leaf.withdraw(a.leaf_network).unwrap();
        host_has(&fabric, "main", a.leaf_network, None);
        fabric.leaf.announce(a.leaf_network).unwrap();
        host_has(&fabric, "main", a.leaf_network, Some((&a, 20)));
    }
    // The host's own network and address are not sent back into itself.
    for a in fabric.plans() {
        for prefix in [a.host_network, a.host_route()] {
            assert_eq!(kernel_route(&fabric.node().ns, prefix).unwrap(), None);
        }
    }
    removing_the_option_removes_its_routes_and_no_other(&fabric);
}

fn removing_the_option_removes_its_routes_and_no_other(fabric: &Fabric) {
    let by_hand: IpNet = "198.51.100.0/24".parse().unwrap();
    let plans = fabric.plans();
    fabric.net.lab.add_route(&fabric.node().ns, by_hand, plans[0].router).unwrap();
    let others = |fabric: &Fabric| -> Vec<_> {
        let routes = Family::ALL.into_iter().flat_map(|f| ip::routes(&fabric.node().ns, f).unwrap());
        routes.filter(|r| plans.iter().all(|a| a.leaf_network != r.prefix)).collect()
    };
    let before = others(fabric);
    assert!(before.iter().any(|r| r.prefix == by_hand));
    fabric.configure(&Yaml::new());
    for a in &plans {
        host_has(fabric, "main", a.leaf_network, None);
    }
    assert_eq!(others(fabric), before);
    assert_eq!(fabric.flaps(), 0, "no session was reset");
}

#[test]
fn table_metric_and_prefixes_are_the_users_choice() {
    let mut fabric = Fabric::new(Daemon::Bird, Daemon::Gobgp);
    let wanted = "{prefix: 192.170.0.0/16, ge: 24, le: 24}, {prefix: \"2001:db8:170::/48\", ge: 64, le: 64}";
    let yaml = Yaml::new().passthrough(&format!("hostRoutes: {{table: 1234, metric: 77, prefixes: [{wanted}]}}"));
    fabric.configure(&yaml);
    fabric.leaf.announce("192.170.99.128/25".parse().unwrap()).unwrap();
    fabric.leaf.announce("0.0.0.0/0".parse().unwrap()).unwrap();
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        host_has(&fabric, "1234", a.leaf_network, Some((&a, 77)));
        assert_eq!(kernel_route(&fabric.node().ns, a.leaf_network).unwrap(), None, "not in another table");
    }
    // All of them have reached the host by BGP, so what is not in the table will not come.
    crate::fabric::knows(&fabric.net.lab, &fabric.host, "192.170.99.128/25".parse().unwrap());
    crate::fabric::knows(&fabric.net.lab, &fabric.host, "0.0.0.0/0".parse().unwrap());
    let held = ip::routes_of(&fabric.node().ns, Family::Ipv4, "1234").unwrap();
    assert_eq!(held.iter().map(|r| r.prefix.to_string()).collect::<Vec<_>>(), ["192.170.20.0/24"]);

    // A default route takes the whole node's traffic: only where it is asked for.
    fabric.configure(&Yaml::new().passthrough("hostRoutes: {table: 1234, metric: 77}"));
    let plans = fabric.plans();
    host_has(&fabric, "1234", "192.170.99.128/25".parse().unwrap(), Some((&plans[0], 77)));
    host_has(&fabric, "1234", "0.0.0.0/0".parse().unwrap(), None);
    fabric.configure(&Yaml::new().passthrough("hostRoutes: {table: 1234, metric: 77, allowDefault: true}"));
    host_has(&fabric, "1234", "0.0.0.0/0".parse().unwrap(), Some((&plans[0], 77)));
}

/// As in the data plane: what is there when the router goes stays and is taken over by the next one.
#[test]
fn routes_of_the_host_survive_a_restart_of_the_router() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Gobgp);
    fabric.configure(&Yaml::new().passthrough("hostRoutes: {}"));
    let router = fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        host_has(&fabric, "main", a.leaf_network, Some((&a, 20)));
    }
    fabric.node().stop_router(router).unwrap();
    for a in fabric.plans() {
        host_has(&fabric, "main", a.leaf_network, Some((&a, 20)));
    }
    let router = fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        host_has(&fabric, "main", a.leaf_network, Some((&a, 20)));
        fabric.packets_pass(&a);
    }
    fabric.node().stop_router(router).unwrap();
    let said = fabric.node().teardown().unwrap();
    assert!(said.ok(), "{said:?}");
    for a in fabric.plans() {
        assert_eq!(kernel_route(&fabric.node().ns, a.leaf_network).unwrap(), None, "teardown leaves nothing");
    }
}
