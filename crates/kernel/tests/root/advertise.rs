use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kernel::advertise::{Advertiser, Handle, Heard};
use kernel::monitor;
use kernel::netns::Namespace;
use kernel::sock;

use crate::lab::{Name, Pair, eventually, index, ip, run};

/// An advertiser on a thread of its own, which ends with it.
pub(crate) struct Running {
    handle: Handle,
    heard: Receiver<Heard>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn new(ns: &Namespace, links: &[&str]) -> Self {
        let links: Vec<String> = links.iter().map(|link| (*link).to_owned()).collect();
        let mut advertiser = Advertiser::open(ns, &links).unwrap();
        let handle = advertiser.handle();
        let (sender, heard) = mpsc::channel();
        let thread = thread::spawn(move || {
            loop {
                let heard = advertiser.wait().unwrap();
                if heard.is_empty() {
                    return;
                }
                heard.into_iter().for_each(|heard| drop(sender.send(heard)));
            }
        });
        Self { handle, heard, thread: Some(thread) }
    }

    /// What is heard within a moment.
    pub(crate) fn soon(&self) -> Option<Heard> {
        self.heard.recv_timeout(Duration::from_millis(100)).ok()
    }

    pub(crate) fn next(&self) -> Heard {
        self.heard.recv_timeout(Duration::from_secs(60)).expect("something is heard")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop().unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The usable link-local address of a link, once it has one.
fn link_local(ns: &Namespace, name: &str) -> Ipv6Addr {
    let mut found = None;
    eventually("a link-local address", || {
        let links = monitor::links(ns).unwrap();
        let link = links.into_iter().find(|link| link.name == name).unwrap();
        let mut addresses = link.addresses.into_iter().map(|net| net.addr());
        found = addresses.find_map(|address| match address {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        });
        found.is_some()
    });
    found.unwrap()
}

/// A pair whose link-local addresses, one on each end, are there at once.
fn pair() -> Pair {
    let pair = Pair::new();
    ip(&pair.left, "address flush dev va scope link");
    ip(&pair.right, "address flush dev vb scope link");
    ip(&pair.left, "address add fe80::a/64 dev va nodad");
    ip(&pair.right, "address add fe80::b/64 dev vb nodad");
    pair
}

fn told(pair: &Pair, router: Option<&str>) -> Heard {
    Heard { link: "va".to_owned(), index: pair.link, router: router.map(|router| router.parse().unwrap()) }
}

#[test]
fn two_routers_find_each_other() {
    let pair = Pair::new();
    let left = Running::new(&pair.left, &["va", "no-such"]);
    let right = Running::new(&pair.right, &["vb"]);
    let (at_left, at_right) = (left.next(), right.next());
    let expected = Heard { link: "va".to_owned(), index: pair.link, router: Some(link_local(&pair.right, "vb")) };
    assert_eq!(at_left, expected);
    assert_eq!(at_right.router, Some(link_local(&pair.left, "va")));
}

#[test]
fn one_that_starts_later_finds_the_other_at_once() {
    let pair = pair();
    let left = Running::new(&pair.left, &["va"]);
    let first = Running::new(&pair.right, &["vb"]);
    assert_eq!((left.next(), first.next().router), (told(&pair, Some("fe80::b")), Some("fe80::a".parse().unwrap())));
    drop(first);
    let start = Instant::now();
    let again = Running::new(&pair.right, &["vb"]);
    assert_eq!(again.next().router, Some("fe80::a".parse().unwrap()));
    // Its question was answered, long before the next unsolicited advertisement is due.
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    // A restart is no goodbye.
    assert!(left.heard.try_recv().is_err());
}

#[test]
fn links_come_and_go() {
    let pair = pair();
    let left = Running::new(&pair.left, &[]);
    let _right = Running::new(&pair.right, &["vb"]);
    left.handle.set_links(&["va".to_owned()]).unwrap();
    assert_eq!(left.next(), told(&pair, Some("fe80::b")));
    // The other end takes the carrier away, and gives it back with another address.
    ip(&pair.right, "link set vb down");
    assert_eq!(left.next(), told(&pair, None));
    ip(&pair.right, "link set vb addrgenmode none");
    ip(&pair.right, "link set vb up");
    ip(&pair.right, "address add fe80::c/64 dev vb nodad");
    assert_eq!(left.next(), told(&pair, Some("fe80::c")));
    left.handle.set_links(&[]).unwrap();
    assert_eq!(left.next(), told(&pair, None));
}

/// Sends one advertisement with this hop limit and lifetime, from the right.
fn shout(pair: &Pair, hop_limit: u32, lifetime: u8) {
    let link = index(&pair.right, "vb");
    pair.right
        .run(move || {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::RAW, Some(socket2::Protocol::ICMPV6))
                    .unwrap();
            socket.set_multicast_hops_v6(hop_limit).unwrap();
            let target = std::net::SocketAddrV6::new("ff02::1".parse().unwrap(), 0, 0, link);
            let packet = [134, 0, 0, 0, 64, 0, 0, lifetime, 0, 0, 0, 0, 0, 0, 0, 0];
            socket.send_to(&packet, &target.into()).unwrap();
        })
        .unwrap();
}

#[test]
fn what_crossed_a_router_is_refused_and_a_goodbye_or_a_lifetime_ends_it() {
    let pair = pair();
    let left = Running::new(&pair.left, &["va"]);
    shout(&pair, 254, 90);
    shout(&pair, 255, 0);
    shout(&pair, 255, 60);
    assert_eq!(left.next(), told(&pair, Some("fe80::b")), "the first that counts");
    shout(&pair, 254, 0);
    shout(&pair, 255, 1);
    assert_eq!(left.next(), told(&pair, None), "its lifetime of one second is over");
    shout(&pair, 255, 60);
    assert_eq!(left.next(), told(&pair, Some("fe80::b")));
    shout(&pair, 255, 0);
    assert_eq!(left.next(), told(&pair, None));
    assert!(left.heard.try_recv().is_err());
}

#[test]
fn stop_ends_the_wait() {
    let pair = pair();
    let mut advertiser = Advertiser::open(&pair.left, &[]).unwrap();
    let handle = advertiser.handle();
    let waiting = thread::spawn(move || advertiser.wait());
    handle.stop().unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), []);
}

