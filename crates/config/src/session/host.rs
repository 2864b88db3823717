//! The session with the speaker on the node: one peer per family at the address of the plan, and whoever else
//! connects over the veth pair.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use engine::intent::{PeerIntent, RangeIntent, RemoteAs, Role, Secret, Ttl};
use engine::{Family, FamilySet};
use ipnet::IpNet;

use super::{Remark, is_internal, options, remark};
use crate::addresses::Plan;
use crate::compile::ROUTER_LINK;
use crate::types::{AddPath, HostSession};

/// Longest wait between two attempts to reach the host's speaker.
const CONNECT_RETRY: Duration = Duration::from_secs(5);

/// How many speakers may connect from addresses that are not the plan's, per family. Calico sources from the node's
/// address, and a node has few of those.
const OTHER_SOURCES: usize = 4;

/// The peers of a host session.
pub(crate) struct Host {
    pub(crate) peers: Vec<(IpAddr, PeerIntent)>,
    pub(crate) ranges: Vec<RangeIntent>,
    /// About fields of the session.
    pub(crate) remarks: Vec<Remark>,
    /// Why there is no session with the host at all.
    pub(crate) absent: Option<Remark>,
}

/// Makes the peers. `unreadable` says why the session's key could not be read. `Err`: the session is wrong.
pub(crate) fn build(
    session: &HostSession,
    remote_as: RemoteAs,
    asn: u32,
    plans: &[Plan],
    unreadable: Option<&str>,
) -> Result<Host, Remark> {
    let mut host = Host { peers: Vec::new(), ranges: Vec::new(), remarks: Vec::new(), absent: None };
    let families: Vec<_> = plans.iter().map(|plan| Family::of(&plan.host)).collect();
    let limits = options::max_prefixes(session.max_prefixes.as_deref(), &families, &mut host.remarks)?;
    let internal = is_internal(remote_as, asn);
    if session.as_override && internal {
        host.remarks.push(remark("asOverride", "has no effect: the host is in the router's own AS"));
    }
    let mut common = PeerIntent::new("", Role::Host, remote_as, Vec::new());
    options::timers(session.hold_time_seconds, session.keepalive_time_seconds, &mut common)?;
    common.connect_retry = CONNECT_RETRY;
    options::connect_time(session.connect_time_seconds, &mut common)?;
    common.ttl = Ttl::System;
    common.next_hop_self = true;
    // A speaker on the node may name any of the node's addresses: all of them are behind the veth.
    common.link = Some(ROUTER_LINK.into());
    common.password = session.password.clone().map(Secret);
    common.allowed_prefixes = options::prefix_rules(session.allowed_prefixes.as_deref(), "allowedPrefixes")?;
    common.as_override = session.as_override;
    common.bfd = options::bfd(session.bfd.as_ref(), false)?;
    common.graceful_restart = session.graceful_restart.as_ref().map(options::graceful_restart);
    common.add_path = session.add_path.map(AddPath::meaning);
    common.reject_as_sets = session.reject_as_sets;
    let secret = session.password_secret.as_deref();
    if let Some((field, what)) = options::key(common.password.is_some(), secret, unreadable, &mut host.remarks) {
        let what = format!("{what}: there is no session with the host, everything else works");
        let remark = (field, what);
        host.absent = Some(remark.clone());
        host.remarks.push(remark);
        return Ok(host);
    }

    for plan in plans {
        let address = plan.host.addr();
        let (name, any) = match address {
            IpAddr::V4(_) => ("host-ipv4", IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            IpAddr::V6(_) => ("host-ipv6", IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        let family = Family::of(&plan.host);
        let mut peer = common.clone();
        peer.name = name.into();
        peer.families = vec![family];
        peer.max_prefixes = limits.iter().filter(|(of, _)| **of == family).map(|(of, limit)| (*of, *limit)).collect();
        if internal {
            // With iBGP on both sides routes would otherwise stop here (RFC 4456).
            peer.reflector_client = FamilySet::only(family);
        }
        let prefix = IpNet::new_assert(any, 0);
        host.ranges.push(RangeIntent {
            prefix,
            link: Some(ROUTER_LINK.into()),
            limit: Some(OTHER_SOURCES),
            peer: PeerIntent { name: format!("host@{prefix}"), ..peer.clone() },
        });
        host.peers.push((address, peer));
    }
    Ok(host)
}
