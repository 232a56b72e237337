//! `ferromesh operator`: installs and removes the operator, for clusters without Helm.

use clap::{Args, Subcommand};
use kube::{
    Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    beside::Neighbour,
    chart::{KEPT, MANAGED_BY, MANAGER, NAMESPACE, objects},
    cluster::{self, Operator},
    gone::{Confirmation, delete, until_gone},
    manifest::documents,
    named::{Named, NamedArgs},
    neighbours::{Labels, neighbours, told},
    object::Id,
    progress::{BETWEEN, Progress},
    wait::{QUESTIONS, WaitArgs},
};
use crate::cli::{
    cluster::{Cluster, ClusterArgs, ask, namespace},
    exit::{Exit, Failure},
    report::{Form, counted},
    terminal::{Streams, Style},
};
use crate::operator::Images;

/// Install and remove the operator
#[derive(Args, Debug)]
#[command(after_help = "\
Helm does the same: charts/ferromesh. What Helm has installed is Helm's to upgrade and to remove.

Examples:
  ferromesh operator init
  ferromesh operator remove")]
pub(in crate::cli) struct OperatorArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(Box<InitArgs>),
    Remove(RemoveArgs),
}

/// Install the operator and the CRDs, or bring them to this version
#[derive(Args, Debug)]
#[command(after_help = "\
Exit codes: 0 installed, 1 refused, 69 no cluster, 75 not ready in time, 77 forbidden.

Examples:
  ferromesh operator init
  ferromesh operator init --hub registry.example/team --tag 1.0.2
  ferromesh operator init --revisions canary --tags prod
  ferromesh operator init --dump")]
struct InitArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    named: NamedArgs,
    /// Print the objects, and ask no cluster
    #[arg(long)]
    dump: bool,
    /// Let an older version take the place of a newer one
    #[arg(long)]
    downgrade: bool,
    /// Have the API server check the objects, and change nothing
    #[arg(long, conflicts_with = "dump")]
    dry_run: bool,
    /// The form of what --dump prints
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Where the operator is, and where its images come from.
#[derive(Args, Clone, Debug)]
pub(super) struct PlaceArgs {
    /// The operator's namespace; ferromesh-system where it is not said
    #[arg(
        long = "operatorNamespace",
        visible_alias = "operator-namespace",
        value_parser = namespace,
        value_name = "NAMESPACE",
        help_heading = "Operator"
    )]
    namespace: Option<String>,
    /// Registry and path of the images `ferromesh` and `ferromesh-proxy`
    #[arg(long, value_name = "HUB", help_heading = "Operator")]
    hub: Option<String>,
    /// Tag of the images
    #[arg(long, value_name = "TAG", help_heading = "Operator")]
    tag: Option<String>,
    /// When a node fetches an image
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"], help_heading = "Operator")]
    image_pull_policy: Option<String>,
}

/// Remove the operator; a mesh that runs goes on running, and nobody heals it
#[derive(Args, Debug)]
#[command(after_help = "\
The CRDs stay, and so does the mesh: ferromesh uninstall removes that, and with --purge everything.
Exit codes: 0 removed, or not there; 1 refused, 69 no cluster, 75 not gone in time, 77 forbidden.

Examples:
  ferromesh operator remove
  ferromesh operator remove --dry-run")]
struct RemoveArgs {
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

// === impl OperatorArgs ===

impl OperatorArgs {
    /// Runs the verb.
    ///
    /// # Errors
    /// Those of the verb.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        match &self.verb {
            Verb::Init(args) => args.run(streams, style),
            Verb::Remove(args) => args.run(streams, style, interactive),
        }
    }
}

// === impl PlaceArgs ===

