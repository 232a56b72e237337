//! `ferromesh version`: which version is this program, and which is the mesh?

use clap::{ArgAction, Args};
use ferromesh_crds::MeshInstall;
use kube::{Api, api::ListParams};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::timeout;

use super::{
    cluster::{Cluster, ClusterArgs, ask},
    document::{ClientVersion, DataPlane, Mesh, VersionsDocument},
    exit::{Exit, Failure},
    proxy::{Pilots, Pods},
    report::{self, Form},
    terminal::Streams,
};
use crate::runtime::list_all;

/// How long the cluster may take to answer: this program's own version is told all the same.
const LONGEST: Duration = Duration::from_secs(10);
/// How long pilot may take of it.
const PILOT: Duration = Duration::from_secs(4);

/// Print the version of this program and of the mesh.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ferromesh version
  ferromesh version --remote=false -o json")]
pub(super) struct VersionArgs {
    /// Whether to ask the cluster
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    remote: bool,
    /// Only the versions; with false all that is known of them, as -o yaml
    #[arg(short, long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    short: bool,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
    #[command(flatten)]
    cluster: ClusterArgs,
}

// === impl VersionArgs ===

impl VersionArgs {
    /// Prints the versions. That the cluster can't be asked is told beside them.
    ///
    /// # Errors
    /// When nothing can be written.
    pub(super) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let meshes = if self.remote {
            ask(LONGEST, meshes(&self.cluster)).unwrap_or_else(|failure| {
                streams.note(&format!("note: the mesh's version is not known: {}", failure.message));
                Vec::new()
            })
        } else {
            Vec::new()
        };
        let told = match self.output {
            Form::Human if self.short => human(&meshes),
            form => report::document(&document(meshes), form != Form::Json),
        };
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(Exit::Clean)
    }
}

async fn meshes(cluster: &ClusterArgs) -> Result<Vec<Mesh>, Failure> {
    let cluster = cluster.connect().await?;
    let installs: Api<MeshInstall> = Api::all(cluster.client.clone());
    let found = list_all(&installs, &ListParams::default()).await.map_err(|error| Failure::cluster("list MeshInstalls", &error))?;
    let mut meshes = Vec::new();
    for install in found {
        let data_plane = timeout(PILOT, data_plane(&cluster, install.spec.namespace())).await.unwrap_or_default();
        let version = install.status.and_then(|status| status.version).filter(|version| !version.is_empty());
        meshes.push(Mesh { name: install.metadata.name.unwrap_or_default(), version, data_plane });
    }
    meshes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(meshes)
}

/// The versions of the proxies that are connected; none if pilot can't be asked, which takes the right to forward a port to it.
async fn data_plane(cluster: &Cluster, namespace: &str) -> Option<Vec<DataPlane>> {
    let pilots = Pilots::find(&Pods::new(cluster.client.clone()), namespace).await.ok()?;
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for proxy in pilots.standing().await.ok()? {
        *versions.entry(proxy.version).or_default() += 1;
    }
    Some(versions.into_iter().map(|(version, proxies)| DataPlane { version, proxies }).collect())
}

fn human(meshes: &[Mesh]) -> String {
    let mut told = format!("client version: {}\n", env!("CARGO_PKG_VERSION"));
    for mesh in meshes {
        told.push_str(&format!("mesh {}: {}\n", mesh.name, mesh.version.as_deref().unwrap_or("-")));
        for DataPlane { version, proxies } in mesh.data_plane.iter().flatten() {
            told.push_str(&format!("data plane version: {version} ({proxies} proxies)\n"));
        }
    }
    told
}

fn document(meshes: Vec<Mesh>) -> VersionsDocument {
    VersionsDocument { client_version: ClientVersion { version: env!("CARGO_PKG_VERSION") }, meshes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mesh_without_a_version_yet_is_told_of() {
        let proxies = vec![DataPlane { version: "1.0.1".to_owned(), proxies: 3 }];
        let meshes = [("a", Some("1.0.2"), Some(proxies)), ("b", None, None)];
        let meshes =
            meshes.map(|(name, version, data_plane)| Mesh { name: name.to_owned(), version: version.map(str::to_owned), data_plane });
        assert!(human(&meshes).ends_with("mesh a: 1.0.2\ndata plane version: 1.0.1 (3 proxies)\nmesh b: -\n"));
        let value = serde_json::to_value(document(meshes.to_vec())).unwrap();
        let data_plane = json!([{"version": "1.0.1", "proxies": 3}]);
        let told = json!([{"name": "a", "version": "1.0.2", "dataPlane": data_plane}, {"name": "b", "version": null, "dataPlane": null}]);
        assert_eq!(value["meshes"], told);
    }
}
