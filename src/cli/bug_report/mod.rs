//! `ferromesh bug-report`: what somebody needs to see who is to help, in a folder: objects, events, logs, how proxies stand, and the checks.
//!
//! Secrets are not read. What is written has passed [`redact`], because objects and logs may hold what should not leave the cluster.

mod redact;
#[cfg(test)]
mod tests;

use clap::Args;
use ferromesh_crds::catalog;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
    core::DynamicObject,
};
use serde_json::Value;
use std::{collections::BTreeSet, fs, io, path::PathBuf, time::Duration};

use self::redact::{redacted, redacted_text, without_variables};
use super::{
    cluster::{Cluster, ClusterArgs, MeshArgs, ask, namespace},
    exit::{Exit, Failure},
    install::{Id, meshes, operator_namespace, timeout},
    proxy::{Pilots, Pods},
    report::{self, counted},
    terminal::Streams,
};
use crate::model::of_revision;
use crate::runtime::list_all;

/// Write a folder with what somebody needs who is to help: objects, events, logs and checks, without any Secret
#[derive(Args, Debug)]
#[command(after_help = "\
What can't be read is left out, and listed in missing.txt; if nothing can, that is an error. Tokens, passwords and private keys in what is
written are blotted out, and so are the values of all variables of applications; look at it before you hand it on all the same.
Exit codes: 0 written, 1 the folder can't be written, 69 no cluster, 75 not in time, 77 nothing may be read.

Examples:
  ferromesh bug-report
  ferromesh bug-report -d report --tail 500
  ferromesh bug-report -n shop")]
