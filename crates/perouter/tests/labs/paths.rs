//! AS paths and attributes on their way through the router, as real peers send and show them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use testbed::passthrough::{HOST_ASN, ROUTER_ASN, addresses};
use testbed::scripted::Script;
use testbed::{Daemon, Family, PeerConfig, Scripted};

use crate::fabric::{Fabric, PATIENCE, knows, learns, sessions_up};
use crate::star::{Star, hub, in_frr, neighbor, network, peer, says, spoke, spoke_config};
use crate::yaml::Yaml;

const OLD_ASN: u32 = 64601;
const NEW_ASN: u32 = 4_200_000_001;
const SCRIPT_ASN: u32 = 64603;

/// RFC 6793: BIRD on a session of two octets passes on a path with an AS of four, and gets ours with one.
#[test]
fn four_octet_ases_survive_a_session_of_two_octets() {
    let star = Star::new(2);
    let neighbors = [neighbor(0, OLD_ASN, ""), neighbor(1, NEW_ASN, "")];
    let router = star.router(&neighbors, "kernelRoutes: false");
    let lines = "  enable as4 off;\n".to_owned();
    let export = "if source = RTS_STATIC then bgp_path.prepend(4200000777);".to_owned();
    let old = star.start(0, Daemon::Bird, PeerConfig { lines, export, ..spoke_config(0, OLD_ASN) });
    let new = star.start(1, Daemon::Frr, spoke_config(1, NEW_ASN));
    sessions_up(&star.lab, &old);
    sessions_up(&star.lab, &new);
    let v4 = Family::Ipv4;
    let seen = star.peer_is(&router, spoke(v4, 0), "established", |p| p["state"] == "established");
    assert!(!seen["capabilities"].to_string().contains("4-octet"), "{seen}");
    // From the old speaker: AS_TRANS in AS_PATH, the truth in AS4_PATH.
    learns(&star.lab, &new, network(v4, 0), Some((hub(v4, 1), &[ROUTER_ASN, OLD_ASN, 4_200_000_777])));
    // To it.
    learns(&star.lab, &old, network(v4, 1), Some((hub(v4, 0), &[ROUTER_ASN, NEW_ASN])));
    assert_eq!(peer(&router, spoke(v4, 0))["malformed"], 0);
}

/// A scripted peer at the end of spoke 0, FRR, BIRD and GoBGP at the others.
fn from_script(as_path: Option<Vec<u8>>, attributes: Vec<u8>) -> (Star, [testbed::Peer; 4], Scripted) {
    let star = Star::new(4);
    let v4 = Family::Ipv4;
    let neighbors = [0, 1, 2, 3].map(|i| neighbor(i, [SCRIPT_ASN, 64611, 64612, 64613][usize::from(i)], ""));
    let router = star.router(&neighbors, "kernelRoutes: false");
    let frr = star.start(1, Daemon::Frr, spoke_config(1, 64611));
    let bird = star.start(2, Daemon::Bird, spoke_config(2, 64612));
    let gobgp = star.start(3, Daemon::Gobgp, spoke_config(3, 64613));
    let script = Script {
        asn: SCRIPT_ASN,
        peer_asn: ROUTER_ASN,
        router_id: Ipv4Addr::new(10, 0, 0, 2),
        target: hub(v4, 0),
        source: Some(spoke(v4, 0)),
        hold: 90,
        addresses: vec![VIP],
        as_path,
        attributes,
    };
    let script = Scripted::start(&star.spokes[0], script).unwrap();
    for peer in [&frr, &bird, &gobgp] {
        sessions_up(&star.lab, peer);
    }
    (star, [router, frr, bird, gobgp], script)
}

const VIP: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 10);

fn vip() -> IpNet {
    IpNet::from(IpAddr::V4(VIP))
}

