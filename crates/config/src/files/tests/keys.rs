//! Session keys in files of their own.

use super::*;

#[test]
fn a_bad_key_of_the_host_session_is_not_repeated() {
    let text = KEYS_IN_FILES.replace("passwordFile: host.key", "password: \"s3cret key\"");
    let loaded = Dir::with(&[("openpe_a.yaml", &text), ("key", "x")]).load();
    let compiled = compile(&loaded.objects, &Node::new("n", 0));
    let sentence = compiled.verdicts[1].to_string();
    assert!(
        sentence.contains("spec.hostSession.password: password must not be empty and must not contain"),
        "{sentence}"
    );
    assert!(!sentence.contains("s3cret"));
}

#[test]
fn key_files_become_passwords_and_are_listed() {
    let dir = Dir::with(&[("openpe_a.yaml", KEYS_IN_FILES), ("key", "s3cret\n"), ("host.key", "h0st")]);
    let compiled = compile(&dir.load().objects, &Node::new("n", 0));
    assert!(compiled.verdicts.iter().all(|verdict| verdict.outcome == Outcome::Applied { warnings: vec![] }));
    assert_eq!(compiled.secret_files, [dir.0.path().join("host.key"), dir.0.path().join("key")]);
    let intent = compiled.intent.unwrap();
    let key = |at: &str| intent.peers[&at.parse().unwrap()].password.as_ref().map(|key| key.0.as_str());
    assert_eq!([key("192.168.11.2"), key("192.168.11.3"), key("192.169.10.2")], [Some("s3cret"), None, Some("h0st")]);
    assert_eq!(intent.ranges[0].peer.password.as_ref().map(|key| key.0.as_str()), Some("h0st"));
}

/// design.md 6.1: a session whose key cannot be read is left out, and never tried without its key.
#[test]
fn an_unreadable_key_leaves_out_its_session_only_and_the_file_stays_listed() {
    let dir = Dir::with(&[("openpe_a.yaml", KEYS_IN_FILES), ("host.key", "h0st")]);
    let compiled = compile(&dir.load().objects, &Node::new("n", 0));
    assert_eq!(peers(&compiled), ["192.168.11.3", "192.169.10.2"]);
    let Outcome::Applied { warnings } = &compiled.verdicts[0].outcome else { panic!("{:#?}", compiled.verdicts) };
    let wanted = format!(
        "spec.neighbors[0].passwordFile: cannot read the key from {}: No such file or directory (os error 2): \
         this neighbor is left out, the others are not concerned",
        dir.0.path().join("key").display()
    );
    assert_eq!(*warnings, [wanted]);
    assert!(compiled.secret_files.contains(&dir.0.path().join("key")), "it may appear");

    let dir = Dir::with(&[("openpe_a.yaml", KEYS_IN_FILES), ("key", "a b"), ("host.key", "\n")]);
    let compiled = compile(&dir.load().objects, &Node::new("n", 0));
    assert_eq!(peers(&compiled), ["192.168.11.3"]);
    assert!(compiled.intent.as_ref().is_some_and(|intent| intent.ranges.is_empty() && intent.networks.len() == 1));
    assert!(compiled.host.as_ref().is_some_and(|host| host.veth.is_some()), "the veth pair stays");
    let sentences: Vec<_> = compiled.verdicts.iter().map(ToString::to_string).collect();
    assert!(sentences[0].contains("cannot be used: password must not be empty and must not contain whitespace"));
    assert!(sentences[1].contains("spec.hostSession.passwordFile: "), "{sentences:#?}");
    assert!(
        sentences[1]
            .ends_with("is empty: put the key into it: there is no session with the host, everything else works")
    );
}

#[test]
fn a_key_written_twice_is_an_error() {
    let (line, field, message) =
        complaint(&GOOD.replace("{asn: 64512,", "{asn: 64512, password: x, passwordFile: key,"));
    assert_eq!((line, field.as_str()), (6, "spec.neighbors[0].passwordFile"));
    assert_eq!(message, "password and passwordFile cannot be set together: remove one");
}
