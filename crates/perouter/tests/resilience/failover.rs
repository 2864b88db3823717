//! A leaf dies whose routes another leaf has, too; and the last leaf that has them.
//!
//! What it costs does not depend on the number of routes: the first change in the kernel is that of one group.

use std::net::IpAddr;
use std::time::Duration;

use testbed::passthrough::addresses_of;
use testbed::{Family, ip};

use crate::fabric::PATIENCE;
use crate::harness::SOME;
use crate::journal::{Moment, Since};
use crate::many::{Death, Many, how_many, target};
use crate::table::Row;
use crate::traffic::{Loss, Stream};

/// Too many to go to the same leaf by chance.
const FLOWS: u32 = 12;
const FEW: u32 = 1000;

#[test]
fn one_of_two_leaves_dies() {
    for routes in [FEW, how_many()] {
        for death in [Death::Process, Death::Link, Death::Silence] {
            // A new one each time: only so many events about one neighbour are told in a minute.
            one_dies(&mut Many::start(routes), death);
        }
    }
}

fn one_dies(site: &mut Many, death: Death) {
    let streams = flows(site);
    let before = sent(site);
    passes(site, &streams, SOME);
    for (link, (before, now)) in before.into_iter().zip(sent(site)).enumerate() {
        assert!(now > before + SOME, "traffic goes to both leaves, not to {link}: {before} to {now} packets");
    }
    let record = site.record(&format!("{death:?}"));
    let since = Since::now(site.net.node());
    let moment = Moment::now();
    site.kill(0, death);
    passes(site, &streams, SOME);
    let told = since.says(match death {
        Death::Process => "session with 192.168.11.2 lost",
        Death::Link => "NIC eth1 has lost its carrier",
        Death::Silence => "BFD with 192.168.11.2 is down: nothing was heard for 150 ms",
    });
    let told = told.after(moment);
    site.holds(&[1]);
    let groups = record.groups_first();
    let (to_host, to_fabric) = losses(streams);
    let streams = flows(site);
    passes(site, &streams, SOME);
    site.revive(0, death);
    site.holds(&[0, 1]);
    passes(site, &streams, SOME);
    assert_eq!(orphans(site), 0, "every group has routes");

    // One group for both leaves, which has lost a member.
    let [first, ..] = groups.as_slice() else { panic!("no group changed before the routes") };
    assert!(!first.contains('/'), "the group has one member left: {first}");
    assert_eq!(to_host.lost, 0, "the other leaf's packets: {to_host:?}");
    if death == Death::Process {
        assert_eq!(to_fabric.lost, 0, "the leaf's kernel goes on: {to_fabric:?}");
    }
    let how = match death {
        Death::Process => "`kill -9`",
        Death::Link => "link down",
        Death::Silence => "silent, BFD 3 x 50 ms",
    };
    let event = format!("one of two leaves dies with {} routes: {how}", site.routes);
    row(site, &event, (to_host, to_fabric), &format!("told after {told} ms; one group changed before any route"));
    row(site, &format!("{event}; it returns"), losses(streams), "every route leads to both again");
}

/// The group does not wait behind all the routes that are on their way to the kernel.
#[test]
fn one_of_two_leaves_dies_while_its_routes_are_installed() {
    let mut site = Many::start(how_many());
    site.kill(0, Death::Process);
    site.holds(&[1]);
    let streams = flows(&site);
    site.revive(0, Death::Process);
    site.net.lab.wait_until("some routes lead to both leaves, not yet all", PATIENCE, || {
        let found = site.installed()?;
        if found.len() > 1 { Ok(()) } else { Err(format!("{found:?}")) }
    });
    site.kill(0, Death::Silence);
    passes(&site, &streams, SOME);
    site.holds(&[1]);
    site.revive(0, Death::Silence);
    site.holds(&[0, 1]);
    passes(&site, &streams, SOME);
    assert_eq!(orphans(&site), 0, "every group has routes");
    let event = format!("the same while its {} routes are installed", site.routes);
    row(&site, &event, losses(streams), "every route back");
}

