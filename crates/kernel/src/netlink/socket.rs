//! One netlink socket, used by one thread at a time.
//!
//! Errors come back whether or not an acknowledgement was asked for, so a batch needs one acknowledgement, for its
//! last message, and loses nothing; a refused message does not stop those behind it. The kernel works a send off
//! before `send` returns, so replies are in the receive buffer by then: it must hold the errors of a full send.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::constants::*;
use super::message::{Attributes, Fields, HEADER, Message, attributes, encode, messages, patch};
use crate::sys;

/// Forced size of both buffers in bytes; holds the errors of a full send and a burst of notifications.
const BUFFER: usize = 16 << 20;
/// Messages per send. Measured: sizes from 50 to 10,000 differ by less than a tenth.
const PER_SEND: usize = 500;
/// Bytes per send, well below the send buffer of an unprivileged socket.
const BYTES_PER_SEND: usize = 128 << 10;
/// Room in bytes for a message or two: most sends have one.
const FEW: usize = 128;
/// Largest datagram we take; dumps come in pieces of at most 32 KB, single links can be larger.
const RECEIVE: usize = 128 << 10;
/// How often a dump that changed under our eyes is asked for again. The last answer is taken as it is: every
/// change in the midst also comes as a notification.
const DUMP_ATTEMPTS: usize = 8;

/// Ports of sockets that write the FIB: notifications name the port of the asker, so a monitor can tell what we did
/// ourselves. The kernel hands out process ids and numbers above 2^31 on its own, never these.
pub(crate) const WRITER_PORTS: u32 = 0x5045_0000;
/// Bits in which such ports differ.
pub(crate) const WRITER_PORTS_MASK: u32 = 0xffff;

/// The kernel said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Why, as a number.
    pub(crate) errno: Errno,
    /// Why, as text, when the kernel has one (extended acknowledgement).
    pub(crate) text: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{} ({text})", io::Error::from(self.errno)),
            None => write!(f, "{}", io::Error::from(self.errno)),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let errno = Errno::from_io_error(&error);
        Self { errno: errno.unwrap_or(Errno::IO), text: errno.is_none().then(|| error.to_string()) }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(Self::from(refusal.errno).kind(), refusal)
    }
}

#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    /// Requests that change something, since the socket was opened.
    changes: u64,
    receive: Vec<u8>,
}