/// RFC 4271 5.1.2: a set that another AS made stays what it is.
#[test]
fn an_as_set_is_passed_on() {
    let octets = |asn: u32| asn.to_be_bytes();
    let sequence = [&[2, 1][..], &octets(SCRIPT_ASN)].concat();
    let set = [&[1, 2][..], &octets(64777), &octets(4_200_000_778)].concat();
    let (star, [router, frr, bird, _], _script) = from_script(Some([sequence, set].concat()), Vec::new());
    star.paths_are(
        &router,
        vip(),
        "with its set",
        // Another speaker may have sent it back already.
        |paths| {
            let whole = |path: &&serde_json::Value| path["as_path"] == "64603 {64777 4200000778}";
            paths.iter().find(whole).is_some_and(|path| path["best"] == true)
        },
    );
    let seen = in_frr(&star.lab, &frr, vip());
    assert_eq!(seen["aspath"]["string"], "64514 64603 {64777,4200000778}", "{seen}");
    says(&star.lab, &bird, &["show", "route", "for", "172.30.0.10", "all"], &["64514 64603 {64777 4200000778}"]);
}

/// RFC 4271 section 5: with the Partial bit, because we do not know it; what is not transitive ends here.
#[test]
fn an_unknown_attribute_is_passed_on_as_partial_if_it_is_transitive() {
    let transitive = [0xc0, 200, 3, 1, 2, 3];
    let not = [0x80, 201, 2, 9, 9];
    let (star, [_, frr, bird, gobgp], _script) = from_script(None, [&transitive[..], &not].concat());
    in_frr(&star.lab, &frr, vip());
    let said = says(&star.lab, &bird, &["show", "route", "for", "172.30.0.10", "all"], &["BGP.c8 [t]: 01 02 03"]);
    assert!(!said.contains("BGP.c9"), "{said}");
    let said = says(&star.lab, &gobgp, &["-j", "global", "rib"], &["172.30.0.10/32"]);
    let table: serde_json::Value = serde_json::from_str(&said).unwrap();
    let attributes = table["172.30.0.10/32"][0]["attrs"].as_array().unwrap();
    let unknown = |code: u8| attributes.iter().find(|a| a["type"] == code);
    // Optional, transitive, partial.
    assert_eq!(unknown(200).map(|a| &a["flags"]), Some(&0xe0.into()), "{attributes:?}");
    assert_eq!(unknown(201), None);
}

/// RFC 1997, both ways: what the host or the leaf keeps for us stays here, and goes once it does no longer.
#[test]
fn no_export_and_no_advertise_stop_here_towards_fabric_and_host() {
    let mut fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    fabric.configure(&Yaml::new());
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    let plans = Family::ALL.map(addresses);
    for (community, name) in [("(65535,65281)", "no-export"), ("(65535,65282)", "no-advertise")] {
        let export = format!("bgp_community.add({community});");
        fabric.leaf.reconfigure(|c| c.export.clone_from(&export)).unwrap();
        fabric.host.reconfigure(|c| c.export.clone_from(&export)).unwrap();
        for a in &plans {
            fabric.learns(&fabric.host, a.leaf_network, None);
            fabric.learns(&fabric.leaf, a.host_network, None);
            // The router has it, uses it, and says for whom it is.
            fabric.kernel_route(&fabric.node().router_ns, a.leaf_network, Some(a.leaf));
            fabric.kernel_route(&fabric.node().router_ns, a.host_network, Some(a.host));
            fabric.wait("the router shows the community", || {
                let said =
                    fabric.node().ask_json(&["routes", &a.leaf_network.to_string()]).map_err(|e| e.to_string())?;
                let said = said.to_string();
                if said.contains(&format!("\"{name}\"")) { Ok(()) } else { Err(said) }
            });
        }
        for peer in [&mut fabric.leaf, &mut fabric.host] {
            peer.reconfigure(|c| c.export.clear()).unwrap();
        }
        for a in &plans {
            knows(&fabric.net.lab, &fabric.host, a.leaf_network);
            learns(&fabric.net.lab, &fabric.leaf, a.host_network, Some((a.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
        }
    }
    fabric.net.lab.poll(PATIENCE, || if fabric.flaps() == 0 { Ok(()) } else { Err("lost") }).unwrap();
}
