//! The node agent against a real API server: what a person with `kubectl` is promised.
//!
//! [`cluster`] starts the API server and asks it, [`agent`] runs `perouter run --kubernetes` in a namespace of its own; every
//! other module is one part of the promise. Needs root and a Kubernetes kit (PEROUTER_KUBE_KIT, see the README): without
//! the variable these tests are ignored, by count. Nothing waits for a time to pass.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failing unwrap is a failing test; what is measured is shown

mod agent;
mod cluster;
mod door;
mod fabric;
mod objects;
mod outage;
mod scale;
mod schema;
mod status;
