//! Tables for the pure plan: what is there, what is wanted, which sentences follow.

use super::plan::{settings, silences};
use super::*;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn link(name: &str, kind: &str, addresses: &[&str]) -> SeenLink {
    SeenLink {
        name: name.to_owned(),
        kind: kind.to_owned(),
        up: true,
        mtu: 1500,
        addresses: nets(addresses),
        ..SeenLink::default()
    }
}

fn nic(name: &str, addresses: &[&str]) -> SeenLink {
    link(name, "", addresses)
}

fn ours(name: &str, addresses: &[&str]) -> SeenLink {
    SeenLink { group: NIC_GROUP, ..nic(name, addresses) }
}

fn veth_end(name: &str, peer: &str, addresses: &[&str]) -> SeenLink {
    SeenLink { peer: Some(peer.to_owned()), ..link(name, "veth", addresses) }
}

fn desired(nics: &[&str]) -> DesiredHost {
    DesiredHost {
        namespace: "perouter".to_owned(),
        nics: nics.iter().map(|name| (*name).to_owned()).collect(),
        veth: Some(DesiredVeth {
            host_name: PT_HOST.to_owned(),
            ns_name: PT_NS.to_owned(),
            host_addresses: nets(&["192.168.2.2/24", "2001:db8::2/64"]),
            ns_addresses: nets(&["192.168.2.1/24", "2001:db8::1/64"]),
        }),
        state_dir: PathBuf::from("/nowhere"),
    }
}

/// What `desired(&["eth1"])` leads to.
fn settled() -> Observed {
    let mut observed = Observed {
        namespace: true,
        host: vec![veth_end(PT_HOST, PT_NS, &["192.168.2.2/24", "2001:db8::2/64"])],
        router: vec![
            link("lo", "", &["127.0.0.1/8"]),
            ours("eth1", &["192.168.11.3/24"]),
            veth_end(PT_NS, PT_HOST, &["192.168.2.1/24", "2001:db8::1/64"]),
        ],
        ..Observed::default()
    };
    observed.rules.extend(silences().into_iter().chain([rule(PT_NS)]));
    observed.ways.push(way("2001:db8::2"));
    observed.saved.insert("eth1".to_owned(), nets(&["192.168.11.3/24"]));
    for setting in settings(["eth1", PT_NS].into_iter()) {
        observed.sysctls.insert(setting.key, setting.value.to_owned());
    }
    observed
}

fn rule(link: &str) -> Rule {
    Rule::Lookup { priority: WAY_BACK, link: link.to_owned(), table: WAY_BACK }
}

fn way(gateway: &str) -> SeenWay {
    SeenWay { prefix: "::/0".parse().unwrap(), link: PT_NS.to_owned(), gateway: gateway.parse().ok() }
}

fn sentences(desired: &DesiredHost, observed: &Observed) -> Vec<String> {
    plan(desired, observed).iter().map(Op::to_string).collect()
}

fn in_router<'a>(observed: &'a mut Observed, name: &str) -> &'a mut SeenLink {
    observed.router.iter_mut().find(|link| link.name == name).unwrap()
}

#[test]
fn from_nothing_everything_is_made_in_order() {
    let mut desired = desired(&["eth1"]);
    desired.veth.as_mut().unwrap().host_addresses.pop();
    desired.veth.as_mut().unwrap().ns_addresses.pop();
    let observed = Observed {
        host: vec![SeenLink { mtu: 9000, ..nic("eth1", &["192.168.11.3/24", "2001:db8:11::3/64"]) }],
        ..Observed::default()
    };
    let mut all = sentences(&desired, &observed);
    let sysctls: Vec<String> = all.extract_if(.., |text| text.starts_with("set sysctl")).collect();
    assert_eq!(sysctls.len(), 16);
    assert!(sysctls.contains(&"set sysctl net/ipv4/conf/all/forwarding to 1 in the router's namespace".to_owned()));
    assert_eq!(
        all,
        [
            "create namespace perouter",
            "add IPv4 rule 20167: sport 179 without our mark blackhole in the router's namespace",
            "add IPv6 rule 20167: sport 179 without our mark blackhole in the router's namespace",
            "move NIC eth1 into namespace perouter with 192.168.11.3/24, 2001:db8:11::3/64",
            "create veth pair pt-host on the host, pt-ns in the router's namespace, MTU 9000",
            "set pt-host on the host up",
            "add address 192.168.2.2/24 to pt-host on the host",
            "set pt-ns in the router's namespace up",
            "add address 192.168.2.1/24 to pt-ns in the router's namespace",
        ]
    );
}

