//! What two OPENs agree on: RFC 4271 4.2 and 6.2, RFC 5492, 4760, 6793, 8654, 8950, 6286.

use std::net::Ipv4Addr;
use std::time::Duration;

use wire::{Capability, Family, FamilySet, GracefulRestart, MAX_LEN, MAX_LEN_EXTENDED, Notification, Open, code};

use crate::intent::{Intent, PeerIntent, RemoteAs};

/// IPv6 as a next-hop AFI (RFC 8950).
const AFI_IPV6: u16 = 2;

/// The parameters of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) asn: u32,
    pub(crate) external: bool,
    pub(crate) router_id: Ipv4Addr,
    /// Zero: neither keepalives nor a hold timer.
    pub(crate) hold_time: Duration,
    pub(crate) keepalive: Duration,
    pub(crate) families: FamilySet,
    pub(crate) four_octet_as: bool,
    pub(crate) route_refresh: bool,
    pub(crate) enhanced_refresh: bool,
    pub(crate) extended_message: bool,
    /// Families in which the peer sends us, and takes from us, several paths per prefix (RFC 7911).
    pub(crate) add_path_receive: FamilySet,
    pub(crate) add_path_send: FamilySet,
    /// The peer can restart gracefully (RFC 4724).
    pub(crate) restart: Option<PeerRestart>,
    /// Graceful restart covers NOTIFICATIONs too (RFC 8538).
    pub(crate) notification: bool,
    /// Its routes can be kept for longer than it takes to restart; `None`: it knows nothing of such routes (RFC 9494).
    pub(crate) long_lived: Option<LongLived>,
    /// IPv4 routes with IPv6 next hops.
    pub(crate) extended_next_hop: bool,
}

/// What a peer says of its restarts (RFC 4724 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerRestart {
    /// How long it takes at most.
    pub(crate) time: Duration,
    /// It has just restarted, and waits for our End-of-RIB.
    pub(crate) restarting: bool,
    /// Negotiated families whose paths are to be kept.
    pub(crate) families: FamilySet,
    /// Of these, those whose forwarding state survived.
    pub(crate) preserved: FamilySet,
}

/// For how long a peer's stale routes are kept when it does not come back in time (RFC 9494 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LongLived {
    /// By family; zero: not at all.
    pub(crate) times: [Duration; 2],
    /// Negotiated families whose forwarding state survived.
    pub(crate) preserved: FamilySet,
}

impl LongLived {
    /// The families in which something is kept.
    pub(crate) fn families(&self) -> FamilySet {
        Family::ALL.into_iter().filter(|family| !self.times[family.index()].is_zero()).collect()
    }
}

/// What we say of our own restarts (RFC 4724 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnRestart {
    /// We have just restarted.
    pub(crate) restarting: bool,
    /// The kernel forwards as before.
    pub(crate) preserved: bool,
}

impl Agreed {
    /// The largest message that both may send.
    pub(crate) fn max_message(&self) -> usize {
        if self.extended_message { MAX_LEN_EXTENDED } else { MAX_LEN }
    }

    /// In words, for views.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let named = [
            (self.four_octet_as, "4-octet AS"),
            (self.route_refresh, "route refresh"),
            (self.enhanced_refresh, "enhanced route refresh"),
            (self.extended_message, "extended message"),
            (self.extended_next_hop, "extended next hop"),
            (self.restart.is_some(), "graceful restart"),
            (self.long_lived.is_some(), "long-lived graceful restart"),
            (!self.add_path_receive.is_empty(), "additional paths received"),
            (!self.add_path_send.is_empty(), "additional paths sent"),
        ];
        named.into_iter().filter(|(agreed, _)| *agreed).map(|(_, name)| name.to_string()).collect()
    }
}

