use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;

const CONN: ConnId = ConnId::Accepted(1);

/// A connection under test, with the one who watches it.
struct Ours {
    line: Line,
    poller: Poller,
    buffer: Vec<u8>,
}

impl Ours {
    /// Waits until there is something to do, and does it.
    fn serve(&mut self) -> Look {
        loop {
            self.poller.wait(None);
            if let Some(ready) = self.poller.next() {
                return self.line.serve(ready, &mut self.buffer, &self.poller);
            }
        }
    }

    /// What it says in the end, and how much was read for the owner before.
    fn end(&mut self) -> (Option<String>, usize) {
        let mut read = 0;
        loop {
            match self.serve() {
                Look::Read(octets) => read += octets,
                Look::Nothing => {}
                Look::End(error) => return (error, read),
            }
        }
    }
}

/// And the peer's end of it.
fn pair() -> (Ours, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let peer = listener.accept().unwrap().0;
    stream.set_nonblocking(true).unwrap();
    let poller = Poller::new().unwrap();
    let line = Line::new(CONN, stream, &poller).unwrap();
    (Ours { line, poller, buffer: vec![0; CHUNK] }, peer)
}

fn reset(peer: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
}

#[test]
fn bytes_pass_both_ways_and_an_end_of_stream_is_orderly() {
    let (mut ours, mut peer) = pair();
    peer.write_all(b"hello").unwrap();
    assert!(matches!(ours.serve(), Look::Read(5)));
    assert_eq!(&ours.buffer[..5], b"hello");

    ours.line.write(Bytes::from_static(b"world"), &ours.poller);
    assert!(ours.line.takes_more());
    let mut got = [0; 5];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"world");

    drop(peer);
    assert_eq!(ours.serve(), Look::End(None));
    assert_eq!(ours.line.until(), None);
}

#[test]
fn what_the_kernel_does_not_take_is_written_in_order_when_it_does() {
    let (mut ours, mut peer) = pair();
    let mut sent = Vec::new();
    let write = |ours: &mut Ours, sent: &mut Vec<u8>, chunk| {
        let bytes = vec![chunk; 1 << 20];
        sent.extend_from_slice(&bytes);
        ours.line.write(Bytes::from(bytes), &ours.poller);
    };
    // Nobody reads, so at some point the kernel takes no more.
    let mut chunks = 0..=u8::MAX;
    while ours.line.takes_more() {
        write(&mut ours, &mut sent, chunks.next().expect("the kernel takes everything at once"));
    }
    let reading = thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).map(|_| got)
    });
    for chunk in chunks.take(16) {
        while !ours.line.takes_more() {
            assert_eq!(ours.serve(), Look::Nothing);
        }
        write(&mut ours, &mut sent, chunk);
    }
    assert_eq!(ours.line.finish(vec![Bytes::from_static(b"bye")], &ours.poller), Ok(()));
    sent.extend(b"bye");
    assert_eq!(ours.end(), (None, 0));
    assert!(reading.join().unwrap().unwrap() == sent, "something else arrived");
}

#[test]
fn a_reset_is_told_in_words() {
    let (mut ours, peer) = pair();
    reset(peer);
    assert_eq!(ours.serve(), Look::End(Some("Connection reset by peer".to_owned())));
}

#[test]
fn what_the_peer_said_before_it_went_is_still_read() {
    let (mut ours, mut peer) = pair();
    peer.write_all(b"why").unwrap();
    // What we write is answered by a reset from a peer that has closed, and then no more can be written.
    peer.shutdown(Shutdown::Both).unwrap();
    drop(peer);
    while ours.line.takes_more() {
        ours.line.write(Bytes::from_static(b"hello"), &ours.poller);
    }
    let error = ours.line.error();
    assert!(error.is_some() && ours.line.until().is_some());
    assert_eq!(ours.end(), (error, 3), "the reason is that for which writing failed");
    assert_eq!(ours.line.finish(vec![Bytes::from_static(b"bye")], &ours.poller), Err(Over));
}

#[test]
fn closing_delivers_the_last_bytes_even_when_the_peer_keeps_sending() {
    let (mut ours, mut peer) = pair();
    // Nobody has read, so unread bytes are in our socket: the case that must not become a reset.
    peer.write_all(&[7; 300_000]).unwrap();
    let last = vec![Bytes::from_static(b"bye"), Bytes::from_static(b"!")];
    assert_eq!(ours.line.finish(last, &ours.poller), Ok(()));
    let reading = thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).map(|_| got)
    });
    assert_eq!(ours.end(), (None, 0), "the owner hears no more after its last word");
    assert_eq!(reading.join().unwrap().unwrap(), b"bye!");
}

#[test]
fn a_peer_that_does_not_read_cannot_hold_up_a_close() {
    let (mut ours, peer) = pair();
    // Far more than the socket buffers of loopback hold.
    ours.line.write(Bytes::from(vec![0; 64 << 20]), &ours.poller);
    assert!(!ours.line.takes_more() && ours.line.until().is_none());
    let before = Instant::now();
    assert_eq!(ours.line.finish(vec![Bytes::from_static(b"bye")], &ours.poller), Ok(()));
    let until = ours.line.until().unwrap();
    assert!(before + FLUSH <= until && until <= Instant::now() + FLUSH);
    drop(peer);
}

#[test]
fn unread_is_what_nobody_has_read() {
    let (mut ours, mut peer) = pair();
    assert!(!ours.line.is_unread());
    peer.write_all(b"hello").unwrap();
    ours.poller.wait(None);
    assert!(ours.line.is_unread());
    ours.serve();
    assert!(!ours.line.is_unread());
}
