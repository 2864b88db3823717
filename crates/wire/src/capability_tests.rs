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
            Capability::Unknown { code: 73, value: vec![1, b'h', 0] },
            vec![73, 3, 1, b'h', 0],
            "capability 73 (3 octets)",
        ),
    ]
}

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

#[test]
fn a_malformed_value_means_not_offered() {
    let table: [(u8, &[u8]); 9] = [
        (1, &[0, 2, 0]),
        (1, &[0, 2, 0, 1, 0]),
        (2, &[0]),
        (5, &[0, 1, 0, 1, 0]),
        (5, &[0, 1, 1, 0, 0, 2]), // SAFI 256
        (6, &[1]),
        (64, &[0]),
        (64, &[0, 120, 0, 1, 1]),
        (65, &[0, 1]),
    ];
    for (code, value) in table {
        assert_eq!(Capability::decode(code, value), Capability::Unknown { code, value: value.to_vec() });
    }
}

#[test]
fn a_restart_time_keeps_to_its_twelve_bits() {
    let restart = GracefulRestart { time: u16::MAX, ..GracefulRestart::default() };
    let mut out = Vec::new();
    Capability::GracefulRestart(restart).encode(&mut out);
    assert_eq!(out, [64, 2, 0x0f, 0xff]);
}
