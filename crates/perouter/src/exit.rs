//! Exit codes, all of them, and the failures that lead to them.
//!
//! Scripts rely on these numbers: 0 fine, 1 the answer is "not healthy", 2 the question could not be answered.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done, and what was looked at is in order.
    Fine,
    /// 1: the question was answered, and the answer is that something is not as it should be.
    Unhealthy,
    /// 2: the question could not be answered, or the command could not be carried out.
    Failed,
}

impl Exit {
    /// `Fine` or `Unhealthy`.
    pub(crate) fn healthy(healthy: bool) -> Self {
        if healthy { Self::Fine } else { Self::Unhealthy }
    }

    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Unhealthy => 1,
            Self::Failed => 2,
        }
    }

    /// The end of a command that failed. A reader that went away (`perouter routes | head`) had what it wanted.
    pub(crate) fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Self::Fine,
            Failure::Output(_) | Failure::Usage(_) | Failure::Daemon(_) => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a command gave no answer. `Display` is the sentence for people.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was typed makes no sense here.
    Usage(String),
    /// The daemon does not answer, does not start, or refuses the question.
    Daemon(String),
    /// The answer could not be written.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(sentence) | Self::Daemon(sentence) => f.write_str(sentence),
            Self::Output(error) => write!(f, "the answer could not be written: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_codes_are_stable() {
        assert_eq!([Exit::Fine, Exit::Unhealthy, Exit::Failed].map(Exit::code), [0, 1, 2]);
        assert_eq!(Exit::healthy(true).code(), 0);
        assert_eq!(Exit::healthy(false).code(), 1);
    }

    #[test]
    fn a_closed_pipe_is_no_failure_but_a_full_disk_is() {
        assert_eq!(Exit::of(&Failure::Output(io::ErrorKind::BrokenPipe.into())), Exit::Fine);
        assert_eq!(Exit::of(&Failure::Output(io::ErrorKind::StorageFull.into())), Exit::Failed);
    }

    #[test]
    fn usage_and_a_silent_daemon_both_exit_with_two() {
        assert_eq!(Exit::of(&Failure::Usage(String::new())).code(), 2);
        assert_eq!(Exit::of(&Failure::Daemon(String::new())).code(), 2);
    }
}
