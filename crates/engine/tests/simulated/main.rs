//! Whole routers in virtual time: see [`sim`].

mod fib;
mod model;
mod operator;
mod policies;
mod routing;
mod sim;
mod standards;
