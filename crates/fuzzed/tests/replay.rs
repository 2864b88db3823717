//! The corpus and every input that once failed, as ordinary tests: no fuzzer and no nightly toolchain needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;

use fuzzed::{TARGETS, corpus, seeds, target};

fn replay(name: &str) {
    let run = target(name).run;
    let committed = corpus::read(name).unwrap_or_else(|error| panic!("the corpus of {name}: {error}"));
    assert!(!committed.is_empty(), "{name} has no corpus");
    let named = |kind: &str, inputs: Vec<Vec<u8>>| {
        let numbered = inputs.into_iter().enumerate();
        numbered.map(|(number, input)| (format!("{kind} {number}"), input)).collect::<Vec<_>>()
    };
    let inputs =
        [named("corpus", committed), named("seed", seeds::of(name).unwrap()), corpus::regressions(name).unwrap()];
    let failed = |(_, input): &(String, Vec<u8>)| catch_unwind(|| run(input)).is_err();
    let failures: Vec<String> = inputs.concat().into_iter().filter(failed).map(|(which, _)| which).collect();
    assert!(failures.is_empty(), "{name}: {failures:?}");
}

macro_rules! replayed {
    ($($name:ident)*) => {
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*
    };
}

replayed! {
    wire_frame wire_open wire_update wire_attributes wire_notification wire_refresh
    engine
    config_files config_speak config_node
    kernel_netlink kernel_advertisement kernel_saved
}

#[test]
fn every_target_is_replayed_and_has_its_fuzzer() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(REPLAYED.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), targets);
    let names = |directory: &str, ending: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(corpus::directory().join(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.map(|name| name.strip_suffix(ending).unwrap_or_else(|| panic!("{directory}/{name}")).to_owned()).collect()
    };
    assert_eq!(names("fuzz_targets", ".rs"), targets);
    assert_eq!(names("corpus", ".pack"), targets);
    assert!(names("regressions", "").is_subset(&targets));
}
