//! What a change of each field of a peer costs: the one table that [`super::diff`] tells from and the engine acts by.
//!
//! What is settled in OPEN, or on the TCP connection, needs another session. What decides which routes pass, and how they
//! look, is applied to the routes that are known: refused ones are kept, so that nobody has to be asked for them again.

use super::{Effect, PeerIntent};

/// A field, and how it is applied to a session that is up.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name, for people.
    pub name: &'static str,
    /// [`Effect::NewSession`], [`Effect::SoftReset`] or [`Effect::Live`].
    pub effect: Effect,
    /// What it is called in [`PeerIntent`].
    pub field: &'static str,
    differs: fn(&PeerIntent, &PeerIntent) -> bool,
}

macro_rules! fields {
    ($($field:ident $name:literal $effect:ident $(of $part:ident)?;)*) => {
        /// Every field of [`PeerIntent`]; one with parts that are applied differently is there once for each part.
        pub const FIELDS: &[Field] = &[$(Field {
            name: $name,
            field: stringify!($field),
            effect: Effect::$effect,
            differs: |old, new| fields!(@value old.$field $(, $part)?) != fields!(@value new.$field $(, $part)?),
        }),*];
    };
    (@value $value:expr) => { $value };
    (@value $value:expr, $part:ident) => { $value.map(|value| value.$part) };
}

fields! {
    name "name" Live;
    role "role" SoftReset;
    remote_as "AS" NewSession;
    families "address families" NewSession;
    extended_next_hop "extended next hop" NewSession;
    hold_time "hold time" NewSession;
    keepalive "keepalive interval" NewSession;
    connect_retry "connect time" Live;
    port "port" NewSession;
    passive "who dials" NewSession;
    password "password" NewSession;
    ttl "multihop" NewSession;
    local_address "local address" NewSession;
    allow_own_as "own AS allowed" SoftReset;
    enforce_first_as "first AS enforced" SoftReset;
    reflector_client "route reflector client" SoftReset;
    next_hop_self "next hop self" SoftReset;
    link "link" NewSession;
    allowed_prefixes "allowed prefixes" SoftReset;
    max_prefixes "maximum of prefixes" Live;
    as_override "AS override" SoftReset;
    ttl_security "TTL security" NewSession;
    graceful_restart "restart time" NewSession of restart_time;
    graceful_restart "stale path time" Live of stale_time;
    bfd "BFD" Live;
    add_path "additional paths" NewSession;
    bgp_role "BGP role" NewSession;
    reject_as_sets "AS_SETs refused" SoftReset;
}

impl PeerIntent {
    /// The fields in which `new` differs.
    pub fn changed(&self, new: &Self) -> impl Iterator<Item = &'static Field> {
        FIELDS.iter().filter(|field| (field.differs)(self, new))
    }

    /// Whether going from `self` to `new` needs a new session.
    pub fn session_changed(&self, new: &Self) -> bool {
        self.changed(new).any(|field| field.effect == Effect::NewSession)
    }
}
