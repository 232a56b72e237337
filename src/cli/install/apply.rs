//! `ferromesh install`, `upgrade` and `manifest apply`: a MeshInstall is written, and what becomes of it is told.

use clap::Args;
use ferromesh_crds::MeshInstall;
use kube::{Api, ResourceExt, api::PostParams};
use serde_json::{Value, json};

use super::{
    beside::Neighbour,
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
use crate::operator::{Difference, Images, between};

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
    /// Let an older version take the place of a newer one
    #[arg(long)]
    downgrade: bool,
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

/// How the verbs differ.
#[derive(Clone, Copy, Debug)]
struct Manner {
    kept: Kept,
    /// Whether it is waited where nothing is said of it.
    wait: bool,
    /// Whether the operator may become an older one.
    downgrade: bool,
}

/// What there is before anything is written.
struct Present {
    mesh: Option<MeshInstall>,
    operator: Option<Operator>,
    /// Another mesh.
    neighbour: Neighbour,
}

/// What the operator's images will be.
enum Fate {
    /// It comes, with those that are said.
    Comes,
    /// It is brought to these.
    Becomes(Images),
    /// It is left as it is.
    Stays,
    /// It would be brought to this version if it were not the release's, which Helm upgrades.
    IsHelms(String),
}

// === the verbs ===

impl InstallArgs {
    /// Installs, and tells how that goes.
    ///
    /// # Errors
    /// When the description is wrong, or the mesh doesn't get ready.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        self.write.run(Manner { kept: Kept::Nothing, wait: true, downgrade: false }, streams, style, interactive)
    }
}

impl UpgradeArgs {
    /// Upgrades, and tells how that goes.
    ///
    /// # Errors
    /// When there is no mesh, the description is wrong, or the mesh doesn't get ready.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        self.write.run(Manner { kept: Kept::Everything, wait: true, downgrade: self.downgrade }, streams, style, interactive)
    }
}

impl ManifestApplyArgs {
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        self.write.run(Manner { kept: Kept::Nothing, wait: false, downgrade: false }, streams, style, interactive)
    }
}

// === impl WriteArgs ===

impl WriteArgs {
    fn run(&self, manner: Manner, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        let kept = manner.kept;
        // What is wrong with the words is told without a cluster.
        let said = self.spec.said(streams.stdin)?;
        if kept == Kept::Nothing {
            said.over(&json!({}))?.checked()?;
        }
        let (meshes, operator) = ask(QUESTIONS, async {
            let client = self.cluster.connect().await?.client;
            Ok((cluster::meshes(&client).await?, cluster::operator(&client).await?))
        })?;
        let mut present = Present { mesh: cluster::of_revision(&meshes, ""), operator, neighbour: Neighbour::default() };
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
        let fate = self.fate(manner, present.operator.as_ref())?;
        let beside = !revision.is_empty() || cluster::has_begun(&meshes);
        present.neighbour = self.neighbour(&fate, beside)?;
        let moves = present.moves(&fate, &described.spec);
        if self.dry_run {
            return self.try_out(&present, &described, &fate, &name, &changes, streams);
        }
        if !changes.is_empty() {
            streams.note(told_differences(&changes, ["INSTALLED", "DESCRIBED"]).trim_end());
        }
        moves.iter().for_each(|moves| streams.note(moves));
        let question = question(&name, !changes.is_empty(), moves.is_some());
        if let Some(question) = question.filter(|_| interactive && !self.yes)
            && !streams.agreed(&question).map_err(unanswered)?
        {
            streams.note("nothing was changed");
            return Ok(Exit::Clean);
        }
        let told = ask(self.wait.longest(), self.write(manner.wait, &fate, &present, &described, &name, streams, style))?;
        streams.answered(&told)
    }

    /// What becomes of the operator.
    ///
    /// # Errors
    /// When flags say what won't come about, or it would become an older one.
    fn fate(&self, manner: Manner, operator: Option<&Operator>) -> Result<Fate, Failure> {
        let Some(operator) = operator else { return Ok(Fate::Comes) };
        if let Some(namespace) = self.operator.said_namespace() {
            operator.is_in(namespace)?;
        }
        let stays = match (manner.kept, &operator.release) {
            (Kept::Nothing, _) => Some(Fate::Stays),
            (Kept::Everything, Some(release)) => Some(Fate::IsHelms(release.clone())),
            (Kept::Everything, None) => None,
        };
        if let Some(stays) = stays {
            return operator.has(&self.operator).map(|()| stays);
        }
        let images = self.operator.images_after(&operator.images);
        operator.may_become(&images.tag, manner.downgrade)?;
        Ok(Fate::Becomes(images))
    }

