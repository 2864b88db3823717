//! Ranges of peers that are accepted as they come.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Daemon, Namespace, ip, perouter, wait_until};

/// A hub with a link to each of several spokes: 10.9.N.1 there, 10.9.N.2 here.
struct Star {
    hub: Namespace,
    spokes: Vec<Namespace>,
    folder: TempDir,
}

impl Star {
    fn new(spokes: usize) -> Self {
        let hub = Namespace::new("hub");
        let spokes = (1..=spokes)
            .map(|number| {
                let spoke = Namespace::new("spoke");
                ip(&format!("link add name spoke{number} netns {hub} type veth peer name veth0 netns {spoke}"));
                ip(&format!("-n {hub} address add 10.9.{number}.1/24 dev spoke{number}"));
                ip(&format!("-n {hub} link set spoke{number} up"));
                ip(&format!("-n {spoke} address add 10.9.{number}.2/24 dev veth0"));
                ip(&format!("-n {spoke} link set veth0 up"));
                spoke
            })
            .collect();
        Self { hub, spokes, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(&format!("{name}.yaml"));
        let state = self.path(&format!("{name}-state"));
        fs::write(&file, format!("{text}connectRetrySeconds: 1\nstateDir: {}\n", state.display())).unwrap();
        file
    }

    /// Writes the hub's file: these neighbours.
    fn write_hub(&self, neighbors: &str) -> PathBuf {
        self.write("hub", &format!("asn: 65000\nrouterID: 10.9.0.1\nneighbors:\n{neighbors}"))
    }

    fn start_hub(&self, neighbors: &str) -> Daemon {
        let file = self.write_hub(neighbors);
        Daemon::start(&self.hub, &self.path("hub.log"), &["speak".as_ref(), &file])
    }

    /// Spoke `number`, from 1, which dials the hub.
    fn start_spoke(&self, number: usize, more: &str) -> Daemon {
        let text = format!(
            "asn: {}\nrouterID: 10.9.{number}.2\nlisten: []\nnetworks: [10.10.{number}.0/24]\nneighbors:\n  - {{name: hub, \
             address: 10.9.{number}.1, asn: 65000, role: peer, addressFamilies: [ipv4unicast]{more}}}\n",
            65000 + number
        );
        let name = format!("spoke{number}");
        let file = self.write(&name, &text);
        Daemon::start(&self.spokes[number - 1], &self.path(&format!("{name}.log")), &["speak".as_ref(), &file])
    }

    fn peers(&self) -> Vec<Value> {
        let answer = perouter(&self.hub, &self.path("hub-state"), &["-o", "json", "peers"]);
        answer.json().as_array().unwrap().clone()
    }

    fn established(&self) -> usize {
        self.peers().iter().filter(|peer| peer["state"] == "established").count()
    }
}

fn range(prefix: &str, more: &str) -> String {
    format!(
        "  - {{name: spokes, listenRange: {prefix}, type: External, role: peer, addressFamilies: [ipv4unicast]{more}}}\n"
    )
}

#[test]
fn twenty_peers_of_a_range_come_stay_through_a_reload_and_go_with_it() {
    let star = Star::new(20);
    let hub = star.start_hub(&range("10.9.0.0/16", ""));
    let _spokes: Vec<_> = (1..=20).map(|number| star.start_spoke(number, "")).collect();
    wait_until("all twenty are up", || star.path("hub-state/perouter.sock").exists() && star.established() == 20);
    for peer in star.peers() {
        let name = format!("spokes {}", peer["address"].as_str().unwrap());
        assert_eq!((&peer["name"], &peer["range"]), (&name.into(), &"10.9.0.0/16".into()), "{peer:#}");
    }

    // Another network of the hub: nobody is reset.
    fs::write(star.write_hub(&range("10.9.0.0/16", "")), {
        let text = fs::read_to_string(star.path("hub.yaml")).unwrap();
        format!("{text}networks: [10.11.0.0/24]\n")
    })
    .unwrap();
    hub.signal("-HUP");
    wait_until("it is announced to all", || {
        star.peers().iter().filter(|peer| peer["families"][0]["advertised"].as_u64() >= Some(20)).count() == 20
    });
    assert!(star.peers().iter().all(|peer| peer["flaps"] == 0));

    star.write_hub("  []\n");
    hub.signal("-HUP");
    wait_until("all are closed", || star.peers().is_empty());
    hub.stop();
}

#[test]
fn a_password_of_a_range_holds_for_each_of_its_peers() {
    let star = Star::new(2);
    let hub = star.start_hub(&range("10.9.0.0/16", ", password: right"));
    wait_until("the hub is up", || star.path("hub-state/perouter.sock").exists());
    let _wrong = star.start_spoke(1, ", password: wrong");
    let right = star.start_spoke(2, ", password: right");
    wait_until("the one with the password is up", || star.established() == 1);
    let peers = star.peers();
    assert!(peers.iter().any(|peer| peer["address"] == "10.9.2.2" && peer["state"] == "established"), "{peers:#?}");

    // The key of a file changes: a new connection with the new key, nothing else is needed.
    hub.stop();
    right.stop();
    let key = star.path("key");
    fs::write(&key, "first\n").unwrap();
    let hub = star.start_hub(&range("10.9.0.0/16", &format!(", passwordFile: {}", key.display())));
    let _third = star.start_spoke(2, ", password: second");
    wait_until("the hub is up again", || star.path("hub-state/perouter.sock").exists());
    assert_eq!(star.established(), 0);
    fs::write(&key, "second\n").unwrap();
    wait_until("the key is read and counts", || star.established() == 1);
    hub.stop();
}
