//! What a user gets wrong costs that user one clear sentence, and nothing that works stops working.

use testbed::passthrough::{LEAF_ASN, ROUTER_ASN, ROUTER_YAML};
use testbed::{Daemon, ip};

use crate::fabric::{Fabric, PATIENCE};
use crate::yaml::Yaml;

/// Upstream leaves the data path alone when its control plane fails. Here neither half holds the other back (design
/// section 6.1).
#[test]
fn case_130_a_nic_that_does_not_exist_is_named_and_the_other_one_works() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    let nic = "      - type: NetworkDevice\n        networkDevice: {interfaceName: eth1}\n";
    let yaml = ROUTER_YAML.replace(nic, &format!("{nic}{}", nic.replace("eth1", "nosuchnic")));
    fabric.node().write_config("openpe_lab.yaml", &yaml).unwrap();
    fabric.node().start_router().unwrap();
    fabric.status_says(&["nosuchnic"]);
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        fabric.packets_pass(&a);
    }
    let said = fabric.node().ask(&["status"]).unwrap();
    assert_eq!(said.code, Some(1), "a node without one of its NICs is not healthy:\n{}", said.stdout);
    assert!(said.stdout.contains("nosuchnic"), "{}", said.stdout);
}

#[test]
fn a_host_session_with_another_asn_is_rejected_and_the_fabric_session_stays() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    let yaml = ROUTER_YAML.replace("    asn: 64514\n    hostASN", "    asn: 64599\n    hostASN");
    assert_ne!(yaml, ROUTER_YAML);
    fabric.node().write_config("openpe_lab.yaml", &yaml).unwrap();
    fabric.node().start_router().unwrap();
    fabric.status_says(&["64599", "64514"]);
    for a in fabric.plans() {
        fabric.session(&fabric.leaf, a.nic.addr(), true);
    }
    let said = fabric.node().ask(&["status"]).unwrap();
    assert_eq!(said.code, Some(1), "{}", said.stdout);

    // Corrected while it runs: applied live, and the sessions with the leaf are not reset.
    let before = fabric.flaps();
    fabric.node().write_config("openpe_lab.yaml", ROUTER_YAML).unwrap();
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
    }
    assert_eq!(fabric.flaps(), before);
}

#[test]
fn a_bad_file_beside_a_good_one_is_named_and_the_good_one_works() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    fabric.node().write_config("openpe_zz_bad.yaml", "underlays:\n  - asn: [not a number\n").unwrap();
    fabric.node().start_router().unwrap();
    fabric.status_says(&["openpe_zz_bad.yaml"]);
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
    }
    assert_eq!(fabric.node().ask(&["status"]).unwrap().code, Some(1));

    std::fs::remove_file(fabric.node().config_dir().join("openpe_zz_bad.yaml")).unwrap();
    fabric.net.lab.wait_until("the node is healthy", PATIENCE, || {
        let said = fabric.node().ask(&["status"]).map_err(|e| e.to_string())?;
        if said.ok() { Ok(()) } else { Err(said.stdout) }
    });
}

#[test]
fn a_second_router_is_refused_in_one_sentence_and_the_first_one_works_on() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    let router = fabric.node().start_router().unwrap();
    fabric.sessions_up();
    let said = fabric.node().run_with_files(&["run"]).unwrap();
    assert!(matches!(said.code, Some(1 | 2)), "{said:?}");
    let spoken: Vec<_> = said.stderr.lines().filter(|l| !l.trim().is_empty()).collect();
    assert_eq!(spoken.len(), 1, "one sentence: {said:?}");
    assert!(said.stdout.is_empty(), "{said:?}");

    assert_eq!(fabric.net.lab.exit_status(router), None, "the first one runs");
    for a in fabric.plans() {
        fabric.learns(&fabric.host, a.leaf_network, Some((a.router, &[ROUTER_ASN, LEAF_ASN])));
        fabric.packets_pass(&a);
    }
    let said = fabric.node().ask(&["status"]).unwrap();
    assert!(said.ok(), "{}", said.stdout);
    assert!(ip::link_named(&fabric.node().router_ns, "pt-ns").is_ok());
}

