//! What becomes of an object: at the API server with everything that stands behind it, and at `ferromesh validate`.

use anyhow::Context;
use ferromesh_crds::catalog;
use serde_json::Value;
use std::{collections::BTreeSet, env, fmt, path::Path, path::PathBuf, sync::OnceLock};
use tokio::process::Command;

use crate::{Cluster, command::run, project};

/// Who refused an object, in the order in which they look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The API server while it reads: an unknown or repeated field, a kind that there is not.
    Decoding,
    /// The structural schema of the kind.
    Schema,
    /// A CEL rule of the schema.
    Cel,
    /// Galley.
    Webhook,
    /// Somebody else, for example because the namespace is missing.
    Other,
}

/// What becomes of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be stored.
    Accepted,
    /// It may not.
    Refused(Layer, String),
}

// === impl Layer ===

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Decoding => "decoding",
            Self::Schema => "schema",
            Self::Cel => "CEL",
            Self::Webhook => "webhook",
            Self::Other => "other",
        })
    }
}

// === impl Verdict ===

impl Verdict {
    /// The API server's verdict on an object, moved to a namespace: a creation that is a dry run, with strict decoding.
    ///
    /// # Errors
    /// When the API server can't be asked.
    pub async fn of_api_server(cluster: &Cluster, namespace: &str, object: &Value) -> anyhow::Result<Self> {
        let object = moved(object, namespace);
        let Some((kind, url)) = creation(namespace, &object) else {
            return Ok(Self::Refused(Layer::Decoding, "no such kind".to_owned()));
        };
        let request = http::Request::post(url).header("content-type", "application/json").body(serde_json::to_vec(&object)?)?;
        match cluster.client().request::<Value>(request).await {
            Ok(_) => Ok(Self::Accepted),
            Err(kube::Error::Api(status)) => Ok(Self::Refused(layer(kind, status.code, &status.message), status.message.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// The command line's verdict on a file with an object.
    ///
    /// # Errors
    /// When it can't be run, or ends with a code that is no verdict.
    pub async fn of_command_line(file: &Path, object: &Value) -> anyhow::Result<Self> {
        let mut command = Command::new(command_line()?);
        command.args(["validate", "-o", "json", "-f"]).kill_on_drop(true);
        let storable = storable(object);
        let said = if storable == *object {
            command.arg(file);
            run(command, None).await?
        } else {
            command.arg("-");
            run(command, Some(&storable.to_string())).await?
        };
        match said.code {
            Some(0) => Ok(Self::Accepted),
            // Findings, or a file that can't be read as an object.
            Some(79 | 65) => Ok(Self::Refused(Layer::Webhook, said.out)),
            code => anyhow::bail!("ferromesh validate of {} ended with {code:?}: {}", file.display(), said.err),
        }
    }

    /// Whether the object may be stored.
    #[must_use]
    pub fn accepts(&self) -> bool {
        matches!(self, Self::Accepted)
    }
}

/// The object in a namespace of that name. Where it names its own namespace, it names that one.
fn moved(object: &Value, namespace: &str) -> Value {
    fn replace(value: &mut Value, old: &str, new: &str) {
        match value {
            Value::String(text) if text == old => new.clone_into(text),
            Value::Array(items) => items.iter_mut().for_each(|item| replace(item, old, new)),
            Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, old, new)),
            _ => {}
        }
    }
    let mut object = storable(object);
    if let Some(old) = object["metadata"]["namespace"].as_str().map(str::to_owned) {
        replace(&mut object["spec"], &old, namespace);
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

/// The object with a name that Kubernetes allows: tests of the reference never store theirs, and one has a capital in its name.
fn storable(object: &Value) -> Value {
    let mut object = object.clone();
    let name = object["metadata"]["name"].as_str().unwrap_or("e2e-conformance").to_lowercase();
    object["metadata"]["name"] = name.into();
    object
}

/// The kind of an object and where it is created as a dry run.
fn creation(namespace: &str, object: &Value) -> Option<(&'static catalog::Kind, String)> {
    let (group, version) = object["apiVersion"].as_str()?.split_once('/')?;
    let kind = catalog::find(group, object["kind"].as_str()?)?;
    let place = if kind.cluster_scoped { String::new() } else { format!("/namespaces/{namespace}") };
    Some((kind, format!("/apis/{group}/{version}{place}/{}?dryRun=All&fieldValidation=Strict", kind.plural)))
}

fn layer(kind: &'static catalog::Kind, code: u16, message: &str) -> Layer {
    if message.contains("admission webhook") {
        Layer::Webhook
    } else if code == 400 || code == 404 {
        Layer::Decoding
    } else if code != 422 {
        Layer::Other
    } else if rules(kind).iter().any(|rule| message.contains(rule)) {
        Layer::Cel
    } else {
        Layer::Schema
    }
}

/// The messages of the kind's CEL rules.
fn rules(kind: &'static catalog::Kind) -> BTreeSet<&'static str> {
    let (mut found, mut open) = (BTreeSet::new(), vec![kind.schema()]);
    while let Some(schema) = open.pop() {
        let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
        found.extend(rules.filter_map(|rule| rule["message"].as_str().or_else(|| rule["rule"].as_str())));
        open.extend(schema["properties"].as_object().into_iter().flat_map(serde_json::Map::values));
        open.extend(["items", "additionalProperties"].iter().filter_map(|child| schema.get(child)));
    }
    found
}

/// The program `ferromesh`, beside which the tests were built; `FERROMESH` names another.
pub(crate) fn command_line() -> anyhow::Result<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let named = env::var_os("FERROMESH").map(PathBuf::from);
        named.or_else(|| Some(project::target().join("debug/ferromesh"))).filter(|program| program.exists())
    };
    PROGRAM.get_or_init(find).as_deref().context("the program ferromesh is not there: make cli")
}
