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
//!
//! A [`Layout`] makes more of it: a second leaf in its own autonomous system on `eth2`, more nodes on each leaf,
//! links without addresses. Numbers count up from those above: leaf 1 is AS 64513 with 192.168.12.2, node 1 has
//! 192.168.11.4 there and 192.169.10.3 towards its router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::node::Node;
use crate::{Daemon, End, Family, Lab, NeighborConfig, Peer, PeerConfig, Result, ip};

/// Autonomous system of the leaf; the next leaf has the next one.
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

/// Addresses of one family, of one leaf and one node.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Which family.
    pub family: Family,
    /// Leaf, on the link to the NIC.
    pub leaf: IpAddr,
    /// NIC.
    pub nic: IpNet,
    /// Router, towards the host: the same on every node.
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

/// The plan of a family for the first leaf and the first node: reference and README use these addresses too.
pub fn addresses(family: Family) -> Addresses {
    addresses_of(family, 0, 0)
}

/// The plan of a family for one leaf and one node, both counted from 0.
pub fn addresses_of(family: Family, leaf: u8, node: u8) -> Addresses {
    let (l, n) = (u16::from(leaf), u16::from(node));
    match family {
        Family::Ipv4 => Addresses {
            family,
            leaf: v4(192, 168, 11 + leaf, 2),
            nic: net4([192, 168, 11 + leaf, 3 + node], 24),
            router: v4(192, 169, 10, 1),
            host: v4(192, 169, 10, 2 + node),
            leaf_network: net4([192, 170, 20 + leaf, 0], 24),
            leaf_server: v4(192, 170, 20 + leaf, 1),
            host_network: net4([10, 244, 1 + node, 0], 24),
            host_server: v4(10, 244, 1 + node, 1),
        },
        Family::Ipv6 => Addresses {
            family,
            leaf: v6(0x11 + l, 0, 2),
            nic: net6(0x11 + l, 0, 3 + n),
            router: v6(0x10, 0, 1),
            host: v6(0x10, 0, 2 + n),
            leaf_network: net6(0x170, l, 0),
            leaf_server: v6(0x170, l, 1),
            host_network: net6(0x244, 1 + n, 0),
            host_server: v6(0x244, 1 + n, 1),
        },
    }
}

/// The NIC of a node that leads to a leaf.
pub fn nic_name(leaf: u8) -> String {
    format!("eth{}", 1 + leaf)
}

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Leaves, each with a link to every node.
    pub leaves: u8,
    /// Nodes.
    pub nodes: u8,
    /// MTU of the links between leaves and NICs, in bytes.
    pub mtu: u32,
    /// Whether those links have addresses beside the link-local ones.
    pub numbered: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self { leaves: 1, nodes: 1, mtu: MTU, numbered: true }
    }
}