impl Socket {
    /// Opens one in the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        Self::bound(0, 0)
    }

    /// Opens one whose port tells every listener that a change was ours (see [`WRITER_PORTS`]).
    pub(crate) fn open_writer() -> io::Result<Self> {
        // Several processes and several FIBs of one process find free ports from different starts.
        let start = std::process::id();
        let ports = (0..=WRITER_PORTS_MASK).map(|n| WRITER_PORTS | (start.wrapping_add(n) & WRITER_PORTS_MASK));
        for port in ports {
            match Self::bound(0, port) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                result => return result,
            }
        }
        Err(Errno::ADDRINUSE.into())
    }

    /// Opens one that hears these multicast groups, a mask with bit `n - 1` for group `n`, on this port or (0) any.
    pub(crate) fn bound(groups: u32, port: u32) -> io::Result<Self> {
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        // Without CAP_NET_ADMIN the ordinary size has to do; such a process can only read.
        if sockopt::set_socket_recv_buffer_size_force(&fd, BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&fd, BUFFER)?;
        }
        if sockopt::set_socket_send_buffer_size_force(&fd, BUFFER).is_err() {
            sockopt::set_socket_send_buffer_size(&fd, BUFFER)?;
        }
        for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK] {
            sys::set_int(&fd, SOL_NETLINK, option, 1)?;
        }
        rustix::net::bind(&fd, &SocketAddrNetlink::new(port, groups))?;
        Ok(Self { fd, sequence: 0, changes: 0, receive: vec![0; RECEIVE] })
    }

    /// Requests that change something, sent since the socket was opened.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Asks for one change and waits for the verdict.
    pub(crate) fn change(
        &mut self,
        kind: u16,
        flags: u16,
        body: impl FnOnce(&mut Attributes<'_>),
    ) -> Result<(), Refusal> {
        let mut batch = self.batch();
        batch.push(kind, flags, body)?;
        match batch.finish()?.pop() {
            None => Ok(()),
            Some((_, refusal)) => Err(refusal),
        }
    }

    /// Asks for one object; `None` when the answer has none of the asked kind.
    pub(crate) fn get<T>(
        &mut self,
        kind: u16,
        body: impl FnOnce(&mut Attributes<'_>),
        parse: impl Fn(u16, &[u8]) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let mut out = Vec::new();
        encode(&mut out, kind, NLM_F_REQUEST | NLM_F_ACK, body);
        let sequence = self.number(&mut out, &[0]);
        self.send(&out)?;
        let mut found = None;
        loop {
            let mut end = None;
            self.receive(|message| {
                if message.sequence != sequence {
                    return;
                }
                if message.kind == NLMSG_ERROR {
                    end = Some(verdict(&message));
                } else {
                    found = parse(message.kind, message.body).or(found.take());
                }
            })?;
            if let Some(verdict) = end {
                return verdict.map(|()| found);
            }
        }
    }

    /// Asks for all objects of a kind and parses each; what `parse` refuses is left out.
    pub(crate) fn dump<T>(
        &mut self,
        kind: u16,
        body: impl Fn(&mut Attributes<'_>),
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        let mut all = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            all.clear();
            if self.dump_once(kind, &body, &parse, &mut all)? {
                break;
            }
        }
        Ok(all)
    }

    /// Whether the answer is consistent.
    fn dump_once<T>(
        &mut self,
        kind: u16,
        body: &impl Fn(&mut Attributes<'_>),
        parse: &impl Fn(&[u8]) -> Option<T>,
        all: &mut Vec<T>,
    ) -> Result<bool, Refusal> {
        let mut out = Vec::new();
        encode(&mut out, kind, NLM_F_REQUEST | NLM_F_DUMP, body);
        let sequence = self.number(&mut out, &[0]);
        self.send(&out)?;
        let mut consistent = true;
        loop {
            let mut end = None;
            self.receive(|message| {
                if message.sequence != sequence {
                    return;
                }
                consistent &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_ERROR => end = Some(verdict(&message)),
                    NLMSG_DONE => end = Some(done(&message)),
                    _ => all.extend(parse(message.body)),
                }
            })?;
            if let Some(verdict) = end {
                return verdict.map(|()| consistent);
            }
        }
    }

    /// Starts a batch.
    pub(crate) fn batch(&mut self) -> Batch<'_> {
        Batch { socket: self, out: Vec::with_capacity(FEW), starts: Vec::new(), done: 0, refusals: Vec::new() }
    }

    /// Receives one datagram and gives its messages to `each`.
    pub(crate) fn receive(&mut self, each: impl FnMut(Message<'_>)) -> io::Result<()> {
        self.receive_flags(RecvFlags::empty(), each)
    }

    /// As [`Self::receive`]; `WouldBlock` when nothing is queued.
    pub(crate) fn try_receive(&mut self, each: impl FnMut(Message<'_>)) -> io::Result<()> {
        self.receive_flags(RecvFlags::DONTWAIT, each)
    }

    fn receive_flags(&mut self, flags: RecvFlags, each: impl FnMut(Message<'_>)) -> io::Result<()> {
        let (_, length) = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.fd, self.receive.as_mut_slice(), flags | RecvFlags::TRUNC)
        })?;
        let datagram = self
            .receive
            .get(..length)
            .ok_or_else(|| io::Error::other(format!("netlink message of {length} bytes is too long")))?;
        messages(datagram).for_each(each);
        Ok(())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        rustix::io::retry_on_intr(|| rustix::net::send(&self.fd, bytes, SendFlags::empty()))?;
        Ok(())
    }

    /// Numbers the messages that start at `starts`; returns the number of the last one.
    fn number(&mut self, out: &mut [u8], starts: &[usize]) -> u32 {
        for start in starts {
            self.sequence = self.sequence.wrapping_add(1);
            patch(out, start + 8, &self.sequence.to_ne_bytes());
        }
        self.sequence
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Changes that travel together; sent whenever enough have gathered.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    socket: &'a mut Socket,
    out: Vec<u8>,
    starts: Vec<usize>,
    /// Messages sent before those in `out`.
    done: usize,
    refusals: Vec<(usize, Refusal)>,
}

impl Batch<'_> {
    /// Adds a change. The error is one of the socket; refusals come from [`Self::finish`].
    pub(crate) fn push(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Attributes<'_>)) -> io::Result<()> {
        if self.starts.len() >= PER_SEND || self.out.len() >= BYTES_PER_SEND {
            self.flush()?;
        }
        self.starts.push(self.out.len());
        encode(&mut self.out, kind, NLM_F_REQUEST | flags, body);
        Ok(())
    }

    /// Sends the rest; says which changes were refused, by their position in the order of `push`.
    pub(crate) fn finish(mut self) -> io::Result<Vec<(usize, Refusal)>> {
        self.flush()?;
        Ok(self.refusals)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(&last_start) = self.starts.last() else {
            return Ok(());
        };
        let flags = self.out.u16_at(last_start + 6).unwrap_or(NLM_F_REQUEST);
        patch(&mut self.out, last_start + 6, &(flags | NLM_F_ACK).to_ne_bytes());
        let last = self.socket.number(&mut self.out, &self.starts);
        let count = self.starts.len();
        let first = last.wrapping_sub(u32::try_from(count - 1).expect("a send has few messages"));
        self.socket.send(&self.out)?;
        self.socket.changes += count as u64;
        let mut complete = false;
        while !complete {
            let (done, refusals) = (self.done, &mut self.refusals);
            self.socket.receive(|message| {
                let position = message.sequence.wrapping_sub(first) as usize;
                if message.kind != NLMSG_ERROR || position >= count {
                    return;
                }
                if let Err(refusal) = verdict(&message) {
                    refusals.push((done + position, refusal));
                }
                complete |= message.sequence == last;
            })?;
        }
        self.done += count;
        self.out.clear();
        self.starts.clear();
        Ok(())
    }
}

