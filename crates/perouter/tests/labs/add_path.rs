//! Several paths for one prefix over one session (RFC 7911), sent and received, with FRR, BIRD and a host as Calico has it.

use ipnet::IpNet;
use serde_json::Value;
use testbed::passthrough::{ROUTER_ASN, addresses, addresses_of};
use testbed::{Daemon, Family, Lab, LabError, Layout, NeighborConfig, Peer, PeerConfig};

use crate::fabric::{PATIENCE, healthy, net, peer_is, reaches, session, sessions_up};
use crate::star::{Star, hub, neighbor, network, paths, says, spoke, spoke_config};
use crate::yaml::Yaml;

const V4: Family = Family::Ipv4;
const ASNS: [u32; 2] = [64601, 64602];
const SENT: &str = "additional paths sent";
const RECEIVED: &str = "additional paths received";

/// What several announce.
fn shared() -> IpNet {
    "203.0.113.0/24".parse().unwrap()
}

/// Spokes 0 and 1, FRR and BIRD, which announce the shared prefix and one of their own.
fn sources(star: &Star, change: impl Fn(&mut PeerConfig)) -> [Peer; 2] {
    [(0, Daemon::Frr), (1, Daemon::Bird)].map(|(i, daemon)| {
        let mut config = spoke_config(i, ASNS[usize::from(i)]);
        config.networks.push(shared());
        change(&mut config);
        star.start(i, daemon, config)
    })
}

/// The paths of a prefix that BIRD has from its first session: the AS that each of them begins in, in order.
fn in_bird(bird: &Peer, prefix: IpNet) -> Result<Vec<u32>, LabError> {
    let said = bird.ask(&["show", "route", "for", &prefix.to_string(), "protocol", "n0", "all"])?;
    let lines = said.lines().filter_map(|line| line.trim().strip_prefix("BGP.as_path:"));
    let mut origins: Vec<u32> = lines.filter_map(|path| path.split_whitespace().last()?.parse().ok()).collect();
    origins.sort_unstable();
    Ok(origins)
}

#[track_caller]
fn bird_has(lab: &Lab, bird: &Peer, prefix: IpNet, wanted: &[u32]) {
    lab.wait_until(&format!("BIRD has {prefix} from {wanted:?}"), PATIENCE, || {
        let found = in_bird(bird, prefix)?;
        if found == wanted { Ok(()) } else { Err(LabError::new(format!("{found:?}"))) }
    });
}

fn has_capability(peer: &Value, name: &str) -> bool {
    peer["capabilities"].as_array().into_iter().flatten().any(|capability| capability == name)
}

/// RFC 7911 section 3 and 5: each path comes and goes for itself; who does not take several has the best one.
#[test]
fn bird_is_sent_every_path() {
    let star = Star::new(4);
    let client = |i: u8, fields: &str| neighbor(i, 64603 + u32::from(i) - 2, fields);
    let neighbors =
        [neighbor(0, ASNS[0], ""), neighbor(1, ASNS[1], ""), client(2, "addPath: Send"), client(3, "addPath: Send")];
    let router = star.router(&neighbors, "kernelRoutes: false");
    let [mut frr, mut bird] = sources(&star, |_| {});
    let family_lines = vec!["add paths rx;".to_owned()];
    let takes = star.start(2, Daemon::Bird, PeerConfig { family_lines, ..spoke_config(2, 64603) });
    let plain = star.start(3, Daemon::Bird, spoke_config(3, 64604));
    for peer in [&frr, &bird, &takes, &plain] {
        sessions_up(&star.lab, peer);
    }
    bird_has(&star.lab, &takes, shared(), &ASNS);
    let agreed = |i: u8| star.peer_is(&router, spoke(V4, i), "up", |p| p["state"] == "established");
    assert_eq!([0, 2, 3].map(|i| has_capability(&agreed(i), SENT)), [false, true, false]);
    assert!(!has_capability(&agreed(2), RECEIVED), "only the direction that was configured");
    says(&star.lab, &router, &["peers", &spoke(V4, 2).to_string()], &[SENT]);

    // One goes, and comes again.
    frr.withdraw(shared()).unwrap();
    bird_has(&star.lab, &takes, shared(), &ASNS[1..]);
    bird_has(&star.lab, &plain, shared(), &ASNS[1..]);
    frr.announce(shared()).unwrap();
    bird_has(&star.lab, &takes, shared(), &ASNS);
    // And with its session.
    bird.reconfigure(|c| c.networks.clear()).unwrap();
    bird_has(&star.lab, &takes, shared(), &ASNS[..1]);
    bird_has(&star.lab, &plain, shared(), &ASNS[..1]);
    assert_eq!(in_bird(&plain, network(V4, 0)).unwrap().len(), 1);
    for i in 0..4 {
        let seen = agreed(i);
        assert_eq!((&seen["flaps"], &seen["malformed"]), (&Value::from(0), &Value::from(0)), "{seen:#}");
    }
}

