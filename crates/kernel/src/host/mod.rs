//! The host side of passthrough: namespace, NICs, veth pair, addresses, sysctls. Observe, plan, apply.
//!
//! Told what the node should look like ([`DesiredHost`]); [`Site::observe`] reads what it looks like, [`plan()`] says
//! what is to be done, [`Site::apply`] does it. The plan is pure and goes both ways: what is missing is made, what is
//! left over is removed. After a successful apply the next plan is empty; a NIC that does not exist stays in the plan
//! as [`Op::AwaitNic`], whose application is an error. Does not watch (that is [`crate::monitor`]) and keeps nothing
//! in memory; "the host" is the namespace that a [`Site`] holds.
//!
//! **NICs.** A desired NIC is looked for in the router's namespace, then on the host. It is moved with its
//! addresses: all IPv4 ones and the global IPv6 ones, except temporary ones (RFC 8981). They become permanent, since
//! no DHCP client follows the NIC, and IPv6 ones skip duplicate address detection: the address was ours a moment
//! ago, and a tentative address would hold up sessions by a second and more. Its link group is set to
//! [`NIC_GROUP`]: what carries it is given back with the addresses it then has once it is no longer desired. A NIC
//! that somebody else put into the namespace has no mark: it is used and set up, never marked nor given back.
//! Routes, neighbours, queueing disciplines and bonds are not preserved. A NIC of ours that was renamed inside stays
//! there and goes on working while the name is missed: to give it back would cost the traffic, and who renames it back
//! has not to look for it.
//!
//! Before a NIC is moved, its addresses are written to `state_dir/nics/NAME`, and the file goes away when the NIC
//! has been given back; a crash, or the end of the namespace, between the two loses nothing. A file of an earlier boot
//! is ignored. An address in the file that is missing inside is put back.
//!
//! **Veth.** Made in one step with the peer already inside, so no half of it is ever seen elsewhere. A pair counts as
//! right only if each end is the other's peer; else both names are cleared and the pair is made anew. Its MTU is the
//! smallest of the desired NICs'. Addresses are exactly the desired ones; IPv6 link-local ones are left alone, and are there
//! without duplicate address detection: FRR on the host has no IPv6 session before it knows one.
//!
//! **The way back.** A speaker on the host may dial from any address of the host. IPv4 answers it by ARP, which Linux
//! answers for addresses of all its links; IPv6 does not, since a host answers neighbour discovery only for addresses of
//! the link (`ndisc_recv_ns`). So what the router itself sends out of a socket bound to its end of the veth goes to the
//! host's planned address, whatever its destination: one rule for that link, one default route in the table
//! [`WAY_BACK`]. Packets in transit are not bound to a link, and [`crate::fib`] decides where they go.
//!
//! **Nobody there.** While no router runs, the kernel would refuse whoever connects to its port, and a speaker that was
//! refused may wait for minutes (FRR, `bgpd -p 0`, for the whole restart time). Two rules drop what leaves that port without
//! the mark of our sockets: refusals. Who connects then tries again within seconds, and meets the next router.
//!
//! **Sysctls** only inside the namespace: forwarding, `arp_accept`, `accept_untracked_na`, loose source checks,
//! multipath hashing by ports, `nexthop_compat_mode=0` (see [`crate::fib`]), IPv6 on and its addresses kept when a
//! link goes down, router advertisements left to [`crate::advertise`]. Links made or moved later inherit `default`;
//! a NIC that is given back inherits the host's.

mod apply;
mod observe;
mod op;
mod plan;
#[cfg(test)]
mod plan_tests;
pub(crate) mod saved;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::errno::explain_io;
use crate::fib::Fib;
use crate::netns::Namespace;

pub use crate::rule::Rule;
pub use op::{Missing, Op, Place, SeenWay};
pub use plan::plan;

/// Upstream's name of the host's end of the veth pair.
pub const PT_HOST: &str = "pt-host";
/// Upstream's name of the router's end of the veth pair.
pub const PT_NS: &str = "pt-ns";
/// Link group of the NICs that we took, as upstream marks them.
pub const NIC_GROUP: u32 = 4242;
/// MTU of the veth pair, in bytes, while no desired NIC is there.
pub const DEFAULT_MTU: u32 = 1500;

