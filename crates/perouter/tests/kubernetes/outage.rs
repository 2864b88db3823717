//! Whatever the API server does, a working router stays as it is: only a deletion or a change of objects touches it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Node, ip};

use crate::agent::{Agent, lab, node, passthrough, underlay};
use crate::cluster::{Cluster, PATIENCE, condition, resource};

/// The API server of a kit, which can be killed and started again on the same storage.
struct Server {
    args: Vec<String>,
    pid: u32,
    again: Option<Child>,
}

impl Server {
    fn of(cluster: &Cluster) -> Self {
        let pids = fs::read_to_string(cluster.kube.dir().join("pids")).unwrap();
        let line = pids.lines().find(|line| line.starts_with("labapi ")).expect("the kit's API server");
        let pid: u32 = line.split(' ').nth(1).unwrap().parse().unwrap();
        let args = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let args = args.split_terminator('\0').map(str::to_owned).collect();
        Self { args, pid, again: None }
    }

    fn kill(&mut self) {
        match &mut self.again {
            Some(child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            None => {
                let pid = rustix::process::Pid::from_raw(self.pid.try_into().unwrap()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
        }
    }

    fn start(&mut self, cluster: &Cluster) {
        cluster.eventually("the API server is started", || {
            let mut command = Command::new(&self.args[0]);
            command.args(&self.args[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            // Its port may still be taken by the one that was killed.
            let begin = Instant::now();
            loop {
                let answers = cluster.wait(cluster.client.apiserver_version()).is_ok();
                if let Some(ended) = child.try_wait().unwrap() {
                    return Err(format!("{ended}"));
                }
                if answers {
                    self.again = Some(child);
                    return Ok(());
                }
                assert!(begin.elapsed() < PATIENCE, "the API server does not answer within {PATIENCE:?}");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.again {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn host_addresses(node: &Node) -> Result<String, String> {
    ip::link_named(&node.ns, "pt-host").map(|link| format!("{:?}", link.addresses)).map_err(|error| error.to_string())
}

/// The router is on the node as index 1 has it, and was never taken down.
#[track_caller]
fn router_stands(node: &Node) {
    assert!(host_addresses(node).unwrap().contains("192.169.10.3"));
    let said = node.ask(&["events", "-n", "1000"]).unwrap().stdout;
    assert!(!said.contains("no Underlay any more"), "{said}");
}

fn applied(status: &Value, name: &str) -> bool {
    resource(status, "Underlay", name)["applied"] == true && resource(status, "L3Passthrough", name)["applied"] == true
}

/// The API server is killed while objects change, comes back without its memory of the past, and has forgotten even what
/// its storage said then (compacted): the agent is told "410 Gone", lists anew, and acts on what has really changed.
#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn an_api_server_that_is_killed_and_forgets_the_past_costs_nothing_but_the_time_it_is_away() {
    let (cluster, lab) = (Cluster::own(), lab());
    let node = node(&lab);
    cluster.node("away", Some(1), &[]);
    let agent = Agent::start(&node, "away", &cluster);
    cluster.apply("Underlay", "away", &underlay("away")).unwrap();
    cluster.apply("L3Passthrough", "away", &passthrough("away")).unwrap();
    cluster.apply("Underlay", "spare", &underlay("away")).unwrap();
    cluster.status("away", "both are applied", |status| applied(status, "away"));
    cluster.eventually("the veth has its address", || {
        let seen = host_addresses(&node)?;
        if seen.contains("192.169.10.3") { Ok(()) } else { Err(seen) }
    });

    let mut server = Server::of(&cluster);
    agent.door.shut();
    cluster.eventually("the agent says that nobody answers", || {
        let said = node.ask(&["status"]).map_err(|error| error.to_string())?.stdout;
        if said.contains("the API server cannot be asked") { Ok(()) } else { Err(said) }
    });
    router_stands(&node);
    // Meanwhile: one object goes, one changes, and the storage forgets how.
    cluster.delete("Underlay", "spare");
    let mut changed = passthrough("away");
    changed["hostSession"]["hostASN"] = json!(64999);
    let generation = cluster.apply("L3Passthrough", "away", &changed).unwrap().metadata.generation;
    server.kill();
    compact(&server);
    server.start(&cluster);
    router_stands(&node);
    agent.door.open();
    // Each kind is listed anew by itself.
    cluster.status("away", "what changed is in force, and what went is gone", |status| {
        let changed = resource(status, "L3Passthrough", "away")["observedGeneration"] == json!(generation);
        changed && applied(status, "away") && resource(status, "Underlay", "spare").is_null()
    });
    router_stands(&node);

    // A definition that is removed takes its objects along; nobody asked for the router to go.
    cluster.remove_definition("underlays");
    cluster.eventually("the agent has noticed", || {
        let said = node.ask(&["status"]).map_err(|error| error.to_string())?.stdout;
        if said.contains("went with its custom resource definition") { Ok(()) } else { Err(said) }
    });
    router_stands(&node);
    cluster.install();
    cluster.status("away", "the orphan is told of, and in force", |status| {
        let orphan = resource(status, "Underlay", "away");
        orphan["message"].as_str().is_some_and(|text| text.contains("went with")) && orphan["applied"] == true
    });
    router_stands(&node);
    // Made anew, it is an object like any other; and when it is deleted then, the router goes.
    cluster.apply("Underlay", "away", &underlay("away")).unwrap();
    cluster.status("away", "it is itself again", |status| {
        let found = resource(status, "Underlay", "away");
        found["applied"] == true && found["message"].is_null()
    });
    router_stands(&node);
    cluster.delete("Underlay", "away");
    cluster.eventually("the router is gone", || match host_addresses(&node) {
        Err(_) => Ok(()),
        Ok(seen) => Err(seen),
    });
}

/// The storage forgets every version but the last one.
fn compact(server: &Server) {
    let etcd = server.args.iter().skip_while(|arg| *arg != "--etcd").nth(1).expect("an address of etcd");
    let post = |path: &str, body: &str| {
        let output =
            Command::new("curl").args(["-sf", "-X", "POST", &format!("{etcd}{path}"), "-d", body]).output().unwrap();
        assert!(output.status.success(), "{path}: {output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let revision = post("/v3/kv/range", r#"{"key":"AA=="}"#)["header"]["revision"].as_str().unwrap().to_owned();
    post("/v3/kv/compaction", &format!("{{\"revision\":\"{revision}\"}}"));
}

/// Started while nobody answers, it is the router that it was: the state directory remembers what concerned this node.
#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn a_start_without_the_api_server_makes_the_router_that_was_known_last() {
    let (cluster, lab) = (Cluster::shared(), lab());
    let node = node(&lab);
    cluster.node("alone", Some(1), &[]);
    let mut agent = Agent::start(&node, "alone", &cluster);
    cluster.apply("Underlay", "alone", &underlay("alone")).unwrap();
    cluster.apply("L3Passthrough", "alone", &passthrough("alone")).unwrap();
    cluster.status("alone", "both are applied", |status| applied(status, "alone"));
    let memory = node.state_dir().join("cluster.json");
    cluster.eventually("it is kept", || {
        let text = fs::read_to_string(&memory).map_err(|error| error.to_string())?;
        if text.contains("192.169.10.0/24") { Ok(()) } else { Err(text) }
    });
    agent.door.shut();
    agent.stop();
    ip::change(&node.ns, &["link", "delete", "pt-host"]).unwrap();
    agent.pid = agent.run();
    cluster.eventually("the router is there again", || {
        let seen = host_addresses(&node)?;
        if seen.contains("192.169.10.3") { Ok(()) } else { Err(seen) }
    });
    // What was deleted meanwhile goes as soon as somebody says so.
    cluster.delete("L3Passthrough", "alone");
    assert!(host_addresses(&node).unwrap().contains("192.169.10.3"));
    agent.door.open();
    cluster.eventually("the passthrough is gone", || match host_addresses(&node) {
        Err(_) => Ok(()),
        Ok(seen) => Err(seen),
    });
    cluster.delete("Underlay", "alone");
}

/// A host that boots has its static files, and no API server before the network is up, which the router makes.
#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn case_162_static_files_make_a_router_before_the_api_server_can_be_reached() {
    let (cluster, lab) = (Cluster::shared(), lab());
    let node = node(&lab);
    cluster.node("booting", Some(7), &[]);
    cluster.apply("L3Passthrough", "booting", &passthrough("booting")).unwrap();
    fs::create_dir_all(node.config_dir().join("cluster")).unwrap();
    let file = "underlays:\n  - asn: 64514\n    interfaces: [{type: NetworkDevice, networkDevice: {interfaceName: eth1}}]\n    \
                neighbors: [{asn: 64512, address: 192.168.11.2}]\n";
    node.write_config("cluster/openpe_a.yaml", file).unwrap();
    let agent = Agent::boot(&node, "booting", &cluster);
    cluster.eventually("the router has the NIC", || {
        ip::link_named(&node.router_ns, "eth1").map(drop).map_err(|error| error.to_string())
    });
    assert!(host_addresses(&node).is_err(), "the passthrough is the cluster's");
    agent.door.open();
    cluster.eventually("the cluster's passthrough joins it, with the index of the node's file", || {
        let seen = host_addresses(&node)?;
        if seen.contains("192.169.10.2") { Ok(()) } else { Err(seen) }
    });
    cluster.delete("L3Passthrough", "booting");
}

/// Static files stand before the cluster's objects, and are shown in it.
#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn case_127_static_files_come_first_and_are_shown_in_the_cluster() {
    let (cluster, lab) = (Cluster::shared(), lab());
    let node = node(&lab);
    cluster.node("static", Some(1), &[]);
    cluster.apply("Underlay", "static-other", &underlay("static")).unwrap();
    fs::create_dir_all(node.config_dir().join("cluster")).unwrap();
    let file = "underlays:\n  - asn: 64514\n    interfaces: [{type: NetworkDevice, networkDevice: {interfaceName: eth1}}]\n    \
                neighbors: [{asn: 64512, address: 192.168.11.2, password: s3cret}]\n";
    node.write_config("cluster/openpe_a.yaml", file).unwrap();
    let _agent = Agent::start(&node, "static", &cluster);
    let status = cluster.status("static", "the static one is in force", |status| {
        resource(status, "Underlay", "static-static-underlay-0")["applied"] == true
    });
    let other = resource(&status, "Underlay", "static-other");
    assert_eq!(other["applied"], false, "{status:#}");
    assert_eq!(condition(&status, "Ready").0, "False");

    let shown = || cluster.wait(cluster.objects("Underlay").get("static-static-underlay-0"));
    let copy = cluster.eventually("it is shown", shown);
    let labels = copy.metadata.labels.clone().unwrap();
    assert_eq!(labels["openperouter.github.io/source"], "static");
    assert_eq!(labels["openperouter.github.io/static-node"], "static");
    assert_eq!(copy.data["spec"]["nodeSelector"]["matchLabels"]["kubernetes.io/hostname"], "static");
    assert!(!copy.data.to_string().contains("s3cret"), "keys are not shown");
    // Deleted, it comes back; edited, it is put right; and it never is configuration.
    cluster.delete("Underlay", "static-static-underlay-0");
    cluster.eventually("it is there again", || {
        if shown()?.metadata.uid == copy.metadata.uid { Err("the old one".to_owned()) } else { Ok(()) }
    });
    let mut edited = copy.data["spec"].clone();
    edited["asn"] = json!(65000);
    cluster.apply("Underlay", "static-static-underlay-0", &edited).unwrap();
    cluster.eventually("it is put right", || {
        let asn = shown()?.data["spec"]["asn"].clone();
        if asn == 64514 { Ok(()) } else { Err(asn.to_string()) }
    });
    node.remove_config("cluster/openpe_a.yaml").unwrap();
    cluster.eventually("it goes with its file", || match shown() {
        Err(_) => Ok(()),
        Ok(copy) => Err(format!("{copy:?}")),
    });
    cluster.status("static", "the cluster's takes its place", |status| {
        resource(status, "Underlay", "static-other")["applied"] == true
    });
    cluster.delete("Underlay", "static-other");
}

/// Clocks of nodes differ, and nothing goes by the wall clock: neither what is in force nor what is told. An hour ahead: behind,
/// the certificate of an API server that is new is not valid yet (the next test).
#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn an_agent_whose_clock_is_wrong_is_as_good_as_another() {
    let (cluster, lab) = (Cluster::shared(), lab());
    let node = node(&lab);
    cluster.node("early", Some(1), &[]);
    let agent = Agent::start_at("+3600", &node, "early", &cluster);
    cluster.apply("Underlay", "early", &underlay("early")).unwrap();
    cluster.apply("L3Passthrough", "early", &passthrough("early")).unwrap();
    cluster.status("early", "both are applied", |status| applied(status, "early"));
    router_stands(&node);
    let mut changed = passthrough("early");
    changed["hostSession"]["hostASN"] = json!(64999);
    let generation = cluster.apply("L3Passthrough", "early", &changed).unwrap().metadata.generation;
    cluster.status("early", "the change is in force", |status| {
        let seen = &resource(status, "L3Passthrough", "early")["observedGeneration"];
        *seen == json!(generation) && applied(status, "early")
    });
    cluster.delete("L3Passthrough", "early");
    cluster.delete("Underlay", "early");
    cluster.status("early", "nothing is configured", |status| resource(status, "Underlay", "early").is_null());
    agent.stop();
}

/// A clock a day behind, as of a node without a battery before it has found its time server: whoever looks learns why the
/// node does not join, and once the clock is right it does.
#[test]
#[ignore = "needs a Kubernetes: PEROUTER_KUBE_KIT (README)"]
fn a_clock_for_which_the_certificate_is_not_valid_yet_is_told() {
    let (cluster, lab) = (Cluster::shared(), lab());
    let node = node(&lab);
    cluster.node("behind", Some(1), &[]);
    cluster.apply("Underlay", "behind", &underlay("behind")).unwrap();
    cluster.apply("L3Passthrough", "behind", &passthrough("behind")).unwrap();
    let mut agent = Agent::start_at("-86400", &node, "behind", &cluster);
    cluster.eventually("the reason is told", || {
        let said = node.ask(&["status"]).map_err(|error| error.to_string())?.stdout;
        let wanted = ["not valid yet", "see whether the clock of this node is right"];
        if wanted.iter().all(|words| said.contains(words)) { Ok(()) } else { Err(said) }
    });
    agent.set_clock(None);
    cluster.status("behind", "both are applied", |status| applied(status, "behind"));
    router_stands(&node);
    cluster.delete("L3Passthrough", "behind");
    cluster.delete("Underlay", "behind");
    cluster.status("behind", "nothing is configured", |status| resource(status, "Underlay", "behind").is_null());
    agent.stop();
}