/// Beside a mistake the leaf's sessions and, unless it is the passthrough itself that is wrong, everything works.
struct Mistake<'a> {
    /// What is written into the router's directory.
    files: &'a [(&'a str, String)],
    /// What `status` must name.
    words: &'a [&'a str],
    /// Whether the host's side works.
    host: bool,
    /// What `status` ends with.
    code: i32,
}

#[track_caller]
fn costs_one_sentence(mistake: &Mistake<'_>) -> Fabric {
    let fabric = Fabric::new(Daemon::Frr, Daemon::Bird);
    for (name, text) in mistake.files {
        fabric.node().write_config(name, text).unwrap();
    }
    fabric.node().start_router().unwrap();
    for a in fabric.plans() {
        fabric.session(&fabric.leaf, a.nic.addr(), true);
        if mistake.host {
            fabric.session(&fabric.host, a.router, true);
            fabric.routes_pass(&a);
            fabric.packets_pass(&a);
        }
    }
    fabric.status_says(mistake.words);
    let said = fabric.node().ask(&["status"]).unwrap();
    assert_eq!(said.code, Some(mistake.code), "{}", said.stdout);
    // One line says all of it.
    let tells = |line: &&str| mistake.words.iter().all(|w| line.contains(w));
    assert!(said.stdout.lines().any(|l| tells(&l)), "no line with all of {:?}:\n{}", mistake.words, said.stdout);
    fabric
}

#[test]
fn a_full_cidr_costs_the_passthrough_only() {
    let local = "ipv4: 192.169.10.0/31, ipv6: \"2001:db8:10::/127\"".to_owned();
    let fabric = Fabric::new(Daemon::Frr, Daemon::Bird);
    // Both addresses of a /31 are used up by the first node: for the second there is none.
    fabric.node().write_config("../node-config.yaml", "nodeName: lab\nnodeIndex: {index: 1}\n").unwrap();
    fabric.configure(&Yaml { local, ..Yaml::new() });
    fabric.node().start_router().unwrap();
    for a in fabric.plans() {
        fabric.session(&fabric.leaf, a.nic.addr(), true);
    }
    fabric.status_says(&["L3Passthrough", "192.169.10.0/31"]);
    assert!(ip::link_named(&fabric.node().ns, "pt-host").is_err());
    assert_eq!(fabric.node().ask(&["status"]).unwrap().code, Some(1));
}

/// design.md 6.1: files count by name, so the first one works on.
#[test]
fn of_two_passthroughs_the_first_works() {
    let second = "bgppassthrough:\n  hostSession: {asn: 64514, hostASN: 64999, localCIDR: {ipv4: 192.169.99.0/24}}\n";
    let files = [("openpe_zz_second.yaml", second.to_owned())];
    let fabric = costs_one_sentence(&Mistake { files: &files, words: &["openpe_zz_second.yaml"], host: true, code: 1 });
    let rejected = rejected(&fabric, "L3Passthrough");
    assert!(rejected.contains("static-lab-l3passthrough") || rejected.contains("passthrough"), "{rejected}");
}

/// design.md 6.1.
#[test]
fn of_two_underlays_the_first_works() {
    let mut second = Yaml { asn: 64999, local: String::new(), ..Yaml::new() };
    second.nics = vec!["eth7".to_owned()];
    let files = [("openpe_zz_second.yaml", second.to_string())];
    let fabric = costs_one_sentence(&Mistake { files: &files, words: &["openpe_zz_second.yaml"], host: true, code: 1 });
    let rejected = rejected(&fabric, "Underlay");
    assert!(rejected.to_lowercase().contains("underlay"), "{rejected}");
}

/// The sentence of the one rejected object of a kind.
fn rejected(fabric: &Fabric, kind: &str) -> String {
    let status = fabric.node().ask_json(&["status"]).unwrap();
    let verdicts = status["verdicts"].as_array().unwrap().iter();
    let found: Vec<_> = verdicts.filter(|v| v["outcome"] == "rejected").collect();
    assert!(matches!(found.as_slice(), [one] if one["kind"] == kind), "{found:#?}");
    found[0]["message"].as_str().unwrap().to_owned()
}

