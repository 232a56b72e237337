//! `ferromesh uninstall`: the mesh is taken away, and with `--purge` all that it needed.

use clap::Args;
use ferromesh_crds::{MeshInstall, catalog};
use kube::{
    Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams},
};
use std::collections::BTreeSet;

use super::{
    chart::{MANAGED_BY, crds},
    cluster::{self, Operator},
    gone::{Confirmation, delete, until_gone},
    neighbours::{Labels, neighbours, told},
    object::Id,
    operator::removable,
    progress::Progress,
    wait::{QUESTIONS, WaitArgs},
};
use crate::cli::{
    check::Foreign,
    cluster::{ClusterArgs, ask},
    exit::{Exit, Failure},
    report::counted,
    terminal::{Streams, Style},
};
use crate::runtime::list_each;

/// Remove the mesh; with --purge the operator, the CRDs with all configuration, and the mesh's namespace, too
#[derive(Args, Debug)]
#[command(after_help = "\
Without --purge there stay: the operator, the CRDs with the configuration, and in the mesh's namespace the Secret with the root's key, so
that a mesh that is installed again trusts the same root. Pods keep their sidecars until they are restarted.
With --purge there stay, and are named before: a namespace in which others have something, and the CRDs of istio.io where another Istio is.
Exit codes: 0 removed, or not there; 1 refused, 69 no cluster, 75 not gone in time, 77 forbidden.

Examples:
  ferromesh uninstall
  ferromesh uninstall --dry-run
  ferromesh uninstall --purge --yes")]
pub(in crate::cli) struct UninstallArgs {
    /// Remove the operator, the CRDs with all configuration, and the mesh's namespace with the root's key, too
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What goes, in the order in which it does.
struct Going {
    meshes: Vec<Id>,
    /// What goes with the MeshInstalls, by garbage collection.
    inventory: Vec<Id>,
    /// With `--purge`.
    purged: Vec<Id>,
    /// What is to be said besides.
    notes: Vec<String>,
}

// === impl UninstallArgs ===

impl UninstallArgs {
    /// Removes it.
    ///
    /// # Errors
    /// When something can't be removed, or not in time.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        let going = ask(QUESTIONS, async { self.going(&self.cluster.connect().await?.client).await })?;
        going.notes.iter().for_each(|note| streams.note(&format!("note: {note}")));
        let all = going.all();
        if all.is_empty() {
            return streams.answered("there is nothing to remove\n");
        }
        if !self.confirmation.given(&all, streams, interactive)? {
            return Ok(Exit::Clean);
        }
        let waits = self.wait.waits(true);
        ask(self.wait.longest(), async {
            let client = self.cluster.connect().await?.client;
            let mut progress = Progress::new(streams, self.wait.timeout());
            delete(&client, &going.meshes, &DeleteParams::background(), &mut progress).await?;
            // What serves the mesh goes after the mesh, whoever waits for the rest.
            if waits || !going.purged.is_empty() {
                until_gone(&client, &[&going.meshes[..], &going.inventory].concat(), &mut progress).await?;
                if !going.inventory.is_empty() {
                    progress.tell(&format!("{} of the mesh removed", counted(going.inventory.len(), "object")));
                }
            }
            delete(&client, &going.purged, &DeleteParams::default(), &mut progress).await?;
            if waits { until_gone(&client, &going.purged, &mut progress).await } else { Ok(()) }
        })?;
        let removed = if waits { "removed" } else { "being removed" };
        streams.answered(&format!("{} {} {removed}\n", style.good(), counted(all.len(), "object")))
    }

    async fn going(&self, client: &Client) -> Result<Going, Failure> {
        let meshes = cluster::meshes(client).await?;
        let mut going = Going { meshes: Vec::new(), inventory: Vec::new(), purged: Vec::new(), notes: Vec::new() };
        for mesh in &meshes {
            going.meshes.push(id_of(mesh));
            going.inventory.extend(inventory(mesh));
        }
        if self.purge {
            self.purge(client, &meshes, &mut going).await?;
        }
        Ok(going)
    }

