//! Routes with our protocol number, each pointing at a next-hop group.
use std::io;
use std::net::IpAddr;
use ipnet::IpNet;
use crate::netns::Namespace;

/// One way out: an on-link gateway on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// Gateway.
    pub gateway: IpAddr,
    /// Kernel index of the outgoing link.
    pub link: u32,
}
/// One unit of work; carried out in this order: set groups, routes, delete groups, sweep.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Groups by the caller's number, with their members in order.
    pub set_groups: Vec<(u32, Vec<Hop>)>,
    /// Routes by group number; `None` deletes.
    pub routes: Vec<(IpNet, Option<u32>)>,
    /// Groups no longer used.
    pub delete_groups: Vec<u32>,
    /// Remove what an earlier process left and nobody has set again since.
    pub sweep: bool,
}
/// What the kernel refused, each with a sentence that names the object.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Routes.
    pub failed_routes: Vec<(IpNet, String)>,
    /// Groups.
    pub failed_groups: Vec<(u32, String)>,
}
/// The FIB of a namespace: owns the netlink socket and the kernel's next-hop ids.
#[derive(Debug)]
pub struct Fib {}
impl Fib {
    /// Opens it and reads what an earlier process left there, which stays in force until swept.
    pub fn open(_ns: &Namespace) -> io::Result<Self> { todo!() }
    /// Carries a batch out. Blocks as long as the kernel needs.
    pub fn apply(&mut self, _batch: &Batch) -> io::Result<Outcome> { todo!() }
    /// Removes every route and next-hop object of ours.
    pub fn clear(&mut self) -> io::Result<()> { todo!() }
    /// Routes of ours in the kernel.
    pub fn len(&mut self) -> io::Result<usize> { todo!() }
}
