//! The binary under test, as the speaker that a person would configure.

use std::fmt::Write as _;

use testbed::Family;

use super::{peers, range, write};
use crate::Result;
use crate::site::{FABRIC_AS, HOST_AS, ROUTER_AS, Side, Site};

pub(super) fn start(site: &Site) -> Result<Vec<u32>> {
    let file = write(site, "speak.yaml", &config(site))?;
    let (file, log) = (file.to_string_lossy().into_owned(), site.dir().join("perouter.log"));
    Ok(vec![site.lab.spawn(&site.router, site.lab.perouter(), &["speak", &file], &log)?])
}

fn config(site: &Site) -> String {
    let plan = &site.plan;
    let family = match plan.family {
        Family::Ipv4 => "ipv4unicast",
        Family::Ipv6 => "ipv6unicast",
    };
    let state = site.dir().join("state");
    let mut out = format!(
        "asn: {ROUTER_AS}\nrouterID: 192.168.11.1\nconnectRetrySeconds: 1\nstateDir: {}\nkernelRoutes: {}\n",
        state.display(),
        plan.kernel
    );
    if plan.restarts {
        out.push_str("gracefulRestart: {}\n");
    }
    if plan.strict {
        out.push_str(STRICT);
    }
    out.push_str("neighbors:\n");
    let mut one = |who: String, asn: u32, role: &str| {
        let _ = writeln!(out, "  - {{{who}, asn: {asn}, role: {role}, addressFamilies: [{family}]}}");
    };
    for address in peers(site, Side::Fabric) {
        one(format!("address: \"{address}\""), FABRIC_AS, "fabric");
    }
    if plan.range {
        one(format!("listenRange: \"{}\"", range(site, Side::Host)), HOST_AS, "host");
    } else {
        for address in peers(site, Side::Host) {
            one(format!("address: \"{address}\""), HOST_AS, "host");
        }
    }
    out
}

/// How it is told to advertise a route when the kernel has it.
const STRICT: &str = "advertiseAfterFib: true\n";
