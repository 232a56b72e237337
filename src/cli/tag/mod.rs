//! `ferromesh tag`: names that stand for control planes, in the MeshInstall of the default one. The operator moves what they lead to.

#[cfg(test)]
mod tests;

use clap::{Args, Subcommand};
use ferromesh_crds::MeshInstall;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

use super::{
    cluster::{Cluster, ClusterArgs, ask},
    exit::{Exit, Failure},
    install::{BETWEEN, Progress, WaitArgs, may_tag},
    proxy::Table,
    report::{self, Form},
    terminal::Streams,
};
use crate::model::DEFAULT_REVISION;
use crate::runtime::list_all;

/// Show and move tags, by which namespaces choose a control plane without naming it
#[derive(Args, Debug)]
#[command(after_help = "\
Namespaces choose a tag as they choose a revision, by the label istio.io/rev. The tag default decides for namespaces with
istio-injection=enabled. Pods that run keep their sidecars until they are made anew.
With --wait, a change is waited for until the operator has brought it about.
Exit codes: 0 done, 1 refused, 64 wrong usage, 69 no cluster, 75 not in force in time, 77 forbidden.

Examples:
  ferromesh tag list
  ferromesh tag set prod --revision canary
  ferromesh tag remove prod")]
pub(super) struct TagArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
    Set(SetArgs),
    #[command(visible_alias = "delete")]
    Remove(RemoveArgs),
}

/// List the tags, what they stand for, and who chooses them
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ferromesh tag list
  ferromesh tag list -o json")]
struct ListArgs {
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Have a tag stand for a revision
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ferromesh tag set prod --revision canary
  ferromesh tag set prod --revision default --overwrite
  ferromesh tag set default --revision canary --dry-run")]
struct SetArgs {
    /// The tag
    name: String,
    /// The control plane that it is to stand for; default for the one without a name
    #[arg(short, long, value_name = "REVISION")]
    revision: String,
    /// Move a tag that stands for another one
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Take a tag away
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ferromesh tag remove prod
  ferromesh tag remove prod --yes")]
struct RemoveArgs {
    /// The tag
    name: String,
    /// Also if namespaces choose it, whose new pods then get no sidecar
    #[arg(short, long, visible_alias = "skip-confirmation")]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// How a change is made.
#[derive(Args, Debug)]
struct ChangeArgs {
    /// Only tell what would be done; the API server and the operator's webhook are asked whether it may
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// A tag. `ferromesh tag list` answers with a list of them.
#[derive(Debug, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Tag")]
pub(super) struct TagRow {
    /// Its name.
    tag: String,
    /// The revision that it is to stand for.
    revision: String,
    /// The revision that it stands for at present; null before it stands for any.
    in_force: Option<String>,
    /// The namespaces that choose it.
    namespaces: Vec<String>,
}

/// What there is.
struct World {
    meshes: Vec<MeshInstall>,
    namespaces: Vec<Namespace>,
}

/// How long the questions may take.
const LONGEST: Duration = Duration::from_secs(30);
/// Who changes MeshInstalls here.
const MANAGER: &str = "ferromesh";

// === impl TagArgs ===

impl TagArgs {
    /// Runs the verb.
    ///
    /// # Errors
    /// When the cluster can't be asked, or the change is refused.
    pub(super) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let told = match &self.verb {
            Verb::List(args) => ask(LONGEST, args.told())?,
            Verb::Set(args) => ask(args.change.longest(), args.told(streams))?,
            Verb::Remove(args) => ask(args.change.longest(), args.told(streams))?,
        };
        streams.answered(&told)
    }
}

impl ListArgs {
    async fn told(&self) -> Result<String, Failure> {
        let rows = World::of(&self.cluster.connect().await?).await?.rows();
        Ok(match self.output {
            Form::Human if rows.is_empty() => "no tags\n".to_owned(),
            Form::Human => {
                let mut table = Table::new(&["TAG", "REVISION", "IN FORCE", "NAMESPACES"]);
                for row in &rows {
                    let in_force = row.in_force.clone().unwrap_or_default();
                    table.row([row.tag.clone(), row.revision.clone(), in_force, row.namespaces.join(",")]);
                }
                table.shown()
            }
            form => report::document(&rows, form == Form::Yaml),
        })
    }
}

impl SetArgs {
    async fn told(&self, streams: &mut Streams<'_>) -> Result<String, Failure> {
        let cluster = self.change.cluster.connect().await?;
        let world = World::of(&cluster).await?;
        let mesh = world.of_the_mesh()?;
        let (tag, revision) = (&self.name, &self.revision);
        let known: Vec<&str> = world.meshes.iter().map(revision_of).collect();
        if !known.contains(&revision.as_str()) {
            return Err(Failure::usage(format_args!("there is no revision {revision:?}: there are {}", known.join(", "))));
        }
        match mesh.spec.tags.get(tag) {
            Some(present) if present == revision => {
                self.change.until(&cluster, tag, Some(revision), streams).await?;
                let in_force = mesh.status.as_ref().is_some_and(|status| status.tags.get(tag) == Some(revision));
                return Ok(if in_force {
                    format!("tag {tag} stands for revision {revision} already\n")
                } else {
                    format!("{}\n", self.outcome())
                });
            }
            Some(present) if !self.overwrite => {
                return Err(Failure::usage(format_args!("tag {tag} stands for revision {present}: add --overwrite to move it")));
            }
            _ => {}
        }
        may_tag(&cluster.client, tag).await?;
        self.change.write(&cluster, mesh, tag, &json!(revision)).await?;
        self.change.until(&cluster, tag, Some(revision), streams).await?;
        let label = if tag == DEFAULT_REVISION { "istio-injection=enabled".to_owned() } else { format!("istio.io/rev={tag}") };
        Ok(format!("{}; namespaces choose it by the label {label}\n", self.outcome()))
    }

