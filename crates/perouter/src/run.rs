//! `perouter run`: the router of a node, from static files.
//!
//! Owns: the order of start and stop, what is in force, and the host ([`Keeper`]). Is told: file changes, kernel
//! changes, signals. Emits: intents to the speaker, desired hosts to the keeper, verdicts to the status.
//! Does not: read or compile objects (`config` does).
//!
//! What a reload means, from the best to the worst case:
//! * there is an intent: it is applied, whatever else was rejected;
//! * there is none because something could not be read or an Underlay was rejected: an accident; the router keeps
//!   running as it is, and the verdicts say what to repair;
//! * there is none because nobody asks for one: the sessions end and the NICs go back to the host;
//! * the folder is missing: nobody said anything (it may not be mounted yet); the router keeps running as it is.
//!
//! SIGTERM leaves the data plane in place: namespace, links, addresses and routes stay, and the next start adopts
//! them.

mod verdicts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::compile::Compiled;
use config::node::Node;
use engine::{Intent, Level};
use kernel::host::DesiredHost;
use kernel::netns::Namespace;
use tokio::sync::mpsc;

pub(crate) use crate::daemon::RunError;
use crate::daemon::{Admin, Signals, StateDir, Wish, blocking, stop_speaker};
use crate::host::Keeper;
use crate::source::files;
use crate::speak::first_facts;
use crate::speaker::{self, Setup, SpeakerHandle, listener};
use crate::status::{Mode, Status};
use crate::watch::{self, News};
use verdicts::Told;

/// How long sessions may take to end before their NIC is given back.
const QUIET_LIMIT: Duration = Duration::from_secs(3);

/// Where namespaces have their names.
const NAMES: &str = "/var/run/netns";

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
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            config_dir: "/etc/openperouter/configs".into(),
            node_config: "/etc/openperouter/node-config.yaml".into(),
            state_dir: "/run/perouter".into(),
            namespace: None,
        }
    }
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(options: RunOptions) -> Result<(), RunError> {
    let mut signals = Signals::catch()?;
    let state = StateDir::take(&options.state_dir, "run")?;
    let status = Status::new(Mode::Run);
    let node = read_node(&options.node_config).await?;
    let name = options.namespace.clone().unwrap_or_else(|| "perouter".to_owned());
    status.update(|data| {
        data.node = Some(node.clone());
        data.namespace = Some(name.clone());
    });

    let namespace = open_namespace(&name).await?;
    let (in_namespace, addresses) = (namespace.clone(), [([0, 0, 0, 0], 179).into(), ([0_u16; 8], 179).into()]);
    let (listeners, warnings) = blocking(move || listener::open(&in_namespace, &addresses)).await?.map_err(RunError)?;
    warnings.into_iter().for_each(|warning| status.note(Level::Warn, None, warning));

    let (router_news, host_news) = (News::default(), News::default());
    let first = first_facts(&namespace, vec![router_news.clone(), host_news.clone()], &status).await?;
    watch_own_namespace(host_news.clone()).await?;
    let setup = Setup { namespace: namespace.clone(), listeners, first, status: status.clone() };
    let (speaker, task) = speaker::start(setup).map_err(|error| RunError::io("cannot start the speaker", &error))?;
    let follower = watch::follow(namespace.clone(), router_news, speaker.clone(), status.clone());
    let admin = Admin::start(&state, speaker.clone(), status.clone())?;

    let mut bursts = watch_files(&[&options.config_dir, &options.node_config], &status);
    let mut names = watch_files(&[&Path::new(NAMES).join(&name)], &status);
    let mut router = Router {
        keeper: Keeper::new(status.clone()),
        options,
        name,
        node,
        namespace,
        status: status.clone(),
        speaker: speaker.clone(),
        intent: None,
        told: Told::default(),
    };
    router.reload().await;
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => router.reload().await,
                Wish::Stop => break,
            },
            Some(()) = bursts.recv() => router.reload().await,
            Some(()) = names.recv() => router.keeper.kernel_changed(),
            _ = host_news.take() => router.keeper.kernel_changed(),
            () = router.keeper.due() => router.converge().await,
        }
    }

    status.note(Level::Info, None, "stopping; the data plane stays in place".into());
    follower.abort();
    let graceful = router.intent.as_ref().is_some_and(|intent| intent.graceful_restart.is_some());
    stop_speaker(&speaker, task, graceful, false).await;
    admin.stop().await;
    drop(state);
    Ok(())
}

async fn read_node(path: &Path) -> Result<Node, RunError> {
    let path = path.to_owned();
    blocking(move || config::node::load(&path)).await?.map_err(|error| RunError(error.to_string()))
}

async fn open_namespace(name: &str) -> Result<Namespace, RunError> {
    let wanted = name.to_owned();
    let (namespace, _created) = blocking(move || Namespace::ensure(&wanted))
        .await?
        .map_err(|error| RunError::io(format_args!("cannot open or make the network namespace {name}"), &error))?;
    Ok(namespace)
}

/// The namespace that NICs come from, where the host's end of the veth is.
async fn watch_own_namespace(news: News) -> Result<(), RunError> {
    blocking(move || watch::monitor(Namespace::current()?, "host", vec![news]))
        .await?
        .map_err(|error| RunError::io("cannot watch the links of the host", &error))
}

