//! Whole routers in virtual time: see [`sim`].

mod policies;
mod routing;
mod sim;
