//! BFD as users configure it, on the fabric's sessions and on the host's, against FRR and BIRD.

use std::net::IpAddr;

use testbed::ip::change;
use testbed::passthrough::addresses;
use testbed::{Daemon, Family, LabError, Layout, Peer, PeerConfig, Result};

use crate::fabric::{Fabric, healthy, net, peer_is, status_says};
use crate::yaml::{Yaml, address};

/// With BFD on each of its sessions.
fn with_bfd(daemon: Daemon, config: PeerConfig) -> PeerConfig {
    let lines = match daemon {
        Daemon::Frr => config.neighbors.iter().map(|n| format!(" neighbor {} bfd\n", n.address)).collect(),
        Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => "  bfd on;\n".to_owned(),
    };
    let bfd = match daemon {
        Daemon::Frr => String::new(),
        Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => {
            "  interface \"*\" { min tx interval 300 ms; min rx interval 300 ms; multiplier 3; };\n".to_owned()
        }
    };
    PeerConfig { lines, bfd: Some(bfd), ..config }
}

fn lab(leaf: Daemon, host: Daemon) -> Fabric {
    println!("lab: {leaf} as leaf, perouter, {host} as host, BFD on every session");
    let net = net(Layout::default());
    let start = |daemon, ns: &str, config| Peer::start(&net.lab, daemon, ns, with_bfd(daemon, config)).unwrap();
    let leaf = start(leaf, net.leaf_ns(), net.leaf_config(0));
    let host = start(host, &net.node().ns, net.host_config(0));
    let fabric = Fabric { net, leaf, host, asns: Default::default(), families: Family::ALL.to_vec() };
    let neighbors = Family::ALL.map(|f| format!("asn: 64512, {}, connectTimeSeconds: 1, bfd: {{}}", address(0, f)));
    fabric.configure(&Yaml::new().neighbors(neighbors).session("bfd: {}"));
    fabric
}

/// Whether the daemon has its BFD session with this router up.
fn up(peer: &Peer, router: IpAddr) -> Result<bool> {
    let router = router.to_string();
    if peer.daemon() == Daemon::Bird {
        let shown = peer.ask_bfd(&["show", "bfd", "sessions"])?;
        return Ok(shown.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.first() == Some(&router.as_str()) && words.get(2) == Some(&"Up")
        }));
    }
    let shown = peer.ask_bfd(&["show bfd peers json"])?;
    let sessions: serde_json::Value =
        serde_json::from_str(&shown).map_err(|error| LabError::new(format!("{error}: {shown}")))?;
    Ok(sessions.as_array().into_iter().flatten().any(|one| one["peer"] == router.as_str() && one["status"] == "up"))
}

impl Fabric {
    #[track_caller]
    fn bfd(&self, peer: &Peer, router: IpAddr, wanted: bool) {
        self.wait(&format!("BFD of the {} with {router} is up: {wanted}", peer.config().name), || {
            match up(peer, router).map_err(|error| error.to_string())? {
                now if now == wanted => Ok(()),
                now => Err(format!("up: {now}")),
            }
        });
    }

    /// What the leaf sends is lost on the way, or no longer; its link stays up.
    fn silence(&self, silent: bool) {
        for a in self.plans() {
            let router = a.nic.addr().to_string();
            let neighbor = ["neighbour", if silent { "replace" } else { "del" }, &router, "dev", "tonode"];
            let nobody: &[_] = if silent { &["lladdr", "02:00:00:00:00:99", "nud", "permanent"] } else { &[] };
            change(self.net.leaf_ns(), &[&neighbor, nobody].concat()).unwrap();
        }
    }
}

/// Up on both sides, down with its reason when nothing is heard any more, and back.
fn liveness(leaf: Daemon, host: Daemon) {
    let fabric = lab(leaf, host);
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    for a in Family::ALL.map(addresses) {
        fabric.bfd(&fabric.leaf, a.nic.addr(), true);
        fabric.bfd(&fabric.host, a.router, true);
        fabric.routes_pass(&a);
    }
    healthy(fabric.node());
    for a in Family::ALL.map(addresses) {
        for (peer, role) in [(a.leaf, "fabric"), (a.host, "host")] {
            let bfd = peer_is(fabric.node(), peer, "established")["bfd"].clone();
            assert_eq!(
                (&bfd["local"]["state"], &bfd["remote"]["state"]),
                (&"up".into(), &"up".into()),
                "{role}: {bfd}"
            );
            assert_eq!(bfd["detection_time_ms"], 900, "{role}: {bfd}");
            // A daemon whose BGP uses it says that it goes with its control plane.
            assert_eq!(bfd["remote"]["control_plane_independent"], false, "{role}: {bfd}");
        }
    }

    fabric.silence(true);
    let a = addresses(Family::Ipv4);
    fabric.wait("peers shows why", || {
        let said = fabric.node().ask(&["peers"]).map_err(|error| error.to_string())?;
        // That the session ended with it is told below: the next attempt, a second later, ends with another reason.
        if said.stdout.contains("nothing was heard for 900 ms") { Ok(()) } else { Err(said.stdout) }
    });
    for a in Family::ALL.map(addresses) {
        fabric.session(&fabric.leaf, a.nic.addr(), false);
        fabric.bfd(&fabric.leaf, a.nic.addr(), false);
        fabric.kernel_route(&fabric.node().router_ns, a.leaf_network, None);
    }
    status_says(fabric.node(), &["NOT HEALTHY", &format!("session with {}", a.leaf), "Cease/BFD Down"]);

    fabric.silence(false);
    fabric.sessions_up();
    for a in Family::ALL.map(addresses) {
        fabric.bfd(&fabric.leaf, a.nic.addr(), true);
        fabric.routes_pass(&a);
    }
    healthy(fabric.node());
}

#[test]
fn frr_as_leaf_and_bird_as_host_are_watched() {
    liveness(Daemon::Frr, Daemon::Bird);
}

#[test]
fn bird_as_leaf_and_frr_as_host_are_watched() {
    liveness(Daemon::Bird, Daemon::Frr);
}

/// Configured here only: nothing ends, and it is told what is missing.
#[test]
fn bfd_that_only_we_want_is_a_problem_and_ends_nothing() {
    let fabric = Fabric::new(Daemon::Bird, Daemon::Bird);
    let neighbors = Family::ALL.map(|f| format!("asn: 64512, {}, bfd: {{}}", address(0, f)));
    fabric.configure(&Yaml::new().neighbors(neighbors));
    fabric.node().start_router().unwrap();
    fabric.sessions_up();
    let a = addresses(Family::Ipv4);
    fabric.routes_pass(&a);
    let problem = format!("BFD with {} is down: the neighbour has not been heard yet", a.leaf);
    status_says(fabric.node(), &["NOT HEALTHY", &problem, "UDP port 3784"]);
    assert_eq!(fabric.flaps(), 0);
}
