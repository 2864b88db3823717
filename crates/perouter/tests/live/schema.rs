//! JSON Schema as far as the API's document uses it, and no further: a keyword that is not known here fails the test, so that
//! none is passed over. Objects have exactly the fields that they are described with.

use serde_json::{Map, Value};

/// The schemas of a document.
pub(crate) struct Schemas<'a>(&'a Map<String, Value>);

impl<'a> Schemas<'a> {
    pub(crate) fn of(document: &'a Value) -> Self {
        Self(document["components"]["schemas"].as_object().unwrap())
    }

    /// Panics with what is said against a value of a named schema.
    pub(crate) fn hold(&self, name: &str, value: &Value) {
        let against = self.against(&self.0[name], value);
        assert!(against.is_empty(), "{name}: {against:#?} in {value:#}");
    }

    /// What is said against a value, a sentence each with its place.
    pub(crate) fn against(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.check(schema, value, "$", &mut found);
        found
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let Some(keywords) = schema.as_object() else {
            assert_eq!(schema, &Value::Bool(true), "{at}: {schema}");
            return;
        };
        for (keyword, rule) in keywords {
            match keyword.as_str() {
                "description" | "title" | "default" | "example" => {}
                "$ref" => {
                    let name = rule.as_str().unwrap().trim_start_matches("#/components/schemas/");
                    self.check(&self.0[name], value, at, found);
                }
                "type" => {
                    let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                    if !types.iter().any(|kind| is(kind.as_str().unwrap(), value)) {
                        found.push(format!("{at}: {value} is not {rule}"));
                    }
                }
                "properties" => self.fields(keywords, rule.as_object().unwrap(), value, at, found),
                "required" => {
                    let missing = rule.as_array().unwrap().iter().filter(|name| {
                        value.as_object().is_some_and(|fields| !fields.contains_key(name.as_str().unwrap()))
                    });
                    found.extend(missing.map(|name| format!("{at}: {name} is missing")));
                }
                "additionalProperties" => {
                    let known = keywords.get("properties").and_then(Value::as_object);
                    for (name, field) in value.as_object().into_iter().flatten() {
                        if known.is_none_or(|known| !known.contains_key(name)) && rule != &Value::Bool(false) {
                            self.check(rule, field, &format!("{at}.{name}"), found);
                        }
                    }
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{index}]"), found);
                    }
                }
                "enum" => {
                    if !rule.as_array().unwrap().contains(value) {
                        found.push(format!("{at}: {value} is none of {rule}"));
                    }
                }
                "const" => {
                    if rule != value {
                        found.push(format!("{at}: {value} is not {rule}"));
                    }
                }
                "anyOf" | "oneOf" => {
                    let fits =
                        rule.as_array().unwrap().iter().filter(|one| self.against(one, value).is_empty()).count();
                    if fits == 0 || (keyword == "oneOf" && fits > 1) {
                        found.push(format!("{at}: {value} fits {fits} of {rule}"));
                    }
                }
                "format" => {
                    if value.is_string() || value.is_number() {
                        formatted(rule.as_str().unwrap(), value, at, found);
                    }
                }
                "minimum" | "maximum" => {
                    let (number, bound) = (value.as_f64(), rule.as_f64().unwrap());
                    let within = number
                        .is_none_or(|number| if keyword == "minimum" { number >= bound } else { number <= bound });
                    if !within {
                        found.push(format!("{at}: {value} is beyond the {keyword} {rule}"));
                    }
                }
                other => panic!("{at}: this test does not know the keyword {other}"),
            }
        }
    }

    fn fields(
        &self,
        keywords: &Map<String, Value>,
        properties: &Map<String, Value>,
        value: &Value,
        at: &str,
        found: &mut Vec<String>,
    ) {
        let open = keywords.get("additionalProperties").is_some_and(|rule| rule != &Value::Bool(false));
        for (name, field) in value.as_object().into_iter().flatten() {
            match properties.get(name) {
                Some(schema) => self.check(schema, field, &format!("{at}.{name}"), found),
                None if open => {}
                None => found.push(format!("{at}: {name} is not documented")),
            }
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

fn formatted(format: &str, value: &Value, at: &str, found: &mut Vec<String>) {
    let text = value.as_str().unwrap_or_default();
    let good = match format {
        "ip" => text.parse::<std::net::IpAddr>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "uint8" => value.as_u64().is_some_and(|number| u8::try_from(number).is_ok()),
        "uint16" => value.as_u64().is_some_and(|number| u16::try_from(number).is_ok()),
        "uint32" => value.as_u64().is_some_and(|number| u32::try_from(number).is_ok()),
        "uint64" => value.is_u64(),
        "int64" => value.is_i64(),
        other => panic!("{at}: this test does not know the format {other}"),
    };
    if !good {
        found.push(format!("{at}: {value} is no {format}"));
    }
}

#[test]
fn what_is_missing_wrong_or_too_much_is_found() {
    let document = serde_json::json!({"components": {"schemas": {
        "A": {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 0}, "b": {"anyOf": [{"$ref": "#/components/schemas/B"}, {"type": "null"}]}},
            "required": ["n", "b"],
        },
        "B": {"enum": ["x", "y"]},
    }}});
    let schemas = Schemas::of(&document);
    let against = |value: Value| schemas.against(&document["components"]["schemas"]["A"], &value).len();
    assert_eq!(against(serde_json::json!({"n": 1, "b": null})), 0);
    assert_eq!(against(serde_json::json!({"n": 1, "b": "y"})), 0);
    assert_eq!(against(serde_json::json!({"n": -1, "b": "z", "c": 1})), 3);
    assert_eq!(against(serde_json::json!({"n": "1"})), 2);
}
