//! `ferromesh kube-inject`: the sidecar into manifests, before they reach the cluster.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

use super::{Configuration, FileArgs, Object, Outcome, values::Source};
use crate::cli::{
    cluster::{ClusterArgs, MeshArgs},
    exit::{Exit, Failure},
    terminal::Streams,
};
use crate::injector::{Decision, Owner, PodView, Skip, Surroundings, decide, inject};
use crate::model::{InjectionValues, of_revision};

/// Put the sidecar into manifests, as the webhook does when pods are made
#[derive(Args, Debug)]
#[command(after_help = "\
Settings are the cluster's, unless files are given for both of them; then no cluster is asked. Labels of namespaces do not count:
whoever injects by hand means it. Pods that opt out or use their node's network, and objects that make no pods, are written as they are.
Exit codes: 0 written, 1 a pod's annotations can't be understood, 65 a file can't be parsed, 64 wrong usage, 69 no cluster.

Examples:
  ferromesh kube-inject -f web.yaml -o web-injected.yaml
  ferromesh kube-inject -R -f config/ -i mesh
  ferromesh kube-inject -f - --meshConfigFile mesh.yaml --valuesFile values.yaml")]
pub(in crate::cli) struct KubeInjectArgs {
    #[command(flatten)]
    files: FileArgs,
    /// A file with the mesh's configuration, in place of the cluster's
    #[arg(long = "meshConfigFile", visible_alias = "mesh-config-file", value_name = "FILE", help_heading = "Settings")]
    mesh_file: Option<PathBuf>,
    /// A file with the injector's values, in place of the cluster's
    #[arg(long = "valuesFile", visible_alias = "values-file", value_name = "FILE", help_heading = "Settings")]
    values_file: Option<PathBuf>,
    /// What this mesh has no file for
    #[arg(long = "injectConfigFile", hide = true)]
    inject_config: Option<PathBuf>,
    /// The ConfigMap with the mesh's configuration, key mesh
    #[arg(long = "meshConfigMapName", default_value = "istio", value_name = "NAME", help_heading = "Settings")]
    mesh_map: String,
    /// The ConfigMap with the injector's values, key values
    #[arg(long = "injectConfigMapName", default_value = "istio-sidecar-injector", value_name = "NAME", help_heading = "Settings")]
    values_map: String,
    #[command(flatten, next_help_heading = "Settings")]
    mesh: MeshArgs,
    /// The control plane's revision
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "REVISION", help_heading = "Settings")]
    revision: String,
    /// Whether sidecars are native sidecar containers; auto looks at the cluster's nodes
    #[arg(long, value_enum, default_value_t, value_name = "WHETHER", help_heading = "Settings")]
    native_sidecar: Native,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Whether sidecars are native sidecar containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Native {
    /// If every node can run them; without a cluster they are not
    #[default]
    Auto,
    /// They are
    True,
    /// They are not
    False,
}

// === impl KubeInjectArgs ===

impl KubeInjectArgs {
    /// Writes the manifests with sidecars.
    ///
    /// # Errors
    /// When settings or a file can't be read, a pod is refused, or the result can't be written.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        if self.inject_config.is_some() {
            return Err(Failure::usage("--injectConfigFile is not available: this mesh's templates are in the values, --valuesFile"));
        }
        let (configuration, notes) = Configuration::read(&self.source())?;
        notes.iter().for_each(|note| streams.note(&format!("note: {note}")));
        let native = match self.native_sidecar {
            Native::Auto => configuration.native,
            Native::True => true,
            Native::False => false,
        };
        self.files.run(streams, |object| injected(object, &configuration, native))
    }

    fn source(&self) -> Source<'_> {
        Source {
            mesh_file: self.mesh_file.as_deref(),
            values_file: self.values_file.as_deref(),
            mesh_map: of_revision(&self.mesh_map, &self.revision),
            values_map: of_revision(&self.values_map, &self.revision),
            namespace: &self.mesh.namespace,
            nodes: self.native_sidecar == Native::Auto,
            cluster: &self.cluster,
        }
    }
}

/// An object with a sidecar.
pub(in crate::cli) fn injected(object: &Object<'_>, configuration: &Configuration, native: bool) -> Outcome {
    // Neither the namespace nor the mesh's selectors count: only what the pod says of itself.
    match decide(&PodView::new(object.template), "", &InjectionValues::default()) {
        Decision::Inject => {}
        Decision::Skip(Skip::OptedOut) => return Outcome::Left(None),
        Decision::Skip(skip) => return Outcome::Left(Some(skip.to_string())),
    }
    let owner = (!object.kind.is_pod()).then(|| Owner {
        api_version: object.api_version.to_owned(),
        kind: object.kind.name.to_owned(),
        name: object.name.to_owned(),
    });
    let namespace = object.namespace.unwrap_or("default");
    let surroundings = Surroundings { owner: owner.as_ref(), ..Surroundings::of(namespace, &configuration.proxy_configs, native) };
    match inject(object.template, &surroundings, &configuration.template) {
        Ok(pod) => Outcome::Changed(Box::new(pod)),
        Err(error) => Outcome::Refused(error.to_string()),
    }
}
