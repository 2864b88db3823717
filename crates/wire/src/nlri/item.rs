//! What a section lists, as the encoder takes it.

use ipnet::IpNet;

use super::unicast::{prefix_size, write_prefix};

/// Tells the paths to one prefix apart on a session (RFC 7911 3). It means something to its sender only.
pub type PathId = u32;

/// Octets of a path identifier.
pub(crate) const PATH_ID_LEN: usize = 4;

/// A plain [`IpNet`], or a [`PathId`] and its prefix for a family in which the peer takes identifiers (RFC 7911 3).
pub trait NlriItem: sealed::Item {}

impl NlriItem for IpNet {}
impl NlriItem for (PathId, IpNet) {}

pub(crate) mod sealed {
    use super::{IpNet, PathId};

    /// Sealed: the encoder's sizes hold for these two alone.
    pub trait Item {
        /// Whether an identifier stands before each prefix.
        const ADD_PATH: bool;

        fn prefix(&self) -> &IpNet;

        /// Octets that it takes.
        fn size(&self) -> usize;

        fn write(&self, out: &mut Vec<u8>);
    }

    impl Item for IpNet {
        const ADD_PATH: bool = false;

        fn prefix(&self) -> &IpNet {
            self
        }

        fn size(&self) -> usize {
            super::prefix_size(self)
        }

        fn write(&self, out: &mut Vec<u8>) {
            super::write_prefix(out, self);
        }
    }

    impl Item for (PathId, IpNet) {
        const ADD_PATH: bool = true;

        fn prefix(&self) -> &IpNet {
            &self.1
        }

        fn size(&self) -> usize {
            super::PATH_ID_LEN + super::prefix_size(&self.1)
        }

        fn write(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0.to_be_bytes());
            super::write_prefix(out, &self.1);
        }
    }
}
