//! `ferromesh version`: which version is this program, and which is the mesh?

use clap::{ArgAction, Args};
use ferromesh_crds::MeshInstall;
use kube::{Api, api::ListParams};
use std::time::Duration;

use super::{
    cluster::{ClusterArgs, ask},
    document::{ClientVersion, Mesh, VersionsDocument},
    exit::{Exit, Failure},
    report::{self, Form},
    terminal::Streams,
};

/// How long the cluster may take to answer: this program's own version is told all the same.
const LONGEST: Duration = Duration::from_secs(5);

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
            Form::Human => human(&meshes),
            form => report::document(&document(meshes), form == Form::Yaml),
        };
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(Exit::Clean)
    }
}

async fn meshes(cluster: &ClusterArgs) -> Result<Vec<Mesh>, Failure> {
    let cluster = cluster.connect().await?;
    let installs: Api<MeshInstall> = Api::all(cluster.client);
    let found = installs.list(&ListParams::default()).await.map_err(|error| Failure::cluster("list MeshInstalls", &error))?;
    let mesh = |install: MeshInstall| Mesh {
        name: install.metadata.name.unwrap_or_default(),
        version: install.status.and_then(|status| status.version).filter(|version| !version.is_empty()),
    };
    let mut meshes: Vec<Mesh> = found.items.into_iter().map(mesh).collect();
    meshes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(meshes)
}

fn human(meshes: &[Mesh]) -> String {
    let mut told = format!("client version: {}\n", env!("CARGO_PKG_VERSION"));
    for mesh in meshes {
        told.push_str(&format!("mesh {}: {}\n", mesh.name, mesh.version.as_deref().unwrap_or("-")));
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
        let meshes = [("a", Some("1.0.2")), ("b", None)];
        let meshes = meshes.map(|(name, version)| Mesh { name: name.to_owned(), version: version.map(str::to_owned) });
        assert!(human(&meshes).ends_with("mesh a: 1.0.2\nmesh b: -\n"));
        let value = serde_json::to_value(document(meshes.to_vec())).unwrap();
        assert_eq!(value["meshes"], json!([{"name": "a", "version": "1.0.2"}, {"name": "b", "version": null}]));
    }
}