impl PlaceArgs {
    /// The operator's namespace.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(NAMESPACE)
    }

    /// The namespace, if one was said.
    pub(super) fn said_namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The images, where nothing else is said those that are published, or those that a MeshInstall names.
    pub(super) fn images(&self, spec: &Value) -> Images {
        let published = Images::published();
        let first = |given: &Option<String>, field: &str, default: String| {
            given.clone().or_else(|| spec[field].as_str().map(str::to_owned)).unwrap_or(default)
        };
        Images {
            hub: first(&self.hub, "hub", published.hub),
            tag: first(&self.tag, "tag", published.tag),
            pull_policy: first(&self.image_pull_policy, "imagePullPolicy", published.pull_policy),
        }
    }

    /// The images that are said, and where nothing is said those of before.
    pub(super) fn over(&self, before: &Images) -> Images {
        self.images(&json!({"hub": before.hub, "tag": before.tag, "imagePullPolicy": before.pull_policy}))
    }

    /// The images of this version, where those of another one came from.
    pub(super) fn images_after(&self, before: &Images) -> Images {
        self.images(&json!({"hub": before.hub, "imagePullPolicy": before.pull_policy}))
    }
}

// === impl InitArgs ===

impl InitArgs {
    fn run(&self, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        let images = self.place.images(&Value::Null);
        if self.dump {
            return streams
                .answered(&documents(&objects(self.place.namespace(), &images, &self.named.over(&Named::default())), self.output));
        }
        let told = ask(self.wait.longest(), async {
            let cluster = self.cluster.connect().await?;
            let mut progress = Progress::new(streams, self.wait.timeout());
            let named = self.named.over(&Named::of_cluster(&cluster.client).await?);
            if let Some(found) = cluster::operator(&cluster.client).await? {
                found.upgradable(self.place.namespace(), &named)?;
                found.may_become(&images.tag, self.downgrade)?;
            }
            // A revision's control plane runs beside another mesh; so does a default one that was there first.
            let beside = !named.revisions.is_empty() || cluster::has_begun(&cluster::meshes(&cluster.client).await?);
            let neighbour = Neighbour::of_cluster(&cluster.client, beside).await?;
            neighbour.note().iter().for_each(|note| progress.tell(note));
            let objects = neighbour.spared(objects(self.place.namespace(), &images, &named));
            if self.dry_run {
                apply(&cluster.client, self.place.namespace(), &objects, true).await?;
                return Ok(format!("{} would be applied\n", counted(objects.len(), "object")));
            }
            bring(&cluster, self.place.namespace(), &objects, self.wait.waits(true), &mut progress).await?;
            Ok(format!("{} the operator is installed in namespace {}: ferromesh install\n", style.good(), self.place.namespace()))
        })?;
        streams.answered(&told)
    }
}

// === impl Operator ===

impl Operator {
    /// # Errors
    /// When it isn't ours to write, or is somewhere else.
    fn upgradable(&self, namespace: &str, named: &Named) -> Result<(), Failure> {
        match &self.release {
            Some(release) => {
                let told = format!("the operator is of Helm's release {release}: {}", named.helm_upgrade(release, &self.namespace));
                Err(Failure::new(Exit::Failed, told))
            }
            None => self.is_in(namespace),
        }
    }

    /// Whether it may give these names.
    ///
    /// # Errors
    /// When it may not, with the command by which it may. Who can't read its role is not kept from trying.
    pub(super) async fn may_name(&self, client: &Client, wanted: &Named) -> Result<(), Failure> {
        let Ok(has) = Named::of_cluster(client).await else { return Ok(()) };
        let (all, lacking) = (has.and(wanted), wanted.without(&has));
        if lacking.is_empty() {
            return Ok(());
        }
        let command = match &self.release {
            Some(release) => all.helm_upgrade(release, &self.namespace),
            None => format!("ferromesh operator init --operatorNamespace {}{}", self.namespace, all.flags()),
        };
        Err(Failure::new(Exit::Failed, format_args!("the operator has no right to objects of {} yet: {command}", lacking.told())))
    }
}

/// Whether the operator of a cluster, if it has one, may have a tag.
///
/// # Errors
/// When it may not, with the command by which it may.
pub(in crate::cli) async fn may_tag(client: &Client, tag: &str) -> Result<(), Failure> {
    let Ok(Some(operator)) = cluster::operator(client).await else { return Ok(()) };
    operator.may_name(client, &Named { tags: vec![tag.to_owned()], ..Named::default() }).await
}

