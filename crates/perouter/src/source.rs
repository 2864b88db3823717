//! Where objects come from.

pub(crate) mod files;
