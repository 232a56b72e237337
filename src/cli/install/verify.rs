//! `ferromesh verify-install`: is each object of an installation there, as it was applied, and ready? And before one: can there be one?

use clap::Args;
use ferromesh_crds::catalog;
use futures::{StreamExt, stream};
use kube::Client;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::{
    cluster::{self, timeout},
    difference::without_traces,
    generated::as_in_cluster,
    istio::flag,
    manifest::{objects_of, refused},
    object::Id,
};
use crate::cli::{
    check::Precheck,
    cluster::{ClusterArgs, ask},
    exit::{Exit, Failure},
    proxy::Table,
    report::{self, Form, counted},
    terminal::{Streams, Style},
};
use crate::config::kubernetes::quantity;
use crate::operator::{Difference, generate_for, missing};

/// Verify that each object of an installation is there, as it was applied, and ready; before one, that the mesh can be installed
#[derive(Args, Debug)]
#[command(arg = flag("enableVerbose"), after_help = "\
Without a file, the objects of the cluster's MeshInstalls are verified. With a MeshInstall go the CRDs of all kinds: are they served?
Without a file and a MeshInstall, it is checked whether the mesh can be installed, as by ferromesh check --before.
Exit codes: 0 all are as they should be, 79 some are not, 65 a file can't be parsed, 69 no cluster, 77 forbidden.

Examples:
  ferromesh verify-install
  ferromesh verify-install -f mesh-objects.yaml
  ferromesh verify-install -f - -o json")]
pub(in crate::cli) struct VerifyArgs {
    /// A file with objects, for example of manifest generate; - for standard input
    #[arg(short, long, value_name = "FILE", visible_alias = "file")]
    filename: Vec<String>,
    /// Of directories, take the files of those in them, too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
    /// How long the cluster may take
    #[arg(long, default_value = "60s", value_parser = timeout, value_name = "TIME", help_heading = "Cluster")]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How an object stands. `ferromesh verify-install` answers with a list of them.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Verification {
    /// The object, for example `Deployment istio-system/istio-pilot`.
    object: String,
    /// All of it in one word.
    state: State,
    /// What is missing; null if nothing is.
    message: Option<String>,
    /// The fields that are not as they were applied: `from` is what was applied, `to` what is there.
    differences: Vec<Difference>,
}

/// How an object stands, in one word.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// It is there, as it was applied, and ready, if it is of a kind that can be.
    Ok,
    /// It is not there.
    Missing,
    /// It lacks fields that were applied, or has others.
    Differs,
    /// It is as it was applied, and not ready.
    NotReady,
    /// It can't be read.
    Unknown,
}

/// What there is to be told of a cluster.
enum Looked {
    /// How the objects stand.
    Installed(Vec<Verification>),
    /// Whether there can be any: the cluster has no MeshInstall.
    Before(Precheck),
}

/// 1.4's last line of a cluster in which nothing is installed, by which scripts know that something can be.
const PASSED: &str = "Install Pre-Check passed! The cluster is ready for Istio installation.";
/// The kind of what makes objects an installation.
const MESH: &str = "MeshInstall";
/// Questions that are under way at once.
const AT_ONCE: usize = 8;

// === impl VerifyArgs ===

impl VerifyArgs {
    /// Verifies, and tells of each object.
    ///
    /// # Errors
    /// When a file can't be read, or the cluster not be asked.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style, now: i64) -> Result<Exit, Failure> {
        let given = objects_of(&self.filename, self.recursive, streams)?;
        if given.is_empty() && !self.filename.is_empty() {
            return Err(Failure::new(Exit::Unreadable, format_args!("{} has no objects to verify", self.filename.join(", "))));
        }
        let looked = ask(self.timeout, async {
            let cluster = self.cluster.connect().await?;
            let given = match given.is_empty() {
                false => as_in_cluster(&cluster.client, given).await?,
                true => match of_cluster(&cluster.client).await? {
                    Some(objects) => objects,
                    None => return Ok(Looked::Before(Precheck::of(&cluster, now).await?)),
                },
            };
            let wanted = with_crds(given).into_iter().map(|object| verify(&cluster.client, &cluster.namespace, object));
            Ok(Looked::Installed(stream::iter(wanted).buffered(AT_ONCE).collect().await))
        })?;
        match looked {
            Looked::Installed(found) => self.answer(&found, streams, style),
            Looked::Before(precheck) => {
                let exit = precheck.answer(self.output, PASSED, streams, style);
                streams.note("note: there is no MeshInstall, so it was checked whether one can be installed");
                exit
            }
        }
    }

    fn answer(&self, found: &[Verification], streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        let told = match self.output {
            Form::Human => human(found, style),
            form => report::document(&found, form == Form::Yaml),
        };
        streams.answered(&told)?;
        if found.iter().all(|one| one.state == State::Ok) {
            return Ok(Exit::Clean);
        }
        streams.note(&format!(
            "error: {} not as they should be",
            counted(found.iter().filter(|one| one.state != State::Ok).count(), "object")
        ));
        Ok(Exit::Findings)
    }
}

