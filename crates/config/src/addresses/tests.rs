use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Router and host of a plan, or the error's sentence.
fn planned(cidr: &str, index: u32) -> Result<(String, String), String> {
    let plan = plan(net(cidr), index).map_err(|error| error.to_string())?;
    Ok((plan.router.to_string(), plan.host.to_string()))
}

#[track_caller]
fn gives(cidr: &str, index: u32, router: &str, host: &str) {
    assert_eq!(planned(cidr, index), Ok((router.to_owned(), host.to_owned())), "{cidr} {index}");
}

#[track_caller]
fn exhausted(cidr: &str, index: u32, served: u128) {
    let wanted = AddressError::Exhausted { cidr: net(cidr).trunc(), index, capacity: served };
    assert_eq!(plan(net(cidr), index), Err(wanted));
}

#[test]
fn case_001_first_node_of_an_ipv4_pool() {
    gives("192.168.1.0/24", 0, "192.168.1.1/24", "192.168.1.2/24");
}

#[test]
fn case_002_second_node_has_the_same_router_and_the_next_host() {
    gives("192.168.1.0/24", 1, "192.168.1.1/24", "192.168.1.3/24");
}

#[test]
fn case_003_a_pool_with_host_bits_is_masked_first() {
    gives("192.168.1.1/24", 0, "192.168.1.1/24", "192.168.1.2/24");
    gives("192.168.1.1/24", 1, "192.168.1.1/24", "192.168.1.3/24");
}

#[test]
fn case_004_an_ipv6_pool() {
    gives("2001:db8::/64", 0, "2001:db8::1/64", "2001:db8::2/64");
    gives("2001:db8::/64", 1, "2001:db8::1/64", "2001:db8::3/64");
}

#[test]
fn case_005_an_ipv6_pool_with_host_bits_is_masked_first() {
    gives("2001:db8::1/64", 0, "2001:db8::1/64", "2001:db8::2/64");
    gives("2001:db8::1/64", 1, "2001:db8::1/64", "2001:db8::3/64");
}

#[test]
fn case_006_both_pools_give_four_addresses() {
    let plans = plans(Some("192.168.1.0/24"), Some("2001:db8::/64"), 0).unwrap();
    let addresses: Vec<_> = plans.iter().flat_map(|plan| [plan.router, plan.host]).map(|a| a.to_string()).collect();
    assert_eq!(addresses, ["192.168.1.1/24", "192.168.1.2/24", "2001:db8::1/64", "2001:db8::2/64"]);
}

#[test]
fn case_007_no_pool_at_all_is_an_error() {
    let error = plans(None, None, 0).unwrap_err();
    assert_eq!(error.to_string(), "at least one pool must be provided (IPv4 or IPv6)");
}

#[test]
fn case_008_an_invalid_pool_is_an_error_whatever_the_other_one_is() {
    for (v4, v6) in [
        (Some("invalid"), Some("2001:db8::/64")),
        (Some("192.168.1.0/24"), Some("invalid")),
        (Some("invalid"), None),
        (None, Some("invalid")),
    ] {
        assert_eq!(plans(v4, v6, 0), Err(AddressError::Invalid("invalid".into())));
    }
    let swapped = plans(Some("2001:db8::/64"), None, 0).unwrap_err();
    assert_eq!(swapped.to_string(), "2001:db8::/64 is an IPv6 CIDR, an IPv4 one belongs here");
}

#[test]
fn case_009_tunnel_endpoints_are_host_number_index() {
    assert_eq!(tunnel_endpoint("192.168.1.0/24", 0), Ok(net("192.168.1.0/32")));
    assert_eq!(tunnel_endpoint("192.168.1.0/24", 1), Ok(net("192.168.1.1/32")));
    assert_eq!(tunnel_endpoint("hellothisisnotanip", 0), Err(AddressError::Invalid("hellothisisnotanip".into())));
    assert!(matches!(tunnel_endpoint("192.168.1.0/31", 2), Err(AddressError::Exhausted { capacity: 2, .. })));
}