/// The router's paths of the shared prefix: as many, each with an identifier of its own, all of them used.
#[track_caller]
fn are_used(star: &Star, router: &Peer, next_hops: &[&str]) {
    star.paths_are(router, shared(), &format!("via {next_hops:?}"), |found| {
        let mut hops: Vec<_> = found.iter().filter_map(|p| p["next_hop"].as_str()).collect();
        hops.sort_unstable();
        hops == next_hops && found.iter().all(|p| p["usable"] == true)
    });
    let found = paths(router, shared());
    let mut ids: Vec<_> = found.iter().filter_map(|p| p["path_id"].as_u64()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), next_hops.len(), "{found:#?}");
    let used = found.iter().filter(|p| p["best"] == true || p["multipath"] == true).count();
    assert_eq!(used, next_hops.len(), "{found:#?}");
    let gateways: Vec<_> = next_hops.iter().map(|hop| hop.parse().unwrap()).collect();
    reaches(&star.lab, &star.ns, shared(), Some(&gateways));
}

/// BIRD with one static route per gateway on its link, all of which it sends.
fn bird_of_many(gateways: &[&str]) -> String {
    let statics = gateways.iter().enumerate();
    let statics = statics.map(|(i, hop)| format!("protocol static s{i} {{ ipv4; route {} via {hop}; }}\n", shared()));
    format!(
        "log stderr all;\nrouter id 10.0.0.2;\nprotocol device {{ scan time 1; }}\n{}\
         protocol bgp n0 {{\n  local as {};\n  neighbor {} as {ROUTER_ASN};\n  connect retry time 1;\n  \
         error wait time 1, 2;\n  ipv4 {{ import all; export all; add paths tx; }};\n}}\n",
        statics.collect::<String>(),
        ASNS[0],
        hub(V4, 0)
    )
}

/// RFC 7911 section 3 and 5, as a receiver, and the paths share the traffic.
#[test]
fn every_path_that_bird_sends_is_used() {
    let star = Star::new(1);
    let router = star.router(&[neighbor(0, ASNS[0], "addPath: Receive")], "");
    let text = |gateways: &[&str]| Some(bird_of_many(gateways));
    let all = ["10.0.0.11", "10.0.0.12", "10.0.0.13"];
    let mut bird = star.start(0, Daemon::Bird, PeerConfig { text: text(&all), ..spoke_config(0, ASNS[0]) });
    sessions_up(&star.lab, &bird);
    are_used(&star, &router, &all);
    says(&star.lab, &router, &["peers", &spoke(V4, 0).to_string()], &[RECEIVED]);
    says(&star.lab, &router, &["routes", &shared().to_string()], &all);
    bird.reconfigure(|c| c.text = text(&all[1..])).unwrap();
    are_used(&star, &router, &all[1..]);
    bird.reconfigure(|c| c.text = text(&[])).unwrap();
    star.paths_are(&router, shared(), "none", <[Value]>::is_empty);
    reaches(&star.lab, &star.ns, shared(), None);
    let seen = star.peer_is(&router, spoke(V4, 0), "up", |p| p["state"] == "established");
    assert_eq!((&seen["flaps"], &seen["malformed"]), (&Value::from(0), &Value::from(0)), "{seen}");
}

