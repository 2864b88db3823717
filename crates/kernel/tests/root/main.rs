//! Against the real kernel, in namespaces made for the purpose. Needs root; fails without it.
//!
//! Every test makes its own namespaces, most of them without a name, so that nothing of the machine is touched
//! and everything ends with the test. Assertions from outside use `ip -j` of iproute2.

// Clippy takes only the functions marked as tests for tests; here the helpers are as well.
#![allow(clippy::unwrap_used)]

mod advertise;
mod datagram;
mod fib;
mod host;
mod host_table;
mod lab;
mod lookup;
mod monitor;
mod netns;
mod sock;