/// What an `NLMSG_ERROR` says.
pub(crate) fn verdict(message: &Message<'_>) -> Result<(), Refusal> {
    let errno = refused(message.body)?;
    let Some(errno) = errno else { return Ok(()) };
    // The request comes back behind the number: its header only, or all of it.
    let quoted = if message.flags & NLM_F_CAPPED != 0 {
        HEADER
    } else {
        message.body.u32_at(4).and_then(|length| usize::try_from(length).ok()).unwrap_or(HEADER).next_multiple_of(4)
    };
    let text = (message.flags & NLM_F_ACK_TLVS != 0)
        .then(|| attributes(message.body.tail(4 + quoted)).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG))
        .flatten()
        .map(|(_, text)| text.text());
    Err(Refusal { errno, text })
}

/// What an `NLMSG_DONE` says: strict dumps end with the number of an error.
pub(crate) fn done(message: &Message<'_>) -> Result<(), Refusal> {
    if message.body.is_empty() {
        return Ok(());
    }
    match refused(message.body)? {
        None => Ok(()),
        Some(errno) => Err(Refusal {
            errno,
            text: attributes(message.body.tail(4))
                .find(|(kind, _)| message.flags & NLM_F_ACK_TLVS != 0 && *kind == NLMSGERR_ATTR_MSG)
                .map(|(_, text)| text.text()),
        }),
    }
}

/// The error number at the start of a body; zero is none.
fn refused(body: &[u8]) -> Result<Option<Errno>, Refusal> {
    let number = body.u32_at(0).ok_or_else(|| io::Error::other("short netlink reply"))?.cast_signed();
    // Linux has no errors beyond 4095, and the type has no room for them.
    let errno = |number: i32| if (1..=4095).contains(&number) { Errno::from_raw_os_error(number) } else { Errno::IO };
    Ok((number != 0).then(|| errno(number.saturating_abs())))
}
