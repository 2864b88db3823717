//! Options that neighbours and host sessions share.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use engine::Family;
use engine::bfd::{Hops, Settings};
use engine::intent::{GracefulRestart, MaxPrefixes, Multipath, PeerIntent, PrefixRule};
use ipnet::IpNet;

use super::{Remark, remark};
use crate::types::{self, LimitAction, UnicastFamily};

fn seconds(value: i64) -> Option<Duration> {
    u16::try_from(value).ok().map(|value| Duration::from_secs(value.into()))
}

/// Hold time and keepalive interval, both or none.
pub(crate) fn timers(hold: Option<i64>, keepalive: Option<i64>, peer: &mut PeerIntent) -> Result<(), Remark> {
    let (hold, keepalive) = match (hold, keepalive) {
        (None, None) => return Ok(()),
        (Some(hold), Some(keepalive)) => (hold, keepalive),
        (Some(_), None) | (None, Some(_)) => {
            let what = "holdTimeSeconds and keepaliveTimeSeconds must be both set or both unset";
            return Err(remark("holdTimeSeconds", what));
        }
    };
    // Both travel in, or follow from, a field of 16 bits (RFC 4271 4.2).
    let limited =
        |field, value| seconds(value).ok_or_else(|| remark(field, format!("must be 0 to 65535 seconds, got {value}")));
    peer.hold_time = limited("holdTimeSeconds", hold)?;
    peer.keepalive = limited("keepaliveTimeSeconds", keepalive)?;
    if hold == 1 || hold == 2 {
        return Err(remark("holdTimeSeconds", "holdTimeSeconds must be 0 or >=3"));
    }
    if keepalive > hold {
        let what = "keepaliveTimeSeconds must be lower than or equal to holdTimeSeconds";
        return Err(remark("keepaliveTimeSeconds", what));
    }
    Ok(())
}

/// BFD as the engine has it; over several hops where the neighbour is, or where a least TTL is written.
pub(crate) fn bfd(written: Option<&types::Bfd>, multihop: bool) -> Result<Option<Settings>, Remark> {
    let Some(written) = written else { return Ok(None) };
    let default = Settings::default();
    let interval = |field, value: Option<i32>, default: Duration| match value {
        None => Ok(default),
        Some(value) if (10..=60_000).contains(&value) => Ok(Duration::from_millis(u64::from(value.unsigned_abs()))),
        Some(value) => Err(remark(field, format!("must be 10 to 60000 milliseconds, got {value}"))),
    };
    let small = |field, value: i32, range: RangeInclusive<u8>| {
        let fits = u8::try_from(value).ok().filter(|value| range.contains(value));
        fits.ok_or_else(|| remark(field, format!("must be {} to {}, got {value}", range.start(), range.end())))
    };
    let minimum_ttl = written.minimum_ttl.map(|ttl| small("bfd.minimumTTL", ttl, 1..=254)).transpose()?;
    let hops = match minimum_ttl.or(multihop.then_some(254)) {
        Some(minimum_ttl) => Hops::Multi { minimum_ttl },
        None => Hops::Single,
    };
    let multiplier =
        written.detect_multiplier.map(|times| small("bfd.detectMultiplier", times, 2..=255)).transpose()?;
    Ok(Some(Settings {
        transmit: interval("bfd.transmitInterval", written.transmit_interval, default.transmit)?,
        receive: interval("bfd.receiveInterval", written.receive_interval, default.receive)?,
        multiplier: multiplier.unwrap_or(default.multiplier),
        passive: written.session_mode == Some(types::BfdMode::Passive),
        hops,
        ..default
    }))
}

/// The longest wait between two attempts to connect, when written.
pub(crate) fn connect_time(written: Option<i64>, peer: &mut PeerIntent) -> Result<(), Remark> {
    if let Some(time) = written {
        let what = || remark("connectTimeSeconds", format!("connectTimeSeconds must be 1 to 65535, got {time}"));
        peer.connect_retry = seconds(time).filter(|time| !time.is_zero()).ok_or_else(what)?;
    }
    Ok(())
}

/// Graceful restart as the engine has it. The schema has settled the range.
pub(crate) fn graceful_restart(written: &types::GracefulRestart) -> GracefulRestart {
    let seconds = |value: i64| Duration::from_secs(u64::try_from(value).unwrap_or(1).clamp(1, 4095));
    GracefulRestart {
        restart_time: seconds(written.restart_time_seconds),
        stale_time: seconds(written.stale_path_time_seconds),
    }
}

/// Multipath as the engine has it. The schema has settled the range.
pub(crate) fn multipath(written: Option<&types::Multipath>) -> Multipath {
    written.map_or_else(Multipath::default, |written| Multipath {
        max_paths: u16::try_from(written.max_paths).unwrap_or(1).clamp(1, 64),
        relax: written.relax,
    })
}

