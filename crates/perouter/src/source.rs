//! Where objects come from, and what they ask for.

pub(crate) mod cluster;
pub(crate) mod files;
pub(crate) mod objects;
