//! `ferromesh install`, `upgrade` and `manifest apply`: a MeshInstall is written, and what becomes of it is told.

use clap::Args;
use ferromesh_crds::MeshInstall;
use kube::{Api, ResourceExt, api::PostParams};
use serde_json::{Value, json};

use super::{
    chart::{MANAGER, objects},
    cluster::{self, Operator},
    difference::told_differences,
    named::Named,
    operator::{self, PlaceArgs},
    progress::Progress,
    spec::{Described, SpecArgs, is_default},
    wait::{QUESTIONS, WaitArgs},
};
use crate::cli::{
    cluster::{Cluster, ClusterArgs, ask},
    exit::{Exit, Failure},
    report::counted,
    terminal::{Streams, Style},
};
use crate::operator::{Difference, between};

/// Install the mesh, or make the one that is installed as described
#[derive(Args, Debug)]
#[command(after_help = "\
Where no operator runs, it is installed first. What is not said is the profile's: fields that an earlier MeshInstall set are gone, and
told before. ferromesh upgrade changes single fields and keeps the others.
Exit codes: 0 installed, 1 it can't get ready, 64 described wrongly, 69 no cluster, 75 not ready in time, 77 forbidden.

Examples:
  ferromesh install
  ferromesh install --set profile=demo --wait 5m
  ferromesh install -f mesh.yaml --dry-run")]
pub(in crate::cli) struct InstallArgs {
    #[command(flatten)]
    write: WriteArgs,
}

/// Change fields of the installed mesh, and bring it to this version
#[derive(Args, Debug)]
#[command(after_help = "\
The operator is brought to this program's version, unless it is Helm's; the mesh follows, by its updateStrategy. Fields that are not named stay.
Exit codes: 0 upgraded, 1 it can't get ready, 64 described wrongly, 69 no cluster, 75 not ready in time, 77 forbidden.

Examples:
  ferromesh upgrade
  ferromesh upgrade --set components.pilot.replicas=2
  ferromesh upgrade --dry-run")]
pub(in crate::cli) struct UpgradeArgs {
    #[command(flatten)]
    write: WriteArgs,
}

/// Install the mesh, or make the one that is installed as described; as ferromesh install, without waiting
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ferromesh manifest apply
  ferromesh manifest apply --set profile=demo
  ferromesh manifest apply -f mesh.yaml --wait --timeout 2m")]
pub(super) struct ManifestApplyArgs {
    #[command(flatten)]
    write: WriteArgs,
}

/// What is written, and how.
#[derive(Args, Debug)]
struct WriteArgs {
    /// Only tell what would be done; the API server and the operator's webhook are asked whether it may
    #[arg(long)]
    dry_run: bool,
    /// Don't ask before an installation is changed
    #[arg(short, long, visible_alias = "skip-confirmation")]
    yes: bool,
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    operator: PlaceArgs,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Which of the fields that are not named stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// None: the description is all there is.
    Nothing,
    /// All: the description is of changes.
    Everything,
}

/// What there is before anything is written.
struct Present {
    mesh: Option<MeshInstall>,
    operator: Option<Operator>,
}

// === the verbs ===

impl InstallArgs {
    /// Installs, and tells how that goes.
    ///
    /// # Errors
    /// When the description is wrong, or the mesh doesn't get ready.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        self.write.run(Kept::Nothing, true, streams, style, interactive)
    }
}

impl UpgradeArgs {
    /// Upgrades, and tells how that goes.
    ///
    /// # Errors
    /// When there is no mesh, the description is wrong, or the mesh doesn't get ready.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        self.write.run(Kept::Everything, true, streams, style, interactive)
    }
}

impl ManifestApplyArgs {
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        self.write.run(Kept::Nothing, false, streams, style, interactive)
    }
}

// === impl WriteArgs ===

