//! `perouter run`: the router of a node, from static files and, with `--kubernetes`, from a cluster.
//!
//! Owns: the order of start and stop; what is in force and the host are [`Router`]'s. Is told: file changes, kernel
//! changes, what the API server says, signals. Emits: intents to the speaker, desired hosts to the keeper, verdicts to the status.
//! Does not: read or compile objects (`config` does).
//!
//! What a reload means, from the best to the worst case:
//! * there is an intent: it is applied, whatever else was rejected;
//! * there is none because something could not be read or an Underlay was rejected: an accident; the router keeps
//!   running as it is, and the verdicts say what to repair;
//! * there is none because nobody asks for one: the sessions end and the NICs go back to the host;
//! * the folder is missing, or the API server has not said yet what there is: nobody said anything; the router keeps
//!   running as it is.
//!
//! SIGTERM leaves the data plane in place: namespace, links, addresses and routes stay, and the next start adopts
//! them.

mod gate;
mod identity;
mod router;
mod verdicts;

use std::path::{Path, PathBuf};

use config::node::Http;
use engine::Level;
use kernel::host::DesiredHost;
use kernel::netns::Namespace;

use crate::claim::HostClaim;
pub(crate) use crate::daemon::RunError;
use crate::daemon::{Admin, Signals, StateDir, Wish, blocking, stop_speaker};
use crate::host_routes::HostSide;
use crate::plan::Planner;
use crate::restart::Forwarding;
use crate::source::cluster::{Cluster, ClusterOptions};
use crate::source::files::Watched;
use crate::speak::first_facts;
use crate::speaker::connection::words;
use crate::speaker::{self, Setup, SpeakerHandle, listener};
use crate::status::{Mode, Status};
use crate::watch::{self, News};
use identity::Identity;
use router::Router;
pub(crate) use router::without_peers;

/// Name of the router's namespace unless another one is asked for.
const NAMESPACE: &str = "perouter";
/// Who gives a namespace its name where `run` does not.
const MAKER: &str = "`perouter netns` (perouter-netns.service, or the init container)";
/// Where namespaces have their names.
pub(crate) const NAMES: &str = "/var/run/netns";

/// Where `run` finds and leaves things.
#[derive(Clone, Debug)]
pub(crate) struct RunOptions {
    /// Folder of `openpe_*.yaml`.
    pub(crate) config_dir: PathBuf,
    /// The node's file.
    pub(crate) node_config: PathBuf,
    /// Folder of the lock and the admin socket.
    pub(crate) state_dir: PathBuf,
    /// Another name for the router's namespace than `perouter`, for labs.
    pub(crate) namespace: Option<String>,
    /// The script that the start waits for.
    pub(crate) can_start: PathBuf,
    /// The namespace is made and named by somebody else, in whose sight this process could not.
    pub(crate) prepared: bool,
    /// The cluster that the node is part of.
    pub(crate) cluster: Option<ClusterOptions>,
    /// Where metrics and the API are served over TCP; `None`: where the node's file says.
    pub(crate) http: Option<Http>,
}