    /// What the command has come to: only who has waited knows that the operator has moved the tag.
    fn outcome(&self) -> String {
        let (tag, revision) = (&self.name, &self.revision);
        match (self.change.dry_run, self.change.waits()) {
            (true, _) => format!("tag {tag} would stand for revision {revision}"),
            (false, true) => format!("tag {tag} stands for revision {revision}"),
            (false, false) => format!("tag {tag} is to stand for revision {revision}: ferromesh tag list says when it is in force"),
        }
    }
}

impl RemoveArgs {
    async fn told(&self, streams: &mut Streams<'_>) -> Result<String, Failure> {
        let cluster = self.change.cluster.connect().await?;
        let world = World::of(&cluster).await?;
        let (mesh, tag) = (world.of_the_mesh()?, &self.name);
        if !mesh.spec.tags.contains_key(tag) {
            let known: Vec<&str> = mesh.spec.tags.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are {}", known.join(", ")) };
            return Err(Failure::usage(format_args!("there is no tag {tag:?}: {known}")));
        }
        let choosing = world.choosing(tag);
        // Without the tag `default` those namespaces are the default revision's again.
        if !choosing.is_empty() && tag != DEFAULT_REVISION && !self.yes {
            let reason = "new pods there would get no sidecar: label them otherwise first, or add --yes";
            return Err(Failure::new(Exit::Failed, format_args!("tag {tag} is chosen by namespace {}: {reason}", choosing.join(", "))));
        }
        self.change.write(&cluster, mesh, tag, &Value::Null).await?;
        self.change.until(&cluster, tag, None, streams).await?;
        let verb = match (self.change.dry_run, self.change.waits()) {
            (true, _) => "would be removed",
            (false, true) => "is removed",
            (false, false) => "is taken out of the MeshInstall; the operator takes its webhooks away",
        };
        Ok(format!("tag {tag} {verb}\n"))
    }
}

impl ChangeArgs {
    /// Whether it is waited for, so that what was asked for is so in the end.
    fn waits(&self) -> bool {
        !self.dry_run && self.wait.waits(false)
    }

