//! What this process may do: as little as a router needs, from its first line on.
//!
//! [`reduce`] gives up everything else, for good: the capabilities of the calling thread and of those that it starts, the
//! right to gain any by running a program, and system calls that only an attacker would use (`filter`). Told: whether the
//! process makes namespaces. Emits nothing. A unit or a container may have taken more away before; nothing is given back.
//!
//! | capability | needed for |
//! |---|---|
//! | NET_ADMIN | links, addresses, routes, next hops, rules and settings of the network in both namespaces |
//! | NET_RAW | router advertisements, of unnumbered neighbors |
//! | NET_BIND_SERVICE | the BGP port, 179 |
//! | SYS_ADMIN | entering the router's namespace to open a socket there; giving it a name |
//! | SYS_NICE | the thread of BFD runs before all ordinary ones, those of the speaker and of the FIB before most |
//!
//! Files are read and written as their owner, root: without DAC_OVERRIDE a key that belongs to another user, and to
//! nobody else, cannot be read.

mod filter;

use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use crate::sys;

/// What is kept; the table above says why.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_NICE);

/// Who makes and names the router's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// This process: it needs `unshare` and `mount`.
    Ours,
    /// Somebody else.
    Others,
}

/// Gives up what a router does not need. To be called before the process has threads: each has privileges of its own.
///
/// # Errors
/// When the kernel has no such protection or refuses it, with the one in question. What comes before it in order
/// (capabilities, new privileges, system calls) is given up nevertheless.
pub fn reduce(namespaces: Namespaces) -> io::Result<()> {
    drop_capabilities().map_err(|error| named("capabilities", error))?;
    set_no_new_privs(true).map_err(|error| named("no_new_privs", error.into()))?;
    sys::filter_system_calls(&filter::program(namespaces)).map_err(|error| named("seccomp", error))
}

fn named(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn drop_capabilities() -> io::Result<()> {
    // Without an ambient set there is nothing to clear (Linux before 4.3, or some sandboxes).
    match clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    // What no program that is started from here can have either. Bits beyond the kernel's last capability are invalid.
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match capability_is_in_bounding_set(capability) {
            Ok(true) if !KEPT.contains(capability) => match remove_capability_from_bounding_set(capability) {
                // Without SETPCAP the set stays; `no_new_privs` has the same effect.
                Ok(()) | Err(Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            },
            Ok(_) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let permitted = capabilities(None)?.permitted & KEPT;
    Ok(set_capabilities(None, CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() })?)
}

#[cfg(test)]
#[path = "privileges_tests.rs"]
mod tests;
