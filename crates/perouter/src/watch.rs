//! The kernel's state on its way to the engine, and the news that something of it changed.
//!
//! Owns: one thread per watched namespace that blocks in `kernel::monitor`, and a [`News`] that collects what it
//! says until somebody takes it (latest wins: nothing queues).
//! Emits: `Links`, `Underlying` and `FibLost` to the speaker, links to the [`Status`].
//! Does not: repair anything; see [`crate::host`]. The threads end with the process, or when the monitor cannot be
//! opened any more.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use engine::{Event, Level, Link, UnderlyingRoute};
use kernel::monitor::{Changes, LinkInfo, Monitor, RouteInfo};
use kernel::netns::Namespace;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::speaker::SpeakerHandle;
use crate::speaker::connection::words;
use crate::status::Status;

/// Wait before a monitor that failed is opened again.
const REOPEN: Duration = Duration::from_secs(1);

const EVERYTHING: Changes = Changes { links: true, routes: true, resync: true };

/// What changed and was not taken yet. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    shared: Arc<(Mutex<Changes>, Notify)>,
}

impl News {
    /// Adds to what was not taken yet.
    pub(crate) fn add(&self, changes: Changes) {
        let (pending, notify) = &*self.shared;
        let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.links |= changes.links;
        pending.routes |= changes.routes;
        pending.resync |= changes.resync;
        notify.notify_one();
    }

    /// Waits until something changed and takes it. For one taker; safe to cancel.
    pub(crate) async fn take(&self) -> Changes {
        let (pending, notify) = &*self.shared;
        loop {
            notify.notified().await;
            let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
            if *pending != Changes::default() {
                return std::mem::take(&mut pending);
            }
        }
    }
}

impl News {
    /// Adds to what was not taken yet, after a moment: what was to be read could not be.
    pub(crate) fn add_later(&self, changes: Changes) {
        let news = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(REOPEN).await;
            news.add(changes);
        });
    }
}

/// Subscribes to `namespace` and feeds `targets` for the life of the process.
pub(crate) fn monitor(namespace: Namespace, name: &str, targets: Vec<News>, status: Status) -> io::Result<()> {
    let mut monitor = Monitor::open(&namespace)?;
    let name = name.to_owned();
    thread::Builder::new().name(format!("watch-{name}")).spawn(move || {
        loop {
            let changes = match monitor.wait() {
                // Without changes: it was stopped.
                Ok(changes) if changes == Changes::default() => return,
                Ok(changes) => changes,
                Err(error) => {
                    let text = format!(
                        "lost the kernel's notifications of the {name}'s namespace: {}; subscribing again",
                        words(&error)
                    );
                    status.note(Level::Warn, None, text);
                    thread::sleep(REOPEN);
                    if let Ok(new) = Monitor::open(&namespace) {
                        monitor = new;
                    }
                    EVERYTHING
                }
            };
            targets.iter().for_each(|target| target.add(changes));
        }
    })?;
    Ok(())
}

/// Links and routes of a namespace as they are, for the engine and the status. Blocks for netlink.
pub(crate) fn read(namespace: &Namespace) -> io::Result<(Vec<LinkInfo>, Vec<RouteInfo>)> {
    Ok((kernel::monitor::links(namespace)?, kernel::monitor::foreign_routes(namespace)?))
}

/// As the engine knows links.
pub(crate) fn links_event(links: &[LinkInfo]) -> Event {
    let link = |link: &LinkInfo| Link {
        index: link.index,
        name: link.name.clone(),
        up: link.up && link.carrier,
        addresses: link.addresses.clone(),
    };
    Event::Links(links.iter().map(link).collect())
}

/// As the engine knows routes that are not ours.
pub(crate) fn routes_event(routes: &[RouteInfo]) -> Event {
    let route = |route: &RouteInfo| UnderlyingRoute {
        prefix: route.prefix,
        gateway: route.gateway,
        link: route.link,
        metric: route.metric,
    };
    Event::Underlying(routes.iter().map(route).collect())
}

/// Keeps the speaker's picture of its namespace current: reads what `news` says has changed and tells it. Runs
/// until it is aborted.
pub(crate) fn follow(namespace: Namespace, news: News, speaker: SpeakerHandle, status: Status) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let changes = news.take().await;
            if let Err(error) = update(&namespace, changes, &speaker, &status).await {
                let text = format!("cannot read links and routes of the router: {}; trying again", words(&error));
                status.note(Level::Warn, None, text);
                tokio::time::sleep(REOPEN).await;
                news.add(EVERYTHING);
            }
        }
    })
}

