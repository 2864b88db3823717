//! The speakers that real nodes run, with the session parameters that the products give them (reference 5): none of
//! them listens where its product does not, and each dials from where its product dials from.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use testbed::passthrough::{Addresses, HOST_ASN, LEAF_ASN, ROUTER_ASN, addresses};
use testbed::scripted::{Script, Seen};
use testbed::{Daemon, End, Family, LabError, Layout, Passthrough, Peer, PeerConfig, Scripted, traffic};

use crate::fabric::{
    Fabric, PATIENCE, healthy, learns, net, packets_pass, peer_is, peers, reaches, sessions_up, veth_is_up,
};
use crate::yaml::Yaml;

/// Address of the node on a link that is neither the veth nor the fabric's: what Kubernetes calls its node IP.
const NODE_IP: &str = "172.18.0.2";
const NODE_IPV6: &str = "2001:db8:18::2";

/// Leaf, node with a second link, and the router running: hosts are started when there is somebody to dial.
fn start(leaf: Daemon, yaml: &Yaml) -> (Passthrough, Peer) {
    let net = net(Layout::default());
    let leaf = net.start_leaf(leaf).unwrap();
    let node = net.node();
    let both = ["172.18.0.2/24", "2001:db8:18::2/64"].map(|a| a.parse().unwrap()).to_vec();
    let lan = net.lab.namespace("lan").unwrap();
    let switch = End { ns: &lan, name: "port0", addresses: Vec::new() };
    net.lab.link(&switch, &End { ns: &node.ns, name: "eth0", addresses: both }, 1500).unwrap();
    node.write_config("openpe_lab.yaml", &yaml.to_string()).unwrap();
    node.start_router().unwrap();
    veth_is_up(node);
    (net, leaf)
}

/// A host whose whole configuration is `text`.
fn host(net: &Passthrough, daemon: Daemon, text: String) -> Peer {
    let config = PeerConfig { text: Some(text), ..net.host_config(0) };
    Peer::start(&net.lab, daemon, &net.node().ns, config).unwrap()
}

/// Everything passes, and the session has these terms.
fn works(net: Passthrough, leaf: Peer, host: Peer, hold: u64) -> Fabric {
    let families = Family::ALL.to_vec();
    let fabric = Fabric { net, leaf, host, asns: Default::default(), families };
    fabric.sessions_up();
    for a in fabric.plans() {
        fabric.routes_pass(&a);
        fabric.packets_pass(&a);
        assert_eq!(peer_is(fabric.node(), a.host, "established")["hold_time_seconds"], hold);
    }
    healthy(fabric.node());
    fabric
}

fn metallb(target: IpAddr, source: Option<IpAddr>, addresses: &[&str]) -> Script {
    Script {
        asn: HOST_ASN,
        peer_asn: ROUTER_ASN,
        router_id: Ipv4Addr::new(172, 18, 0, 2),
        target,
        source,
        hold: 90,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        as_path: None,
        attributes: Vec::new(),
    }
}

#[track_caller]
fn seen(net: &Passthrough, speaker: &Scripted, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
    net.lab.wait_until(what, PATIENCE, || {
        let seen = speaker.seen();
        if wanted(&seen) { Ok(seen) } else { Err(LabError::new(format!("{seen:?}"))) }
    })
}