/// The OPEN that we send to a peer.
pub(crate) fn offer(intent: &Intent, peer: &PeerIntent, own: OwnRestart) -> Open {
    let mut capabilities: Vec<Capability> =
        peer.families.iter().map(|family| Capability::MultiProtocol(family.code())).collect();
    capabilities.extend([
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedMessage,
        Capability::FourOctetAs(intent.asn),
    ]);
    if peer.extended_next_hop {
        capabilities.push(Capability::ExtendedNextHop(vec![(Family::Ipv4Unicast.code(), AFI_IPV6)]));
    }
    if let Some(mode) = peer.add_path {
        let all = peer.families.iter().map(|family| (family.code(), mode));
        capabilities.push(Capability::AddPath(all.collect()));
    }
    // Without families it says that we keep what a peer that restarts has told us (RFC 4724 section 3).
    let families = peer.families.iter().map(|family| (family.code(), own.preserved));
    let restart = peer.graceful_restart;
    capabilities.push(Capability::GracefulRestart(GracefulRestart {
        restarting: own.restarting && restart.is_some(),
        notification: true,
        time: restart.map_or(0, |restart| restart.restart_time.as_secs().min(4095) as u16),
        families: if restart.is_some() { families.collect() } else { Vec::new() },
    }));
    // Likewise: such routes of others are understood, and none of ours are to be kept so long (RFC 9494 section 3.1).
    capabilities.push(Capability::LongLivedGracefulRestart(Vec::new()));
    let hold_time = peer.hold_time.as_secs().min(u64::from(u16::MAX)) as u16;
    // RFC 9234 4.1: on eBGP sessions only.
    capabilities.extend(peer.bgp_role.filter(|_| !peer.is_internal(intent.asn)).map(Capability::Role));
    Open { asn: intent.asn, hold_time, router_id: intent.router_id, capabilities }
}

