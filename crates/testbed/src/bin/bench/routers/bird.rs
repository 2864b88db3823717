//! BIRD 2.

use std::fmt::Write as _;

use testbed::Family;

use super::{launch, peers, range, write};
use crate::Result;
use crate::site::{FABRIC_AS, HOST_AS, ROUTER_AS, Side, Site};

pub(super) fn start(site: &Site, again: bool) -> Result<Vec<u32>> {
    let file = write(site, "bird.conf", &config(site))?;
    let path = |name: &str| site.dir().join(name).to_string_lossy().into_owned();
    let (file, socket, pid) = (file.to_string_lossy().into_owned(), path("bird.ctl"), path("bird.pid"));
    let mut args = vec!["-f".to_owned(), "-c".into(), file, "-s".into(), socket, "-P".into(), pid];
    if again && site.plan.restarts {
        args.push("-R".into());
    }
    Ok(vec![launch(site, "bird", &args)?])
}

fn config(site: &Site) -> String {
    let plan = &site.plan;
    let family = match plan.family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    };
    let mut out = "log stderr { warning, error, fatal };\nrouter id 192.168.11.1;\nprotocol device {}\n".to_owned();
    if plan.kernel {
        let keep = if plan.restarts { "persist; graceful restart;" } else { "" };
        let _ = writeln!(
            out,
            "protocol kernel {{ {family} {{ import none; export where source = RTS_BGP; }}; merge paths on limit 64; {keep} }}"
        );
    }
    let restarts = if plan.restarts { "graceful restart on;" } else { "" };
    let _ = writeln!(
        out,
        "template bgp common {{ local as {ROUTER_AS}; {restarts} {family} {{ import all; export all; }}; \
         connect retry time 1; connect delay time 1; error wait time 1, 2; }}"
    );
    for (i, address) in peers(site, Side::Fabric).iter().enumerate() {
        let own = site.own(Side::Fabric);
        let _ = writeln!(
            out,
            "protocol bgp fabric{i} from common {{ source address {own}; neighbor {address} as {FABRIC_AS}; allow local as 3; }}"
        );
    }
    let own = site.own(Side::Host);
    if plan.range {
        let range = range(site, Side::Host);
        let _ = writeln!(
            out,
            "protocol bgp hosts from common {{ source address {own}; neighbor range {range} as {HOST_AS}; dynamic name \"h\"; }}"
        );
    } else {
        for (i, address) in peers(site, Side::Host).iter().enumerate() {
            let _ = writeln!(
                out,
                "protocol bgp host{i} from common {{ source address {own}; neighbor {address} as {HOST_AS}; }}"
            );
        }
    }
    out
}
