use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use kernel::sock::{self, Dial};

use crate::lab::{Pair, eventually, index, ip};

fn to(remote: &str) -> Dial {
    Dial { remote: remote.parse().unwrap(), local: None, ttl: None, md5: None }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let mut accepted = None;
    eventually("a connection", || {
        match listener.accept() {
            Ok((stream, _)) => accepted = Some(stream),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        accepted.is_some()
    });
    accepted.unwrap()
}

fn talks(mut from: &TcpStream, mut to: &TcpStream) {
    eventually("a writable stream", || from.write_all(b"x").is_ok());
    let mut byte = [0];
    eventually("a byte", || to.read_exact(&mut byte).is_ok());
    assert_eq!(&byte, b"x");
}

#[test]
fn both_families_connect_from_the_chosen_source() {
    let pair = Pair::new();
    for (local, remote) in [("10.0.0.1", "10.0.0.2:1179"), ("fd00::1", "[fd00::2]:1179")] {
        let listener = sock::listen(&pair.right, remote.parse().unwrap()).unwrap();
        let dial = Dial { local: Some(local.parse().unwrap()), ttl: Some(1), ..to(remote) };
        let stream = sock::dial(&pair.left, &dial).unwrap();
        let accepted = accept(&listener);
        sock::tune(&accepted, Some(1)).unwrap();
        assert_eq!(accepted.peer_addr().unwrap().ip(), local.parse::<std::net::IpAddr>().unwrap());
        assert!(accepted.nodelay().unwrap() && stream.nodelay().unwrap());
        talks(&stream, &accepted);
    }
}

/// RFC 4594 section 3.1: DSCP CS6; RFC 4271 5.1.3: directly connected, so the TTL is 1.
#[test]
fn packets_have_the_class_of_routing_protocols() {
    let pair = Pair::new();
    for remote in ["10.0.0.2:1179", "[fd00::2]:1179"] {
        let listener = sock::listen(&pair.right, remote.parse().unwrap()).unwrap();
        let stream = sock::dial(&pair.left, &Dial { ttl: Some(1), ..to(remote) }).unwrap();
        let accepted = accept(&listener);
        sock::tune(&accepted, Some(1)).unwrap();
        for stream in [stream, accepted] {
            let socket = socket2::SockRef::from(&stream);
            let (class, ttl) = if remote.starts_with('[') {
                (socket.tclass_v6().unwrap(), socket.unicast_hops_v6().unwrap())
            } else {
                (socket.tos_v4().unwrap(), socket.ttl_v4().unwrap())
            };
            assert_eq!((class, ttl), (0xC0, 1), "{remote}");
        }
    }
}

#[test]
fn the_same_key_on_both_sides_connects_and_another_does_not() {
    let pair = Pair::new();
    for (local, remote) in [("10.0.0.1", "10.0.0.2:1180"), ("fd00::1", "[fd00::2]:1180")] {
        let listener = sock::listen(&pair.right, remote.parse().unwrap()).unwrap();
        let peer = local.parse().unwrap();
        sock::set_md5(&listener, peer, Some("s3cret")).unwrap();
        let wrong = sock::dial(&pair.left, &Dial { md5: Some("other".to_owned()), ..to(remote) }).unwrap();
        let good = sock::dial(&pair.left, &Dial { md5: Some("s3cret".to_owned()), ..to(remote) }).unwrap();
        let accepted = accept(&listener);
        talks(&good, &accepted);
        // The wrong one was sent first, so it would have been here by now.
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!((&wrong).write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        sock::set_md5(&listener, peer, None).unwrap();
        sock::set_md5(&listener, peer, None).unwrap();
        let plain = sock::dial(&pair.left, &to(remote)).unwrap();
        talks(&plain, &accept(&listener));
    }
    let listener = sock::listen(&pair.right, "10.0.0.2:1181".parse().unwrap()).unwrap();
    assert_eq!(
        sock::set_md5(&listener, "10.0.0.1".parse().unwrap(), Some(&"k".repeat(81))).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

#[test]
fn link_local_peers_connect_by_scope() {
    let pair = Pair::new();
    ip(&pair.left, "address add fe80::1:1/64 dev va nodad");
    ip(&pair.right, "address add fe80::1:2/64 dev vb nodad");
    let listener = sock::listen(&pair.right, "[::]:1182".parse().unwrap()).unwrap();
    let target: SocketAddr = format!("[fe80::1:2%{}]:1182", index(&pair.left, "va")).parse().unwrap();
    let dial = Dial { remote: target, local: Some("fe80::1:1".parse().unwrap()), ttl: Some(255), md5: None };
    let stream = sock::dial(&pair.left, &dial).unwrap();
    let accepted = accept(&listener);
    sock::require_ttl(&accepted, 255).unwrap();
    talks(&stream, &accepted);
}

#[test]
fn a_refused_connection_is_seen_on_the_stream() {
    let pair = Pair::new();
    let stream = sock::dial(&pair.left, &to("10.0.0.2:1183")).unwrap();
    eventually("the refusal", || stream.take_error().unwrap().is_some());
}

#[test]
fn a_listener_bound_to_a_link_hears_only_that_link() {
    let pair = Pair::new();
    let listener = sock::listen_on(&pair.right, "0.0.0.0:1184".parse().unwrap(), Some("lo")).unwrap();
    let stream = sock::dial(&pair.left, &to("10.0.0.2:1184")).unwrap();
    eventually("the refusal", || stream.take_error().unwrap().is_some());
    drop(listener);
    let listener = sock::listen_on(&pair.right, "0.0.0.0:1184".parse().unwrap(), Some("vb")).unwrap();
    let stream = sock::dial_on(&pair.left, &to("10.0.0.2:1184"), Some("va")).unwrap();
    let start = Instant::now();
    talks(&stream, &accept(&listener));
    assert!(start.elapsed() < Duration::from_secs(5));
}