#[test]
fn a_settled_node_needs_nothing() {
    assert_eq!(sentences(&desired(&["eth1"]), &settled()), [""; 0]);
    assert_eq!(sentences(&desired(&["eth1", "eth1"]), &settled()), [""; 0]);
}

/// What tells a restart of the router from one of the node.
#[test]
fn packets_were_lost_only_where_their_way_was_incomplete() {
    type Fault = fn(&mut Observed);
    let lossy = |fault: Fault| {
        let mut observed = settled();
        fault(&mut observed);
        let ops = plan(&desired(&["eth1"]), &observed);
        assert!(!ops.is_empty());
        ops.iter().any(Op::completes_the_way)
    };
    assert!(lossy(|o| o.namespace = false));
    assert!(lossy(|o| o.router.retain(|link| link.name != "eth1")));
    assert!(lossy(|o| o.host.clear()));
    assert!(lossy(|o| in_router(o, PT_NS).up = false));
    assert!(lossy(|o| in_router(o, PT_NS).addresses.clear()));
    assert!(lossy(|o| drop(o.sysctls.insert("net/ipv4/conf/all/forwarding".into(), "0".into()))));
    assert!(!lossy(|o| drop(o.sysctls.insert("net/ipv4/conf/all/arp_accept".into(), "0".into()))));
    assert!(!lossy(|o| in_router(o, "eth1").group = 0));
    assert!(!lossy(|o| o.rules.clear()));
}