/// The whole Underlay is wrong here; the one that was in force stays.
#[test]
fn case_136_overlapping_listen_ranges_are_rejected_and_what_worked_works_on() {
    let fabric = Fabric::new(Daemon::Frr, Daemon::Bird);
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    let ranges = ["192.168.0.0/16", "192.168.11.0/24"].map(|r| format!("asn: 64512, listenRange: {r}"));
    fabric.configure(&Yaml::new().neighbors(ranges));
    fabric.status_says(&["192.168.0.0/16", "192.168.11.0/24", "overlap"]);
    for a in fabric.plans() {
        fabric.packets_pass(&a);
    }
    fabric.sessions_up();
    assert_eq!(fabric.flaps(), 0);
    fabric.configure(&Yaml::new());
    crate::fabric::healthy(fabric.node());
    assert_eq!(fabric.flaps(), 0);
}

#[test]
fn an_unreadable_secret_file_costs_its_neighbour_only() {
    let mut yaml = Yaml::new();
    yaml.neighbors.push("asn: 64777, address: 192.168.11.77, passwordFile: no-such-secret".to_owned());
    let files = [("openpe_lab.yaml", yaml.to_string())];
    // The neighbour is left out of an object that is in force: that is a warning.
    costs_one_sentence(&Mistake { files: &files, words: &["no-such-secret", "left out"], host: true, code: 1 });
}

/// The other side's NOTIFICATION in words.
#[test]
fn a_peer_with_another_asn_is_named_with_the_notification() {
    let mut yaml = Yaml::new();
    yaml.neighbors[0] = "asn: 64999, address: 192.168.11.2".to_owned();
    let fabric = Fabric::new(Daemon::Frr, Daemon::Bird);
    fabric.configure(&yaml);
    fabric.node().start_router().unwrap();
    let [a, b] = [&fabric.plans()[0], &fabric.plans()[1]].map(|a| *a);
    fabric.session(&fabric.leaf, b.nic.addr(), true);
    fabric.routes_pass(&b);
    fabric.packets_pass(&b);
    let said = fabric.status_says(&["192.168.11.2", "Bad Peer AS"]);
    assert!(said.lines().any(|l| l.contains("192.168.11.2") && l.contains("Bad Peer AS")), "{said}");
    assert!(!fabric.leaf.established(a.nic.addr()).unwrap());
}

/// TCP-MD5 has no NOTIFICATION: its packets are never answered. The router can only say that, and what to look at.
#[test]
fn a_peer_with_another_password_is_named_with_what_to_look_at() {
    let mut yaml = Yaml::new();
    yaml.neighbors[0] = "asn: 64512, address: 192.168.11.2, password: mine, connectTimeSeconds: 1".to_owned();
    let fabric = Fabric::new(Daemon::Frr, Daemon::Bird);
    let theirs = "neighbor 192.168.11.3 password theirs";
    fabric.leaf.ask(&["configure terminal", "router bgp 64512", theirs]).unwrap();
    fabric.configure(&yaml);
    fabric.node().start_router().unwrap();
    let b = fabric.plans()[1];
    fabric.session(&fabric.leaf, b.nic.addr(), true);
    fabric.routes_pass(&b);
    let said = fabric.status_says(&["192.168.11.2", "password"]);
    assert!(said.lines().any(|l| l.contains("192.168.11.2") && l.contains("password")), "{said}");
    assert!(!said.contains("mine"), "a password is never shown: {said}");
}

/// Objects of features that do not exist here get a sentence each, and hold nothing back.
#[test]
fn what_is_not_served_is_named_and_holds_nothing_back() {
    let other = "l3vnis:\n  - {name: red, vrf: red, vni: 100}\nrawfrrconfigs:\n  - {rawConfig: \"hostname x\"}\n";
    let files = [("openpe_zz_other.yaml", other.to_owned())];
    let fabric = costs_one_sentence(&Mistake { files: &files, words: &["L3VNI"], host: true, code: 1 });
    fabric.status_says(&["RawFRRConfig"]);
}
