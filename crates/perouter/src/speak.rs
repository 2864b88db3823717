//! `perouter speak FILE`: only the speaker, in the namespace it was started in, from one file.
//!
//! Owns: the order of start and stop. Is told: signals. SIGHUP, and a change of a file that holds a session key, read
//! the file again and apply the difference; a bad file is reported and changes nothing. Does not: move NICs or make links.
//!
//! On SIGTERM the speaker's routes leave the kernel, as with any speaker that is not the node's router: nobody
//! would keep them current. With `gracefulRestart` they stay, since peers keep sending traffic along ours.

use std::path::{Path, PathBuf};

use config::node::Http;
use config::speak::Speak;
use engine::Level;
use kernel::netns::Namespace;

use crate::daemon::{
    Admin, RunError, Signals, StateDir, Tidy, Wish, blocking, raise_descriptor_limit, started, stop_speaker,
};
use crate::source::files::Watched;
use crate::speaker::{self, Setup, SpeakerHandle, listener};
use crate::status::{Mode, Status};
use crate::watch::{self, News};

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn speak(file: PathBuf, http: Option<Http>) -> Result<(), RunError> {
    let mut signals = Signals::catch()?;
    let mut config = read(&file).await?;
    let state = StateDir::take(&config.state_dir, "speak")?;
    raise_descriptor_limit();
    let status = Status::new(Mode::Speak);
    status.note(Level::Info, None, started());

    let namespace =
        Namespace::current().map_err(|error| RunError::io("cannot open our own network namespace", &error))?;
    let (in_namespace, addresses) = (namespace.clone(), config.listen.clone());
    let (listeners, warnings) = blocking(move || listener::open(&in_namespace, &addresses)).await?.map_err(RunError)?;
    for warning in config.warnings.iter().cloned().chain(warnings) {
        status.note(Level::Warn, None, warning);
    }

    let news = News::default();
    let mut first = first_facts(&namespace, vec![news.clone()], &status).await?;
    let in_namespace = namespace.clone();
    let leftovers = blocking(move || kernel::fib::has_leftovers(&in_namespace)).await?;
    // Links are not ours to judge: whoever lost one has lost the routes over it, too.
    if leftovers.map_err(|error| RunError::io("cannot read routes from the kernel", &error))? {
        first.push(engine::Event::Restarted { peers: None });
    }
    let setup =
        Setup { namespace: namespace.clone(), listeners, first, forwarding: None, host: None, status: status.clone() };
    let speaker = SpeakerHandle::default();
    let task = speaker::start(&speaker, setup).map_err(|error| RunError::io("cannot start the speaker", &error))?;
    let follower = watch::follow(namespace, news, speaker.clone(), status.clone());
    let admin = Admin::start(&state, speaker.clone(), status.clone(), None, http)?;
    status.update(|data| data.tallies.applied());
    speaker.apply(config.intent.clone()).await;

    let mut tidy = Tidy::default();
    tidy.soon();

    let mut keys = Watched::new(Vec::new(), status.clone());
    keys.follow(&config.secret_files);
    loop {
        let wish = tokio::select! {
            wish = signals.next() => wish,
            () = keys.burst() => Wish::Reload,
        };
        if wish == Wish::Stop {
            break;
        }
        config = reload(&file, config, &speaker, &status).await;
        if keys.follow(&config.secret_files) {
            config = reload(&file, config, &speaker, &status).await;
        }
        tidy.soon();
    }

    status.note(Level::Info, None, "stopping");
    follower.abort();
    let graceful = config.intent.restarts_gracefully();
    stop_speaker(&speaker, task, graceful, !graceful).await;
    admin.stop().await;
    drop(state);
    Ok(())
}

/// The kernel's state before any intent, and a monitor for what comes after it: subscribed first, so that nothing
/// falls between.
pub(crate) async fn first_facts(
    namespace: &Namespace,
    targets: Vec<News>,
    status: &Status,
) -> Result<Vec<engine::Event>, RunError> {
    let namespace = namespace.clone();
    let told = status.clone();
    let (links, routes) = blocking(move || {
        watch::monitor(namespace.clone(), "router", targets, told)?;
        watch::read(&namespace)
    })
    .await?
    .map_err(|error| RunError::io("cannot read links and routes from the kernel", &error))?;
    let events = vec![watch::links_event(&links), watch::routes_event(&routes)];
    status.update(|data| data.links = links);
    Ok(events)
}

async fn read(file: &Path) -> Result<Speak, RunError> {
    let file = file.to_owned();
    blocking(move || config::speak::load(&file)).await?.map_err(|error| RunError(error.to_string()))
}

/// Returns what is in force afterwards.
async fn reload(file: &Path, old: Speak, speaker: &SpeakerHandle, status: &Status) -> Speak {
    let mut new = match read(file).await {
        Ok(new) => new,
        Err(error) => {
            let text = format!("{error}. The previous configuration stays in force");
            status.update(|data| {
                data.tallies.config_kept += 1;
                data.left_out = vec![text.clone()];
            });
            status.note(Level::Warn, None, text);
            return old;
        }
    };
    for (field, changed) in [("listen", new.listen != old.listen), ("stateDir", new.state_dir != old.state_dir)] {
        if changed {
            let text = format!("{}: `{field}` has changed; that takes effect at the next start", file.display());
            status.note(Level::Warn, None, text);
        }
    }
    for warning in new.warnings.iter().filter(|warning| !old.warnings.contains(warning)) {
        status.note(Level::Warn, None, warning.clone());
    }
    status.update(|data| {
        data.tallies.applied();
        data.left_out.clear();
    });
    new.listen = old.listen;
    new.state_dir = old.state_dir;
    if new.intent == old.intent {
        status.note(Level::Info, None, format!("{} read again: nothing has changed", file.display()));
    } else {
        status.note(Level::Info, None, format!("{} read again: applying the difference", file.display()));
        speaker.apply(new.intent.clone()).await;
    }
    new
}
