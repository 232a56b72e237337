//! Writing a share of an object's status, so that others keep theirs.

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject},
};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

use super::causes;
use crate::model::ObjectRef;

/// How long the API server may take for one write.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFailure {
    /// The object is gone, or another one has come in its place.
    Gone,
    /// The API server doesn't take this write.
    Refused,
    /// It doesn't take any at present.
    Down,
}

/// The present second, as the API server writes it.
pub fn this_second() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The API under which an object is stored.
pub fn api_of(client: &Client, resource: &ApiResource, object: &ObjectRef) -> Api<DynamicObject> {
    match &*object.namespace {
        "" => Api::all_with(client.clone(), resource),
        namespace => Api::namespaced_with(client.clone(), namespace, resource),
    }
}

/// Makes `share` all that `manager` has in the status of the object of that uid.
///
/// # Errors
/// When it could not be written.
pub async fn apply_status(
    client: &Client,
    manager: &str,
    resource: &ApiResource,
    (object, uid): (&ObjectRef, &str),
    share: &impl Serialize,
) -> Result<(), StatusFailure> {
    // With its uid the patch can't mean another object that came in its place.
    let metadata = json!({"name": object.name, "uid": uid});
    let body = json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "status": share});
    // Forced: what is in the share is the share's manager's, whoever wrote it last. What is not in it stays others'.
    let params = PatchParams::apply(manager).force();
    let api = api_of(client, resource, object);
    let Ok(answer) = timeout(PATIENCE, api.patch_status(&object.name, &params, &Patch::Apply(body))).await else {
        tracing::warn!(%object, "status not written: no answer in time");
        return Err(StatusFailure::Down);
    };
    let error = match answer {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => return Err(StatusFailure::Gone),
        Err(error) => error,
    };
    tracing::warn!(%object, error = causes(&error), "status not written");
    match error {
        kube::Error::Api(answer) if (400..500).contains(&answer.code) && !matches!(answer.code, 401 | 403 | 429) => {
            Err(StatusFailure::Refused)
        }
        _ => Err(StatusFailure::Down),
    }
}