    /// Another mesh that has to be heeded before anything is written.
    ///
    /// # Errors
    /// When this one can't come while the other is there.
    fn neighbour(&self, fate: &Fate, beside: bool) -> Result<Neighbour, Failure> {
        let stays = matches!(fate, Fate::Stays | Fate::IsHelms(_));
        if beside && stays {
            return Ok(Neighbour::default());
        }
        ask(QUESTIONS, async {
            match Neighbour::of_cluster(&self.cluster.connect().await?.client, beside).await {
                // Who only writes the mesh's description needs no right to see what else there is: the operator looks as well.
                Err(failure) if failure.exit == Exit::Forbidden && stays => Ok(Neighbour::default()),
                found => found,
            }
        })
    }

    /// What would be done, as far as the API server can tell.
    fn try_out(
        &self,
        present: &Present,
        described: &Described,
        fate: &Fate,
        name: &str,
        changes: &[Difference],
        streams: &mut Streams<'_>,
    ) -> Result<Exit, Failure> {
        let mut told = String::new();
        if present.operator.is_none() {
            told.push_str(&format!("the operator would be installed in namespace {}\n", self.operator.namespace()));
        } else {
            ask(QUESTIONS, async {
                let cluster = self.cluster.connect().await?;
                put(&cluster, present.mesh.as_ref(), described, name, true).await.map(drop)
            })?;
        }
        if let (Fate::Becomes(_), Some(operator)) = (fate, &present.operator) {
            let moves = present.moves(fate, &described.spec).map(|moves| format!("{moves}\n"));
            let again = || format!("operator {} and the CRDs would be applied again\n", operator.images.tag);
            told.push_str(&moves.unwrap_or_else(again));
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
        wait: bool,
        fate: &Fate,
        present: &Present,
        described: &Described,
        name: &str,
        streams: &mut Streams<'_>,
        style: Style,
    ) -> Result<String, Failure> {
        let cluster = self.cluster.connect().await?;
        let mut progress = Progress::new(streams, self.wait.timeout());
        let version = self.operator_for(fate, &cluster, present, &described.spec, &mut progress).await?;
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
        fate: &Fate,
        cluster: &Cluster,
        present: &Present,
        spec: &Value,
        progress: &mut Progress<'_, '_>,
    ) -> Result<Option<String>, Failure> {
        let (namespace, images) = match (fate, &present.operator) {
            (Fate::Becomes(images), Some(operator)) => (operator.namespace.as_str(), images.clone()),
            (Fate::IsHelms(release), Some(operator)) => {
                let command = format!("helm upgrade {release} charts/ferromesh -n {}", operator.namespace);
                progress.tell(&format!("the operator stays as it is, for it is Helm's: {command}"));
                return Ok(None);
            }
            (_, Some(operator)) => {
                if let Err(reason) = &operator.ready {
                    progress.tell(&format!("the operator is not ready: {reason}"));
                }
                return Ok(None);
            }
            (_, None) => {
                let namespace = self.operator.namespace();
                progress.tell(&format!("no operator: installing it in namespace {namespace}"));
                (namespace, self.operator.images(spec))
            }
        };
        present.neighbour.note().iter().for_each(|note| progress.tell(note));
        let named = Named::of_cluster(&cluster.client).await?.and(&Named::of_spec(spec));
        let objects = present.neighbour.spared(objects(namespace, &images, &named));
        operator::bring(cluster, namespace, &objects, true, progress).await?;
        Ok(Some(env!("CARGO_PKG_VERSION").to_owned()))
    }
}

/// What is asked before something that is there is changed.
fn question(name: &str, mesh: bool, operator: bool) -> Option<String> {
    match (mesh, operator) {
        (false, false) => None,
        (false, true) => Some("Change the operator?".to_owned()),
        (true, false) => Some(format!("Change MeshInstall {name}?")),
        (true, true) => Some(format!("Change MeshInstall {name} and the operator?")),
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

    /// What becomes of the operator, and of the control plane after it; none if its image stays.
    fn moves(&self, fate: &Fate, spec: &Value) -> Option<String> {
        let (Fate::Becomes(images), Some(operator)) = (fate, &self.operator) else { return None };
        let becomes = operator.becomes(images)?;
        // A mesh that names its own doesn't follow.
        let named = ["version", "tag"].into_iter().any(|field| spec[field].as_str().is_some_and(|name| !name.is_empty()));
        let follows = if named { "" } else { ", the control plane follows by updateStrategy" };
        Some(format!("{becomes}{follows}"))
    }

    /// The spec of the MeshInstall that is there.
    fn spec(&self) -> Option<Value> {
        self.mesh.as_ref().map(|mesh| serde_json::to_value(&mesh.spec).unwrap_or_default())
    }
}