/// The objects of the cluster's installation: its MeshInstalls, and what the operator applies for them. None without a MeshInstall.
async fn of_cluster(client: &Client) -> Result<Option<Vec<Value>>, Failure> {
    let meshes = cluster::meshes(client).await?;
    if meshes.is_empty() {
        return Ok(None);
    }
    let operator = cluster::operator(client).await?.ok_or_else(|| {
        Failure::new(Exit::Failed, "no operator runs in the cluster, so its images are not known: name the objects with -f FILE")
    })?;
    let mut all = Vec::new();
    for mesh in &meshes {
        let objects = generate_for(mesh, &meshes, &operator.images, &operator.namespace).map_err(|problems| refused(&problems))?;
        let own = serde_json::to_value(mesh).unwrap_or_default();
        // Where nobody here knows how its objects should be, the MeshInstall alone tells.
        all.extend(std::iter::once(without_traces(own)).chain(objects.unwrap_or_default()));
    }
    Ok(Some(all))
}

/// The objects, and with a MeshInstall all CRDs, which are there before it and which no manifest has. How new they are `check` tells.
fn with_crds(mut objects: Vec<Value>) -> Vec<Value> {
    const CRD: &str = "CustomResourceDefinition";
    if objects.iter().any(|object| object["kind"] == MESH) {
        let crd = |name: String| json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": CRD, "metadata": {"name": name}});
        let given = |name: &String| objects.iter().any(|object| object["kind"] == CRD && object["metadata"]["name"] == *name);
        let names = catalog::kinds().iter().map(catalog::Kind::crd_name);
        let crds: Vec<Value> = names.filter(|name| !given(name)).map(crd).collect();
        objects.extend(crds);
    }
    objects
}

async fn verify(client: &Client, namespace: &str, wanted: Value) -> Verification {
    let Some(id) = Id::of(&wanted, namespace) else {
        return Verification { object: "?".to_owned(), state: State::Unknown, message: None, differences: Vec::new() };
    };
    let verification = |state, message: Option<String>, differences| Verification { object: id.to_string(), state, message, differences };
    match id.read(client).await {
        Err(failure) => verification(State::Unknown, Some(failure.message), Vec::new()),
        Ok(None) => verification(State::Missing, Some("is not there".to_owned()), Vec::new()),
        Ok(Some(live)) => {
            let lacking = lacking(&wanted, &live);
            let named: Vec<String> = lacking.iter().map(|one| one.path.clone()).collect();
            match (named.is_empty(), readiness(&live)) {
                (false, _) => verification(State::Differs, Some(format!("not as it was applied: {}", named.join(", "))), lacking),
                (true, Some(Err(reason))) => verification(State::NotReady, Some(reason), lacking),
                (true, _) => verification(State::Ok, None, lacking),
            }
        }
    }
}

/// The fields of an object that the live one has not, or not so. What only the live one has is the API server's, or somebody else's.
fn lacking(wanted: &Value, live: &Value) -> Vec<Difference> {
    let mut wanted = wanted.clone();
    if let Some(fields) = wanted.as_object_mut() {
        fields.remove("status");
    }
    // What was applied comes first here, what is there second.
    let applied_first = |Difference { path, from, to }| Difference { path, from: to, to: from };
    missing(&wanted, live).into_iter().filter(|one| !same_quantity(one)).map(applied_first).collect()
}

/// Whether both sides are the same quantity of a resource, written in two ways.
pub(super) fn same_quantity(one: &Difference) -> bool {
    match (&one.from, &one.to) {
        (Some(Value::String(from)), Some(Value::String(to))) => {
            is_of_resources(&one.path) && quantity(from).is_some_and(|from| quantity(to) == Some(from))
        }
        _ => false,
    }
}

fn is_of_resources(path: &str) -> bool {
    path.contains("resources.limits") || path.contains("resources.requests")
}

/// Whether an object is ready, and why not; none for kinds that are as soon as they are there.
pub(super) fn readiness(object: &Value) -> Option<Result<(), String>> {
    let count = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let enough = |ready: i64, wanted: i64| {
        let seen = count("/status/observedGeneration") >= count("/metadata/generation");
        if ready >= wanted && seen { Ok(()) } else { Err(format!("{ready} of {wanted} pods are ready")) }
    };
    let replicas = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    Some(match object["kind"].as_str()? {
        // With none to be ready all would be; and yet nobody does a part's work.
        "Deployment" if replicas == 0 && is_of_mesh(object) => Err("scaled to 0".to_owned()),
        "Deployment" => enough(count("/status/availableReplicas").min(count("/status/updatedReplicas")), replicas),
        "StatefulSet" => enough(count("/status/readyReplicas"), replicas),
        "DaemonSet" => {
            enough(count("/status/numberAvailable").min(count("/status/updatedNumberScheduled")), count("/status/desiredNumberScheduled"))
        }
        MESH | "Pod" => condition(object, "Ready"),
        "CustomResourceDefinition" => condition(object, "Established"),
        "Job" => condition(object, "Complete"),
        _ => return None,
    })
}