impl WriteArgs {
    fn run(&self, kept: Kept, wait: bool, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        // What is wrong with the words is told without a cluster.
        let said = self.spec.said(streams.stdin)?;
        if kept == Kept::Nothing {
            said.over(&json!({}))?.checked()?;
        }
        let (meshes, operator) = ask(QUESTIONS, async {
            let client = self.cluster.connect().await?.client;
            Ok((cluster::meshes(&client).await?, cluster::operator(&client).await?))
        })?;
        let mut present = Present { mesh: cluster::of_revision(&meshes, ""), operator };
        let described = said.over(&base(kept, present.spec().as_ref())?)?;
        let revision = described.checked()?.revision().to_owned();
        if !revision.is_empty() {
            if kept == Kept::Everything {
                let told =
                    format!("upgrade is for the default revision: write ferromesh install --set revision={revision} and the other fields");
                return Err(Failure::usage(told));
            }
            present.mesh = cluster::of_revision(&meshes, &revision);
        }
        let before = present.spec();
        let name = present.name(&described)?;
        let changes = before.as_ref().map(|before| changes(before, &described.spec)).unwrap_or_default();
        let wanted = Named::of_spec(&described.spec);
        if let Some(operator) = present.operator.as_ref().filter(|operator| kept == Kept::Nothing || operator.release.is_some()) {
            ask(QUESTIONS, async { operator.may_name(&self.cluster.connect().await?.client, &wanted).await })?;
        }
        if self.dry_run {
            return self.try_out(&present, &described, &name, &changes, streams);
        }
        if !changes.is_empty() {
            streams.note(told_differences(&changes, ["INSTALLED", "DESCRIBED"]).trim_end());
            if interactive && !self.yes && !streams.agreed(&format!("Change MeshInstall {name}?")).map_err(unanswered)? {
                streams.note("nothing was changed");
                return Ok(Exit::Clean);
            }
        }
        let told = ask(self.wait.longest(), self.write(kept, wait, &present, &described, &name, streams, style))?;
        streams.answered(&told)
    }

    /// What would be done, as far as the API server can tell.
    fn try_out(
        &self,
        present: &Present,
        described: &Described,
        name: &str,
        changes: &[Difference],
        streams: &mut Streams<'_>,
    ) -> Result<Exit, Failure> {
        let mut told = String::new();
        if present.operator.is_none() {
            told.push_str(&format!("the operator would be installed in namespace {}\n", self.operator.namespace));
        } else {
            ask(QUESTIONS, async {
                let cluster = self.cluster.connect().await?;
                put(&cluster, present.mesh.as_ref(), described, name, true).await.map(drop)
            })?;
        }
        match (&present.mesh, changes.is_empty()) {
            (None, _) => told.push_str(&format!("MeshInstall {name} would be created\n")),
            (Some(_), true) => told.push_str(&format!("MeshInstall {name} would stay as it is\n")),
            (Some(_), false) => {
                told.push_str(&format!("MeshInstall {name} would be changed in {}:\n", counted(changes.len(), "field")));
                told.push_str(&told_differences(changes, ["INSTALLED", "DESCRIBED"]));
            }
        }
        streams.answered(&told)
    }

    #[expect(clippy::too_many_arguments, reason = "all of what was found before")]
    async fn write(
        &self,
        kept: Kept,
        wait: bool,
        present: &Present,
        described: &Described,
        name: &str,
        streams: &mut Streams<'_>,
        style: Style,
    ) -> Result<String, Failure> {
        let cluster = self.cluster.connect().await?;
        let mut progress = Progress::new(streams, self.wait.timeout());
        let version = self.operator_for(kept, &cluster, present, &described.spec, &mut progress).await?;
        let written = put(&cluster, present.mesh.as_ref(), described, name, false).await?;
        let generation = written.metadata.generation.unwrap_or_default();
        let verb = match &present.mesh {
            None => "created",
            Some(before) if before.metadata.generation == written.metadata.generation => "is as described",
            Some(_) => "changed",
        };
        progress.tell(&format!("MeshInstall {name} {verb}"));
        if !self.wait.waits(wait) {
            return Ok(format!("to see how it gets on: kubectl get meshinstall {name}\n"));
        }
        // Who names a version or a tag doesn't get this program's.
        let named = [&written.spec.version, &written.spec.tag].into_iter().flatten().any(|name| !name.is_empty());
        let version = version.filter(|_| !named);
        let mesh = progress.until_ready(&cluster.client, name, generation, version.as_deref()).await?;
        let status = mesh.status.unwrap_or_default();
        let (version, parts) = (status.version.unwrap_or_default(), counted(status.components.len(), "component"));
        Ok(format!("{} mesh {name} is ready: version {version}, profile {}, {parts}\n", style.good(), mesh.spec.profile().name()))
    }

