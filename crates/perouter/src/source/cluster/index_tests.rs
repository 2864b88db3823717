use serde_json::json;

use super::*;

fn key(name: &str) -> Key {
    Key { namespace: "routers".into(), name: name.into() }
}

fn entry(created: i64, spec: Json) -> Entry {
    Entry {
        uid: format!("u{created}"),
        generation: 1,
        created,
        spec: spec.to_string().into_boxed_str(),
        epoch: Some("e".into()),
        standing: Standing::Live,
    }
}

fn underlay(rack: Option<&str>) -> Json {
    let mut spec = json!({
        "asn": 64514,
        "interfaces": [{ "type": "NetworkDevice", "networkDevice": { "interfaceName": "eth1" } }],
        "neighbors": [{ "asn": 64512, "address": "192.168.11.2" }],
    });
    if let Some(rack) = rack {
        spec["nodeSelector"] = json!({ "matchLabels": { "rack": rack } });
    }
    spec
}

fn labels(rack: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("rack".to_owned(), rack.to_owned())])
}

fn on_rack(rack: &str) -> Index {
    let mut index = Index::default();
    index.set_node(NodeFacts { uid: "n".into(), labels: labels(rack), index: Some(4), trouble: None });
    index
}

fn names(index: &Index, rack: &str) -> Vec<String> {
    index.view(&labels(rack)).objects.underlays.iter().map(|object| object.reference.name.clone()).collect()
}

#[test]
fn the_oldest_comes_first_then_by_namespace_and_name_and_orphans_last() {
    let mut index = on_rack("1");
    for (name, created) in [("b", 7), ("a", 7), ("young", 9), ("old", 3)] {
        index.apply(Kind::Underlay, key(name), entry(created, underlay(None)));
    }
    assert_eq!(names(&index, "1"), ["old", "a", "b", "young"]);
    assert!(index.orphan(Kind::Underlay, &key("old")));
    assert_eq!(names(&index, "1"), ["a", "b", "young", "old"]);
    index.forget_orphans(Kind::Underlay, Some(&key("a")));
    assert_eq!(names(&index, "1"), ["a", "b", "young"]);
}

#[test]
fn only_what_selects_the_node_before_or_after_concerns_it() {
    let mut index = on_rack("1");
    assert!(!index.apply(Kind::Underlay, key("u"), entry(1, underlay(Some("2")))), "another rack's");
    assert!(index.apply(Kind::Underlay, key("u"), entry(1, underlay(Some("1")))), "it comes to ours");
    assert!(!index.apply(Kind::Underlay, key("u"), entry(1, underlay(Some("1")))), "nothing new");
    assert!(index.apply(Kind::Underlay, key("u"), entry(1, underlay(Some("2")))), "and leaves");
    assert!(!index.delete(Kind::Underlay, &key("u")));
    assert_eq!(names(&index, "2"), Vec::<String>::new());
}

#[test]
fn labels_that_change_select_other_objects() {
    let mut index = on_rack("1");
    index.apply(Kind::Underlay, key("one"), entry(1, underlay(Some("1"))));
    index.apply(Kind::Underlay, key("two"), entry(1, underlay(Some("2"))));
    assert_eq!((names(&index, "1"), names(&index, "2")), (vec!["one".to_owned()], vec!["two".to_owned()]));
    let changed = NodeFacts { uid: "n".into(), labels: labels("2"), index: Some(4), trouble: None };
    assert!(index.set_node(changed.clone()));
    assert!(!index.set_node(changed));
}

#[test]
fn a_selector_that_nobody_can_read_gets_its_verdict_on_every_node() {
    let mut index = on_rack("1");
    let mut spec = underlay(None);
    spec["nodeSelector"] = json!("all of them");
    assert!(index.apply(Kind::Underlay, key("u"), entry(1, spec)));
    let view = index.view(&labels("1"));
    assert!(view.verdicts[0].to_string().contains("nodeSelector"), "{:?}", view.verdicts);
}

#[test]
fn a_node_without_an_index_keeps_the_one_that_it_had() {
    let mut index = on_rack("1");
    index.set_node(NodeFacts { uid: "n".into(), labels: labels("1"), index: None, trouble: Some("gone".into()) });
    assert_eq!(index.node().map(|node| node.index), Some(Some(4)));
}

#[test]
fn the_key_of_a_secret_that_goes_stays_known() {
    let mut index = Index::default();
    assert!(index.set_secret("s", Ok("one".into())));
    assert!(index.set_secret("s", Ok("two".into())));
    assert!(!index.set_secret("s", Err("no such Secret".into())));
    assert_eq!(index.secrets["s"], Ok("two".into()));
    assert!(index.set_secret("t", Err("no such Secret".into())));
    assert!(index.knows_secrets(&BTreeSet::from(["s".into(), "t".into()])), "looked for is known");
    index.keep_secrets(&BTreeSet::from(["t".into()]));
    assert!(!index.knows_secrets(&BTreeSet::from(["s".into()])));
}

#[test]
fn what_is_kept_for_a_start_without_the_api_server_is_what_concerns_the_node() {
    let mut index = on_rack("1");
    index.apply(Kind::Underlay, key("one"), entry(1, underlay(Some("1"))));
    index.apply(Kind::Underlay, key("two"), entry(1, underlay(Some("2"))));
    index.set_secret("s", Ok("k3y".into()));
    let memory = index.memory(&labels("1"));
    let text = serde_json::to_string(&memory).expect("plain data");
    let again = Index::remembering(serde_json::from_str(&text).expect("what was written"));
    assert_eq!(names(&again, "1"), ["one"]);
    assert_eq!(names(&again, "2"), Vec::<String>::new());
    assert_eq!(again.node(), index.node());
    assert!(again.knows_secrets(&BTreeSet::from(["s".into()])));
    assert_eq!(again.beside(Kind::Underlay, &BTreeSet::new()), [key("one")], "the first list is compared with it");
}
