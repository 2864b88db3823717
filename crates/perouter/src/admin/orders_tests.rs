use engine::snapshot::PeerState;

use super::super::tests::{Fake, peer, snapshot};
use super::*;

fn refused<T: std::fmt::Debug>(result: Result<T, Refuse>) -> (u16, String) {
    let Refuse(status, sentence) = result.unwrap_err();
    (status.as_u16(), sentence)
}

#[test]
fn a_body_says_what_is_to_be_done() {
    let reset = |message: Option<&str>| vec![Order::Reset { message: message.map(str::to_owned) }];
    assert_eq!(clear(b""), Ok(reset(None)));
    assert_eq!(clear(br#"{"soft": null, "message": null}"#), Ok(reset(None)));
    assert_eq!(clear(br#"{"message": "optics"}"#), Ok(reset(Some("optics"))));
    assert_eq!(clear(br#"{"message": ""}"#), Ok(reset(None)), "no text is none");
    assert_eq!(clear(br#"{"soft": "in"}"#), Ok(vec![Order::RefreshIn]));
    assert_eq!(clear(br#"{"soft": "out"}"#), Ok(vec![Order::RefreshOut]));
    assert_eq!(clear(br#"{"soft": "both"}"#), Ok(vec![Order::RefreshIn, Order::RefreshOut]));
    assert_eq!(shut_down(br#"{"message": "disk"}"#), Ok(vec![Order::Shutdown { message: Some("disk".into()) }]));
}

#[test]
fn a_body_that_makes_no_sense_is_refused() {
    for (body, word) in [
        (&br#"{"soft": "sideways"}"#[..], "sideways"),
        (br#"{"sofft": "in"}"#, "sofft"),
        (br#"{"soft": "in", "message": "x"}"#, "nobody to tell"),
        (b"[", "not what is expected"),
        (b"{\"message\": \"\xff\"}", "not what is expected"),
    ] {
        let (status, sentence) = refused(clear(body));
        assert!(status == 400 && sentence.contains(word), "{sentence}");
    }
    let (status, sentence) = refused(shut_down(br#"{"soft": "in"}"#));
    assert!(status == 400 && sentence.contains("soft"), "{sentence}");
}

/// RFC 9003 section 2: one octet of length, UTF-8.
#[test]
fn a_message_fits_into_the_notification_or_is_refused() {
    let with = |text: &str| shut_down(&serde_json::to_vec(&model::ShutDown { message: Some(text.into()) }).unwrap());
    assert!(with(&"x".repeat(255)).is_ok());
    assert!(with(&"é".repeat(127)).is_ok(), "254 octets");
    let (status, sentence) = refused(with(&"é".repeat(128)));
    assert_eq!(status, 400);
    assert_eq!(sentence, "the message is 256 octets long in UTF-8, and a peer can be told 255 (RFC 9003): shorten it");
    for (text, code) in [("a\nb", "U+000A"), ("\u{1b}[2J", "U+001B"), ("\u{85}", "U+0085")] {
        assert!(refused(with(text)).1.contains(code));
    }
}

fn fake(peers: Vec<PeerSnapshot>) -> Fake {
    Fake::new(Some(snapshot(peers)), Vec::new())
}

fn up_and_down() -> Fake {
    fake(vec![peer("fabric", "192.168.11.2", PeerState::Established), peer("host", "192.169.10.2", PeerState::Active)])
}

#[tokio::test]
async fn an_order_without_effect_is_a_conflict_and_nothing_is_done() {
    let fake = up_and_down();
    let orders = vec![Order::RefreshIn, Order::RefreshOut];
    let answer = refused(one(&fake, "host", orders).await);
    assert_eq!(answer, (409, "there is no session with 192.169.10.2: nothing to refresh".into()));
    assert!(fake.ordered.lock().unwrap().is_empty());
    assert_eq!(refused(one(&fake, "leaf", vec![Order::RefreshIn]).await).0, 404);
}

#[tokio::test]
async fn all_means_each_for_itself() {
    let fake = up_and_down();
    let answers = one_or_all(&fake, "all", vec![Order::RefreshOut]).await.unwrap();
    assert_eq!((&answers[0].done[..], &answers[0].refused), (&[model::Deed::RefreshOut][..], &None));
    assert!(answers[1].done.is_empty());
    let why = "there is no session with 192.169.10.2: nothing to refresh";
    assert_eq!(answers[1].refused.as_deref(), Some(why));

    let nobody = self::fake(vec![peer("host", "192.169.10.2", PeerState::Active)]);
    assert_eq!(refused(one_or_all(&nobody, "all", vec![Order::RefreshIn]).await), (409, why.into()));
    assert_eq!(refused(one_or_all(&self::fake(Vec::new()), "all", vec![Order::RefreshIn]).await).0, 404);
    // It is a word of `clear` alone.
    assert_eq!(refused(one(&fake, "all", vec![Order::Shutdown { message: None }]).await).0, 404);
}

#[tokio::test]
async fn neighbours_with_one_link_local_address_are_told_apart_by_their_link() {
    let on = |link: &str, address: &str, state| PeerSnapshot { link: Some(link.into()), ..peer(link, address, state) };
    let twins = fake(vec![
        on("eth1", "fe80::1", PeerState::Established),
        on("eth2", "fe80::1", PeerState::Active),
        on("eth3", "::", PeerState::Idle),
        PeerSnapshot { shut_down: true, ..on("eth4", "::", PeerState::Idle) },
    ]);
    let ordered = || std::mem::take(&mut *twins.ordered.lock().unwrap());
    let whom = |link: &str, address: &str| Whom { address: address.parse().unwrap(), link: Some(link.into()) };
    let reset = Order::Reset { message: None };
    one(&twins, "eth1", vec![reset.clone()]).await.unwrap();
    assert_eq!(ordered(), [(whom("eth1", "fe80::1"), reset.clone())]);
    assert_eq!(refused(one(&twins, "eth2", vec![Order::RefreshIn]).await).0, 409, "the session is the other one's");
    let shutdown = Order::Shutdown { message: None };
    one(&twins, "eth3", vec![shutdown.clone()]).await.unwrap();
    assert_eq!(ordered(), [(whom("eth3", "::"), shutdown)], "before it was heard");
    assert_eq!(refused(one(&twins, "fe80::1", vec![reset.clone()]).await).0, 400);

    // Who was not heard has nothing to reset but a shutdown.
    let answers = one_or_all(&twins, "all", vec![reset.clone()]).await.unwrap();
    assert_eq!(answers.iter().map(|answer| answer.peer.name.as_str()).collect::<Vec<_>>(), ["eth1", "eth2", "eth4"]);
    let links: Vec<_> = ordered().into_iter().filter_map(|(whom, _)| whom.link).collect();
    assert_eq!(links, ["eth1", "eth2", "eth4"], "an order each");
}

#[test]
fn a_drain_has_a_wait_and_a_text_or_is_undone() {
    let waits = |seconds, message: Option<&str>| {
        Ok(Some(Drain { wait: Duration::from_secs(seconds), message: message.map(str::to_owned) }))
    };
    assert_eq!(drain(b""), waits(10, None));
    assert_eq!(drain(br#"{"wait_seconds": 0, "message": "new kernel"}"#), waits(0, Some("new kernel")));
    assert_eq!(drain(br#"{"undo": true}"#), Ok(None));
    for (body, word) in [
        (&br#"{"undo": true, "wait_seconds": 1}"#[..], "neither"),
        (br#"{"undo": true, "message": "x"}"#, "neither"),
        (br#"{"wait_seconds": 86401}"#, "86400 s"),
        (br#"{"wait": 5}"#, "not what is expected"),
    ] {
        let (status, sentence) = refused(drain(body));
        assert!(status == 400 && sentence.contains(word), "{sentence}");
    }
}
