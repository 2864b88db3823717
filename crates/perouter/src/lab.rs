//! Stand-in for the lab.
#![allow(dead_code)]

/// A routing daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    Frr,
    Bird,
    Gobgp,
    Perouter,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct LabOptions {
    pub(crate) leaf: Option<Daemon>,
    pub(crate) host: Option<Daemon>,
    pub(crate) keep: bool,
    pub(crate) name: String,
}

pub(crate) fn up(_options: LabOptions) -> Result<bool, String> {
    Err("the lab is not built in".into())
}

pub(crate) fn down() -> Result<(), String> {
    Err("the lab is not built in".into())
}
