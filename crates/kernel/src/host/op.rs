//! The steps of a plan, as data and as sentences.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::WAY_BACK;
use crate::rule::Rule;

/// One of the two namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The host's.
    Host,
    /// The router's.
    Router,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "on the host",
            Self::Router => "in the router's namespace",
        })
    }
}

/// One step from what is to what should be. `Display` is the sentence that people read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Make the namespace, or take it as it is.
    EnsureNamespace {
        /// Its name.
        name: String,
    },
    /// Set a kernel setting in the router's namespace.
    SetSysctl {
        /// Path below /proc/sys.
        key: String,
        /// Value.
        value: String,
        /// Kernels without it do without.
        optional: bool,
    },
    /// Give a NIC back to the host.
    ReturnNic {
        /// Its name.
        nic: String,
        /// Addresses it gets there.
        addresses: Vec<IpNet>,
    },
    /// Put the saved addresses on a NIC that came back to the host by itself.
    RestoreNic {
        /// Its name.
        nic: String,
        /// Addresses it gets.
        addresses: Vec<IpNet>,
    },
    /// Take a NIC into the router's namespace.
    MoveNic {
        /// Its name.
        nic: String,
        /// The namespace.
        namespace: String,
        /// Addresses it gets there.
        addresses: Vec<IpNet>,
    },
    /// Mark a NIC that is inside as one to give back.
    MarkNic {
        /// Its name.
        nic: String,
    },
    /// Nothing can be done: there is no NIC of this name.
    AwaitNic {
        /// Its name.
        nic: String,
        /// What became of it.
        missing: Missing,
    },
    /// Remove a link.
    DeleteLink {
        /// Where.
        place: Place,
        /// Its name.
        link: String,
        /// Why, for people.
        reason: &'static str,
    },
    /// Make the veth pair.
    CreateVeth {
        /// End on the host.
        host_name: String,
        /// End in the router's namespace.
        ns_name: String,
        /// In bytes.
        mtu: u32,
    },
    /// Set a link's MTU.
    SetMtu {
        /// Where.
        place: Place,
        /// Its name.
        link: String,
        /// In bytes.
        mtu: u32,
    },
    /// Take an address away.
    RemoveAddress {
        /// Where.
        place: Place,
        /// Name of the link.
        link: String,
        /// Address and prefix length.
        address: IpNet,
    },
    /// Add an address.
    AddAddress {
        /// Where.
        place: Place,
        /// Name of the link.
        link: String,
        /// Address and prefix length.
        address: IpNet,
    },
    /// Set a link up.
    LinkUp {
        /// Where.
        place: Place,
        /// Its name.
        link: String,
    },
    /// Add a rule in the router's namespace.
    AddRule {
        /// The rule.
        rule: Rule,
    },
    /// Take a rule of ours away.
    RemoveRule {
        /// The rule.
        rule: Rule,
    },
    /// Add the default route of [`super::WAY_BACK`] in the router's namespace.
    AddWay {
        /// Outgoing link.
        link: String,
        /// Gateway.
        gateway: IpAddr,
    },
    /// Take a route of ours out of that table.
    RemoveWay {
        /// The route.
        way: SeenWay,
    },
}

/// Why there is no NIC of a desired name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It was never taken.
    Never,
    /// It was taken, and is neither in the router's namespace nor on the host.
    Gone,
    /// It was taken, and has another name in the router's namespace.
    Renamed(String),
}

/// A route of ours in the table [`super::WAY_BACK`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenWay {
    /// Destination.
    pub prefix: IpNet,
    /// Name of the outgoing link; empty when it has none.
    pub link: String,
    /// Gateway.
    pub gateway: Option<IpAddr>,
}

impl Op {
    /// The link, namespace or setting that it is about.
    #[must_use]
    pub fn object(&self) -> &str {
        match self {
            Self::EnsureNamespace { name } => name,
            Self::SetSysctl { key, .. } => key,
            Self::ReturnNic { nic, .. }
            | Self::RestoreNic { nic, .. }
            | Self::MoveNic { nic, .. }
            | Self::MarkNic { nic }
            | Self::AwaitNic { nic, .. } => nic,
            Self::CreateVeth { host_name, .. } => host_name,
            Self::DeleteLink { link, .. }
            | Self::SetMtu { link, .. }
            | Self::RemoveAddress { link, .. }
            | Self::AddAddress { link, .. }
            | Self::LinkUp { link, .. }
            | Self::AddWay { link, .. } => link,
            Self::AddRule { rule } | Self::RemoveRule { rule } => rule.object(),
            Self::RemoveWay { way } => &way.link,
        }
    }

    /// Whether it only takes away or gives back: what a teardown does.
    pub(super) fn removes(&self) -> bool {
        match self {
            Self::ReturnNic { .. }
            | Self::RestoreNic { .. }
            | Self::DeleteLink { .. }
            | Self::RemoveRule { .. }
            | Self::RemoveWay { .. } => true,
            Self::EnsureNamespace { .. }
            | Self::SetSysctl { .. }
            | Self::MoveNic { .. }
            | Self::MarkNic { .. }
            | Self::AwaitNic { .. }
            | Self::CreateVeth { .. }
            | Self::SetMtu { .. }
            | Self::RemoveAddress { .. }
            | Self::AddAddress { .. }
            | Self::LinkUp { .. }
            | Self::AddRule { .. }
            | Self::AddWay { .. } => false,
        }
    }

