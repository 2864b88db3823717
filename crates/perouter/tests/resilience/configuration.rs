//! Configuration that changes while packets pass: what did not change goes on, and hears of the difference alone.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::Value;
use testbed::passthrough::LEAF_ASN;
use testbed::{Daemon, Family, Peer};

use crate::fabric::{PATIENCE, kernel_route, knows, learns, peers, reaches};
use crate::harness::{Plan, SOME, Site};
use crate::yaml::{Yaml, word};

/// What a session that goes on keeps: how often it was lost, since when it is up, and how many UPDATEs were sent over it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    flaps: u64,
    up: u64,
    updates: u64,
}

impl Session {
    /// Whether this one is the continuation of `before`, without an UPDATE.
    fn goes_on(&self, before: &Self) -> bool {
        (self.flaps, self.updates) == (before.flaps, before.updates) && self.up >= before.up
    }
}

fn sessions(site: &Site) -> BTreeMap<String, Session> {
    let of = |peer: &Value| {
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{peer:#}"));
        let updates = number(&peer["messages_sent"]["update"]);
        let session = Session { flaps: number(&peer["flaps"]), up: number(&peer["since_seconds"]), updates };
        (peer["address"].as_str().unwrap().to_owned(), session)
    };
    peers(site.node()).iter().filter(|peer| peer["state"] == "established").map(of).collect()
}

/// UPDATEs, or routes in them, that the peers have counted.
fn heard(site: &Site) -> Vec<String> {
    let of = |peer: &Peer| match peer.daemon() {
        Daemon::Frr => {
            let said: Value = serde_json::from_str(&peer.ask(&["show bgp neighbors json"]).unwrap()).unwrap();
            let neighbors = peer.config().neighbors.iter().map(|n| n.address.to_string());
            let counts: Vec<_> = neighbors.map(|n| said[n]["messageStats"]["updatesRecv"].as_u64().unwrap()).collect();
            format!("{counts:?}")
        }
        Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => {
            let counts = (0..peer.config().neighbors.len()).map(|n| {
                let said = peer.ask(&["show", "protocols", "all", &format!("n{n}")]).unwrap();
                said.lines().find(|line| line.contains("Import updates:")).unwrap().to_owned()
            });
            counts.collect::<Vec<_>>().join(",")
        }
    };
    site.leaves.iter().chain([&site.host]).map(of).collect()
}

/// Makes a change, waits until `done`, and checks every session that was there before.
#[track_caller]
fn change(site: &mut Site, what: &str, edit: impl FnOnce(&mut Yaml), done: impl Fn(&Site) -> bool) {
    let watch = site.watch();
    let (before, heard_before) = (sessions(site), heard(site));
    site.configure(edit);
    let lab = site.net.lab.clone();
    lab.wait_until(&format!("{what}: in force"), PATIENCE, || if done(site) { Ok(()) } else { Err(site.log()) });
    watch.passes(SOME);
    let after = sessions(site);
    for (address, session) in &before {
        assert!(after.get(address).is_some_and(|now| now.goes_on(session)), "{what}: {address}: {session:?} {after:?}");
    }
    assert_eq!(heard(site), heard_before, "{what}: UPDATEs at the peers");
    watch.nothing_lost(&format!("configuration: {what}"), "the others keep their sessions and hear nothing");
}

fn said(site: &Site, what: &str) -> bool {
    site.log().contains(what)
}

fn peer_count(site: &Site, wanted: usize) -> bool {
    peers(site.node()).len() == wanted
}

/// A neighbour where nobody answers.
fn nobody(more: &str) -> String {
    format!("asn: 65001, address: \"192.168.11.77\", addressFamilies: [{{type: {}}}]{more}", word(Family::Ipv4))
}

#[test]
fn another_neighbor_comes_changes_and_goes() {
    let mut site = Plan::new(&[Daemon::Frr], Daemon::Bird).start();
    change(&mut site, "a neighbour is added", |y| y.neighbors.push(nobody("")), |s| peer_count(s, 5));
    let timers = |y: &mut Yaml| y.neighbors[2] = nobody(", holdTimeSeconds: 30, keepaliveTimeSeconds: 10");
    let changed =
        |s: &Site| said(s, "neighbor 192.168.11.77 (hold time, keepalive interval): changed, with a new session");
    change(&mut site, "timers of another neighbour", timers, changed);
    change(&mut site, "a neighbour is removed", |y| drop(y.neighbors.pop()), |s| peer_count(s, 4));
}

#[test]
fn a_neighbor_with_a_new_session_disturbs_no_other() {
    let mut site = Plan::new(&[Daemon::Frr, Daemon::Bird], Daemon::Bird).start();
    let [v4, v6] = Site::addresses(1).map(|a| a.leaf.to_string());
    // The sessions of the second leaf begin anew, and its routes go and come back: the first leaf's traffic is watched.
    let watch = site.watch_leaves(&[0]);
    let before = sessions(&site);
    site.configure(|yaml| {
        for neighbor in yaml.neighbors.iter_mut().filter(|n| n.contains(&format!("asn: {}", LEAF_ASN + 1))) {
            neighbor.push_str(", holdTimeSeconds: 30, keepaliveTimeSeconds: 10");
        }
    });
    site.net.lab.wait_until("both sessions of the second leaf are other ones", PATIENCE, || {
        let now = sessions(&site);
        let other = |address: &String| now.get(address).is_some_and(|s| s.flaps > before[address].flaps);
        if [&v4, &v6].into_iter().all(other) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    for a in Site::addresses(1) {
        reaches(&site.net.lab, &site.node().router_ns, a.leaf_network, Some(&[a.leaf]));
    }
    watch.passes(SOME);
    let after = sessions(&site);
    for a in Site::addresses(0) {
        for address in [a.leaf, a.host].map(|address| address.to_string()) {
            let (now, then) = (&after[&address], &before[&address]);
            assert!(now.flaps == then.flaps && now.up >= then.up, "{address}: {then:?} {now:?}");
        }
    }
    watch.nothing_lost("configuration: timers of the other leaf", "the first leaf and the host keep their sessions");
}

#[test]
fn options_of_the_passthrough_and_the_underlay() {
    let mut site = Plan::new(&[Daemon::Bird], Daemon::Frr).start();
    let live = |what: &'static str| move |s: &Site| said(s, what);
    let allow = |y: &mut Yaml| {
        y.session
            .push("allowedPrefixes: [{prefix: 10.244.0.0/16, le: 32}, {prefix: \"2001:db8::/32\", le: 128}]".into());
    };
    change(
        &mut site,
        "prefixes that the host may announce",
        allow,
        live("neighbor 192.169.10.2 (allowed prefixes): changed object"),
    );
    let paths = |y: &mut Yaml| y.underlay.push("multipath: {maxPaths: 2}".into());
    change(&mut site, "multipath", paths, live("multipath: changed"));
}

/// Another object of another file.
#[test]
fn another_object_comes_and_goes() {
    let site = Plan::new(&[Daemon::Frr], Daemon::Bird).start();
    let watch = site.watch();
    let before = sessions(&site);
    let vni = "l2vnis:\n  - {name: red, vni: 100}\n";
    site.node().write_config("openpe_other.yaml", vni).unwrap();
    site.net.lab.wait_until("the other file is read", PATIENCE, || {
        if said(&site, "openpe_other.yaml") { Ok(()) } else { Err(site.log()) }
    });
    site.node().remove_config("openpe_other.yaml").unwrap();
    watch.passes(SOME);
    assert!(sessions(&site).iter().all(|(address, now)| now.goes_on(&before[address])), "{before:?}");
    assert!(kernel_route(&site.node().router_ns, Site::addresses(0)[0].leaf_network).unwrap().is_some());
    watch.nothing_lost("configuration: another file comes and goes", "every session goes on and hears nothing");
    site.works();
}

/// A route that the host may no longer announce, and may again: it alone is withdrawn and told, and nobody is asked to repeat
/// anything.
#[test]
fn only_the_difference_is_told() {
    let more: [IpNet; 2] = ["10.99.0.0/24".parse().unwrap(), "2001:db8:99::/64".parse().unwrap()];
    let plan = Plan::new(&[Daemon::Bird], Daemon::Frr).host(move |config| config.networks.extend(more));
    let mut site = plan.start();
    more.iter().for_each(|prefix| knows(&site.net.lab, &site.leaves[0], *prefix));
    let watch = site.watch();
    let (before, counts) = (sessions(&site), told(&site));
    let less = "allowedPrefixes: [{prefix: 10.244.0.0/16, le: 32}, {prefix: \"2001:db8:244::/48\", le: 128}]";
    site.configure(|yaml| yaml.session.push(less.into()));
    more.iter().for_each(|prefix| learns(&site.net.lab, &site.leaves[0], *prefix, None));
    let less = told(&site);
    assert_eq!(less, counts.map(|(updates, withdraws)| (updates, withdraws + 1)), "one route of each family goes");
    site.configure(|yaml| yaml.session.clear());
    more.iter().for_each(|prefix| knows(&site.net.lab, &site.leaves[0], *prefix));
    assert_eq!(told(&site), less.map(|(updates, withdraws)| (updates + 1, withdraws)), "and comes back");
    watch.passes(SOME);
    for (address, then) in &before {
        let now = &sessions(&site)[address];
        assert!(now.flaps == then.flaps && now.up >= then.up, "{address}: {then:?} {now:?}");
    }
    watch
        .nothing_lost("configuration: one route may not be announced, and may again", "it alone is withdrawn and told");
}

/// Routes announced and withdrawn that the leaf, a BIRD, has counted in each session.
fn told(site: &Site) -> [(u64, u64); 2] {
    [0, 1].map(|session| {
        let said = site.leaves[0].ask(&["show", "protocols", "all", &format!("n{session}")]).unwrap();
        let received = |kind: &str| {
            let line = said.lines().find_map(|line| line.trim().strip_prefix(kind)).unwrap_or_else(|| panic!("{said}"));
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        (received("Import updates:"), received("Import withdraws:"))
    })
}
