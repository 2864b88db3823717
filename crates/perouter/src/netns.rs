//! `perouter netns`: makes the router's network namespace and gives it its name, for a router that cannot.
//!
//! A router whose unit or container has mounts of its own can use a namespace that the node has a name for, but a name that
//! it gives itself is seen by nobody else. So this runs before it, among the node's mounts: as `perouter-netns.service`, or
//! as an init container. With `--keep` it stays, and gives the name back when somebody removes it.
//!
//! It settles the namespace's kernel settings too: /proc/sys is read-only in a container.
//!
//! Owns: the name. Is told: changes beside it, signals. Does not: put anything into the namespace, nor remove it. A name
//! that is removed when no link but `lo` is left was removed by whoever took the router down: that is the end.

use std::path::Path;

use engine::Level;
use kernel::host::{HostError, Op, Site};
use kernel::netns::Namespace;

use crate::cli::NetnsArgs;
use crate::daemon::{RunError, Signals, Wish, blocking};
use crate::run::NAMES;
use crate::source::files::Watched;
use crate::speaker::connection::words;
use crate::status::{Mode, Status};

/// Makes the namespace unless it is there, settles it, and keeps its name if that is asked for, until SIGTERM.
pub(crate) async fn run(args: &NetnsArgs) -> Result<(), RunError> {
    let mut signals = Signals::catch()?;
    let status = Status::new(Mode::Run);
    let name = args.namespace.clone();
    // Before it is looked at: what changes after that is noticed.
    let mut changes = Watched::eager(vec![Path::new(NAMES).join(&name)], status.clone());
    let wanted = name.clone();
    let (namespace, steps) = blocking(move || prepare(&wanted)).await?.map_err(RunError)?;
    if steps.is_empty() {
        status.note(Level::Info, name.as_str(), format!("namespace {name} is there and as it should be"));
    }
    for step in steps {
        let made = matches!(step, Op::EnsureNamespace { .. });
        let text = if made { format!("made namespace {name}") } else { step.to_string() };
        status.note(Level::Info, step.object(), text);
    }
    if !args.keep {
        return Ok(());
    }
    loop {
        tokio::select! {
            wish = signals.next() => if wish == Wish::Stop {
                return Ok(());
            },
            () = changes.burst() => if !keep(&namespace, &name, &status).await? {
                return Ok(());
            },
        }
    }
}

/// The namespace, and what was done to it. `Err` says what could not be.
fn prepare(name: &str) -> Result<(Namespace, Vec<Op>), String> {
    let all = |errors: Vec<HostError>| errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ");
    let steps = Site::here().map_err(|error| error.message)?.prepare(name).map_err(all)?;
    let cannot = |error: std::io::Error| format!("cannot open the network namespace {name}: {}", words(&error));
    let (namespace, _made) = Namespace::ensure(name).map_err(cannot)?;
    Ok((namespace, steps))
}

/// Gives the namespace its name back if it has none; `false` when it was given up.
async fn keep(namespace: &Namespace, name: &str, status: &Status) -> Result<bool, RunError> {
    let (held, wanted) = (namespace.clone(), name.to_owned());
    let kept = blocking(move || {
        if Namespace::open(&wanted)?.is_some() {
            return Ok(None);
        }
        let empty = kernel::monitor::links(&held)?.iter().all(|link| link.name == "lo");
        if !empty {
            held.rebind(&wanted)?;
        }
        Ok::<_, std::io::Error>(Some(empty))
    });
    match kept.await? {
        Ok(None) => Ok(true),
        Ok(Some(true)) => {
            status.note(Level::Info, name, format!("namespace {name} was removed with nothing in it: that is the end"));
            Ok(false)
        }
        Ok(Some(false)) => {
            status.note(Level::Warn, name, format!("the name of namespace {name} was removed; it has it again"));
            Ok(true)
        }
        // Tried again with the next change; the router, which looks more often, says that it has no name.
        Err(error) => {
            let text = format!("namespace {name} has lost its name and cannot have it back: {}", words(&error));
            status.note(Level::Warn, name, text);
            Ok(true)
        }
    }
}