/// The last leaf with the routes dies: nothing of them is left; it returns, and everything does.
#[test]
fn the_only_leaf_dies_and_returns() {
    let mut site = Many::start(how_many());
    site.kill(1, Death::Process);
    site.holds(&[0]);
    for death in [Death::Link, Death::Silence] {
        let groups = site.groups().unwrap().len();
        let node = site.net.node().ns.as_str();
        let a = addresses_of(Family::Ipv4, 0, 0);
        let streams = [
            Stream::start((node, a.host_server), &[&site.net.leaves[0]], target(site.routes / 2)),
            Stream::start((&site.net.leaves[0], a.leaf_server), &[node], a.host_server),
        ];
        passes(&site, &streams, SOME);
        site.kill(0, death);
        site.holds(&[]);
        assert_eq!(site.groups().unwrap().len(), groups - 1, "no group is left over: {:?}", site.groups());
        site.revive(0, death);
        site.holds(&[0]);
        assert_eq!(site.groups().unwrap().len(), groups);
        passes(&site, &streams, SOME);
        let [to_fabric, to_host] = streams.map(Stream::finish);
        let event = format!("the only path of {} routes dies ({death:?}) and returns", site.routes);
        row(
            &site,
            &event,
            (to_host, to_fabric),
            "withdrawn and restored in the kernel and at the host; nothing left over",
        );
    }
}

fn row(site: &Many, event: &str, (to_host, to_fabric): (Loss, Loss), held: &str) {
    let peers = format!("{0} / {0}", site.host.daemon());
    Row { event: event.to_owned(), peers, to_host, to_fabric, held: held.to_owned() }.report();
}

/// From the host to whichever leaf the router takes, and last from the second leaf to the host.
fn flows(site: &Many) -> Vec<Stream> {
    let a = addresses_of(Family::Ipv4, 1, 0);
    let sinks: Vec<&str> = site.net.leaves.iter().map(String::as_str).collect();
    let node = site.net.node().ns.as_str();
    let target = |flow: u32| target(flow * (site.routes / FLOWS));
    let mut streams: Vec<Stream> =
        (0..FLOWS).map(|flow| Stream::start((node, a.host_server), &sinks, target(flow))).collect();
    streams.push(Stream::start((sinks[1], a.leaf_server), &[node], a.host_server));
    streams
}

/// To the host and, of all flows the worst, to the fabric.
fn losses(mut streams: Vec<Stream>) -> (Loss, Loss) {
    let to_host = streams.pop().unwrap().finish();
    (to_host, streams.into_iter().map(Stream::finish).reduce(Loss::worse).unwrap())
}

/// Packets that the router has sent to each leaf.
fn sent(site: &Many) -> [u64; 2] {
    ["eth1", "eth2"].map(|nic| ip::packets_sent(&site.net.node().router_ns, nic).unwrap())
}

/// Groups in the kernel that no route names.
fn orphans(site: &Many) -> usize {
    let used: Vec<Vec<IpAddr>> = site.installed().unwrap().into_keys().collect();
    let leaves = site.net.leaves.len() as u8;
    let of_leaves =
        |gateways: &Vec<IpAddr>| (0..leaves).any(|l| gateways.contains(&addresses_of(Family::Ipv4, l, 0).leaf));
    site.groups().unwrap().values().filter(|gateways| of_leaves(gateways) && !used.contains(gateways)).count()
}

/// Waits until so many more packets have arrived in every stream.
#[track_caller]
fn passes(site: &Many, streams: &[Stream], packets: u64) {
    let wanted: Vec<u64> = streams.iter().map(|stream| stream.arrived() + packets).collect();
    site.net.lab.wait_until("packets arrive", PATIENCE.max(Duration::from_secs(120)), || {
        let now: Vec<u64> = streams.iter().map(Stream::arrived).collect();
        if now.iter().zip(&wanted).all(|(now, wanted)| now >= wanted) { Ok(()) } else { Err(format!("{now:?}")) }
    });
}