/// One thing is wrong; these sentences repair it.
#[test]
fn one_fault_is_repaired_and_nothing_else_is_touched() {
    type Fault = fn(&mut Observed);
    let table: &[(&str, Fault, &[&str])] = &[
        (
            "stale address beside another in its subnet",
            |o| in_router(o, PT_NS).addresses = nets(&["192.168.2.9/24", "192.168.2.1/24", "2001:db8::1/64"]),
            &[
                "remove address 192.168.2.9/24 from pt-ns in the router's namespace",
                "add address 192.168.2.1/24 to pt-ns in the router's namespace",
            ],
        ),
        (
            "stale address in another subnet",
            |o| o.host[0].addresses.push("10.0.0.1/8".parse().unwrap()),
            &["remove address 10.0.0.1/8 from pt-host on the host"],
        ),
        (
            "wrong prefix length",
            |o| in_router(o, PT_NS).addresses = nets(&["192.168.2.1/24", "2001:db8::1/128"]),
            &[
                "remove address 2001:db8::1/128 from pt-ns in the router's namespace",
                "add address 2001:db8::1/64 to pt-ns in the router's namespace",
            ],
        ),
        ("wrong MTU", |o| o.host[0].mtu = 9000, &["set the MTU of pt-host on the host to 1500"]),
        (
            "a smaller NIC",
            |o| in_router(o, "eth1").mtu = 1400,
            &["set the MTU of pt-host on the host to 1400", "set the MTU of pt-ns in the router's namespace to 1400"],
        ),
        ("an end that is down", |o| o.host[0].up = false, &["set pt-host on the host up"]),
        ("lo down", |o| in_router(o, "lo").up = false, &["set lo in the router's namespace up"]),
        ("a NIC that is down", |o| in_router(o, "eth1").up = false, &["set eth1 in the router's namespace up"]),
        (
            "stopped right after the move",
            |o| {
                let nic = in_router(o, "eth1");
                nic.group = 0;
                nic.up = false;
                nic.addresses.clear();
            },
            &[
                "set eth1 in the router's namespace up",
                "add address 192.168.11.3/24 to eth1 in the router's namespace",
                "mark NIC eth1 as one to give back",
            ],
        ),
        (
            "a NIC that somebody else put there stays unmarked",
            |o| {
                in_router(o, "eth1").group = 0;
                o.saved.clear();
            },
            &[],
        ),
        (
            "a sysctl",
            |o| drop(o.sysctls.insert("net/ipv4/conf/eth1/rp_filter".to_owned(), "2".to_owned())),
            &["set sysctl net/ipv4/conf/eth1/rp_filter to 0 in the router's namespace"],
        ),
        (
            "a NIC whose router advertisements the kernel reads",
            |o| drop(o.sysctls.insert("net/ipv6/conf/eth1/accept_ra".to_owned(), "2".to_owned())),
            &["set sysctl net/ipv6/conf/eth1/accept_ra to 0 in the router's namespace"],
        ),
        (
            "an address that the user gave a NIC is the user's",
            |o| in_router(o, "eth1").addresses.push("10.4.4.4/24".parse().unwrap()),
            &[],
        ),
        (
            "an optional sysctl that the kernel does not have",
            |o| drop(o.sysctls.remove("net/ipv6/conf/all/accept_untracked_na")),
            &[],
        ),
        (
            "a mandatory sysctl that the kernel does not have",
            |o| drop(o.sysctls.remove("net/ipv4/nexthop_compat_mode")),
            &["set sysctl net/ipv4/nexthop_compat_mode to 0 in the router's namespace"],
        ),
        (
            "no rule for the way back",
            |o| o.rules.retain(|rule| silences().contains(rule)),
            &["add IPv6 rule 20168: oif pt-ns lookup 20168 in the router's namespace"],
        ),
        (
            "who connects while no router runs is refused",
            |o| o.rules.retain(|rule| !silences().contains(rule)),
            &[
                "add IPv4 rule 20167: sport 179 without our mark blackhole in the router's namespace",
                "add IPv6 rule 20167: sport 179 without our mark blackhole in the router's namespace",
            ],
        ),
        (
            "a rule too many",
            |o| o.rules.push(rule("pt-old")),
            &["remove IPv6 rule 20168: oif pt-old lookup 20168 in the router's namespace"],
        ),
        (
            "no way back",
            |o| o.ways.clear(),
            &["add IPv6 route default via 2001:db8::2 dev pt-ns table 20168 in the router's namespace"],
        ),
        (
            "a way back to where the host was",
            |o| o.ways = vec![way("2001:db8::9")],
            &[
                "remove IPv6 route ::/0 dev pt-ns table 20168 in the router's namespace",
                "add IPv6 route default via 2001:db8::2 dev pt-ns table 20168 in the router's namespace",
            ],
        ),
    ];
    for (fault, make, repair) in table {
        let mut observed = settled();
        make(&mut observed);
        assert_eq!(sentences(&desired(&["eth1"]), &observed), *repair, "{fault}");
    }
}

/// The pair is not one: both names are cleared, and everything about it is made anew.
#[test]
fn half_a_pair_and_wrong_kinds_are_made_anew() {
    type Fault = fn(&mut Observed);
    let anew = [
        "create veth pair pt-host on the host, pt-ns in the router's namespace, MTU 1500",
        "set pt-host on the host up",
        "add address 192.168.2.2/24 to pt-host on the host",
        "add address 2001:db8::2/64 to pt-host on the host",
        "set pt-ns in the router's namespace up",
        "add address 192.168.2.1/24 to pt-ns in the router's namespace",
        "add address 2001:db8::1/64 to pt-ns in the router's namespace",
        "add IPv6 route default via 2001:db8::2 dev pt-ns table 20168 in the router's namespace",
    ];
    let drop_host = "delete link pt-host on the host: its other end is not where it belongs";
    let drop_ns = "delete link pt-ns in the router's namespace: its other end is not where it belongs";
    let table: &[(&str, Fault, &[&str])] = &[
        ("no host end", |o| o.host.clear(), &[drop_ns]),
        ("no inner end", |o| o.router.retain(|link| link.name != PT_NS), &[drop_host]),
        ("peer elsewhere", |o| o.host[0].peer = None, &[drop_host, drop_ns]),
        ("other peer", |o| in_router(o, PT_NS).peer = Some("x".to_owned()), &[drop_host, drop_ns]),
        (
            "a bridge",
            |o| {
                o.host[0].kind = "bridge".to_owned();
                o.host[0].peer = None;
                o.router.retain(|link| link.name != PT_NS);
            },
            &["delete link pt-host on the host: it is not a veth"],
        ),
    ];
    for (fault, make, first) in table {
        let mut observed = settled();
        make(&mut observed);
        let wanted: Vec<&str> = first.iter().chain(&anew).copied().collect();
        assert_eq!(sentences(&desired(&["eth1"]), &observed), wanted, "{fault}");
    }
}

