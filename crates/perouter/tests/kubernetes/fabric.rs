//! Five nodes of a cluster on one leaf: upstream's example as it is, and everything that a person does with it.

use std::net::{IpAddr, Ipv4Addr};

use rustix::process::Signal;
use serde_json::{Value, json};
use testbed::passthrough::addresses_of;
use testbed::{Daemon, Family, Layout, Passthrough, Peer, ip, traffic};

use crate::agent::{Agent, lab};
use crate::cluster::{Cluster, condition};
use crate::objects::events_of;

const NODES: u8 = 5;

/// Upstream's example for passthrough.
const EXAMPLE: &str = "\
apiVersion: network.openperouter.io/v1alpha1
kind: Underlay
metadata:
  name: underlay
  namespace: openperouter-system
spec:
  asn: 64514
  interfaces:
    - type: NetworkDevice
      networkDevice:
        interfaceName: toswitch
  neighbors:
    - asn: 64512
      address: 192.168.11.2
---
apiVersion: network.openperouter.io/v1alpha1
kind: L3Passthrough
metadata:
  name: passthrough
  namespace: openperouter-system
spec:
  hostSession:
    asn: 64514
    hostASN: 64515
    localCIDR:
      ipv4: 192.169.10.0/24
";

fn name(node: u8) -> String {
    format!("worker-{node}")
}

fn ipv4_only(config: &mut testbed::PeerConfig) {
    config.neighbors.retain(|neighbor| neighbor.address.is_ipv4());
    config.networks.retain(|network| Family::of(*network) == Family::Ipv4);
}

/// Sessions of a status with one role, and how many of them are established.
fn sessions(status: &Value, role: &str) -> (usize, usize) {
    let of_role = status["sessions"].as_array().into_iter().flatten().filter(|session| session["role"] == role);
    let states: Vec<_> = of_role.map(|session| session["state"] == "Established").collect();
    (states.len(), states.iter().filter(|established| **established).count())
}

fn host_address(net: &Passthrough, node: u8) -> Result<String, String> {
    let link = ip::link_named(&net.nodes[usize::from(node)].ns, "pt-host").map_err(|error| error.to_string())?;
    Ok(format!("{:?}", link.addresses))
}

/// As docs/kubernetes.md says: first for the generation, then for the verdict.
fn waited_for_with_kubectl(cluster: &Cluster) {
    let ask = |args: &[&str]| {
        cluster.kube.ask(&[&["-n", "openperouter-system"], args].concat()).unwrap_or_else(|e| panic!("{e}"))
    };
    cluster.status(&name(1), "it is there", |status| !status.is_null());
    let generation = ask(&["get", "underlay", "underlay", "-o", "jsonpath={.metadata.generation}"]);
    let status = "routernodeconfigurationstatus/worker-1";
    let seen = r#"jsonpath={.status.resources[?(@.kind=="Underlay")].observedGeneration}"#;
    ask(&["wait", status, "--timeout=60s", &format!("--for={seen}={generation}")]);
    ask(&["wait", status, "--timeout=60s", "--for=condition=Ready"]);
    let columns = ask(&["get", status]);
    assert!(columns.contains("READY") && columns.contains("DEGRADED") && columns.contains("True"), "{columns}");
}

