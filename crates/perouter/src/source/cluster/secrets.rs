//! The Secrets that objects name, in the namespace that this program is installed in, and no others.
//!
//! One watch per Secret, by name, so that neither the permission to list others nor memory for them is needed. Of each
//! only the key is kept.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::task::{AbortHandle, JoinSet};

use super::Shared;
use super::connection::watch_words;
use super::patience::{Patience, answered};
use crate::apiserver::ApiServer;

const TITLE: &str = "Secrets";
/// The field of a Secret that holds the key, as in one of type `kubernetes.io/basic-auth`.
const KEY: &str = "password";
/// Longest wait after an error.
const LONGEST: Duration = Duration::from_secs(10);

/// Follows those that are wanted.
pub(super) async fn follow(shared: Arc<Shared>, server: ApiServer) {
    let mut wanted = shared.secrets.subscribe();
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<String, AbortHandle> = BTreeMap::new();
    wanted.mark_changed();
    while wanted.changed().await.is_ok() {
        let names = wanted.borrow_and_update().clone();
        running.retain(|name, task| {
            let stays = names.contains(name);
            if !stays {
                task.abort();
            }
            stays
        });
        while tasks.try_join_next().is_some() {}
        if names.is_empty() {
            shared.connection.set(TITLE, None);
        }
        for name in &names {
            running
                .entry(name.clone())
                .or_insert_with(|| tasks.spawn(one(shared.clone(), server.clone(), name.clone())));
        }
        shared.index().keep_secrets(&names);
    }
}

async fn one(shared: Arc<Shared>, server: ApiServer, name: String) {
    let api: Api<Secret> = Api::namespaced(server.client, &server.namespace);
    let mut events = pin!(watcher(api, watcher::Config::default().fields(&format!("metadata.name={name}"))));
    let mut patience = Patience::of(LONGEST);
    let mut found = false;
    let missing = || {
        let namespace = &server.namespace;
        Err(format!(
            "the Secret \"{name}\" does not exist in namespace {namespace}: create it there, with the key as `{KEY}`"
        ))
    };
    while let Some(event) = events.next().await {
        let told = match event {
            Ok(event) => {
                if answered(&event) {
                    patience.reset();
                    shared.connection.set(TITLE, None);
                }
                match event {
                    Event::Init => {
                        found = false;
                        None
                    }
                    Event::InitApply(secret) | Event::Apply(secret) => {
                        found = true;
                        Some(key(&name, &secret))
                    }
                    Event::InitDone => (!found).then(missing),
                    Event::Delete(_) => Some(missing()),
                }
            }
            Err(error) => {
                let why = watch_words(&error);
                shared.connection.set(TITLE, Some(why.clone()));
                patience.wait().await;
                Some(Err(format!("the Secret \"{name}\" cannot be read: {why}")))
            }
        };
        if let Some(told) = told {
            shared.change(|index| index.set_secret(&name, told));
        }
    }
}

fn key(name: &str, secret: &Secret) -> Result<String, String> {
    let data = secret.data.as_ref().and_then(|data| data.get(KEY));
    let data = data.ok_or_else(|| format!("the Secret \"{name}\" has no `{KEY}`: put the key there"))?;
    let text =
        String::from_utf8(data.0.clone()).map_err(|_| format!("the `{KEY}` of the Secret \"{name}\" is not text"))?;
    // `kubectl create secret --from-file` takes the newline along.
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn the_key_is_the_password_without_the_newline_of_a_file() {
        let with = |field: &str, bytes: &[u8]| Secret {
            data: Some([(field.to_owned(), ByteString(bytes.to_vec()))].into()),
            ..Secret::default()
        };
        assert_eq!(key("s", &with("password", b"k3y\n")), Ok("k3y".into()));
        assert!(key("s", &with("pass", b"k3y")).expect_err("another field").contains("has no `password`"));
        assert!(key("s", &with("password", &[0xff])).expect_err("no text").contains("is not text"));
        assert!(key("s", &Secret::default()).expect_err("empty").contains("has no `password`"));
    }
}
