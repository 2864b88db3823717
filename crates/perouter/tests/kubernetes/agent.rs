//! `perouter run --kubernetes` on a node of a lab.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use testbed::{Lab, Node, find_program, ip};

use crate::cluster::{Cluster, NAMESPACE};
use crate::door::Door;

/// A running agent.
pub(crate) struct Agent<'a> {
    pub(crate) node: &'a Node,
    pub(crate) name: String,
    pub(crate) door: Door,
    /// The node's own file; as a pod has none, there is none either.
    node_config: PathBuf,
    kubeconfig: PathBuf,
    /// How far its wall clock is from everybody else's, as libfaketime writes it.
    clock: Option<&'static str>,
    pub(crate) pid: u32,
}

/// Where Debian's package `libfaketime` has it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

impl<'a> Agent<'a> {
    /// Starts it as the node of this name.
    pub(crate) fn start(node: &'a Node, name: &str, cluster: &Cluster) -> Self {
        let mut agent = Self::new(node, name, cluster);
        agent.pid = agent.run();
        agent
    }

    /// The same while nobody gets to the API server, with the node's own file, as on a host that boots.
    pub(crate) fn boot(node: &'a Node, name: &str, cluster: &Cluster) -> Self {
        let mut agent = Self::new(node, name, cluster);
        agent.door.shut();
        agent.node_config = node.config_dir().with_file_name("node-config.yaml");
        agent.pid = agent.run();
        agent
    }

    /// With another wall clock than the API server: "+3600" is an hour ahead.
    pub(crate) fn start_at(clock: &'static str, node: &'a Node, name: &str, cluster: &Cluster) -> Self {
        let mut agent = Self::new(node, name, cluster);
        agent.clock = Some(clock);
        agent.pid = agent.run();
        agent
    }

    fn new(node: &'a Node, name: &str, cluster: &Cluster) -> Self {
        let door = Door::new(&node.ns, cluster.port);
        let (name, node_config) = (name.to_owned(), "/nonexistent".into());
        Self { node, name, door, node_config, kubeconfig: cluster.kubeconfig(), clock: None, pid: 0 }
    }

    /// Starts the program; files of its own are read only where a test has written some.
    pub(crate) fn run(&self) -> u32 {
        let (state, configs) = (self.node.state_dir(), self.node.config_dir().join("cluster"));
        let (state, configs) = (state.to_string_lossy(), configs.to_string_lossy());
        let (kubeconfig, node_config) = (self.kubeconfig.to_string_lossy(), self.node_config.to_string_lossy());
        let args = [
            "--log-level",
            "info,perouter=debug",
            "--state-dir",
            &state,
            "run",
            "--kubernetes",
            "--kubeconfig",
            &kubeconfig,
            "--node-name",
            &self.name,
            "--pod-namespace",
            NAMESPACE,
            "--config-dir",
            &configs,
            "--node-config",
            &node_config,
            "--can-start",
            "/nonexistent",
            "--namespace",
            &self.node.router_ns,
        ];
        let log = self.node.state_dir().with_extension("log");
        let lab = &self.node.lab;
        let Some(clock) = self.clock else {
            return lab.spawn(&self.node.ns, lab.perouter(), &args, &log).unwrap();
        };
        let (library, clock) = (format!("LD_PRELOAD={FAKETIME}"), format!("FAKETIME={clock}"));
        let program = lab.perouter().to_string_lossy();
        let settings = [&library, &clock, "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1", &program];
        lab.spawn(&self.node.ns, &find_program("env").unwrap(), &[&settings[..], &args].concat(), &log).unwrap()
    }

    /// Ends it, and starts it again with another wall clock.
    pub(crate) fn set_clock(&mut self, clock: Option<&'static str>) {
        self.stop();
        self.clock = clock;
        self.pid = self.run();
    }

    /// Ends it as an upgrade does.
    pub(crate) fn stop(&self) {
        let status = self.node.lab.end(self.pid, Signal::TERM, Duration::from_secs(20)).unwrap();
        assert!(status.success(), "{status}");
    }

    /// A field of /proc/PID/status, in KB.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:"))).expect("a field");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Processor time so far, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        let fields: Vec<_> = text.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        ticks * 10
    }
}

impl Drop for Agent<'_> {
    /// What it said, beside a failure.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.node.state_dir().with_extension("log")).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(80).collect();
            println!("the log of {}:", self.name);
            last.iter().rev().for_each(|line| println!("  {line}"));
        }
    }
}

/// A node with a NIC of the name that [`underlay`] asks for, which leads nowhere.
pub(crate) fn node(lab: &Lab) -> Node {
    let node = Node::build(lab, 0).unwrap();
    ip::change(&node.ns, &["link", "add", "eth1", "type", "veth", "peer", "name", "nowhere"]).unwrap();
    ip::change(&node.ns, &["address", "add", "192.168.11.3/24", "dev", "eth1"]).unwrap();
    for link in ["nowhere", "eth1"] {
        ip::change(&node.ns, &["link", "set", link, "up"]).unwrap();
    }
    node
}

/// An empty lab around the binary under test.
pub(crate) fn lab() -> Lab {
    Lab::new(crate::cluster::perouter()).unwrap_or_else(|e| panic!("{e}"))
}

/// A spec of an Underlay for one node.
pub(crate) fn underlay(node: &str) -> serde_json::Value {
    serde_json::json!({
        "nodeSelector": { "matchLabels": { "kubernetes.io/hostname": node } },
        "asn": 64514,
        "interfaces": [{ "type": "NetworkDevice", "networkDevice": { "interfaceName": "eth1" } }],
        "neighbors": [{ "asn": 64512, "address": "192.168.11.2" }],
    })
}

/// A spec of an L3Passthrough for one node.
pub(crate) fn passthrough(node: &str) -> serde_json::Value {
    serde_json::json!({
        "nodeSelector": { "matchLabels": { "kubernetes.io/hostname": node } },
        "hostSession": { "asn": 64514, "hostASN": 64515, "localCIDR": { "ipv4": "192.169.10.0/24" } },
    })
}
