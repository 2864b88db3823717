//! `perouter clear` and `perouter shutdown` towards a plain speaker.

use serde_json::Value;

use crate::speak::{Pair, config};
use crate::support::{Answer, Namespace, has, perouter, wait_until};

/// Asks the speaker of one side.
fn ask(pair: &Pair, side: &str, args: &[&str]) -> Answer {
    let namespace: &Namespace = if side == "left" { &pair.left } else { &pair.right };
    perouter(namespace, &pair.file(&format!("{side}-state")), args)
}

fn peer(pair: &Pair, side: &str, name: &str) -> Value {
    ask(pair, side, &["-o", "json", "peers", name]).json()
}

fn is_up(pair: &Pair, side: &str, name: &str) -> bool {
    peer(pair, side, name)["state"] == "established"
}

#[test]
fn an_operator_shuts_a_session_down_and_brings_it_back() {
    let pair = Pair::new();
    let left = pair.start(&pair.left, "left", &config(1, 2, "10.1.0.0/24, \"2001:db8:1::/48\"", ""));
    let right = pair.start(&pair.right, "right", &config(2, 1, "10.2.0.0/24, \"2001:db8:2::/48\"", ""));
    wait_until("both sessions are up", || {
        has(&pair.left.0, "10.2.0.0/24") && has(&pair.left.0, "2001:db8:2::/48") && is_up(&pair, "right", "other6")
    });
    let flaps = peer(&pair, "left", "other6")["flaps"].clone();

    let answer = ask(&pair, "left", &["-o", "json", "shutdown", "10.9.0.2", "--message", "disk change"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let expected = serde_json::json!([
        {"peer": {"name": "other", "address": "10.9.0.2"}, "done": ["shutdown"], "refused": null}
    ]);
    assert_eq!(answer.json(), expected);
    wait_until("the other side was told", || {
        let error = &peer(&pair, "right", "other")["last_error"];
        error.as_str().is_some_and(|error| error.contains("received Cease/Administrative Shutdown: disk change"))
    });
    wait_until("the route goes", || !has(&pair.left.0, "10.2.0.0/24"));
    let shown = peer(&pair, "left", "other");
    assert_eq!((&shown["state"], &shown["shut_down"]), (&"idle".into(), &true.into()), "{shown}");
    let status = ask(&pair, "left", &["status"]);
    let problem = "session with other (10.9.0.2) is Idle: shut down by an operator: disk change; `perouter clear other` brings it back";
    assert!(status.code == Some(1) && status.text.contains(problem), "{status:?}");
    let refused = ask(&pair, "left", &["clear", "other", "--soft", "both"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.text.contains("there is no session with 10.9.0.2: nothing to refresh"), "{refused:?}");
    assert!(left.log().contains("an operator shuts the session down: disk change"), "{}", left.log());

    let some = ask(&pair, "left", &["clear", "all", "--soft", "out"]);
    assert_eq!(some.code, Some(1), "one of two has no session: {some:?}");
    assert!(some.text.contains("other6 (2001:db8:9::2): being sent our routes again"), "{some:?}");

    let answer = ask(&pair, "left", &["clear", "other", "--message", "done"]);
    assert_eq!((answer.code, answer.text.as_str()), (Some(0), "other (10.9.0.2): reset\n"));
    wait_until("the session is back", || has(&pair.left.0, "10.2.0.0/24") && is_up(&pair, "left", "other"));
    assert_eq!(peer(&pair, "left", "other6")["flaps"], flaps, "the other session was not concerned");
    right.stop();
    left.stop();
}

#[test]
fn a_soft_clear_exchanges_routes_again_and_a_hard_one_ends_sessions() {
    let pair = Pair::new();
    let _left = pair.start(&pair.left, "left", &config(1, 2, "10.1.0.0/24", ""));
    let _right = pair.start(&pair.right, "right", &config(2, 1, "10.2.0.0/24, \"2001:db8:2::/48\"", ""));
    wait_until("both sessions are up", || {
        has(&pair.left.0, "10.2.0.0/24") && has(&pair.left.0, "2001:db8:2::/48") && has(&pair.right.0, "10.1.0.0/24")
    });
    let before = peer(&pair, "left", "other");
    let updates = |peer: &Value, way: &str| peer[way]["update"].as_u64().unwrap();
    let answer = ask(&pair, "left", &["clear", "other", "--soft", "both"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    wait_until("both have sent again", || {
        let now = peer(&pair, "left", "other");
        ["messages_received", "messages_sent"].iter().all(|way| updates(&now, way) > updates(&before, way))
    });
    let now = peer(&pair, "left", "other");
    assert_eq!((&now["flaps"], &now["state"]), (&before["flaps"], &before["state"]));
    assert!(has(&pair.left.0, "10.2.0.0/24") && has(&pair.right.0, "10.1.0.0/24"));

    let flaps = |name: &str| peer(&pair, "left", name)["flaps"].as_u64().unwrap();
    let lost = ["other", "other6"].map(flaps);
    let answer = ask(&pair, "left", &["clear", "all"]);
    assert_eq!(answer.text, "other (10.9.0.2): reset\nother6 (2001:db8:9::2): reset\n");
    wait_until("both are back", || is_up(&pair, "left", "other") && is_up(&pair, "left", "other6"));
    assert!(flaps("other") > lost[0] && flaps("other6") > lost[1], "each was lost once");
    wait_until("so are the routes", || has(&pair.left.0, "10.2.0.0/24") && has(&pair.left.0, "2001:db8:2::/48"));

    let nobody = ask(&pair, "left", &["shutdown", "nobody"]);
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.text.contains("known peers: other (10.9.0.2), other6 (2001:db8:9::2)"), "{nobody:?}");
}
