//! What of an object travels, and in which form.
//!
//! The body is a `google.protobuf.StringValue` with the object's `spec` in JSON. A `Struct` would be the more usual choice for what has no
//! message of its own, but its numbers are floating-point, and each level of JSON takes three of messages, of which protobuf's readers take
//! a hundred: an EnvoyFilter that Kubernetes stores could be one that nobody can read.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use bytes::Bytes;
use envoy_api::UnpackError;
use ferromesh_crds::catalog::Kind;
use prost::Message;
use prost_types::{Any, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::message::{Metadata, Resource};

/// One object, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// `NAMESPACE/NAME`; the name alone where there are no namespaces.
    pub name: Arc<str>,
    /// A hash of all that is carried. So a write that alters nothing of it is no news, and all replicas of galley agree.
    pub version: Arc<str>,
    /// A [`Resource`], encoded.
    pub body: Bytes,
}

/// Why a resource is no object.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// There is nothing in it.
    #[error("{0:?} is empty")]
    Empty(String),
    /// It is another message, or none.
    #[error("{name:?} can't be unpacked")]
    Message {
        /// What it is called.
        name: String,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// It bears another name within.
    #[error("{name:?} is {inner:?} within")]
    Name {
        /// What it is called.
        name: String,
        /// What it calls itself.
        inner: String,
    },
    /// Its body is no JSON.
    #[error("the body of {name:?} is no JSON")]
    Body {
        /// What it is called.
        name: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Annotations of ours, which bear what MCP's metadata have no field for. What an object itself has under this prefix is left out.
const OWN: &str = "mcp.ferromesh.dev/";
const UID: &str = "mcp.ferromesh.dev/uid";
const GENERATION: &str = "mcp.ferromesh.dev/generation";
/// The part of the status that somebody reads: addresses, and whether proxies take the object.
const STATUS: &str = "mcp.ferromesh.dev/status";
/// The condition of that part.
const CONDITION: &str = "Programmed";
/// As large as the object, and read by kubectl alone.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

// === impl Carried ===

impl Carried {
    /// Packs an object, as the API server has it.
    pub fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let mut resource = Resource {
            metadata: Some(Metadata {
                name: full_name(metadata),
                create_time: metadata["creationTimestamp"].as_str().and_then(|time| time.parse::<Timestamp>().ok()),
                version: String::new(),
                labels: texts(&metadata["labels"]),
                annotations: annotations(object),
            }),
            body: object.get("spec").map(|spec| envoy_api::any(&spec.to_string())),
        };
        let version = hash(&resource.encode_to_vec());
        let mut name = String::new();
        if let Some(metadata) = &mut resource.metadata {
            metadata.version.clone_from(&version);
            name.clone_from(&metadata.name);
        }
        Self { name: name.into(), version: version.into(), body: resource.encode_to_vec().into() }
    }

    /// Unpacks an object of a kind, as the API server has it but for what is not carried. `name` is what the resource is called.
    ///
    /// # Errors
    /// When it is no object, or not the one that it is called.
    pub fn read(kind: &Kind, name: &str, packed: Option<&Any>) -> Result<Value, Unreadable> {
        let packed = packed.ok_or_else(|| Unreadable::Empty(name.to_owned()))?;
        let unpacked = |source| Unreadable::Message { name: name.to_owned(), source };
        let resource: Resource = envoy_api::unpack(packed).map_err(unpacked)?;
        let metadata = resource.metadata.unwrap_or_default();
        if metadata.name != name {
            return Err(Unreadable::Name { name: name.to_owned(), inner: metadata.name });
        }
        let json = |text: &str| serde_json::from_str(text).map_err(|source| Unreadable::Body { name: name.to_owned(), source });
        let version = kind.versions.first().copied().unwrap_or_default();
        let mut object = json!({"apiVersion": format!("{}/{version}", kind.group), "kind": kind.name});
        if let Some(body) = &resource.body {
            object["spec"] = json(&envoy_api::unpack::<String>(body).map_err(unpacked)?)?;
        }
        if let Some(status) = metadata.annotations.get(STATUS) {
            object["status"] = json(status)?;
        }
        object["metadata"] = metadata_of(metadata);
        Ok(object)
    }
}

/// `NAMESPACE/NAME`.
fn full_name(metadata: &Value) -> String {
    let name = metadata["name"].as_str().unwrap_or_default();
    match metadata["namespace"].as_str() {
        Some(namespace) if !namespace.is_empty() => format!("{namespace}/{name}"),
        _ => name.to_owned(),
    }
}

/// Namespace and name of [`full_name`].
pub(super) fn names_of(full: &str) -> (&str, &str) {
    full.split_once('/').unwrap_or(("", full))
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn annotations(object: &Value) -> BTreeMap<String, String> {
    let metadata = &object["metadata"];
    let mut annotations = texts(&metadata["annotations"]);
    annotations.retain(|key, _| !key.starts_with(OWN) && key != APPLIED);
    let own = [
        (UID, metadata["uid"].as_str().map(str::to_owned)),
        (GENERATION, metadata["generation"].as_i64().map(|generation| generation.to_string())),
        (STATUS, status(&object["status"]).map(|status| status.to_string())),
    ];
    annotations.extend(own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    annotations
}

/// What somebody reads of a status; none if there is nothing of that.
fn status(status: &Value) -> Option<Value> {
    let mut kept = Map::new();
    if let Some(addresses) = status.get("addresses") {
        kept.insert("addresses".to_owned(), addresses.clone());
    }
    if let Some(condition) = status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == CONDITION) {
        kept.insert("conditions".to_owned(), json!([condition]));
    }
    (!kept.is_empty()).then_some(Value::Object(kept))
}

/// Metadata as the API server has them.
fn metadata_of(mut metadata: Metadata) -> Value {
    let (namespace, name) = names_of(&metadata.name);
    let mut read = json!({});
    for (field, text) in [("name", name), ("namespace", namespace)] {
        if !text.is_empty() {
            read[field] = json!(text);
        }
    }
    if let Some(uid) = metadata.annotations.get(UID) {
        read["uid"] = json!(uid);
    }
    if let Some(generation) = metadata.annotations.get(GENERATION).and_then(|text| text.parse::<i64>().ok()) {
        read["generation"] = json!(generation);
    }
    if let Some(time) = &metadata.create_time {
        read["creationTimestamp"] = json!(time.to_string());
    }
    metadata.annotations.retain(|key, _| !key.starts_with(OWN));
    for (field, texts) in [("labels", metadata.labels), ("annotations", metadata.annotations)] {
        if !texts.is_empty() {
            read[field] = json!(texts);
        }
    }
    read
}

/// The first 128 bits of the hash of some bytes, in hexadecimal.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferromesh_crds::catalog;

    fn kind() -> &'static Kind {
        catalog::find("networking.istio.io", "VirtualService").unwrap()
    }

    fn object() -> Value {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u-1", "generation": 3, "resourceVersion": "17",
                "creationTimestamp": "2026-01-02T03:04:05Z", "labels": {"app": "web"},
                "annotations": {"a": "b", APPLIED: "{}", UID: "forged"}, "managedFields": [],
            },
            "spec": {"hosts": ["web"], "big": 9_007_199_254_740_993_i64, "exact": 80},
            "status": {"observedGeneration": 3, "addresses": [{"value": "240.240.0.1"}], "conditions": [{"type": "Accepted"}, {"type": "Programmed", "status": "False"}]},
        })
    }

    fn read(carried: &Carried) -> Result<Value, Unreadable> {
        let packed = Any { type_url: "type.googleapis.com/istio.mcp.v1alpha1.Resource".to_owned(), value: carried.body.to_vec() };
        Carried::read(kind(), &carried.name, Some(&packed))
    }

    #[test]
    fn an_object_arrives_with_all_that_somebody_reads() {
        let expected = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u-1", "generation": 3, "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": {"app": "web"}, "annotations": {"a": "b"},
            },
            "spec": {"hosts": ["web"], "big": 9_007_199_254_740_993_i64, "exact": 80},
            "status": {"addresses": [{"value": "240.240.0.1"}], "conditions": [{"type": "Programmed", "status": "False"}]},
        });
        assert_eq!(read(&Carried::of(&object())).unwrap(), expected);
        let bare = json!({"metadata": {"name": "default"}});
        let carried = Carried::of(&bare);
        assert_eq!((&*carried.name, read(&carried).unwrap()["metadata"].take()), ("default", json!({"name": "default"})));
    }

    #[test]
    fn the_version_is_that_of_what_is_carried() {
        let version = |change: &dyn Fn(&mut Value)| {
            let mut object = object();
            change(&mut object);
            Carried::of(&object).version
        };
        let same = version(&|_| {});
        assert_eq!(same, version(&|it| it["metadata"]["resourceVersion"] = json!("18")));
        assert_eq!(same, version(&|it| it["status"]["observedGeneration"] = json!(4)), "what galley writes must not come back as news");
        assert_ne!(same, version(&|it| it["spec"]["exact"] = json!(81)));
        assert_ne!(same, version(&|it| it["metadata"]["labels"]["app"] = json!("other")));
        assert_ne!(same, version(&|it| it["metadata"]["uid"] = json!("u-2")));
        assert_ne!(same, version(&|it| it["status"]["conditions"][1]["status"] = json!("True")));
    }

    #[test]
    fn what_is_no_object_is_told_by_its_name() {
        let carried = Carried::of(&object());
        let packed = |type_url: &str, value: &[u8]| Some(Any { type_url: type_url.to_owned(), value: value.to_vec() });
        let ours = "type.googleapis.com/istio.mcp.v1alpha1.Resource";
        let told = |name: &str, packed: Option<Any>| Carried::read(kind(), name, packed.as_ref()).unwrap_err().to_string();
        assert_eq!(told("shop/web", None), "\"shop/web\" is empty");
        assert_eq!(told("shop/web", packed("other", &carried.body)), "\"shop/web\" can't be unpacked");
        assert_eq!(told("shop/web", packed(ours, &[0xff])), "\"shop/web\" can't be unpacked");
        assert_eq!(told("shop/other", packed(ours, &carried.body)), "\"shop/other\" is \"shop/web\" within");
        let metadata = Some(Metadata { name: "shop/web".to_owned(), ..Metadata::default() });
        let broken = Resource { metadata, body: Some(envoy_api::any(&"{".to_owned())) }.encode_to_vec();
        assert_eq!(told("shop/web", packed(ours, &broken)), "the body of \"shop/web\" is no JSON");
    }
}
