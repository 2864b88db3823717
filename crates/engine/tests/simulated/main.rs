//! Whole routers in virtual time: see [`sim`].

mod add_path;
mod fib;
mod model;
mod next_hops;
mod operator;
mod policies;
mod routing;
mod scripted;
mod sim;
