//! What the kernel itself takes: routes in large batches through one next-hop object, and away again. No router can
//! be faster, so this is what routers are compared with.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::netns::Namespace;
use testbed::{Family, LabError};

use crate::Result;
use crate::netlink::{self, Change, Netlink};
use crate::routes::Table;
use crate::site::{Side, Site};

/// Messages per system call; larger ones are no faster.
const PER_SEND: usize = 500;
/// Number of our next-hop object.
const OBJECT: u32 = 77;

/// How all routes leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// One by one.
    Routes,
    /// With the object that they point at.
    Object,
}

/// Seconds for all routes to come, and to leave.
pub(crate) fn measure(site: &Site, table: &Arc<Table>, leaving: Leaving) -> Result<(f64, f64)> {
    let explain = |e: io::Error| LabError::new(format!("raw routes: {e}"));
    let namespace = Namespace::open(&site.router).map_err(explain)?;
    let namespace = namespace.ok_or_else(|| LabError::new("the router's namespace is gone"))?;
    let (family, gateway) = (site.plan.family, site.peer(Side::Fabric, 0));
    let requests = |adding| netlink::route_requests(family, table.in_order(), adding, OBJECT, PER_SEND);
    let (add, delete) = (requests(true), requests(false));
    let fib = site.fib()?;
    let came = namespace.run(move || insert(&add, family, gateway)).and_then(|done| done).map_err(explain)?;
    fib.verify(table, &[gateway])?;
    let begun = match leaving {
        Leaving::Routes => {
            let all = move || {
                delete
                    .iter()
                    .try_fold(Netlink::open(0)?, |mut netlink, requests| netlink.submit(requests).map(|()| netlink))
            };
            let begun = Instant::now();
            namespace.run(move || all().map(drop)).and_then(|done| done).map_err(explain)?;
            begun
        }
        Leaving::Object => namespace
            .run(move || {
                let mut netlink = Netlink::open(0)?;
                let begun = Instant::now();
                netlink.change(&[object(netlink::DELNEXTHOP, 0, family, vec![])])?;
                Ok(begun)
            })
            .and_then(|done| done)
            .map_err(explain)?,
    };
    // Deletion by the kernel can go on behind the answer.
    let gone = match leaving {
        Leaving::Routes => Instant::now(),
        Leaving::Object => fib.watch(table, &[]).wait(Duration::from_secs(60))?,
    };
    if fib.count()? != 0 {
        return Err(LabError::new("raw routes stay"));
    }
    Ok((came, (gone - begun).as_secs_f64()))
}

fn insert(add: &[Vec<u8>], family: Family, gateway: IpAddr) -> io::Result<f64> {
    let mut netlink = Netlink::open(0)?;
    let link = netlink.link("eth1")?;
    let octets = match gateway {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let attributes = vec![(5, link.to_ne_bytes().to_vec()), (6, octets)];
    netlink.change(&[object(netlink::NEWNEXTHOP, netlink::CREATE, family, attributes)])?;
    let begun = Instant::now();
    for requests in add {
        netlink.submit(requests)?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// A request about our object. Of one that is to go the kernel wants its number and nothing else.
fn object(kind: u16, flags: u16, family: Family, attributes: Vec<(u16, Vec<u8>)>) -> Change {
    let header = match (kind, family) {
        (netlink::DELNEXTHOP, _) => vec![0; 8],
        (_, Family::Ipv4) => vec![2, 0, netlink::PROTOCOL, 0, 0, 0, 0, 0],
        (_, Family::Ipv6) => vec![10, 0, netlink::PROTOCOL, 0, 0, 0, 0, 0],
    };
    let attributes = [vec![(1, OBJECT.to_ne_bytes().to_vec())], attributes].concat();
    Change { kind, flags, header, attributes }
}
