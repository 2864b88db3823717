//! The router's file, as a user writes it, from the parts that a test cares about.

use std::fmt;

use testbed::Family;
use testbed::passthrough::{HOST_ASN, LEAF_ASN, ROUTER_ASN, addresses_of};

/// `openpe_*.yaml`. Every list holds YAML as it stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct Yaml {
    /// The router's AS.
    pub(crate) asn: u32,
    /// NICs that it takes.
    pub(crate) nics: Vec<String>,
    /// Neighbours, each without its braces.
    pub(crate) neighbors: Vec<String>,
    /// Other fields of the underlay.
    pub(crate) underlay: Vec<String>,
    /// Who the host is: `hostASN: ..` or `hostType: ..`.
    pub(crate) host: String,
    /// `localCIDR`, without its braces; empty: no passthrough at all.
    pub(crate) local: String,
    /// Other fields of the host session.
    pub(crate) session: Vec<String>,
    /// Other fields of the passthrough.
    pub(crate) passthrough: Vec<String>,
}

impl Yaml {
    /// One leaf, with every family listed as the README has it.
    pub(crate) fn new() -> Self {
        Self::with_leaves(1, Family::ALL.as_slice())
    }

    /// Leaves, each with a NIC and a neighbour per family that carries this family.
    pub(crate) fn with_leaves(leaves: u8, families: &[Family]) -> Self {
        let neighbor = |leaf: u8, family: Family| {
            let listed = format!("addressFamilies: [{{type: {}}}]", word(family));
            format!("asn: {}, {}, {listed}", LEAF_ASN + u32::from(leaf), address(leaf, family))
        };
        Self {
            asn: ROUTER_ASN,
            nics: (0..leaves).map(testbed::passthrough::nic_name).collect(),
            neighbors: (0..leaves).flat_map(|l| families.iter().map(move |f| neighbor(l, *f))).collect(),
            underlay: Vec::new(),
            host: format!("hostASN: {HOST_ASN}"),
            local: local(families),
            session: Vec::new(),
            passthrough: Vec::new(),
        }
    }

    /// The same with these neighbours instead.
    pub(crate) fn neighbors<T: Into<String>>(mut self, neighbors: impl IntoIterator<Item = T>) -> Self {
        self.neighbors = neighbors.into_iter().map(Into::into).collect();
        self
    }

    /// The same with one more field of the underlay.
    pub(crate) fn underlay(mut self, field: &str) -> Self {
        self.underlay.push(field.to_owned());
        self
    }

    /// The same with one more field of the host session.
    pub(crate) fn session(mut self, field: &str) -> Self {
        self.session.push(field.to_owned());
        self
    }

    /// The same with one more field of the passthrough.
    pub(crate) fn passthrough(mut self, field: &str) -> Self {
        self.passthrough.push(field.to_owned());
        self
    }
}

/// `localCIDR` without its braces.
pub(crate) fn local(families: &[Family]) -> String {
    let one = |f: &Family| match f {
        Family::Ipv4 => "ipv4: 192.169.10.0/24",
        Family::Ipv6 => "ipv6: \"2001:db8:10::/64\"",
    };
    families.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `address: ..` of a leaf.
pub(crate) fn address(leaf: u8, family: Family) -> String {
    format!("address: \"{}\"", addresses_of(family, leaf, 0).leaf)
}

/// A family as the configuration spells it.
pub(crate) fn word(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4unicast",
        Family::Ipv6 => "ipv6unicast",
    }
}

impl fmt::Display for Yaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "underlays:\n  - asn: {}\n    interfaces:", self.asn)?;
        for nic in &self.nics {
            writeln!(f, "      - {{type: NetworkDevice, networkDevice: {{interfaceName: {nic}}}}}")?;
        }
        writeln!(f, "    neighbors:")?;
        for neighbor in &self.neighbors {
            writeln!(f, "      - {{{neighbor}}}")?;
        }
        for field in &self.underlay {
            writeln!(f, "    {field}")?;
        }
        if self.local.is_empty() {
            return Ok(());
        }
        writeln!(f, "bgppassthrough:\n  hostSession:\n    asn: {}\n    {}", self.asn, self.host)?;
        writeln!(f, "    localCIDR: {{{}}}", self.local)?;
        for field in &self.session {
            writeln!(f, "    {field}")?;
        }
        for field in &self.passthrough {
            writeln!(f, "  {field}")?;
        }
        Ok(())
    }
}
