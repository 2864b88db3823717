//! What happens in a namespace's kernel state.
use std::io;
use std::net::IpAddr;
use ipnet::IpNet;
use crate::netns::Namespace;

/// A link with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Kernel index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// Has carrier (operational state up or unknown).
    pub carrier: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Kind as the kernel names it ("veth", "vlan", ""), empty for hardware.
    pub kind: String,
    /// Addresses with prefix lengths; tentative and failed (DAD) ones left out.
    pub addresses: Vec<IpNet>,
}
/// A unicast route of the main table that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// Destination.
    pub prefix: IpNet,
    /// Gateway; `None` is on-link.
    pub gateway: Option<IpAddr>,
    /// Outgoing link.
    pub link: u32,
}
/// All links of a namespace.
pub fn links(_ns: &Namespace) -> io::Result<Vec<LinkInfo>> { todo!() }
/// All unicast routes of the main table that were not installed by us, default routes included.
pub fn foreign_routes(_ns: &Namespace) -> io::Result<Vec<RouteInfo>> { todo!() }

/// What changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Links or addresses changed: call [`links`].
    pub links: bool,
    /// Routes that are not ours changed: call [`foreign_routes`].
    pub routes: bool,
    /// Routes or next hops of ours vanished without our asking, or notifications were lost (ENOBUFS):
    /// compare everything.
    pub resync: bool,
}
/// A subscription to kernel notifications.
#[derive(Debug)]
pub struct Monitor {}
impl Monitor {
    /// Subscribes in `ns`.
    pub fn open(_ns: &Namespace) -> io::Result<Self> { todo!() }
    /// Blocks until something changed, then drains what is queued and says what it was.
    pub fn wait(&mut self) -> io::Result<Changes> { todo!() }
}
