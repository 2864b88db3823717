//! What people read is what is tested.
#![allow(clippy::unwrap_used)]

use testbed::passthrough::{NODE_YAML, ROUTER_YAML};

#[test]
fn the_readme_shows_the_configuration_that_labs_use() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(file).unwrap();
    for yaml in [ROUTER_YAML, NODE_YAML] {
        assert!(readme.contains(&format!("\n{yaml}```")), "README.md does not show:\n{yaml}");
    }
}
