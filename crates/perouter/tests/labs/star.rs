//! A router that only speaks, and peers around it, each behind a link of its own.
//!
//! ```text
//!   spoke 0  10.0.0.2 --- 10.0.0.1 [ perouter speak, AS 64514, 10.9.9.9 ] 10.0.1.1 --- 10.0.1.2  spoke 1  ..
//!            2001:db8:0::2         ::1
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::Value;
use testbed::passthrough::ROUTER_ASN;
use testbed::{Daemon, End, Family, Lab, LabError, NeighborConfig, Peer, PeerConfig};

use crate::fabric::{PATIENCE, lab};

/// The links, and the router once it is started.
pub(crate) struct Star {
    pub(crate) lab: Lab,
    pub(crate) spokes: Vec<String>,
    pub(crate) ns: String,
}

/// The spoke's end of its link.
pub(crate) fn spoke(family: Family, index: u8) -> IpAddr {
    end(family, index, 2)
}

/// The router's end of it.
pub(crate) fn hub(family: Family, index: u8) -> IpAddr {
    end(family, index, 1)
}

/// A peer behind spoke 0, two hops from the router.
pub(crate) fn far(family: Family) -> IpAddr {
    end(family, 77, 2)
}

fn end(family: Family, index: u8, host: u8) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(10, 0, index, host).into(),
        Family::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, index.into(), 0, 0, 0, 0, host.into()).into(),
    }
}

fn net(address: IpAddr) -> IpNet {
    IpNet::new(address, if address.is_ipv4() { 24 } else { 64 }).unwrap()
}

/// What a spoke announces unless told otherwise.
pub(crate) fn network(family: Family, index: u8) -> IpNet {
    let text = match family {
        Family::Ipv4 => format!("10.1{index}.0.0/16"),
        Family::Ipv6 => format!("2001:db8:10{index}::/48"),
    };
    text.parse().unwrap()
}

/// A spoke that speaks IPv4 over IPv4 and announces its network.
pub(crate) fn spoke_config(index: u8, asn: u32) -> PeerConfig {
    let families = vec![Family::Ipv4];
    PeerConfig {
        neighbors: vec![NeighborConfig { address: hub(Family::Ipv4, index), asn: ROUTER_ASN, families }],
        networks: vec![network(Family::Ipv4, index)],
        install: false,
        ..PeerConfig::new(&format!("spoke{index}"), asn, Ipv4Addr::new(10, 0, index, 2))
    }
}

/// The router's entry of that spoke, with these further fields.
pub(crate) fn neighbor(index: u8, asn: u32, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { ", " };
    format!("{{asn: {asn}, address: \"{}\"{comma}{fields}}}", spoke(Family::Ipv4, index))
}

impl Star {
    /// Namespaces and links; no process yet.
    pub(crate) fn new(spokes: u8) -> Self {
        let lab = lab();
        let ns = lab.namespace("hub").unwrap();
        lab.forwards(&ns).unwrap();
        let spokes = (0..spokes)
            .map(|i| {
                let there = lab.namespace(&format!("spoke{i}")).unwrap();
                let ends = [hub, spoke].map(|side| Family::ALL.map(|f| net(side(f, i))).to_vec());
                let [near, far] = ends;
                let name = format!("spoke{i}");
                let near = End { ns: &ns, name: &name, addresses: near };
                lab.link(&near, &End { ns: &there, name: "hub", addresses: far }, 1500).unwrap();
                // The other spokes, whose addresses are next hops inside an AS.
                lab.add_route(&there, "10.0.0.0/16".parse().unwrap(), hub(Family::Ipv4, i)).unwrap();
                there
            })
            .collect();
        Self { lab, spokes, ns }
    }

    /// Makes a namespace behind spoke 0, which has to forward for it.
    pub(crate) fn behind_spoke_0(&self) -> String {
        let spoke_ns = &self.spokes[0];
        self.lab.forwards(spoke_ns).unwrap();
        let ns = self.lab.namespace("far").unwrap();
        let addresses = |host| Family::ALL.map(|f| net(end(f, 77, host))).to_vec();
        let near = End { ns: spoke_ns, name: "far", addresses: addresses(1) };
        self.lab.link(&near, &End { ns: &ns, name: "near", addresses: addresses(2) }, 1500).unwrap();
        for f in Family::ALL {
            self.lab.add_route(&self.ns, net(far(f)).trunc(), spoke(f, 0)).unwrap();
            self.lab.add_route(&ns, net(hub(f, 0)).trunc(), end(f, 77, 1)).unwrap();
        }
        ns
    }

