use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use kernel::fib::{Batch, Fib, Hop};
use kernel::host::{DesiredHost, DesiredVeth, HostError, NIC_GROUP, Op, PT_HOST, PT_NS, Site, WAY_BACK, plan};
use kernel::monitor;
use kernel::netns::Namespace;
use kernel::sock::{self, Dial};

use crate::advertise::Running;
use crate::lab::{Name, eventually, index, ip, move_link, namespace, run};

/// A host of its own, with NICs whose other ends are in a third namespace (the fabric), and a name for the router's
/// namespace. The state directory goes away with it.
struct Lab {
    site: Site,
    host: Namespace,
    fabric: Namespace,
    router: Name,
    state: PathBuf,
}

impl Lab {
    fn new(nics: &[(&str, &str)]) -> Self {
        let (host, fabric, router) = (namespace(), namespace(), Name::new());
        let state = std::env::temp_dir().join(&router.0);
        let lab = Self { site: Site::new(host.clone()), host, fabric, router, state };
        for (nic, address) in nics {
            ip(&lab.host, &format!("link add {nic} type veth peer name far-{nic}"));
            move_link(&lab.host, &format!("far-{nic}"), &lab.fabric);
            ip(&lab.fabric, &format!("link set far-{nic} up"));
            ip(&lab.host, &format!("link set {nic} up"));
            ip(&lab.host, &format!("address add {address} dev {nic}"));
        }
        lab
    }

    fn desired(&self, nics: &[&str], veth: Option<(&[&str], &[&str])>) -> DesiredHost {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        DesiredHost {
            namespace: self.router.0.clone(),
            nics: nics.iter().map(|nic| (*nic).to_owned()).collect(),
            veth: veth.map(|(host, ns)| DesiredVeth {
                host_name: PT_HOST.to_owned(),
                ns_name: PT_NS.to_owned(),
                host_addresses: nets(host),
                ns_addresses: nets(ns),
            }),
            state_dir: self.state.clone(),
        }
    }

    fn plan(&self, desired: &DesiredHost) -> Vec<String> {
        plan(desired, &self.site.observe(desired).unwrap()).iter().map(Op::to_string).collect()
    }

    fn apply(&self, desired: &DesiredHost) -> Vec<HostError> {
        let ops = plan(desired, &self.site.observe(desired).unwrap());
        self.site.apply(desired, &ops)
    }

    /// Applies without errors; afterwards nothing is left to do.
    fn settle(&self, desired: &DesiredHost) {
        assert_eq!(self.apply(desired), []);
        assert_eq!(self.plan(desired), [""; 0]);
    }

    fn inside(&self) -> Namespace {
        Namespace::open(&self.router.0).unwrap().expect("the router's namespace exists")
    }

    fn teardown(&self) -> Vec<HostError> {
        self.site.teardown(&self.router.0, &self.state)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.state);
    }
}

/// Global addresses of a link, IPv4 first; `None` when there is no such link.
fn addresses(ns: &Namespace, name: &str) -> Option<Vec<String>> {
    let links = monitor::links(ns).unwrap();
    let link = links.into_iter().find(|link| link.name == name)?;
    let mut all: Vec<_> = link.addresses.into_iter().filter(|net| !net.to_string().starts_with("fe80")).collect();
    all.sort();
    Some(all.iter().map(ToString::to_string).collect())
}

fn is_up(ns: &Namespace, name: &str) -> bool {
    monitor::links(ns).unwrap().iter().any(|link| link.name == name && link.up)
}

const V4: (&[&str], &[&str]) = (&["192.168.2.2/24"], &["192.168.2.1/24"]);
const DUAL: (&[&str], &[&str]) = (&["192.168.2.2/24", "2001:db8::2/64"], &["192.168.2.1/24", "2001:db8::1/64"]);

/// Sets a pair up and looks at both ends.
fn pair_has(veth: (&[&str], &[&str])) {
    let lab = Lab::new(&[]);
    lab.settle(&lab.desired(&[], Some(veth)));
    assert_eq!(addresses(&lab.host, PT_HOST).unwrap(), veth.0);
    assert_eq!(addresses(&lab.inside(), PT_NS).unwrap(), veth.1);
    assert!(is_up(&lab.host, PT_HOST) && is_up(&lab.inside(), PT_NS));
}