/// Reference 5.2. It takes no routes; `hostRoutes` brings the host's packets back.
#[test]
fn metallb_native_announces_addresses_and_stays_up() {
    println!("lab: FRR as leaf, perouter, a scripted MetalLB in native mode as host");
    let (net, leaf) = start(Daemon::Frr, &Yaml::new().passthrough("hostRoutes: {}"));
    let a = addresses(Family::Ipv4);
    let vips = ["172.30.0.10", "172.30.0.11"];
    for vip in vips {
        net.lab.loopback_address(&net.node().ns, format!("{vip}/32").parse().unwrap()).unwrap();
    }
    let speaker = Scripted::start(&net.node().ns, metallb(a.router, None, &vips)).unwrap();
    sessions_up(&net.lab, &leaf);
    for vip in vips {
        let (prefix, vip): (IpNet, IpAddr) = (format!("{vip}/32").parse().unwrap(), vip.parse().unwrap());
        learns(&net.lab, &leaf, prefix, Some((a.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
        reaches(&net.lab, &net.node().router_ns, prefix, Some(&[a.host]));
        packets_pass(&net.lab, (&net.node().ns, vip), (net.leaf_ns(), a.leaf_server));
    }
    // The fabric's routes and End-of-RIB were sent to it, and it has thrown them away.
    let so_far = seen(&net, &speaker, "it was sent routes", |s| s.updates >= 2);
    assert_eq!((so_far.sessions, so_far.hold), (1, 90), "{so_far:?}");
    let peer = peer_is(net.node(), a.host, "established");
    assert_eq!((&peer["hold_time_seconds"], &peer["flaps"]), (&90.into(), &0.into()), "{peer}");
    // It dialled: our end is the listening one.
    assert!(peer["local"].as_str().unwrap().ends_with(":179"), "{peer}");
    drop(speaker);
    for vip in vips {
        learns(&net.lab, &leaf, format!("{vip}/32").parse().unwrap(), None);
    }
}

/// design.md 6.9: any source that arrives over `pt-ns`, at most 4 of them, each listed by its address.
#[test]
fn hosts_may_dial_from_any_address_of_the_node_and_four_at_a_time() {
    println!("lab: BIRD as leaf, perouter, scripted hosts that dial from addresses of the node's other links");
    let (net, leaf) = start(Daemon::Bird, &Yaml::new());
    let a = addresses(Family::Ipv4);
    let sources = ["172.18.0.2", "172.18.0.3", "172.18.0.4", "172.18.0.5", "172.18.0.6"];
    for source in sources {
        net.lab.loopback_address(&net.node().ns, format!("{source}/32").parse().unwrap()).unwrap();
    }
    let speak = |i: usize| {
        let source: Ipv4Addr = sources[i].parse().unwrap();
        let vip = format!("172.30.0.{i}");
        let script = metallb(a.router, Some(IpAddr::V4(source)), &[&vip]);
        let started = Scripted::start(&net.node().ns, Script { router_id: source, ..script }).unwrap();
        (started, IpAddr::V4(source), format!("{vip}/32").parse::<IpNet>().unwrap())
    };
    // The configured host is one of the four, whether it speaks or not.
    let mut accepted = Vec::new();
    for i in 0..3 {
        accepted.push(speak(i));
        let (speaker, source, prefix) = &accepted[i];
        seen(&net, speaker, "it has a session", |s| s.established);
        peer_is(net.node(), *source, "established");
        learns(&net.lab, &leaf, *prefix, Some((a.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
        // Its next hop is its own address, which is behind the veth whatever the routing table says: via the planned one.
        reaches(&net.lab, &net.node().router_ns, *prefix, Some(&[a.host]));
    }
    let refused = [speak(3), speak(4)];
    let told = net.lab.wait_until("one of the others is refused", PATIENCE, || {
        let errors = refused.iter().filter(|(s, ..)| !s.seen().established && s.seen().error.is_some());
        errors.map(|(_, source, _)| *source).next().ok_or("none is")
    });
    crate::fabric::status_says(net.node(), &[&told.to_string()]);
    for (speaker, ..) in &accepted {
        assert_eq!(speaker.seen().sessions, 1, "nobody was thrown out");
    }
    let listed = peers(net.node()).iter().filter(|p| p["role"] == "host" && p["state"] == "established").count();
    assert!((3..=4).contains(&listed), "{:?}", peers(net.node()));

    // One that goes makes room, is forgotten, and its routes go with it.
    let (speaker, source, prefix) = accepted.remove(0);
    drop(speaker);
    learns(&net.lab, &leaf, prefix, None);
    net.lab.wait_until("it is forgotten or down", PATIENCE, || {
        let shown = peers(net.node());
        let up = shown.iter().any(|p| p["address"] == source.to_string().as_str() && p["state"] == "established");
        if up { Err(format!("{shown:?}")) } else { Ok(()) }
    });
    net.lab.wait_until("another one has its place", PATIENCE, || {
        if refused.iter().any(|(s, ..)| s.seen().established) { Ok(()) } else { Err("not yet") }
    });
}

/// Reference 5.1: `bgpd -p 0`, deny by default, and what the resource allows.
#[test]
fn frr_k8s_as_it_renders_its_configuration() {
    println!("lab: BIRD as leaf, perouter, FRR as frr-k8s runs it as host");
    let (net, leaf) = start(Daemon::Bird, &Yaml::new());
    let plans = Family::ALL.map(addresses);
    let text = frr_k8s(&plans);
    let host = host(&net, Daemon::Frr, text);
    let fabric = works(net, leaf, host, 180);
    // Restarted, it is back at once: it dials, and the router is there to be dialled.
    fabric.host.ask(&["clear bgp *"]).unwrap();
    for a in fabric.plans() {
        fabric.wait("its session is another one", || {
            let peer = peer_is(fabric.node(), a.host, "established");
            if peer["flaps"] == 1 { Ok(()) } else { Err(peer.to_string()) }
        });
        fabric.routes_pass(&a);
    }
}

fn frr_k8s(plans: &[Addresses; 2]) -> String {
    let mut neighbors = String::new();
    let mut families = String::new();
    let mut filters = String::new();
    for a in plans {
        let (r, word) = (a.router, if a.family == Family::Ipv4 { "ipv4" } else { "ipv6" });
        let list = if a.family == Family::Ipv4 { "ip" } else { "ipv6" };
        neighbors.push_str(&format!(
            "  neighbor {r} remote-as {ROUTER_ASN}\n  neighbor {r} graceful-restart\n  neighbor {r} timers connect 1\n"
        ));
        families.push_str(&format!(
            "  address-family {word} unicast\n    neighbor {r} activate\n    neighbor {r} route-map {r}-in in\n    \
             neighbor {r} route-map {r}-out out\n    network {}\n  exit-address-family\n",
            a.host_network
        ));
        filters.push_str(&format!(
            "{list} prefix-list {r}-pl-{word} seq 1 permit {}\n\
             route-map {r}-out permit 1\n  match {list} address prefix-list {r}-pl-{word}\nexit\n\
             {list} prefix-list {r}-inpl-{word} seq 1 permit any\n\
             route-map {r}-in permit 3\n  match {list} address prefix-list {r}-inpl-{word}\nexit\n\
             route-map {r}-in deny 6\nexit\n",
            a.host_network
        ));
    }
    format!(
        "hostname lab\nlog stdout informational\nip nht resolve-via-default\nipv6 nht resolve-via-default\n{filters}\
         router bgp {HOST_ASN}\n  no bgp ebgp-requires-policy\n  no bgp network import-check\n  \
         no bgp default ipv4-unicast\n  bgp graceful-restart preserve-fw-state\n  bgp router-id 192.169.10.2\n\
         {neighbors}{families}"
    )
}

/// Reference 5.3: it listens on one address only and dials from there, says multihop and add paths, offers graceful
/// restart, tolerates its own AS, and proposes to hold for 240 seconds. Both families have Calico's default, the node's
/// address, for which the node does not answer neighbour discovery on the veth.
#[test]
fn calico_dials_from_the_nodes_address() {
    println!("lab: FRR as leaf, perouter, BIRD as Calico runs it as host");
    let yaml = Yaml::new().session("holdTimeSeconds: 240").session("keepaliveTimeSeconds: 80");
    let (net, leaf) = start(Daemon::Frr, &yaml);
    let [v4, v6] = Family::ALL.map(addresses);
    let sources = [(v4, NODE_IP.parse().unwrap()), (v6, NODE_IPV6.parse().unwrap())];
    let host = host(&net, Daemon::Bird, calico(&sources));
    sessions_up(&net.lab, &leaf);
    sessions_up(&net.lab, &host);
    for (a, source) in sources {
        let peer = peer_is(net.node(), source, "established");
        assert_eq!((&peer["role"], &peer["hold_time_seconds"]), (&"host".into(), &240.into()), "{peer}");
        learns(&net.lab, &host, a.leaf_network, Some((a.router, &[ROUTER_ASN, LEAF_ASN])));
        learns(&net.lab, &leaf, a.host_network, Some((a.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
        reaches(&net.lab, &net.node().router_ns, a.host_network, Some(&[a.host]));
        packets_pass(&net.lab, (&net.node().ns, a.host_server), (net.leaf_ns(), a.leaf_server));
        traffic::ping(net.leaf_ns(), a.leaf_server, a.host).unwrap();
    }
}

fn calico(sources: &[(Addresses, IpAddr)]) -> String {
    let mut out = "log stderr all;\nrouter id 172.18.0.2;\nprotocol device { scan time 2; }\n\
         protocol direct { ipv4; ipv6; }\n"
        .to_owned();
    for (n, (a, source)) in sources.iter().enumerate() {
        let word = if a.family == Family::Ipv4 { "ipv4" } else { "ipv6" };
        out.push_str(&format!(
            "protocol kernel {{ persist; scan time 2; merge paths on; graceful restart;\n  \
             {word} {{ import none; export where source = RTS_BGP; }}; }}\n\
             protocol static {{ {word}; route {} blackhole; }}\n\
             protocol bgp n{n} {{\n  local {source} as {HOST_ASN};\n  strict bind yes;\n  \
             neighbor {} as {ROUTER_ASN};\n  multihop;\n  \
             {word} {{ gateway recursive; import all; export where source = RTS_STATIC; add paths on; }};\n  \
             allow local as 5;\n  graceful restart;\n  hold time 240;\n  connect delay time 2;\n  \
             connect retry time 5;\n  error wait time 5,30;\n}}\n",
            a.host_network, a.router
        ));
    }
    out
}

/// Reference 5.4: hold 9, keepalive 3, graceful restart; takes nothing, never listens.
#[test]
fn cilium_takes_no_routes_and_is_reached_by_host_routes() {
    println!("lab: FRR as leaf, perouter, GoBGP as Cilium runs it as host");
    let yaml = Yaml::new().passthrough("hostRoutes: {}");
    let (net, leaf) = start(Daemon::Frr, &yaml);
    let host = host(&net, Daemon::Gobgp, cilium());
    sessions_up(&net.lab, &leaf);
    sessions_up(&net.lab, &host);
    for a in Family::ALL.map(addresses) {
        assert_eq!(peer_is(net.node(), a.host, "established")["hold_time_seconds"], 9);
        learns(&net.lab, &leaf, a.host_network, Some((a.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
        reaches(&net.lab, &net.node().ns, a.leaf_network, Some(&[a.router]));
        packets_pass(&net.lab, (&net.node().ns, a.host_server), (net.leaf_ns(), a.leaf_server));
        assert_eq!(host.routes(a.family).unwrap(), [], "it rejects everything");
    }
    healthy(net.node());
    an_agent_that_restarts_comes_back(&net, &leaf, host);
}

/// Its TCP connections end without a NOTIFICATION, and the next process dials at once.
fn an_agent_that_restarts_comes_back(net: &Passthrough, leaf: &Peer, host: Peer) {
    net.lab.end(host.pid(), rustix::process::Signal::KILL, PATIENCE).unwrap();
    let again = crate::speakers::host(net, Daemon::Gobgp, cilium());
    sessions_up(&net.lab, &again);
    for a in Family::ALL.map(addresses) {
        learns(&net.lab, leaf, a.host_network, Some((a.nic.addr(), &[ROUTER_ASN, HOST_ASN])));
        packets_pass(&net.lab, (&net.node().ns, a.host_server), (net.leaf_ns(), a.leaf_server));
    }
}

fn cilium() -> String {
    let mut out = format!(
        "[global.config]\nas = {HOST_ASN}\nrouter-id = \"172.18.0.2\"\nport = -1\n\
         [global.apply-policy.config]\nimport-policy-list = [\"allow-local\"]\ndefault-import-policy = \"reject-route\"\n\
         [[policy-definitions]]\nname = \"allow-local\"\n[[policy-definitions.statements]]\nname = \"allow-local\"\n\
         [policy-definitions.statements.conditions.bgp-conditions]\nroute-type = \"local\"\n\
         [policy-definitions.statements.actions]\nroute-disposition = \"accept-route\"\n"
    );
    for a in Family::ALL.map(addresses) {
        let word = if a.family == Family::Ipv4 { "ipv4-unicast" } else { "ipv6-unicast" };
        out.push_str(&format!(
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{}\"\npeer-as = {ROUTER_ASN}\n\
             [neighbors.timers.config]\nhold-time = 9\nkeepalive-interval = 3\nconnect-retry = 5\n\
             idle-hold-time-after-reset = 5\n[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 120\n\
             [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{word}\"\n\
             [neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n",
            a.router
        ));
    }
    out
}

/// A host that dials from an address of the NIC which the router took cannot be answered: that is a martian, and the
/// router says so with the remedy (design.md 6.9).
#[test]
fn a_source_address_that_the_router_took_is_explained() {
    println!("lab: BIRD as leaf, perouter, a scripted host whose address went with the NIC");
    let (net, leaf) = start(Daemon::Bird, &Yaml::new());
    sessions_up(&net.lab, &leaf);
    let a = addresses(Family::Ipv4);
    // Somebody (a network manager) puts the address back onto another link.
    net.lab.loopback_address(&net.node().ns, IpNet::from(a.nic.addr())).unwrap();
    let _speaker = Scripted::start(&net.node().ns, metallb(a.router, Some(a.nic.addr()), &[])).unwrap();
    crate::fabric::status_says(net.node(), &["192.168.11.3", "send from another address"]);
}
