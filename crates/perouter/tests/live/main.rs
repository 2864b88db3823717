//! The daemons for real, in network namespaces of their own. Needs root and iproute2; everything made has a unique name
//! and goes away with the test, also when it fails.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails where it stands, and says why")]

mod api;
mod browser;
mod gate;
mod host_routes;
mod http;
mod monitoring;
mod operator;
mod page;
mod plan;
mod privileges;
mod ranges;
mod restart;
mod run;
mod schema;
mod site;
mod speak;
mod support;
mod unnumbered;
