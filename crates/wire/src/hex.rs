//! Octets in log lines.

use std::fmt;

/// So many octets are shown: it is the peer who chooses how many there are.
const SHOWN: usize = 32;

/// Displays octets as digits without spaces; of more than 32 the first ones, and how many there are.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octet in self.0.iter().take(SHOWN) {
            write!(f, "{octet:02x}")?;
        }
        if self.0.len() > SHOWN {
            write!(f, ".. {} octets", self.0.len())?;
        }
        Ok(())
    }
}
