use std::collections::BTreeSet;

use serde_json::json;

use super::kept::UNDERLAY;
use super::*;

/// Paths and sentences of broken rules, by the whole schema and by the part that is compiled.
fn both_ways(schema: &Json, value: &Json) -> [BTreeSet<(String, String)>; 2] {
    let told = |broken: Result<(), ValidationErrors>| {
        let errors = broken.err().map(ValidationErrors::into_vec).unwrap_or_default();
        errors.into_iter().map(|error| (error.field_path, error.message)).collect()
    };
    let part = compile_schema(&rules_for(schema, &[value]));
    [told(Validator::new().validate(schema, value, None)), told(Validator::new().validate_compiled(&part, value, None))]
}

fn rule(rule: &str) -> Json {
    json!([{"rule": rule, "message": format!("not {rule}")}])
}

#[test]
fn no_rule_about_what_is_written_is_left_out() {
    let positive = json!({"type": "integer", "x-kubernetes-validations": rule("self > 0")});
    let list = json!({"type": "array", "items": positive, "x-kubernetes-validations": rule("self.size() < 3")});
    let lists = json!({"type": "array", "items": list});
    let map = json!({"type": "object", "additionalProperties": positive});
    let mixed = json!({"type": "object", "properties": {"a": list}, "additionalProperties": lists});
    let all = json!({"type": "object", "properties": {"n": positive}, "allOf": [
        {"properties": {"n": {"x-kubernetes-validations": rule("self < 9")}}},
        {"x-kubernetes-validations": rule("has(self.n)")},
    ]});
    let object = |name: &str, of: &Json| json!({"type": "object", "properties": {name: of}, "x-kubernetes-validations": rule(&format!("has(self.{name})"))});
    let cases = [
        (object("n", &positive), vec![json!({"n": 1}), json!({"n": 0}), json!({})], 2),
        (object("l", &list), vec![json!({"l": []}), json!({"l": [1, 0, -1]}), json!({"l": [0, 1]})], 4),
        (object("ll", &lists), vec![json!({"ll": [[1], [], [0, 2], [1, 1, 1]]})], 2),
        (object("m", &map), vec![json!({"m": {}}), json!({"m": {"x": 0, "y": 1, "z": -1}})], 2),
        (mixed, vec![json!({"a": [0], "b": [[0], [1]]}), json!({"b": []})], 2),
        (all, vec![json!({}), json!({"n": 9}), json!({"n": 0})], 3),
    ];
    for (schema, values, broken) in cases {
        let mut told = 0;
        for value in values {
            let [whole, part] = both_ways(&schema, &value);
            assert_eq!(whole, part, "{value}");
            told += whole.len();
        }
        assert_eq!(told, broken, "{schema:#}");
    }
}

#[test]
fn problems_come_by_line_and_then_by_number() {
    let schema = json!({"type": "object", "properties": {
        "z": {"type": "integer", "x-kubernetes-validations": rule("self > 0")},
        "a": {"type": "integer", "x-kubernetes-validations": rule("self > 0")},
        "l": {"type": "array", "items": {"type": "integer", "x-kubernetes-validations": rule("self > 0")}},
        "m": {"type": "integer", "x-kubernetes-validations": rule("self > 0")},
    }});
    let text = "z: 0\nm: 0\nl: [1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0]\na: 0\n";
    let yaml = crate::yaml::parse(text).unwrap().remove(0);
    for _ in 0..20 {
        let problems = check(&schema, &yaml, "").err().unwrap();
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["z", "m", "l[2]", "l[10]", "a"]);
    }
}

#[test]
fn a_rule_that_holds_because_of_what_is_written_is_known_without_being_compiled() {
    let both = json!({"a": 1, "b": 2});
    let (one, two, none, null) = (json!({"a": 1}), json!({"a": 2}), json!({}), json!({"a": null}));
    let cases = [
        ("has(self.a) || has(self.b)", &one, true),
        ("has(self.a) || has(self.b)", &none, false),
        ("!has(self.a) || !has(self.b)", &both, false),
        ("!has(self.a) || !has(self.b)", &one, true),
        ("!has(self.b) || self.b.exists(x, x == 'in || out' || x == \"(\") || self.a > 1", &one, true),
        ("self.a > 1 || !has(self.b)", &one, true),
        ("has(self.a) == has(self.b)", &both, false),
        ("has(self.a) && has(self.b) || self.a > 1", &one, false),
        ("(!has(self.b) || self.b > 1) && self.a > 1", &one, false),
        ("self.a > 1 ? !has(self.b) || self.a > 2 : self.a > 3", &one, false),
        ("!has(self.b) || self.a.matches('^\\\\\\'||')", &one, false),
        ("!has(self.b.c) || self.a > 1", &one, false),
        ("has(self.a) || has(self.b)", &null, false),
        ("self.b > 1 || !has(self.b)", &one, true),
        ("'x || !has(self.b) || y' == self.a", &one, false),
        ("(self.a > 1 || !has(self.b) || self.a > 2) && self.a > 1", &one, false),
        ("self.a > 1 ? self.a > 2 : self.a > 3 || !has(self.b)", &two, false),
        ("self.a > 1 // || !has(self.b)", &one, false),
    ];
    for (text, value, holds) in cases {
        assert_eq!(one_holds(&presences(text), value.as_object().unwrap()), holds, "{text} of {value}");
        if holds {
            let schema = json!({"type": "object", "x-kubernetes-validations": rule(text)});
            assert_eq!(both_ways(&schema, value), [BTreeSet::new(), BTreeSet::new()], "{text} of {value}");
        }
    }
}

/// Each field that rules speak of is there or is not, in every combination.
#[test]
fn neighbours_are_judged_as_by_all_rules() {
    let schema = UNDERLAY.pointer("/properties/neighbors/items").unwrap();
    let fields = [
        ("asn", json!(64512)),
        ("type", json!("External")),
        ("address", json!("192.0.2.1")),
        ("interface", json!("eth1")),
        ("holdTimeSeconds", json!(9)),
        ("keepaliveTimeSeconds", json!(12)),
        ("listenRange", json!("192.0.2.0/24")),
        (
            "addressFamilies",
            json!([{"type": "evpn"}, {"type": "ipv4vpn", "properties": [{"type": "routeReflectorClient"}]}]),
        ),
        ("ttlSecurity", json!(1)),
        ("properties", json!([{"type": "ebgpMultiHop", "ebgpMultiHop": {"ttl": 2}}])),
    ];
    let mut broken = 0;
    for written in 0..1_u32 << fields.len() {
        let there = fields.iter().enumerate().filter(|(at, _)| written & 1 << at != 0);
        let value = Json::Object(there.map(|(_, (name, value))| ((*name).to_owned(), value.clone())).collect());
        let [whole, part] = both_ways(schema, &value);
        assert_eq!(whole, part, "{value}");
        broken += whole.len();
    }
    assert!(broken > 1000, "{broken}");
}