    /// Sees to the operator. Answers the version that the mesh will come to, where that is known.
    async fn operator_for(
        &self,
        kept: Kept,
        cluster: &Cluster,
        present: &Present,
        spec: &Value,
        progress: &mut Progress<'_, '_>,
    ) -> Result<Option<String>, Failure> {
        match &present.operator {
            None => {
                progress.tell(&format!("no operator: installing it in namespace {}", self.operator.namespace));
                let named = Named::of_cluster(&cluster.client).await?.and(&Named::of_spec(spec));
                let objects = objects(&self.operator.namespace, &self.operator.images(spec), &named);
                operator::bring(cluster, &self.operator.namespace, &objects, true, progress).await?;
            }
            Some(operator) if kept == Kept::Everything => {
                if let Some(release) = &operator.release {
                    let command = format!("helm upgrade {release} charts/ferromesh -n {}", operator.namespace);
                    progress.tell(&format!("the operator stays as it is, for it is Helm's: {command}"));
                    return Ok(None);
                }
                let images = self.operator.images_after(&operator.images);
                let named = Named::of_cluster(&cluster.client).await?.and(&Named::of_spec(spec));
                operator::bring(cluster, &operator.namespace, &objects(&operator.namespace, &images, &named), true, progress).await?;
            }
            Some(operator) => {
                if let Err(reason) = &operator.ready {
                    progress.tell(&format!("the operator is not ready: {reason}"));
                }
                return Ok(None);
            }
        }
        Ok(Some(env!("CARGO_PKG_VERSION").to_owned()))
    }
}

fn unanswered(error: std::io::Error) -> Failure {
    Failure::new(Exit::Failed, error)
}

/// The fields that change. What is not named comes back as the API server's default.
pub(super) fn changes(before: &Value, described: &Value) -> Vec<Difference> {
    let stays = |one: &Difference| one.to.is_none() && one.from.as_ref().is_some_and(|value| is_default(&one.path, value));
    between(before, described).into_iter().filter(|one| !stays(one)).collect()
}

/// What a description is laid over.
pub(super) fn base(kept: Kept, before: Option<&Value>) -> Result<Value, Failure> {
    match (kept, before) {
        (Kept::Everything, Some(before)) => Ok(before.clone()),
        (Kept::Everything, None) => Err(Failure::new(Exit::Failed, "there is no mesh to upgrade: ferromesh install")),
        // These two can't be changed, so they needn't be said again.
        (Kept::Nothing, Some(before)) => {
            let fixed = ["namespace", "revision"].into_iter().filter_map(|name| Some((name.to_owned(), before.get(name)?.clone())));
            Ok(Value::Object(fixed.collect()))
        }
        (Kept::Nothing, None) => Ok(json!({})),
    }
}

/// Writes the MeshInstall, or has the API server check it.
async fn put(
    cluster: &Cluster,
    before: Option<&MeshInstall>,
    described: &Described,
    name: &str,
    dry_run: bool,
) -> Result<MeshInstall, Failure> {
    let api: Api<MeshInstall> = Api::all(cluster.client.clone());
    let params = PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
    let spec = described.checked()?;
    let written = match before {
        None => api.create(&params, &MeshInstall::new(name, spec)).await,
        // With the version that was read: whoever changed it since is not overruled.
        Some(before) => api.replace(name, &params, &MeshInstall { spec, ..before.clone() }).await,
    };
    written.map_err(|error| Failure::cluster(format_args!("write MeshInstall {name}"), &error))
}

// === impl Present ===

impl Present {
    /// The name of the MeshInstall to write.
    fn name(&self, described: &Described) -> Result<String, Failure> {
        match (&self.mesh, &described.name) {
            (Some(mesh), Some(name)) if mesh.name_any() != *name => {
                let told = format!("MeshInstall {} is installed already: name that one, or delete it first", mesh.name_any());
                Err(Failure::new(Exit::Failed, told))
            }
            (Some(mesh), _) => Ok(mesh.name_any()),
            (None, _) => Ok(described.name()),
        }
    }

    /// The spec of the MeshInstall that is there.
    fn spec(&self) -> Option<Value> {
        self.mesh.as_ref().map(|mesh| serde_json::to_value(&mesh.spec).unwrap_or_default())
    }
}
