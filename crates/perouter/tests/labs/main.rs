//! The router among real daemons, in labs of network namespaces: what a user is promised, seen from outside.
//!
//! [`fabric`] builds a lab and asks its questions, [`yaml`] writes the router's file; every other module is one
//! part of the promise. Needs root and the peers (`scripts/install-peers`); without them the tests fail and say
//! so. Nothing waits for a time to pass.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failing unwrap is a failing test; the labs are named

mod add_path;
mod bfd;
mod bulk;
mod drain;
mod ecmp;
mod extended;
mod fabric;
mod graceful_shutdown;
mod host_network;
mod host_routes;
mod host_session;
mod limits;
mod matrix;
mod mistakes;
mod next_hops;
mod nodes;
mod operator;
mod paths;
mod plan;
mod ranges;
mod reflector;
mod roles;
mod secured;
mod sessions;
mod speakers;
mod star;
mod unnumbered;
mod whole;
mod yaml;
