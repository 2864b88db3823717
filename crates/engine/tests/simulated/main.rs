//! Whole routers in virtual time: see [`sim`].

mod collisions;
mod fib;
mod fsm;
mod model;
mod operator;
mod policies;
mod routing;
mod script;
mod sim;
