//! `perouter teardown`: gives the NICs back and removes the namespace, unless a daemon would build it again.

use std::collections::BTreeSet;
use std::path::Path;

use kernel::host::HostError;
use kernel::netns::Namespace;

use crate::admin::client::Client;
use crate::admin::socket_path;
use crate::exit::{Exit, Failure};
use crate::host_routes::HostSide;
use crate::speaker::connection::words;
use crate::views::Out;

/// Removes everything and says what was done; not healthy when something could not be removed.
///
/// # Errors
/// [`Failure::Daemon`] while a daemon runs.
pub(crate) async fn run(state_dir: &Path, namespace: &str, out: &mut Out<'_>) -> Result<Exit, Failure> {
    refuse_while_a_daemon_runs(state_dir).await?;
    let before = Seen::now(namespace);
    let mut errors = Vec::new();
    // The routes go with the veth pair as well, unless it cannot be removed.
    let routes = Namespace::current()
        .and_then(|own| crate::host_routes::clear(&HostSide { namespace: own, state_dir: state_dir.to_owned() }));
    match routes {
        Ok(true) => out.line("removed our routes from the host's table")?,
        Ok(false) => {}
        Err(error) => errors.push(HostError::said("the host's table", words(&error))),
    }
    errors.extend(kernel::host::teardown(namespace, state_dir));
    let after = Seen::now(namespace);
    for line in report(namespace, &before, &after, &errors) {
        out.line(&line)?;
    }
    Ok(Exit::healthy(errors.is_empty()))
}

async fn refuse_while_a_daemon_runs(state_dir: &Path) -> Result<(), Failure> {
    let Ok(client) = Client::connect(state_dir).await else {
        return Ok(());
    };
    let path = socket_path(state_dir);
    let (who, how) = match client.pid() {
        Some(pid) => (format!("a perouter daemon (pid {pid})"), format!("`kill {pid}`")),
        None => ("a perouter daemon".to_owned(), "SIGTERM".to_owned()),
    };
    Err(Failure::Daemon(format!(
        "{who} answers at {} and would build everything again; stop it first, with `systemctl stop perouter` or {how}",
        path.display()
    )))
}

/// What can be seen of links and the namespace, as far as the kernel answers: only for the report.
#[derive(Debug, Default)]
struct Seen {
    exists: bool,
    inside: BTreeSet<String>,
    outside: BTreeSet<String>,
}

impl Seen {
    fn now(namespace: &str) -> Self {
        let names = |ns: &Namespace| {
            let links = kernel::monitor::links(ns).unwrap_or_default();
            links.into_iter().map(|link| link.name).collect()
        };
        let inner = Namespace::open(namespace).ok().flatten();
        Self {
            exists: inner.is_some(),
            inside: inner.as_ref().map(names).unwrap_or_default(),
            outside: Namespace::current().as_ref().map(names).unwrap_or_default(),
        }
    }
}

/// What happened, by comparing before and after: what is told is what is true, not what was tried.
fn report(namespace: &str, before: &Seen, after: &Seen, errors: &[HostError]) -> Vec<String> {
    let mut lines = Vec::new();
    for link in &before.inside {
        if after.outside.contains(link) && !before.outside.contains(link) {
            lines.push(format!("gave {link} back to the host"));
        }
    }
    for link in before.outside.difference(&after.outside) {
        lines.push(format!("removed {link}"));
    }
    if before.exists && !after.exists {
        lines.push(format!("removed namespace {namespace}"));
    }
    for error in errors {
        lines.push(format!("could not finish: {}: {}", error.object, error.message));
    }
    if lines.is_empty() && !before.exists {
        lines.push(format!("nothing to remove: there is no namespace {namespace}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn seen(exists: bool, inside: &[&str], outside: &[&str]) -> Seen {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Seen { exists, inside: set(inside), outside: set(outside) }
    }

    #[test]
    fn the_report_tells_what_came_back_and_what_is_gone() {
        let before = seen(true, &["lo", "eth1", "pt-ns"], &["lo", "eth0", "pt-host"]);
        let after = seen(false, &[], &["lo", "eth0", "eth1"]);
        assert_eq!(
            report("perouter", &before, &after, &[]),
            ["gave eth1 back to the host", "removed pt-host", "removed namespace perouter"]
        );
    }

    #[test]
    fn nothing_to_do_is_said() {
        let nothing = seen(false, &[], &["lo"]);
        assert_eq!(report("perouter", &nothing, &nothing, &[]), ["nothing to remove: there is no namespace perouter"]);
    }

    #[test]
    fn a_failure_is_told_and_nothing_is_claimed_that_did_not_happen() {
        let stuck = seen(true, &["lo", "eth1"], &["lo"]);
        let error = HostError::said("eth1", "busy");
        assert_eq!(report("perouter", &stuck, &stuck, &[error]), ["could not finish: eth1: busy"]);
    }

    #[tokio::test]
    async fn a_running_daemon_is_named_with_its_pid() {
        let dir = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(socket_path(dir.path())).unwrap();
        let Err(Failure::Daemon(sentence)) = refuse_while_a_daemon_runs(dir.path()).await else {
            panic!("not refused")
        };
        assert!(sentence.contains(&format!("pid {}", std::process::id())), "{sentence}");
        assert!(sentence.contains("systemctl stop perouter"), "{sentence}");
    }

    #[tokio::test]
    async fn a_stale_socket_does_not_hold_teardown_up() {
        let dir = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(socket_path(dir.path())).unwrap());
        assert!(refuse_while_a_daemon_runs(dir.path()).await.is_ok());
    }
}
