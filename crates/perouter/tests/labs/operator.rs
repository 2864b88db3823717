//! What operators do with sessions, on this side and on the other, and what the other one sees of it.

use testbed::passthrough::addresses;
use testbed::{Daemon, Family, LabError, Peer, Result};

use crate::fabric::{Fabric, healthy, peer_is, status_says};

/// Sessions of the router with a leaf, the first of which is worked on.
struct Bench {
    fabric: Fabric,
    /// The leaf as the router knows it, and the router as the leaf does.
    leaf: String,
    router: String,
}

impl Bench {
    fn new(daemon: Daemon) -> Self {
        let fabric = Fabric::new(daemon, Daemon::Bird);
        fabric.node().start_router().unwrap();
        fabric.sessions_up();
        let a = addresses(Family::Ipv4);
        fabric.routes_pass(&a);
        Self { fabric, leaf: a.leaf.to_string(), router: a.nic.addr().to_string() }
    }

    fn peer(&self) -> &Peer {
        &self.fabric.leaf
    }

    /// `perouter ARGS`, which must succeed; what it said.
    #[track_caller]
    fn perouter(&self, args: &[&str]) -> String {
        let said = self.fabric.node().ask(args).unwrap();
        assert!(said.ok(), "{args:?}: {}{}", said.stdout, said.stderr);
        said.stdout
    }

    #[track_caller]
    fn is_up(&self, up: bool) {
        self.fabric.session(self.peer(), self.router.parse().unwrap(), up);
    }

    /// What the leaf was told at the end of the session.
    fn told(&self) -> Result<String> {
        match self.peer().daemon() {
            Daemon::Frr => {
                let text = self.frr()?["lastShutdownDescription"].as_str().map(str::to_owned);
                text.ok_or_else(|| LabError::new("no lastShutdownDescription"))
            }
            Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => {
                let shown = self.peer().ask(&["show", "protocols", "all", "n0"])?;
                let text = shown.lines().find_map(|line| line.trim().strip_prefix("Message:")).map(str::trim);
                text.map(str::to_owned).ok_or_else(|| LabError::new(shown.clone()))
            }
        }
    }

    /// What the leaf counts when it is asked for its routes (updates sent) and when it is sent ours (updates received).
    ///
    /// FRR 8.4 counts the request but answers none of a speaker that offers enhanced refresh without graceful restart:
    /// it waits for an End-of-RIB that it never sends (its issue 16126).
    fn counts(&self) -> Result<(u64, u64)> {
        match self.peer().daemon() {
            Daemon::Frr => {
                let counts = &self.frr()?["messageStats"];
                let count = |name: &str| counts[name].as_u64().ok_or_else(|| LabError::new(format!("{counts}")));
                Ok((count("routeRefreshRecv")?, count("updatesRecv")?))
            }
            Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => {
                let shown = self.peer().ask(&["show", "protocols", "all", "n0"])?;
                let count = |name: &str| {
                    let counts = shown.lines().find_map(|line| line.trim().strip_prefix(name));
                    let first = counts.and_then(|counts| counts.split_whitespace().next()?.parse().ok());
                    first.ok_or_else(|| LabError::new(shown.clone()))
                };
                Ok((count("Export updates:")?, count("Import updates:")?))
            }
        }
    }

    fn frr(&self) -> Result<serde_json::Value> {
        let said = self.peer().ask(&[&format!("show bgp neighbors {} json", self.router)])?;
        let mut all: serde_json::Value =
            serde_json::from_str(&said).map_err(|error| LabError::new(format!("{error}: {said}")))?;
        Ok(all[&self.router].take())
    }

    /// FRR's configuration of the session.
    fn configure_frr(&self, line: &str) {
        self.peer().ask(&["configure terminal", "router bgp 64512", line]).unwrap();
    }

    /// The leaf's operator takes the session down.
    fn leaf_shuts_down(&self, text: &str) {
        match self.peer().daemon() {
            Daemon::Frr => self.configure_frr(&format!("neighbor {} shutdown message {text}", self.router)),
            Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => {
                drop(self.peer().ask(&["disable", "n0", &format!("\"{text}\"")]).unwrap())
            }
        }
    }

    fn leaf_comes_back(&self) {
        match self.peer().daemon() {
            Daemon::Frr => self.configure_frr(&format!("no neighbor {} shutdown", self.router)),
            Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => drop(self.peer().ask(&["enable", "n0"]).unwrap()),
        }
    }

    /// The leaf's operator wants our routes again.
    fn leaf_asks_again(&self) {
        match self.peer().daemon() {
            Daemon::Frr => self.peer().ask(&[&format!("clear bgp ipv4 unicast {} soft in", self.router)]).unwrap(),
            Daemon::Bird | Daemon::Gobgp | Daemon::Perouter => self.peer().ask(&["reload", "in", "n0"]).unwrap(),
        };
    }

