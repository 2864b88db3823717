use std::fs;
use std::path::Path;
use std::thread;

use kernel::netns::Namespace;

use crate::lab::{Name, ip, namespace};

#[test]
fn case_110_ensure_makes_the_namespace_once_with_lo_up() {
    let name = Name::new();
    assert!(Namespace::open(&name.0).unwrap().is_none());
    let (first, created) = Namespace::ensure(&name.0).unwrap();
    assert!(created);
    assert!(Path::new("/var/run/netns").join(&name.0).exists());
    let (second, created) = Namespace::ensure(&name.0).unwrap();
    assert!(!created);
    assert!(first.same_as(&second).unwrap());
    assert!(ip(&first, "-br link show lo").contains("UP"));
    // iproute2 knows it by name.
    let listed = ip(&namespace(), "netns list");
    assert!(listed.lines().any(|line| line.starts_with(&name.0)), "{listed}");
    let seen = ip(&namespace(), &format!("-n {} -br link", name.0));
    assert!(seen.contains("lo"), "{seen}");
}

#[test]
fn case_110_ensure_mounts_over_the_leftover_of_a_crash() {
    let name = Name::new();
    let path = Path::new("/var/run/netns").join(&name.0);
    fs::create_dir_all("/var/run/netns").unwrap();
    fs::write(&path, "").unwrap();
    assert!(Namespace::open(&name.0).unwrap().is_none(), "a plain file is no namespace");
    let (made, created) = Namespace::ensure(&name.0).unwrap();
    assert!(created);
    assert!(made.same_as(&Namespace::open(&name.0).unwrap().unwrap()).unwrap());
}

#[test]
fn case_110_unbind_removes_the_name_and_is_fine_without_one() {
    let name = Name::new();
    Namespace::ensure(&name.0).unwrap();
    Namespace::unbind(&name.0).unwrap();
    assert!(!Path::new("/var/run/netns").join(&name.0).exists());
    Namespace::unbind(&name.0).unwrap();
}

#[test]
fn the_caller_stays_where_it_is() {
    let before = Namespace::current().unwrap();
    let other = namespace();
    let inside = other.run(|| Namespace::current().unwrap().id().unwrap()).unwrap();
    assert_eq!(inside, other.id().unwrap());
    assert!(Namespace::current().unwrap().same_as(&before).unwrap());
    assert!(!other.same_as(&before).unwrap());
}

#[test]
fn whoever_is_inside_already_needs_no_other_thread() {
    let this = || thread::current().id();
    assert_eq!(Namespace::current().unwrap().run(this).unwrap(), this());
    let other = namespace();
    let inside = other.clone();
    let (outer, inner) = other.run(move || (this(), inside.run(this).unwrap())).unwrap();
    assert!(outer == inner && outer != this());
}

#[test]
fn a_panic_inside_is_an_error_outside() {
    let result = namespace().run(|| assert!(std::hint::black_box(false), "expected"));
    assert!(result.is_err());
}