#[test]
fn case_099_the_pair_has_the_planned_addresses_of_both_families() {
    pair_has(DUAL);
}

#[test]
fn case_100_the_pair_works_with_host_prefixes() {
    pair_has((&["192.168.10.1/32"], &["192.168.10.0/32"]));
}

#[test]
fn case_101_the_pair_works_with_ipv6_and_with_both() {
    pair_has((&["2001:db8::1/128"], &["2001:db8::/128"]));
    pair_has((&["192.168.10.1/32", "2001:db8::1/128"], &["192.168.10.0/32", "2001:db8::/128"]));
}

#[test]
fn case_102_the_pair_is_made_once_and_removed_also_when_absent() {
    let lab = Lab::new(&[]);
    let desired = lab.desired(&[], Some(DUAL));
    lab.settle(&desired);
    let before = index(&lab.host, PT_HOST);
    lab.settle(&desired);
    assert_eq!(index(&lab.host, PT_HOST), before, "not made anew");
    // Packets flow at once: no address waits for duplicate address detection.
    run(&lab.host, "ping", "-c1 -W5 192.168.2.1");
    run(&lab.host, "ping", "-c1 -W5 2001:db8::1");
    for (ns, link) in [(&lab.host, PT_HOST), (&lab.inside(), PT_NS)] {
        let address = ip(ns, &format!("-6 address show dev {link} scope link"));
        assert!(address.contains("fe80::") && !address.contains("tentative"), "{address}");
    }
    let without = lab.desired(&[], None);
    lab.settle(&without);
    assert_eq!(addresses(&lab.host, PT_HOST), None);
    assert_eq!(addresses(&lab.inside(), PT_NS), None);
    lab.settle(&without);
}

/// The route of the pair's IPv6 way back, as the kernel shows it.
fn way_back(lab: &Lab) -> String {
    let rule = ip(&lab.inside(), "-6 rule show");
    let rules = rule.lines().filter(|line| line.starts_with(&format!("{WAY_BACK}:"))).count();
    assert_eq!(rules, 1, "{rule}");
    assert!(rule.contains(&format!("oif {PT_NS} lookup {WAY_BACK}")), "{rule}");
    ip(&lab.inside(), &format!("-6 route show table {WAY_BACK}"))
}

#[test]
fn the_router_answers_ipv6_from_any_address_of_the_host() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    ip(&lab.host, "address add 2001:db8:18::2/64 dev eth1 nodad");
    let desired = lab.desired(&[], Some(DUAL));
    lab.settle(&desired);
    assert!(way_back(&lab).starts_with("default via 2001:db8::2 dev pt-ns proto 168"), "{}", way_back(&lab));
    // As a socket that is bound to the link does; without the link nobody knows the way.
    run(&lab.inside(), "ping", "-c1 -W5 -I pt-ns 2001:db8:18::2");
    // It is nobody else's business.
    let foreign = monitor::foreign_routes(&lab.inside()).unwrap();
    assert!(foreign.iter().all(|route| route.prefix.prefix_len() > 0), "{foreign:?}");
    assert_eq!(Fib::open(&lab.inside()).unwrap().routes().unwrap(), []);
}

