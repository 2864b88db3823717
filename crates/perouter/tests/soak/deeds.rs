//! What each event does, and how it ends.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use ipnet::IpNet;
use rustix::process::Signal;
use testbed::passthrough::nic_name;
use testbed::{find_program, ip, run};

use crate::events::{Cure, Kind, Storm, Subject};
use crate::fabric::PATIENCE;

/// Another file of the configuration.
const OTHER: &str = "openpe_other.yaml";
/// Routes in a table of nobody's: more notifications than the router's socket holds.
const FLOOD: u32 = 60_000;

impl Storm {
    /// Does it. `None`: it cannot be done at this moment.
    pub(crate) fn deed(&mut self, kind: Kind, l: usize, number: u8) -> Option<(String, Cure)> {
        let even = number.is_multiple_of(2);
        let signal = if even { Signal::KILL } else { Signal::TERM };
        let nic = nic_name(l as u8);
        let site = &self.site;
        let done = match kind {
            Kind::LeafEnds => {
                site.leaves[l].stop(signal).unwrap();
                (format!("leaf {l} ends: {signal:?}"), Cure::StartLeaf)
            }
            Kind::LeafRoute => (self.churn(number, true), Cure::Nothing),
            Kind::LinkDown => {
                ip::change(&site.net.leaves[l], &["link", "set", "tonode", "down"]).unwrap();
                (format!("link {l} goes down"), Cure::RaiseLink)
            }
            Kind::LinkSilent => {
                self.queue(l, &["add", "root", "tbf", "rate", "1kbit", "burst", "1", "latency", "1ms"]);
                (format!("link {l} falls silent"), Cure::Unplug)
            }
            Kind::NicDown => {
                (format!("NIC {l} is set down: {}", self.inside(&format!("link set {nic} down"))), Cure::RaiseNic)
            }
            Kind::NicMoved => {
                let done = self.inside(&format!("link set {nic} netns {}", self.elsewhere));
                (format!("NIC {l} is moved elsewhere: {done}"), Cure::MoveBack)
            }
            Kind::NicRenamed => {
                let done = self.inside(&format!("link set {nic} name away{l}"));
                (format!("NIC {l} is renamed: {done}"), Cure::NameBack)
            }
            Kind::HostEnds => {
                site.host.stop(signal).unwrap();
                (format!("host's speaker ends: {signal:?}"), Cure::StartHost)
            }
            Kind::HostRoute => (self.churn(number, false), Cure::Nothing),
            Kind::AddressPlan => (self.readdress(), Cure::Nothing),
            Kind::Crash => {
                site.stop(Signal::KILL);
                ("router ends: kill -9".into(), Cure::StartRouter)
            }
            Kind::Upgrade => {
                site.stop(Signal::TERM);
                ("router ends: SIGTERM".into(), Cure::StartRouter)
            }
            Kind::Stop => {
                site.net.lab.signal(site.router, Signal::STOP).unwrap();
                ("router is stopped".into(), Cure::Resume)
            }
            Kind::NameDeleted => (self.unname()?, Cure::Nothing),
            Kind::Flood => (self.flood(), Cure::Nothing),
            Kind::Timers => (self.timers(), Cure::Nothing),
            Kind::OtherObject => {
                // Of an object that it does not serve: it is no healthy node as long as the file is there.
                site.node().write_config(OTHER, "l2vnis:\n  - {name: red, vni: 100}\n").unwrap();
                ("another file comes".into(), Cure::RemoveFile)
            }
            Kind::VethDeleted => {
                let done = self.on_host("link del pt-host");
                (format!("veth is deleted: {done}"), Cure::Nothing)
            }
            Kind::VethChanged => {
                let done = match number % 4 {
                    0 => self.on_host("link set pt-host down"),
                    1 => self.on_host("address flush dev pt-host scope global"),
                    2 => self.inside("link set pt-ns mtu 1400"),
                    _ => self.inside("address flush dev pt-ns scope global"),
                };
                (format!("veth is changed, way {}: {done}", number % 4), Cure::Nothing)
            }
            Kind::Setting => {
                let setting = if even { "net.ipv4.conf.all.forwarding=0" } else { "net.ipv6.conf.all.forwarding=0" };
                let said = run(Some(&site.node().router_ns), "sysctl", &["-q", "-w", setting]);
                (format!("{setting}: {}", said.is_ok_and(|said| said.ok())), Cure::Nothing)
            }
            Kind::Cleared => {
                let how: &[&str] = match number % 4 {
                    0 => &["clear", "all"],
                    1 => &["clear", "all", "--soft", "in"],
                    2 => &["clear", "all", "--soft", "out"],
                    _ => &["clear", "fabric", "--soft", "both"],
                };
                // It may have no peers at this moment.
                let done = site.node().ask(how).unwrap().ok();
                (format!("{}: {done}", how.join(" ")), Cure::Nothing)
            }
            Kind::RoutesFlushed => {
                let family = if even { "-4" } else { "-6" };
                let done = self.inside(&format!("{family} route flush proto 168"));
                (format!("our routes are flushed by hand, {family}: {done}"), Cure::Nothing)
            }
            Kind::NextHopsFlushed => (
                format!("our next hops are flushed by hand: {}", self.inside("nexthop flush proto 168")),
                Cure::Nothing,
            ),
            Kind::RouteReplaced => {
                let done = self.inside("route replace 10.244.1.0/24 via 192.168.11.2 metric 20");
                (format!("a route of ours is replaced by hand: {done}"), Cure::Nothing)
            }
            Kind::Drain => {
                let said = site.node().ask(&["drain", "--wait", if even { "0" } else { "1s" }]).unwrap();
                (format!("drain: {}", said.ok()), Cure::Undrain)
            }
            Kind::Busy => {
                let hog = || {
                    let lab = &site.net.lab;
                    let script = ["-c", "while :; do :; done"];
                    lab.spawn(&site.node().ns, &find_program("sh").unwrap(), &script, &lab.dir().join("hog.log"))
                };
                ("processors are busy".into(), Cure::End((0..4).map(|_| hog().unwrap()).collect()))
            }
        };
        Some(done)
    }

