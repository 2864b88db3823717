//! A site: leaves, the router, a host with a speaker, and traffic of both families in both directions.
//!
//! ```text
//!   leaf 192.170.20.1 --- [ router ] --- host 10.244.1.1      the same with IPv6; each leaf has SHARED, too
//! ```
//!
//! [`Plan`] says what is to be there, [`Plan::start`] returns when packets pass. [`Site::watch`] begins to send,
//! [`Watch::row`] ends it and makes a row of it.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

use ipnet::IpNet;
use rustix::process::Signal;
use testbed::passthrough::{Addresses, addresses_of};
use testbed::{Daemon, Family, Lab, Layout, Node, Passthrough, Peer, PeerConfig, find_program, ip, traffic};

use crate::fabric::{self, PATIENCE, healthy, kernel_route, knows, sessions_up};
use crate::table::Row;
use crate::traffic::{Loss, Stream};
use crate::yaml::Yaml;

/// Packets that show that traffic flows, or that time enough has passed: at 1 kHz.
pub(crate) const SOME: u64 = 200;
/// The routing protocol number of the router's routes, as `ip` says it.
pub(crate) const OURS: &str = "168";

/// A network behind every leaf.
pub(crate) fn shared(family: Family) -> IpNet {
    match family {
        Family::Ipv4 => "203.0.113.0/24".parse().unwrap(),
        Family::Ipv6 => "2001:db8:113::/64".parse().unwrap(),
    }
}

/// The address in it that answers.
pub(crate) fn shared_server(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => "203.0.113.1".parse().unwrap(),
        Family::Ipv6 => "2001:db8:113::1".parse().unwrap(),
    }
}

type Change = Box<dyn Fn(&mut PeerConfig)>;
type ChangeOfAll = Box<dyn Fn(Daemon, &mut PeerConfig)>;

/// What a site is made of.
pub(crate) struct Plan {
    leaves: Vec<Daemon>,
    host: Daemon,
    pub(crate) yaml: Yaml,
    leaf_change: Change,
    host_change: Change,
    change: ChangeOfAll,
}

impl Plan {
    /// Leaves and the host's speaker as these daemons, the README's configuration.
    pub(crate) fn new(leaves: &[Daemon], host: Daemon) -> Self {
        let count = u8::try_from(leaves.len()).unwrap();
        Self {
            leaves: leaves.to_vec(),
            host,
            yaml: Yaml::with_leaves(count, &Family::ALL),
            leaf_change: Box::new(|_| ()),
            host_change: Box::new(|_| ()),
            change: Box::new(|_, _| ()),
        }
    }

    /// The same with the router's file changed.
    pub(crate) fn yaml(mut self, change: impl FnOnce(Yaml) -> Yaml) -> Self {
        self.yaml = change(self.yaml);
        self
    }

    /// The same with every leaf changed.
    pub(crate) fn leaf(mut self, change: impl Fn(&mut PeerConfig) + 'static) -> Self {
        self.leaf_change = Box::new(change);
        self
    }

    /// The same with the host's speaker changed.
    pub(crate) fn host(mut self, change: impl Fn(&mut PeerConfig) + 'static) -> Self {
        self.host_change = Box::new(change);
        self
    }

    /// The same with leaves and host changed afterwards.
    pub(crate) fn everybody(mut self, change: impl Fn(Daemon, &mut PeerConfig) + 'static) -> Self {
        self.change = Box::new(change);
        self
    }

    /// Builds and starts it all; returns when every session is up, every route is there and packets pass.
    pub(crate) fn start(self) -> Site {
        let layout = Layout { leaves: u8::try_from(self.leaves.len()).unwrap(), ..Layout::default() };
        let net = fabric::net(layout);
        let mut leaves = Vec::new();
        for (l, daemon) in (0..).zip(&self.leaves) {
            let mut config = net.leaf_config(l);
            config.networks.extend(Family::ALL.map(shared));
            (self.leaf_change)(&mut config);
            (self.change)(*daemon, &mut config);
            let ns = &net.leaves[usize::from(l)];
            for family in Family::ALL {
                net.lab.loopback_address(ns, IpNet::from(shared_server(family))).unwrap();
            }
            leaves.push(Peer::start(&net.lab, *daemon, ns, config).unwrap_or_else(|e| panic!("{e}")));
        }
        let mut config = net.host_config(0);
        (self.host_change)(&mut config);
        (self.change)(self.host, &mut config);
        let host = Peer::start(&net.lab, self.host, &net.node().ns, config).unwrap_or_else(|e| panic!("{e}"));
        net.node().write_config("openpe_lab.yaml", &self.yaml.to_string()).unwrap();
        let router = net.node().start_router().unwrap();
        let site = Site { net, leaves, host, router, yaml: self.yaml };
        site.works();
        site
    }
}

/// A running site.
pub(crate) struct Site {
    pub(crate) net: Passthrough,
    pub(crate) leaves: Vec<Peer>,
    pub(crate) host: Peer,
    /// The router's process.
    pub(crate) router: u32,
    pub(crate) yaml: Yaml,
}

impl Site {
    pub(crate) fn node(&self) -> &Node {
        self.net.node()
    }

