use super::*;
use crate::Family;

const V4: AfiSafi = Family::Ipv4Unicast.code();
const V6: AfiSafi = Family::Ipv6Unicast.code();

fn table() -> Vec<(Capability, Vec<u8>, &'static str)> {
    vec![
        (Capability::MultiProtocol(V6), vec![1, 4, 0, 2, 0, 1], "ipv6 unicast"),
        (Capability::MultiProtocol(AfiSafi { afi: 25, safi: 70 }), vec![1, 4, 0, 25, 0, 70], "afi 25 safi 70"),
        (Capability::RouteRefresh, vec![2, 0], "route refresh"),
        (Capability::EnhancedRouteRefresh, vec![70, 0], "enhanced route refresh"),
        (Capability::ExtendedMessage, vec![6, 0], "extended messages"),
        (Capability::FourOctetAs(4_200_000_000), vec![65, 4, 0xfa, 0x56, 0xea, 0], "four-octet AS 4200000000"),
        (
            Capability::ExtendedNextHop(vec![(V4, 2)]),
            vec![5, 6, 0, 1, 0, 1, 0, 2],
            "extended next hop (ipv4 unicast over ipv6)",
        ),
        (
            Capability::GracefulRestart(GracefulRestart {
                restarting: true,
                notification: true,
                time: 120,
                families: vec![(V4, true), (V6, false)],
            }),
            vec![64, 10, 0xc0, 120, 0, 1, 1, 0x80, 0, 2, 1, 0],
            "graceful restart (120 s, restarting, over notifications, ipv4 unicast preserved, ipv6 unicast)",
        ),
        (
            Capability::AddPath(vec![(V4, AddPath::Receive), (V6, AddPath::Send), (V4, AddPath::Both)]),
            vec![69, 12, 0, 1, 1, 1, 0, 2, 1, 2, 0, 1, 1, 3],
            "add-path (ipv4 unicast receive, ipv6 unicast send, ipv4 unicast send and receive)",
        ),
        (Capability::AddPath(vec![]), vec![69, 0], "add-path ()"),
        (
            Capability::LongLivedGracefulRestart(vec![
                LongLived { family: V4, preserved: true, stale_time: 86_400 },
                LongLived { family: V6, preserved: false, stale_time: 0x00ff_ffff },
            ]),
            vec![71, 14, 0, 1, 1, 0x80, 1, 0x51, 0x80, 0, 2, 1, 0, 0xff, 0xff, 0xff],
            "long-lived graceful restart (ipv4 unicast 86400 s preserved, ipv6 unicast 16777215 s)",
        ),
        (
            Capability::Unknown { code: 73, value: vec![1, b'h', 0] },
            vec![73, 3, 1, b'h', 0],
            "capability 73 (3 octets)",
        ),
    ]
}

/// RFC 5492 4, and for each capability its own RFC (see [`Capability`]): golden bytes both ways.
#[test]
fn bytes_words_and_back() {
    for (capability, bytes, words) in table() {
        let mut out = Vec::new();
        capability.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(Capability::decode(bytes[0], &bytes[2..]), capability);
        assert_eq!(capability.code(), bytes[0]);
        assert_eq!(capability.to_string(), words);
    }
}

/// RFC 5492 3: a known capability of a wrong length is as good as an unknown one.
#[test]
fn a_malformed_value_means_not_offered() {
    let table: [(u8, &[u8]); 13] = [
        (1, &[0, 2, 0]),
        (1, &[0, 2, 0, 1, 0]),
        (2, &[0]),
        (5, &[0, 1, 0, 1, 0]),
        (5, &[0, 1, 1, 0, 0, 2]), // SAFI 256
        (6, &[1]),
        (64, &[0]),
        (64, &[0, 120, 0, 1, 1]),
        (65, &[0, 1]),
        (69, &[0, 1, 1]),
        (69, &[0, 1, 1, 3, 0]),
        (71, &[0, 1, 1, 0x80, 0, 0]),
        (71, &[0, 1, 1, 0x80, 0, 0, 1, 0]),
    ];
    for (code, value) in table {
        assert_eq!(Capability::decode(code, value), Capability::Unknown { code, value: value.to_vec() });
    }
}

/// RFC 7911 4: a mode other than 1, 2 and 3 is ignored, the families beside it are not.
#[test]
fn add_path_modes_that_are_not_defined_are_ignored() {
    let value = [0, 1, 1, 0, 0, 2, 1, 3, 0, 1, 1, 4, 0, 1, 1, 255];
    assert_eq!(Capability::decode(69, &value), Capability::AddPath(vec![(V6, AddPath::Both)]));
    assert_eq!(Capability::decode(69, &value[..4]), Capability::AddPath(vec![]));
}

/// RFC 7911 4: identifiers stand in what one side sends and the other receives.
#[test]
fn what_an_add_path_mode_allows() {
    let allowed = [AddPath::Receive, AddPath::Send, AddPath::Both].map(|mode| (mode.receives(), mode.sends()));
    assert_eq!(allowed, [(true, false), (false, true), (true, true)]);
}

/// RFC 4724 3, RFC 8538 2: R, N and F bits one by one; the other bits mean nothing.
#[test]
fn graceful_restart_bits() {
    for (octet, restarting, notification) in
        [(0x00, false, false), (0x80, true, false), (0x40, false, true), (0xc0, true, true), (0x30, false, false)]
    {
        for (flags, preserved) in [(0x80, true), (0x7f, false)] {
            let restart = GracefulRestart { restarting, notification, time: 0xabc, families: vec![(V6, preserved)] };
            let value = [octet | 0x0a, 0xbc, 0, 2, 1, flags];
            assert_eq!(Capability::decode(64, &value), Capability::GracefulRestart(restart));
        }
    }
}

/// RFC 9494 3.1: the F bit alone of its octet means something.
#[test]
fn long_lived_graceful_restart_flags() {
    let expected = LongLived { family: V4, preserved: false, stale_time: 1 };
    let expected = Capability::LongLivedGracefulRestart(vec![expected]);
    assert_eq!(Capability::decode(71, &[0, 1, 1, 0x7f, 0, 0, 1]), expected);
}

/// RFC 9494 3.1: 24 bits.
#[test]
fn a_stale_time_keeps_to_its_bits() {
    let families = vec![LongLived { family: V4, preserved: false, stale_time: u32::MAX }];
    let mut out = Vec::new();
    Capability::LongLivedGracefulRestart(families).encode(&mut out);
    assert_eq!(out, [71, 7, 0, 1, 1, 0, 0xff, 0xff, 0xff]);
}

/// RFC 4724 3.
#[test]
fn a_restart_time_keeps_to_its_twelve_bits() {
    let restart = GracefulRestart { time: u16::MAX, ..GracefulRestart::default() };
    let mut out = Vec::new();
    Capability::GracefulRestart(restart).encode(&mut out);
    assert_eq!(out, [64, 2, 0x0f, 0xff]);
}
