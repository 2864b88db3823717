//! The fabric of the mission: a leaf, a node with one NIC on it, and the router that takes the NIC.
//!
//! ```text
//!   namespace ID-leaf              namespace ID-perouter               namespace ID-node
//!   AS 64512  192.168.11.2 --------- eth1 [ AS 64514 ] pt-ns ======= pt-host  AS 64515
//!   lo 192.170.20.1                  192.168.11.3  192.169.10.1      192.169.10.2  lo 10.244.1.1
//! ```
//!
//! `eth1` begins in the node's namespace, which stands for the host: `perouter run` is started there, makes
//! the router's namespace and moves `eth1` into it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustix::process::Signal;

use crate::process::{Output, run};
use crate::{Daemon, End, Family, Lab, LabError, NeighborConfig, Peer, PeerConfig, Result};

/// Autonomous system of the leaf.
pub const LEAF_ASN: u32 = 64512;
/// Autonomous system of the router.
pub const ROUTER_ASN: u32 = 64514;
/// Autonomous system of the host's speaker.
pub const HOST_ASN: u32 = 64515;
/// MTU of the link between leaf and NIC.
pub const MTU: u32 = 1450;

/// What the demonstration and the README show, and the tests use.
pub const ROUTER_YAML: &str = "\
underlays:
  - asn: 64514
    interfaces:
      - type: NetworkDevice
        networkDevice: {interfaceName: eth1}
    neighbors:
      - {asn: 64512, address: 192.168.11.2, addressFamilies: [{type: ipv4unicast}]}
      - {asn: 64512, address: \"2001:db8:11::2\", addressFamilies: [{type: ipv6unicast}]}
bgppassthrough:
  hostSession:
    asn: 64514
    hostASN: 64515
    localCIDR: {ipv4: 192.169.10.0/24, ipv6: \"2001:db8:10::/64\"}
";

/// The node's own file.
pub const NODE_YAML: &str = "nodeName: lab\nnodeIndex: {index: 0}\n";

/// Addresses of one family.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Which family.
    pub family: Family,
    /// Leaf, on the link to the NIC.
    pub leaf: IpAddr,
    /// NIC.
    pub nic: IpNet,
    /// Router, towards the host.
    pub router: IpAddr,
    /// Host, towards the router.
    pub host: IpAddr,
    /// Network behind the leaf.
    pub leaf_network: IpNet,
    /// Address in it that answers.
    pub leaf_server: IpAddr,
    /// Network behind the host.
    pub host_network: IpNet,
    /// Address in it that answers.
    pub host_server: IpAddr,
}

impl Addresses {
    /// The host's address as the router announces it.
    pub fn host_route(&self) -> IpNet {
        IpNet::from(self.host)
    }
}

/// The plan of a family: reference and README use these addresses too.
pub fn addresses(family: Family) -> Addresses {
    match family {
        Family::Ipv4 => Addresses {
            family,
            leaf: v4(192, 168, 11, 2),
            nic: net4([192, 168, 11, 3], 24),
            router: v4(192, 169, 10, 1),
            host: v4(192, 169, 10, 2),
            leaf_network: net4([192, 170, 20, 0], 24),
            leaf_server: v4(192, 170, 20, 1),
            host_network: net4([10, 244, 1, 0], 24),
            host_server: v4(10, 244, 1, 1),
        },
        Family::Ipv6 => Addresses {
            family,
            leaf: v6(0x11, 0, 2),
            nic: net6(0x11, 0, 3),
            router: v6(0x10, 0, 1),
            host: v6(0x10, 0, 2),
            leaf_network: net6(0x170, 0, 0),
            leaf_server: v6(0x170, 0, 1),
            host_network: net6(0x244, 1, 0),
            host_server: v6(0x244, 1, 1),
        },
    }
}

/// A lab with leaf, node and, once it is started, router.
#[derive(Debug)]
pub struct Passthrough {
    /// What holds it.
    pub lab: Lab,
    /// Namespace of the leaf.
    pub leaf_ns: String,
    /// Namespace of the node.
    pub node_ns: String,
    /// Name of the namespace that the router makes.
    pub router_ns: String,
}

impl Passthrough {
    /// Namespaces, link, addresses and the router's files; no process yet.
    pub fn build(lab: Lab) -> Result<Self> {
        let leaf_ns = lab.namespace("leaf")?;
        let node_ns = lab.namespace("node")?;
        let router_ns = lab.reserve_namespace("perouter")?;
        let plans = Family::ALL.map(addresses);
        let on_leaf = plans.iter().filter_map(|a| IpNet::new(a.leaf, a.nic.prefix_len()).ok()).collect();
        let on_nic = plans.iter().map(|a| a.nic).collect();
        let leaf_end = End { ns: &leaf_ns, name: "tonode", addresses: on_leaf };
        let nic = End { ns: &node_ns, name: "eth1", addresses: on_nic };
        lab.link(&leaf_end, &nic, MTU)?;
        for a in plans {
            lab.loopback_address(&leaf_ns, IpNet::from(a.leaf_server))?;
            lab.loopback_address(&node_ns, IpNet::from(a.host_server))?;
        }
        let built = Self { lab, leaf_ns, node_ns, router_ns };
        fs::create_dir_all(built.config_dir()).map_err(|e| LabError::new(format!("the lab's directory: {e}")))?;
        built.write_config("../node-config.yaml", NODE_YAML)?;
        built.write_config("openpe_lab.yaml", ROUTER_YAML)?;
        Ok(built)
    }

    /// Writes one of the router's files.
    pub fn write_config(&self, name: &str, text: &str) -> Result<()> {
        let file = self.config_dir().join(name);
        fs::write(&file, text).map_err(|e| LabError::new(format!("{} cannot be written: {e}", file.display())))
    }

    /// Where the router's files are.
    pub fn config_dir(&self) -> PathBuf {
        self.router_dir().join("configs")
    }

    /// Where the router's socket and state are.
    pub fn state_dir(&self) -> PathBuf {
        self.router_dir().join("state")
    }

    fn router_dir(&self) -> PathBuf {
        self.lab.dir().join("router")
    }

    /// Starts the leaf.
    pub fn start_leaf(&self, daemon: Daemon) -> Result<Peer> {
        let config = PeerConfig {
            name: "leaf".to_owned(),
            asn: LEAF_ASN,
            router_id: Ipv4Addr::new(192, 168, 11, 2),
            neighbors: neighbors(ROUTER_ASN, |a| a.nic.addr()),
            networks: Family::ALL.map(|f| addresses(f).leaf_network).to_vec(),
            listen: true,
            install: true,
        };
        Peer::start(&self.lab, daemon, &self.leaf_ns, config)
    }

    /// Starts the host's speaker, which dials the router and does not listen, as most of them are deployed.
    pub fn start_host(&self, daemon: Daemon) -> Result<Peer> {
        let config = PeerConfig {
            name: "host".to_owned(),
            asn: HOST_ASN,
            router_id: Ipv4Addr::new(192, 169, 10, 2),
            neighbors: neighbors(ROUTER_ASN, |a| a.router),
            networks: Family::ALL.map(|f| addresses(f).host_network).to_vec(),
            listen: false,
            install: true,
        };
        Peer::start(&self.lab, daemon, &self.node_ns, config)
    }

    /// Starts the router and returns its pid; does not wait for anything.
    pub fn start_router(&self) -> Result<u32> {
        let args = self.router_args();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        self.lab.spawn(&self.node_ns, self.lab.perouter(), &args, &self.router_dir().join("perouter.log"))
    }

    /// Runs a second router beside the first one, to its end.
    pub fn run_second_router(&self) -> Result<Output> {
        let args = self.router_args();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        run(Some(&self.node_ns), self.lab.perouter(), &args)
    }

    /// Ends the router as an upgrade does, which leaves the kernel as it is.
    pub fn stop_router(&self, pid: u32) -> Result<()> {
        let status = self.lab.end(pid, Signal::TERM, Duration::from_secs(20))?;
        if status.success() {
            return Ok(());
        }
        Err(LabError::new(format!("the router ended with {status} after SIGTERM")))
    }

    /// Asks the running router, as a person would.
    pub fn ask(&self, args: &[&str]) -> Result<Output> {
        let state = self.state_dir().to_string_lossy().into_owned();
        let mut full = vec!["--state-dir", state.as_str()];
        full.extend_from_slice(args);
        run(None, self.lab.perouter(), &full)
    }

    /// Gives the NIC back and removes everything that the router made.
    pub fn teardown(&self) -> Result<Output> {
        let state = self.state_dir().to_string_lossy().into_owned();
        let args = ["--state-dir", &state, "teardown", "--namespace", &self.router_ns];
        run(Some(&self.node_ns), self.lab.perouter(), &args)
    }

    /// The routes towards the leaf that a host needs whose speaker installs none.
    pub fn add_host_routes(&self) -> Result<()> {
        for a in Family::ALL.map(addresses) {
            self.lab.add_route(&self.node_ns, a.leaf_network, a.router)?;
        }
        Ok(())
    }

    /// The same for a leaf.
    pub fn add_leaf_routes(&self) -> Result<()> {
        for a in Family::ALL.map(addresses) {
            for prefix in [a.host_network, a.host_route()] {
                self.lab.add_route(&self.leaf_ns, prefix, a.nic.addr())?;
            }
        }
        Ok(())
    }

    fn router_args(&self) -> [String; 9] {
        let dir = self.router_dir();
        [
            "--state-dir".to_owned(),
            self.state_dir().to_string_lossy().into_owned(),
            "run".to_owned(),
            "--config-dir".to_owned(),
            self.config_dir().to_string_lossy().into_owned(),
            "--node-config".to_owned(),
            dir.join("node-config.yaml").to_string_lossy().into_owned(),
            "--namespace".to_owned(),
            self.router_ns.clone(),
        ]
    }
}

fn neighbors(asn: u32, address: impl Fn(&Addresses) -> IpAddr) -> Vec<NeighborConfig> {
    let one = |f| NeighborConfig { address: address(&addresses(f)), asn, families: vec![f] };
    Family::ALL.map(one).to_vec()
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

fn net4(octets: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(octets), length))
}

/// An address of 2001:db8:SITE:SUBNET::/64.
fn v6(site: u16, subnet: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, site, subnet, 0, 0, 0, host))
}

fn net6(site: u16, subnet: u16, host: u16) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, site, subnet, 0, 0, 0, host), 64))
}