    /// Namespaces of the leaves.
    pub(crate) fn leaf_namespaces(&self) -> Vec<&str> {
        self.net.leaves.iter().map(String::as_str).collect()
    }

    /// The plan of addresses of a leaf's.
    pub(crate) fn addresses(leaf: usize) -> [Addresses; 2] {
        Family::ALL.map(|family| addresses_of(family, u8::try_from(leaf).unwrap(), 0))
    }

    /// Puts another configuration in force.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Yaml)) {
        change(&mut self.yaml);
        self.node().write_config("openpe_lab.yaml", &self.yaml.to_string()).unwrap();
    }

    /// Waits until every session is up and watched, every route is everywhere, and packets pass.
    #[track_caller]
    pub(crate) fn works(&self) {
        let lab = &self.net.lab;
        self.leaves.iter().chain([&self.host]).for_each(|peer| sessions_up(lab, peer));
        for (l, leaf) in self.leaves.iter().enumerate() {
            for a in Self::addresses(l) {
                knows(lab, &self.host, a.leaf_network);
                knows(lab, leaf, a.host_network);
                for (ns, prefix) in [
                    (&self.node().router_ns, a.leaf_network),
                    (&self.node().router_ns, a.host_network),
                    (&self.node().ns, a.leaf_network),
                    (&self.net.leaves[l], a.host_network),
                ] {
                    lab.wait_until(&format!("the kernel of {ns} has {prefix}"), PATIENCE, || {
                        kernel_route(ns, prefix)?.map(drop).ok_or_else(|| "no such route".to_owned())
                    });
                }
                lab.wait_until("packets pass", PATIENCE, || {
                    traffic::ping(&self.net.leaves[l], a.leaf_server, a.host_server)
                });
            }
        }
        // Once the kernel has made sure that nobody else has the NIC's link-local address, it is told beside the global one: every
        // route once more (RFC 2545 section 3), and no difference that a test looks for.
        lab.wait_until("the router knows the link-local address of every link", PATIENCE, || {
            let said = self.node().ask_json(&["status"]).map_err(|e| e.to_string())?;
            let is_late = |link: &&serde_json::Value| {
                let addresses = link["addresses"].as_array().into_iter().flatten().filter_map(|a| a.as_str());
                link["name"] != "lo" && !addresses.into_iter().any(|address| address.starts_with("fe80:"))
            };
            let links: Vec<_> = said["links"].as_array().into_iter().flatten().collect();
            let is_there = links.len() > 1 && !links.iter().any(is_late);
            if is_there { Ok(()) } else { Err(format!("{links:#?}")) }
        });
        // BFD comes up with intervals of a second, after the session that it is for.
        lab.wait_until("BFD is up, with its intervals", PATIENCE, || {
            let peers = self.node().ask_json(&["peers"]).map_err(|e| e.to_string())?;
            let is_late = |peer: &&serde_json::Value| {
                let bfd = &peer["bfd"];
                let detection = bfd["local"]["required_min_rx_ms"].as_u64().map(|ms| ms * 3);
                !bfd.is_null() && (bfd["local"]["state"] != "up" || bfd["detection_time_ms"].as_u64() != detection)
            };
            let late: Vec<_> = peers.as_array().into_iter().flatten().filter(is_late).collect();
            if late.is_empty() { Ok(()) } else { Err(format!("{late:#?}")) }
        });
        healthy(self.node());
    }

    /// Starts traffic of both families between the host and each leaf's own network.
    pub(crate) fn watch(&self) -> Watch {
        let leaves: Vec<usize> = (0..self.leaves.len()).collect();
        self.watch_leaves(&leaves)
    }

    /// The same for some of the leaves.
    pub(crate) fn watch_leaves(&self, leaves: &[usize]) -> Watch {
        let mut watch = Watch::new(self);
        leaves.iter().for_each(|&leaf| Family::ALL.iter().for_each(|&family| watch.add(self, leaf, family)));
        watch.passes(SOME);
        watch
    }

    /// The same for one family.
    pub(crate) fn watch_family(&self, family: Family) -> Watch {
        let mut watch = Watch::new(self);
        watch.add(self, 0, family);
        watch.passes(SOME);
        watch
    }

    /// Starts traffic between the host and what all leaves have: whichever it reaches, and from the first leaf back.
    pub(crate) fn watch_shared(&self) -> Watch {
        let mut watch = Watch::new(self);
        let node = self.node().ns.as_str();
        for a in Self::addresses(0) {
            let target = shared_server(a.family);
            watch.to_host.push(Stream::start((self.net.leaf_ns(), target), &[node], a.host_server));
            watch.to_fabric.push(Stream::start((node, a.host_server), &self.leaf_namespaces(), target));
        }
        watch.passes(SOME);
        watch
    }

    /// Has the kernels' own word on every route written down, for a row that fails. Returns the pids of those who write.
    fn record(&self) -> Vec<u32> {
        let lab = &self.net.lab;
        let program = find_program("ip").unwrap();
        let names = self.leaf_namespaces().into_iter().chain([self.node().ns.as_str(), &self.node().router_ns]);
        let record = |ns: &str| {
            let log = lab.dir().join(format!("{ns}.log"));
            lab.spawn(ns, &program, &["-ts", "monitor", "route"], &log).unwrap()
        };
        names.map(record).collect()
    }

    /// What the router has put into the kernel: each prefix once, with its gateways.
    pub(crate) fn installed(&self) -> BTreeMap<IpNet, Vec<IpAddr>> {
        let mut all = BTreeMap::new();
        for family in Family::ALL {
            let routes = ip::routes(&self.node().router_ns, family).unwrap();
            for route in routes.into_iter().filter(|route| route.protocol == OURS) {
                let twice = all.insert(route.prefix, route.gateways);
                assert_eq!(twice, None, "{} is installed twice", route.prefix);
            }
        }
        all
    }

    /// Ends the router, leaving its namespace as it is.
    pub(crate) fn stop(&self, signal: Signal) {
        self.net.lab.end(self.router, signal, PATIENCE).unwrap();
    }

    /// Starts the next one after [`Site::stop`].
    pub(crate) fn start_again(&mut self) {
        self.router = self.node().start_router().unwrap();
    }

    /// What all routers of this site have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.net.lab.dir().join("router/perouter.log")).unwrap()
    }

    /// Waits until the log says something so many times.
    #[track_caller]
    pub(crate) fn logs(&self, what: &str, times: usize) {
        self.net.lab.wait_until(&format!("the router has logged `{what}` {times} times"), PATIENCE, || {
            let seen = self.log().matches(what).count();
            if seen >= times { Ok(()) } else { Err(format!("{seen} times")) }
        });
    }

    /// The daemons' names, for the table.
    pub(crate) fn peers(&self) -> String {
        let leaves: Vec<_> = self.leaves.iter().map(|leaf| leaf.daemon().to_string()).collect();
        format!("{} / {}", leaves.join(" + "), self.host.daemon())
    }
}

