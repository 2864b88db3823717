//! What users write, and what it means.
pub mod compile;
pub mod files;
pub mod node;
pub mod speak;
pub mod verdict;