#[test]
fn case_010_blocks_follow_each_other() {
    let pool = net("192.168.1.0/24");
    assert_eq!(block(pool, 2, 0), Some(vec![net("192.168.1.0/24"), net("192.168.1.1/24")]));
    assert_eq!(block(pool, 2, 1), Some(vec![net("192.168.1.2/24"), net("192.168.1.3/24")]));
    assert_eq!(block(pool, 2, 128), None);
}

/// design.md 6.1: the broadcast address is never handed out, /31 and /127 serve node 0, an exhausted CIDR says so.
#[test]
fn case_011_small_and_full_pools() {
    gives("10.0.0.0/30", 0, "10.0.0.1/30", "10.0.0.2/30");
    exhausted("10.0.0.0/30", 1, 1);
    gives("10.0.0.4/30", 0, "10.0.0.4/30", "10.0.0.5/30");
    gives("10.0.0.4/30", 1, "10.0.0.4/30", "10.0.0.6/30");
    exhausted("10.0.0.4/30", 2, 2);
    gives("10.0.0.0/31", 0, "10.0.0.0/31", "10.0.0.1/31");
    exhausted("10.0.0.0/31", 1, 1);
    gives("10.0.0.2/31", 0, "10.0.0.2/31", "10.0.0.3/31");
    exhausted("10.0.0.2/31", 1, 1);
    exhausted("10.0.0.0/32", 0, 0);
    exhausted("10.0.0.7/32", 0, 0);
    gives("2001:db8::/127", 0, "2001:db8::/127", "2001:db8::1/127");
    gives("2001:db8::2/127", 0, "2001:db8::2/127", "2001:db8::3/127");
    exhausted("2001:db8::/127", 1, 1);
    exhausted("2001:db8::/128", 0, 0);
    gives("192.169.10.0/24", 252, "192.169.10.1/24", "192.169.10.254/24");
    exhausted("192.169.10.0/24", 253, 253);
    gives("::/0", u32::MAX, "::1/0", "::1:0:1/0");
    assert_eq!(
        planned("10.0.0.4/30", 2).unwrap_err(),
        "10.0.0.4/30 has no address for node index 2: it serves node indexes 0 to 1; use a shorter prefix"
    );
}

#[test]
fn case_012_router_ids_are_host_number_index_plus_one() {
    assert_eq!(router_id("10.0.0.0/24", 0).unwrap().to_string(), "10.0.0.1");
    assert_eq!(router_id("10.0.0.0/24", 1).unwrap().to_string(), "10.0.0.2");
    assert_eq!(router_id("10.0.0.0/24", 254).unwrap().to_string(), "10.0.0.255");
    assert!(matches!(router_id("10.0.0.0/24", 255), Err(AddressError::Exhausted { capacity: 255, .. })));
    assert!(matches!(router_id("2001:db8::/64", 0), Err(AddressError::WrongFamily(_, 6, 4))));
}

proptest! {
    #[test]
    fn any_pool_gives_two_different_addresses_of_it_or_an_error(
        bits in any::<u128>(), v4 in any::<bool>(), length in 0_u8..=128, index in any::<u32>(), small in any::<bool>(),
    ) {
        let address = if v4 { IpAddr::V4(Ipv4Addr::from(bits as u32)) } else { IpAddr::V6(Ipv6Addr::from(bits)) };
        let index = if small { index % 300 } else { index };
        let cidr = IpNet::new(address, if v4 { length % 33 } else { length }).unwrap();
        match plan(cidr, index) {
            Ok(Plan { router, host }) => {
                prop_assert_ne!(router.addr(), host.addr());
                for end in [router, host] {
                    prop_assert!(cidr.contains(&end.addr()));
                    prop_assert_eq!(end.prefix_len(), cidr.prefix_len());
                    if v4 && cidr.prefix_len() < 31 {
                        prop_assert_ne!(end.addr(), cidr.broadcast());
                    }
                }
                prop_assert_eq!(router, plan(cidr, 0).unwrap().router);
            }
            Err(AddressError::Exhausted { capacity, .. }) => {
                prop_assert!(u128::from(index) >= capacity);
                if let Some(last) = capacity.checked_sub(1).and_then(|last| u32::try_from(last).ok()) {
                    prop_assert!(plan(cidr, last).is_ok());
                }
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
