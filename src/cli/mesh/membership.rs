//! `ferromesh experimental add-to-mesh` and `remove-from-mesh`: running workloads into the mesh and out of it, by their templates.

use clap::{Args, Subcommand};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::time::Duration;

use super::external::{ExternalArgs, ExternalRemovalArgs};
use crate::cli::{
    cluster::{Cluster, ClusterArgs, MeshArgs, ask, namespace},
    exit::{Exit, Failure},
    inject::{Configuration, Object, Outcome, injected, plain},
    terminal::{Streams, harmless},
    workload::WorkloadKind,
};
use crate::runtime::list_all;

/// How long all the questions may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Bring workloads that run into the mesh, or a service from outside
#[derive(Args, Debug)]
#[command(after_help = "\
Templates are changed as kube-inject changes them, so pods are replaced. Without --yes it is only told what would change.
Exit codes: 0 told or done, also if there was nothing to do; 69 no cluster, 77 forbidden.

Examples:
  ferromesh experimental add-to-mesh service reviews -n shop --yes
  ferromesh x add-to-mesh deployment reviews-v1 -n shop
  ferromesh x add-to-mesh external-service vm 10.0.0.1 http:9080 -n shop --yes")]
pub(in crate::cli) struct AddToMeshArgs {
    #[command(subcommand)]
    target: AddTarget,
}

/// Take workloads that run out of the mesh, or a service from outside
#[derive(Args, Debug)]
#[command(after_help = "\
In a namespace that is labelled for injection new pods get a sidecar all the same: label it, or the template, otherwise.
Exit codes: 0 told or done, also if there was nothing to do; 69 no cluster, 77 forbidden.

Examples:
  ferromesh experimental remove-from-mesh service reviews -n shop --yes
  ferromesh x remove-from-mesh deployment reviews-v1 -n shop
  ferromesh x remove-from-mesh external-service vm -n shop --yes")]
pub(in crate::cli) struct RemoveFromMeshArgs {
    #[command(subcommand)]
    target: RemoveTarget,
}

#[derive(Debug, Subcommand)]
enum AddTarget {
    /// The Deployments behind a Service
    Service(MemberArgs),
    /// One Deployment
    Deployment(MemberArgs),
    /// A service that runs elsewhere, by its addresses
    ExternalService(ExternalArgs),
}

#[derive(Debug, Subcommand)]
enum RemoveTarget {
    /// The Deployments behind a Service
    Service(MemberArgs),
    /// One Deployment
    Deployment(MemberArgs),
    /// A service that runs elsewhere
    ExternalService(ExternalRemovalArgs),
}

/// What is brought in or taken out.
#[derive(Args, Debug)]
struct MemberArgs {
    /// Its name
    name: String,
    /// Its namespace
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    /// The control plane's revision
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "REVISION")]
    revision: String,
    /// Change it; without this it is only told what would change
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    mesh: MeshArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A Deployment, and what becomes of its template.
struct Change {
    name: String,
    namespace: String,
    version: Option<String>,
    outcome: Outcome,
}

// === impl AddToMeshArgs ===

impl AddToMeshArgs {
    /// Tells what changes, and changes it if that was asked for.
    ///
    /// # Errors
    /// When the cluster can't be asked, there is no such object, or a template can't be injected.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let (args, service) = match &self.target {
            AddTarget::Service(args) => (args, true),
            AddTarget::Deployment(args) => (args, false),
            AddTarget::ExternalService(args) => return args.run(streams),
        };
        let (configuration, notes) = Configuration::of_cluster(&args.cluster, &args.mesh.namespace, &args.revision)?;
        notes.iter().for_each(|note| streams.note(&format!("note: {note}")));
        args.run(service, ("gets a sidecar", "has one already"), streams, |object| {
            // Injected anew it would look changed, if only because the mesh has moved on.
            if object.template["metadata"]["annotations"].get("sidecar.istio.io/status").is_some() {
                return Outcome::Left(None);
            }
            injected(object, &configuration, configuration.native)
        })
    }
}

// === impl RemoveFromMeshArgs ===

impl RemoveFromMeshArgs {
    /// Tells what changes, and changes it if that was asked for.
    ///
    /// # Errors
    /// When the cluster can't be asked, or there is no such object.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        match &self.target {
            RemoveTarget::Service(args) => args.run(true, ("loses its sidecar", "has none in its template"), streams, plain),
            RemoveTarget::Deployment(args) => args.run(false, ("loses its sidecar", "has none in its template"), streams, plain),
            RemoveTarget::ExternalService(args) => args.run(streams),
        }
    }
}

// === impl MemberArgs ===

