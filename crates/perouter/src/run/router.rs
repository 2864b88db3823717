//! What is in force on this node, and the way from one configuration to the next.
//!
//! Owns: the configuration in force, the host ([`Keeper`]), and what was told about the objects. Is told: to read again,
//! and that the kernel changed. Emits: intents and the host's table to the speaker, the same to [`Planner`], verdicts to
//! the status. Does not: decide what objects mean ([`crate::source::objects`]) nor when to look (`run`).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use config::compile::InForce;
use config::node::Node;
use engine::intent::Effect;
use engine::{Event, Intent, Level};
use kernel::host::HostError;
use kernel::monitor::{Changes, LinkInfo};
use kernel::netns::Namespace;

use super::identity::Identity;
use super::verdicts::Told;
use super::{MAKER, RunOptions};
use crate::daemon::{Tidy, blocking};
use crate::host::Keeper;
use crate::plan::Planner;
use crate::restart::Restart;
use crate::source::objects::{self, Desired, Wish};
use crate::speaker::SpeakerHandle;
use crate::speaker::connection::words;
use crate::status::Status;
use crate::watch;

/// How long sessions may take to end before their NIC is given back.
const QUIET_LIMIT: Duration = Duration::from_secs(3);

/// The host's end of the veth pair in one of its lives: its routes live no longer than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HostLink {
    index: u32,
    carrier_changes: u32,
    holds_routes: bool,
}

impl From<&LinkInfo> for HostLink {
    fn from(link: &LinkInfo) -> Self {
        Self { index: link.index, carrier_changes: link.carrier_changes, holds_routes: link.up && link.carrier }
    }
}

pub(super) struct Router {
    options: RunOptions,
    identity: Identity,
    namespace: Namespace,
    /// The host's namespace.
    own: Namespace,
    status: Status,
    speaker: SpeakerHandle,
    planner: Planner,
    keeper: Keeper,
    in_force: Option<Desired>,
    told: Told,
    /// Files of session keys that the objects name.
    secret_files: Vec<PathBuf>,
    /// The host's end of the veth pair when it was last looked at.
    host_link: Option<HostLink>,
    /// What the first configuration is to find in the kernel, if this is a restart.
    restart: Option<Restart>,
    tidy: Tidy,
}

impl Router {
    /// Nothing is in force.
    pub(super) fn new(
        options: RunOptions,
        identity: Identity,
        namespace: Namespace,
        own: Namespace,
        speaker: SpeakerHandle,
        planner: Planner,
        status: Status,
    ) -> Self {
        Self {
            keeper: Keeper::new(status.clone()),
            options,
            identity,
            namespace,
            own,
            status,
            speaker,
            planner,
            in_force: None,
            told: Told::default(),
            secret_files: Vec::new(),
            host_link: None,
            restart: None,
            tidy: Tidy::default(),
        }
    }

    /// The same router, which takes over from an earlier process.
    pub(super) fn after(self, restart: Restart) -> Self {
        Self { restart: Some(restart), ..self }
    }

    /// Whether peers keep our routes while we are away.
    pub(super) fn is_graceful(&self) -> bool {
        self.in_force.as_ref().is_some_and(|desired| desired.intent.restarts_gracefully())
    }

    /// Files whose change is a change of the configuration, beside the objects' own.
    pub(super) fn secret_files(&self) -> &[PathBuf] {
        &self.secret_files
    }

    /// Reads and compiles everything, and puts it in force.
    pub(super) async fn reload(&mut self) {
        self.read_again().await;
        self.tidy.soon();
    }