    /// Ends it.
    pub(crate) fn end(&mut self, subject: Subject, cure: Cure) -> String {
        let said = format!("{subject:?}: {cure:?}");
        let at = match subject {
            Subject::Leaf(l) | Subject::Link(l) | Subject::Nic(l) => l,
            Subject::Host | Subject::Router | Subject::File | Subject::Drain | Subject::Processors => 0,
        };
        let (nic, router) = (nic_name(at as u8), self.site.node().router_ns.clone());
        match cure {
            Cure::Nothing => {}
            Cure::StartLeaf => self.site.leaves[at].start_again().unwrap(),
            Cure::StartHost => self.site.host.start_again().unwrap(),
            Cure::StartRouter => self.site.start_again(),
            Cure::Resume => self.site.net.lab.signal(self.site.router, Signal::CONT).unwrap(),
            Cure::RaiseLink => ip::change(&self.site.net.leaves[at], &["link", "set", "tonode", "up"]).unwrap(),
            // The router may have done so itself, or is still to take it.
            Cure::RaiseNic => drop(self.inside(&format!("link set {nic} up"))),
            // It is not there if it was not moved.
            Cure::MoveBack => drop(ip::change(&self.elsewhere, &["link", "set", &nic, "netns", &router])),
            Cure::NameBack => drop(self.inside(&format!("link set away{at} name {nic}"))),
            Cure::Unplug => self.queue(at, &["del", "root"]),
            // The process may be another one, which is not drained.
            Cure::Undrain => drop(self.site.node().ask(&["drain", "--undo"]).unwrap()),
            Cure::RemoveFile => self.site.node().remove_config(OTHER).unwrap(),
            Cure::End(pids) => {
                for pid in pids {
                    self.site.net.lab.end(pid, Signal::KILL, Duration::from_secs(10)).unwrap();
                }
            }
        }
        said
    }

    /// Whether `ip` could do this in the router's namespace: what is to be changed may not be there at this moment.
    fn inside(&self, args: &str) -> bool {
        ip::change(&self.site.node().router_ns, &args.split(' ').collect::<Vec<_>>()).is_ok()
    }

    fn on_host(&self, args: &str) -> bool {
        ip::change(&self.site.node().ns, &args.split(' ').collect::<Vec<_>>()).is_ok()
    }

    /// A network comes or goes.
    fn churn(&mut self, number: u8, at_leaf: bool) -> String {
        let (name, site) = (if at_leaf { "leaf" } else { "host" }, &mut self.site);
        let base = if at_leaf { 20 } else { 30 };
        let network: IpNet = match number % 2 {
            0 => format!("{base}.0.{number}.0/24").parse().unwrap(),
            _ => format!("2001:db8:{base}:{number}::/64").parse().unwrap(),
        };
        let peer = if at_leaf { &mut site.leaves[0] } else { &mut site.host };
        let verb = if peer.config().networks.contains(&network) {
            let done = peer.withdraw(network).is_ok();
            format!("withdraws: {done}")
        } else {
            let done = peer.announce(network).is_ok();
            format!("announces: {done}")
        };
        format!("{name} {verb} {network}")
    }

