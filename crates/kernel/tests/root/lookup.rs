use kernel::fib::{Batch, Fib, Hop};
use kernel::lookup::{Fate, Packet, lookup};

use crate::lab::Pair;

/// Where routes share a next hop, the kernel's own lookup names one of them for all.
#[test]
fn the_route_that_decides_is_named_although_many_share_its_next_hop() {
    let pair = Pair::new();
    let mut fib = Fib::open(&pair.left).unwrap();
    for (group, (gateway, prefixes)) in [
        ("10.0.0.2", ["172.16.0.0/16", "172.16.1.0/24", "172.17.0.0/16", "172.16.1.64/26"]),
        ("fd00::2", ["2001:db8::/32", "2001:db8:1::/48", "2001:db9::/32", "2001:db8:1:2::/64"]),
    ]
    .into_iter()
    .enumerate()
    {
        let group = u32::try_from(group).unwrap();
        let hop = Hop { gateway: gateway.parse().unwrap(), link: pair.link };
        let routes = prefixes.iter().map(|prefix| (prefix.parse().unwrap(), Some(group))).collect();
        fib.apply(&Batch { set_groups: vec![(group, vec![hop])], routes, ..Batch::default() }).unwrap();
        for prefix in prefixes.into_iter().cycle().take(12) {
            let destination = prefix.parse::<ipnet::IpNet>().unwrap().addr();
            let answer = lookup(&pair.left, Packet { destination, source: None, input: None }).unwrap();
            let named = answer.route.expect("the kernel tells").prefix.to_string();
            // The address with nothing but zeros behind it is in the shortest one that begins with it, or in a longer one.
            let longest = prefixes.iter().filter(|p| p.parse::<ipnet::IpNet>().unwrap().contains(&destination));
            let longest = longest.max_by_key(|p| p.parse::<ipnet::IpNet>().unwrap().prefix_len()).unwrap();
            assert_eq!(named, *longest, "{destination}");
            assert!(matches!(answer.fate, Fate::Out(way) if way.gateway == Some(hop.gateway)));
        }
    }
}