/// As long as no router runs. A speaker that is refused may wait for minutes.
#[test]
fn who_connects_while_nobody_listens_is_not_refused_and_meets_the_next_router() {
    let lab = Lab::new(&[]);
    lab.settle(&lab.desired(&[], Some(DUAL)));
    let dial = |remote: &str| Dial { remote: remote.parse().unwrap(), local: None, ttl: None, md5: None };
    for remote in ["192.168.2.1:179", "[2001:db8::1]:179"] {
        let waiting = sock::dial(&lab.host, &dial(remote)).unwrap();
        // The first packet has crossed the pair when the call returns, and so has what the kernel says to it.
        assert_eq!(waiting.take_error().unwrap().map(|error| error.kind()), None, "{remote}");
        let listener = sock::listen(&lab.inside(), remote.parse().unwrap()).unwrap();
        let mut met = false;
        eventually("the next packet of the one that waits", || {
            met = met || listener.accept().is_ok();
            met
        });
        drop(listener);
    }
    // Any other port is refused, as ever.
    let elsewhere = sock::dial(&lab.host, &dial("192.168.2.1:1790")).unwrap();
    eventually("a refusal", || {
        elsewhere.take_error().unwrap().is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

#[test]
fn the_way_back_is_repaired_follows_the_plan_and_goes_with_the_pair() {
    let lab = Lab::new(&[]);
    let desired = lab.desired(&[], Some(DUAL));
    lab.settle(&desired);
    let faults = [
        format!("-6 rule del priority {WAY_BACK}"),
        format!("-6 route flush table {WAY_BACK}"),
        "link set pt-ns down".into(),
    ];
    for fault in faults {
        ip(&lab.inside(), &fault);
        lab.settle(&desired);
        assert!(way_back(&lab).starts_with("default via 2001:db8::2"), "{fault}");
    }
    lab.settle(&lab.desired(&[], Some((&["2001:db8::9/128"], &["2001:db8::1/128"]))));
    assert!(way_back(&lab).starts_with("default via 2001:db8::9"), "{}", way_back(&lab));
    assert_eq!(way_back(&lab).lines().count(), 1);
    ip(&lab.host, "link del pt-host");
    lab.settle(&desired);
    assert!(way_back(&lab).starts_with("default via 2001:db8::2"), "{}", way_back(&lab));
    lab.settle(&lab.desired(&[], Some(V4)));
    assert!(!ip(&lab.inside(), "-6 rule show").contains("20168"), "IPv4 needs none");
    lab.settle(&desired);
    lab.settle(&lab.desired(&[], None));
    assert!(!ip(&lab.inside(), "-6 rule show").contains("20168"));
}

#[test]
fn case_103_a_nic_is_moved_with_its_addresses_once() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    ip(&lab.host, "address add 192.168.11.4/24 dev eth1");
    ip(&lab.host, "address add 2001:db8:11::3/64 dev eth1 nodad");
    let all = addresses(&lab.host, "eth1").unwrap();
    assert_eq!(all.len(), 3);
    let desired = lab.desired(&["eth1"], Some(V4));
    lab.settle(&desired);
    assert_eq!(addresses(&lab.host, "eth1"), None);
    assert_eq!(addresses(&lab.inside(), "eth1").unwrap(), all);
    assert!(is_up(&lab.inside(), "eth1"));
    assert!(ip(&lab.inside(), "-d link show eth1").contains(&format!("group {NIC_GROUP}")));
    // The first address stays the first: it is the source of what the router sends.
    let shown = ip(&lab.inside(), "-4 -o address show eth1");
    assert!(shown.lines().next().unwrap().contains("192.168.11.3/24"), "{shown}");
    assert!(ip(&lab.inside(), "route").contains("192.168.11.0/24 dev eth1"));
    lab.settle(&desired);
}

#[test]
fn case_104_another_nic_is_swapped_in_and_the_first_goes_back_with_its_addresses() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24"), ("eth2", "192.168.12.3/24")]);
    ip(&lab.host, "address add 2001:db8:11::3/64 dev eth1 nodad");
    lab.settle(&lab.desired(&["eth1"], Some(V4)));
    lab.settle(&lab.desired(&["eth2"], Some(V4)));
    assert_eq!(addresses(&lab.host, "eth1").unwrap(), ["192.168.11.3/24", "2001:db8:11::3/64"]);
    assert!(is_up(&lab.host, "eth1"));
    assert!(ip(&lab.host, "-d link show eth1").contains("group default"));
    assert_eq!(addresses(&lab.inside(), "eth2").unwrap(), ["192.168.12.3/24"]);
    assert!(!lab.state.join("nics/eth1").exists() && lab.state.join("nics/eth2").exists());
}

#[test]
fn what_a_stranger_left_among_the_saved_addresses_stops_nothing() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    fs::create_dir_all(lab.state.join("nics/stray")).unwrap();
    fs::write(lab.state.join("nics/eth9"), [0xff; 64]).unwrap();
    lab.settle(&lab.desired(&["eth1"], Some(V4)));
}

