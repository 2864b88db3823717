//! A fabric, a router and a host in three namespaces, with scripted speakers on both sides.
//!
//! ```text
//!  fabric AS 64512                    router AS 64514                  host AS 64515
//!  192.168.11.2.. ---- fab0 = eth1 ---- .11.1  192.169.10.1 ---- pt-ns = pt-host ---- 192.169.10.2..
//!  2001:db8:11::2..                   ::1      2001:db8:10::1                         2001:db8:10::2..
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use testbed::{End, Family, Lab, WeakLab};

use crate::Result;
use crate::bgp;
use crate::fib::Fib;
use crate::routes::Table;
use crate::sink::Expected;
use crate::speaker::{Script, Speaker};

pub(crate) const FABRIC_AS: u32 = 64512;
pub(crate) const ROUTER_AS: u32 = 64514;
pub(crate) const HOST_AS: u32 = 64515;
/// Until sessions are up: FRR waits some seconds between attempts.
const UP_PATIENCE: Duration = Duration::from_secs(60);
/// Links have settled when no route came for so long. The kernel tells of a carrier up to a second late, and IPv6 waits for
/// it; detection of duplicate addresses is off.
const fn calm(family: Family) -> Duration {
    match family {
        Family::Ipv4 => Duration::from_millis(100),
        Family::Ipv6 => Duration::from_millis(1300),
    }
}

/// Labs that are up, so that whoever ends the benchmark can remove them.
static LABS: Mutex<Vec<WeakLab>> = Mutex::new(Vec::new());

/// Removes every lab at once.
pub(crate) fn remove_all() {
    let labs = LABS.lock().unwrap_or_else(PoisonError::into_inner);
    for lab in labs.iter().filter_map(WeakLab::upgrade) {
        // What cannot be removed stays on record, and the next lab removes it.
        let _ = lab.remove();
    }
}

/// What a row asks of the site.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) family: Family,
    pub(crate) fabric_peers: u16,
    pub(crate) host_peers: u16,
    /// Host peers are accepted out of a range instead of being configured one by one.
    pub(crate) range: bool,
    /// The router installs routes.
    pub(crate) kernel: bool,
    /// Graceful restart on all sides.
    pub(crate) restarts: bool,
    /// The router tells others of a route when the kernel has it.
    pub(crate) strict: bool,
    /// Peers do not wait for a processor: they stand for other machines, and something besides the router is busy here.
    pub(crate) prompt: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            family: Family::Ipv4,
            fabric_peers: 1,
            host_peers: 1,
            range: false,
            kernel: true,
            restarts: false,
            strict: false,
            prompt: false,
        }
    }
}

/// A side of the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Fabric,
    Host,
}

pub(crate) struct Site {
    pub(crate) lab: Lab,
    pub(crate) plan: Plan,
    pub(crate) fabric: String,
    pub(crate) router: String,
    pub(crate) host: String,
}

impl Site {
    pub(crate) fn build(perouter: &Path, plan: Plan) -> Result<Self> {
        let lab = Lab::new(perouter)?;
        LABS.lock().unwrap_or_else(PoisonError::into_inner).push(lab.downgrade());
        let [fabric, router, host] = ["fabric", "router", "host"].map(|part| lab.namespace(part));
        let site = Self { lab, plan, fabric: fabric?, router: router?, host: host? };
        site.lab.forwards(&site.router)?;
        site.prepare()?;
        let ends = |ns, name, addresses| End { ns, name, addresses };
        let (eth1, pt_ns) = (site.own(Side::Fabric), site.own(Side::Host));
        let far = |side, count| (0..count).map(|i| site.net(site.peer(side, i))).collect::<Vec<_>>();
        let fab0 = ends(&site.fabric, "fab0", far(Side::Fabric, site.plan.fabric_peers));
        let pt_host = ends(&site.host, "pt-host", far(Side::Host, site.plan.host_peers));
        site.lab.link(&fab0, &ends(&site.router, "eth1", vec![site.net(eth1)]), 1500)?;
        site.lab.link(&pt_host, &ends(&site.router, "pt-ns", vec![site.net(pt_ns)]), 1500)?;
        site.wait_calm()?;
        Ok(site)
    }

