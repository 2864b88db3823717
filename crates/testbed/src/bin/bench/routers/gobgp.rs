//! GoBGP, which installs nothing in the kernel: for rows about the speaker alone.

use std::fmt::Write as _;
use std::net::IpAddr;

use testbed::Family;

use super::{launch, peers, write};
use crate::Result;
use crate::site::{FABRIC_AS, HOST_AS, ROUTER_AS, Side, Site};

pub(super) fn start(site: &Site, again: bool) -> Result<Vec<u32>> {
    let file = write(site, "gobgpd.conf", &config(site))?.to_string_lossy().into_owned();
    let mut args = vec!["-f".to_owned(), file, "-t".into(), "toml".into(), "--pprof-disable".into()];
    if again && site.plan.restarts {
        args.push("-r".into());
    }
    Ok(vec![launch(site, "gobgpd", &args)?])
}

fn config(site: &Site) -> String {
    let mut out = format!("[global.config]\nas = {ROUTER_AS}\nrouter-id = \"192.168.11.1\"\n");
    for address in peers(site, Side::Fabric) {
        neighbor(&mut out, site, &address, FABRIC_AS, site.own(Side::Fabric));
    }
    for address in peers(site, Side::Host) {
        neighbor(&mut out, site, &address, HOST_AS, site.own(Side::Host));
    }
    out
}

fn neighbor(out: &mut String, site: &Site, address: &str, asn: u32, own: IpAddr) {
    let family = match site.plan.family {
        Family::Ipv4 => "ipv4-unicast",
        Family::Ipv6 => "ipv6-unicast",
    };
    let _ = writeln!(
        out,
        "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{address}\"\npeer-as = {asn}\n\
         [neighbors.transport.config]\nlocal-address = \"{own}\"\n\
         [neighbors.timers.config]\nconnect-retry = 1\nidle-hold-time-after-reset = 1\n\
         [neighbors.as-path-options.config]\nallow-own-as = 3\n\
         [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\""
    );
}
