//! Where log lines go: standard error, as text or JSON, filtered by level.
//!
//! The level is what was typed, else what the node's file says (upstream's words), else `info`.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::exit::Failure;

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// Installs the subscriber of this process.
///
/// # Errors
/// A level that is typed wrong is a usage error. One in the node's file is reported in the log instead, because
/// it must not keep the router from starting.
pub(crate) fn init(format: LogFormat, typed: Option<&str>, node: Option<&str>) -> Result<(), Failure> {
    let (filter, complaint) = choose(typed, node)?;
    let filter = without_attempts(filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second call can only come from a test; the first subscriber stays.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
    Ok(())
}

/// What a Kubernetes client says of each attempt in vain, `source::cluster` says once and in words. Whoever asks for details
/// gets them.
fn without_attempts(filter: EnvFilter) -> EnvFilter {
    let text = filter.to_string();
    match ["debug", "trace"].contains(&text.as_str()) || text.contains("kube") {
        true => filter,
        false => EnvFilter::try_new(format!("{text},kube_client=off,kube_runtime=off")).unwrap_or(filter),
    }
}

/// The filter, and what was wrong with the node's level.
fn choose(typed: Option<&str>, node: Option<&str>) -> Result<(EnvFilter, Option<String>), Failure> {
    if let Some(level) = typed {
        return match parse(level) {
            Some(filter) => Ok((filter, None)),
            None => Err(Failure::Usage(format!(
                "--log-level {level}: not a level; use error, warn, info, debug or trace, or a filter such as `info,engine=debug`"
            ))),
        };
    }
    let Some(level) = node.filter(|level| !level.is_empty()) else {
        return Ok((EnvFilter::new("info"), None));
    };
    Ok(match parse(level) {
        Some(filter) => (filter, None),
        None => {
            (EnvFilter::new("info"), Some(format!("logLevel {level} of the node's file is not a level; using info")))
        }
    })
}

/// Reads a level or a filter. A bare word must be a level: as a filter it would be a target that matches nothing.
fn parse(text: &str) -> Option<EnvFilter> {
    let directive = match text.to_ascii_lowercase().as_str() {
        "all" => "trace".to_owned(),
        "none" => "off".to_owned(),
        "warning" => "warn".to_owned(),
        level @ ("error" | "warn" | "info" | "debug" | "trace" | "off") => level.to_owned(),
        _ if text.contains(['=', ',']) => text.to_owned(),
        _ => return None,
    };
    EnvFilter::try_new(directive).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(typed: Option<&str>, node: Option<&str>) -> String {
        choose(typed, node).unwrap().0.to_string()
    }

    #[test]
    fn what_was_typed_beats_the_nodes_file_which_beats_the_default() {
        assert_eq!(chosen(Some("debug"), Some("error")), "debug");
        assert_eq!(chosen(None, Some("error")), "error");
        assert_eq!(chosen(None, Some("")), "info");
        assert_eq!(chosen(None, None), "info");
    }

    #[test]
    fn upstreams_words_all_and_none_are_understood() {
        assert_eq!(chosen(None, Some("all")), "trace");
        assert_eq!(chosen(None, Some("none")), "off");
    }

    #[test]
    fn a_wrong_level_is_a_usage_error_when_typed_and_a_complaint_in_the_file() {
        assert!(matches!(choose(Some("loud"), None), Err(Failure::Usage(text)) if text.contains("loud")));
        let (filter, complaint) = choose(None, Some("loud")).unwrap();
        assert_eq!(filter.to_string(), "info");
        assert!(complaint.unwrap().contains("loud"));
    }

    #[test]
    fn attempts_in_vain_are_left_out_unless_somebody_asks_for_details() {
        let filter = |text: &str| without_attempts(EnvFilter::new(text)).to_string();
        assert!(filter("info").contains("kube_client=off") && filter("info,engine=debug").contains("kube_client=off"));
        assert_eq!(filter("debug"), "debug");
        assert!(!filter("info,kube_client=warn").contains("off"));
    }

    #[test]
    fn single_modules_can_be_made_talkative() {
        assert!(chosen(Some("info,engine=debug"), None).contains("engine=debug"));
    }
}