    /// RFC 4486 section 4, RFC 9003 section 2.
    fn a_shutdown_is_told_and_lasts_until_a_clear(&self) {
        let said = self.perouter(&["shutdown", &self.leaf, "--message", "disk change"]);
        assert!(said.starts_with(&format!("{}: shut down", self.leaf)), "{said}");
        self.fabric.wait("the leaf shows the text", || match self.told() {
            Ok(text) if text.trim_matches('"') == "disk change" => Ok(()),
            Ok(text) => Err(text),
            Err(error) => Err(error.to_string()),
        });
        self.is_up(false);
        let remedy = format!("`perouter clear {}` brings it back", self.leaf);
        status_says(self.fabric.node(), &["NOT HEALTHY", "shut down by an operator: disk change", &remedy]);
        let peer = peer_is(self.fabric.node(), self.leaf.parse().unwrap(), "idle");
        assert_eq!(peer["shut_down"], true, "{peer}");
        let refused = self.fabric.node().ask(&["clear", &self.leaf, "--soft", "in"]).unwrap();
        let why = format!("there is no session with {}: nothing to refresh", self.leaf);
        assert!(!refused.ok() && refused.stderr.contains(&why), "{}", refused.stderr);

        let said = self.perouter(&["clear", &self.leaf]);
        assert_eq!(said, format!("{}: reset\n", self.leaf));
        self.is_up(true);
        let peer = peer_is(self.fabric.node(), self.leaf.parse().unwrap(), "established");
        assert_eq!(peer["shut_down"], false, "{peer}");
    }

    /// RFC 9003 section 2, the other way round.
    fn the_leafs_own_text_is_shown(&self) {
        self.leaf_shuts_down("new optics");
        self.fabric.wait("the router shows the text", || {
            let said = self.fabric.node().ask(&["peers", &self.leaf]).map_err(|error| error.to_string())?;
            // FRR wraps it into a hard reset (RFC 8538 section 3).
            let shown = ["received Cease/", "Cease/Administrative Shutdown: new optics"];
            let shown = shown.iter().all(|words| said.stdout.contains(words));
            if shown { Ok(()) } else { Err(said.stdout) }
        });
        self.leaf_comes_back();
        self.is_up(true);
    }

    /// RFC 2918 section 4: everything is sent again, and the session stays what it was.
    fn routes_are_exchanged_again_within_the_session(&self) {
        self.fabric.routes_pass(&addresses(Family::Ipv4));
        let leaf = self.leaf.parse().unwrap();
        let flaps = peer_is(self.fabric.node(), leaf, "established")["flaps"].clone();
        let requests =
            || peer_is(self.fabric.node(), leaf, "established")["messages_received"]["route_refresh"].as_u64().unwrap();
        self.counts_more(
            "soft in",
            |counts| counts.0,
            || {
                let said = self.perouter(&["clear", &self.leaf, "--soft", "in"]);
                assert_eq!(said, format!("{}: asked to send its routes again\n", self.leaf));
            },
        );
        self.counts_more(
            "soft out",
            |counts| counts.1,
            || {
                let said = self.perouter(&["clear", &self.leaf, "--soft", "out"]);
                assert_eq!(said, format!("{}: being sent our routes again\n", self.leaf));
            },
        );
        let before = requests();
        self.counts_more("the leaf asks", |counts| counts.1, || self.leaf_asks_again());
        assert!(requests() > before, "it asked by a message");
        assert_eq!(peer_is(self.fabric.node(), leaf, "established")["flaps"], flaps);
        self.fabric.routes_pass(&addresses(Family::Ipv4));
        healthy(self.fabric.node());
    }

    /// One of the leaf's two counts rises because of `act`.
    #[track_caller]
    fn counts_more(&self, what: &str, which: impl Fn((u64, u64)) -> u64, act: impl FnOnce()) {
        let before = which(self.counts().unwrap());
        act();
        self.fabric.wait(&format!("{what}: the leaf counts more"), || {
            let now = which(self.counts().map_err(|error| error.to_string())?);
            if now > before { Ok(()) } else { Err(format!("{now}, {before} before")) }
        });
    }
}

#[test]
fn an_operator_and_frr_as_leaf() {
    let bench = Bench::new(Daemon::Frr);
    bench.routes_are_exchanged_again_within_the_session();
    bench.a_shutdown_is_told_and_lasts_until_a_clear();
    bench.the_leafs_own_text_is_shown();
}

#[test]
fn an_operator_and_bird_as_leaf() {
    let bench = Bench::new(Daemon::Bird);
    bench.routes_are_exchanged_again_within_the_session();
    bench.a_shutdown_is_told_and_lasts_until_a_clear();
    bench.the_leafs_own_text_is_shown();
}