/// A lab with leaves, nodes and, once they are started, their routers.
#[derive(Debug)]
pub struct Passthrough {
    /// What holds it.
    pub lab: Lab,
    /// Namespaces of the leaves.
    pub leaves: Vec<String>,
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Passthrough {
    /// Namespaces, links, addresses and the routers' files; no process yet.
    pub fn build(lab: Lab, layout: Layout) -> Result<Self> {
        let leaves = (0..layout.leaves).map(|leaf| lab.namespace(&leaf_name(leaf))).collect::<Result<Vec<_>>>()?;
        let nodes = (0..layout.nodes).map(|index| Node::build(&lab, index)).collect::<Result<Vec<_>>>()?;
        for (leaf, leaf_ns) in (0..).zip(&leaves) {
            lab.forwards(leaf_ns)?;
            connect(&lab, leaf, leaf_ns, &nodes, layout)?;
            for a in Family::ALL.map(|f| addresses_of(f, leaf, 0)) {
                lab.loopback_address(leaf_ns, IpNet::from(a.leaf_server))?;
            }
        }
        for node in &nodes {
            for a in Family::ALL.map(|f| addresses_of(f, 0, node.index)) {
                lab.loopback_address(&node.ns, IpNet::from(a.host_server))?;
            }
            node.write_config("openpe_lab.yaml", ROUTER_YAML)?;
        }
        Ok(Self { lab, leaves, nodes })
    }

    /// Namespace of the first leaf.
    pub fn leaf_ns(&self) -> &str {
        self.leaves.first().map_or("", String::as_str)
    }

    /// The first node.
    pub fn node(&self) -> &Node {
        // Every layout that anybody builds has one; an index out of range would be a mistake of the caller's.
        &self.nodes[0]
    }

    /// What a leaf is told that speaks to every node over both families.
    pub fn leaf_config(&self, leaf: u8) -> PeerConfig {
        let neighbor = |f, node: &Node| NeighborConfig {
            address: addresses_of(f, leaf, node.index).nic.addr(),
            asn: ROUTER_ASN,
            families: vec![f],
        };
        let neighbors = Family::ALL.iter().flat_map(|f| self.nodes.iter().map(move |n| neighbor(*f, n))).collect();
        PeerConfig {
            neighbors,
            networks: Family::ALL.map(|f| addresses_of(f, leaf, 0).leaf_network).to_vec(),
            ..PeerConfig::new(&leaf_name(leaf), LEAF_ASN + u32::from(leaf), Ipv4Addr::new(192, 168, 11 + leaf, 2))
        }
    }

    /// What the speaker of a node's host is told: it dials the router and does not listen, as most of them are
    /// deployed.
    pub fn host_config(&self, node: u8) -> PeerConfig {
        let neighbor =
            |f| NeighborConfig { address: addresses_of(f, 0, node).router, asn: ROUTER_ASN, families: vec![f] };
        let name = if node == 0 { "host".to_owned() } else { format!("host{node}") };
        PeerConfig {
            neighbors: Family::ALL.map(neighbor).to_vec(),
            networks: Family::ALL.map(|f| addresses_of(f, 0, node).host_network).to_vec(),
            listen: false,
            ..PeerConfig::new(&name, HOST_ASN, Ipv4Addr::new(192, 169, 10, 2 + node))
        }
    }

    /// Starts the first leaf.
    pub fn start_leaf(&self, daemon: Daemon) -> Result<Peer> {
        Peer::start(&self.lab, daemon, self.leaf_ns(), self.leaf_config(0))
    }

    /// Starts the speaker of the first node's host.
    pub fn start_host(&self, daemon: Daemon) -> Result<Peer> {
        Peer::start(&self.lab, daemon, &self.node().ns, self.host_config(0))
    }

    /// The routes towards the leaf that a host needs whose speaker installs none.
    pub fn add_host_routes(&self) -> Result<()> {
        for a in Family::ALL.map(addresses) {
            self.lab.add_route(&self.node().ns, a.leaf_network, a.router)?;
        }
        Ok(())
    }

    /// The same for a leaf.
    pub fn add_leaf_routes(&self) -> Result<()> {
        for a in Family::ALL.map(addresses) {
            for prefix in [a.host_network, a.host_route()] {
                self.lab.add_route(self.leaf_ns(), prefix, a.nic.addr())?;
            }
        }
        Ok(())
    }
}

fn leaf_name(leaf: u8) -> String {
    if leaf == 0 { "leaf".to_owned() } else { format!("leaf{leaf}") }
}

/// Links between a leaf and the NICs of all nodes. `tonode` is the leaf's end with a single node, and a bridge
/// over all ends with several.
fn connect(lab: &Lab, leaf: u8, leaf_ns: &str, nodes: &[Node], layout: Layout) -> Result<()> {
    let numbered = |addresses: Vec<IpNet>| if layout.numbered { addresses } else { Vec::new() };
    let plans = |node: u8| Family::ALL.map(|f| addresses_of(f, leaf, node));
    let on_leaf = plans(0).iter().filter_map(|a| IpNet::new(a.leaf, a.nic.prefix_len()).ok()).collect();
    let leaf_end = End { ns: leaf_ns, name: "tonode", addresses: numbered(on_leaf) };
    let several = nodes.len() > 1;
    if several {
        lab.bridge(&leaf_end, layout.mtu)?;
    }
    for node in nodes {
        let addresses = numbered(plans(node.index).map(|a| a.nic).to_vec());
        let nic = End { ns: &node.ns, name: &nic_name(leaf), addresses };
        if several {
            let port = format!("port{}", node.index);
            lab.link(&End { ns: leaf_ns, name: &port, addresses: Vec::new() }, &nic, layout.mtu)?;
            ip::change(leaf_ns, &["link", "set", &port, "master", "tonode"])?;
        } else {
            lab.link(&leaf_end, &nic, layout.mtu)?;
        }
    }
    Ok(())
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