impl RunOptions {
    /// Name of the router's namespace.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(NAMESPACE)
    }

    /// The namespace and nothing in it.
    pub(crate) fn bare_host(&self) -> DesiredHost {
        DesiredHost {
            namespace: self.namespace().to_owned(),
            nics: Vec::new(),
            veth: None,
            state_dir: self.state_dir.clone(),
        }
    }

    /// A host whose namespace and place of saved addresses are this daemon's choice.
    pub(crate) fn place(&self, host: DesiredHost) -> DesiredHost {
        DesiredHost { nics: host.nics, veth: host.veth, ..self.bare_host() }
    }
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(options: RunOptions) -> Result<(), RunError> {
    let mut signals = Signals::catch()?;
    let state = StateDir::take(&options.state_dir, "run")?;
    let _claim = HostClaim::take()?;
    let status = Status::new(Mode::Run);
    status.note(Level::Info, None, crate::daemon::started());
    let name = options.namespace().to_owned();
    let speaker = SpeakerHandle::default();
    let mut identity = Identity::find(&options, &speaker, &status).await?;
    let node = identity.node().0;
    status.update(|data| {
        data.node = Some(node.clone());
        data.namespace = Some(name.clone());
    });
    crate::daemon::raise_descriptor_limit();
    let planner = Planner::new(options.clone(), node.clone(), identity.cluster().cloned());
    let http = options.http.clone().or_else(|| node.http.clone());
    let admin = Admin::start(&state, speaker.clone(), status.clone(), Some(planner.clone()), http)?;
    if !gate::open(&options.can_start, &status, &mut signals).await {
        admin.stop().await;
        return Ok(());
    }

    let namespace = open_namespace(&name, options.prepared).await?;
    let (in_namespace, addresses) = (namespace.clone(), [([0, 0, 0, 0], 179).into(), ([0_u16; 8], 179).into()]);
    let (listeners, warnings) = blocking(move || listener::open(&in_namespace, &addresses)).await?.map_err(RunError)?;
    warnings.into_iter().for_each(|warning| status.note(Level::Warn, None, warning));

    let (router_news, host_news, own_news) = (News::default(), News::default(), News::default());
    let first = first_facts(&namespace, vec![router_news.clone(), host_news.clone()], &status).await?;
    let own = watch_own_namespace(vec![host_news.clone(), own_news.clone()], &status).await?;
    let host = Some(HostSide { namespace: own.clone(), state_dir: options.state_dir.clone() });
    let (in_namespace, state_dir) = (namespace.clone(), options.state_dir.clone());
    let restart = blocking(move || Forwarding::take_over(&state_dir, &in_namespace)).await?;
    let restart = restart.map_err(|error| RunError::io("cannot see whether this is a restart", &error))?;
    let forwarding = Some(restart.forwarding.clone());
    let setup = Setup { namespace: namespace.clone(), listeners, first, forwarding, host, status: status.clone() };
    let task = speaker::start(&speaker, setup).map_err(|error| RunError::io("cannot start the speaker", &error))?;
    let follower = watch::follow(namespace.clone(), router_news, speaker.clone(), status.clone());

    let mut files = Watched::new(vec![options.config_dir.clone(), options.node_config.clone()], status.clone());
    let mut names = Watched::eager(vec![Path::new(NAMES).join(&name)], status.clone());
    let begins = tokio::select! {
        () = identity.known() => true,
        () = signals.stop() => false,
    };
    let mut changes = identity.cluster().cloned();
    let mut router =
        Router::new(options, identity, namespace, own, speaker.clone(), planner, status.clone()).after(restart);
    if begins {
        reload(&mut router, &mut files).await;
        loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Reload => reload(&mut router, &mut files).await,
                    Wish::Stop => break,
                },
                () = files.burst() => reload(&mut router, &mut files).await,
                () = burst(&mut changes) => reload(&mut router, &mut files).await,
                () = names.burst() => router.kernel_changed(),
                _ = host_news.take() => router.kernel_changed(),
                changes = own_news.take() => if let Err(error) = router.host_changed(changes).await {
                    let text = format!("cannot read the links of the host: {}; trying again", words(&error));
                    status.note(Level::Warn, None, text);
                    own_news.add_later(changes);
                },
                () = router.due() => router.converge().await,
            }
        }
    }

    status.note(Level::Info, None, "stopping; the data plane stays in place");
    follower.abort();
    stop_speaker(&speaker, task, router.is_graceful(), false).await;
    admin.stop().await;
    drop(state);
    Ok(())
}

/// Reads everything, again when it names other files of keys than before.
async fn reload(router: &mut Router, files: &mut Watched) {
    loop {
        router.reload().await;
        if !files.follow(router.secret_files()) {
            return;
        }
    }
}

/// Waits for the end of a burst of changes in the cluster, if the node is part of one. Safe to cancel.
async fn burst(cluster: &mut Option<Cluster>) {
    match cluster {
        Some(cluster) => cluster.burst().await,
        None => std::future::pending().await,
    }
}

async fn open_namespace(name: &str, prepared: bool) -> Result<Namespace, RunError> {
    let wanted = name.to_owned();
    let opened = blocking(move || {
        if prepared {
            Namespace::open(&wanted)
        } else {
            Namespace::ensure(&wanted).map(|(namespace, _)| Some(namespace))
        }
    });
    opened
        .await?
        .map_err(|error| RunError::io(format_args!("cannot open or make the network namespace {name}"), &error))?
        .ok_or_else(|| RunError(format!("there is no network namespace {name}: {MAKER} makes it")))
}

/// Watches the namespace that NICs come from, where the host's end of the veth is, and returns it.
async fn watch_own_namespace(news: Vec<News>, status: &Status) -> Result<Namespace, RunError> {
    let status = status.clone();
    let watch = || {
        let own = Namespace::current()?;
        watch::monitor(own.clone(), "host", news, status)?;
        Ok(own)
    };
    blocking(watch).await?.map_err(|error| RunError::io("cannot watch the links of the host", &error))
}

#[cfg(test)]
mod tests;
