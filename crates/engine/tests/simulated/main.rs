//! Whole routers in virtual time: see [`sim`].

mod add_path;
mod collisions;
mod fib;
mod fields;
mod fsm;
mod intents;
mod invariants;
mod kernel;
mod link_local;
mod model;
mod network;
mod next_hops;
mod operator;
mod policies;
mod refresh;
mod restart;
mod routes;
mod routing;
mod script;
mod scripted;
mod sim;
mod standards;
mod timers;
mod topology;
mod whole;
