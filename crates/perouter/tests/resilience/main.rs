//! What users notice of restarts, failures and changes: packets lost at 1 kHz, among real daemons.
//!
//! Each test is one row, or a few rows, of the table of `docs/resilience.md`: [`harness`] builds the site, [`traffic`] sends
//! and counts, [`table`] collects; every other module is a kind of event. A row asserts what must hold, never how long
//! anything took. `make resilience` runs them one after the other and prints the table.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failing unwrap is a failing test; the rows are printed

mod addresses;
mod baseline;
mod configuration;
mod drain;
// Questions to a lab and the router's file are asked and written as in the labs; rows need only some of them.
#[allow(dead_code)]
#[path = "../labs/fabric.rs"]
mod fabric;
mod failover;
mod harness;
mod host;
mod journal;
mod liveness;
mod load;
mod many;
mod refresh;
mod restart;
mod routes;
mod strangers;
mod table;
mod traffic;
#[allow(dead_code)]
#[path = "../labs/yaml.rs"]
mod yaml;