/// A full or read-only disk: the sentence must not send the user to the NIC or the kernel.
#[test]
fn a_nic_whose_addresses_cannot_be_saved_stays_and_the_file_is_named() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    fs::create_dir_all(lab.state.join("nics/eth1.new~")).unwrap();
    let errors = lab.apply(&lab.desired(&["eth1"], Some(V4)));
    assert_eq!(errors.len(), 1, "{errors:?}");
    let path = lab.state.join("nics/eth1");
    let expected = format!("cannot save its addresses ({}): Is a directory", path.display());
    assert!(errors[0].message.contains(&expected), "{}", errors[0].message);
    assert_eq!(addresses(&lab.host, "eth1").unwrap(), ["192.168.11.3/24"]);
}

#[test]
fn case_109_sysctls_are_set_whatever_they_were_and_nothing_changes_on_the_host() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    let desired = lab.desired(&["eth1"], Some(V4));
    lab.settle(&desired);
    let read = |ns: &Namespace, key: &'static str| {
        ns.run(move || fs::read_to_string(format!("/proc/sys/net/{key}")).unwrap().trim().to_owned()).unwrap()
    };
    let table = [
        ("ipv4/conf/all/forwarding", "1", "0"),
        ("ipv6/conf/all/forwarding", "1", "0"),
        ("ipv4/conf/all/arp_accept", "1", "0"),
        ("ipv4/conf/default/arp_accept", "1", "0"),
        ("ipv6/conf/all/accept_untracked_na", "1", "0"),
        ("ipv4/conf/all/rp_filter", "0", "2"),
        ("ipv4/conf/eth1/rp_filter", "0", "1"),
        ("ipv4/conf/pt-ns/rp_filter", "0", "1"),
        ("ipv4/fib_multipath_hash_policy", "1", "0"),
        ("ipv6/fib_multipath_hash_policy", "1", "0"),
        ("ipv4/nexthop_compat_mode", "0", "1"),
        ("ipv6/conf/all/disable_ipv6", "0", "1"),
        ("ipv6/conf/eth1/accept_ra", "0", "2"),
    ];
    let router = lab.inside();
    for (key, right, wrong) in table {
        assert_eq!(read(&router, key), right, "{key}");
        router.run(move || fs::write(format!("/proc/sys/net/{key}"), wrong).unwrap()).unwrap();
        assert_eq!(read(&router, key), wrong, "{key}");
    }
    lab.settle(&desired);
    for (key, right, _) in table {
        assert_eq!(read(&router, key), right, "{key}");
    }
    assert_eq!(read(&lab.host, "ipv4/conf/all/forwarding"), read(&namespace(), "ipv4/conf/all/forwarding"));
    // Missing ones: an optional one is skipped, any other is an error that names it.
    let missing = |optional| Op::SetSysctl { key: "net/ipv4/no_such".to_owned(), value: "1".to_owned(), optional };
    assert_eq!(lab.site.apply(&desired, &[missing(true)]), []);
    let errors = lab.site.apply(&desired, &[missing(false)]);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].message.contains("net/ipv4/no_such") && errors[0].message.contains("does not exist"));
}

#[test]
fn a_prepared_namespace_needs_no_setting_for_links_that_come_later_and_is_prepared_once() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    let done = lab.site.prepare(&lab.router.0).unwrap();
    assert!(done.iter().any(|op| matches!(op, Op::EnsureNamespace { .. })), "{done:?}");
    assert!(done.iter().any(|op| matches!(op, Op::SetSysctl { .. })), "{done:?}");
    let desired = lab.desired(&["eth1"], Some((&["192.169.10.2/24"], &["192.169.10.1/24"])));
    let steps = plan(&desired, &lab.site.observe(&desired).unwrap());
    assert!(
        !steps
            .iter()
            .any(|op| matches!(op, Op::SetSysctl { key, .. } if !key.contains("eth1") && !key.contains("pt-ns")))
    );
    lab.settle(&desired);
    // The next router starts while the NIC is inside, and it stays there.
    assert_eq!(lab.site.prepare(&lab.router.0).unwrap(), []);
    assert!(addresses(&lab.inside(), "eth1").is_some());
    let forwarding = "/proc/sys/net/ipv4/conf/all/forwarding";
    lab.inside().run(move || fs::write(forwarding, "0").unwrap()).unwrap();
    let repaired = lab.site.prepare(&lab.router.0).unwrap();
    assert!(
        matches!(&repaired[..], [Op::SetSysctl { key, .. }] if key == "net/ipv4/conf/all/forwarding"),
        "{repaired:?}"
    );
}

