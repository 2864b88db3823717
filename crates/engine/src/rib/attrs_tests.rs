use wire::{attr_code, flag, write_attribute};

use super::{AttrId, AttrSet, AttrStore};
use crate::rib::nexthop::{NextHopId, NextHops};

fn community(value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_attribute(&mut bytes, flag::OPTIONAL | flag::TRANSITIVE, attr_code::COMMUNITIES, &value.to_be_bytes());
    bytes
}

/// RFC 8326 section 4: inside the AS the preference was set where the route came in, and counts.
#[test]
fn a_route_that_is_about_to_go_loses_to_every_other() {
    assert_eq!(AttrSet::detached(&community(0xFFFF_0000), NextHops::LOCAL).local_pref, 0);
    assert_eq!(AttrSet::detached(&community(1), NextHops::LOCAL).local_pref, 100);
    let mut internal = Vec::new();
    write_attribute(&mut internal, flag::TRANSITIVE, attr_code::LOCAL_PREF, &70u32.to_be_bytes());
    internal.extend(community(0xFFFF_0000));
    assert_eq!(AttrSet::detached(&internal, NextHops::LOCAL).local_pref, 70);
}

#[test]
fn equal_sets_are_stored_once_and_go_with_their_last_reference() {
    let mut store = AttrStore::default();
    let (one, fresh) = store.intern(&community(1), NextHops::LOCAL, 0);
    assert!(fresh);
    assert_eq!(store.intern(&community(1), NextHops::LOCAL, 0), (one, false));
    let (other, _) = store.intern(&community(1), NextHopId(7), 0);
    assert_ne!(one, other, "the next hop is part of the set");
    let (path, _) = store.intern(&community(1), NextHops::LOCAL, 4);
    assert_ne!(one, path, "and so is the path identifier");
    store.release(path);
    assert_eq!(store.len(), 2);
    assert_eq!(store.release(one), None);
    assert_eq!(store.release(one), Some(NextHops::LOCAL));
    assert_eq!(store.release(other), Some(NextHopId(7)));
    assert_eq!(store.len(), 0);
}

/// Several peers' sets for the same routes differ in the next hop alone.
#[test]
fn sets_that_differ_in_the_next_hop_share_their_attributes() {
    let mut store = AttrStore::default();
    let (one, _) = store.intern(&community(1), NextHops::LOCAL, 0);
    let (other, _) = store.intern(&community(1), NextHopId(7), 0);
    assert!(std::ptr::eq(&raw const *store.get(one).bytes, &raw const *store.get(other).bytes));
    store.release(one);
    assert_eq!((*store.get(other).bytes).to_vec(), community(1), "the other one still has them");
    assert_eq!(store.attributes.len(), 1);
    let (keep, _) = store.intern(&community(2), NextHops::LOCAL, 0);
    store.release(other);
    assert_eq!(store.attributes.len(), 1, "they go with the last set that has them");
    assert_eq!((*store.get(keep).bytes).to_vec(), community(2));
}

/// Caches are keyed by handle and stamp: a handle that is used again must not look the same.
#[test]
fn a_reused_handle_has_another_stamp() {
    let mut store = AttrStore::default();
    let (keep, _) = store.intern(&community(9), NextHops::LOCAL, 0);
    let (one, _) = store.intern(&community(1), NextHops::LOCAL, 0);
    let stamp = store.get(one).stamp;
    store.release(one);
    let (two, _) = store.intern(&community(2), NextHops::LOCAL, 0);
    assert_eq!((two, keep), (one, AttrId(0)), "the slot is used again");
    assert_ne!(store.get(two).stamp, stamp);
}