/// Installs the operator, and waits for it if that is wanted.
///
/// # Errors
/// When an object is refused, or the operator isn't ready in time.
pub(super) async fn bring(
    cluster: &Cluster,
    namespace: &str,
    objects: &[Value],
    wait: bool,
    progress: &mut Progress<'_, '_>,
) -> Result<(), Failure> {
    apply(&cluster.client, namespace, objects, false).await?;
    progress.tell(&format!("operator: applied {}", counted(objects.len(), "object")));
    if !wait {
        return Ok(());
    }
    loop {
        match cluster::operator(&cluster.client).await?.map(|operator| operator.ready) {
            Some(Ok(())) => {
                progress.tell("operator ready");
                return Ok(());
            }
            Some(Err(reason)) => progress.waiting(&format!("the operator: {reason}, see kubectl get pods -n {namespace}"))?,
            None => progress.waiting("the operator's Deployment")?,
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Applies all objects.
async fn apply(client: &Client, namespace: &str, objects: &[Value], dry_run: bool) -> Result<(), Failure> {
    let params = PatchParams { dry_run, ..PatchParams::apply(MANAGER).force() };
    for object in objects {
        let Some(id) = Id::of(object, namespace) else { continue };
        let answer = id.api(client).patch(&id.name, &params, &Patch::Apply(object)).await;
        match answer {
            Ok(_) => {}
            // Nothing can be tried in a namespace that is not there yet.
            Err(kube::Error::Api(status)) if dry_run && status.code == 404 => {}
            Err(error) => return Err(Failure::cluster(format_args!("apply {id}"), &error)),
        }
    }
    Ok(())
}

// === impl RemoveArgs ===

impl RemoveArgs {
    fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        let found = ask(QUESTIONS, async {
            let client = self.cluster.connect().await?.client;
            let Some(operator) = cluster::operator(&client).await? else { return Ok(None) };
            removable(&client, &operator, |_, _| false).await.map(Some)
        })?;
        let Some((ids, notes)) = found else { return streams.answered("there is no operator\n") };
        notes.iter().for_each(|note| streams.note(&format!("note: {note}")));
        if !self.confirmation.given(&ids, streams, interactive)? {
            return Ok(Exit::Clean);
        }
        let waits = self.wait.waits(true);
        ask(self.wait.longest(), async {
            let client = self.cluster.connect().await?.client;
            let mut progress = Progress::new(streams, self.wait.timeout());
            delete(&client, &ids, &DeleteParams::default(), &mut progress).await?;
            if waits { until_gone(&client, &ids, &mut progress).await } else { Ok(()) }
        })?;
        let removed = if waits { "is removed" } else { "is being removed" };
        streams.answered(&format!("{} the operator {removed}; a mesh that runs goes on running\n", style.good()))
    }
}

/// What goes with the operator, and a note on what stays of it; `goes` says what else is on its way out.
///
/// # Errors
/// When it is Helm's, or can't be read.
pub(super) async fn removable(
    client: &Client,
    operator: &Operator,
    goes: impl Fn(&Id, &Labels) -> bool,
) -> Result<(Vec<Id>, Option<String>), Failure> {
    if let Some(release) = &operator.release {
        let told = format!("the operator is of Helm's release {release}: helm uninstall {release} -n {}", operator.namespace);
        return Err(Failure::new(Exit::Failed, told));
    }
    let (mut ids, mut note) = (Vec::new(), None);
    let kept = |object: &Value| object["metadata"]["annotations"].get(KEPT).is_some();
    for object in objects(&operator.namespace, &operator.images, &Named::default())
        .iter()
        .rev()
        .filter(|object| object["kind"] != "CustomResourceDefinition")
    {
        let Some(id) = Id::of(object, &operator.namespace) else { continue };
        let Some(live) = id.read(client).await? else { continue };
        let owned = live["metadata"]["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty());
        // The roles that the mesh is bound to go with their last owner, by garbage collection.
        let stays = kept(object) && owned;
        // A namespace that was there before is not ours.
        let others = object["kind"] == "Namespace" && live["metadata"]["labels"][MANAGED_BY] != MANAGER;
        if stays || others {
            continue;
        }
        // It comes last, and may be one in which others have moved in, or were before.
        if object["kind"] == "Namespace" {
            note = told(&id.name, &neighbours(client, &id.name, |id, labels| ids.contains(id) || goes(id, labels)).await?);
        }
        if note.is_none() {
            ids.push(id);
        }
    }
    Ok((ids, note))
}
