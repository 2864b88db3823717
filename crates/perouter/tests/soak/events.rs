//! What happens: one event after the other, some of which last while others come.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rustix::process::Signal;
use testbed::passthrough::{LEAF_ASN, ROUTER_ASN, nic_name};
use testbed::{Daemon, Family, PeerConfig, find_program, ip, run};

use crate::harness::{Plan, Site};

/// Most milliseconds that something lasts.
const LONGEST: u64 = 3000;
/// Most milliseconds from one event to the next.
const PAUSE: u64 = 800;
/// Networks that come and go.
const CHURNED: u64 = 64;

/// What is concerned: it happens to each of them once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Leaf(usize),
    Link(usize),
    Nic(usize),
    Host,
    Router,
    Processors,
}

/// What lasts, until somebody ends it.
struct Lasting {
    until: Instant,
    subject: Subject,
    cure: Cure,
}

/// How it ends.
#[derive(Debug)]
enum Cure {
    Nothing,
    StartLeaf,
    StartHost,
    StartRouter,
    Resume,
    RaiseLink,
    RaiseNic,
    Unplug,
    End(Vec<u32>),
}

/// The site and what happens to it.
pub(crate) struct Storm {
    pub(crate) site: Site,
    random: u64,
    lasting: Vec<Lasting>,
    reloads: u64,
}

impl Storm {
    /// An FRR leaf, and one of BIRD with BFD; graceful restart everywhere.
    pub(crate) fn start(seed: u64) -> Self {
        let plan = Plan::new(&[Daemon::Frr, Daemon::Bird], Daemon::Bird)
            .yaml(|yaml| {
                let mut yaml = yaml.underlay("gracefulRestart: {}");
                // The second leaf's, one per family.
                for neighbor in &mut yaml.neighbors[2..] {
                    neighbor.push_str(", bfd: {receiveInterval: 100, transmitInterval: 100, detectMultiplier: 3}");
                }
                yaml
            })
            .leaf(|config| {
                if config.asn != LEAF_ASN {
                    config.text = Some(with_bfd(config));
                }
            });
        let site = plan.start();
        for ns in &site.net.leaves {
            // As routers do it; the kernel alone would take the IPv6 addresses of a link that goes down away for good.
            let keep = "echo 1 > /proc/sys/net/ipv6/conf/all/keep_addr_on_down";
            let said = run(Some(ns), find_program("sh").unwrap(), &["-c", keep]).unwrap();
            assert!(said.ok(), "{said:?}");
        }
        Self { site, random: seed, lasting: Vec::new(), reloads: 0 }
    }

    /// A number below a limit (splitmix64).
    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Milliseconds until the next event.
    pub(crate) fn pause(&mut self) -> u64 {
        1 + self.below(PAUSE)
    }

    /// Ends what has lasted long enough, and lets something else happen.
    pub(crate) fn step(&mut self) -> Vec<String> {
        let now = Instant::now();
        let mut said = self.cure(|lasting| lasting.until <= now);
        said.extend(self.happen());
        said
    }

    /// Ends everything that lasts.
    pub(crate) fn heal(&mut self) -> Vec<String> {
        self.cure(|_| true)
    }

    fn cure(&mut self, which: impl Fn(&Lasting) -> bool) -> Vec<String> {
        let (over, rest) = std::mem::take(&mut self.lasting).into_iter().partition(|lasting| which(lasting));
        self.lasting = rest;
        let over: Vec<Lasting> = over;
        over.into_iter().map(|lasting| self.end(lasting.subject, lasting.cure)).collect()
    }

    fn end(&mut self, subject: Subject, cure: Cure) -> String {
        let said = format!("{subject:?}: {cure:?}");
        let at = match subject {
            Subject::Leaf(l) | Subject::Link(l) | Subject::Nic(l) => l,
            Subject::Host | Subject::Router | Subject::Processors => 0,
        };
        match cure {
            Cure::Nothing => {}
            Cure::StartLeaf => self.site.leaves[at].start_again().unwrap(),
            Cure::StartHost => self.site.host.start_again().unwrap(),
            Cure::StartRouter => self.site.start_again(),
            Cure::Resume => self.site.net.lab.signal(self.site.router, Signal::CONT).unwrap(),
            Cure::RaiseLink => ip::change(&self.site.net.leaves[at], &["link", "set", "tonode", "up"]).unwrap(),
            Cure::RaiseNic => {
                // The router may have done so itself.
                let _ = ip::change(&self.site.node().router_ns, &["link", "set", &nic_name(at as u8), "up"]);
            }
            Cure::Unplug => self.queue(at, &["del", "root"]),
            Cure::End(pids) => {
                for pid in pids {
                    self.site.net.lab.end(pid, Signal::KILL, Duration::from_secs(10)).unwrap();
                }
            }
        }
        said
    }