#[test]
fn another_nic_is_swapped_in_after_the_first_is_given_back() {
    let mut observed = settled();
    observed.host.push(nic("eth2", &["192.168.12.3/24"]));
    assert_eq!(
        sentences(&desired(&["eth2"]), &observed),
        [
            "give NIC eth1 back to the host with 192.168.11.3/24",
            "move NIC eth2 into namespace perouter with 192.168.12.3/24",
        ]
    );
}

#[test]
fn a_nic_goes_back_with_the_addresses_it_has_and_those_it_had() {
    let mut observed = settled();
    in_router(&mut observed, "eth1").addresses = nets(&["10.9.9.9/24"]);
    let ops = plan(&desired(&[]), &observed);
    let wanted = Op::ReturnNic { nic: "eth1".to_owned(), addresses: nets(&["10.9.9.9/24", "192.168.11.3/24"]) };
    assert_eq!(ops, [wanted]);
}

#[test]
fn a_nic_that_came_back_by_itself_is_restored_or_taken_again_with_its_addresses() {
    let mut observed = settled();
    let lost = SeenLink { up: false, ..nic("eth1", &[]) };
    observed.router.retain(|link| link.name != "eth1");
    observed.host.push(lost);
    assert_eq!(sentences(&desired(&[]), &observed), ["restore NIC eth1 on the host with 192.168.11.3/24"]);
    assert_eq!(
        sentences(&desired(&["eth1"]), &observed),
        ["move NIC eth1 into namespace perouter with 192.168.11.3/24"]
    );
}

#[test]
fn a_nic_that_does_not_exist_stays_in_the_plan() {
    assert_eq!(
        sentences(&desired(&["eth1", "foo"]), &settled()),
        ["wait for NIC foo, which does not exist on this node"]
    );
}

#[test]
fn without_a_passthrough_the_pair_goes_once() {
    let mut desired = desired(&["eth1"]);
    desired.veth = None;
    let mut observed = settled();
    let host_end = "delete link pt-host on the host: no passthrough is configured";
    let no_rule = "remove IPv6 rule 20168: oif pt-ns lookup 20168 in the router's namespace";
    assert_eq!(sentences(&desired, &observed), [host_end, no_rule], "the route goes with the pair");
    observed.rules = silences().to_vec();
    // Two halves that do not belong together.
    observed.host[0].peer = None;
    let inner_end = "delete link pt-ns in the router's namespace: no passthrough is configured";
    assert_eq!(sentences(&desired, &observed), [host_end, inner_end]);
    // Other kinds are not ours.
    observed.host[0].kind = "bridge".to_owned();
    assert_eq!(sentences(&desired, &observed), [inner_end]);
    observed.host.clear();
    observed.router.retain(|link| link.name != PT_NS);
    observed.ways.clear();
    assert_eq!(sentences(&desired, &observed), [""; 0]);
}

