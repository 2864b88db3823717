use std::fs;

use super::*;

fn verdict(path: &Path, outcome: Outcome) -> Verdict {
    Verdict {
        object: ObjectRef {
            kind: "Underlay".into(),
            name: "u".into(),
            source: Source::File { path: path.to_owned(), line: 2 },
        },
        outcome,
    }
}

fn rejected(message: &str) -> Outcome {
    Outcome::Rejected { reason: "ValidationFailed", field: Some("spec.asn".into()), message: message.into() }
}

#[test]
fn a_machine_that_is_no_node_gets_a_placeholder_and_a_remark() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("node-config.yaml");
    let (node, remark) = node(None, &missing).unwrap();
    assert_eq!((node.name.as_str(), node.index), ("node", 0));
    assert!(remark.unwrap().contains(&missing.display().to_string()));
}

#[test]
fn a_speaker_is_told_by_its_shape_and_checked_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let good = write("good.yaml", "asn: 65001\nrouterID: 10.0.0.1\nneighbors: []\n");
    let bad = write("bad.yaml", "asn: 65001\nrouterID: 10.0.0.1\nnosuchfield: 1\n");
    let objects = write("objects.yaml", "underlays: []\n");
    assert!(is_speaker(&good) && is_speaker(&bad) && !is_speaker(&objects));

    let (text, exit) = run_files(vec![good.clone()], vec![]).unwrap();
    assert_eq!(
        (text.as_str(), exit),
        (&*format!("{}: Speaker good: applied\n1 object, 0 rejected\n", good.display()), Exit::Fine)
    );
    let (text, exit) = run_files(vec![good, bad.clone(), objects.clone()], vec![]).unwrap();
    assert_eq!(exit, Exit::Unhealthy, "{text}");
    assert!(text.contains("Speaker bad: rejected") && text.contains("nosuchfield"), "{text}");
    let (text, exit) = run_files(vec![], vec![objects]).unwrap();
    assert_eq!(exit, Exit::Unhealthy, "what is named as a speaker is one: {text}");
}

#[test]
fn files_that_cannot_be_read_are_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let folder = run_files(vec![dir.path().to_owned()], vec![]);
    assert!(matches!(folder, Err(Failure::Usage(text)) if text.contains("--config-dir")));
    let missing = run_files(vec![], vec![dir.path().join("none.yaml")]);
    assert!(matches!(missing, Err(Failure::Usage(text)) if text.contains("none.yaml")));
}

fn run_files(files: Vec<PathBuf>, speak: Vec<PathBuf>) -> Result<(String, Exit), Failure> {
    let mut bytes = Vec::new();
    let args = ValidateArgs { config_dir: None, node_config: None, files, speak };
    let exit = run(&args, Format::Table, &mut Out::plain(&mut bytes))?;
    Ok((String::from_utf8(bytes).unwrap(), exit))
}

fn checked(format: Format, found: &[Verdict], remarks: &[String]) -> (String, Exit) {
    let mut bytes = Vec::new();
    let found = found.iter().map(admin::verdict).collect();
    let exit = print(&mut Out::plain(&mut bytes), format, remarks, found).unwrap();
    (String::from_utf8(bytes).unwrap(), exit)
}

#[test]
fn rejected_objects_come_first_and_decide_the_exit_code() {
    let found = [
        verdict(Path::new("a.yaml"), Outcome::Applied { warnings: vec![] }),
        verdict(Path::new("b.yaml"), rejected("0 is no AS number")),
    ];
    let (text, exit) = checked(Format::Table, &found, &[]);
    assert_eq!(
        text,
        "b.yaml:2: Underlay u: rejected (ValidationFailed)\n  spec.asn: 0 is no AS number\n\
         a.yaml:2: Underlay u: applied\n2 objects, 1 rejected\n"
    );
    assert_eq!(exit, Exit::Unhealthy);
    assert_eq!(checked(Format::Table, &found[..1], &[]).1, Exit::Fine);
}

#[test]
fn nothing_to_validate_says_why_and_is_fine() {
    let (text, exit) = checked(Format::Table, &[], &["no openpe_*.yaml in x".into()]);
    assert_eq!((text.as_str(), exit), ("no openpe_*.yaml in x\n0 objects, 0 rejected\n", Exit::Fine));
}

#[test]
fn json_is_the_list_of_verdicts() {
    let found = [verdict(Path::new("b.yaml"), rejected("no"))];
    let (text, _) = checked(Format::Json, &found, &["ignored by programs".into()]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((json[0]["outcome"].as_str(), json[0]["line"].as_u64()), (Some("rejected"), Some(2)));
}

fn run_with(config_dir: Option<PathBuf>, node_config: Option<PathBuf>) -> Result<(String, Exit), Failure> {
    let mut bytes = Vec::new();
    let args = ValidateArgs { config_dir, node_config, files: vec![], speak: vec![] };
    let exit = run(&args, Format::Table, &mut Out::plain(&mut bytes))?;
    Ok((String::from_utf8(bytes).unwrap(), exit))
}

#[test]
fn a_typed_directory_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none");
    assert!(matches!(run_with(Some(missing), None), Err(Failure::Usage(text)) if text.contains("no such directory")));
}

#[test]
fn an_unknown_field_and_a_bad_node_file_are_rejected_with_their_places() {
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("node.yaml");
    fs::write(&node, "nodeIndex: minus one\n").unwrap();
    let file = dir.path().join("openpe_x.yaml");
    fs::write(&file, "underlays:\n  - asn: 64514\n    nosuchfield: 1\n").unwrap();
    let (text, exit) = run_with(Some(dir.path().to_owned()), Some(node.clone())).unwrap();
    assert_eq!(exit, Exit::Unhealthy, "{text}");
    assert!(text.contains(&format!("{}: NodeConfig: rejected", node.display())), "{text}");
    assert!(text.contains(&format!("{}:", file.display())) && text.contains("nosuchfield"), "{text}");
}