/// Whether an object is of the control plane, or of its gateways or addons: what the operator makes.
fn is_of_mesh(object: &Value) -> bool {
    object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "ferromesh-operator"
}

/// Whether a condition holds, for the object as it is now.
pub(super) fn condition(object: &Value, type_: &str) -> Result<(), String> {
    let all = object["status"]["conditions"].as_array();
    let Some(found) = all.into_iter().flatten().find(|condition| condition["type"] == type_) else {
        return Err(format!("its condition {type_} is not known yet"));
    };
    let current = found["observedGeneration"].as_i64().is_none_or(|seen| seen >= object["metadata"]["generation"].as_i64().unwrap_or(0));
    match (found["status"] == "True", current) {
        (true, true) => Ok(()),
        (true, false) => Err("its change has not been seen yet".to_owned()),
        (false, _) => {
            let told = [&found["reason"], &found["message"]].map(|text| text.as_str().unwrap_or_default());
            Err(told.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": "))
        }
    }
}

fn human(found: &[Verification], style: Style) -> String {
    let mut table = Table::new(&["OBJECT", "STATE", "MESSAGE"]);
    for one in found {
        table.row([one.object.clone(), one.state.word().to_owned(), one.message.clone().unwrap_or_default()]);
    }
    let right = found.iter().filter(|one| one.state == State::Ok).count();
    let (mark, all) = if right == found.len() {
        (style.good(), counted(right, "object"))
    } else {
        (style.bad(), format!("{right} of {}", counted(found.len(), "object")))
    };
    format!("{}{mark} {all} there, as applied and ready\n{}", table.shown(), summary(found))
}

/// 1.4's last lines, by which scripts know that all is well with an installation.
fn summary(found: &[Verification]) -> String {
    let count = |kind: &str| found.iter().filter(|one| one.object.split(' ').next() == Some(kind)).count();
    if count(MESH) == 0 || found.iter().any(|one| one.state != State::Ok) {
        return String::new();
    }
    let (crds, deployments) = (count("CustomResourceDefinition"), count("Deployment"));
    format!("Checked {crds} crds\nChecked {deployments} Istio Deployments\nIstio is installed successfully\n")
}

// === impl State ===

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::NotReady => "not ready",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_compared_by_what_they_amount_to() {
        let resources = |cpu: &str| json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": cpu}}}]}});
        for (one, other) in [("2000m", "2"), ("1024Mi", "1Gi"), ("0.5", "500m"), ("1k", "1000")] {
            assert_eq!(lacking(&resources(one), &resources(other)), []);
        }
        assert_eq!(lacking(&resources("1Mi"), &resources("1M")).len(), 1);
        assert_eq!(lacking(&resources("2000m"), &resources("3")).len(), 1);
        let label = |text: &str| json!({"metadata": {"labels": {"version": text}}});
        assert_eq!(lacking(&label("1.0"), &label("1")).len(), 1, "texts are no quantities");
    }

    #[test]
    fn what_others_add_is_as_applied() {
        assert_eq!(lacking(&json!({"spec": {"a": 1}}), &json!({"spec": {"a": 1, "b": 2}, "status": {"x": 1}})), []);
        assert_eq!(lacking(&json!({"spec": {"a": 1}}), &json!({"spec": {}}))[0].path, "spec.a");
    }

    #[test]
    fn kinds_that_can_be_ready_say_why_they_are_not() {
        let deployment = |available: i64, seen: i64| {
            json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 2},
                "status": {"availableReplicas": available, "updatedReplicas": 2, "observedGeneration": seen}})
        };
        assert_eq!(readiness(&deployment(2, 2)), Some(Ok(())));
        assert_eq!(readiness(&deployment(1, 2)), Some(Err("1 of 2 pods are ready".to_owned())));
        assert!(readiness(&deployment(2, 1)).unwrap().is_err(), "a change that nobody has seen");
        let mut none = deployment(0, 2);
        none["spec"]["replicas"] = json!(0);
        assert_eq!(readiness(&none), Some(Ok(())), "an application may rest");
        none["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "ferromesh-operator"});
        assert_eq!(readiness(&none), Some(Err("scaled to 0".to_owned())));
        let mesh = |status: &str| {
            json!({"kind": "MeshInstall", "metadata": {"generation": 1}, "status": {"conditions": [
            {"type": "Ready", "status": status, "reason": "Progressing", "message": "istio-galley: waiting", "observedGeneration": 1}]}})
        };
        assert_eq!(readiness(&mesh("True")), Some(Ok(())));
        assert_eq!(readiness(&mesh("False")), Some(Err("Progressing: istio-galley: waiting".to_owned())));
        assert_eq!(readiness(&json!({"kind": "Service"})), None);
    }
}