#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn five_nodes_join_the_fabric_as_upstreams_example_says_and_leave_it_without_a_trace() {
    let cluster = Cluster::own();
    let net = Passthrough::build(lab(), Layout { nodes: NODES, ..Layout::default() }).unwrap();
    println!("lab: frr as leaf, five nodes with perouter, frr and bird as hosts");
    let mut of_leaf = net.leaf_config(0);
    ipv4_only(&mut of_leaf);
    let leaf = Peer::start(&net.lab, Daemon::Frr, net.leaf_ns(), of_leaf).unwrap();
    let mut hosts = Vec::new();
    for node in &net.nodes {
        for change in ["down", "name toswitch", "up"] {
            let link = if change == "up" { "toswitch" } else { "eth1" };
            let words: Vec<_> = ["link", "set", link].into_iter().chain(change.split(' ')).collect();
            ip::change(&node.ns, &words).unwrap();
        }
        let mut of_host = net.host_config(node.index);
        ipv4_only(&mut of_host);
        let daemon = if node.index < 2 { Daemon::Frr } else { Daemon::Bird };
        hosts.push(Peer::start(&net.lab, daemon, &node.ns, of_host).unwrap());
        cluster.node(&name(node.index), Some(node.index.into()), &[("openperouter/passthrough", "true")]);
    }
    let agents: Vec<_> = net.nodes.iter().map(|node| Agent::start(node, &name(node.index), &cluster)).collect();
    cluster.kube.apply(EXAMPLE).unwrap();
    waited_for_with_kubectl(&cluster);

    for node in 0..NODES {
        cluster.status(&name(node), "both sessions are established", |status| {
            sessions(status, "fabric") == (1, 1)
                && sessions(status, "host").1 == 1
                && condition(status, "Ready").0 == "True"
                && condition(status, "SessionsEstablished").0 == "True"
        });
        let seen = host_address(&net, node).unwrap();
        assert!(seen.contains(&format!("192.169.10.{}", 2 + node)), "{seen}");
        let nic = addresses_of(Family::Ipv4, 0, node).nic.addr();
        cluster.eventually(&format!("the leaf sees {nic}"), || match leaf.established(nic) {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    // Hosts of two nodes share an AS: they reach each other when the router replaces it.
    let session = |more: Value| {
        let mut session = json!({ "asn": 64514, "hostASN": 64515, "localCIDR": { "ipv4": "192.169.10.0/24" } });
        session.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        session
    };
    cluster
        .apply("L3Passthrough", "passthrough", &json!({ "hostSession": session(json!({ "asOverride": true })) }))
        .unwrap();
    let server = |node: u8| addresses_of(Family::Ipv4, 0, node).host_server;
    for (from, to) in [(0, 1), (1, 0), (0, 4)] {
        let ends = (&net.nodes[usize::from(from)].ns, server(from), server(to));
        cluster.eventually(&format!("ping from node {from} to node {to}"), || {
            traffic::ping(ends.0, ends.1, ends.2).map_err(|error| error.to_string())
        });
    }
    traffic::tcp((&net.nodes[0].ns, server(0)), (&net.nodes[1].ns, server(1))).unwrap();

    // Only the node whose label goes changes.
    let selective = json!({
        "nodeSelector": { "matchLabels": { "openperouter/passthrough": "true" } },
        "hostSession": session(json!({ "asOverride": true })),
    });
    cluster.apply("L3Passthrough", "passthrough", &selective).unwrap();
    cluster.node(&name(3), Some(3), &[]);
    cluster.eventually("the veth of node 3 is gone", || match host_address(&net, 3) {
        Err(_) => Ok(()),
        Ok(seen) => Err(seen),
    });
    cluster.status(&name(3), "its fabric session stays", |status| {
        sessions(status, "host").0 == 0 && sessions(status, "fabric") == (1, 1)
    });
    for node in [0, 1, 2, 4] {
        let status = cluster.status(&name(node), "it is as it was", |status| sessions(status, "host").1 == 1);
        let lost: Vec<_> =
            status["sessions"].as_array().unwrap().iter().map(|session| session["lost"].clone()).collect();
        assert!(lost.iter().all(|lost| *lost == 0), "node {node}: {status:#}");
    }
    cluster.node(&name(3), Some(3), &[("openperouter/passthrough", "true")]);
    cluster.status(&name(3), "back with its session", |status| sessions(status, "host").1 == 1);

    // A session that is lost is told where kubectl describe shows it.
    drop(hosts.pop().map(|host| host.stop(Signal::KILL)));
    cluster.eventually("the lost session of node 4 is an event of its L3Passthrough", || {
        let told = events_of(&cluster, "passthrough");
        let is_it = |event: &&Value| event["reason"] == "SessionLost" && event["note"].to_string().contains(&name(4));
        if told.iter().any(|event| is_it(&event)) { Ok(()) } else { Err(format!("{told:#?}")) }
    });

    // Everything goes: the NICs are back with their addresses, and nothing is left.
    cluster.delete("L3Passthrough", "passthrough");
    cluster.delete("Underlay", "underlay");
    for node in &net.nodes {
        let nic = addresses_of(Family::Ipv4, 0, node.index).nic;
        // The NIC goes back before the veth is deleted: it is all over when all of it is true.
        cluster.eventually(&format!("node {} is as it was", node.index), || {
            let link = ip::link_named(&node.ns, "toswitch").map_err(|error| error.to_string())?;
            let left = ip::links(&node.router_ns).map_err(|error| error.to_string())?;
            let left: Vec<_> = left.into_iter().map(|link| link.name).collect();
            let back = link.up && link.addresses.contains(&nic);
            if back && left == ["lo"] && ip::link_named(&node.ns, "pt-host").is_err() {
                let leaf_address = IpAddr::V4(Ipv4Addr::new(192, 168, 11, 2));
                traffic::ping(&node.ns, nic.addr(), leaf_address).map_err(|error| error.to_string())
            } else {
                Err(format!("{link:?}, in the router's namespace {left:?}"))
            }
        });
        cluster.status(&name(node.index), "nothing is configured", |status| {
            sessions(status, "fabric").0 == 0 && condition(status, "Ready").0 == "True"
        });
    }
    drop((agents, hosts));
}
