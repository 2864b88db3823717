use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use ipnet::IpNet;
use tokio::sync::mpsc;

use super::*;

/// An owner whose table is a list of prefixes, each with a place.
#[derive(Clone, Default)]
struct Table {
    places: Arc<Mutex<Vec<IpNet>>>,
    looked: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Table {
    fn serve(&self) -> SpeakerHandle {
        let (sender, mut requests) = mpsc::channel(1);
        let speaker = SpeakerHandle::default();
        speaker.requests.set(sender).expect("set once");
        let table = self.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                table.answer(request);
            }
        });
        speaker
    }

    fn answer(&self, request: Request) {
        let places = self.places.lock().unwrap().clone();
        if let Request::Prefixes { from, look, answer, .. } = request {
            self.looked.fetch_add(1, Ordering::Relaxed);
            let end = (from + look).min(places.len() as u32);
            let part = places[from as usize..end as usize].to_vec();
            answer.send((part, (end < places.len() as u32).then_some(end))).expect("somebody waits");
        } else if let Request::RoutesOf(_, _, prefixes, answer) = request {
            self.most.fetch_max(prefixes.len(), Ordering::Relaxed);
            let known: BTreeSet<IpNet> = places.into_iter().collect();
            let view = |prefix| RouteView {
                prefix,
                installed: None,
                refusal: None,
                paths: vec![],
                advertised_to: vec![],
                withheld: vec![],
            };
            let views = prefixes.into_iter().filter(|prefix| known.contains(prefix)).map(view).collect();
            answer.send(views).expect("somebody waits");
        } else {
            panic!("a listing needs no {request:?}");
        }
    }
}

/// The prefix number `n`, in prefix order.
fn prefix(n: u32) -> IpNet {
    format!("10.{}.{}.0/24", n >> 8, n & 255).parse().expect("a prefix")
}

fn query(after: Option<IpNet>, limit: usize) -> RouteQuery {
    RouteQuery { family: Family::Ipv4Unicast, select: Select::All, after, limit }
}

async fn page(speaker: &SpeakerHandle, after: Option<IpNet>, limit: usize) -> Vec<IpNet> {
    let views = speaker.routes(query(after, limit)).await.expect("it runs");
    views.into_iter().map(|view| view.prefix).collect()
}

#[tokio::test]
async fn pages_are_in_order_and_look_through_the_table_once() {
    let table = Table::default();
    // Not in the order of prefixes: 7 and 10,000 have no common divisor.
    let count = 10_000;
    *table.places.lock().unwrap() = (0..count).map(|n| prefix(n * 7 % count)).collect();
    let speaker = table.serve();
    let mut all = Vec::new();
    loop {
        let page = page(&speaker, all.last().copied(), 1_500).await;
        all.extend_from_slice(&page);
        if page.len() < 1_500 {
            break;
        }
    }
    assert_eq!(all, (0..count).map(prefix).collect::<Vec<_>>());
    assert_eq!(table.looked.load(Ordering::Relaxed), (count as usize).div_ceil(PLACES as usize));
    assert_eq!(table.most.load(Ordering::Relaxed), ROUTES, "the owner is never busy for long");
}

#[tokio::test]
async fn what_goes_meanwhile_is_left_out_and_does_not_shorten_a_page() {
    let table = Table::default();
    *table.places.lock().unwrap() = (0..600).map(prefix).collect();
    let speaker = table.serve();
    assert_eq!(page(&speaker, None, 100).await.len(), 100);
    table.places.lock().unwrap().retain(|kept| *kept < prefix(100) || *kept >= prefix(350));
    assert_eq!(page(&speaker, Some(prefix(99)), 100).await, (350..450).map(prefix).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_prefixes_are_forgotten_when_nobody_goes_on() {
    let table = Table::default();
    *table.places.lock().unwrap() = (0..10).map(prefix).collect();
    let speaker = table.serve();
    page(&speaker, None, 5).await;
    tokio::time::sleep(KEPT / 2).await;
    page(&speaker, Some(prefix(4)), 3).await;
    tokio::time::sleep(KEPT * 3 / 4).await;
    assert!(speaker.listings.0.lock().unwrap().is_some(), "somebody has gone on");
    tokio::time::sleep(KEPT).await;
    assert!(speaker.listings.0.lock().unwrap().is_none());
    assert_eq!(page(&speaker, Some(prefix(7)), 5).await, [prefix(8), prefix(9)], "and fetched again");
}
