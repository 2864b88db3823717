//! Bytes of the kernel, of other routers on a link, and of files that outlive the process.

use std::net::Ipv6Addr;
use std::time::Duration;

use kernel::fuzz::{self, Netlink};

/// Octets of `struct nlmsghdr`, and of an attribute's header.
const HEADER: usize = 16;
const ATTRIBUTE: usize = 4;

/// A datagram of a netlink socket.
pub(crate) fn netlink(datagram: &[u8]) {
    let messages = fuzz::messages(datagram);
    let octets: usize = messages.iter().map(|message| HEADER + message.body.len()).sum();
    assert!(octets <= datagram.len());
    for message in &messages {
        let text = fuzz::read(*message);
        assert!(text.is_none_or(|text| !text.is_empty()));
        again(message);
    }
    let all = fuzz::changes(datagram);
    // A datagram says what its messages say.
    let one = |message: &Netlink<'_>| fuzz::changes(&fuzz::encode(message.kind, message.flags, message.body, &[]));
    let (mut links, mut routes) = (false, false);
    for changes in messages.iter().map(one) {
        links |= changes.links;
        routes |= changes.routes;
    }
    assert_eq!((all.links, all.routes), (links, routes));
}

/// Written again from its attributes, behind each header that a family has, a message says the same.
fn again(message: &Netlink<'_>) {
    for header in [0, 4, 8, 12, 16] {
        let Some((header, rest)) = message.body.split_at_checked(header) else { continue };
        let attributes = fuzz::attributes(rest);
        let octets: usize = attributes.iter().map(|(_, value)| ATTRIBUTE + value.len()).sum();
        assert!(octets <= rest.len());
        // The longest value leaves no room for the length in sixteen bits that it came with.
        let bytes = fuzz::encode(message.kind, message.flags, header, &attributes);
        let written = fuzz::messages(&bytes);
        let [written] = written[..] else { panic!("one message is one: {written:?}") };
        assert_eq!((written.kind, written.flags), (message.kind, message.flags));
        assert!(written.body.starts_with(header));
        assert_eq!(fuzz::attributes(&written.body[header.len()..]), attributes);
    }
}

/// An ICMPv6 packet whose checksum and hop limit are right: the source, then what follows the IPv6 header.
pub(crate) fn advertisement(data: &[u8]) {
    let Some((source, bytes)) = data.split_first_chunk::<16>() else { return };
    let source = Ipv6Addr::from(*source);
    let Some((lifetime, ours)) = fuzz::advertisement(source, bytes) else { return };
    // RFC 4861 6.1.1 and 6.1.2.
    assert!(source.is_unicast_link_local());
    assert_eq!(bytes[1], 0, "the code");
    match lifetime {
        None => assert!(bytes[0] == 133 && bytes.len() >= 8),
        Some(lifetime) => {
            assert!(bytes[0] == 134 && bytes.len() >= 16);
            assert_eq!(lifetime, Duration::from_secs(u16::from_be_bytes([bytes[6], bytes[7]]).into()));
        }
    }
    let mut options = &bytes[if lifetime.is_none() { 8 } else { 16 }..];
    while let [_, units, ..] = *options {
        assert!(units > 0 && usize::from(units) * 8 <= options.len());
        options = &options[usize::from(units) * 8..];
    }
    assert!(options.is_empty());
    assert_eq!(fuzz::advertisement(source, &ours), Some((lifetime, ours.clone())));
}

/// The file that remembers a NIC's addresses.
pub(crate) fn saved(data: &[u8]) {
    const BOOT: &str = "00000000-0000-4000-8000-000000000000";
    let text = String::from_utf8_lossy(data);
    assert_eq!(fuzz::saved(&text, BOOT).is_some(), text.lines().next() == Some(BOOT));
    let addresses = fuzz::saved(&format!("{BOOT}\n{text}"), BOOT).unwrap();
    assert!(addresses.len() <= text.lines().count());
    let written: Vec<String> =
        std::iter::once(BOOT.to_owned()).chain(addresses.iter().map(ToString::to_string)).collect();
    assert_eq!(fuzz::saved(&written.join("\n"), BOOT), Some(addresses));
}
