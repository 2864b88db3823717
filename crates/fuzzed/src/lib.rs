//! What must hold for any bytes.
//!
//! One function per fuzz target ([`TARGETS`]): it takes bytes, does with them what the program does with bytes from
//! outside, and panics when a property does not hold. "It does not panic" is the least of them: what was decoded is
//! encoded and decoded again, and the engine is held against models of its peers and of its kernel.
//!
//! The same functions are run by the fuzzer (`fuzz/`, nightly) and, over the committed [`corpus`] and every input that
//! once failed, by this crate's tests. Nothing of the product depends on this crate.

#![allow(clippy::unwrap_used, reason = "what does not hold is a finding, and a panic is how it is told")]

mod config;
pub mod corpus;
mod engine;
mod input;
mod kernel;
pub mod seeds;
mod wire;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As `fuzz/fuzz_targets/NAME.rs`, `fuzz/corpus/NAME.pack` and `fuzz/regressions/NAME/` have it.
    pub name: &'static str,
    /// Panics when a property does not hold.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 13] = [
    Target { name: "wire_frame", run: wire::frame::run },
    Target { name: "wire_open", run: wire::open::run },
    Target { name: "wire_update", run: wire::update::run },
    Target { name: "wire_attributes", run: wire::attributes::run },
    Target { name: "wire_notification", run: wire::notification::run },
    Target { name: "wire_refresh", run: wire::refresh::run },
    Target { name: "engine", run: engine::run },
    Target { name: "config_files", run: config::files },
    Target { name: "config_speak", run: config::speak },
    Target { name: "config_node", run: config::node },
    Target { name: "kernel_netlink", run: kernel::netlink },
    Target { name: "kernel_advertisement", run: kernel::advertisement },
    Target { name: "kernel_saved", run: kernel::saved },
];

/// The target with this name.
///
/// # Panics
/// When there is none: the name is in a test or in a fuzz target, not in the input.
pub fn target(name: &str) -> Target {
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("no target is called {name}"))
}
