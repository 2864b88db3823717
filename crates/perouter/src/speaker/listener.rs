//! Listening sockets: where peers find us.
//!
//! Owns: one task per socket that accepts until it is aborted, and the sockets' TCP-MD5 keys.
//! Is told: whom to expect (`Action::Admit`). Emits: [`Fact::Incoming`] to the owner.
//! Does not: decide who may connect. The engine knows its peers and closes the others' connections. Keys are
//! the exception: the kernel compares them at the SYN, so they must be there before the connection is.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use engine::Admission;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::connection::{Fact, words};

/// How long to wait when the process cannot accept (no descriptors left).
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

/// The listening sockets of the speaker. Dropping it closes them.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// Descriptors of the same sockets that the tasks accept on, for their options.
    sockets: Vec<TcpListener>,
    admissions: BTreeMap<IpAddr, Admission>,
    _tasks: JoinSet<()>,
}

impl Listeners {
    /// Begins to accept on non-blocking listening sockets. Must be called inside a tokio runtime.
    pub(crate) fn start(sockets: Vec<TcpListener>, facts: &mpsc::Sender<Fact>) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        for socket in &sockets {
            let listener = tokio::net::TcpListener::from_std(socket.try_clone()?)?;
            tasks.spawn(accept(listener, facts.clone()));
        }
        Ok(Self { sockets, admissions: BTreeMap::new(), _tasks: tasks })
    }

    /// Expects exactly these peers from here on. Returns a sentence for each key that could not be set.
    pub(crate) fn admit(&mut self, admissions: Vec<Admission>) -> Vec<(IpAddr, String)> {
        let new: BTreeMap<IpAddr, Admission> = admissions.into_iter().map(|one| (one.address, one)).collect();
        let mut failed = Vec::new();
        for (address, old) in &self.admissions {
            if old.password.is_some() && new.get(address).is_none_or(|now| now.password.is_none()) {
                self.set_key(*address, None, &mut failed);
            }
        }
        for (address, now) in &new {
            let before = self.admissions.get(address).and_then(|old| old.password.as_ref());
            if let Some(key) = &now.password
                && before != Some(key)
            {
                self.set_key(*address, Some(&key.0), &mut failed);
            }
        }
        self.admissions = new;
        failed
    }

    /// Prepares an accepted stream for the peer that it came from.
    pub(crate) fn tune(&self, stream: &std::net::TcpStream, peer: IpAddr) -> io::Result<()> {
        let ttl = self.admissions.get(&peer).and_then(|admission| super::ttl(admission.ttl));
        kernel::sock::tune(stream, ttl)
    }

    fn set_key(&self, peer: IpAddr, key: Option<&str>, failed: &mut Vec<(IpAddr, String)>) {
        for socket in self.sockets.iter().filter(|socket| same_family(socket, peer)) {
            if let Err(error) = kernel::sock::set_md5(socket, peer, key) {
                let text = match key {
                    Some(_) => format!(
                        "the kernel does not take the TCP-MD5 password of {peer}: {}. Connections from it cannot be accepted",
                        words(&error)
                    ),
                    None => format!("the TCP-MD5 password of {peer} cannot be removed: {}", words(&error)),
                };
                failed.push((peer, text));
            }
        }
    }
}

fn same_family(socket: &TcpListener, peer: IpAddr) -> bool {
    socket.local_addr().is_ok_and(|local| local.is_ipv4() == peer.is_ipv4())
}

/// Accepts from one socket until it is aborted. What is in the backlog then is reset by the kernel.
async fn accept(listener: tokio::net::TcpListener, facts: mpsc::Sender<Fact>) {
    loop {
        match incoming(&listener).await {
            Ok((stream, local, remote)) => {
                if facts.send(Fact::Incoming { stream, local, remote }).await.is_err() {
                    return;
                }
            }
            // The peer went away between SYN and accept: the next one may be fine.
            Err(error) if peer_gone(&error) => {}
            Err(error) => {
                tracing::warn!(error = %words(&error), "cannot accept a connection, trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn incoming(listener: &tokio::net::TcpListener) -> io::Result<(std::net::TcpStream, SocketAddr, SocketAddr)> {
    let (stream, remote) = listener.accept().await?;
    let local = stream.local_addr()?;
    Ok((stream.into_std()?, local, remote))
}

fn peer_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}

/// Opens listening sockets in `ns`. An IPv6 wildcard on a system without IPv6 is left out and named in the
/// second value; everything else that fails is an error that names the address and the remedy.
pub(crate) fn open(
    ns: &kernel::netns::Namespace,
    addresses: &[SocketAddr],
) -> Result<(Vec<TcpListener>, Vec<String>), String> {
    let mut sockets = Vec::new();
    let mut warnings = Vec::new();
    for &address in addresses {
        match kernel::sock::listen(ns, address) {
            Ok(socket) => sockets.push(socket),
            Err(error) if without_ipv6(address, &error) => {
                warnings.push(format!("not listening on {address}: this system has no IPv6 ({})", words(&error)));
            }
            Err(error) => return Err(refusal(address, &error)),
        }
    }
    Ok((sockets, warnings))
}

const EAFNOSUPPORT: i32 = 97;

fn without_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    address.is_ipv6()
        && address.ip().is_unspecified()
        && (error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// The sentence for a listen address that cannot be had.
fn refusal(address: SocketAddr, error: &io::Error) -> String {
    let remedy = if error.kind() == io::ErrorKind::AddrInUse {
        format!(
            "another program listens there (`ss -ltnp 'sport = :{}'` shows which); stop it or choose another address",
            address.port()
        )
    } else if error.kind() == io::ErrorKind::AddrNotAvailable {
        format!("no link here has the address {}; add it or choose another one", address.ip())
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "ports below 1024 need root or CAP_NET_BIND_SERVICE; start it as root or choose a higher port".to_owned()
    } else {
        "choose another address".to_owned()
    };
    format!("cannot listen on {address}: {}; {remedy}", words(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    #[test]
    fn a_taken_address_is_named_with_the_remedy() {
        let address: SocketAddr = "0.0.0.0:179".parse().expect("an address");
        let text = refusal(address, &os(98));
        assert!(text.starts_with("cannot listen on 0.0.0.0:179: Address already in use; another program"), "{text}");
        assert!(text.contains("sport = :179"), "{text}");
    }

    #[test]
    fn only_the_ipv6_wildcard_may_be_missing() {
        let wildcard: SocketAddr = "[::]:179".parse().expect("an address");
        let own: SocketAddr = "[2001:db8::1]:179".parse().expect("an address");
        let v4: SocketAddr = "0.0.0.0:179".parse().expect("an address");
        assert!(without_ipv6(wildcard, &os(EAFNOSUPPORT)));
        assert!(without_ipv6(wildcard, &os(99)));
        assert!(!without_ipv6(wildcard, &os(98)));
        assert!(!without_ipv6(own, &os(99)));
        assert!(!without_ipv6(v4, &os(99)));
    }
}
