//! The gate before the start: a script of the node's owner that says when a router may be built.
//!
//! Is told: the script's path. Emits: each distinct reason to wait once as an event, the current one to the status.
//! Nothing of the node is touched before the gate is open. Without a script it is.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use engine::Level;
use tokio::process::Command;

use crate::daemon::{Signals, Wish};
use crate::speaker::connection::words;
use crate::status::Status;

/// Wait between two attempts.
const AGAIN: Duration = Duration::from_secs(3);
/// Longest that the script may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until the gate opens; `false` when told to stop first.
pub(super) async fn open(script: &Path, status: &Status, signals: &mut Signals) -> bool {
    let mut told = None;
    loop {
        let attempt = async {
            let answer = ask(script).await;
            if let Err(reason) = &answer
                && told.as_ref() != Some(reason)
            {
                status.note(Level::Warn, None, format!("waiting to start: {reason}; asking again every few seconds"));
                status.update(|data| data.waiting = Some(reason.clone()));
                told = Some(reason.clone());
            }
            if answer.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
            answer
        };
        tokio::select! {
            answer = attempt => if let Ok(remark) = answer {
                status.update(|data| data.waiting = None);
                if let Some(remark) = remark {
                    status.note(Level::Warn, None, remark);
                }
                if told.is_some() {
                    status.note(Level::Info, None, format!("{} allows the start", script.display()));
                }
                return true;
            },
            wish = signals.next() => if wish == Wish::Stop {
                return false;
            },
        }
    }
}

/// Asks once: open, with a remark if there is one, or why not.
async fn ask(script: &Path) -> Result<Option<String>, String> {
    let shown = script.display();
    match std::fs::metadata(script) {
        Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => {}
        Ok(_) => {
            return Ok(Some(format!("{shown} is not executable: starting without asking it (`chmod +x {shown}`)")));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot look at {shown}: {}", words(&error))),
    }
    let mut command = Command::new(script);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(None),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
            let said = last.map(|line| format!(": {line}")).unwrap_or_default();
            Err(format!("{shown} ended with {}{said}", output.status))
        }
        Ok(Err(error)) => Err(format!("cannot run {shown}: {}", words(&error))),
        Err(_) => Err(format!("{shown} did not end within {} s", LIMIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn only_an_executable_script_that_fails_holds_the_start_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("can_start.sh");
        assert_eq!(ask(&script).await, Ok(None), "without a script nothing waits");

        fs::write(&script, "#!/bin/sh\necho 'the disk is not there' >&2\nexit 3\n").unwrap();
        let remark = ask(&script).await.unwrap().expect("a remark");
        assert!(remark.contains("is not executable"), "{remark}");

        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let reason = unless_busy(&script).await.unwrap_err();
        assert!(reason.contains("exit status: 3") && reason.ends_with(": the disk is not there"), "{reason}");

        fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
        assert_eq!(unless_busy(&script).await, Ok(None));
    }

    /// A process that another test starts meanwhile has our file open until it is another program.
    async fn unless_busy(script: &Path) -> Result<Option<String>, String> {
        loop {
            match ask(script).await {
                Err(reason) if reason.contains("Text file busy") => tokio::task::yield_now().await,
                answer => return answer,
            }
        }
    }
}
