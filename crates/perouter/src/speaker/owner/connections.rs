//! The owner's connections: what it does with them, from the dial to the end.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use bytes::Bytes;
use engine::{ConnId, Dial, Event};
use tokio::task::AbortHandle;

use super::Owner;
use crate::speaker::connection::{CHUNK, Line, Look, words};
use crate::speaker::dial;
use crate::speaker::fact::Fact;
use crate::speaker::poller::Ready;
use crate::speaker::tap::Way;

/// Chunks that a connection is handed in a turn at most, if the kernel takes them.
const CHUNKS: usize = 2;

#[derive(Debug)]
enum Connection {
    /// Not open yet; aborting the dial is all that closing needs.
    Dialling(AbortHandle),
    Open(Line),
    /// The engine forgot it; what is left is being written.
    Closing(Line),
}

/// All of them, by number.
#[derive(Debug)]
pub(super) struct Connections {
    all: BTreeMap<ConnId, Connection>,
    /// Those for which the engine has bytes, in the order in which it got them. It says so once, until it was asked for all.
    ready: Vec<ConnId>,
    accepted: u32,
    /// What is read goes through here: one is enough, because it is dealt with before the next is read.
    buffer: Vec<u8>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { all: BTreeMap::new(), ready: Vec::new(), accepted: 0, buffer: vec![0; CHUNK] }
    }
}

impl Connections {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether it is being closed.
    pub(super) fn is_closing(&self, conn: ConnId) -> bool {
        matches!(self.all.get(&conn), Some(Connection::Closing(_)))
    }

    /// Those that are being closed.
    pub(super) fn closing(&self) -> impl Iterator<Item = ConnId> {
        self.all.keys().copied().filter(|conn| self.is_closing(*conn))
    }

    /// Whether something has arrived that the engine has not been told.
    pub(super) fn is_unread(&self, conn: ConnId) -> bool {
        matches!(self.all.get(&conn), Some(Connection::Open(line)) if line.is_unread())
    }

    /// The engine has bytes for it.
    pub(super) fn has_bytes(&mut self, conn: ConnId) {
        self.ready.push(conn);
    }

    /// Whether there is something to write that nobody will ask for: what was written already was taken at once.
    pub(super) fn have_output(&self) -> bool {
        let takes_more = |conn| matches!(self.all.get(conn), Some(Connection::Open(line)) if line.takes_more());
        self.ready.iter().any(takes_more)
    }

    /// When the next one ends that does.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lines().filter_map(|(_, line)| line.until()).min()
    }

    /// Those whose time is over, and why nothing could be written to them, where that is so.
    fn overdue(&self, now: Instant) -> Vec<(ConnId, Option<String>)> {
        let over = self.lines().filter(|(_, line)| line.until().is_some_and(|until| until <= now));
        over.map(|(conn, line)| (conn, line.error())).collect()
    }

    fn lines(&self) -> impl Iterator<Item = (ConnId, &Line)> {
        self.all.iter().filter_map(|(conn, connection)| match connection {
            Connection::Open(line) | Connection::Closing(line) => Some((*conn, line)),
            Connection::Dialling(_) => None,
        })
    }

    fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        self.ready.retain(|ready| *ready != conn);
        self.all.remove(&conn)
    }

    fn next_accepted(&mut self) -> ConnId {
        loop {
            // Whoever can reach the port can use numbers up, but has few connections open at once.
            self.accepted = self.accepted.wrapping_add(1);
            let conn = ConnId::Accepted(self.accepted);
            if !self.all.contains_key(&conn) {
                return conn;
            }
        }
    }
}

impl Owner {
    pub(super) fn dial(&mut self, conn: ConnId, dial: Dial) {
        let task = tokio::spawn(dial::run(conn, self.namespace.clone(), dial, self.fact_sender.clone()));
        self.connections.all.insert(conn, Connection::Dialling(task.abort_handle()));
    }

