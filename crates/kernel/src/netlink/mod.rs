//! A thin netlink layer: bytes out, bytes in, nothing that knows what a route is for.
//!
//! Owns the encoder ([`Attributes`]), the decoder ([`attributes`], [`Fields`]) and the socket with its three ways
//! to ask: one request with an acknowledgement, a dump, and a batch of which only the last message is acknowledged.
//! Does not cache, retry (except interrupted dumps) or interpret. RFC 3549; `linux/netlink.h`, `linux/rtnetlink.h`.
//!
//! All numbers are in the machine's byte order, all addresses in the network's.

pub(crate) mod constants;
mod message;
mod socket;

pub(crate) use message::{Attributes, Fields, Message, attributes, encode, family, messages, prefix};
pub(crate) use socket::{Refusal, Socket, WRITER_PORTS, WRITER_PORTS_MASK, done, verdict};

#[cfg(test)]
mod tests;