fn watch_files(paths: &[&Path], status: &Status) -> mpsc::Receiver<()> {
    files::watch(paths).unwrap_or_else(|error| {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        status.note(Level::Warn, None, format!("cannot watch {}: {error}. SIGHUP reloads", names.join(", ")));
        // Closed from the start: the branch that waits for it is never taken.
        mpsc::channel(1).1
    })
}

/// What a reload asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Apply(Box<Intent>, DesiredHost),
    /// Leave everything as it is, for this reason.
    Keep(String),
    /// Nobody asks for a router any more.
    TakeDown,
}

struct Router {
    options: RunOptions,
    /// Of the namespace.
    name: String,
    node: Node,
    namespace: Namespace,
    status: Status,
    speaker: SpeakerHandle,
    keeper: Keeper,
    /// In force.
    intent: Option<Intent>,
    told: Told,
}

impl Router {
    /// Reads and compiles everything, and puts it in force.
    async fn reload(&mut self) {
        match read_node(&self.options.node_config).await {
            Ok(node) => self.node = node,
            Err(error) => self.status.note(Level::Warn, None, format!("{error}. The node stays as it was")),
        }
        let (folder, node) = (self.options.config_dir.clone(), self.node.clone());
        let loaded = blocking(move || {
            let loaded = config::files::load(&folder, &node);
            let mut compiled = config::compile::compile(&loaded.objects, &node);
            let mut verdicts = loaded.verdicts;
            verdicts.append(&mut compiled.verdicts);
            compiled.verdicts = verdicts;
            (compiled, loaded.none, folder.is_dir())
        })
        .await;
        let (compiled, none, folder_exists) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                return self.status.note(Level::Warn, None, format!("cannot read the configuration: {error}"));
            }
        };
        self.told.tell(&compiled.verdicts, none.as_deref(), &self.status);
        let verdicts = compiled.verdicts.clone();
        self.status.update(|data| {
            data.node = Some(self.node.clone());
            data.no_config = none;
            data.verdicts = verdicts;
        });
        match decide(compiled, folder_exists) {
            Change::Apply(intent, host) => self.apply(*intent, host).await,
            Change::Keep(reason) => self.status.note(Level::Warn, None, reason),
            Change::TakeDown => self.take_down().await,
        }
    }

    /// Host first: sessions over a NIC that arrives a moment later would only begin at the next retry.
    async fn apply(&mut self, intent: Intent, host: DesiredHost) {
        self.keeper.set(DesiredHost { nics: host.nics, veth: host.veth, ..self.bare_host() });
        self.converge().await;
        if self.intent.as_ref() != Some(&intent) {
            self.intent = Some(intent.clone());
            // Also when the host has errors: the sessions that can work, work.
            self.speaker.apply(intent).await;
        }
    }

    /// Speaker first: its peers are told while the NIC is still there.
    async fn take_down(&mut self) {
        if let Some(intent) = self.intent.take() {
            self.status.note(
                Level::Info,
                None,
                "no Underlay any more: ending all sessions and giving the NICs back".into(),
            );
            self.speaker.apply(Intent { peers: BTreeMap::new(), networks: Vec::new(), ..intent }).await;
            if tokio::time::timeout(QUIET_LIMIT, self.speaker.quiet()).await.is_err() {
                tracing::debug!("some connections did not end in time");
            }
        }
        self.keeper.set(self.bare_host());
        self.converge().await;
    }

    /// The namespace and nothing in it. Its name and the place of saved addresses are this daemon's to choose.
    fn bare_host(&self) -> DesiredHost {
        DesiredHost {
            namespace: self.name.clone(),
            nics: Vec::new(),
            veth: None,
            state_dir: self.options.state_dir.clone(),
        }
    }

    /// Somebody removed the namespace's name, but not the namespace: we hold it, with NICs and routes in it.
    async fn keep_name(&self) {
        let (namespace, name) = (self.namespace.clone(), self.name.clone());
        let text = match blocking(move || namespace.rebind(&name)).await {
            Ok(Ok(true)) => format!("the name of namespace {} was removed; it has it again", self.name),
            Ok(Ok(false)) => return,
            Ok(Err(error)) => format!("namespace {} has lost its name and cannot have it back: {error}", self.name),
            Err(error) => error.to_string(),
        };
        self.status.note(Level::Warn, None, text);
    }

    async fn converge(&mut self) {
        self.keep_name().await;
        if self.keeper.converge().await {
            // Not left to the monitor: the next intent must find the new links.
            let everything = kernel::monitor::Changes { links: true, routes: true, resync: false };
            if let Err(error) = watch::update(&self.namespace, everything, &self.speaker, &self.status).await {
                tracing::warn!(%error, "cannot read links and routes of the router");
            }
        }
    }
}

fn decide(compiled: Compiled, folder_exists: bool) -> Change {
    if let (Some(intent), Some(host)) = (compiled.intent, compiled.host) {
        return Change::Apply(Box::new(intent), host);
    }
    if !folder_exists {
        return Change::Keep("the configuration folder is missing: the router stays as it is".into());
    }
    let culprit = compiled.verdicts.iter().find(|verdict| verdicts::hides_an_underlay(verdict));
    match culprit {
        Some(verdict) => Change::Keep(format!(
            "no usable Underlay, because {} was rejected: the router stays as it is",
            verdicts::place(&verdict.object)
        )),
        None => Change::TakeDown,
    }
}

#[cfg(test)]
mod tests;
