//! Whole routers in virtual time: see [`sim`].

mod driven;
mod fib;
mod model;
mod operator;
mod policies;
mod routing;
mod sim;
