//! YAML as a tree in which every key and every value knows its line.
//!
//! Objects of one file are judged one by one and errors name lines, so text is not read into structs at once: it
//! becomes this tree, `schema` holds the tree against a definition, and only then a struct is made of it.
//! Duplicate keys, alias bombs and absurd nesting are refused by the parser's budget.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A value and the line on which it begins, from 1.
#[derive(Clone, Debug)]
pub(crate) struct Yaml {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// A mapping key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) line: usize,
    pub(crate) name: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Seq(Vec<Yaml>),
    Map(Vec<(Key, Yaml)>),
}

/// Text that is not YAML.
#[derive(Clone, Debug)]
pub(crate) struct SyntaxError {
    /// From 1; 0 when unknown.
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// Reads all documents; empty ones are left out.
pub(crate) fn parse(text: &str) -> Result<Vec<Yaml>, SyntaxError> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: 64, flow_nesting_limit: 64, max_aliases: 1000 },
    };
    serde_saphyr::from_multiple_with_options::<Yaml>(text, options).map_err(|error| {
        let line = error.location().map_or(0, |location| usize::try_from(location.line()).unwrap_or(0));
        let said = error.to_string();
        // Of a key that is there twice the library says which of its own options would allow it.
        let said = said.lines().next().and_then(|line| line.split(", set DuplicateKeyPolicy").next());
        let mut message = said.unwrap_or_default().trim().to_owned();
        let source = line.checked_sub(1).and_then(|index| text.lines().nth(index));
        // Keys do not go into logs.
        if let Some(source) = source.filter(|source| !source.contains("password")) {
            let near: String = source.trim().chars().take(60).collect();
            message = format!("{message}, near \"{near}\"");
        }
        SyntaxError { line, message }
    })
}

impl From<&serde_json::Value> for Yaml {
    /// A tree without lines.
    fn from(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i128() {
                Some(whole) => Value::Int(whole),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::Seq(items.iter().map(Yaml::from).collect()),
            Json::Object(fields) => {
                let key = |name: &String| Key { line: 0, name: name.clone() };
                Value::Map(fields.iter().map(|(name, value)| (key(name), Yaml::from(value))).collect())
            }
        };
        Self { line: 0, value }
    }
}

impl Yaml {
    /// What this is, in the words of an error message.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(value) => format!("\"{value}\""),
            Value::Seq(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }

    /// The value of a key, when this is a mapping that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Yaml> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, value)| value),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Seq(_) => None,
        }
    }

    /// The text, when this is text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Seq(_) | Value::Map(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: line(spanned.referenced), value: spanned.value })
    }
}

fn line(location: serde_saphyr::Location) -> usize {
    usize::try_from(location.line()).unwrap_or(0)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Yaml>()? {
            items.push(item);
        }
        Ok(Value::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let key = Key { line: line(key.referenced), name: key.value };
            entries.push((key, access.next_value::<Yaml>()?));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_and_key_knows_its_line_across_documents() {
        let docs = parse("a: 1\nb:\n  - {c: 10.0.0.1, d: \"2001:db8::1\"}\n---\ne: {f: on}\n").unwrap();
        assert_eq!(docs.len(), 2);
        let Value::Map(entries) = &docs[0].value else { panic!("{docs:?}") };
        assert_eq!(entries[1].0.line, 2);
        assert_eq!(entries[1].1.line, 3);
        let Value::Seq(items) = &entries[1].1.value else { panic!("{docs:?}") };
        assert_eq!(items[0].get("c").unwrap().text(), Some("10.0.0.1"));
        assert_eq!(docs[1].get("e").unwrap().line, 5);
        assert_eq!(docs[1].get("e").unwrap().get("f").unwrap().text(), Some("on"));
    }

    #[test]
    fn a_syntax_error_names_its_line_and_quotes_it() {
        let error = parse("a: 1\nb: [1, 2\nc: }\n").unwrap_err();
        assert!(error.line >= 2, "{error:?}");
        assert!(error.message.contains("near"), "{error:?}");
    }

    #[test]
    fn a_syntax_error_does_not_show_a_password() {
        let error = parse("a: {password: s3cret ]\n").unwrap_err();
        assert!(!error.message.contains("s3cret"), "{error:?}");
    }

    #[test]
    fn a_key_given_twice_is_an_error() {
        let error = parse("asn: 1\nasn: 2\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.message.contains("asn") && !error.message.contains("Policy"), "{error:?}");
    }
}
