//! Linux, as far as a router on it needs: namespaces, links, addresses, sysctls, routes, next-hop objects.
//!
//! Owns every system call of the program that is not an ordinary file, plus a thin netlink layer of its own.
//! Told: plain data (desired hosts, batches of routes). Emits: plain data (what is there, what was refused, each
//! refusal as a sentence). Knows nothing of BGP, of configuration files and of any runtime: every call blocks, so
//! a caller that must not block gives it a thread.
//!
//! Sockets, netlink ones too, belong for ever to the namespace in which they were made. A thread therefore enters
//! another namespace than its own only to open a socket or a file, and ends there ([`netns::Namespace::run`]): no thread of a
//! pool is ever in a foreign namespace.

pub mod advertise;
pub mod datagram;
mod errno;
pub mod fib;
#[doc(hidden)]
pub mod fuzz;
pub mod host;
pub mod host_table;
mod link;
pub mod lookup;
pub mod memory;
pub mod monitor;
mod netlink;
pub mod netns;
pub mod priority;
pub mod privileges;
mod route;
mod rule;
pub mod sock;
mod sys;
mod sysctl;