    /// Sysctls that `perouter run` sets, for every router.
    fn prepare(&self) -> Result<()> {
        const ROUTER: [(&str, &str); 3] = [
            ("ipv4/nexthop_compat_mode", "0"),
            ("ipv4/fib_multipath_hash_policy", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
        ];
        self.lab.sysctls(&self.router, &ROUTER)
    }

    /// Waits until links have the addresses that they give themselves, which come with routes.
    fn wait_calm(&self) -> Result<()> {
        let (mut last, mut since) = (0, Instant::now());
        let fib = self.fib()?;
        while since.elapsed() < calm(self.plan.family) {
            let now = fib.count()?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The router's address on a side.
    pub(crate) fn own(&self, side: Side) -> IpAddr {
        self.address(side, 1)
    }

    /// Address of peer `i` of a side.
    pub(crate) fn peer(&self, side: Side, i: u16) -> IpAddr {
        self.address(side, 2 + i)
    }

    fn address(&self, side: Side, host: u16) -> IpAddr {
        match (self.plan.family, side) {
            (Family::Ipv4, Side::Fabric) => Ipv4Addr::new(192, 168, 11, host as u8).into(),
            (Family::Ipv4, Side::Host) => Ipv4Addr::new(192, 169, 10, host as u8).into(),
            (Family::Ipv6, Side::Fabric) => Ipv6Addr::new(0x2001, 0xdb8, 0x11, 0, 0, 0, 0, host).into(),
            (Family::Ipv6, Side::Host) => Ipv6Addr::new(0x2001, 0xdb8, 0x10, 0, 0, 0, 0, host).into(),
        }
    }

    /// With the length that both sides use.
    pub(crate) fn net(&self, address: IpAddr) -> IpNet {
        IpNet::new_assert(address, if self.plan.family == Family::Ipv4 { 24 } else { 64 })
    }

    /// A directory for the router's files.
    pub(crate) fn dir(&self) -> PathBuf {
        self.lab.dir().join("router")
    }

    pub(crate) fn fib(&self) -> Result<Fib> {
        Fib::of(&self.router, self.plan.family)
    }

    /// Starts a speaker that expects a table of the other side and says `greeting` whenever its session comes up.
    pub(crate) fn speaker(&self, side: Side, i: u16, expects: &Arc<Table>, greeting: Arc<[u8]>) -> Result<Speaker> {
        Speaker::start(self.script(side, i, expects, greeting))
    }

    pub(crate) fn script(&self, side: Side, i: u16, expects: &Arc<Table>, greeting: Arc<[u8]>) -> Script {
        let (ns, asn, other) = match side {
            Side::Fabric => (&self.fabric, FABRIC_AS, HOST_AS),
            Side::Host => (&self.host, HOST_AS, FABRIC_AS),
        };
        let remote = self.own(side);
        let expected = Expected { table: Arc::clone(expects), ases: [ROUTER_AS, other], next_hop: remote };
        Script {
            ns: ns.clone(),
            local: self.peer(side, i),
            remote,
            asn,
            expected,
            restarts: self.plan.restarts,
            prompt: self.plan.prompt,
            greeting,
            slow: false,
        }
    }

    /// The whole of a table as peer `i` of the fabric sends it.
    pub(crate) fn announcement(&self, side: Side, i: u16, table: &Table) -> Vec<u8> {
        let asn = if side == Side::Fabric { FABRIC_AS } else { HOST_AS };
        bgp::announce(table, &table.sets, asn, self.peer(side, i))
    }
}

/// Waits until every session is up.
pub(crate) fn wait_up<'a>(speakers: impl IntoIterator<Item = &'a Speaker>) -> Result<()> {
    speakers.into_iter().try_for_each(|speaker| speaker.wait_up(UP_PATIENCE))
}
