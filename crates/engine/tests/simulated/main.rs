//! Whole routers in virtual time: see [`sim`].

mod fib;
mod model;
mod policies;
mod routing;
mod sim;
