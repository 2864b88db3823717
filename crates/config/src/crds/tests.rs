use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::*;
use crate::schema;
use crate::types::{L3PassthroughSpec, UnderlaySpec};

/// Every field of upstream's kinds with its type, bounds, defaults and rules: the API that users' YAML is written for.
const UPSTREAM: &str = include_str!("upstream.txt");

/// What is different on purpose: upstream's line, if it is in its list, and ours.
const DIFFERENT: &[(&str, &str)] = &[
    // Upstream describes IS-IS in detail; here it is accepted as it is and has no effect.
    ("", "Underlay spec.isis object preserve"),
    // Upstream cannot report an L3VPN, and has no objects of files that could fail before they are objects.
    (
        "RouterNodeConfigurationStatus status.failedResources[].kind string required enum=Underlay|L2VNI|L3VNI|FrrConfiguration|L3Passthrough",
        "RouterNodeConfigurationStatus status.failedResources[].kind string required enum=Underlay|L2VNI|L3VNI|FrrConfiguration|L3Passthrough|L3VPN|RawFRRConfig|File",
    ),
];

fn definition(kind: &str) -> Json {
    let all = definitions();
    let found = all.iter().find(|definition| definition.spec.names.kind == kind).expect("the kind is defined");
    serde_json::to_value(found).expect("plain data")
}

fn root(definition: &Json) -> &Json {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// `Kind path type attributes..`, one per field, and one per rule.
fn lines(kind: &str, schema: &Json, path: &str, required: bool, out: &mut Vec<String>) {
    let mut line = format!("{kind} {path} {}", schema["type"].as_str().unwrap_or("any"));
    if required {
        line.push_str(" required");
    }
    let plain = ["default", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"];
    for name in plain {
        let value = &schema[name];
        let shown = match value {
            Json::Null => continue,
            Json::String(text) if name == "pattern" => text.clone(),
            // Bounds of integers may be written as floating point numbers.
            Json::Number(number) if number.is_f64() => number.as_f64().unwrap().to_string(),
            Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => value.to_string(),
        };
        line.push_str(&format!(" {name}={shown}"));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().filter_map(Json::as_str).collect();
        line.push_str(&format!(" enum={}", values.join("|")));
    }
    match (schema["x-kubernetes-list-type"].as_str(), &schema["x-kubernetes-list-map-keys"]) {
        (Some("map"), keys) => line.push_str(&format!(" list=map:{}", keys[0].as_str().unwrap())),
        (Some(other), _) => line.push_str(&format!(" list={other}")),
        (None, _) => {}
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        line.push_str(" preserve");
    }
    out.push(line);
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        out.push(format!("{kind} {path} rule {}", rule["message"].as_str().expect("every rule has a message")));
    }
    let needed: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        lines(kind, field, &format!("{path}.{name}"), needed.contains(&name.as_str()), out);
    }
    if schema["items"].is_object() {
        lines(kind, &schema["items"], &format!("{path}[]"), false, out);
    }
    if schema["additionalProperties"].is_object() {
        lines(kind, &schema["additionalProperties"], &format!("{path}{{}}"), false, out);
    }
}

/// Paths of fields that upstream does not have, by their marks.
fn ours<T: schemars::JsonSchema>(kind: &str) -> BTreeSet<String> {
    fn walk(schema: &Json, path: String, out: &mut BTreeSet<String>) {
        if schema["x-perouter-ours"] == true {
            out.insert(path.clone());
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            walk(field, format!("{path}.{name}"), out);
        }
        if schema["items"].is_object() {
            walk(&schema["items"], format!("{path}[]"), out);
        }
    }
    let mut out = BTreeSet::new();
    walk(&schema::annotated_schema::<T>(), format!("{kind} spec"), &mut out);
    out
}

fn ours_of_status() -> BTreeSet<String> {
    ours::<crate::types::NodeStatus>("")
        .iter()
        .map(|path| path.replacen(" spec", "RouterNodeConfigurationStatus status", 1))
        .collect()
}

