//! BGP messages: bytes to meaning and back.
pub mod family;
pub use family::{AfiSafi, Family};
