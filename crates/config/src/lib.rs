//! What users write, and what it means.
//!
//! Text becomes a tree with line numbers ([`files`], [`speak`], [`node`] through the private `yaml` and `schema`
//! modules), the tree becomes one of the [`types`], and [`compile`] turns objects and node into the router's intent,
//! the desired host and one [`verdict`] per object. There is one definition of every object: the schema and the CEL
//! rules that the custom resource definitions carry are the ones that files are held against.
//!
//! Reads files and, for `interfaceName` in `node-config.yaml`, interface addresses. Everything after that is pure:
//! no sockets, no clocks, no engine state.
pub mod addresses;
pub mod cluster;
pub mod compile;
pub mod crds;
pub mod files;
mod idle;
pub mod node;
pub mod reference;
mod schema;
mod secret;
mod session;
pub mod speak;
mod text;
pub mod types;
mod validate;
pub mod verdict;
mod yaml;