/// FRR in a namespace; ends with it, and its directory too.
struct Frr {
    directory: PathBuf,
    daemons: Vec<Child>,
}

impl Frr {
    fn start(ns: &Namespace, bgp: &str) -> Self {
        let directory = std::env::temp_dir().join(&Name::new().0);
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        let mut frr = Self { directory, daemons: Vec::new() };
        frr.run(ns, "zebra", "hostname leaf\n");
        let socket = frr.directory.join("zserv.api");
        eventually("zebra", || socket.exists());
        frr.run(ns, "bgpd", bgp);
        frr
    }

    fn run(&mut self, ns: &Namespace, daemon: &str, config: &str) {
        let file = self.directory.join(format!("{daemon}.conf"));
        fs::write(&file, config).unwrap();
        let mut command = Command::new(format!("/usr/lib/frr/{daemon}"));
        command.arg("-f").arg(&file).arg("-i").arg(self.directory.join(format!("{daemon}.pid")));
        command.arg("-z").arg(self.directory.join("zserv.api")).arg("--vty_socket").arg(&self.directory);
        command.args(["-P", "0", "-u", "frr", "-g", "frr"]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = ns.run(move || command.spawn()).unwrap();
        self.daemons.push(child.unwrap_or_else(|error| panic!("{daemon} of FRR: {error}")));
    }
}

impl Drop for Frr {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn frr_and_we_find_each_other() {
    let pair = Pair::new();
    run(&pair.right, "sysctl", "-qw net.ipv6.conf.all.forwarding=1");
    let listener = sock::listen(&pair.left, "[::]:179".parse().unwrap()).unwrap();
    let left = Running::new(&pair.left, &["va"]);
    let bgp = "router bgp 65001\n bgp router-id 192.0.2.1\n neighbor vb interface remote-as external\n";
    let _frr = Frr::start(&pair.right, bgp);
    let router = link_local(&pair.right, "vb");
    assert_eq!(left.next(), Heard { link: "va".to_owned(), index: pair.link, router: Some(router) });
    // Its bgpd dials what it heard.
    let mut caller = None;
    eventually("FRR dials", || {
        caller = listener.accept().ok().map(|(_, from)| from.ip());
        caller.is_some()
    });
    assert_eq!(caller, Some(router.into()));
}