pub(super) struct BugReportArgs {
    /// The folder; it must not be there yet
    #[arg(short, long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// Add pods, events and proxies' logs of this namespace; it can be named several times
    #[arg(short, long, value_name = "NAMESPACE", value_parser = namespace)]
    namespace: Vec<String>,
    /// How many lines of each log
    #[arg(long, default_value_t = 2000, value_name = "LINES")]
    tail: i64,
    #[command(flatten)]
    mesh: MeshArgs,
    /// How long it may take
    #[arg(long, default_value = "5m", value_parser = timeout, value_name = "TIME", help_heading = "Cluster")]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A file of the report.
struct File {
    name: String,
    text: String,
}

/// What was found, and what could not be read.
#[derive(Default)]
struct Found {
    files: Vec<File>,
    missing: Vec<Failure>,
    /// Whether the cluster has answered anything that was asked.
    read: bool,
}

/// Kinds of the whole cluster, and of all namespaces: group, version, kind. No Secrets, and of ConfigMaps the mesh's own alone.
const OF_CLUSTER: [(&str, &str, &str); 5] = [
    ("", "v1", "Node"),
    ("", "v1", "Namespace"),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
];
/// Kinds of each namespace that is looked at.
const OF_NAMESPACE: [(&str, &str, &str); 8] = [
    ("", "v1", "Pod"),
    ("", "v1", "Service"),
    ("", "v1", "Event"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "DaemonSet"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("discovery.k8s.io", "v1", "EndpointSlice"),
];
/// The mesh's own ConfigMaps, which are there for each revision, and the root's.
const CONFIG_MAPS: [&str; 2] = ["istio", "istio-sidecar-injector"];
const ROOT: &str = "istio-ca-root-cert";

/// The namespaces that are looked at, and what is read there by name.
struct Places {
    /// The mesh's, the operator's and the nodes' part's.
    own: BTreeSet<String>,
    /// Those that were asked for beside them.
    others: BTreeSet<String>,
    /// What no list of [`OF_NAMESPACE`] has.
    named: BTreeSet<Id>,
}

// === impl BugReportArgs ===

impl BugReportArgs {
    /// Writes the folder.
    ///
    /// # Errors
    /// When it can't be written, or the cluster can't be asked.
    pub(super) fn run(&self, streams: &mut Streams<'_>, now: i64) -> Result<Exit, Failure> {
        let directory = self.directory.clone().unwrap_or_else(|| PathBuf::from(format!("ferromesh-bug-report-{now}")));
        let failed = |error: &io::Error| Failure::new(Exit::Failed, format_args!("can't write {}: {error}", directory.display()));
        // Before anything is asked: a folder that is there may be somebody's.
        fs::create_dir(&directory).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let told = format_args!("{} is there already, and stays as it is: name another folder, -d FOLDER", directory.display());
                Failure::usage(told)
            }
            _ => failed(&error),
        })?;
        let mut found = ask(self.timeout, self.collect()).inspect_err(|_| drop(fs::remove_dir(&directory)))?;
        if !found.missing.is_empty() {
            let text = found.missing.iter().map(|failure| failure.message.clone() + "\n").collect();
            found.files.push(File { name: "missing.txt".to_owned(), text });
        }
        for File { name, text } in &found.files {
            let path = directory.join(name);
            let folder = path.parent().unwrap_or(&directory);
            fs::create_dir_all(folder).and_then(|()| fs::write(&path, text)).map_err(|error| failed(&error))?;
        }
        let missing = if found.missing.is_empty() { String::new() } else { format!(", {} left out: missing.txt", found.missing.len()) };
        let exit = streams.answered(&format!("{} in {}{missing}\n", counted(found.files.len(), "file"), directory.display()))?;
        found.nothing_read().map_or(Ok(exit), Err)
    }

    async fn collect(&self) -> Result<Found, Failure> {
        let cluster = self.cluster.connect().await?;
        let mut found = Found::default();
        found.files.push(File { name: "version.txt".to_owned(), text: format!("ferromesh {}\n", env!("CARGO_PKG_VERSION")) });
        let own = catalog::kinds().iter().map(|kind| (kind.group, kind.versions[0], kind.name));
        for kind in OF_CLUSTER.into_iter().chain(own) {
            found.objects(&cluster, kind, None, false).await;
        }
        let places = self.places(&cluster).await;
        for namespace in places.own.union(&places.others) {
            let foreign = places.others.contains(namespace);
            for kind in OF_NAMESPACE {
                found.objects(&cluster, kind, Some(namespace), foreign).await;
            }
            found.logs(&cluster, namespace, self.tail, foreign).await;
        }
        for id in &places.named {
            found.named(&cluster, id).await;
        }
        let pods = Pods::new(cluster.client.clone());
        let standing = async { Pilots::find(&pods, &self.mesh.namespace).await?.standing().await }.await;
        found.add("proxies.txt", standing.map(|all| all.iter().map(|proxy| format!("{proxy:?}\n")).collect()));
        Ok(found)
    }

    /// Where the mesh is, by its MeshInstalls as far as they can be read: each has in its status what it is made of, and in which namespaces.
    async fn places(&self, cluster: &Cluster) -> Places {
        let meshes = meshes(&cluster.client).await.unwrap_or_default();
        let operator = operator_namespace(&cluster.client).await.ok().flatten();
        let mut own = BTreeSet::from([self.mesh.namespace.clone(), operator.unwrap_or_else(|| "ferromesh-system".to_owned())]);
        let map = |namespace: &str, name: String| {
            let [api_version, kind] = ["v1", "ConfigMap"].map(str::to_owned);
            Id { api_version, kind, namespace: Some(namespace.to_owned()), name }
        };
        let usual = CONFIG_MAPS.into_iter().chain([ROOT]).map(|name| map(&self.mesh.namespace, name.to_owned()));
        let mut named: BTreeSet<Id> = usual.collect();
        for mesh in &meshes {
            let (namespace, revision) = (mesh.spec.namespace(), mesh.spec.revision());
            own.insert(namespace.to_owned());
            named.extend(CONFIG_MAPS.map(|name| map(namespace, of_revision(name, revision))));
            named.insert(map(namespace, ROOT.to_owned()));
            let inventory = mesh.status.iter().flat_map(|status| status.inventory.clone());
            for entry in inventory {
                own.extend(entry.namespace.clone());
                named.insert(Id { api_version: entry.api_version, kind: entry.kind, namespace: entry.namespace, name: entry.name });
            }
        }
        named.retain(|id| !is_listed(id) && id.kind != "Secret");
        let others = self.namespace.iter().filter(|name| !own.contains(*name)).cloned().collect();
        Places { own, others, named }
    }
}

