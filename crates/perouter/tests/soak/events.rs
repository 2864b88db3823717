//! What happens: one event after the other, some of which last while others come.
//!
//! Owns the site and the random numbers. [`crate::deeds`] says what each event does.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use testbed::passthrough::LEAF_ASN;
use testbed::{Daemon, find_program, ip, run};

use crate::harness::{Plan, Site};
use crate::leaf;

/// Most milliseconds that something lasts.
const LONGEST: u64 = 3000;
/// Most milliseconds from one event to the next.
const PAUSE: u64 = 800;

/// What is concerned: it happens to each of them once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Leaf(usize),
    Link(usize),
    Nic(usize),
    Host,
    Router,
    File,
    Drain,
    Processors,
}

/// Everything that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    LeafEnds,
    LeafRoute,
    LinkDown,
    LinkSilent,
    NicDown,
    NicMoved,
    NicRenamed,
    HostEnds,
    HostRoute,
    AddressPlan,
    Crash,
    Upgrade,
    Stop,
    NameDeleted,
    Flood,
    Timers,
    OtherObject,
    VethDeleted,
    VethChanged,
    Setting,
    Cleared,
    RoutesFlushed,
    NextHopsFlushed,
    RouteReplaced,
    Drain,
    Busy,
}

impl Kind {
    const ALL: [Self; 26] = [
        Self::LeafEnds,
        Self::LeafRoute,
        Self::LinkDown,
        Self::LinkSilent,
        Self::NicDown,
        Self::NicMoved,
        Self::NicRenamed,
        Self::HostEnds,
        Self::HostRoute,
        Self::AddressPlan,
        Self::Crash,
        Self::Upgrade,
        Self::Stop,
        Self::NameDeleted,
        Self::Flood,
        Self::Timers,
        Self::OtherObject,
        Self::VethDeleted,
        Self::VethChanged,
        Self::Setting,
        Self::Cleared,
        Self::RoutesFlushed,
        Self::NextHopsFlushed,
        Self::RouteReplaced,
        Self::Drain,
        Self::Busy,
    ];

    fn subject(self, leaf: usize) -> Subject {
        match self {
            Self::LeafEnds => Subject::Leaf(leaf),
            // Networks are changed by a command to FRR, the first leaf.
            Self::LeafRoute => Subject::Leaf(0),
            Self::LinkDown | Self::LinkSilent => Subject::Link(leaf),
            Self::NicDown | Self::NicMoved | Self::NicRenamed => Subject::Nic(leaf),
            Self::HostEnds | Self::HostRoute | Self::AddressPlan => Subject::Host,
            Self::OtherObject => Subject::File,
            Self::Drain => Subject::Drain,
            Self::Busy => Subject::Processors,
            Self::Crash
            | Self::Upgrade
            | Self::Stop
            | Self::NameDeleted
            | Self::Flood
            | Self::Timers
            | Self::VethDeleted
            | Self::VethChanged
            | Self::Setting
            | Self::Cleared
            | Self::RoutesFlushed
            | Self::NextHopsFlushed
            | Self::RouteReplaced => Subject::Router,
        }
    }

    /// Whether another process comes of it.
    fn replaces_the_router(self) -> bool {
        matches!(self, Self::Crash | Self::Upgrade)
    }
}

/// What lasts, until somebody ends it.
struct Lasting {
    until: Instant,
    subject: Subject,
    cure: Cure,
}

/// How it ends.
#[derive(Debug)]
pub(crate) enum Cure {
    Nothing,
    StartLeaf,
    StartHost,
    StartRouter,
    Resume,
    RaiseLink,
    RaiseNic,
    MoveBack,
    NameBack,
    Unplug,
    Undrain,
    RemoveFile,
    End(Vec<u32>),
}

/// The site and what happens to it.
pub(crate) struct Storm {
    pub(crate) site: Site,
    /// Where NICs are moved to.
    pub(crate) elsewhere: String,
    /// Whether the router's process may be replaced: what it gathers in time shows only if it lives for some time.
    pub(crate) may_replace: bool,
    /// How often each kind has happened.
    pub(crate) counts: BTreeMap<Kind, u64>,
    random: u64,
    lasting: Vec<Lasting>,
    pub(crate) reloads: u64,
}

