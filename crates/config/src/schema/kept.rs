//! The schemas that files and objects are held against.
//!
//! They are generated from the types, but not at every start, of which that was the longer part. A test says when one is not
//! that of the types any more, and how to write it anew.

use std::sync::LazyLock;

use serde_json::Value as Json;

/// The `spec` of an Underlay.
pub(crate) static UNDERLAY: LazyLock<Json> = LazyLock::new(|| parse(include_str!("underlay.json")));
/// The `spec` of an L3Passthrough.
pub(crate) static PASSTHROUGH: LazyLock<Json> = LazyLock::new(|| parse(include_str!("passthrough.json")));
/// The node's own file.
pub(crate) static NODE: LazyLock<Json> = LazyLock::new(|| parse(include_str!("node.json")));
/// The file of `perouter speak`.
pub(crate) static SPEAK: LazyLock<Json> = LazyLock::new(|| parse(include_str!("speak.json")));

/// The test below reads all of them.
fn parse(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_default()
}

/// As the types have them today.
#[cfg(test)]
pub(crate) mod made {
    use kube::CustomResourceExt;
    use schemars::JsonSchema;
    use schemars::generate::SchemaSettings;
    use serde_json::Value as Json;

    /// The schema of the `spec` of a custom resource.
    pub(crate) fn spec_schema<T: CustomResourceExt>() -> Json {
        let schema = T::crd().spec.versions.into_iter().next().and_then(|version| version.schema);
        let mut schema = serde_json::to_value(schema.and_then(|schema| schema.open_api_v3_schema)).unwrap_or_default();
        schema.pointer_mut("/properties/spec").map(Json::take).unwrap_or_default()
    }

    /// The schema of a type that is no custom resource, in the same shape.
    pub(crate) fn plain_schema<T: JsonSchema>() -> Json {
        let settings = SchemaSettings::openapi3().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let generator = settings
            .with_transform(kube::core::schema::StructuralSchemaRewriter)
            .with_transform(kube::core::schema::OptionalEnum)
            .into_generator();
        serde_json::to_value(generator.into_root_schema_for::<T>()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;
    use crate::types::{L3Passthrough, L3PassthroughSpec, Underlay, UnderlaySpec};
    use crate::{node, speak};

    /// Has the test write what it would compare.
    const WRITE: &str = "PEROUTER_WRITE_SCHEMAS";

    #[test]
    fn they_are_those_of_the_types() {
        let all = [
            ("underlay", &UNDERLAY, made::plain_schema::<UnderlaySpec>()),
            ("passthrough", &PASSTHROUGH, made::plain_schema::<L3PassthroughSpec>()),
            ("node", &NODE, node::schema()),
            ("speak", &SPEAK, speak::schema()),
        ];
        for (name, kept, mut made) in all {
            without_words(&mut made);
            if env::var_os(WRITE).is_some() {
                let path = format!("{}/src/schema/{name}.json", env!("CARGO_MANIFEST_DIR"));
                fs::write(path, format!("{made:#}\n")).expect("the schema can be written");
            } else {
                assert!(
                    **kept == made,
                    "schema/{name}.json is older than the types: {WRITE}=1 cargo test -p config kept"
                );
            }
        }
    }

    /// A cluster's definitions say the same of every field, but for what only we understand.
    #[test]
    fn those_of_objects_are_those_of_the_definitions() {
        let defined = [made::spec_schema::<Underlay>(), made::spec_schema::<L3Passthrough>()];
        for (kept, mut defined) in [&UNDERLAY, &PASSTHROUGH].into_iter().zip(defined) {
            let mut kept = (**kept).clone();
            [&mut kept, &mut defined].into_iter().for_each(without_words);
            // What is accepted is the same; these are remarks.
            let remarks = ["x-perouter-ours", "x-perouter-default", "x-perouter-idle"];
            without(&mut kept, &|key, _| remarks.contains(&key));
            // There the bounds of whole numbers are written as 1.0.
            let [kept, defined] = [kept, defined].map(|schema| format!("{schema:#}").replace(".0,\n", ",\n"));
            assert!(kept == defined, "{kept}\n{defined}");
        }
    }

    /// Takes away what is said to people, which nothing is held against.
    fn without_words(schema: &mut Json) {
        without(schema, &|key, value| matches!(key, "description" | "title") && value.is_string());
    }

    fn without(schema: &mut Json, unwanted: &impl Fn(&str, &Json) -> bool) {
        match schema {
            Json::Object(map) => {
                map.retain(|key, value| !unwanted(key, value));
                map.values_mut().for_each(|value| without(value, unwanted));
            }
            Json::Array(list) => list.iter_mut().for_each(|value| without(value, unwanted)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
}