/// Reads a prefix without host bits. `Err` is a sentence.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    match text.parse::<IpNet>() {
        Ok(prefix) if prefix.trunc() != prefix => {
            Err(format!("{text} has host bits set: write {} or {}", prefix.trunc(), IpNet::from(prefix.addr())))
        }
        Ok(prefix) => Ok(prefix),
        Err(_) => Err(format!("got \"{text}\": write address/length, such as 192.0.2.0/24")),
    }
}

/// The rules of a list. What is unset is the length of the prefix.
pub(crate) fn prefix_rules(written: Option<&[types::PrefixRule]>, field: &str) -> Result<Vec<PrefixRule>, Remark> {
    // To the engine no rule is no restriction; a list that is there and allows nothing must not become that.
    if written.is_some_and(<[_]>::is_empty) {
        return Err(remark(field, format!("{field} is empty: remove it, or write what is meant")));
    }
    let mut rules = Vec::new();
    for (index, rule) in written.into_iter().flatten().enumerate() {
        let wrong = |key: &str, what: String| remark(&format!("{field}[{index}].{key}"), what);
        let prefix = network(&rule.prefix).map_err(|what| wrong("prefix", what))?;
        let length = i32::from(prefix.prefix_len());
        let longest = i32::from(prefix.max_prefix_len());
        let (ge, le) = match (rule.ge, rule.le) {
            (None, None) => (length, length),
            (None, Some(le)) => (length, le),
            (Some(ge), Some(le)) => (ge, le),
            (Some(ge), None) => {
                let what = format!(
                    "ge {ge} needs le: without it only {prefix} itself matches; write le: {longest} for all inside of it"
                );
                return Err(wrong("ge", what));
            }
        };
        if ge < length || le > longest || ge > le {
            let what = format!("ge {ge} and le {le} do not fit {prefix}: {length} <= ge <= le <= {longest} is needed");
            return Err(wrong(if rule.ge.is_some() { "ge" } else { "le" }, what));
        }
        // Both lie between two lengths of prefixes.
        let length = |value: i32| u8::try_from(value).unwrap_or(prefix.max_prefix_len());
        rules.push(PrefixRule { prefix, ge: length(ge), le: length(le) });
    }
    Ok(rules)
}

/// The limits of a session with these families.
pub(crate) fn max_prefixes(
    written: Option<&[types::MaxPrefixes]>,
    families: &[Family],
    remarks: &mut Vec<Remark>,
) -> Result<BTreeMap<Family, MaxPrefixes>, Remark> {
    let mut limits = BTreeMap::new();
    for (index, limit) in written.into_iter().flatten().enumerate() {
        let wrong = |key: &str, what: String| remark(&format!("maxPrefixes[{index}].{key}"), what);
        let family = match limit.family {
            UnicastFamily::Ipv4Unicast => Family::Ipv4Unicast,
            UnicastFamily::Ipv6Unicast => Family::Ipv6Unicast,
        };
        let most = usize::try_from(limit.limit).ok().filter(|most| *most > 0);
        let most = most.ok_or_else(|| wrong("limit", format!("limit must be at least 1, got {}", limit.limit)))?;
        let teardown = limit.action == LimitAction::Teardown;
        let restart = match limit.restart_seconds {
            None => None,
            Some(_) if !teardown => {
                return Err(wrong("restartSeconds", "restartSeconds can only be set when action is Teardown".into()));
            }
            Some(time) => Some(
                seconds(time)
                    .filter(|time| !time.is_zero())
                    .ok_or_else(|| wrong("restartSeconds", format!("restartSeconds must be 1 to 65535, got {time}")))?,
            ),
        };
        if limits.insert(family, MaxPrefixes { limit: most, teardown, restart }).is_some() {
            return Err(wrong("type", format!("{family} is listed twice: remove one")));
        }
        if !families.contains(&family) {
            let (field, what) = wrong("type", format!("has no effect: {family} is not exchanged in this session"));
            remarks.push((field, what));
        }
    }
    limits.retain(|family, _| families.contains(family));
    Ok(limits)
}

/// Why a session that is to have a key has none. Without its key it must not come up.
pub(crate) fn key(
    has_key: bool,
    secret: Option<&str>,
    unreadable: Option<&str>,
    remarks: &mut Vec<Remark>,
) -> Option<Remark> {
    match (unreadable, secret) {
        // Of a cluster's objects the name of the Secret is left only where it could not be read.
        (Some(why), Some(_)) if !has_key => Some(remark("passwordSecret", why)),
        (Some(why), _) => Some(remark("passwordFile", why)),
        (None, Some(secret)) if has_key => {
            let what =
                format!("the Secret \"{secret}\" is not read from files: the key that is written beside it is used");
            remarks.push(remark("passwordSecret", what));
            None
        }
        (None, Some(secret)) => {
            let what = format!("the Secret \"{secret}\" cannot be read from files, use passwordFile");
            Some(remark("passwordSecret", what))
        }
        (None, None) => None,
    }
}
