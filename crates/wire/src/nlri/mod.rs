//! Reachability sections: dispatch by family, one module per kind of NLRI.
//!
//! Owns the promise that a [`Nlri`] was validated when it was made, so that iterating cannot fail. Is told the bytes of a
//! section and its family. A new family is a module beside `unicast` and an arm in each `match` here.

pub(crate) mod unicast;

use ipnet::IpNet;

pub use unicast::{Prefixes, write_prefix};

use crate::Family;

/// A validated section of one family.
#[derive(Clone, Copy, Debug)]
pub struct Nlri<'a> {
    family: Family,
    bytes: &'a [u8],
}

/// Why a section cannot be read (RFC 7606 5.3). The routes in it are then unknown, so no milder answer than a session
/// reset exists (RFC 7606 3.j).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NlriError {
    /// A prefix length beyond the family's.
    #[error("prefix length {0} is beyond the address family's")]
    PrefixTooLong(u8),
    /// The section ends inside a prefix.
    #[error("the section ends inside a prefix")]
    Truncated,
}

impl<'a> Nlri<'a> {
    /// Validates a section.
    ///
    /// # Errors
    /// See [`NlriError`].
    pub fn parse(family: Family, bytes: &'a [u8]) -> Result<Self, NlriError> {
        match family {
            Family::Ipv4Unicast => unicast::validate(bytes, 32)?,
            Family::Ipv6Unicast => unicast::validate(bytes, 128)?,
        }
        Ok(Self { family, bytes })
    }

    /// Whose routes these are.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// As they stood in the message.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The prefixes, host bits masked to zero.
    pub fn iter(&self) -> Prefixes<'a> {
        Prefixes::new(self.family, self.bytes)
    }

    pub(crate) const fn none(family: Family) -> Self {
        Self { family, bytes: &[] }
    }
}

impl<'a> IntoIterator for Nlri<'a> {
    type Item = IpNet;
    type IntoIter = Prefixes<'a>;

    fn into_iter(self) -> Prefixes<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Nlri<'a> {
    type Item = IpNet;
    type IntoIter = Prefixes<'a>;

    fn into_iter(self) -> Prefixes<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
