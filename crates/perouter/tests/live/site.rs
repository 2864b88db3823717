//! A node with one NIC, the leaf on its other end, and the router that the node's perouter makes.
//!
//! ```text
//!  leaf 192.168.11.2 ---- eth1 192.168.11.3 [router] pt-ns 192.169.10.1 ---- pt-host 192.169.10.2 node
//!  AS 64512, 203.0.113.0/24                 AS 64514                              AS 64515, 198.51.100.0/24
//! ```

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::{Answer, Daemon, Namespace, command, ip, perouter};

pub(crate) const UNDERLAY: &str = "underlays:\n  - asn: 64514\n    interfaces:\n      - type: NetworkDevice\n        \
     networkDevice: { interfaceName: eth1 }\n    neighbors:\n      - asn: 64512\n        address: \"192.168.11.2\"\n        \
     connectTimeSeconds: 1\n";
pub(crate) const PASSTHROUGH: &str = "bgppassthrough:\n  hostSession:\n    asn: 64514\n    hostASN: 64515\n    \
     localCIDR: { ipv4: \"192.169.10.0/24\" }\n";

/// A leaf, a node, and the name of the router's namespace.
pub(crate) struct Site {
    pub(crate) leaf: Namespace,
    pub(crate) node: Namespace,
    pub(crate) router: Namespace,
    folder: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self {
            leaf: Namespace::new("leaf"),
            node: Namespace::new("node"),
            router: Namespace::name("router"),
            folder: tempfile::tempdir().unwrap(),
        };
        ip(&format!("link add name eth1 netns {} type veth peer name leaf0 netns {}", site.node, site.leaf));
        ip(&format!("-n {} address add 192.168.11.2/24 dev leaf0", site.leaf));
        ip(&format!("-n {} link set leaf0 up", site.leaf));
        ip(&format!("-n {} address add 192.168.11.3/24 dev eth1", site.node));
        ip(&format!("-n {} link set eth1 up", site.node));
        ip(&format!("-n {} address add 203.0.113.1/24 dev lo", site.leaf));
        ip(&format!("-n {} address add 198.51.100.1/24 dev lo", site.node));
        fs::create_dir(site.path("configs")).unwrap();
        fs::write(site.path("node-config.yaml"), "nodeIndex:\n  index: 0\nnodeName: worker-1\n").unwrap();
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `configs/openpe_NAME.yaml`, at once as an editor does.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(&format!("configs/openpe_{name}.yaml"))).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(&format!("configs/openpe_{name}.yaml"))).unwrap();
    }

    pub(crate) fn run(&self, log: &str) -> Daemon {
        self.run_with(log, &[])
    }

    /// With more arguments to `run`.
    pub(crate) fn run_with(&self, log: &str, more: &[&str]) -> Daemon {
        self.run_in("run-state", log, more)
    }

    /// With another state directory.
    pub(crate) fn run_in(&self, state: &str, log: &str, more: &[&str]) -> Daemon {
        let mut args: Vec<PathBuf> = [
            "--log-level".into(),
            "debug".into(),
            "--state-dir".into(),
            self.path(state),
            "run".into(),
            "--config-dir".into(),
            self.path("configs"),
            "--node-config".into(),
            self.path("node-config.yaml"),
            "--namespace".into(),
            PathBuf::from(&self.router.0),
        ]
        .into();
        args.extend(more.iter().map(PathBuf::from));
        let args: Vec<_> = args.iter().map(PathBuf::as_path).collect();
        Daemon::start(&self.node, &self.path(log), &args)
    }

    pub(crate) fn speak(&self, namespace: &Namespace, name: &str, asn: u32, peer: &str, network: &str) -> Daemon {
        self.speak_with(namespace, name, asn, peer, network, "")
    }

    /// With more lines in its file.
    pub(crate) fn speak_with(
        &self,
        namespace: &Namespace,
        name: &str,
        asn: u32,
        peer: &str,
        network: &str,
        more: &str,
    ) -> Daemon {
        let file = self.path(&format!("{name}.yaml"));
        let state = self.path(&format!("{name}-state"));
        let text = format!(
            "asn: {asn}\nrouterID: 10.0.1.1\nconnectRetrySeconds: 1\nneighbors:\n  - {{name: router, address: {peer}, \
             asn: 64514, role: peer, holdTimeSeconds: 6, keepaliveTimeSeconds: 2, addressFamilies: [ipv4unicast]}}\nnetworks: [{network}]\n{more}stateDir: {}\n",
            state.display()
        );
        fs::write(&file, text).unwrap();
        Daemon::start(namespace, &self.path(&format!("{name}.log")), &["speak".as_ref(), &file])
    }

    /// A speaker with nobody to talk to that serves HTTP in the node's namespace.
    pub(crate) fn speak_serving(&self, name: &str, address: &str) -> Daemon {
        let (file, state) = (self.path(&format!("{name}.yaml")), self.path(&format!("{name}-state")));
        let text = format!(
            "asn: 64999\nrouterID: 10.0.9.9\nlisten: [\"127.0.0.1:1179\"]\nneighbors: []\nstateDir: {}\n",
            state.display()
        );
        fs::write(&file, text).unwrap();
        let args: [&std::path::Path; 4] = ["speak".as_ref(), "--http".as_ref(), address.as_ref(), &file];
        Daemon::start(&self.node, &self.path(&format!("{name}.log")), &args)
    }

    pub(crate) fn leaf(&self) -> Daemon {
        self.speak(&self.leaf, "leaf", 64512, "192.168.11.3", "203.0.113.0/24")
    }

    pub(crate) fn host(&self) -> Daemon {
        self.speak(&self.node, "host", 64515, "192.169.10.1", "198.51.100.0/24")
    }

    pub(crate) fn ping(&self) -> bool {
        let inside = format!("netns exec {} ping -n -c 1 -W 1 -I 198.51.100.1 203.0.113.1", self.node);
        command("ip", &inside.split(' ').collect::<Vec<_>>()).status.success()
    }

    pub(crate) fn link(&self, namespace: &Namespace, link: &str) -> bool {
        command("ip", &["-n", &namespace.0, "link", "show", "dev", link]).status.success()
    }

    /// `perouter ARGS` in the node's namespace, of this site's daemon if it runs.
    pub(crate) fn ask(&self, args: &[&str]) -> Answer {
        perouter(&self.node, &self.path("run-state"), args)
    }
}