#[test]
fn every_field_of_upstream_is_there_and_everything_else_is_marked_as_ours() {
    let mut have = Vec::new();
    for kind in ["Underlay", "L3Passthrough", "RouterNodeConfigurationStatus"] {
        let definition = definition(kind);
        for part in ["spec", "status"] {
            let schema = &root(&definition)["properties"][part];
            if !schema.is_null() {
                let required =
                    root(&definition)["required"].as_array().is_some_and(|names| names.contains(&part.into()));
                lines(kind, schema, part, required, &mut have);
            }
        }
    }
    let have: BTreeSet<_> = have.into_iter().collect();
    let wanted: BTreeSet<_> =
        UPSTREAM.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
    let different = |line: &String| DIFFERENT.iter().any(|(theirs, our)| line == theirs || line == our);
    let missing: Vec<_> = wanted.difference(&have).filter(|line| !different(line)).collect();
    let marked: BTreeSet<_> = ours::<UnderlaySpec>("Underlay")
        .into_iter()
        .chain(ours::<L3PassthroughSpec>("L3Passthrough"))
        .chain(ours_of_status())
        .collect();
    let is_ours = |line: &String| {
        marked.iter().any(|path| line.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with([' ', '.', '['])))
    };
    // Rules that relate our fields to upstream's stand beside the latter.
    let about_ours = |line: &String| {
        line.contains("ttlSecurity and ebgpMultiHop") || line.starts_with("L3Passthrough spec.hostSession rule ")
    };
    let unmarked: Vec<_> =
        have.difference(&wanted).filter(|line| !is_ours(line) && !about_ours(line) && !different(line)).collect();
    assert!(
        missing.is_empty() && unmarked.is_empty(),
        "missing: {missing:#?}\nnot upstream's and not marked: {unmarked:#?}"
    );
}

#[test]
fn names_scope_columns_and_the_status_are_upstreams() {
    let expected = [
        ("L3Passthrough", "l3passthroughs", "spec"),
        ("RouterNodeConfigurationStatus", "routernodeconfigurationstatuses", ""),
        ("Underlay", "underlays", "spec"),
    ];
    for (kind, plural, required) in expected {
        let definition = definition(kind);
        assert_eq!(definition["metadata"]["name"], format!("{plural}.network.openperouter.io"));
        let names = &definition["spec"]["names"];
        assert_eq!((&names["plural"], &names["singular"]), (&plural.into(), &kind.to_lowercase().into()));
        assert_eq!(definition["spec"]["scope"], "Namespaced");
        let version = &definition["spec"]["versions"][0];
        assert_eq!(
            (&version["name"], &version["served"], &version["storage"]),
            (&"v1alpha1".into(), &true.into(), &true.into())
        );
        assert!(version["subresources"]["status"].is_object(), "{kind} has a status of its own");
        let columns: Vec<_> = version["additionalPrinterColumns"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|column| (column["name"].as_str().unwrap(), column["jsonPath"].as_str().unwrap()))
            .collect();
        match kind {
            "RouterNodeConfigurationStatus" => assert_eq!(
                columns,
                [
                    ("Ready", ".status.conditions[?(@.type==\"Ready\")].status"),
                    ("Degraded", ".status.conditions[?(@.type==\"Degraded\")].status"),
                    ("Age", ".metadata.creationTimestamp"),
                ]
            ),
            _ => assert_eq!(columns, []),
        }
        let needed = root(&definition)["required"].as_array().cloned().unwrap_or_default();
        assert_eq!(needed, if required.is_empty() { vec![] } else { vec![Json::from(required)] }, "{kind}");
    }
}

#[test]
fn nothing_is_in_the_definitions_that_a_cluster_warns_of() {
    let text = serde_json::to_string(&definitions()).expect("plain data");
    for strange in ["nullable", "uint", "x-perouter", ":null", "$ref", "anyOf"] {
        assert!(!text.contains(strange), "{strange} in {text}");
    }
}