/// Whether an object is in one of the lists that are written whole.
fn is_listed(id: &Id) -> bool {
    let group = id.api_version.split_once('/').map_or("", |(group, _)| group);
    let listed = OF_CLUSTER.into_iter().chain(OF_NAMESPACE).any(|(of, _, kind)| of == group && kind == id.kind);
    listed || catalog::find(group, &id.kind).is_some()
}

// === impl Found ===

impl Found {
    fn add(&mut self, name: &str, text: Result<String, Failure>) {
        match text {
            Ok(text) => {
                self.read = true;
                self.files.push(File { name: name.to_owned(), text });
            }
            Err(Failure { exit, message }) => self.missing.push(Failure::new(exit, format_args!("{name}: {message}"))),
        }
    }

    /// Why a report is of no use in which nothing is that the cluster has told, by the first thing that was refused: all the others mostly
    /// have the same cause.
    fn nothing_read(&self) -> Option<Failure> {
        let first = self.missing.first().filter(|_| !self.read)?;
        let remedy = match first.exit {
            Exit::Forbidden => "name a user who may read it, by --context or --as",
            _ => "see that kubectl cluster-info answers with the same kubeconfig",
        };
        Some(Failure::new(first.exit, format_args!("nothing of the cluster could be read: {}: {remedy}", first.message)))
    }

    /// All objects of a kind, in a namespace or in all; `foreign` tells that they are applications'.
    async fn objects(&mut self, cluster: &Cluster, (group, version, kind): (&str, &str, &str), namespace: Option<&str>, foreign: bool) {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let id = Id { api_version, kind: kind.to_owned(), namespace: namespace.map(str::to_owned), name: String::new() };
        let name = format!("{}/{}.yaml", namespace.unwrap_or("cluster"), kind.to_ascii_lowercase());
        match list_all(&id.api(&cluster.client), &ListParams::default()).await {
            Ok(objects) if objects.is_empty() => self.read = true,
            Ok(objects) => self.add(&name, Ok(objects.into_iter().map(|object| written(object, foreign)).collect())),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => self.add(&name, Err(Failure::cluster(format_args!("list {kind}s"), &error))),
        }
    }

    /// One object, in a file of its own.
    async fn named(&mut self, cluster: &Cluster, id: &Id) {
        let folder = id.namespace.as_deref().unwrap_or("cluster");
        let file = format!("{folder}/{}-{}.yaml", id.kind.to_ascii_lowercase(), id.name);
        match id.read(&cluster.client).await {
            Ok(Some(object)) => self.add(&file, Ok(document(object))),
            Ok(None) => {}
            Err(failure) => self.add(&file, Err(failure)),
        }
    }

    /// The logs of all containers of a namespace, or of proxies alone: what applications log is their owners'.
    async fn logs(&mut self, cluster: &Cluster, namespace: &str, tail: i64, foreign: bool) {
        let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        let pods = match list_all(&api, &ListParams::default()).await {
            Ok(pods) => pods,
            Err(error) => return self.missing.push(Failure::cluster(format_args!("list pods of {namespace}"), &error)),
        };
        for pod in pods {
            let spec = pod.spec.clone().unwrap_or_default();
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            for container in containers.filter(|container| !foreign || container.name.starts_with("istio-")) {
                let params =
                    LogParams { container: Some(container.name.clone()), tail_lines: Some(tail), timestamps: true, ..LogParams::default() };
                let log = api.logs(&pod.name_any(), &params).await;
                let log = log.map(|text| redacted_text(&text)).map_err(|error| Failure::cluster("read the log", &error));
                self.add(&format!("{namespace}/logs/{}-{}.log", pod.name_any(), container.name), log);
            }
        }
    }
}

fn written(object: DynamicObject, foreign: bool) -> String {
    let object = serde_json::to_value(object).unwrap_or_default();
    document(if foreign { without_variables(object) } else { object })
}

fn document(mut object: Value) -> String {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    format!("---\n{}", report::document(&redacted(object), true))
}
