use super::super::tests::{Fake, route, snapshot};
use super::*;

fn peers() -> Vec<model::PeerRef> {
    vec![model::PeerRef { name: "fabric".into(), address: "192.168.11.2".parse().unwrap() }]
}

fn ask(pairs: &[(&str, &str)]) -> Result<Ask, Refused> {
    let object = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let params = serde_json::from_value(serde_json::Value::Object(object)).unwrap();
    parse(&params, &peers())
}

fn sentence(pairs: &[(&str, &str)]) -> String {
    match ask(pairs) {
        Err(Refused::Senseless(sentence) | Refused::UnknownPeer(sentence)) => sentence,
        Ok(ask) => panic!("{ask:?}"),
    }
}

#[test]
fn without_parameters_the_first_page_of_all_families_is_meant() {
    assert_eq!(
        ask(&[]),
        Ok(Ask::Page { families: Family::ALL.to_vec(), of: Of::Router, after: None, limit: DEFAULT_LIMIT })
    );
}

#[test]
fn a_page_after_an_ipv6_prefix_does_not_go_back_to_ipv4() {
    let Ok(Ask::Page { families, .. }) = ask(&[("after", "2001:db8::/32")]) else { panic!("no page") };
    assert_eq!(families, [Family::Ipv6Unicast]);
}

#[test]
fn an_address_is_its_host_prefix_and_host_bits_do_not_matter() {
    for (text, prefix) in [("10.0.0.1", "10.0.0.1/32"), ("10.0.0.1/24", "10.0.0.0/24"), ("::1", "::1/128")] {
        let Ok(Ask::One { prefix: parsed, .. }) = ask(&[("prefix", text)]) else { panic!("not one") };
        assert_eq!(parsed.to_string(), prefix);
    }
}

#[test]
fn no_limit_is_without_bound() {
    let Ok(Ask::Page { limit, .. }) = ask(&[("limit", "1000000")]) else { panic!("no page") };
    assert_eq!(limit, MAX_LIMIT);
    assert!(sentence(&[("limit", "0")]).contains("from 1 to"));
    assert!(sentence(&[("limit", "many")]).contains("limit=many"));
}

#[test]
fn senseless_questions_name_the_parameter_and_the_value() {
    assert!(sentence(&[("family", "vpnv4")]).contains("family=vpnv4"));
    assert!(sentence(&[("prefix", "10.0.0")]).contains("prefix=10.0.0:"));
    assert!(sentence(&[("longest", "1")]).contains("longest=1"));
    assert!(sentence(&[("longest", "true")]).contains("needs a prefix"));
    assert!(sentence(&[("prefix", "::/0"), ("family", "ipv4")]).contains("is not ipv4"));
    assert!(sentence(&[("after", "::/0"), ("family", "ipv4")]).contains("is not ipv4"));
    assert!(sentence(&[("received", "fabric"), ("advertised", "fabric")]).contains("exclude"));
}

#[test]
fn peers_may_be_named_or_addressed() {
    for wanted in ["fabric", "192.168.11.2"] {
        let Ok(Ask::Page { of, .. }) = ask(&[("received", wanted)]) else { panic!("no page") };
        assert_eq!(of, Of::Received("192.168.11.2".parse().unwrap()));
    }
    assert!(matches!(ask(&[("received", "leaf")]), Err(Refused::UnknownPeer(_))));
}

fn table(prefixes: &[&str]) -> Fake {
    let mut routes: Vec<_> = prefixes.iter().map(|prefix| route(prefix)).collect();
    // One that stands in the table but is not the peer's.
    let mut foreign = route("10.1.2.0/25");
    foreign.paths[0].peer = None;
    routes.push(foreign);
    Fake::new(Some(snapshot(vec![])), routes)
}

async fn received(fake: &Fake, prefix: &str, longest: bool) -> Option<String> {
    let ask = Ask::One { prefix: prefix.parse().unwrap(), longest, of: Of::Received("192.168.11.2".parse().unwrap()) };
    let (routes, next) = answer(fake, &ask).await.unwrap();
    assert_eq!(next, None);
    routes.first().map(|route| route.prefix.to_string())
}

#[tokio::test]
async fn one_prefix_is_found_among_a_peers_routes() {
    let fake = table(&["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "255.255.255.255/32", "2001:db8::/32"]);
    for prefix in ["0.0.0.0/0", "10.0.0.0/8", "10.1.2.0/24", "255.255.255.255/32", "2001:db8::/32"] {
        assert_eq!(received(&fake, prefix, false).await.as_deref(), Some(prefix));
    }
    assert_eq!(received(&fake, "10.1.2.0/25", false).await, None, "it is another's");
    assert_eq!(received(&fake, "10.0.0.0/9", false).await, None);
}

#[tokio::test]
async fn the_longest_match_is_found_among_a_peers_routes() {
    let fake = table(&["0.0.0.0/0", "10.1.0.0/16", "10.1.2.0/24", "2001:db8::/32"]);
    assert_eq!(received(&fake, "10.1.2.3/32", true).await.as_deref(), Some("10.1.2.0/24"));
    assert_eq!(received(&fake, "10.1.3.3/32", true).await.as_deref(), Some("10.1.0.0/16"));
    assert_eq!(received(&fake, "192.0.2.1/32", true).await.as_deref(), Some("0.0.0.0/0"));
    assert_eq!(received(&fake, "2001:db9::1/128", true).await, None);
}

#[tokio::test]
async fn one_prefix_is_found_among_what_a_peer_is_sent() {
    let fake = table(&["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "2001:db8::/32"]);
    let sent = async |prefix: &str, peer: &str, longest| {
        let ask = Ask::One { prefix: prefix.parse().unwrap(), longest, of: Of::Advertised(peer.parse().unwrap()) };
        answer(&fake, &ask).await.unwrap().0.first().map(|route| route.prefix.to_string())
    };
    for prefix in ["0.0.0.0/0", "10.0.0.0/16", "2001:db8::/32"] {
        assert_eq!(sent(prefix, "192.169.10.2", false).await.as_deref(), Some(prefix));
        assert_eq!(sent(prefix, "192.169.10.9", true).await, None, "another peer is sent nothing");
    }
    assert_eq!(sent("10.0.9.9/32", "192.169.10.2", true).await.as_deref(), Some("10.0.0.0/16"));
}

#[tokio::test]
async fn a_longest_match_costs_bounded_queries_whatever_the_address() {
    for address in ["255.255.255.255/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"] {
        let fake = table(&[]);
        assert_eq!(received(&fake, address, true).await, None);
        let asked = fake.asked.lock().unwrap();
        assert!(asked.len() <= 129 && asked.iter().all(|query| query.limit <= 129), "{}", asked.len());
    }
}

#[tokio::test]
async fn a_page_that_ends_with_a_family_goes_on_with_the_next_one() {
    let fake = Fake::new(Some(snapshot(vec![])), ["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"].map(route).into());
    let page = |after: Option<&str>| {
        let mut pairs = vec![("limit", "2")];
        pairs.extend(after.map(|after| ("after", after)));
        ask(&pairs).unwrap()
    };
    let (routes, next) = answer(&fake, &page(None)).await.unwrap();
    assert_eq!((routes.len(), next), (2, Some("10.1.0.0/16".parse().unwrap())));
    let (routes, next) = answer(&fake, &page(Some("10.1.0.0/16"))).await.unwrap();
    assert_eq!(routes[0].prefix.to_string(), "2001:db8::/32");
    assert_eq!(next, None);
}
