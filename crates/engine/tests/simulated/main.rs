//! Whole routers in virtual time: see [`sim`].

mod add_path;
mod collisions;
mod fib;
mod fsm;
mod intents;
mod invariants;
mod kernel;
mod model;
mod next_hops;
mod network;
mod operator;
mod policies;
mod refresh;
mod routes;
mod routing;
mod scripted;
mod script;
mod sim;
mod timers;
mod topology;
mod whole;