    pub(super) fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Connected { conn, stream, local } => {
                // An abort can come too late for a dial that has just succeeded.
                if let Some(Connection::Dialling(_)) = self.connections.all.get(&conn) {
                    match self.open(conn, stream) {
                        Ok(()) => self.engine.handle(Instant::now(), Event::Connected { conn, local }),
                        Err(error) => self.ended(conn, Some(words(&error))),
                    }
                }
            }
            Fact::Failed { conn, error } => self.ended(conn, Some(error)),
            Fact::Incoming { stream, local, remote, link } => self.incoming(stream, local, remote, link),
        }
    }

    fn incoming(&mut self, stream: TcpStream, local: SocketAddr, remote: SocketAddr, link: Option<String>) {
        if self.stopping.is_some() {
            return;
        }
        let conn = self.connections.next_accepted();
        let tuned = self.listeners.tune(&stream, remote.ip(), link.as_deref());
        match tuned.and_then(|()| self.open(conn, stream)) {
            Ok(()) => self.engine.handle(Instant::now(), Event::Accepted { conn, local, remote, link }),
            Err(error) => {
                tracing::warn!(peer = %remote, error = %words(&error), "cannot use an accepted connection");
            }
        }
    }

    fn open(&mut self, conn: ConnId, stream: TcpStream) -> io::Result<()> {
        let line = Line::new(conn, stream, &self.poller)?;
        if self.engine.programs_kernel() {
            self.fib.prepare();
        }
        self.connections.all.insert(conn, Connection::Open(line));
        Ok(())
    }

    /// Reads and writes what a connection is ready for, as was found then.
    pub(super) fn serve(&mut self, ready: Ready, found: Instant) {
        let (connections, conn) = (&mut self.connections, ready.conn);
        // It may have ended since it was named.
        let Some(Connection::Open(line) | Connection::Closing(line)) = connections.all.get_mut(&conn) else { return };
        let look = line.serve(ready, &mut connections.buffer, &self.poller);
        match look {
            Look::Read(octets) => self.data(conn, octets, found),
            Look::Nothing => {}
            Look::End(error) => self.ended(conn, error),
        }
    }

    /// So many octets of a connection are in the buffer.
    fn data(&mut self, conn: ConnId, octets: usize, found: Instant) {
        let data = &self.connections.buffer[..octets];
        self.taps.pass(&self.engine, conn, Way::Received, data);
        let updates = self.engine.received(found, conn, data);
        if updates > 0
            && let Some(sender) = self.engine.sender(conn)
        {
            self.measured.updates(sender.peer, sender.link, updates, found.elapsed());
        }
    }

    /// One chunk per connection and round, so that all get something before one gets its second.
    pub(super) fn transmit(&mut self) {
        for _ in 0..CHUNKS {
            let mut ready = std::mem::take(&mut self.connections.ready);
            ready.retain(|conn| self.transmit_to(*conn));
            self.connections.ready = ready;
        }
    }

    /// A chunk, if the connection takes one. Returns whether the engine may have more for it.
    fn transmit_to(&mut self, conn: ConnId) -> bool {
        let Some(Connection::Open(line)) = self.connections.all.get_mut(&conn) else { return false };
        if !line.takes_more() {
            return true;
        }
        let Some(bytes) = self.engine.poll_transmit(conn) else { return false };
        self.taps.pass(&self.engine, conn, Way::Sent, &bytes);
        line.write(bytes, &self.poller);
        true
    }

    pub(super) fn close(&mut self, conn: ConnId) {
        let last: Vec<Bytes> = std::iter::from_fn(|| self.engine.poll_transmit(conn)).collect();
        last.iter().for_each(|bytes| self.taps.pass(&self.engine, conn, Way::Sent, bytes));
        let closing = match self.connections.remove(conn) {
            Some(Connection::Dialling(task)) => return task.abort(),
            Some(Connection::Open(mut line)) => line.finish(last, &self.poller).is_ok().then_some(line),
            Some(Connection::Closing(line)) => Some(line),
            None => None,
        };
        if let Some(line) = closing {
            self.connections.all.insert(conn, Connection::Closing(line));
        }
    }

    /// Ends those whose time is over.
    pub(super) fn end_overdue(&mut self, now: Instant) {
        for (conn, error) in self.connections.overdue(now) {
            self.ended(conn, error);
        }
    }

    fn ended(&mut self, conn: ConnId, error: Option<String>) {
        match self.connections.remove(conn) {
            Some(Connection::Dialling(_) | Connection::Open(_)) => {
                self.engine.handle(Instant::now(), Event::Closed { conn, error });
            }
            Some(Connection::Closing(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::speaker::poller::Poller;

    #[test]
    fn what_is_being_closed_ends_whatever_the_peer_does() {
        let (poller, conn) = (Poller::new().unwrap(), ConnId::Dialled(1));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut line = Line::new(conn, stream, &poller).unwrap();
        let mut connections = Connections::default();
        assert_eq!(connections.deadline(), None);
        line.finish(vec![Bytes::from_static(b"bye")], &poller).unwrap();
        connections.all.insert(conn, Connection::Closing(line));
        let until = connections.deadline().unwrap();
        assert!(connections.is_closing(conn) && connections.overdue(until - Duration::from_nanos(1)).is_empty());
        assert_eq!(connections.overdue(until), [(conn, None)]);
        connections.remove(conn);
        assert!(connections.is_empty() && connections.deadline().is_none());
    }
}
