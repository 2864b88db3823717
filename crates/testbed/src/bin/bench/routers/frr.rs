//! FRR: zebra for the kernel, bgpd for the sessions, and the daemons that OpenPERouter runs beside them.

use std::fmt::Write as _;
use std::os::unix::fs::chown;
use std::time::Duration;

use testbed::{Family, LabError};

use super::{launch, peers, range, write};
use crate::Result;
use crate::site::{FABRIC_AS, HOST_AS, ROUTER_AS, Side, Site};

pub(super) fn start(site: &Site) -> Result<Vec<u32>> {
    let (user, group) = frr_user()?;
    let dir = site.dir();
    chown(&dir, Some(user), Some(group)).map_err(|e| LabError::new(format!("{}: {e}", dir.display())))?;
    let zebra = write(site, "zebra.conf", "ip nht resolve-via-default\nipv6 nht resolve-via-default\n")?;
    let bgpd = write(site, "bgpd.conf", &config(site))?;
    let empty = write(site, "empty.conf", "")?;
    let arguments = |name: &str, file: &std::path::Path| {
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let pairs = [
            ("-f", file.to_string_lossy().into_owned()),
            ("-i", path(&format!("{name}.pid"))),
            ("-z", path("zserv.api")),
            ("--vty_socket", dir.to_string_lossy().into_owned()),
            ("-P", "0".into()),
            ("--log", "stdout".into()),
        ];
        pairs.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect::<Vec<_>>()
    };
    // What an earlier zebra left would be taken for the new one's.
    let _ = std::fs::remove_file(dir.join("zserv.api"));
    let mut pids =
        vec![launch(site, "zebra", &[arguments("zebra", &zebra), vec!["-s".into(), "90000000".into()]].concat())?];
    site.lab
        .poll(Duration::from_secs(10), || {
            if dir.join("zserv.api").exists() { Ok(()) } else { Err("zebra does not come up") }
        })
        .map_err(LabError::new)?;
    let mut args = arguments("bgpd", &bgpd);
    if !site.plan.kernel {
        args.push("--no_kernel".into());
    }
    pids.push(launch(site, "bgpd", &args)?);
    pids.push(launch(site, "staticd", &arguments("staticd", &empty))?);
    let bfdd =
        [arguments("bfdd", &empty), vec!["--bfdctl".into(), dir.join("bfdd.sock").to_string_lossy().into_owned()]];
    pids.push(launch(site, "bfdd", &bfdd.concat())?);
    Ok(pids)
}

/// Numbers of the distribution's user `frr`, which the daemons become.
fn frr_user() -> Result<(u32, u32)> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("frr:"));
    let mut fields = line.unwrap_or_default().split(':').skip(2).map(str::parse);
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(group))) => Ok((user, group)),
        _ => Err(LabError::new("there is no user frr: is the distribution's package installed?")),
    }
}

fn config(site: &Site) -> String {
    let plan = &site.plan;
    let family = match plan.family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    };
    let mut out = format!(
        "router bgp {ROUTER_AS}\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         no bgp default ipv4-unicast\n bgp router-id 192.168.11.1\n bgp bestpath as-path multipath-relax\n"
    );
    if plan.restarts {
        out.push_str(" bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n");
    }
    let fabric = peers(site, Side::Fabric);
    let hosts = if plan.range { Vec::new() } else { peers(site, Side::Host) };
    let mut active = String::new();
    for address in &fabric {
        let _ = writeln!(out, " neighbor {address} remote-as {FABRIC_AS}\n neighbor {address} timers connect 1");
        let _ = writeln!(active, "  neighbor {address} activate\n  neighbor {address} allowas-in 3");
    }
    for address in &hosts {
        let _ = writeln!(out, " neighbor {address} remote-as {HOST_AS}\n neighbor {address} timers connect 1");
        let _ = writeln!(active, "  neighbor {address} activate");
    }
    if plan.range {
        let range = range(site, Side::Host);
        let _ = writeln!(
            out,
            " neighbor hosts peer-group\n neighbor hosts remote-as {HOST_AS}\n bgp listen limit 5000\n \
             bgp listen range {range} peer-group hosts"
        );
        active.push_str("  neighbor hosts activate\n");
    }
    let _ = writeln!(out, " address-family {family} unicast\n  maximum-paths 64\n{active} exit-address-family\nexit");
    out
}