impl MemberArgs {
    fn run(
        &self,
        service: bool,
        (changes, stays): (&str, &str),
        streams: &mut Streams<'_>,
        change: impl Fn(&Object<'_>) -> Outcome,
    ) -> Result<Exit, Failure> {
        let found = ask(LONGEST, async {
            let cluster = self.cluster.connect().await?;
            let namespace = self.namespace.clone().unwrap_or_else(|| cluster.namespace.clone());
            let deployments = self.deployments(&cluster, &namespace, service).await?;
            Ok(deployments.iter().filter_map(|deployment| looked_at(deployment, &namespace, &change)).collect::<Vec<_>>())
        })?;
        let mut told = String::new();
        for it in &found {
            let shown = harmless(&format!("Deployment {}/{}", it.namespace, it.name));
            match &it.outcome {
                Outcome::Changed(_) => told.push_str(&format!("{shown} {changes}\n")),
                Outcome::Left(None) => told.push_str(&format!("{shown} {stays}\n")),
                Outcome::Left(Some(why)) => told.push_str(&format!("{shown} stays as it is: {why}\n")),
                Outcome::Refused(why) => return Err(Failure::new(Exit::Failed, format_args!("{shown}: {why}"))),
            }
        }
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        let changed: Vec<Change> = found.into_iter().filter(|it| matches!(it.outcome, Outcome::Changed(_))).collect();
        if changed.is_empty() {
            return Ok(Exit::Clean);
        }
        if !self.yes {
            streams.note("note: nothing has been changed: add --yes");
            return Ok(Exit::Clean);
        }
        ask(LONGEST, async {
            let cluster = self.cluster.connect().await?;
            for it in changed {
                it.apply(&cluster).await?;
            }
            Ok(())
        })?;
        Ok(Exit::Clean)
    }

    /// The Deployment of that name, or those whose pods the Service of that name selects.
    async fn deployments(&self, cluster: &Cluster, namespace: &str, service: bool) -> Result<Vec<Deployment>, Failure> {
        let name = &self.name;
        let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
        if !service {
            let found =
                api.get(name).await.map_err(|error| Failure::cluster(format_args!("read Deployment {namespace}/{name}"), &error))?;
            return Ok(vec![found]);
        }
        let services: Api<Service> = Api::namespaced(cluster.client.clone(), namespace);
        let found = services.get(name).await.map_err(|error| Failure::cluster(format_args!("read Service {namespace}/{name}"), &error))?;
        let selector = found.spec.and_then(|spec| spec.selector).filter(|selector| !selector.is_empty());
        let selector = selector.ok_or_else(|| Failure::new(Exit::Failed, format_args!("Service {namespace}/{name} selects no pods")))?;
        let all = list_all(&api, &ListParams::default()).await.map_err(|error| Failure::cluster("list Deployments", &error))?;
        let behind = |deployment: &Deployment| {
            let template = deployment.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
            let labels = template.and_then(|metadata| metadata.labels.as_ref());
            selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
        };
        let found: Vec<Deployment> = all.into_iter().filter(behind).collect();
        if found.is_empty() {
            return Err(Failure::new(Exit::Failed, format_args!("no Deployment is behind Service {namespace}/{name}")));
        }
        Ok(found)
    }
}

/// What becomes of a Deployment.
fn looked_at(deployment: &Deployment, namespace: &str, change: &impl Fn(&Object<'_>) -> Outcome) -> Option<Change> {
    let kind = WorkloadKind::named("deployment")?;
    let value = serde_json::to_value(deployment).unwrap_or_default();
    let name = deployment.name_any();
    let template = kind.template(&value)?;
    let outcome = change(&Object { kind, api_version: "apps/v1", name: &name, namespace: Some(namespace), template });
    Some(Change { name, namespace: namespace.to_owned(), version: deployment.resource_version(), outcome })
}

// === impl Change ===

impl Change {
    /// Replaces the template, unless somebody has changed the Deployment since it was read.
    async fn apply(self, cluster: &Cluster) -> Result<(), Failure> {
        let Outcome::Changed(template) = self.outcome else { return Ok(()) };
        let shown = format!("Deployment {}/{}", self.namespace, self.name);
        let operations = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": self.version},
            {"op": "replace", "path": "/spec/template", "value": *template},
        ]);
        let patch: json_patch::Patch = serde_json::from_value::<json_patch::Patch>(operations)
            .map_err(|error| Failure::new(Exit::Failed, format_args!("{shown}: {error}")))?;
        let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), &self.namespace);
        let params = PatchParams { field_manager: Some("ferromesh".to_owned()), ..PatchParams::default() };
        api.patch(&self.name, &params, &Patch::<Value>::Json(patch))
            .await
            .map_err(|error| Failure::cluster(format_args!("change {shown}"), &error))
            .map(drop)
    }
}
