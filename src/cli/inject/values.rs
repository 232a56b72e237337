//! The settings of an injection by hand: from files, or from the cluster.

use ferromesh_crds::networking::ProxyConfig;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::{Api, api::ListParams};
use std::{path::Path, sync::Arc, time::Duration};

use crate::cli::{
    cluster::{Cluster, ClusterArgs, ask},
    exit::{Exit, Failure, first_line},
    input,
};
use crate::config::{self, ParseContext, mesh_config};
use crate::injector::{ProxyConfigs, Template, native_everywhere};
use crate::model::{InjectionValues, of_revision};
use crate::runtime::list_all;

/// How long all the questions may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Where settings come from.
pub(super) struct Source<'s> {
    pub(super) mesh_file: Option<&'s Path>,
    pub(super) values_file: Option<&'s Path>,
    pub(super) mesh_map: String,
    pub(super) values_map: String,
    /// Of the ConfigMaps.
    pub(super) namespace: &'s str,
    /// Whether the cluster's nodes matter.
    pub(super) nodes: bool,
    pub(super) cluster: &'s ClusterArgs,
}

/// Settings of an injection by hand.
#[derive(Debug)]
pub(in crate::cli) struct Configuration {
    pub(super) template: Template,
    pub(super) proxy_configs: ProxyConfigs,
    /// Whether every node can run native sidecar containers.
    pub(in crate::cli) native: bool,
}

/// What the cluster says, as texts.
#[derive(Default)]
struct Found {
    mesh: Option<String>,
    values: Option<String>,
    proxy_configs: Vec<ProxyConfig>,
    native: bool,
    notes: Vec<String>,
}

// === impl Configuration ===

impl Configuration {
    /// The settings of a cluster's mesh; see [`Configuration::read`].
    ///
    /// # Errors
    /// As there.
    pub(in crate::cli) fn of_cluster(cluster: &ClusterArgs, namespace: &str, revision: &str) -> Result<(Self, Vec<String>), Failure> {
        Self::read(&Source {
            mesh_file: None,
            values_file: None,
            mesh_map: of_revision("istio", revision),
            values_map: of_revision("istio-sidecar-injector", revision),
            namespace,
            nodes: true,
            cluster,
        })
    }

    /// Reads the settings; the second value is what could not be asked for and is taken as if it were not there.
    ///
    /// # Errors
    /// When a setting can't be read or understood.
    pub(super) fn read(source: &Source<'_>) -> Result<(Self, Vec<String>), Failure> {
        let offline = source.mesh_file.is_some() && source.values_file.is_some();
        let found = if offline { Found::default() } else { ask(LONGEST, source.ask())? };
        let (mesh_name, mesh) = text(source.mesh_file, found.mesh, &source.mesh_map)?;
        let (values_name, values) = text(source.values_file, found.values, &source.values_map)?;
        let wrong =
            |name: &str, error: &dyn std::fmt::Display| Failure::new(Exit::Unreadable, format_args!("{name} is not understood: {error}"));
        let mesh = mesh_config(&mesh).map_err(|error| wrong(&mesh_name, &error))?;
        let values: InjectionValues = serde_saphyr::from_str(&values).map_err(|error| wrong(&values_name, &first_line(&error)))?;
        let context = ParseContext::default();
        let parsed = found.proxy_configs.iter().filter_map(|object| config::proxy_config(object, &context).ok());
        let proxy_configs = parsed.map(|parsed| Arc::new(parsed.value)).collect();
        Ok((Self { template: Template::new(values, mesh), proxy_configs, native: found.native }, found.notes))
    }
}

/// A setting's text, and where it stands.
fn text(file: Option<&Path>, found: Option<String>, map: &str) -> Result<(String, String), Failure> {
    match file {
        Some(file) => Ok((file.display().to_string(), input::text(file)?)),
        None => Ok((format!("ConfigMap {map}"), found.unwrap_or_default())),
    }
}

// === impl Source ===

impl Source<'_> {
    async fn ask(&self) -> Result<Found, Failure> {
        let cluster = self.cluster.connect().await?;
        let mut found = Found::default();
        if self.mesh_file.is_none() {
            found.mesh = Some(self.key(&cluster, &self.mesh_map, "mesh").await?);
        }
        if self.values_file.is_none() {
            found.values = Some(self.key(&cluster, &self.values_map, "values").await?);
        }
        let objects: Api<ProxyConfig> = Api::all(cluster.client.clone());
        match list_all(&objects, &ListParams::default()).await {
            Ok(all) => found.proxy_configs = all,
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => found.notes.push(Failure::cluster("list ProxyConfigs, so none of them counts", &error).message),
        }
        if self.nodes {
            let nodes: Api<Node> = Api::all(cluster.client.clone());
            match list_all(&nodes, &ListParams::default()).await {
                Ok(all) => found.native = native_everywhere(&all),
                Err(error) => found.notes.push(Failure::cluster("list nodes, so sidecars are ordinary containers", &error).message),
            }
        }
        Ok(found)
    }

    async fn key(&self, cluster: &Cluster, name: &str, key: &str) -> Result<String, Failure> {
        let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), self.namespace);
        let shown = format!("ConfigMap {}/{name}", self.namespace);
        let map = maps.get(name).await.map_err(|error| Failure::cluster(format_args!("read {shown}"), &error))?;
        let value = map.data.and_then(|mut data| data.remove(key));
        value.ok_or_else(|| Failure::new(Exit::Failed, format_args!("{shown} has no key {key}: is it an injector's?")))
    }
}
