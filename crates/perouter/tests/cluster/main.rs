//! What is installed in a cluster, against real Kubernetes programs: the chart and its permissions, the controller, and a
//! node whose kubelet runs the router from our image.
//!
//! All but what can be said without a cluster need one: `PEROUTER_KUBE_KIT` names it (README). Without it they are not
//! run, and cargo counts them as ignored.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failing unwrap is a failing test; what takes part is named

mod controller;
mod manifests;
mod node;
mod permissions;
mod support;
#[path = "../resilience/traffic.rs"]
#[allow(dead_code)] // what only the other tests ask for
mod traffic;
mod webhook;
