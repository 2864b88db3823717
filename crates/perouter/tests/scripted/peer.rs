//! One TCP connection of a stranger who says and expects exactly what a test tells it to.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::bytes::{self, HEADER, KEEPALIVE, NOTIFICATION, OPEN, Open, Update};
use crate::lab::{Lab, PEER_ASN, TARGET, host};

/// Far longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What can be seen of the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Message(u8, Vec<u8>),
    /// It closed its side, or reset the connection.
    Closed,
}

/// Code, subcode and data of a NOTIFICATION.
pub(crate) type Reason = (u8, u8, Vec<u8>);

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pending: Vec<u8>,
}

impl Peer {
    /// A TCP connection from the stranger's address number `number`.
    pub(crate) fn dial(lab: &Lab, number: u16) -> Self {
        Self::over(connect(lab, host(number)))
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, pending: Vec::new() }
    }

    /// One that has seen the other's OPEN, and sent `open`.
    pub(crate) fn opened(lab: &Lab, number: u16, open: &Open) -> Self {
        let mut peer = Self::dial(lab, number);
        peer.expect(OPEN);
        peer.send(&open.message());
        peer
    }

    /// One whose session is established: the other side's KEEPALIVE came and was answered.
    pub(crate) fn established(lab: &Lab, number: u16, open: &Open) -> Self {
        let mut peer = Self::opened(lab, number, open);
        peer.expect(KEEPALIVE);
        peer.send(&bytes::keepalive());
        peer
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Waits for the next thing to be seen.
    pub(crate) fn next(&mut self) -> Seen {
        loop {
            if let Some(message) = take(&mut self.pending) {
                return message;
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Seen::Closed,
                Ok(count) => self.pending.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Seen::Closed,
                Err(error) => panic!("nothing was said for {PATIENCE:?}: {error}"),
            }
        }
    }

    /// Waits for a message of that type, which must be the next, and returns its body.
    #[track_caller]
    pub(crate) fn expect(&mut self, kind: u8) -> Vec<u8> {
        match self.next() {
            Seen::Message(found, body) if found == kind => body,
            other @ (Seen::Message(..) | Seen::Closed) => panic!("instead of a message of type {kind}: {other:?}"),
        }
    }

    /// Reads until a NOTIFICATION, after which the connection must be closed; `None` when it is closed without.
    pub(crate) fn end(&mut self) -> Option<Reason> {
        let mut reason = None;
        loop {
            match self.next() {
                Seen::Closed => return reason,
                Seen::Message(NOTIFICATION, body) => {
                    assert_eq!(reason, None, "two notifications");
                    reason = Some((body[0], body[1], body[2..].to_vec()));
                }
                Seen::Message(..) => assert_eq!(reason, None, "something after the notification"),
            }
        }
    }

    /// Reads UPDATEs until one satisfies, and returns it. Other messages are passed over.
    pub(crate) fn update(&mut self, wanted: impl Fn(&Update) -> bool) -> Update {
        loop {
            match self.next() {
                Seen::Message(bytes::UPDATE, body) => {
                    let update = Update::read(&body);
                    if wanted(&update) {
                        return update;
                    }
                }
                Seen::Message(KEEPALIVE, _) => {}
                other @ (Seen::Message(..) | Seen::Closed) => panic!("waiting for an UPDATE: {other:?}"),
            }
        }
    }

    pub(crate) fn announcement(&mut self, prefix: &str) -> Update {
        self.update(|update| update.announced.iter().any(|announced| announced == prefix))
    }

    pub(crate) fn withdrawal(&mut self, prefix: &str) -> Update {
        self.update(|update| update.withdrawn.iter().any(|withdrawn| withdrawn == prefix))
    }

    /// Goes away with a RST.
    pub(crate) fn reset(self) {
        reset(self.stream);
    }
}

/// The OPEN of the stranger with that number: AS 65001, hold time 90 s, its address as identifier.
pub(crate) fn usual(number: u16) -> Open {
    Open::new(PEER_ASN, 90, host(number))
}

/// Connects from that address.
pub(crate) fn connect(lab: &Lab, source: Ipv4Addr) -> TcpStream {
    dial(&lab.outside, source).unwrap()
}

pub(crate) fn dial(outside: &kernel::netns::Namespace, source: Ipv4Addr) -> io::Result<TcpStream> {
    let dial = kernel::sock::Dial { remote: TARGET, local: Some(source.into()), ttl: None, md5: None };
    let stream = kernel::sock::dial(outside, &dial)?;
    // Reading and writing wait for the connection from here on.
    stream.set_nonblocking(false)?;
    let mut waiting = [rustix::event::PollFd::new(&stream, rustix::event::PollFlags::OUT)];
    let patience = rustix::time::Timespec { tv_sec: 60, tv_nsec: 0 };
    rustix::event::poll(&mut waiting, Some(&patience))?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

/// Listens at the stranger's address: the process under test dials it.
pub(crate) fn listen(lab: &Lab, number: u16) -> TcpListener {
    let listener = kernel::sock::listen(&lab.outside, (host(number), 179).into()).unwrap();
    listener.set_nonblocking(false).unwrap();
    listener
}

/// Waits for a connection.
pub(crate) fn accept(listener: &TcpListener) -> Peer {
    listener.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                return Peer::over(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("nobody dials: {error}"),
        }
    }
}

/// Closes with a RST instead of a FIN.
pub(crate) fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

/// Cuts the first message off what was read.
pub(crate) fn take(pending: &mut Vec<u8>) -> Option<Seen> {
    let header = pending.get(..HEADER)?;
    assert_eq!(header[..16], [0xff; 16], "the marker");
    let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
    let kind = header[18];
    if pending.len() < length {
        return None;
    }
    let rest = pending.split_off(length);
    let message = std::mem::replace(pending, rest);
    Some(Seen::Message(kind, message[HEADER..].to_vec()))
}
