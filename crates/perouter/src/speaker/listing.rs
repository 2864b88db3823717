//! Listings of routes that do not hold the owner up, whatever the table.
//!
//! A listing is in prefix order, and the table is not. So the prefixes are fetched part by part and sorted here; the
//! routes to them are fetched a few at a time. Between two parts the owner does what else there is to do: what comes while
//! the prefixes are fetched may be missing, what goes is left out. The prefixes are kept for [`KEPT`] after a page was
//! asked for, so that a listing of many pages looks through the table once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{Family, RouteQuery, RouteView, Select};
use tokio::time::Instant;

use self::prefixes::Prefixes;
use super::{Request, SpeakerHandle};

mod prefixes;

/// Places of the table in a part: a small fraction of a millisecond.
const PLACES: u32 = 4096;
/// Routes in a part: a fraction of a millisecond of putting into words.
const ROUTES: usize = 40;
/// How long the prefixes wait for the next page to be asked for.
const KEPT: Duration = Duration::from_secs(10);

/// The prefixes of the latest listing.
#[derive(Clone, Debug, Default)]
pub(super) struct Listings(Arc<Mutex<Option<Listing>>>);

#[derive(Clone, Debug)]
struct Listing {
    family: Family,
    select: Select,
    prefixes: Arc<Prefixes>,
    used: Instant,
}

impl Listings {
    /// The page that a query asks for. `None`: the speaker has stopped.
    pub(super) async fn page(&self, speaker: &SpeakerHandle, query: &RouteQuery) -> Option<Vec<RouteView>> {
        let prefixes = match query.after.and_then(|_| self.kept(query)) {
            Some(kept) => kept,
            None => self.fetch(speaker, query).await?,
        };
        let mut next = query.after.map_or(0, |after| prefixes.up_to(after));
        let mut page = Vec::new();
        while page.len() < query.limit && next < prefixes.len() {
            let part = prefixes.part(next..next + ROUTES.min(query.limit - page.len()));
            next += part.len();
            let (family, select) = (query.family, query.select.clone());
            page.extend(speaker.ask(|answer| Request::RoutesOf(family, select, part, answer)).await?);
        }
        Some(page)
    }

    /// The prefixes that an earlier page of the same listing left.
    fn kept(&self, query: &RouteQuery) -> Option<Arc<Prefixes>> {
        let mut listing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &&mut Listing| kept.family == query.family && kept.select == query.select;
        let listing = listing.as_mut().filter(same)?;
        listing.used = Instant::now();
        Some(Arc::clone(&listing.prefixes))
    }

    async fn fetch(&self, speaker: &SpeakerHandle, query: &RouteQuery) -> Option<Arc<Prefixes>> {
        let mut all = Prefixes::none(query.family);
        let mut from = Some(0);
        while let Some(place) = from {
            let (family, select) = (query.family, query.select.clone());
            let ask = |answer| Request::Prefixes { family, select, from: place, look: PLACES, answer };
            let (part, next) = speaker.ask(ask).await?;
            all.extend(part);
            from = next;
        }
        let sorted = tokio::task::spawn_blocking(move || {
            // A destination can have moved to another place meanwhile, and is there twice.
            all.sort();
            Arc::new(all)
        });
        let prefixes = sorted.await.ok()?;
        // A page that is not full has no successor.
        if prefixes.len() > query.limit {
            self.keep(query, &prefixes);
        }
        Some(prefixes)
    }

    fn keep(&self, query: &RouteQuery, prefixes: &Arc<Prefixes>) {
        let (family, select, prefixes) = (query.family, query.select.clone(), Arc::clone(prefixes));
        let listing = Listing { family, select, prefixes, used: Instant::now() };
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(listing);
        if before.is_none() {
            tokio::spawn(self.clone().forget());
        }
    }

    /// Forgets the prefixes once nobody has asked for them for a while.
    async fn forget(self) {
        loop {
            let until = {
                let mut listing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let until = listing.as_ref().map(|listing| listing.used + KEPT);
                let Some(until) = until.filter(|until| *until > Instant::now()) else {
                    *listing = None;
                    return;
                };
                until
            };
            tokio::time::sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests;