    async fn read_again(&mut self) {
        tracing::debug!("reading the configuration");
        let mut node_trouble = None;
        if let Err(error) = self.identity.reload(&self.options.node_config).await {
            let text = format!("{error}. The node stays as it was, but would not start again");
            self.status.note(Level::Warn, None, text.clone());
            node_trouble = Some(text);
        }
        self.identity.secrets_known().await;
        let (node, known) = self.identity.node();
        if let Err(why) = known {
            return self.withhold(node, why);
        }
        let said = self.identity.cluster().map(|cluster| cluster.said(&node));
        let (folder, in_force, cluster) = (self.options.config_dir.clone(), self.in_force.clone(), said.clone());
        let its_node = node.clone();
        let read = move || objects::read(&folder, &its_node, cluster.as_ref(), in_force.as_ref());
        let reading = match blocking(read).await {
            Ok(reading) => reading,
            Err(error) => {
                return self.status.note(Level::Warn, None, format!("cannot read the configuration: {error}"));
            }
        };
        self.secret_files = reading.secret_files;
        if let Some(kept) = reading.kept {
            self.status.note(Level::Warn, None, kept);
        }
        self.told.tell(&reading.verdicts, reading.none.as_deref(), &self.status);
        self.status.update(|data| {
            data.node = Some(node.clone());
            data.withheld = said.as_ref().and_then(|said| said.complete.clone().err());
            data.applying = true;
            data.no_config = reading.none;
            data.verdicts = reading.verdicts;
            data.left_out = node_trouble.into_iter().chain(reading.left_out).collect();
        });
        match reading.wish {
            Wish::Router(desired) => self.apply(*desired).await,
            Wish::Keep(reason) => {
                self.status.update(|data| data.tallies.config_kept += 1);
                self.status.note(Level::Warn, None, reason);
            }
            Wish::Nothing => self.take_down().await,
        }
        self.status.update(|data| data.applying = false);
        if let (Some(cluster), Some(said)) = (self.identity.cluster(), &said) {
            let nothing = InForce::default();
            cluster.applied(said, &node, self.in_force.as_ref().map_or(&nothing, |in_force| &in_force.from));
            let (objects, has_folder) = &reading.static_objects;
            cluster.mirror(objects, *has_folder);
        }
        self.planner.in_force(node, self.in_force.clone());
    }

    /// Nothing can be compiled for this node: it stays as it is.
    fn withhold(&mut self, node: Node, why: String) {
        let told = self.status.update(|data| {
            data.node = Some(node);
            data.withheld.replace(why.clone()).as_ref() == Some(&why)
        });
        if !told {
            self.status.note(Level::Warn, None, format!("{why}: the router stays as it is"));
        }
    }

    /// What goes is told first, then comes the host, then the rest: sessions over a NIC that arrives a moment later would
    /// only begin at the next retry.
    async fn apply(&mut self, desired: Desired) {
        if let Some(before) = &self.in_force {
            self.take_leave(before, &desired).await;
        }
        self.keeper.set(self.options.place(desired.host.clone()));
        self.converge().await;
        if let Some(Restart { forwarding, preserved, peers }) = self.restart.take() {
            if preserved && self.keeper.found_in_place() {
                let peers = peers.map(|peers| peers.into_iter().collect());
                self.speaker.tell(Event::Restarted { peers }).await;
            }
            if let Err(error) = blocking(move || forwarding.begin()).await {
                tracing::warn!(%error, "cannot note that the router forwards");
            }
        }
        let before = self.in_force.replace(desired.clone());
        let before = before.as_ref();
        if let Some(before) = before {
            self.tell_changes(&before.intent, &desired.intent);
        }
        if before.map(|before| &before.host_table) != Some(&desired.host_table) {
            self.speaker.set_host_table(desired.host_table).await;
        }
        self.status.update(|data| data.tallies.applied());
        if before.map(|before| &before.intent) != Some(&desired.intent) {
            // Also when the host has errors: the sessions that can work, work.
            self.speaker.apply(desired.intent).await;
        }
    }

    /// Ends the sessions that are not to be any more while the addresses are there that they are between: whoever is not told
    /// keeps its end until its hold timer.
    async fn take_leave(&self, before: &Desired, after: &Desired) {
        let intent = staying(before, after);
        if intent == before.intent {
            return;
        }
        self.speaker.apply(intent).await;
        if tokio::time::timeout(QUIET_LIMIT, self.speaker.closed()).await.is_err() {
            tracing::debug!("some connections did not end in time");
        }
    }

    /// Says what a new configuration changes of the one in force.
    fn tell_changes(&self, before: &Intent, after: &Intent) {
        for change in engine::intent::diff(Some(before), after) {
            let how = match change.effect {
                Effect::NewSession => "changed, with a new session",
                Effect::SoftReset | Effect::Live => "changed",
                Effect::Added => "added",
                Effect::Removed => "removed",
            };
            self.status.note(Level::Info, change.what.as_str(), format!("{}: {how}", change.what));
        }
    }

    /// Speaker first: its peers are told while the NIC is still there.
    async fn take_down(&mut self) {
        self.restart = None;
        self.status.update(|data| data.tallies.applied());
        if let Some(Desired { intent, .. }) = self.in_force.take() {
            let text = "no Underlay any more: ending all sessions and giving the NICs back";
            self.status.note(Level::Info, None, text);
            self.speaker.apply(without_peers(intent)).await;
            if tokio::time::timeout(QUIET_LIMIT, self.speaker.quiet()).await.is_err() {
                tracing::debug!("some connections did not end in time");
            }
        }
        self.speaker.set_host_table(None).await;
        self.keeper.set(self.options.bare_host());
        self.converge().await;
    }