/// Reads what changed and tells the speaker, links before routes: routes name links.
pub(crate) async fn update(
    namespace: &Namespace,
    changes: Changes,
    speaker: &SpeakerHandle,
    status: &Status,
) -> io::Result<()> {
    if changes.links || changes.resync {
        // Told before the routes are read: a link that is down must not wait behind a long table.
        let at = namespace.clone();
        let read = tokio::task::spawn_blocking(move || kernel::monitor::links(&at));
        let links = read.await.map_err(io::Error::other)??;
        speaker.tell(links_event(&links)).await;
        let carriers = status.update(|data| {
            let told = carriers(&data.nics, &data.links, &links, &mut data.without_carrier);
            data.links = links;
            told
        });
        for (level, nic, text) in carriers {
            status.note(level, nic.as_str(), text);
        }
    }
    let at = namespace.clone();
    let read = tokio::task::spawn_blocking(move || kernel::monitor::foreign_routes(&at));
    let routes = read.await.map_err(io::Error::other)??;
    // A link that goes down takes routes along, of which the kernel does not always tell.
    speaker.tell(routes_event(&routes)).await;
    if changes.resync {
        speaker.tell(Event::FibLost).await;
    }
    Ok(())
}

/// What is to be told of the carriers of `nics`. Whatever else happens to a NIC is repaired, and told, by the host's side.
fn carriers(
    nics: &[String],
    before: &[LinkInfo],
    after: &[LinkInfo],
    without: &mut BTreeSet<String>,
) -> Vec<(Level, String, String)> {
    without.retain(|nic| nics.contains(nic));
    let find = |links: &[LinkInfo], nic: &String| links.iter().find(|link| link.name == *nic).cloned();
    let mut told = Vec::new();
    for nic in nics {
        let Some(link) = find(after, nic) else { continue };
        let had = find(before, nic).is_some_and(|link| link.up && link.carrier);
        if link.up && !link.carrier && had && without.insert(nic.clone()) {
            let text = format!("NIC {nic} has lost its carrier: look at the cable and at the port on its other end");
            told.push((Level::Warn, nic.clone(), text));
        } else if link.carrier && without.remove(nic) {
            told.push((Level::Info, nic.clone(), format!("NIC {nic} has its carrier again")));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_add_up_until_they_are_taken() {
        let news = News::default();
        news.add(Changes { links: true, ..Changes::default() });
        news.add(Changes { resync: true, ..Changes::default() });
        assert_eq!(news.take().await, Changes { links: true, routes: false, resync: true });
        news.add(Changes { routes: true, ..Changes::default() });
        assert_eq!(news.take().await, Changes { links: false, routes: true, resync: false });
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_could_not_be_read_come_again() {
        let news = News::default();
        let links = Changes { links: true, ..Changes::default() };
        news.add_later(links);
        assert_eq!(news.take().await, links);
    }

    fn link(up: bool, carrier: bool) -> LinkInfo {
        LinkInfo {
            index: 3,
            name: "eth1".into(),
            up,
            carrier,
            carrier_changes: 0,
            mtu: 1500,
            kind: String::new(),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn the_end_and_the_return_of_a_carrier_are_told_once_each() {
        let nics = ["eth1".to_owned()];
        let mut without = BTreeSet::new();
        let (mut before, mut told) = (vec![], vec![]);
        // It comes, loses its carrier, is set down and up, has it again, and is set down and up once more.
        for (up, carrier) in [
            (true, false),
            (true, true),
            (true, false),
            (true, false),
            (false, false),
            (true, false),
            (true, true),
            (false, false),
            (true, false),
            (true, true),
        ] {
            let after = vec![link(up, carrier)];
            told.extend(carriers(&nics, &before, &after, &mut without));
            assert_eq!(carriers(&[], &before, &after, &mut BTreeSet::new()), [], "nobody's NIC");
            before = after;
        }
        assert_eq!(told.iter().map(|(level, ..)| *level).collect::<Vec<_>>(), [Level::Warn, Level::Info], "{told:?}");
        assert!(told[0].2.contains("NIC eth1 has lost its carrier") && told[1].2.contains("again"), "{told:?}");
    }

    #[test]
    fn a_link_without_carrier_is_down_for_the_engine() {
        let Event::Links(links) = links_event(&[link(true, false), link(true, true)]) else { panic!("wanted links") };
        assert_eq!(links.iter().map(|link| link.up).collect::<Vec<_>>(), [false, true]);
    }
}
