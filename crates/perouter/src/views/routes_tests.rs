use super::super::tests::{path, printed, route};
use super::*;
use crate::admin::model::PeerRef;

fn listed(format: Format, question: &RoutesQuestion, pages: &[&[Route]]) -> String {
    let mut sink = Sink::new(format, question);
    printed(|out| {
        for page in pages {
            sink.page(out, page)?;
        }
        sink.end(out)
    })
}

fn received() -> RoutesQuestion {
    RoutesQuestion { received: Some("fabric".into()), ..RoutesQuestion::default() }
}

fn advertised() -> RoutesQuestion {
    RoutesQuestion { advertised: Some("host".into()), ..RoutesQuestion::default() }
}

#[test]
fn the_listing_marks_usable_best_and_multipath() {
    let mut second = route();
    second.prefix = "2001:db8:aaaa:bbbb::/64".parse().unwrap();
    second.paths = vec![
        Path { from: None, next_hop: None, link: None, as_path: String::new(), reason: "only path".into(), ..path() },
        Path { best: false, multipath: true, ..path() },
    ];
    assert_eq!(
        listed(Format::Table, &RoutesQuestion::default(), &[&[route()], &[second]]),
        "\
* usable  > best  = used with the best
    PREFIX       NEXT HOP      LINK  FROM         AS PATH      ORIGIN         MED  LOCAL-PREF  REASON
*>  10.1.0.0/16  192.168.11.2  eth1  fabric       64512        igp              -         100  shorter AS path
    10.1.0.0/16  2001:db8::9   -     2001:db8::2  64512 64600  igp     4294967295         100  next hop 2001:db8::9 not reachable
*>  2001:db8:aaaa:bbbb::/64  -             -     local                     igp              -         100  only path
*=  2001:db8:aaaa:bbbb::/64  192.168.11.2  eth1  fabric       64512        igp              -         100  shorter AS path
"
    );
}

#[test]
fn what_is_sent_is_listed_with_its_communities() {
    let mut sent = route();
    sent.paths.truncate(1);
    sent.paths[0].reason = "a loop to the peer".into();
    assert_eq!(
        listed(Format::Table, &advertised(), &[&[sent]]),
        "\
PREFIX       NEXT HOP      AS PATH  ORIGIN  MED  LOCAL-PREF  COMMUNITIES        REMARK
10.1.0.0/16  192.168.11.2  64512    igp       -         100  64512:1 no-export  a loop to the peer
"
    );
}

#[test]
fn an_empty_listing_says_so() {
    assert_eq!(listed(Format::Table, &RoutesQuestion::default(), &[&[]]), "no routes\n");
    assert_eq!(listed(Format::Table, &received(), &[&[]]), "no routes among those received from fabric\n");
    assert_eq!(listed(Format::Table, &advertised(), &[]), "no routes among those advertised to host\n");
}

#[test]
fn pages_become_one_json_array() {
    for pages in [vec![], vec![route()], vec![route(), route()]] {
        let slices: Vec<&[Route]> = pages.chunks(1).collect();
        let text = listed(Format::Json, &RoutesQuestion::default(), &slices);
        assert_eq!(serde_json::from_str::<Vec<Route>>(&text).unwrap(), pages, "{text}");
    }
}

#[test]
fn the_detail_tells_every_paths_fate_and_who_gets_the_route() {
    assert_eq!(
        printed(|out| detail(out, &route(), &RoutesQuestion::default())),
        "\
10.1.0.0/16: 2 paths
  kernel         installed
  advertised to  host (192.169.10.2)

  path 1, best: shorter AS path
    from         fabric (192.168.11.2)
    next hop     192.168.11.2 through eth1
    AS path      64512
    origin       igp
    local-pref   100
    communities  64512:1 no-export

  path 2, not usable: next hop 2001:db8::9 not reachable
    from        2001:db8::2
    next hop    2001:db8::9
    AS path     64512 64600
    origin      igp
    MED         4294967295
    local-pref  100
"
    );
}

#[test]
fn the_detail_of_a_sent_route_shows_only_what_is_sent() {
    let mut sent = route();
    sent.paths.truncate(1);
    let text = printed(|out| detail(out, &sent, &advertised()));
    assert!(text.starts_with("10.1.0.0/16, as it is sent\n"), "{text}");
    assert!(!text.contains("kernel") && !text.contains("best"), "{text}");
}

#[test]
fn a_route_for_nobody_says_nobody() {
    assert_eq!(peers(&[]), "nobody");
    let two = [
        PeerRef { name: "a".into(), address: "10.0.0.1".parse().unwrap() },
        PeerRef { name: String::new(), address: "::1".parse().unwrap() },
    ];
    assert_eq!(peers(&two), "a (10.0.0.1), ::1");
}

fn args(target: Option<Target>) -> RoutesArgs {
    RoutesArgs { target, longest: false, received: None, advertised: None, family: None }
}

#[test]
fn an_address_means_the_longest_match_and_a_prefix_itself() {
    let address = args(Some(Target::Address("10.0.0.1/32".parse().unwrap())));
    assert!(question(&address).unwrap().longest);
    let prefix = args(Some(Target::Prefix("10.0.0.0/8".parse().unwrap())));
    assert!(!question(&prefix).unwrap().longest);
    assert!(question(&RoutesArgs { longest: true, ..prefix }).unwrap().longest);
}

#[test]
fn a_family_that_is_not_the_targets_is_a_usage_error() {
    let args =
        RoutesArgs { family: Some(FamilyArg::Ipv6), ..args(Some(Target::Prefix("10.0.0.0/8".parse().unwrap()))) };
    assert!(matches!(question(&args), Err(Failure::Usage(text)) if text.contains("10.0.0.0/8 is not ipv6")));
}
