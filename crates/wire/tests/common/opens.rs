//! Made-up OPENs.

use proptest::collection::vec;
use proptest::prelude::*;
use wire::{AddPath, AfiSafi, Capability, Family, GracefulRestart, LongLived, Open};

fn family() -> impl Strategy<Value = AfiSafi> {
    prop_oneof![Just(Family::Ipv4Unicast.code()), Just(Family::Ipv6Unicast.code())]
}

fn capability() -> impl Strategy<Value = Capability> {
    let restart = (any::<[bool; 2]>(), 0..4096_u16, vec((family(), any::<bool>()), 0..3)).prop_map(
        |([restarting, notification], time, families)| {
            Capability::GracefulRestart(GracefulRestart { restarting, notification, time, families })
        },
    );
    let mode = prop_oneof![Just(AddPath::Receive), Just(AddPath::Send), Just(AddPath::Both)];
    let long_lived = (family(), any::<bool>(), 0..1_u32 << 24).prop_map(|(family, preserved, stale_time)| LongLived {
        family,
        preserved,
        stale_time,
    });
    prop_oneof![
        vec((family(), mode), 1..3).prop_map(Capability::AddPath),
        vec(long_lived, 1..3).prop_map(Capability::LongLivedGracefulRestart),
        family().prop_map(Capability::MultiProtocol),
        Just(Capability::RouteRefresh),
        Just(Capability::EnhancedRouteRefresh),
        Just(Capability::ExtendedMessage),
        vec(Just((Family::Ipv4Unicast.code(), 2)), 1..3).prop_map(Capability::ExtendedNextHop),
        restart,
        (200..239_u8, vec(any::<u8>(), 0..20)).prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}

/// The identifier is a host address: RFC 6286 allows any but 0, netgauze does not yet.
/// With capability 65 somewhere when the AS number needs it.
pub(crate) fn open() -> impl Strategy<Value = Open> {
    let asn = prop_oneof![1..=65535_u32, 65536..=u32::MAX];
    let hold_time = prop_oneof![Just(0_u16), 3..=u16::MAX];
    (asn, any::<bool>(), hold_time, 1..0xe000_0000_u32, vec(capability(), 0..6), any::<prop::sample::Index>()).prop_map(
        |(asn, four_octet, hold_time, router_id, mut capabilities, at)| {
            if four_octet || asn > 65535 {
                capabilities.insert(at.index(capabilities.len() + 1), Capability::FourOctetAs(asn));
            }
            Open { asn, hold_time, router_id: router_id.into(), capabilities }
        },
    )
}
