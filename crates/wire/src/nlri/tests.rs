use super::*;

fn prefixes(family: Family, bytes: &[u8]) -> Vec<String> {
    Nlri::parse(family, false, bytes).unwrap().into_iter().map(|prefix| prefix.to_string()).collect()
}

/// RFC 4271 4.3, RFC 4760 5.
#[test]
fn prefixes_of_every_width() {
    let bytes = [0, 1, 0x80, 8, 10, 9, 10, 0x80, 24, 192, 0, 2, 31, 192, 0, 2, 2, 32, 192, 0, 2, 3];
    let expected =
        ["0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/8", "10.128.0.0/9", "192.0.2.0/24", "192.0.2.2/31", "192.0.2.3/32"];
    assert_eq!(prefixes(Family::Ipv4Unicast, &bytes), expected);
    let bytes = [0, 32, 0x20, 1, 0xd, 0xb8, 128, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0x20];
    assert_eq!(prefixes(Family::Ipv6Unicast, &bytes), ["::/0", "2001:db8::/32", "2001:db8::1/128", "2000::/3"]);
}

/// RFC 4271 4.3: trailing bits mean nothing.
#[test]
fn host_bits_are_masked() {
    // The octets after a prefix belong to the next one and must not leak in.
    assert_eq!(
        prefixes(Family::Ipv4Unicast, &[7, 0xff, 4, 0xff, 12, 10, 0xff]),
        ["254.0.0.0/7", "240.0.0.0/4", "10.240.0.0/12"]
    );
    assert_eq!(prefixes(Family::Ipv6Unicast, &[7, 0xff]), ["fe00::/7"]);
}

/// RFC 7606 5.3.
#[test]
fn what_cannot_be_read() {
    let error = |family, bytes: &[u8]| Nlri::parse(family, false, bytes).unwrap_err();
    assert_eq!(error(Family::Ipv4Unicast, &[33, 1, 2, 3, 4, 5]), NlriError::PrefixTooLong(33));
    assert_eq!(error(Family::Ipv6Unicast, &[129; 18]), NlriError::PrefixTooLong(129));
    assert_eq!(error(Family::Ipv4Unicast, &[8, 10, 24, 10, 0]), NlriError::Truncated);
    assert_eq!(error(Family::Ipv6Unicast, &[1]), NlriError::Truncated);
}

/// RFC 7911 3: four octets of identifier before each prefix.
#[test]
fn path_identifiers_stand_before_each_prefix() {
    let bytes = [0, 0, 0, 7, 8, 10, 0xff, 0xff, 0xff, 0xff, 8, 10, 0, 0, 0, 0, 0, 0, 1, 2, 3, 9, 10, 0xff];
    let section = Nlri::parse(Family::Ipv4Unicast, true, &bytes).unwrap();
    let ten = "10.0.0.0/8".parse().unwrap();
    let expected =
        [(7, ten), (u32::MAX, ten), (0, "0.0.0.0/0".parse().unwrap()), (0x0001_0203, "10.128.0.0/9".parse().unwrap())];
    assert!(section.has_path_ids());
    assert_eq!(section.paths().collect::<Vec<_>>(), expected);
    assert_eq!(section.iter().collect::<Vec<_>>(), expected.map(|(_, prefix)| prefix));

    let bytes = [0, 0, 0, 9, 32, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0];
    let section = Nlri::parse(Family::Ipv6Unicast, true, &bytes).unwrap();
    let expected = [(9, "2001:db8::/32".parse().unwrap()), (1, "::/0".parse().unwrap())];
    assert_eq!(section.paths().collect::<Vec<_>>(), expected);
}

/// RFC 7911 3: without identifiers every path is number 0.
#[test]
fn a_section_without_path_identifiers_has_paths_of_number_0() {
    let section = Nlri::parse(Family::Ipv4Unicast, false, &[8, 10, 0]).unwrap();
    let expected = [(0, "10.0.0.0/8".parse().unwrap()), (0, "0.0.0.0/0".parse().unwrap())];
    assert!(!section.has_path_ids());
    assert_eq!(section.paths().collect::<Vec<_>>(), expected);
}

/// RFC 7606 5.3, RFC 7911 3: an identifier that ends early, has no prefix after it, or one that is wrong.
#[test]
fn path_identifiers_that_cannot_be_read() {
    let whole = [0, 0, 0, 7, 16, 10, 1];
    for len in 1..whole.len() {
        let got = Nlri::parse(Family::Ipv4Unicast, true, &whole[..len]).map(|_| ());
        assert_eq!(got, Err(NlriError::Truncated), "{len} octets");
        let two = [&whole[..], &whole[..len]].concat();
        let got = Nlri::parse(Family::Ipv4Unicast, true, &two).map(|_| ());
        assert_eq!(got, Err(NlriError::Truncated), "{len} octets after another");
    }
    let error = |family, bytes: &[u8]| Nlri::parse(family, true, bytes).unwrap_err();
    assert_eq!(error(Family::Ipv4Unicast, &[0, 0, 0, 1, 33, 1, 2, 3, 4, 5]), NlriError::PrefixTooLong(33));
    assert_eq!(error(Family::Ipv6Unicast, &[[0; 4].as_slice(), &[129; 18]].concat()), NlriError::PrefixTooLong(129));
}

/// RFC 4271 4.3.
#[test]
fn written_prefixes_read_back() {
    let mut out = Vec::new();
    for prefix in ["10.1.2.3/9", "0.0.0.0/0", "192.0.2.1/32"] {
        write_prefix(&mut out, &prefix.parse().unwrap());
    }
    assert_eq!(out, [9, 10, 0, 0, 32, 192, 0, 2, 1]);
    assert_eq!(prefixes(Family::Ipv4Unicast, &out), ["10.0.0.0/9", "0.0.0.0/0", "192.0.2.1/32"]);
}
