//! Whole routers in virtual time: see [`sim`].

mod fib;
mod policies;
mod routing;
mod sim;