    /// The passthrough has the other of two networks, and the host's speaker is told.
    fn readdress(&mut self) -> String {
        let (before, after) = match self.site.yaml.local.contains("192.169.10.") {
            true => ("192.169.10.", "192.169.20."),
            false => ("192.169.20.", "192.169.10."),
        };
        self.site.configure(|yaml| yaml.local = yaml.local.replace(before, after));
        let [old, new]: [IpAddr; 2] = [before, after].map(|net| format!("{net}1").parse().unwrap());
        let change = |n: &mut testbed::NeighborConfig| n.address = if n.address == old { new } else { n.address };
        self.site.host.reconfigure(|config| config.neighbors.iter_mut().for_each(change)).unwrap();
        format!("address plan: {after}0/24")
    }

    fn timers(&mut self) -> String {
        self.reloads += 1;
        let hold = 9 + 3 * (self.reloads % 2);
        self.site.configure(|yaml| {
            yaml.neighbors[0] = yaml.neighbors[0].split(", holdTime").next().unwrap().to_owned();
            let _ = write!(yaml.neighbors[0], ", holdTimeSeconds: {hold}, keepaliveTimeSeconds: 3");
        });
        format!("configuration: hold time of one neighbour is {hold} s")
    }

    /// Takes the name of the router's namespace away, if the router holds it: else the namespace would go, and NICs with it.
    fn unname(&self) -> Option<String> {
        let (site, name) = (&self.site, &self.site.node().router_ns);
        let named = fs::metadata(format!("/var/run/netns/{name}")).ok()?;
        let inode = named.ino();
        // What a descriptor's link says depends on how it was opened; what is behind it does not.
        let mut descriptors = fs::read_dir(format!("/proc/{}/fd", site.router)).ok()?.flatten();
        let is_it = |of: fs::Metadata| (of.dev(), of.ino()) == (named.dev(), inode);
        if !descriptors.any(|fd| fs::metadata(fd.path()).is_ok_and(is_it)) {
            return None;
        }
        assert!(run(None, "ip", &["netns", "delete", name]).unwrap().ok());
        site.net.lab.wait_until("the namespace has its name again", PATIENCE, || {
            let again = fs::metadata(format!("/var/run/netns/{name}")).map_err(|e| e.to_string())?.ino();
            if again == inode { Ok(()) } else { Err(format!("inode {again}, not {inode}")) }
        });
        Some("name of the namespace is deleted".into())
    }

    /// Many notifications while the router does not read.
    fn flood(&self) -> String {
        let (site, ns) = (&self.site, &self.site.node().router_ns);
        let file = site.net.lab.dir().join("flood.batch");
        if !file.exists() {
            let route = |n: u32| format!("route add 10.{}.{}.0/24 dev lo table 77\n", n >> 8, n & 255);
            fs::write(&file, (0..FLOOD).map(route).collect::<String>()).unwrap();
        }
        site.net.lab.signal(site.router, Signal::STOP).unwrap();
        let batch = run(None, "ip", &["-n", ns, "-force", "-batch", &file.to_string_lossy()]).unwrap();
        let flushed = self.inside("route flush table 77");
        site.net.lab.signal(site.router, Signal::CONT).unwrap();
        format!("{FLOOD} routes of a stranger's come and go: {} {flushed}", batch.ok())
    }

    /// Changes the queue of both ends of a leaf's link: packets longer than a queue's bucket are dropped.
    fn queue(&self, l: usize, change: &[&str]) {
        // Under whichever name the NIC has at this moment.
        let (router, names) = (self.site.node().router_ns.as_str(), [nic_name(l as u8), format!("away{l}")]);
        let ends = [(self.site.net.leaves[l].as_str(), "tonode"), (router, &names[0]), (router, &names[1])];
        for (ns, link) in ends {
            let args = [&["qdisc", change[0], "dev", link], &change[1..]].concat();
            // A NIC that was moved in the meantime has lost its queue.
            let _ = run(Some(ns), find_program("tc").unwrap(), &args).unwrap();
        }
    }
}
