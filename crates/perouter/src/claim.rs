//! One router per host: two of them would take the veth pair from each other in turns.
//!
//! The claim is a listening socket in the abstract namespace, which belongs to the network namespace: it holds whatever
//! state directory a second router uses, ends with its process, and leaves nothing behind. Nobody accepts from it: the
//! kernel answers who listens as soon as somebody connects.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::daemon::RunError;

const NAME: &[u8] = b"perouter-run";

/// Held as long as the router runs.
#[derive(Debug)]
pub(crate) struct HostClaim {
    _socket: Option<UnixListener>,
}

/// Who has the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// A user's process; 0 when it cannot be seen from here.
    Process { uid: u32, pid: i32 },
    /// Somebody whom so many others have asked that no more can.
    Busy,
    /// Nobody: it has just ended, or does not listen yet.
    Gone,
}

impl HostClaim {
    /// Claims the network namespace of the calling thread.
    ///
    /// # Errors
    /// When another router, run by root, has it. Others may not keep a router from starting.
    pub(crate) fn take() -> Result<Self, RunError> {
        Self::take_named(NAME)
    }

    fn take_named(name: &[u8]) -> Result<Self, RunError> {
        let failed = |error: &io::Error| RunError::io("cannot claim this host", error);
        let address = SocketAddr::from_abstract_name(name).map_err(|error| failed(&error))?;
        let mut again = true;
        loop {
            match UnixListener::bind_addr(&address) {
                Ok(socket) => return Ok(Self { _socket: Some(socket) }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(failed(&error)),
            }
            let owner = owner(name).map_err(|error| failed(&error))?;
            if owner == Owner::Gone && again {
                again = false;
                continue;
            }
            return match refusal(owner) {
                Some(text) => Err(RunError(text)),
                None => {
                    tracing::warn!(?owner, "somebody who is not a router claims to be this host's; ignored");
                    Ok(Self { _socket: None })
                }
            };
        }
    }
}

/// Why a router does not start beside this one; `None` when it does.
fn refusal(owner: Owner) -> Option<String> {
    let who = match owner {
        Owner::Process { uid: 0, pid: 0 } => "its process is not visible from here".to_owned(),
        Owner::Process { uid: 0, pid } => format!("pid {pid}"),
        Owner::Busy => "it has been asked too often to say which process it is".to_owned(),
        Owner::Process { .. } | Owner::Gone => return None,
    };
    Some(format!("another perouter run is active on this host ({who}): stop it first; one host has one router"))
}

/// Asks whoever holds the claim, without waiting: a connection beyond the backlog would wait for ever.
fn owner(name: &[u8]) -> io::Result<Owner> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(name)?) {
        Ok(()) => {}
        Err(Errno::AGAIN) => return Ok(Owner::Busy),
        Err(Errno::CONNREFUSED) => return Ok(Owner::Gone),
        Err(error) => return Err(error.into()),
    }
    let (uid, pid) = kernel::sock::peer_credentials(&UnixStream::from(socket))?;
    Ok(Owner::Process { uid, pid })
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    fn name(of: &str) -> Vec<u8> {
        format!("perouter-claim-{of}-{}", std::process::id()).into_bytes()
    }

    fn bound(name: &[u8]) -> OwnedFd {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
        rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name).expect("a name")).expect("a free name");
        socket
    }

    #[test]
    fn whoever_listens_is_known_by_user_and_process() {
        let name = name("known");
        let claim = HostClaim::take_named(&name).expect("a free name");
        let pid = i32::try_from(std::process::id()).expect("a small number");
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(owner(&name).expect("an answer"), Owner::Process { uid, pid });
        assert_eq!(HostClaim::take_named(&name).is_err(), uid == 0, "only root keeps a router from starting");
        drop(claim);
        assert_eq!(owner(&name).expect("an answer"), Owner::Gone);
        HostClaim::take_named(&name).expect("free again");
    }

    #[test]
    fn a_full_backlog_means_that_somebody_has_the_claim() {
        let name = name("full");
        let socket = bound(&name);
        rustix::net::listen(&socket, 0).expect("a listening socket");
        let asked = (0..10).map(|_| owner(&name).expect("an answer")).find(|owner| *owner == Owner::Busy);
        assert_eq!(asked, Some(Owner::Busy));
        assert!(HostClaim::take_named(&name).is_err());
    }

    #[test]
    fn somebody_who_only_has_the_name_keeps_nobody_from_starting() {
        let name = name("silent");
        let _socket = bound(&name);
        HostClaim::take_named(&name).expect("nobody is there");
    }

    #[test]
    fn a_process_that_is_not_visible_is_not_called_pid_0() {
        let text = refusal(Owner::Process { uid: 0, pid: 0 }).expect("root has it");
        assert!(text.contains("active on this host (its process is not visible from here)"), "{text}");
        assert!(refusal(Owner::Process { uid: 0, pid: 7 }).expect("root has it").contains("(pid 7)"));
        assert_eq!(refusal(Owner::Process { uid: 1000, pid: 0 }), None);
    }
}