/// Traffic that is being counted.
pub(crate) struct Watch {
    lab: Lab,
    peers: String,
    to_host: Vec<Stream>,
    to_fabric: Vec<Stream>,
    recording: Vec<u32>,
}

impl Watch {
    fn new(site: &Site) -> Self {
        let (lab, peers, recording) = (site.net.lab.clone(), site.peers(), site.record());
        Self { lab, peers, to_host: Vec::new(), to_fabric: Vec::new(), recording }
    }

    fn add(&mut self, site: &Site, leaf: usize, family: Family) {
        let a = addresses_of(family, u8::try_from(leaf).unwrap(), 0);
        let (leaf, node) = (site.net.leaves[leaf].as_str(), site.node().ns.as_str());
        self.to_host.push(Stream::start((leaf, a.leaf_server), &[node], a.host_server));
        self.to_fabric.push(Stream::start((node, a.host_server), &[leaf], a.leaf_server));
    }

    fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.to_host.iter().chain(&self.to_fabric)
    }

    /// Waits until so many more packets have arrived in every stream: the event is behind us, and traffic flows.
    #[track_caller]
    pub(crate) fn passes(&self, packets: u64) {
        self.wait(&format!("{packets} more packets arrive in each direction"), packets, Stream::arrived);
    }

    /// Waits until so many more packets were sent in every stream: milliseconds, whatever arrives.
    #[track_caller]
    pub(crate) fn sends(&self, packets: u64) {
        self.wait(&format!("{packets} more packets are sent"), packets, Stream::sent);
    }

    #[track_caller]
    fn wait(&self, what: &str, packets: u64, count: impl Fn(&Stream) -> u64) {
        let wanted: Vec<u64> = self.streams().map(|stream| count(stream) + packets).collect();
        self.lab.wait_until(what, PATIENCE, || {
            let now: Vec<u64> = self.streams().map(&count).collect();
            if now.iter().zip(&wanted).all(|(now, wanted)| now >= wanted) { Ok(()) } else { Err(format!("{now:?}")) }
        });
    }

    /// Ends it. Nothing is asserted of the row yet.
    pub(crate) fn row(self, event: &str, held: &str) -> Row {
        let worst = |streams: Vec<Stream>| streams.into_iter().map(Stream::finish).reduce(Loss::worse).unwrap();
        let (to_host, to_fabric) = (worst(self.to_host), worst(self.to_fabric));
        for pid in self.recording {
            self.lab.end(pid, Signal::TERM, PATIENCE).unwrap();
        }
        Row { event: event.to_owned(), peers: self.peers, to_host, to_fabric, held: held.to_owned() }
    }

    /// Ends it with a row in which nothing may be lost, nor arrive twice.
    #[track_caller]
    pub(crate) fn nothing_lost(self, event: &str, held: &str) {
        let lab = self.lab.clone();
        let held = if held.is_empty() { "0 lost".to_owned() } else { format!("0 lost; {held}") };
        let row = self.row(event, &held);
        row.report();
        for (direction, loss) in [("to the host", row.to_host), ("to the fabric", row.to_fabric)] {
            assert_eq!((loss.lost, loss.repeated), (0, 0), "{direction}: {loss:?}\n{}", lab.diagnostics());
        }
    }
}
