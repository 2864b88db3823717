//! Linux, as far as a router on it needs: namespaces, links, addresses, sysctls, routes, next-hop objects.
pub mod fib;
pub mod host;
pub mod monitor;
pub mod netns;
pub mod sock;
