//! What people see: answers of the daemon as aligned text, and as JSON for programs.
//!
//! Each view asks through [`crate::admin::client`] and renders model values with pure functions into [`Out`], the
//! only writer of standard output. Nothing here knows the engine.

mod bfd;
pub(crate) mod crds;
pub(crate) mod drain;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod orders;
mod out;
pub(crate) mod peers;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod progress;
pub(crate) mod routes;
pub(crate) mod status;
mod table;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod verdicts;

pub(crate) use out::Out;

/// 45s, 5m03s, 1h02m, 3d4h: two units, so that columns stay narrow.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    if days > 0 {
        format!("{days}d{}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h{:02}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

/// A value that may be missing.
fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// "1 path", "2 paths".
fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