/// Upstream's table of interfaces to remove: what is inside, what is wanted, what goes back.
#[test]
fn case_107_the_nics_that_go_back_are_those_inside_that_nobody_wants() {
    let table: &[(&[&str], &[&str], &[&str])] = &[
        (&[], &[], &[]),
        (&["nic1"], &["nic1"], &[]),
        (&["nic1", "nic2"], &["nic1", "nic2"], &[]),
        (&["nic1"], &["nic1", "nic2"], &[]),
        (&["nic1", "nic2"], &["nic1"], &["nic2"]),
        (&["nic1"], &["nic2"], &["nic1"]),
        (&["nic1", "nic2"], &["nic3", "nic4"], &["nic1", "nic2"]),
    ];
    for (inside, wanted, back) in table {
        // What a NIC is, hardware or of another kind, does not matter.
        for kind in ["", "dummy", "vlan"] {
            let router = inside.iter().map(|name| SeenLink { kind: kind.to_owned(), ..ours(name, &[]) }).collect();
            let observed = Observed { namespace: true, router, ..Observed::default() };
            let ops = plan(&desired(wanted), &observed);
            let returned: Vec<&str> = ops.iter().filter_map(Op::returned_nic).collect();
            assert_eq!(returned, *back, "{inside:?} inside, {wanted:?} wanted");
        }
    }
}

#[test]
fn case_108_the_taken_nics_are_listed() {
    assert_eq!(Observed::default().taken().count(), 0);
    let mut observed = settled();
    // Neither lo nor the veth nor what somebody else put there.
    observed.router.push(nic("eth7", &[]));
    // Moved, but not marked yet.
    observed.router.push(nic("eth2", &[]));
    observed.saved.insert("eth2".to_owned(), Vec::new());
    assert_eq!(observed.taken().collect::<Vec<_>>(), ["eth1", "eth2"]);
}

#[test]
fn case_111_without_an_underlay_nothing_is_planned_on_the_host() {
    let nothing = DesiredHost { veth: None, ..desired(&[]) };
    let observed = Observed { host: vec![nic("eth1", &["192.168.11.3/24"])], ..Observed::default() };
    for sentence in sentences(&nothing, &observed) {
        let inside = sentence.ends_with("in the router's namespace") || sentence == "create namespace perouter";
        assert!(inside, "{sentence}");
    }
}

#[test]
fn a_nic_that_came_back_is_told() {
    let mut observed = settled();
    assert!(!observed.came_back("eth1"), "it is inside");
    observed.router.retain(|link| link.name != "eth1");
    assert!(!observed.came_back("eth1"), "it is nowhere");
    observed.host.push(nic("eth1", &[]));
    observed.host.push(nic("eth2", &[]));
    assert!(observed.came_back("eth1") && !observed.came_back("eth2"));
}

#[test]
fn a_nic_that_was_renamed_inside_stays_there_while_its_name_is_missed() {
    let mut observed = settled();
    observed.router[1].name = "new0".to_owned();
    assert_eq!(sentences(&desired(&["eth1"]), &observed), ["wait for NIC eth1, which was renamed to new0"]);
    // Under its new name it is as good.
    let settings = sentences(&desired(&["new0"]), &observed);
    assert_eq!(settings, ["set sysctl net/ipv4/conf/new0/rp_filter to 0 in the router's namespace"]);
    // Nobody waits for it: it goes back.
    let none = DesiredHost { nics: vec![], veth: None, ..desired(&[]) };
    assert!(sentences(&none, &observed).contains(&"give NIC new0 back to the host with 192.168.11.3/24".to_owned()));
}

#[test]
fn a_nic_that_left_is_told_apart_from_one_that_never_was() {
    let mut observed = settled();
    observed.router.remove(1);
    let waits = ["wait for NIC eth1, which was taken out of the router's namespace"];
    assert_eq!(sentences(&desired(&["eth1"]), &observed), waits);
    let both = sentences(&desired(&["eth1", "eth9"]), &observed);
    assert_eq!(both, [waits[0], "wait for NIC eth9, which does not exist on this node"]);
    // Two are lost: which of them is the one with the strange name?
    observed.saved.insert("eth2".to_owned(), vec![]);
    observed.router.push(ours("new0", &[]));
    let both = sentences(&desired(&["eth1", "eth2"]), &observed);
    assert!(both.iter().all(|text| text.ends_with("was taken out of the router's namespace")), "{both:?}");
}
