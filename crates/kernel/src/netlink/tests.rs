use std::net::IpAddr;

use rustix::io::Errno;

use super::constants::*;
use super::*;

fn encoded(body: impl FnOnce(&mut Attributes<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, RTM_NEWLINK, NLM_F_REQUEST, body);
    out
}

fn reply(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, kind, flags, |a| a.raw(body));
    out
}

#[test]
fn a_message_carries_its_length_and_padded_attributes() {
    let bytes = encoded(|a| {
        a.raw(&[1, 2, 3, 4]);
        a.text(7, "ab");
        a.u32(8, 5);
    });
    // Header 16, fixed part 4, "ab\0" 4 + 3 padded to 8, number 4 + 4.
    assert_eq!(bytes.len(), 16 + 4 + 8 + 8);
    assert_eq!(bytes.u32_at(0), Some(36));
    let message = messages(&bytes).next().unwrap();
    assert_eq!((message.kind, message.flags), (RTM_NEWLINK, NLM_F_REQUEST));
    let found: Vec<_> = attributes(message.body.tail(4)).collect();
    assert_eq!(found, [(7, &b"ab\0"[..]), (8, &5u32.to_ne_bytes()[..])]);
}

#[test]
fn nested_attributes_come_back_nested() {
    let bytes = encoded(|a| a.nest(18, |a| a.nest(2, |a| a.text(1, "veth"))));
    let outer: Vec<_> = attributes(bytes.tail(16)).collect();
    assert_eq!(outer.len(), 1);
    assert_eq!(outer[0].0, 18);
    let inner = attributes(outer[0].1).next().unwrap();
    assert_eq!(inner.0, 2);
    assert_eq!(attributes(inner.1).next().unwrap().1.text(), "veth");
}

#[test]
fn two_messages_in_a_datagram_are_two() {
    let mut bytes = reply(RTM_NEWLINK, 0, &[9]);
    bytes.extend(reply(NLMSG_DONE, 0, &[0; 4]));
    assert_eq!(messages(&bytes).map(|message| message.kind).collect::<Vec<_>>(), [RTM_NEWLINK, NLMSG_DONE]);
}

#[test]
fn torn_bytes_end_the_iteration() {
    let bytes = encoded(|a| a.u32(8, 5));
    for length in 0..bytes.len() {
        assert_eq!(messages(&bytes[..length]).count(), 0, "{length}");
    }
    for length in 0..8 {
        assert_eq!(attributes(&bytes[16..16 + length]).count(), 0, "{length}");
    }
    // Lengths that lie: shorter than the header, longer than the datagram.
    assert_eq!(attributes(&[0, 0, 1, 0, 0, 0, 0, 0]).count(), 0);
    assert_eq!(attributes(&[255, 255, 1, 0]).count(), 0);
    assert_eq!(messages(&[0; 64]).count(), 0);
}

#[test]
fn addresses_and_prefixes_follow_their_family() {
    assert_eq!([10, 0, 0, 1].ip(), Some("10.0.0.1".parse::<IpAddr>().unwrap()));
    assert_eq!([0u8; 16].ip(), Some("::".parse::<IpAddr>().unwrap()));
    assert_eq!([0u8; 5].ip(), None);
    assert_eq!(prefix(AF_INET, None, 0), Some("0.0.0.0/0".parse().unwrap()));
    assert_eq!(prefix(AF_INET6, None, 0), Some("::/0".parse().unwrap()));
    assert_eq!(prefix(AF_INET, Some(&[10, 0, 0, 0]), 33), None);
    assert_eq!(prefix(28, None, 0), None);
}

#[test]
fn a_zero_error_is_an_acknowledgement() {
    let bytes = reply(NLMSG_ERROR, NLM_F_CAPPED, &[0; 20]);
    assert_eq!(verdict(&messages(&bytes).next().unwrap()), Ok(()));
}

#[test]
fn a_refusal_carries_the_kernels_text_behind_the_quoted_request() {
    let number = (-22i32).to_ne_bytes();
    for (flags, quoted) in [(NLM_F_CAPPED | NLM_F_ACK_TLVS, 16usize), (NLM_F_ACK_TLVS, 24)] {
        let mut body = number.to_vec();
        body.extend(u32::try_from(quoted).unwrap().to_ne_bytes());
        body.resize(4 + quoted, 0);
        let mut attribute = Vec::new();
        encode(&mut attribute, 0, 0, |a| a.text(NLMSGERR_ATTR_MSG, "Invalid prefix"));
        body.extend(&attribute[16..]);
        let bytes = reply(NLMSG_ERROR, flags, &body);
        let refusal = verdict(&messages(&bytes).next().unwrap()).unwrap_err();
        assert_eq!(refusal, Refusal { errno: Errno::INVAL, text: Some("Invalid prefix".to_owned()) });
    }
}

#[test]
fn an_error_without_a_name_is_an_error() {
    for number in [i32::MIN, -4096, 4096, i32::MAX] {
        let bytes = reply(NLMSG_ERROR, 0, &number.to_ne_bytes());
        let refusal = verdict(&messages(&bytes).next().unwrap()).unwrap_err();
        assert_eq!(refusal.errno, Errno::IO, "{number}");
    }
}

#[test]
fn a_short_error_is_an_error() {
    let bytes = reply(NLMSG_ERROR, 0, &[1]);
    assert!(verdict(&messages(&bytes).next().unwrap()).is_err());
}