#[test]
fn a_nic_that_does_not_exist_is_one_sentence_and_the_rest_is_done() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    let desired = lab.desired(&["foo", "eth1"], Some(V4));
    let errors = lab.apply(&desired);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].object, "foo");
    assert!(errors[0].message.starts_with("NIC \"foo\" does not exist on this node"), "{}", errors[0].message);
    assert_eq!(addresses(&lab.inside(), "eth1").unwrap(), ["192.168.11.3/24"]);
    assert!(is_up(&lab.host, PT_HOST));
}

#[test]
fn addresses_mtu_and_state_are_repaired() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    ip(&lab.host, "link set eth1 mtu 1450");
    let desired = lab.desired(&["eth1"], Some(DUAL));
    lab.settle(&desired);
    let mtu = |ns: &Namespace, name: &str| {
        monitor::links(ns).unwrap().into_iter().find(|link| link.name == name).unwrap().mtu
    };
    assert_eq!((mtu(&lab.host, PT_HOST), mtu(&lab.inside(), PT_NS)), (1450, 1450));
    ip(&lab.host, "address flush dev pt-host scope global");
    // A stale address first, so that the right one is a secondary of its subnet and goes along with it.
    ip(&lab.host, "address add 192.168.2.77/24 dev pt-host");
    ip(&lab.host, "address add 192.168.2.2/24 dev pt-host");
    ip(&lab.host, "address add 2001:db8::77/64 dev pt-host");
    ip(&lab.inside(), "link set pt-ns down");
    ip(&lab.inside(), "link set pt-ns mtu 1400");
    ip(&lab.inside(), "address del 192.168.11.3/24 dev eth1");
    lab.settle(&desired);
    assert_eq!(addresses(&lab.host, PT_HOST).unwrap(), DUAL.0);
    assert_eq!(addresses(&lab.inside(), "eth1").unwrap(), ["192.168.11.3/24"]);
    assert_eq!(mtu(&lab.inside(), PT_NS), 1450);
}

#[test]
fn wrong_links_under_our_names_are_replaced() {
    let lab = Lab::new(&[]);
    let desired = lab.desired(&[], Some(V4));
    // A bridge.
    ip(&lab.host, "link add pt-host type bridge");
    lab.settle(&desired);
    // Half a pair: the peer is a link of the host under another name.
    ip(&lab.host, "link del pt-host");
    ip(&lab.host, "link add pt-host type veth peer name other");
    lab.settle(&desired);
    // The peer is in a namespace that is no longer the router's (upstream's issue 446).
    let old = lab.inside();
    Namespace::unbind(&lab.router.0).unwrap();
    lab.settle(&desired);
    assert!(!old.same_as(&lab.inside()).unwrap());
    assert_eq!(addresses(&old, PT_NS), None);
    assert_eq!(addresses(&lab.inside(), PT_NS).unwrap(), V4.1);
}

#[test]
fn a_crash_right_after_the_move_loses_no_address() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    let desired = lab.desired(&["eth1"], None);
    lab.settle(&desired);
    // As the move leaves it: down, without addresses, without mark.
    ip(&lab.inside(), "link set eth1 down group default");
    ip(&lab.inside(), "address flush dev eth1");
    lab.settle(&desired);
    assert_eq!(addresses(&lab.inside(), "eth1").unwrap(), ["192.168.11.3/24"]);
    assert!(ip(&lab.inside(), "-d link show eth1").contains("group 4242"));
    // And on the way back.
    move_link(&lab.inside(), "eth1", &lab.host);
    assert_eq!(addresses(&lab.host, "eth1").unwrap(), [""; 0]);
    lab.settle(&lab.desired(&[], None));
    assert_eq!(addresses(&lab.host, "eth1").unwrap(), ["192.168.11.3/24"]);
    assert!(!lab.state.join("nics/eth1").exists());
}