/// Compares the peer's OPEN with ours.
///
/// # Errors
/// The NOTIFICATION to answer with: bad peer AS, bad identifier, no common family.
pub(crate) fn negotiate(intent: &Intent, peer: &PeerIntent, open: &Open) -> Result<Agreed, Notification> {
    let external = open.asn != intent.asn;
    let expected = match peer.remote_as {
        RemoteAs::Number(asn) => open.asn == asn,
        RemoteAs::External => external,
        RemoteAs::Internal => !external,
    };
    if !expected {
        return Err(Notification::new(code::OPEN, code::open::BAD_PEER_AS));
    }
    // RFC 6286 2.1: identifiers must differ inside an AS only.
    if !external && open.router_id == intent.router_id {
        return Err(Notification::new(code::OPEN, code::open::BAD_BGP_IDENTIFIER));
    }
    // RFC 9234 4.2: roles must match where both sides say theirs.
    let mismatch = |ours: wire::Role| {
        let says =
            |capability: &Capability| matches!(capability, Capability::Role(role) if *role != ours.counterpart());
        open.capabilities.iter().any(says)
    };
    if peer.bgp_role.filter(|_| external).is_some_and(mismatch) {
        return Err(Notification::new(code::OPEN, code::open::ROLE_MISMATCH));
    }
    let has = |wanted: &Capability| open.capabilities.contains(wanted);
    let multi_protocol = open.capabilities.iter().any(|capability| matches!(capability, Capability::MultiProtocol(_)));
    let offered = |family: Family| {
        // RFC 4760: a speaker that names no family speaks IPv4 unicast.
        has(&Capability::MultiProtocol(family.code())) || (!multi_protocol && family == Family::Ipv4Unicast)
    };
    let families: FamilySet = peer.families.iter().copied().filter(|&family| offered(family)).collect();
    if families.is_empty() {
        let mut data = Vec::new();
        for family in &peer.families {
            let wire::AfiSafi { afi, safi } = family.code();
            data.extend_from_slice(&[1, 4]);
            data.extend_from_slice(&afi.to_be_bytes());
            data.extend_from_slice(&[0, safi]);
        }
        return Err(Notification::with_data(code::OPEN, code::open::UNSUPPORTED_CAPABILITY, data));
    }
    let next_hop_v6 = (Family::Ipv4Unicast.code(), AFI_IPV6);
    let extended_next_hop = peer.extended_next_hop
        && open
            .capabilities
            .iter()
            .any(|capability| matches!(capability, Capability::ExtendedNextHop(list) if list.contains(&next_hop_v6)));
    let theirs = open.capabilities.iter().find_map(|capability| {
        if let Capability::GracefulRestart(restart) = capability { Some(restart) } else { None }
    });
    let of = |list: &GracefulRestart, wanted: fn(bool) -> bool| -> FamilySet {
        let listed = list.families.iter().filter(|(_, preserved)| wanted(*preserved));
        let known = listed.filter_map(|(code, _)| Family::from_code(*code));
        known.filter(|family| families.contains(*family)).collect()
    };
    let restart = theirs.filter(|restart| !restart.families.is_empty()).map(|restart| PeerRestart {
        time: Duration::from_secs(u64::from(restart.time)),
        restarting: restart.restarting,
        families: of(restart, |_| true),
        preserved: of(restart, |preserved| preserved),
    });
    // RFC 9494 section 3.1: without the capability for graceful restart it means nothing.
    let long_lived = open.capabilities.iter().filter(|_| theirs.is_some()).find_map(|capability| {
        if let Capability::LongLivedGracefulRestart(list) = capability { Some(list) } else { None }
    });
    let long_lived = long_lived.map(|list| {
        let known = |entry: &wire::LongLived| Some((Family::from_code(entry.family)?, *entry));
        let agreed = |(family, _): &(Family, wire::LongLived)| families.contains(*family);
        let mut said = LongLived::default();
        for (family, entry) in list.iter().filter_map(known).filter(agreed) {
            said.times[family.index()] = Duration::from_secs(u64::from(entry.stale_time));
        }
        let survived = list.iter().filter_map(known).filter(agreed).filter(|(_, entry)| entry.preserved);
        LongLived { preserved: survived.map(|(family, _)| family).collect(), ..said }
    });
    // RFC 7911 section 4: one side receives what the other sends.
    let add_path = |ours: fn(wire::AddPath) -> bool, theirs: fn(wire::AddPath) -> bool| -> FamilySet {
        let listed = open
            .capabilities
            .iter()
            .filter_map(|capability| if let Capability::AddPath(list) = capability { Some(list) } else { None });
        let listed: Vec<_> = listed.flatten().collect();
        let offers = |family: &Family| listed.iter().any(|(code, mode)| *code == family.code() && theirs(*mode));
        let agreed = families.iter().filter(offers);
        if peer.add_path.is_some_and(ours) { agreed.collect() } else { FamilySet::default() }
    };
    let add_path_receive = add_path(wire::AddPath::receives, wire::AddPath::sends);
    let add_path_send = add_path(wire::AddPath::sends, wire::AddPath::receives);
    let hold_time = peer.hold_time.min(Duration::from_secs(u64::from(open.hold_time)));
    let route_refresh = has(&Capability::RouteRefresh);
    Ok(Agreed {
        asn: open.asn,
        external,
        router_id: open.router_id,
        hold_time,
        keepalive: peer.keepalive.min(hold_time / 3).max(Duration::from_secs(1)),
        families,
        four_octet_as: open.capabilities.iter().any(|capability| matches!(capability, Capability::FourOctetAs(_))),
        route_refresh,
        enhanced_refresh: route_refresh && has(&Capability::EnhancedRouteRefresh),
        extended_message: has(&Capability::ExtendedMessage),
        add_path_receive,
        add_path_send,
        restart,
        notification: theirs.is_some_and(|restart| restart.notification),
        long_lived,
        extended_next_hop,
    })
}

#[cfg(test)]
#[path = "negotiate_tests.rs"]
mod tests;
