//! What operators do: `POST /v1/peers/{peer}/clear`, `/v1/peers/{peer}/shutdown` and `/v1/drain`.
//!
//! Reads the body, finds the peers and hands the speaker one request per peer, which it checks and carries out in one
//! step. Refuses what can have no effect: an operator who sees "done" need not look whether it was.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::StatusCode;
use engine::snapshot::PeerSnapshot;
use engine::{Drain, Order};
use serde::de::DeserializeOwned;

use super::query::Refused;
use super::server::Refuse;
use super::{Source, Whom, find_peer, model};

/// Most octets of a text for the peer (RFC 9003 section 2).
const MESSAGE_LIMIT: usize = 255;
/// How long peers have to move their traffic, unless somebody knows better.
const DRAIN_WAIT: Duration = Duration::from_secs(10);
/// The longest time that they can be given.
const DRAIN_LIMIT: Duration = Duration::from_secs(86_400);
/// Every peer, in place of one.
const ALL: &str = "all";

/// What the body of a `clear` asks for.
pub(super) fn clear(body: &[u8]) -> Result<Vec<Order>, Refuse> {
    let model::Clear { soft, message } = read(body)?;
    let message = checked(message)?;
    let Some(soft) = soft else { return Ok(vec![Order::Reset { message }]) };
    if message.is_some() {
        let sentence = "a soft clear ends no session, so that there is nobody to tell: leave message or soft away";
        return Err(senseless(sentence.to_owned()));
    }
    Ok(match soft {
        model::Soft::In => vec![Order::RefreshIn],
        model::Soft::Out => vec![Order::RefreshOut],
        model::Soft::Both => vec![Order::RefreshIn, Order::RefreshOut],
    })
}

/// What the body of a `shutdown` asks for.
pub(super) fn shut_down(body: &[u8]) -> Result<Vec<Order>, Refuse> {
    let model::ShutDown { message } = read(body)?;
    Ok(vec![Order::Shutdown { message: checked(message)? }])
}

/// What the body of a `drain` asks for; `None`: to undo it.
pub(super) fn drain(body: &[u8]) -> Result<Option<Drain>, Refuse> {
    let model::DrainOrder { wait_seconds, message, undo } = read(body)?;
    let message = checked(message)?;
    if undo && (wait_seconds.is_some() || message.is_some()) {
        return Err(senseless("to undo a drain takes neither a wait nor a message".to_owned()));
    }
    let wait = wait_seconds.map_or(DRAIN_WAIT, Duration::from_secs);
    if wait > DRAIN_LIMIT {
        let limit = DRAIN_LIMIT.as_secs();
        return Err(senseless(format!("peers cannot be waited for longer than a day ({limit} s)")));
    }
    Ok((!undo).then_some(Drain { wait, message }))
}

/// No body at all is one without fields.
fn read<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Refuse> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| senseless(format!("the body is not what is expected here: {error}")))
}

/// A text that reaches the peer's operator as it was written: in full, and without a way to steer a terminal.
fn checked(message: Option<String>) -> Result<Option<String>, Refuse> {
    let Some(text) = message.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() > MESSAGE_LIMIT {
        let octets = text.len();
        let sentence = format!(
            "the message is {octets} octets long in UTF-8, and a peer can be told {MESSAGE_LIMIT} (RFC 9003): shorten it"
        );
        return Err(senseless(sentence));
    }
    if let Some(control) = text.chars().find(|character| character.is_control()) {
        let code = u32::from(control);
        return Err(senseless(format!(
            "the message contains the control character U+{code:04X}: write plain text in one line"
        )));
    }
    Ok(Some(text))
}

fn senseless(sentence: String) -> Refuse {
    Refuse(StatusCode::BAD_REQUEST, sentence)
}

fn no_effect(sentence: String) -> Refuse {
    Refuse(StatusCode::CONFLICT, sentence)
}

/// Carries `orders` out for the peer that `wanted` names.
pub(super) async fn one(source: &impl Source, wanted: &str, orders: Vec<Order>) -> Result<Vec<model::Ordered>, Refuse> {
    let peers = source.snapshot().await.ok_or_else(Refuse::stopped)?.peers;
    let known: Vec<_> = peers.iter().map(reference).collect();
    let at = find_peer(wanted, &known).map_err(Refused::from)?;
    let (peer, reference) = (&peers[at], known[at].clone());
    let done = deeds(&orders);
    let answer = source.order(whom(peer), orders).await.ok_or_else(Refuse::stopped)?;
    answer.map_err(no_effect)?;
    Ok(vec![model::Ordered { peer: reference, done, refused: None }])
}

/// As [`one`], also for `all`: each peer for itself, and an error only when nothing was done at all.
pub(super) async fn one_or_all(
    source: &impl Source,
    wanted: &str,
    orders: Vec<Order>,
) -> Result<Vec<model::Ordered>, Refuse> {
    if wanted != ALL {
        return one(source, wanted, orders).await;
    }
    let mut peers = source.snapshot().await.ok_or_else(Refuse::stopped)?.peers;
    // Who was not heard yet has nothing to be cleared, unless an operator shut it down.
    peers.retain(|peer| !peer.address.is_unspecified() || peer.shut_down);
    if peers.is_empty() {
        return Err(Refuse(StatusCode::NOT_FOUND, "there is no peer to clear".to_owned()));
    }
    let done = deeds(&orders);
    let mut answers: Vec<model::Ordered> = Vec::new();
    for peer in &peers {
        let (done, refused) = match source.order(whom(peer), orders.clone()).await.ok_or_else(Refuse::stopped)? {
            Ok(()) => (done.clone(), None),
            Err(sentence) => (Vec::new(), Some(sentence)),
        };
        answers.push(model::Ordered { peer: reference(peer), done, refused });
    }
    if answers.iter().all(|answer| answer.refused.is_some()) {
        let sentences: BTreeSet<_> = answers.into_iter().filter_map(|answer| answer.refused).collect();
        return Err(no_effect(sentences.into_iter().collect::<Vec<_>>().join("; ")));
    }
    Ok(answers)
}

pub(super) fn reference(peer: &PeerSnapshot) -> model::PeerRef {
    model::PeerRef { name: peer.name.clone(), address: peer.address }
}

pub(super) fn whom(peer: &PeerSnapshot) -> Whom {
    Whom { address: peer.address, link: peer.link.clone() }
}

fn deeds(orders: &[Order]) -> Vec<model::Deed> {
    let deed = |order: &Order| match order {
        Order::Reset { .. } => model::Deed::Reset,
        Order::Shutdown { .. } => model::Deed::Shutdown,
        Order::RefreshIn => model::Deed::RefreshIn,
        Order::RefreshOut => model::Deed::RefreshOut,
    };
    orders.iter().map(deed).collect()
}

#[cfg(test)]
#[path = "orders_tests.rs"]
mod tests;