#[test]
fn a_name_taken_on_the_host_keeps_the_nic_and_the_namespace() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    lab.settle(&lab.desired(&["eth1"], None));
    ip(&lab.host, "link add eth1 type bridge");
    let errors = lab.teardown();
    assert!(errors[0].message.starts_with("cannot give NIC eth1 back to the host with 192.168.11.3/24"), "{errors:?}");
    assert!(errors.iter().any(|error| error.message.contains("is kept, because eth1 is still in it")), "{errors:?}");
    assert_eq!(addresses(&lab.inside(), "eth1").unwrap(), ["192.168.11.3/24"]);
    ip(&lab.host, "link del eth1");
    assert_eq!(lab.teardown(), []);
    assert_eq!(addresses(&lab.host, "eth1").unwrap(), ["192.168.11.3/24"]);
}

#[test]
fn a_teardown_gives_everything_back_and_is_fine_when_nothing_is_there() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    assert_eq!(lab.teardown(), []);
    assert!(Namespace::open(&lab.router.0).unwrap().is_none(), "not made for the occasion");
    lab.settle(&lab.desired(&["eth1"], Some(DUAL)));
    let router = lab.inside();
    let mut fib = Fib::open(&router).unwrap();
    let hop = Hop { gateway: "192.168.2.2".parse().unwrap(), link: index(&router, PT_NS) };
    let routes = vec![("10.1.0.0/16".parse().unwrap(), Some(1))];
    fib.apply(&Batch { set_groups: vec![(1, vec![hop])], routes, ..Batch::default() }).unwrap();
    assert_eq!(lab.teardown(), []);
    assert_eq!(addresses(&lab.host, "eth1").unwrap(), ["192.168.11.3/24"]);
    assert_eq!(addresses(&lab.host, PT_HOST), None);
    assert!(Namespace::open(&lab.router.0).unwrap().is_none());
    assert!(fib.is_empty().unwrap());
    assert_eq!(lab.teardown(), []);
}

#[test]
fn a_nic_with_a_default_route_is_told() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24"), ("eth2", "192.168.12.3/24")]);
    ip(&lab.host, "route add default via 192.168.12.1");
    let desired = lab.desired(&["eth1", "eth2"], None);
    let observed = lab.site.observe(&desired).unwrap();
    assert!(observed.carries_default_route("eth2") && !observed.carries_default_route("eth1"));
}

#[test]
fn several_nics_come_and_go_and_the_smallest_mtu_counts() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24"), ("eth2", "192.168.12.3/24"), ("eth3", "192.168.13.3/24")]);
    ip(&lab.host, "link set eth1 mtu 9000");
    ip(&lab.host, "link set eth2 mtu 1400");
    ip(&lab.host, "link set eth3 mtu 2000");
    let mtu = || {
        let of = |ns: &Namespace, name: &str| {
            monitor::links(ns).unwrap().into_iter().find(|link| link.name == name).unwrap().mtu
        };
        (of(&lab.host, PT_HOST), of(&lab.inside(), PT_NS))
    };
    lab.settle(&lab.desired(&["eth1", "eth2"], Some(V4)));
    assert_eq!(mtu(), (1400, 1400));
    let pair = index(&lab.host, PT_HOST);
    // The smallest goes, another comes.
    lab.settle(&lab.desired(&["eth1", "eth3"], Some(V4)));
    assert_eq!(mtu(), (2000, 2000));
    ip(&lab.inside(), "link set eth3 mtu 9000");
    lab.settle(&lab.desired(&["eth1", "eth3"], Some(V4)));
    assert_eq!(mtu(), (9000, 9000));
    assert_eq!(index(&lab.host, PT_HOST), pair, "not made anew");
    assert_eq!(addresses(&lab.host, "eth2").unwrap(), ["192.168.12.3/24"]);
    assert_eq!(addresses(&lab.inside(), "eth1").unwrap(), ["192.168.11.3/24"]);
}