/// Number of the table with the IPv6 way back to the host, and priority of the rule that leads there: before the main
/// table's 32766, whose default route may lead into the fabric, and after the local table's 0.
pub const WAY_BACK: u32 = 20168;

/// What the node should look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredHost {
    /// Name of the router's namespace.
    pub namespace: String,
    /// NICs that belong into it.
    pub nics: Vec<String>,
    /// The veth pair that joins it to the host; `None` removes [`PT_HOST`] and [`PT_NS`].
    pub veth: Option<DesiredVeth>,
    /// Directory that survives the process; a moved NIC's addresses are kept below it. Made when needed.
    pub state_dir: PathBuf,
}

/// The veth pair between host and router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredVeth {
    /// Name of the host's end.
    pub host_name: String,
    /// Name of the router's end.
    pub ns_name: String,
    /// Addresses of the host's end.
    pub host_addresses: Vec<IpNet>,
    /// Addresses of the router's end.
    pub ns_addresses: Vec<IpNet>,
}

/// What is, as far as it matters for [`DesiredHost`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The namespace exists.
    pub namespace: bool,
    /// Links on the host: desired NICs, those with a file of saved addresses, and what has the veth's name.
    pub host: Vec<SeenLink>,
    /// Links in the router's namespace.
    pub router: Vec<SeenLink>,
    /// Our rules in the router's namespace.
    pub rules: Vec<Rule>,
    /// Our routes in the table [`WAY_BACK`] there.
    pub ways: Vec<SeenWay>,
    /// Settings inside that this kernel has, by path below /proc/sys.
    pub sysctls: BTreeMap<String, String>,
    /// Saved addresses of moved NICs.
    pub saved: BTreeMap<String, Vec<IpNet>>,
    /// Desired NICs, still on the host, over which a default route of the host goes: taking one cuts the node off.
    pub default_route: Vec<String>,
    /// Addresses that both the host and the router have, counting the desired NICs as the router's. What the host
    /// sends from such an address is dropped: the router takes it for its own (a martian).
    pub martians: Vec<IpAddr>,
}

impl Observed {
    /// Names of the NICs that were taken into the router's namespace and are still there.
    pub fn taken(&self) -> impl Iterator<Item = &str> {
        let ours = self.router.iter().filter(|link| plan::is_ours(self, link));
        ours.map(|link| link.name.as_str())
    }

    /// Whether this NIC was taken before and is on the host all the same: the namespace ended, or somebody (a network
    /// manager) took it back.
    #[must_use]
    pub fn came_back(&self, nic: &str) -> bool {
        let named = |link: &SeenLink| link.name == nic;
        self.saved.contains_key(nic) && self.host.iter().any(named) && !self.router.iter().any(named)
    }

    /// Whether taking this NIC takes a default route from the host.
    #[must_use]
    pub fn carries_default_route(&self, nic: &str) -> bool {
        self.default_route.iter().any(|other| other == nic)
    }
}

/// A link as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenLink {
    /// Name.
    pub name: String,
    /// Kind as the kernel names it, empty for hardware.
    pub kind: String,
    /// Administratively up.
    pub up: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Link group.
    pub group: u32,
    /// Addresses in the kernel's order, without IPv6 link-local and temporary ones.
    pub addresses: Vec<IpNet>,
    /// Name of the other end of a veth that joins host and router.
    pub peer: Option<String>,
}

/// A step that failed, in words that name the object, the value and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// The object: a link, namespace, address or sysctl.
    pub object: String,
    /// The step, if one failed.
    pub step: Option<Op>,
    /// The sentence.
    pub message: String,
}

impl HostError {
    fn new(object: &str, what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::said(object, explain_io(&format!("cannot {what}"), error))
    }

    /// About an object, in these words.
    pub fn said(object: impl Into<String>, message: impl Into<String>) -> Self {
        Self { object: object.into(), step: None, message: message.into() }
    }

    fn of(step: &Op, error: &std::io::Error) -> Self {
        Self { step: Some(step.clone()), ..Self::new(step.object(), step, error) }
    }
}

/// A host: the namespace in which NICs are found and the host's end of the veth pair lives.
#[derive(Clone, Debug)]
pub struct Site {
    host: Namespace,
}

