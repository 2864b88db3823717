//! The custom resource definitions, made of the `types`: what `perouter crds` prints and a cluster installs.
//!
//! kube's derive makes them; here they become what Kubernetes' own generator would have made of the same fields.
//! Kinds of upstream that are not served are not among them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::types::{L3Passthrough, RouterNodeConfigurationStatus, Underlay};

/// One of each kind, in order of name.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut status = RouterNodeConfigurationStatus::crd();
    for schema in roots(&mut status) {
        // The derive demands a spec; upstream's object has none.
        schema.properties.get_or_insert_default().remove("spec");
        schema.required = None;
    }
    let mut all = vec![L3Passthrough::crd(), status, Underlay::crd()];
    all.iter_mut().flat_map(roots).for_each(plain);
    all
}

fn roots(definition: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    definition.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut())
}

/// An absent field is absent, not null, and is said to be so: a rule with `has()` would take null for a value. Formats and
/// bounds of Rust's own integers mean nothing to a cluster.
fn plain(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.default.take_if(|default| default.0.is_null());
    if schema.format.as_deref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    schema.properties.iter_mut().flatten().for_each(|(_, field)| plain(field));
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => plain(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(plain),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        plain(values);
    }
}

#[cfg(test)]
mod tests;