/// FRR inside our AS, between the router and two sources that it reaches over several hops.
#[test]
fn every_path_that_frr_sends_is_used() {
    let star = Star::new(3);
    let entry = format!("{{type: Internal, address: {}, role: peer, addPath: Receive}}", spoke(V4, 2));
    let router = star.router(&[entry], "");
    let neighbors = |from: &[u8]| {
        let of = |i: &u8| NeighborConfig { address: spoke(V4, *i), asn: ASNS[usize::from(*i)], families: vec![V4] };
        from.iter().map(of).collect::<Vec<_>>()
    };
    let mut config = spoke_config(2, ROUTER_ASN);
    config.neighbors.extend(neighbors(&[0, 1]));
    config.lines = neighbors(&[0, 1]).iter().map(|n| format!(" neighbor {} ebgp-multihop\n", n.address)).collect();
    config.family_lines = vec!["addpath-tx-all-paths".into()];
    let frr = star.start(2, Daemon::Frr, config);
    let towards_frr = NeighborConfig { address: spoke(V4, 2), asn: ROUTER_ASN, families: vec![V4] };
    let [mut one, _other] = sources(&star, |config| {
        config.neighbors = vec![towards_frr.clone()];
        let frr = format!(" neighbor {} ebgp-multihop\n", towards_frr.address);
        config.lines = if config.asn == ASNS[0] { frr } else { "  multihop;\n".into() };
    });
    sessions_up(&star.lab, &frr);
    let hops = [0, 1].map(|i| spoke(V4, i).to_string());
    are_used(&star, &router, &hops.each_ref().map(String::as_str));
    one.withdraw(shared()).unwrap();
    star.paths_are(
        &router,
        shared(),
        "one is left",
        |found| matches!(found, [one] if one["next_hop"] == hops[1].as_str() && one["path_id"].is_u64()),
    );
    reaches(&star.lab, &star.ns, shared(), Some(&[spoke(V4, 1)]));
}

/// The host's side of a node where Calico's BIRD asks for several paths in both directions.
#[test]
fn a_host_like_calicos_has_every_leafs_path() {
    println!("lab: FRR and BIRD as leaves, perouter, BIRD with add paths on as host");
    let net = net(Layout { leaves: 2, ..Layout::default() });
    let mut leaves = [(0, Daemon::Frr), (1, Daemon::Bird)].map(|(l, daemon): (u8, Daemon)| {
        let mut config = net.leaf_config(l);
        config.networks.push(shared());
        Peer::start(&net.lab, daemon, &net.leaves[usize::from(l)], config).unwrap()
    });
    let family_lines = vec!["add paths on;".to_owned()];
    let host =
        Peer::start(&net.lab, Daemon::Bird, &net.node().ns, PeerConfig { family_lines, ..net.host_config(0) }).unwrap();
    let yaml = Yaml::with_leaves(2, &Family::ALL).session("addPath: Both");
    net.node().write_config("openpe_lab.yaml", &yaml.to_string()).unwrap();
    net.node().start_router().unwrap();
    for peer in [&leaves[0], &leaves[1], &host] {
        sessions_up(&net.lab, peer);
    }
    let asns = [0, 1].map(|l: usize| leaves[l].config().asn);
    bird_has(&net.lab, &host, shared(), &asns);
    let a = addresses(V4);
    let seen = peer_is(net.node(), a.host, "established");
    assert!(has_capability(&seen, SENT) && has_capability(&seen, RECEIVED), "{seen}");
    let said = net.node().ask(&["peers", &a.host.to_string()]).unwrap().stdout;
    assert!(said.contains(SENT) && said.contains(RECEIVED), "{said}");
    // What the host announces arrives with its identifier, and is passed on as one route.
    for (l, leaf) in (0..).zip(&leaves) {
        crate::fabric::knows(&net.lab, leaf, addresses_of(V4, l, 0).host_network);
    }
    let answer = net.node().ask_json(&["routes", &a.host_network.to_string()]).unwrap();
    let routes = answer.as_array().or_else(|| answer["routes"].as_array()).unwrap();
    assert!(routes[0]["paths"][0]["path_id"].is_u64(), "{answer:#}");
    healthy(net.node());
    // A leaf that goes takes its path along, and nothing else.
    leaves[0].withdraw(shared()).unwrap();
    bird_has(&net.lab, &host, shared(), &asns[1..]);
    session(&net.lab, &host, a.router, true);
    assert_eq!(crate::fabric::flaps(net.node()), 0);
}
