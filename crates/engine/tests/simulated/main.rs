//! Whole routers in virtual time: see [`sim`].

mod fib;
mod model;
mod next_hops;
mod operator;
mod policies;
mod routing;
mod sim;