#[test]
fn case_104_the_address_of_one_nic_moves_to_the_other() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24"), ("eth2", "192.168.11.3/24")]);
    lab.settle(&lab.desired(&["eth1"], Some(V4)));
    lab.settle(&lab.desired(&["eth2"], Some(V4)));
    assert_eq!(addresses(&lab.inside(), "eth2").unwrap(), ["192.168.11.3/24"]);
    assert_eq!(addresses(&lab.host, "eth1").unwrap(), ["192.168.11.3/24"]);
}

/// No tunnel endpoint exists here, so lo never gets an address.
#[test]
fn case_105_lo_has_no_further_address() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    lab.settle(&lab.desired(&["eth1"], Some(DUAL)));
    assert_eq!(addresses(&lab.inside(), "lo").unwrap(), ["127.0.0.1/8", "::1/128"]);
}

#[test]
fn case_106_without_the_underlay_its_nics_are_back_on_the_host() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24"), ("eth2", "192.168.12.3/24")]);
    lab.settle(&lab.desired(&["eth1", "eth2"], Some(V4)));
    lab.settle(&lab.desired(&[], None));
    for (nic, address) in [("eth1", "192.168.11.3/24"), ("eth2", "192.168.12.3/24")] {
        assert_eq!(addresses(&lab.host, nic).unwrap(), [address]);
        assert_eq!(addresses(&lab.inside(), nic), None);
        assert!(is_up(&lab.host, nic));
    }
    assert_eq!(fs::read_dir(lab.state.join("nics")).unwrap().count(), 0);
}

/// Upstream answers an error for a namespace that does not exist; here it has no NICs.
#[test]
fn case_108_the_taken_nics_are_listed() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24"), ("eth2", "192.168.12.3/24")]);
    let desired = lab.desired(&["eth1", "eth2"], Some(V4));
    let taken = |desired: &DesiredHost| {
        let observed = lab.site.observe(desired).unwrap();
        let mut taken: Vec<String> = observed.taken().map(str::to_owned).collect();
        taken.sort();
        (observed.namespace, taken)
    };
    assert_eq!(taken(&desired), (false, Vec::new()));
    lab.settle(&lab.desired(&[], Some(V4)));
    assert_eq!(taken(&desired), (true, Vec::new()));
    lab.settle(&desired);
    assert_eq!(taken(&desired), (true, vec!["eth1".to_owned(), "eth2".to_owned()]));
}

#[test]
fn case_110_teardown_removes_what_others_left_in_the_namespace_and_is_fine_twice() {
    let lab = Lab::new(&[]);
    assert_eq!(lab.teardown(), []);
    lab.settle(&lab.desired(&[], Some(V4)));
    ip(&lab.inside(), "link add other type bridge");
    ip(&lab.inside(), "link add one type veth peer name two");
    assert_eq!(lab.teardown(), []);
    assert!(Namespace::open(&lab.router.0).unwrap().is_none());
    assert_eq!(lab.teardown(), []);
}

#[test]
fn another_node_index_replaces_the_addresses_of_the_pair() {
    let lab = Lab::new(&[]);
    lab.settle(&lab.desired(&[], Some(DUAL)));
    let pair = index(&lab.host, PT_HOST);
    let other: (&[&str], &[&str]) = (&["192.168.2.9/24", "2001:db8::9/64"], DUAL.1);
    lab.settle(&lab.desired(&[], Some(other)));
    assert_eq!(addresses(&lab.host, PT_HOST).unwrap(), other.0);
    assert_eq!(index(&lab.host, PT_HOST), pair, "not made anew");
    run(&lab.host, "ping", "-c1 -W5 192.168.2.1");
    run(&lab.host, "ping", "-c1 -W5 2001:db8::1");
}