    /// One event, if what it concerns is not in the midst of another.
    fn happen(&mut self) -> Option<String> {
        let l = self.below(2) as usize;
        let number = self.below(CHURNED) as u8;
        let choice = self.below(16);
        let subject = match choice {
            0..=2 => Subject::Leaf(l),
            3 => Subject::Link(l),
            // Only one leaf has BFD, but all must come back.
            4 => Subject::Link(l),
            5 => Subject::Nic(l),
            6 | 7 => Subject::Host,
            14 => Subject::Processors,
            _ => Subject::Router,
        };
        if self.lasting.iter().any(|lasting| lasting.subject == subject) {
            return None;
        }
        let (said, cure) = match choice {
            0 => {
                let signal = if number.is_multiple_of(2) { Signal::KILL } else { Signal::TERM };
                self.site.leaves[l].stop(signal).unwrap();
                (format!("leaf {l} ends: {signal:?}"), Cure::StartLeaf)
            }
            // A file that is given as text has no networks to change.
            1 | 2 => (self.churn(number, true), Cure::Nothing),
            3 => {
                ip::change(&self.site.net.leaves[l], &["link", "set", "tonode", "down"]).unwrap();
                (format!("link {l} goes down"), Cure::RaiseLink)
            }
            4 => {
                self.queue(l, &["add", "root", "tbf", "rate", "1kbit", "burst", "1", "latency", "1ms"]);
                (format!("link {l} falls silent"), Cure::Unplug)
            }
            5 => {
                // Not there while the router is still to move it.
                let _ = ip::change(&self.site.node().router_ns, &["link", "set", &nic_name(l as u8), "down"]);
                (format!("NIC {l} is set down"), Cure::RaiseNic)
            }
            6 => {
                let signal = if number.is_multiple_of(2) { Signal::KILL } else { Signal::TERM };
                self.site.host.stop(signal).unwrap();
                (format!("host's speaker ends: {signal:?}"), Cure::StartHost)
            }
            7 => (self.churn(number, false), Cure::Nothing),
            8 => {
                self.site.stop(Signal::KILL);
                ("router ends: kill -9".into(), Cure::StartRouter)
            }
            9 => {
                self.site.stop(Signal::TERM);
                ("router ends: SIGTERM".into(), Cure::StartRouter)
            }
            10 => {
                self.reloads += 1;
                let hold = 9 + 3 * (self.reloads % 2);
                self.site.configure(|yaml| {
                    yaml.neighbors[0] = yaml.neighbors[0].split(", holdTime").next().unwrap().to_owned();
                    let _ = write!(yaml.neighbors[0], ", holdTimeSeconds: {hold}, keepaliveTimeSeconds: 3");
                });
                (format!("configuration: hold time of one neighbour is {hold} s"), Cure::Nothing)
            }
            11 => {
                let _ = ip::change(&self.site.node().ns, &["link", "del", "pt-host"]);
                ("veth is deleted".into(), Cure::Nothing)
            }
            12 => {
                let how: &[&str] = match number % 4 {
                    0 => &["clear", "all"],
                    1 => &["clear", "all", "--soft", "in"],
                    2 => &["clear", "all", "--soft", "out"],
                    _ => &["clear", "fabric", "--soft", "both"],
                };
                // It may have no peers at this moment.
                let done = self.site.node().ask(how).unwrap().ok();
                (format!("{}: {done}", how.join(" ")), Cure::Nothing)
            }
            13 => {
                self.site.net.lab.signal(self.site.router, Signal::STOP).unwrap();
                ("router is stopped".into(), Cure::Resume)
            }
            14 => {
                let hog = || {
                    let lab = &self.site.net.lab;
                    let script = ["-c", "while :; do :; done"];
                    lab.spawn(&self.site.node().ns, &find_program("sh").unwrap(), &script, &lab.dir().join("hog.log"))
                };
                ("processors are busy".into(), Cure::End((0..4).map(|_| hog().unwrap()).collect()))
            }
            _ => {
                let ns = &self.site.node().router_ns;
                let done = ip::change(ns, &["route", "flush", "proto", "168"]).is_ok();
                (format!("our IPv4 routes are flushed by hand: {done}"), Cure::Nothing)
            }
        };
        if !matches!(cure, Cure::Nothing) {
            let until = Instant::now() + Duration::from_millis(1 + self.below(LONGEST));
            self.lasting.push(Lasting { until, subject, cure });
        }
        Some(said)
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

    /// Changes the queue of both ends of a leaf's link: packets longer than a queue's bucket are dropped.
    fn queue(&self, l: usize, change: &[&str]) {
        let nic = nic_name(l as u8);
        let ends = [(self.site.net.leaves[l].as_str(), "tonode"), (&self.site.node().router_ns, nic.as_str())];
        for (ns, link) in ends {
            let args = [&["qdisc", change[0], "dev", link], &change[1..]].concat();
            // A NIC that was moved in the meantime has lost its queue.
            let _ = run(Some(ns), find_program("tc").unwrap(), &args).unwrap();
        }
    }
}

/// BIRD's file with BFD and graceful restart.
fn with_bfd(config: &PeerConfig) -> String {
    let mut out = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{ scan time 1; }}\n\
         protocol bfd {{ interface \"*\" {{ interval 100 ms; multiplier 3; }}; }}\n",
        config.router_id
    );
    for (family, word) in [(Family::Ipv4, "ipv4"), (Family::Ipv6, "ipv6")] {
        let _ = writeln!(out, "protocol kernel {{ {word} {{ import none; export where source = RTS_BGP; }}; }}");
        let _ = writeln!(out, "protocol static {{\n  {word};");
        for network in config.networks.iter().filter(|n| Family::of(**n) == family) {
            let _ = writeln!(out, "  route {network} blackhole;");
        }
        out.push_str("}\n");
    }
    for (i, n) in config.neighbors.iter().enumerate() {
        let word = if n.address.is_ipv4() { "ipv4" } else { "ipv6" };
        let _ = writeln!(
            out,
            "protocol bgp n{i} {{\n  local as {};\n  neighbor {} as {ROUTER_ASN};\n  hold time 9;\n  connect delay time 1;\n  \
             connect retry time 1;\n  error wait time 1, 2;\n  bfd on;\n  graceful restart on;\n  {word} {{\n    import all;\n    \
             export where source ~ [ RTS_STATIC, RTS_BGP ];\n  }};\n}}",
            config.asn, n.address
        );
    }
    out
}
