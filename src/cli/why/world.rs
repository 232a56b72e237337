//! The mesh that a question is about: a cluster's objects, those of files, or these over those.

use ferromesh_crds::catalog;
use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::core::PartialObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

use super::invent;
use crate::cli::{
    analyze::{self, Key, Stock},
    cluster::Cluster,
    exit::{Exit, Failure},
    input::{self, SourceText},
    manifest::manifests,
    source,
    terminal::Streams,
};
use crate::config::kubernetes::PodView;
use crate::config::{ParseContext, parse_object};
use crate::index::StillCluster;
use crate::model::{MeshConfig, Snapshot};

/// Kubernetes' own kinds that routing depends on: group, version, kind, plural.
const KUBERNETES: [(&str, &str, &str, &str); 5] = [
    ("", "v1", "Service", "services"),
    ("", "v1", "Pod", "pods"),
    ("", "v1", "Node", "nodes"),
    ("", "v1", "ConfigMap", "configmaps"),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
];

/// What a question is asked about.
pub(super) struct World {
    pub(super) snapshot: Arc<Snapshot>,
    /// Of a source that names none.
    pub(super) namespace: String,
}

/// What a cluster holds.
pub(super) struct Live {
    objects: Vec<Value>,
    namespace: String,
    /// What could not be listed, and why.
    missing: Vec<String>,
}

/// What is to be known before objects can be read.
pub(super) struct Setting<'a> {
    /// The namespace of the control plane.
    pub(super) mesh_namespace: &'a str,
    /// The mesh's settings, in place of those of the cluster.
    pub(super) mesh: Option<MeshConfig>,
    /// The namespace of what names none, in place of the context's.
    pub(super) default_namespace: Option<&'a str>,
}

/// Lists what routing depends on.
///
/// # Errors
/// When services or pods can't be listed; without the rest there is an answer, which may be wrong.
pub(super) async fn read(cluster: &Cluster, mesh_namespace: &str) -> Result<Live, Failure> {
    let own = catalog::kinds().iter().filter(|kind| kind.name != "MeshInstall");
    let own = own.filter_map(|kind| Some((kind.group, *kind.versions.first()?, kind.name, kind.plural)));
    let mut live = Live { objects: Vec::new(), namespace: cluster.namespace.clone(), missing: Vec::new() };
    let kinds: Vec<_> = KUBERNETES.into_iter().chain(own).collect();
    let lists = kinds.iter().map(|kind| analyze::list_kind(cluster, *kind, mesh_namespace));
    for ((_, _, kind, _), listed) in kinds.iter().zip(futures::future::join_all(lists).await) {
        match listed {
            Ok(objects) => live.objects.extend(objects),
            Err(failure) if matches!(*kind, "Service" | "Pod") => return Err(failure),
            Err(failure) => live.missing.push(failure.message),
        }
    }
    Ok(live)
}

/// The world of a cluster and of files.
///
/// # Errors
/// When a file can't be read, or holds something that can't be parsed.
pub(super) fn make(
    live: Option<Live>,
    files: &[String],
    recursive: bool,
    setting: &Setting<'_>,
    streams: &mut Streams<'_>,
) -> Result<World, Failure> {
    let context = live.as_ref().map(|live| live.namespace.clone());
    let namespace = setting.default_namespace.map(str::to_owned).or(context).unwrap_or_else(|| "default".to_owned());
    let texts = texts(files, recursive, streams)?;
    let documents: Vec<(&SourceText, Vec<source::Node>)> = texts.iter().map(parsed).collect::<Result<_, _>>()?;
    let mut stock = Stock::default();
    let cluster = live.is_some();
    if let Some(live) = live {
        live.missing.iter().for_each(|told| streams.note(&format!("note: {told}")));
        live.objects.into_iter().for_each(|object| stock.add_live(object));
    }
    for (text, documents) in &documents {
        for manifest in documents.iter().flat_map(manifests) {
            stock.add_file(text, manifest, &namespace);
        }
    }
    if !cluster {
        // Files say which workloads there are to be, not where they run.
        invent::workloads(&stock, setting.mesh_namespace).into_iter().for_each(|object| stock.add_live(object));
    }
    let mut left_out = Vec::new();
    let mesh = setting.mesh.clone().unwrap_or_else(|| analyze::mesh_of(&stock, setting.mesh_namespace, &mut left_out));
    let snapshot = snapshot(&stock, mesh, &mut left_out);
    left_out.iter().for_each(|told| streams.note(&format!("note: {told}")));
    Ok(World { snapshot, namespace })
}

fn texts(files: &[String], recursive: bool, streams: &mut Streams<'_>) -> Result<Vec<SourceText>, Failure> {
    input::texts(files, recursive, streams.stdin).collect()
}

fn parsed(text: &SourceText) -> Result<(&SourceText, Vec<source::Node>), Failure> {
    let (documents, problems) = source::read(&text.text);
    match problems.iter().find(|problem| !problem.duplicate) {
        None => Ok((text, documents)),
        Some(problem) => Err(Failure::new(Exit::Unreadable, format_args!("{}: {}", text.name, problem.message))),
    }
}

fn snapshot(stock: &Stock<'_>, mesh: MeshConfig, left_out: &mut Vec<String>) -> Arc<Snapshot> {
    let context = ParseContext::default();
    let mut cluster = StillCluster::new(mesh);
    for (key, item) in stock.iter() {
        let value = &item.value;
        match (key.group.as_str(), key.kind.as_str()) {
            ("", "Service") => _ = typed::<Service>(key, value, left_out).map(|it| cluster.add_service(&it, &context.cluster_domain)),
            ("", "Pod") => _ = typed::<PodView>(key, value, left_out).map(|it| cluster.add_pod(&it)),
            ("", "Node") => _ = typed::<PartialObjectMeta<Node>>(key, value, left_out).map(|it| cluster.add_node(&it)),
            ("discovery.k8s.io", "EndpointSlice") => {
                _ = typed::<EndpointSlice>(key, value, left_out).map(|it| cluster.add_slice(&it));
            }
            (group, kind) => {
                let Some(known) = catalog::find(group, kind).filter(|known| known.name != "MeshInstall") else { continue };
                match parse_object(known.group, known.name, value, &context) {
                    Ok(parsed) => cluster.add_config(parsed.value),
                    Err(invalid) => left_out.push(format!("{kind} {}/{} is left out: {invalid}", key.namespace, key.name)),
                }
            }
        }
    }
    cluster.snapshot()
}

fn typed<T: DeserializeOwned>(key: &Key, value: &Value, left_out: &mut Vec<String>) -> Option<T> {
    serde_json::from_value(value.clone())
        .inspect_err(|error| left_out.push(format!("{} {}/{} is left out: {error}", key.kind, key.namespace, key.name)))
        .ok()
}