    /// Starts the router with these neighbours and further lines of its file.
    pub(crate) fn router(&self, neighbors: &[String], lines: &str) -> Peer {
        let mut config = PeerConfig::new("hub", ROUTER_ASN, Ipv4Addr::new(10, 9, 9, 9));
        config.text = Some(self.router_text(neighbors, lines));
        Peer::start(&self.lab, Daemon::Perouter, &self.ns, config).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The router's file.
    pub(crate) fn router_text(&self, neighbors: &[String], lines: &str) -> String {
        let neighbors: String = neighbors.iter().map(|n| format!("  - {n}\n")).collect();
        let state = self.lab.dir().join("hub").join("state");
        format!(
            "asn: {ROUTER_ASN}\nrouterID: 10.9.9.9\nconnectRetrySeconds: 1\nstateDir: {}\n{lines}\n\
             neighbors:\n{neighbors}",
            state.display()
        )
    }

    /// Starts a peer at the end of a link.
    pub(crate) fn start(&self, index: u8, daemon: Daemon, config: PeerConfig) -> Peer {
        println!("lab: spoke {index} is {daemon} in AS {}", config.asn);
        let ns = &self.spokes[usize::from(index)];
        Peer::start(&self.lab, daemon, ns, config).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The router's own view of a peer, once it is this.
    #[track_caller]
    pub(crate) fn peer_is(&self, router: &Peer, address: IpAddr, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        self.lab.wait_until(&format!("the router has {address} {what}"), PATIENCE, || {
            let found = peer(router, address);
            if is(&found) { Ok(found) } else { Err(LabError::new(format!("{found:#}"))) }
        })
    }

    /// The router's paths of a prefix, once they are this.
    #[track_caller]
    pub(crate) fn paths_are(&self, router: &Peer, prefix: IpNet, what: &str, is: impl Fn(&[Value]) -> bool) {
        self.lab.wait_until(&format!("the router's paths of {prefix}: {what}"), PATIENCE, || {
            let found = paths(router, prefix);
            if is(&found) { Ok(()) } else { Err(LabError::new(format!("{found:#?}"))) }
        });
    }
}

/// What a peer's own command line says, once it says all of this.
#[track_caller]
pub(crate) fn says(lab: &Lab, peer: &Peer, question: &[&str], words: &[&str]) -> String {
    let what = format!("the {} asked {question:?} says {words:?}", peer.config().name);
    lab.wait_until(&what, PATIENCE, || {
        let said = peer.ask(question)?;
        if words.iter().all(|w| said.contains(w)) { Ok(said) } else { Err(LabError::new(said)) }
    })
}

/// The router's own view of a peer; null when it has none.
pub(crate) fn peer(router: &Peer, address: IpAddr) -> Value {
    let all = json(router, &["peers"]);
    let address = address.to_string();
    let found = all.as_array().into_iter().flatten().find(|p| p["address"] == address.as_str());
    found.cloned().unwrap_or_default()
}

/// The router's own paths of a prefix.
pub(crate) fn paths(router: &Peer, prefix: IpNet) -> Vec<Value> {
    let answer = json(router, &["routes", &prefix.to_string()]);
    let routes = answer.as_array().or_else(|| answer["routes"].as_array());
    let found = routes.into_iter().flatten().find(|r| r["prefix"] == prefix.to_string().as_str());
    found.and_then(|r| r["paths"].as_array()).cloned().unwrap_or_default()
}

fn json(router: &Peer, question: &[&str]) -> Value {
    let said = router.ask(&[&["-o", "json"], question].concat()).unwrap_or_else(|e| panic!("{e}"));
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{question:?}: {e}: {said}"))
}

/// A best route as FRR shows it in full, once it has one.
#[track_caller]
pub(crate) fn in_frr(lab: &Lab, frr: &Peer, prefix: IpNet) -> Value {
    let family = if matches!(prefix, IpNet::V4(_)) { "ipv4" } else { "ipv6" };
    lab.wait_until(&format!("FRR has {prefix}"), PATIENCE, || {
        let said = frr.ask(&[&format!("show bgp {family} unicast {prefix} json")])?;
        let all: Value = serde_json::from_str(&said).map_err(|e| LabError::new(format!("{e}: {said}")))?;
        let best = all["paths"].as_array().into_iter().flatten().find(|p| p["bestpath"]["overall"] == true);
        best.cloned().ok_or_else(|| LabError::new(said))
    })
}
