//! Routes in the host's own table, through the veth pair to the router.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::netns::Namespace;

/// Which table, and where its routes lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTable {
    /// Routing table, 1..=4294967295; 254 is main.
    pub table: u32,
    /// Metric (priority) of every route, 1..=4294967295.
    pub metric: u32,
    /// Name of the host's end of the veth pair.
    pub link: String,
    /// The router's addresses on it, one per family that there is.
    pub gateways: Vec<IpAddr>,
}

/// Our routes in the host's table.
#[derive(Debug)]
pub struct HostRoutes {}

impl HostRoutes {
    /// Opens the table in the host's namespace and reads what an earlier process left there.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn open(_host: &Namespace, _table: HostTable) -> io::Result<Self> {
        todo!()
    }

    /// Makes these routes present (`true`) or absent; returns those that the kernel refused, each with a sentence.
    ///
    /// # Errors
    /// When the kernel cannot be asked at all.
    pub fn apply(&mut self, _routes: &[(IpNet, bool)]) -> io::Result<Vec<(IpNet, String)>> {
        todo!()
    }

    /// Removes what an earlier process left and nobody has asked for since.
    ///
    /// # Errors
    /// When the kernel cannot be asked at all.
    pub fn sweep(&mut self) -> io::Result<()> {
        todo!()
    }

    /// Removes every route of ours from the table, and nothing else.
    ///
    /// # Errors
    /// When the kernel cannot be asked at all.
    pub fn clear(&mut self) -> io::Result<()> {
        todo!()
    }
}