impl Site {
    /// The namespace of the calling thread is the host.
    pub fn here() -> Result<Self, HostError> {
        let host = Namespace::current()
            .map_err(|error| HostError::new("host", "open the host's network namespace", &error))?;
        Ok(Self { host })
    }

    /// Another namespace is the host.
    #[must_use]
    pub fn new(host: Namespace) -> Self {
        Self { host }
    }

    /// Reads what is there. `Err` only when the kernel cannot be asked at all.
    pub fn observe(&self, desired: &DesiredHost) -> Result<Observed, HostError> {
        observe::observe(&self.host, desired)
            .map_err(|error| HostError::new("host", "read the state of the host's links", &error))
    }

    /// Does it; goes on after a failure where the rest does not depend on it, and collects every error.
    pub fn apply(&self, desired: &DesiredHost, ops: &[Op]) -> Vec<HostError> {
        apply::apply(&self.host, desired, ops)
    }

    /// Makes the namespace and settles its kernel settings, for a router that has no permission to. Links that come later
    /// inherit them. Nothing in the namespace is touched. Returns what was done.
    pub fn prepare(&self, namespace: &str) -> Result<Vec<Op>, Vec<HostError>> {
        // No NIC is given back for want of a place where its addresses are kept: those steps are left out.
        let bare = DesiredHost {
            namespace: namespace.to_owned(),
            nics: Vec::new(),
            veth: None,
            state_dir: PathBuf::from("/nonexistent"),
        };
        let observed = self.observe(&bare).map_err(|error| vec![error])?;
        let mut ops = plan(&bare, &observed);
        ops.retain(Op::prepares);
        let errors = self.apply(&bare, &ops);
        if errors.is_empty() { Ok(ops) } else { Err(errors) }
    }

    /// Removes everything that we made in and for this namespace and gives the NICs back. Fine when nothing is
    /// there. If a NIC cannot be given back, the namespace stays: its end would cost the NIC.
    pub fn teardown(&self, namespace: &str, state_dir: &Path) -> Vec<HostError> {
        let nothing = DesiredHost {
            namespace: namespace.to_owned(),
            nics: Vec::new(),
            veth: None,
            state_dir: state_dir.to_owned(),
        };
        let observed = match self.observe(&nothing) {
            Ok(observed) => observed,
            Err(error) => return vec![error],
        };
        let mut ops = plan(&nothing, &observed);
        ops.retain(Op::removes);
        let mut errors = self.apply(&nothing, &ops);
        if let Err(error) = clear_routes(namespace) {
            errors.push(HostError::new(namespace, format!("remove the routes of namespace {namespace}"), &error));
        }
        let kept: Vec<&str> = ops.iter().filter_map(Op::returned_nic).filter(|nic| failed(&errors, nic)).collect();
        if !kept.is_empty() {
            let message = format!("namespace {namespace} is kept, because {} is still in it", kept.join(", "));
            errors.push(HostError::said(namespace, message));
        } else if let Err(error) = Namespace::unbind(namespace) {
            errors.push(HostError::new(namespace, format!("remove namespace {namespace}"), &error));
        }
        errors
    }
}

fn failed(errors: &[HostError], object: &str) -> bool {
    errors.iter().any(|error| error.object == object)
}

fn clear_routes(namespace: &str) -> std::io::Result<()> {
    match Namespace::open(namespace)? {
        Some(namespace) => Fib::open(&namespace)?.clear(),
        None => Ok(()),
    }
}

/// [`Site::observe`] for the calling thread's namespace.
pub fn observe(desired: &DesiredHost) -> Result<Observed, HostError> {
    Site::here()?.observe(desired)
}

/// [`Site::apply`] for the calling thread's namespace.
pub fn apply(desired: &DesiredHost, ops: &[Op]) -> Vec<HostError> {
    match Site::here() {
        Ok(site) => site.apply(desired, ops),
        Err(error) => vec![error],
    }
}

/// [`Site::teardown`] for the calling thread's namespace.
pub fn teardown(namespace: &str, state_dir: &Path) -> Vec<HostError> {
    match Site::here() {
        Ok(site) => site.teardown(namespace, state_dir),
        Err(error) => vec![error],
    }
}
