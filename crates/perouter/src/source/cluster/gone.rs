//! Whether an object that is not seen any more was deleted.
//!
//! A watch says "deleted" for each object of a definition that is removed, a list is empty after a definition was made
//! anew, and an API server that has lost its storage lists nothing. None of these is somebody's wish to take down a
//! router. So the object itself is asked for, and the definition that it was made under: only an object that is not
//! there, while its definition has been there all the time, was deleted.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::{Client, Error};

use super::index::{Entry, Key};

/// What became of an object.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It is there, as this.
    Here(Box<DynamicObject>),
    /// Somebody deleted it.
    Deleted,
    /// It went with its definition.
    Lost,
    /// Nobody answers, for this reason.
    Unknown(String),
}

/// A definition of objects in one of its lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// Its identity.
    pub(super) uid: String,
    /// When it was made, in seconds since 1970.
    created: i64,
}

impl Definition {
    /// Whether an object was made under an earlier one of the same name. `known`: the identity that was known last when the
    /// object was seen, which may be that of an earlier one still; the clocks of two API servers may differ.
    fn is_another(&self, known: Option<&str>, object_created: i64) -> bool {
        known.is_some_and(|known| known != self.uid) && object_created < self.created
    }
}

/// Asks for a definition: `Ok(None)` when it is not there or about to go.
pub(super) async fn definition(client: &Client, name: &str) -> Result<Option<Definition>, Error> {
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client.clone());
    match api.get(name).await {
        Ok(found) if found.metadata.deletion_timestamp.is_none() => Ok(Some(Definition {
            uid: found.metadata.uid.unwrap_or_default(),
            created: found.metadata.creation_timestamp.map_or(0, |time| time.0.as_second()),
        })),
        Ok(_) => Ok(None),
        Err(Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Finds out. `before` is the object as it was last seen.
pub(super) async fn ask(
    client: &Client,
    resource: &ApiResource,
    its_definition: &str,
    key: &Key,
    before: Option<&Entry>,
) -> Fate {
    let is_another =
        |now: &Definition| before.is_some_and(|before| now.is_another(before.epoch.as_deref(), before.created));
    match definition(client, its_definition).await {
        Ok(None) => return Fate::Lost,
        Ok(Some(now)) if is_another(&now) => return Fate::Lost,
        Ok(Some(_)) => {}
        // Without the permission to ask it has to do without.
        Err(Error::Api(status)) if status.is_forbidden() => {}
        Err(error) => return Fate::Unknown(super::connection::words(&error)),
    }
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &key.namespace, resource);
    match api.get(&key.name).await {
        Ok(object) => Fate::Here(Box::new(object)),
        // A path that does not exist is "not found" too, but names no object.
        Err(Error::Api(status)) if status.is_not_found() => {
            match status.details.as_ref().is_some_and(|details| details.name == key.name) {
                true => Fate::Deleted,
                false => Fate::Lost,
            }
        }
        Err(error) => Fate::Unknown(super::connection::words(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_was_made_under_another_definition_when_that_is_younger_and_not_the_one_that_was_known() {
        let now = Definition { uid: "second".into(), created: 100 };
        assert!(now.is_another(Some("first"), 50));
        assert!(!now.is_another(Some("first"), 100), "made under this one, which was not noticed to be another");
        assert!(!now.is_another(Some("second"), 99), "clocks of two API servers");
        assert!(!now.is_another(None, 50), "without the permission to ask, every absence is a deletion");
    }
}
