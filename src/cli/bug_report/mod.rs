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
use std::{fs, io, path::PathBuf, time::Duration};

use self::redact::{redacted, redacted_text};
use super::{
    cluster::{Cluster, ClusterArgs, MeshArgs, ask},
    exit::{Exit, Failure},
    install::{Id, timeout},
    proxy::{Pilots, Pods},
    report::{self, counted},
    terminal::Streams,
};

/// Write a folder with what somebody needs who is to help: objects, events, logs and checks, without any Secret
#[derive(Args, Debug)]
#[command(after_help = "\
What can't be read is left out, and listed in missing.txt. Tokens, passwords and private keys in what is written are blotted out; look at it
before you hand it on all the same.
Exit codes: 0 written, 1 the folder can't be written, 69 no cluster, 75 not in time.

Examples:
  ferromesh bug-report
  ferromesh bug-report -d report --tail 500
  ferromesh bug-report -n shop")]
pub(super) struct BugReportArgs {
    /// The folder; it must not be there yet
    #[arg(short, long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// Add pods, events and proxies' logs of this namespace; it can be named several times
    #[arg(short, long, value_name = "NAMESPACE")]
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
    missing: Vec<String>,
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
/// The mesh's own ConfigMaps.
const CONFIG_MAPS: [&str; 3] = ["istio", "istio-sidecar-injector", "istio-ca-root-cert"];

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
        fs::create_dir(&directory).map_err(|error| failed(&error))?;
        let mut found = ask(self.timeout, self.collect()).inspect_err(|_| drop(fs::remove_dir(&directory)))?;
        if !found.missing.is_empty() {
            found.files.push(File { name: "missing.txt".to_owned(), text: found.missing.join("\n") + "\n" });
        }
        for File { name, text } in &found.files {
            let path = directory.join(name);
            let folder = path.parent().unwrap_or(&directory);
            fs::create_dir_all(folder).and_then(|()| fs::write(&path, text)).map_err(|error| failed(&error))?;
        }
        let missing = if found.missing.is_empty() { String::new() } else { format!(", {} left out: missing.txt", found.missing.len()) };
        streams.answered(&format!("{} in {}{missing}\n", counted(found.files.len(), "file"), directory.display()))
    }

    async fn collect(&self) -> Result<Found, Failure> {
        let cluster = self.cluster.connect().await?;
        let mut found = Found::default();
        found.add("version.txt", Ok(format!("ferromesh {}\n", env!("CARGO_PKG_VERSION"))));
        let own = catalog::kinds().iter().map(|kind| (kind.group, kind.versions[0], kind.name));
        for kind in OF_CLUSTER.into_iter().chain(own) {
            found.objects(&cluster, kind, None).await;
        }
        let mut namespaces = vec![self.mesh.namespace.clone(), "ferromesh-system".to_owned()];
        namespaces.extend(self.namespace.iter().cloned());
        for namespace in &namespaces {
            for kind in OF_NAMESPACE {
                found.objects(&cluster, kind, Some(namespace)).await;
            }
            found.logs(&cluster, namespace, self.tail, self.namespace.contains(namespace)).await;
        }
        found.config_maps(&cluster, &self.mesh.namespace).await;
        let pods = Pods::new(cluster.client.clone());
        let standing = async { Pilots::find(&pods, &self.mesh.namespace).await?.standing().await }.await;
        found.add("proxies.txt", standing.map(|all| all.iter().map(|proxy| format!("{proxy:?}\n")).collect()));
        Ok(found)
    }
}

// === impl Found ===

impl Found {
    fn add(&mut self, name: &str, text: Result<String, Failure>) {
        match text {
            Ok(text) => self.files.push(File { name: name.to_owned(), text }),
            Err(failure) => self.missing.push(format!("{name}: {}", failure.message)),
        }
    }

    /// All objects of a kind, in a namespace or in all.
    async fn objects(&mut self, cluster: &Cluster, (group, version, kind): (&str, &str, &str), namespace: Option<&str>) {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let id = Id { api_version, kind: kind.to_owned(), namespace: namespace.map(str::to_owned), name: String::new() };
        let name = format!("{}/{}.yaml", namespace.unwrap_or("cluster"), kind.to_ascii_lowercase());
        match id.api(&cluster.client).list(&ListParams::default()).await {
            Ok(list) if list.items.is_empty() => {}
            Ok(list) => self.add(&name, Ok(documents(list.items))),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => self.add(&name, Err(Failure::cluster(format_args!("list {kind}s"), &error))),
        }
    }

    async fn config_maps(&mut self, cluster: &Cluster, namespace: &str) {
        for map in CONFIG_MAPS {
            let [api_version, kind, name] = ["v1", "ConfigMap", map].map(str::to_owned);
            let id = Id { api_version, kind, namespace: Some(namespace.to_owned()), name };
            let file = format!("{namespace}/configmap-{map}.yaml");
            match id.read(&cluster.client).await {
                Ok(Some(object)) => self.add(&file, Ok(document(object))),
                Ok(None) => {}
                Err(failure) => self.add(&file, Err(failure)),
            }
        }
    }

    /// The logs of all containers of a namespace, or of proxies alone: what applications log is their owners'.
    async fn logs(&mut self, cluster: &Cluster, namespace: &str, tail: i64, proxies_alone: bool) {
        let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        let pods = match api.list(&ListParams::default()).await {
            Ok(pods) => pods.items,
            Err(error) => return self.missing.push(Failure::cluster(format_args!("list pods of {namespace}"), &error).message),
        };
        for pod in pods {
            let spec = pod.spec.clone().unwrap_or_default();
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            for container in containers.filter(|container| !proxies_alone || container.name.starts_with("istio-")) {
                let params =
                    LogParams { container: Some(container.name.clone()), tail_lines: Some(tail), timestamps: true, ..LogParams::default() };
                let log = api.logs(&pod.name_any(), &params).await;
                let log = log.map(|text| redacted_text(&text)).map_err(|error| Failure::cluster("read the log", &error));
                self.add(&format!("{namespace}/logs/{}-{}.log", pod.name_any(), container.name), log);
            }
        }
    }
}

fn documents(objects: Vec<DynamicObject>) -> String {
    objects.into_iter().map(|object| document(serde_json::to_value(object).unwrap_or_default())).collect()
}

fn document(mut object: Value) -> String {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    format!("---\n{}", report::document(&redacted(object), true))
}