    async fn purge(&self, client: &Client, meshes: &[MeshInstall], going: &mut Going) -> Result<(), Failure> {
        match cluster::operator(client).await? {
            Some(Operator { release: Some(release), namespace, .. }) => {
                going.notes.push(format!("the operator stays, for it is Helm's: helm uninstall {release} -n {namespace}"));
            }
            Some(operator) => {
                let (ids, notes) = removable(client, &operator, |id, labels| going.has(id) || is_made(labels)).await?;
                going.purged.extend(ids);
                going.notes.extend(notes);
            }
            None => {}
        }
        // The namespace of a mesh that is gone already is the usual one, or nobody's to guess.
        let mut namespaces: BTreeSet<&str> = meshes.iter().map(|mesh| mesh.spec.namespace()).collect();
        if namespaces.is_empty() {
            namespaces.insert(ferromesh_crds::install::DEFAULT_NAMESPACE);
        }
        for name in namespaces {
            let id = Id { api_version: "v1".to_owned(), kind: "Namespace".to_owned(), namespace: None, name: name.to_owned() };
            if going.has(&id) || id.read(client).await?.is_none() {
                continue;
            }
            let others = neighbours(client, name, |id, labels| going.has(id) || is_made(labels)).await?;
            match told(name, &others) {
                Some(stays) => going.notes.push(stays),
                None => going.purged.push(id),
            }
        }
        self.purge_crds(client, going).await
    }

    /// The CRDs of `istio.io` are another Istio's as well, if there is one: with them its configuration would go.
    async fn purge_crds(&self, client: &Client, going: &mut Going) -> Result<(), Failure> {
        let other = Foreign::of_cluster(client).await?.told();
        let goes = |group: &str| other.is_none() || !is_istios(group);
        going.notes.extend(configuration(client, goes).await?);
        for crd in crds().filter(|crd| goes(crd["spec"]["group"].as_str().unwrap_or_default())) {
            let Some(id) = Id::of(&crd, "") else { continue };
            going.purged.extend(id.read(client).await?.map(|_| id));
        }
        going.notes.extend(other.map(|why| format!("the CRDs of istio.io stay with all configuration, for another Istio is here: {why}")));
        Ok(())
    }
}

/// Whether the operator made what has these labels, for whichever mesh.
fn is_made(labels: &Labels) -> bool {
    labels.get(MANAGED_BY).is_some_and(|manager| manager == "ferromesh-operator")
}

fn is_istios(group: &str) -> bool {
    group.ends_with(".istio.io")
}

// === impl Going ===

impl Going {
    fn all(&self) -> Vec<Id> {
        [&self.meshes[..], &self.inventory, &self.purged].concat()
    }

    fn has(&self, id: &Id) -> bool {
        [&self.meshes, &self.inventory, &self.purged].into_iter().flatten().any(|one| one == id)
    }
}

fn id_of(mesh: &MeshInstall) -> Id {
    Id {
        api_version: MeshInstall::api_version(&()).into_owned(),
        kind: MeshInstall::kind(&()).into_owned(),
        namespace: None,
        name: mesh.name_any(),
    }
}

fn inventory(mesh: &MeshInstall) -> impl Iterator<Item = Id> {
    let entries = mesh.status.iter().flat_map(|status| status.inventory.clone());
    entries.map(|entry| Id { api_version: entry.api_version, kind: entry.kind, namespace: entry.namespace, name: entry.name })
}

/// How much configuration goes with the CRDs of groups.
async fn configuration(client: &Client, goes: impl Fn(&str) -> bool) -> Result<Option<String>, Failure> {
    let mut told = Vec::new();
    for kind in catalog::kinds().iter().filter(|kind| kind.name != MeshInstall::kind(&()) && goes(kind.group)) {
        let api_version = format!("{}/{}", kind.group, kind.versions[0]);
        let api = Id { api_version, kind: kind.name.to_owned(), namespace: None, name: String::new() }.api(client);
        match list_each(&api, &ListParams::default(), |_| Some(())).await {
            Ok(found) if found.is_empty() => {}
            Ok(found) => told.push(counted(found.len(), kind.name)),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(Failure::cluster(format_args!("list {}", kind.plural), &error)),
        }
    }
    Ok((!told.is_empty()).then(|| format!("with the CRDs goes all configuration: {}", told.join(", "))))
}