    /// Whether it is about the namespace alone, whatever is in it.
    pub(super) fn prepares(&self) -> bool {
        match self {
            Self::EnsureNamespace { .. } | Self::SetSysctl { .. } => true,
            Self::LinkUp { place, link } => (*place, link.as_str()) == (Place::Router, "lo"),
            Self::AddRule { rule } => matches!(rule, Rule::Silence { .. }),
            Self::ReturnNic { .. }
            | Self::RestoreNic { .. }
            | Self::MoveNic { .. }
            | Self::MarkNic { .. }
            | Self::AwaitNic { .. }
            | Self::DeleteLink { .. }
            | Self::CreateVeth { .. }
            | Self::SetMtu { .. }
            | Self::RemoveAddress { .. }
            | Self::AddAddress { .. }
            | Self::RemoveRule { .. }
            | Self::AddWay { .. }
            | Self::RemoveWay { .. } => false,
        }
    }

    /// Whether packets in transit may have been lost before this step: something was missing on their way. What only
    /// guards it, or goes, is not that.
    #[must_use]
    pub fn completes_the_way(&self) -> bool {
        match self {
            Self::EnsureNamespace { .. }
            | Self::MoveNic { .. }
            | Self::AwaitNic { .. }
            | Self::CreateVeth { .. }
            | Self::AddAddress { .. }
            | Self::LinkUp { .. } => true,
            // A newer version may want more of the others.
            Self::SetSysctl { key, .. } => key.ends_with("/forwarding") || key.ends_with("/disable_ipv6"),
            Self::ReturnNic { .. }
            | Self::RestoreNic { .. }
            | Self::MarkNic { .. }
            | Self::DeleteLink { .. }
            | Self::SetMtu { .. }
            | Self::RemoveAddress { .. }
            | Self::AddRule { .. }
            | Self::RemoveRule { .. }
            | Self::AddWay { .. }
            | Self::RemoveWay { .. } => false,
        }
    }

    /// The NIC that it gives back.
    pub(super) fn returned_nic(&self) -> Option<&str> {
        if let Self::ReturnNic { nic, .. } = self { Some(nic) } else { None }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnsureNamespace { name } => write!(f, "create namespace {name}"),
            Self::SetSysctl { key, value, .. } => {
                write!(f, "set sysctl {key} to {value} in the router's namespace")
            }
            Self::ReturnNic { nic, addresses } => {
                write!(f, "give NIC {nic} back to the host{}", With(addresses))
            }
            Self::RestoreNic { nic, addresses } => {
                write!(f, "restore NIC {nic} on the host{}", With(addresses))
            }
            Self::MoveNic { nic, namespace, addresses } => {
                write!(f, "move NIC {nic} into namespace {namespace}{}", With(addresses))
            }
            Self::MarkNic { nic } => write!(f, "mark NIC {nic} as one to give back"),
            Self::AwaitNic { nic, missing } => {
                write!(f, "wait for NIC {nic}, which ")?;
                match missing {
                    Missing::Never => f.write_str("does not exist on this node"),
                    Missing::Gone => f.write_str("was taken out of the router's namespace"),
                    Missing::Renamed(name) => write!(f, "was renamed to {name}"),
                }
            }
            Self::DeleteLink { place, link, reason } => write!(f, "delete link {link} {place}: {reason}"),
            Self::CreateVeth { host_name, ns_name, mtu } => {
                write!(f, "create veth pair {host_name} on the host, {ns_name} in the router's namespace, MTU {mtu}")
            }
            Self::SetMtu { place, link, mtu } => {
                write!(f, "set the MTU of {link} {place} to {mtu}")
            }
            Self::RemoveAddress { place, link, address } => write!(f, "remove address {address} from {link} {place}"),
            Self::AddAddress { place, link, address } => write!(f, "add address {address} to {link} {place}"),
            Self::LinkUp { place, link } => write!(f, "set {link} {place} up"),
            Self::AddRule { rule } => write!(f, "add {rule} in the router's namespace"),
            Self::RemoveRule { rule } => write!(f, "remove {rule} in the router's namespace"),
            Self::AddWay { link, gateway } => {
                write!(f, "add IPv6 route default via {gateway} dev {link} table {WAY_BACK} in the router's namespace")
            }
            Self::RemoveWay { way: SeenWay { prefix, link, .. } } => {
                write!(f, "remove IPv6 route {prefix} dev {link} table {WAY_BACK} in the router's namespace")
            }
        }
    }
}

/// " with A, B", or nothing.
struct With<'a>(&'a [IpNet]);

impl fmt::Display for With<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if position == 0 { " with " } else { ", " })?;
        }
        Ok(())
    }
}
