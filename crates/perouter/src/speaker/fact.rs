//! What dials and listeners tell the owner, through a channel.

use std::net::{SocketAddr, TcpStream};

use engine::ConnId;

/// News of a connection that the owner does not have yet.
#[derive(Debug)]
pub(super) enum Fact {
    /// A dial succeeded.
    Connected {
        /// The dialled connection.
        conn: ConnId,
        /// Its stream, non-blocking.
        stream: TcpStream,
        /// Our end.
        local: SocketAddr,
    },
    /// A dial failed.
    Failed {
        /// The dialled connection.
        conn: ConnId,
        /// The system's words.
        error: String,
    },
    /// A connection arrived at a listener.
    Incoming {
        /// Its stream, non-blocking.
        stream: TcpStream,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
        /// The link that the listener is bound to.
        link: Option<String>,
    },
}
