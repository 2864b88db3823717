//! One router per host: two of them would take the veth pair from each other in turns.
//!
//! The claim is a listening socket in the abstract namespace, which belongs to the network namespace: it holds whatever
//! state directory a second router uses, ends with its process, and leaves nothing behind.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use crate::daemon::RunError;

const NAME: &[u8] = b"perouter-run";

/// Held as long as the router runs.
#[derive(Debug)]
pub(crate) struct HostClaim {
    _socket: Option<UnixListener>,
}

impl HostClaim {
    /// Claims the network namespace of the calling thread.
    ///
    /// # Errors
    /// When another router, run by root, has it. Others may not keep a router from starting.
    pub(crate) fn take() -> Result<Self, RunError> {
        let failed = |error: &io::Error| RunError::io("cannot claim this host", error);
        let address = SocketAddr::from_abstract_name(NAME).map_err(|error| failed(&error))?;
        match UnixListener::bind_addr(&address) {
            Ok(socket) => Ok(Self { _socket: Some(socket) }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => match owner(&address) {
                Some((0, pid)) => Err(RunError(format!(
                    "another perouter run is active on this host (pid {pid}): stop it first; one host has one router"
                ))),
                Some((uid, pid)) => {
                    tracing::warn!(uid, pid, "somebody who is not root claims to be this host's router; ignored");
                    Ok(Self { _socket: None })
                }
                None => Ok(Self { _socket: None }),
            },
            Err(error) => Err(failed(&error)),
        }
    }
}

/// User and process of whoever holds the claim; `None` when it has just ended.
fn owner(address: &SocketAddr) -> Option<(u32, i32)> {
    let stream = UnixStream::connect_addr(address).ok()?;
    let who = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    Some((who.uid.as_raw(), who.pid.as_raw_nonzero().get()))
}
