//! What strangers do to the links, addresses and settings that the router made, and to its NIC: repaired by itself, told once.

use rustix::process::Signal;
use testbed::{Daemon, ip};

use crate::fabric::{PATIENCE, flaps, healthy};
use crate::harness::{Plan, SOME, Site};
use crate::journal::{Moment, Since, Told};

/// Does something, waits until the router has told `words` and packets pass again, and makes a row of it.
fn repaired(site: &Site, event: &str, words: &str, disturb: impl FnOnce()) {
    amended(site, event, words, disturb, |_| ());
}

/// The same where somebody else must make an end of it, once the router has told `words`.
fn amended(site: &Site, event: &str, words: &str, disturb: impl FnOnce(), amend: impl FnOnce(&Told)) {
    let since = Since::now(site.node());
    let watch = site.watch();
    let moment = Moment::now();
    disturb();
    let told = since.says(words);
    amend(&told);
    watch.passes(SOME);
    healthy(site.node());
    since.said_once(words);
    watch.row(event, &format!("told after {} ms, once; all is back", told.after(moment))).report();
}

fn on_host(site: &Site, args: &str) {
    ip::change(&site.node().ns, &args.split(' ').collect::<Vec<_>>()).unwrap();
}

fn inside(site: &Site, args: &str) {
    ip::change(&site.node().router_ns, &args.split(' ').collect::<Vec<_>>()).unwrap();
}

fn sysctl(ns: &str, setting: &str) {
    let set = testbed::run(Some(ns), "sysctl", &["-q", "-w", setting]).unwrap();
    assert!(set.ok(), "{}", set.stderr);
}

#[test]
fn the_veth_is_set_down_or_changed() {
    let site = Plan::new(&[Daemon::Frr], Daemon::Bird).start();
    repaired(&site, "pt-host set down", "set pt-host on the host up", || on_host(&site, "link set pt-host down"));
    let up = "set pt-ns in the router's namespace up";
    repaired(&site, "pt-ns set down", up, || inside(&site, "link set pt-ns down"));
    let back = "add address 192.169.10.2/24 to pt-host";
    repaired(&site, "addresses of pt-host removed", back, || on_host(&site, "address flush dev pt-host scope global"));
    let back = "add address 192.169.10.1/24 to pt-ns";
    repaired(&site, "addresses of pt-ns removed", back, || inside(&site, "address flush dev pt-ns scope global"));

    // What does not concern the packets that are counted costs none.
    let since = Since::now(site.node());
    let watch = site.watch();
    inside(&site, "link set pt-ns mtu 1400");
    since.says("set the MTU of pt-ns");
    on_host(&site, "address add 192.0.2.1/24 dev pt-host");
    since.says("remove address 192.0.2.1/24 from pt-host");
    watch.passes(SOME);
    since.said_once("set the MTU of pt-ns");
    since.said_once("remove address 192.0.2.1/24");
    watch.nothing_lost("MTU and addresses of the veth changed", "as before, told once");
}

#[test]
fn the_veth_is_deleted() {
    let site = Plan::new(&[Daemon::Bird], Daemon::Frr).start();
    repaired(&site, "pt-host deleted", "create veth pair", || on_host(&site, "link delete pt-host"));
    repaired(&site, "pt-ns deleted", "create veth pair", || inside(&site, "link delete pt-ns"));
}

#[test]
fn forwarding_is_switched_off() {
    let site = Plan::new(&[Daemon::Frr], Daemon::Bird).start();
    let router = site.node().router_ns.clone();
    for key in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
        let setting = format!("net.{}=0", key.replace('/', "."));
        repaired(&site, &format!("sysctl {setting}"), &format!("set sysctl net/{key} to 1"), || {
            sysctl(&router, &setting)
        });
    }
}

#[test]
fn the_nic_is_set_down_moved_and_renamed() {
    let site = Plan::new(&[Daemon::Bird], Daemon::Frr).start();
    let (router, node) = (site.node().router_ns.as_str(), site.node().ns.as_str());
    let up = "set eth1 in the router's namespace up";
    repaired(&site, "NIC set down", up, || inside(&site, "link set eth1 down"));
    let taken = "move NIC eth1 into namespace";
    repaired(&site, "NIC moved to the host", taken, || inside(&site, &format!("link set eth1 netns {node}")));

    let elsewhere = site.net.lab.namespace("elsewhere").unwrap();
    amended(
        &site,
        "NIC moved elsewhere, and back",
        "NIC \"eth1\" has left the router's namespace",
        || inside(&site, &format!("link set eth1 netns {elsewhere}")),
        |told| {
            assert!(told.text.contains(&format!("`ip link set eth1 netns {router}`")), "{told:?}");
            ip::change(&elsewhere, &["link", "set", "eth1", "netns", router]).unwrap();
        },
    );
    amended(
        &site,
        "NIC renamed, and back",
        "NIC \"eth1\" was renamed to \"away0\"",
        || inside(&site, "link set eth1 name away0"),
        |told| {
            assert!(told.text.contains(&format!("`ip -n {router} link set dev away0 name eth1`")), "{told:?}");
            inside(&site, "link set away0 name eth1");
        },
    );

    let leaf = site.net.leaf_ns().to_owned();
    let port = ip::links(&leaf).unwrap().into_iter().find(|link| !link.addresses.is_empty() && link.name != "lo");
    let port = port.unwrap().name;
    amended(
        &site,
        "the NIC's other end down, and up",
        "NIC eth1 has lost its carrier",
        || ip::change(&leaf, &["link", "set", &port, "down"]).unwrap(),
        |_| {
            ip::change(&leaf, &["link", "set", &port, "up"]).unwrap();
            for a in Site::addresses(0) {
                // Without them the leaf has no way to the router: a veth is not what keeps IPv6 addresses.
                let own = format!("{}/{}", a.leaf, a.nic.prefix_len());
                ip::change(&leaf, &["address", "replace", &own, "dev", &port, "nodad"]).unwrap();
            }
        },
    );
}

#[test]
fn the_namespace_loses_its_name() {
    let site = Plan::new(&[Daemon::Frr], Daemon::Bird).start();
    let (node, lab) = (site.node(), &site.net.lab);
    let name = node.router_ns.as_str();
    let netns = |verb: &str| assert!(testbed::run(None, "ip", &["netns", verb, name]).unwrap().ok(), "{verb}");
    let since = Since::now(node);
    let watch = site.watch();
    netns("delete");
    since.says("the name of namespace");
    assert!(ip::link_named(name, "pt-ns").is_ok(), "it is the same one");
    watch.passes(SOME);
    since.said_once("the name of namespace");
    assert_eq!(flaps(node), 0);
    watch.nothing_lost("`ip netns delete` of the router's namespace", "named again, no session lost");

    // Another one has the name before the router can give it back.
    let since = Since::now(node);
    let watch = site.watch();
    lab.signal(site.router, Signal::STOP).unwrap();
    netns("delete");
    netns("add");
    lab.signal(site.router, Signal::CONT).unwrap();
    let told = since.says("to another network namespace");
    assert!(told.text.contains(&format!("`ip netns delete {name}`")), "{told:?}");
    watch.passes(SOME);
    assert_eq!(ip::links(name).unwrap().len(), 1, "nothing is made there");
    netns("delete");
    lab.wait_until("the name is the router's again", PATIENCE, || ip::link_named(name, "pt-ns"));
    since.says("no longer in error");
    since.said_once("to another network namespace");
    healthy(node);
    assert_eq!(flaps(node), 0);
    watch.nothing_lost("another namespace under its name", "left alone and told; no session lost");
}