impl Storm {
    /// An FRR leaf, and one of BIRD with BFD; graceful restart everywhere.
    pub(crate) fn start(seed: u64) -> Self {
        let plan = Plan::new(&[Daemon::Frr, Daemon::Bird], Daemon::Bird)
            .yaml(|yaml| {
                let mut yaml = yaml.underlay("gracefulRestart: {}");
                // The second leaf's, one per family.
                for neighbor in &mut yaml.neighbors[2..] {
                    neighbor.push_str(", bfd: {receiveInterval: 300, transmitInterval: 300, detectMultiplier: 3}");
                }
                yaml
            })
            .leaf(|config| {
                if config.asn != LEAF_ASN {
                    config.text = Some(leaf::with_bfd(config));
                }
            });
        let site = plan.start();
        for ns in &site.net.leaves {
            // As routers do it; the kernel alone would take the IPv6 addresses of a link that goes down away for good.
            let keep = "echo 1 > /proc/sys/net/ipv6/conf/all/keep_addr_on_down";
            let said = run(Some(ns), find_program("sh").unwrap(), &["-c", keep]).unwrap();
            assert!(said.ok(), "{said:?}");
        }
        let elsewhere = site.net.lab.namespace("elsewhere").unwrap();
        // A stranger's, for all time.
        ip::change(&site.node().router_ns, &["route", "add", "blackhole", FOREIGN]).unwrap();
        let counts = Kind::ALL.map(|kind| (kind, 0)).into();
        Self { site, elsewhere, may_replace: true, counts, random: seed, lasting: Vec::new(), reloads: 0 }
    }

    /// A number below a limit (splitmix64).
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// Milliseconds until the next event.
    pub(crate) fn pause(&mut self) -> u64 {
        1 + self.below(PAUSE)
    }

    /// Ends what has lasted long enough, and lets something else happen.
    pub(crate) fn step(&mut self) -> Vec<String> {
        let now = Instant::now();
        let mut said = self.cure(|lasting| lasting.until <= now);
        said.extend(self.happen());
        said
    }

    /// Ends everything that lasts.
    pub(crate) fn heal(&mut self) -> Vec<String> {
        self.cure(|_| true)
    }

    fn cure(&mut self, which: impl Fn(&Lasting) -> bool) -> Vec<String> {
        let (over, rest) = std::mem::take(&mut self.lasting).into_iter().partition(|lasting| which(lasting));
        self.lasting = rest;
        let over: Vec<Lasting> = over;
        over.into_iter().map(|lasting| self.end(lasting.subject, lasting.cure)).collect()
    }

    /// One event, if what it concerns is not in the midst of another.
    fn happen(&mut self) -> Option<String> {
        let leaf = self.below(2) as usize;
        let number = self.below(64) as u8;
        let kind = Kind::ALL[self.below(Kind::ALL.len() as u64) as usize];
        let subject = kind.subject(leaf);
        let busy = self.lasting.iter().any(|lasting| lasting.subject == subject);
        if busy || kind.replaces_the_router() && !self.may_replace {
            return None;
        }
        let (said, cure) = self.deed(kind, leaf, number)?;
        *self.counts.entry(kind).or_default() += 1;
        if !matches!(cure, Cure::Nothing) {
            let until = Instant::now() + Duration::from_millis(1 + self.below(LONGEST));
            self.lasting.push(Lasting { until, subject, cure });
        }
        Some(said)
    }

    /// How often each kind has happened, as a sentence.
    pub(crate) fn counted(&self) -> String {
        let mut out = String::new();
        for (kind, times) in &self.counts {
            let _ = write!(out, "{}{kind:?} {times}", if out.is_empty() { "" } else { ", " });
        }
        out
    }
}

/// A route of a stranger's in the router's namespace, which must not be touched.
pub(crate) const FOREIGN: &str = "198.18.0.0/24";
