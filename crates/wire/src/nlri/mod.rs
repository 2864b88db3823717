//! Reachability sections: dispatch by family, one module per kind of NLRI.
//!
//! Owns the promise that a [`Nlri`] was validated when it was made, so that iterating cannot fail. Is told the bytes of a
//! section, its family, and whether path identifiers (RFC 7911) stand in it. A new family is a module beside `unicast` and an
//! arm in each `match` here.

pub(crate) mod item;
pub(crate) mod unicast;

use ipnet::IpNet;

pub use item::{NlriItem, PathId};
pub use unicast::{Paths, Prefixes, write_prefix};

use crate::Family;

/// A validated section of one family.
#[derive(Clone, Copy, Debug)]
pub struct Nlri<'a> {
    family: Family,
    add_path: bool,
    bytes: &'a [u8],
}

/// Why a section cannot be read (RFC 7606 5.3). The routes in it are then unknown, so no milder answer than a session
/// reset exists (RFC 7606 3.j).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NlriError {
    /// A prefix length beyond the family's.
    #[error("prefix length {0} is beyond the address family's")]
    PrefixTooLong(u8),
    /// The section ends inside a prefix, or before one whose path identifier is there.
    #[error("the section ends inside a prefix")]
    Truncated,
}

impl<'a> Nlri<'a> {
    /// Validates a section. `add_path`: a path identifier stands before each prefix (RFC 7911 3).
    ///
    /// # Errors
    /// See [`NlriError`].
    pub fn parse(family: Family, add_path: bool, bytes: &'a [u8]) -> Result<Self, NlriError> {
        match family {
            Family::Ipv4Unicast => unicast::validate(bytes, 32, add_path)?,
            Family::Ipv6Unicast => unicast::validate(bytes, 128, add_path)?,
        }
        Ok(Self { family, add_path, bytes })
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

    /// Whether path identifiers stand in it.
    pub fn has_path_ids(&self) -> bool {
        self.add_path
    }

    /// The prefixes, host bits masked to zero. One that has several path identifiers comes as often.
    pub fn iter(&self) -> Prefixes<'a> {
        Prefixes(self.paths())
    }

    /// The prefixes as [`Self::iter`] has them, each with its path identifier: 0 where the section has none.
    pub fn paths(&self) -> Paths<'a> {
        Paths::new(self.family, self.add_path, self.bytes)
    }

    pub(crate) const fn none(family: Family) -> Self {
        Self { family, add_path: false, bytes: &[] }
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
