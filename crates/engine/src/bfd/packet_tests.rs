use proptest::prelude::*;

use super::*;

/// Written out by hand from the drawing in RFC 5880 section 4.1: version 1, diagnostic 3, Up, P and C, multiplier 3,
/// 300 ms both ways, echo 50 ms.
const GOLDEN: [u8; 24] = [
    0x23, 0xe8, 3, 24, 0x11, 0x22, 0x33, 0x44, 0xaa, 0xbb, 0xcc, 0xdd, 0x00, 0x04, 0x93, 0xe0, 0x00, 0x04, 0x93, 0xe0,
    0x00, 0x00, 0xc3, 0x50,
];

fn golden() -> Packet {
    Packet {
        diagnostic: Diagnostic::NEIGHBOR_SIGNALED_DOWN,
        state: State::Up,
        poll: true,
        is_final: false,
        control_plane_independent: true,
        demand: false,
        multiplier: 3,
        my_discriminator: NonZeroU32::new(0x1122_3344).unwrap(),
        your_discriminator: 0xaabb_ccdd,
        desired_min_tx: 300_000,
        required_min_rx: 300_000,
        required_min_echo_rx: 50_000,
    }
}

#[test]
fn a_packet_has_the_octets_of_the_drawing() {
    assert_eq!(golden().encode(), GOLDEN);
    assert_eq!(Packet::decode(&GOLDEN), Ok(golden()));
}

/// The first one of somebody who does not know the other side yet: one second, Down, no echo.
#[test]
fn a_first_packet_is_understood() {
    let bytes = [
        0x20, 0x40, 5, 24, 0x5b, 0x2a, 0x90, 0x01, 0, 0, 0, 0, 0x00, 0x0f, 0x42, 0x40, 0x00, 0x00, 0x27, 0x10, 0, 0, 0,
        0,
    ];
    let packet = Packet::decode(&bytes).unwrap();
    assert_eq!((packet.state, packet.diagnostic, packet.multiplier), (State::Down, Diagnostic::NONE, 5));
    assert_eq!((packet.your_discriminator, packet.desired_min_tx, packet.required_min_rx), (0, 1_000_000, 10_000));
    assert_eq!(packet.encode(), bytes);
}

#[test]
fn every_check_of_the_rfc_discards_what_it_names() {
    let changed = |changes: &[(usize, u8)]| {
        let mut bytes = GOLDEN;
        changes.iter().for_each(|(at, value)| bytes[*at] = *value);
        Packet::decode(&bytes)
    };
    let no_mine: &[_] = &[(4, 0), (5, 0), (6, 0), (7, 0)];
    let no_yours = |flags: u8| [(1, flags), (8, 0), (9, 0), (10, 0), (11, 0)];
    for (changes, verdict) in [
        (&[(0, 0x03)][..], Invalid::Version),
        (&[(0, 0x43)], Invalid::Version),
        (&[(3, 23)], Invalid::Length),
        (&[(3, 25)], Invalid::Length),
        (&[(1, 0xc4), (3, 25)], Invalid::Length),
        (&[(2, 0)], Invalid::Multiplier),
        (&[(1, 0xc1)], Invalid::Multipoint),
        (no_mine, Invalid::MyDiscriminator),
        (&no_yours(0xc0), Invalid::YourDiscriminator),
        (&no_yours(0x80), Invalid::YourDiscriminator),
    ] {
        assert_eq!(changed(changes), Err(verdict), "{changes:?}");
    }
    assert_eq!(changed(&no_yours(0x40)).map(|p| p.state), Ok(State::Down));
    assert_eq!(changed(&no_yours(0x00)).map(|p| p.state), Ok(State::AdminDown));
}

#[test]
fn the_first_failing_check_counts() {
    let bad = |at: usize| {
        let mut bytes = GOLDEN;
        let broken: [(usize, u8); 4] = [(2, 0), (1, 0xc1), (7, 0), (11, 0)];
        bytes[4..11].fill(0);
        broken.iter().skip(at).for_each(|(at, value)| bytes[*at] = *value);
        Packet::decode(&bytes)
    };
    let order = [Invalid::Multiplier, Invalid::Multipoint, Invalid::MyDiscriminator];
    for (at, verdict) in order.into_iter().enumerate() {
        assert_eq!(bad(at), Err(verdict));
    }
}

#[test]
fn an_authenticated_packet_is_discarded() {
    let mut bytes = [0; 26];
    bytes[..24].copy_from_slice(&GOLDEN);
    bytes[1] |= 0x04;
    bytes[3] = 26;
    assert_eq!(Packet::decode(&bytes), Err(Invalid::Authentication));
}

#[test]
fn what_follows_the_packet_is_ignored_and_what_is_missing_is_not() {
    let longer = [&GOLDEN[..], &[1, 2, 3]].concat();
    assert_eq!(Packet::decode(&longer), Ok(golden()));
    for length in 0..GOLDEN.len() {
        assert_eq!(Packet::decode(&GOLDEN[..length]), Err(Invalid::Length));
    }
}

proptest! {
    /// Whatever arrives is refused or is what it would be sent as.
    #[test]
    fn what_is_accepted_is_a_packet(bytes in proptest::collection::vec(any::<u8>(), 0..64), header in any::<bool>()) {
        let mut bytes = bytes;
        if header && bytes.len() >= LENGTH {
            // Else hardly any of them passes the first checks.
            bytes[0] = VERSION << 5 | bytes[0] & Diagnostic::MAX;
            bytes[1] &= !(AUTHENTICATION | MULTIPOINT);
            bytes[3] = LENGTH as u8;
        }
        if let Ok(packet) = Packet::decode(&bytes) {
            let again = packet.encode();
            prop_assert_eq!(&again[..3], &bytes[..3]);
            prop_assert_eq!(&again[4..], &bytes[4..LENGTH]);
        }
    }
}