    /// Something changed in one of the two namespaces.
    pub(super) fn kernel_changed(&mut self) {
        self.keeper.kernel_changed();
    }

    /// Something changed in the host's namespace: routes in its table may have gone, of which the kernel does not
    /// always tell. An error when it could not be found out what.
    pub(super) async fn host_changed(&mut self, changes: Changes) -> io::Result<()> {
        let Some(table) = self.in_force.as_ref().and_then(|desired| desired.host_table.as_ref()) else {
            return Ok(());
        };
        let (own, name) = (self.own.clone(), table.link.clone());
        let links = blocking(move || kernel::monitor::links(&own)).await.map_err(io::Error::other)??;
        let link = links.iter().find(|link| link.name == name).map(HostLink::from);
        let before = std::mem::replace(&mut self.host_link, link);
        if before != link && link.is_some_and(|link| link.holds_routes) {
            self.speaker.tell(Event::HostLost).await;
        } else if changes.resync {
            // Any link that goes looks like this, and pods' links go all the time.
            self.speaker.check_host_routes().await;
        }
        Ok(())
    }

    /// Waits until the host is to be looked at without a cause. Safe to cancel.
    pub(super) async fn due(&self) {
        self.keeper.due().await;
    }

    /// Somebody may have removed the namespace's name, but not the namespace: we hold it, with NICs and routes in it.
    /// An error when the name leads to another one: what is looked for by name would be made there.
    async fn keep_name(&self) -> Result<(), HostError> {
        let (namespace, name) = (self.namespace.clone(), self.options.namespace().to_owned());
        let prepared = self.options.prepared;
        let failed = |message: String| HostError::said(format!("namespace {}", self.options.namespace()), message);
        let kept = blocking(move || {
            if prepared && Namespace::open(&name)?.is_none() {
                return Err(std::io::Error::other(format!("{MAKER} gives it one")));
            }
            let rebound = namespace.rebind(&name)?;
            let ours = Namespace::open(&name)?.map(|named| named.same_as(&namespace)).transpose()?;
            Ok::<_, std::io::Error>((rebound, ours.unwrap_or(false)))
        });
        let name = self.options.namespace();
        match kept.await {
            Ok(Ok((true, _))) => {
                let text = format!("the name of namespace {name} was removed; it has it again");
                self.status.note(Level::Warn, name, text);
                Ok(())
            }
            Ok(Ok((false, true))) => Ok(()),
            Ok(Ok((false, false))) => Err(failed(format!(
                "somebody gave the name {name} to another network namespace; the router goes on in its own one, which is \
                 not kept current until `ip netns delete {name}` frees the name"
            ))),
            Ok(Err(error)) => {
                Err(failed(format!("namespace {name} has lost its name and cannot have it back: {}", words(&error))))
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Brings the host to where it should be.
    pub(super) async fn converge(&mut self) {
        if let Err(error) = self.keep_name().await {
            self.keeper.prevented(error);
            return;
        }
        if self.keeper.converge().await {
            // Not left to the monitor: the next intent must find the new links.
            let everything = Changes { links: true, routes: true, resync: false };
            if let Err(error) = watch::update(&self.namespace, everything, &self.speaker, &self.status).await {
                let text = format!("cannot read links and routes of the router: {}", words(&error));
                self.status.note(Level::Warn, None, text);
            }
        }
    }
}

/// The same router with those only who are to stay. Whoever is known by the veth pair that it came over goes with that one's
/// addresses.
fn staying(before: &Desired, after: &Desired) -> Intent {
    let mut intent = before.intent.clone();
    intent.peers.retain(|address, _| after.intent.peers.contains_key(address));
    intent.unnumbered.retain(|link, _| after.intent.unnumbered.contains_key(link));
    let addresses = |desired: &Desired| desired.host.veth.as_ref().map(|veth| veth.ns_addresses.clone());
    let moved = before.host.veth.as_ref().filter(|_| addresses(before) != addresses(after));
    intent.ranges.retain(|range| {
        let stays = after.intent.ranges.iter().any(|other| (other.prefix, &other.link) == (range.prefix, &range.link));
        stays && moved.is_none_or(|veth| range.link.as_ref() != Some(&veth.ns_name))
    });
    intent
}

/// The same router without anybody to talk to and anything to say.
pub(crate) fn without_peers(intent: Intent) -> Intent {
    Intent {
        peers: BTreeMap::new(),
        unnumbered: BTreeMap::new(),
        ranges: Vec::new(),
        networks: Vec::new(),
        host_routes: None,
        ..intent
    }
}