#[test]
fn an_address_that_host_and_router_share_is_told_before_and_after_the_move() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    ip(&lab.host, "address add 2001:db8:11::3/64 dev eth1 nodad");
    let desired = lab.desired(&["eth1"], Some(DUAL));
    let martians = || lab.site.observe(&desired).unwrap().martians;
    assert!(martians().is_empty());
    // A node address that a cluster network keeps on a link of its own.
    ip(&lab.host, "address add 192.168.11.3/32 dev lo");
    assert_eq!(martians(), ["192.168.11.3".parse::<std::net::IpAddr>().unwrap()]);
    lab.settle(&desired);
    ip(&lab.host, "address add 2001:db8:11::3/128 dev lo");
    let both: [std::net::IpAddr; 2] = ["192.168.11.3".parse().unwrap(), "2001:db8:11::3".parse().unwrap()];
    assert_eq!(martians(), both);
    ip(&lab.host, "address flush dev lo scope global");
    assert_eq!(martians().len(), 0);
}

#[test]
fn the_kernel_makes_nothing_of_what_routers_say() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    let desired = lab.desired(&["eth1"], Some(DUAL));
    lab.settle(&desired);
    let far = index(&lab.fabric, "far-eth1");
    ip(&lab.fabric, "address add fe80::1/64 dev far-eth1 nodad");
    let router = lab.inside();
    ip(&router, "address add fe80::2/64 dev eth1 nodad");
    // A router of ours forwards, so only 2 makes the kernel read them; the plan repairs that.
    router.run(|| fs::write("/proc/sys/net/ipv6/conf/eth1/accept_ra", "2").unwrap()).unwrap();
    lab.settle(&desired);
    let reader = Running::new(&router, &["eth1"]);
    let socket = lab.fabric.run(|| {
        let (domain, protocol) = (socket2::Domain::IPV6, socket2::Protocol::ICMPV6);
        socket2::Socket::new(domain, socket2::Type::RAW, Some(protocol)).unwrap()
    });
    let socket = socket.unwrap();
    socket.set_multicast_hops_v6(255).unwrap();
    // A lifetime of 30 minutes, and 2001:db8:99::/64 to make addresses in.
    let mut packet = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 64, 0xc0];
    packet.extend([0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0, 0x20, 1, 0x0d, 0xb8, 0, 0x99]);
    packet.resize(48, 0);
    let target = std::net::SocketAddrV6::new("ff02::1".parse().unwrap(), 0, 0, far);
    // Once we have heard it, the kernel has as well. The link may not be usable at once.
    eventually("it is heard", || {
        socket.send_to(&packet, &target.into()).unwrap();
        reader.soon().is_some_and(|heard| heard.router.is_some())
    });
    assert!(!ip(&router, "-6 route").contains("default"));
    assert!(!ip(&router, "-6 address").contains("2001:db8:99"));
}

#[test]
fn a_nic_that_is_renamed_or_moved_away_is_told_with_the_remedy_and_taken_again() {
    let lab = Lab::new(&[("eth1", "192.168.11.3/24")]);
    let desired = lab.desired(&["eth1"], Some(V4));
    lab.settle(&desired);
    let inside = lab.inside();
    ip(&inside, "link set eth1 down");
    ip(&inside, "link set eth1 name new0");
    let errors = lab.apply(&desired);
    assert_eq!(errors.len(), 1, "{errors:?}");
    let remedy = format!("`ip -n {} link set dev new0 name eth1`", lab.router.0);
    assert!(errors[0].object == "eth1" && errors[0].message.contains(&remedy), "{errors:?}");
    assert!(addresses(&inside, "new0").is_some(), "it stays where it is");
    run(&inside, "ip", "link set dev new0 name eth1");
    lab.settle(&desired);
    assert!(is_up(&inside, "eth1"));

    // Elsewhere, and back without its addresses.
    let elsewhere = namespace();
    move_link(&inside, "eth1", &elsewhere);
    let errors = lab.apply(&desired);
    let remedy = format!("`ip link set eth1 netns {}`", lab.router.0);
    assert!(errors.len() == 1 && errors[0].message.contains(&remedy), "{errors:?}");
    move_link(&elsewhere, "eth1", &inside);
    lab.settle(&desired);
    assert_eq!(addresses(&inside, "eth1").unwrap(), ["192.168.11.3/24"]);

    // On the host it is simply taken.
    move_link(&inside, "eth1", &lab.host);
    lab.settle(&desired);
    assert_eq!(addresses(&inside, "eth1").unwrap(), ["192.168.11.3/24"]);
}