    fn longest(&self) -> Duration {
        if self.wait.waits(false) { self.wait.longest() } else { LONGEST }
    }

    /// Waits until a tag stands for a revision, or for none, if that is asked for.
    async fn until(&self, cluster: &Cluster, tag: &str, revision: Option<&String>, streams: &mut Streams<'_>) -> Result<(), Failure> {
        if !self.waits() {
            return Ok(());
        }
        let mut progress = Progress::new(streams, self.wait.timeout());
        loop {
            let world = World::of(cluster).await?;
            let standing = world.of_the_mesh()?.status.as_ref().and_then(|status| status.tags.get(tag));
            if standing == revision {
                return Ok(());
            }
            let held = standing.map_or_else(|| "it stands for none".to_owned(), |held| format!("it stands for {held}"));
            progress.waiting(&format!("tag {tag}: {held}; kubectl get meshinstall says in TagsReady what keeps it"))?;
            tokio::time::sleep(BETWEEN).await;
        }
    }

    /// Changes a tag in the very object that was read; its status may have changed since, and other tags.
    async fn write(&self, cluster: &Cluster, mesh: &MeshInstall, tag: &str, revision: &Value) -> Result<(), Failure> {
        let meshes: Api<MeshInstall> = Api::all(cluster.client.clone());
        let body = json!({"metadata": {"uid": mesh.uid()}, "spec": {"tags": {tag: revision}}});
        let params = PatchParams { dry_run: self.dry_run, field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let name = mesh.name_any();
        let answer = meshes.patch(&name, &params, &Patch::Merge(body)).await;
        answer.map(drop).map_err(|error| Failure::cluster(format_args!("change MeshInstall {name}"), &error))
    }
}

// === impl World ===

impl World {
    async fn of(cluster: &Cluster) -> Result<Self, Failure> {
        let meshes: Api<MeshInstall> = Api::all(cluster.client.clone());
        let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
        let all = ListParams::default();
        let meshes = list_all(&meshes, &all).await.map_err(|error| Failure::cluster("list MeshInstalls", &error))?;
        let namespaces = list_all(&namespaces, &all).await.map_err(|error| Failure::cluster("list namespaces", &error))?;
        Ok(Self { meshes, namespaces })
    }

    /// The MeshInstall that has the tags.
    fn of_the_mesh(&self) -> Result<&MeshInstall, Failure> {
        let found = self.meshes.iter().find(|mesh| revision_of(mesh) == DEFAULT_REVISION);
        let reason = "there is no MeshInstall of the default revision, which has the tags: ferromesh install";
        found.ok_or_else(|| Failure::new(Exit::Failed, reason))
    }

    fn rows(&self) -> Vec<TagRow> {
        let Ok(mesh) = self.of_the_mesh() else { return Vec::new() };
        let in_force = mesh.status.as_ref().map(|status| status.tags.clone()).unwrap_or_default();
        let row = |(tag, revision): (&String, &String)| TagRow {
            tag: tag.clone(),
            revision: revision.clone(),
            in_force: in_force.get(tag).cloned(),
            namespaces: self.choosing(tag),
        };
        mesh.spec.tags.iter().map(row).collect()
    }

    /// The namespaces that choose a tag.
    fn choosing(&self, tag: &str) -> Vec<String> {
        let chooses = |labels: &BTreeMap<String, String>| match labels.get("istio-injection").map(String::as_str) {
            Some(said) => tag == DEFAULT_REVISION && said == "enabled",
            None => labels.get("istio.io/rev").is_some_and(|said| said == tag),
        };
        self.namespaces.iter().filter(|namespace| chooses(namespace.labels())).map(ResourceExt::name_any).collect()
    }
}

/// A MeshInstall's revision as labels say it.
pub(super) fn revision_of(mesh: &MeshInstall) -> &str {
    match mesh.spec.revision() {
        "" => DEFAULT_REVISION,
        name => name,
    }
}
