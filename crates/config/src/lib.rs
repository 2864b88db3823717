//! What users write, and what it means.
pub mod compile;
