//! `ferromesh plan`, and `manifest diff` without a second file: what the operator would change in the cluster.

use clap::Args;
use ferromesh_crds::{MeshInstall, install::ChangeAction};
use kube::{Client, ResourceExt};
use serde_json::json;
use std::time::Duration;

use super::{
    apply::{Kept, base, changes},
    cluster::{self, Operator, timeout},
    difference::{ComparisonArgs, told_differences},
    manifest::{Change, ManifestDifference, refused},
    spec::{Described, Said, SpecArgs},
    verify::same_quantity,
};
use crate::cli::{
    cluster::{ClusterArgs, ask},
    exit::{Exit, Failure},
    report::counted,
    terminal::Streams,
};
use crate::operator::{Images, Outlook, Prospect};

/// Show what would be created, changed and deleted in the cluster
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
As ferromesh install takes it: what is not said is the profile's. Without a description, what the operator would still do for the
MeshInstalls that are there. Nothing is written, and rights to read are enough; mode: Plan has the operator show the same in the status.
Exit codes: 0 told, 64 described wrongly, 69 no cluster, 77 forbidden, 79 with --exit-code that something would change.

Examples:
  ferromesh plan -f mesh.yaml
  ferromesh plan --set profile=demo --exit-code
  ferromesh plan -o json")]
pub(in crate::cli) struct PlanArgs {
    #[command(flatten)]
    pub(super) spec: SpecArgs,
    #[command(flatten)]
    pub(super) comparison: ComparisonArgs,
    /// How long the cluster may take
    #[arg(long, default_value = "60s", value_parser = timeout, value_name = "TIME", help_heading = "Cluster")]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What is found out about all MeshInstalls that are meant.
#[derive(Default)]
struct Found {
    differences: Vec<ManifestDifference>,
    unchanged: usize,
    /// What is to be said beside that.
    notes: Vec<String>,
}

// === impl PlanArgs ===

impl PlanArgs {
    /// The same with a file that counts less than all others.
    pub(super) fn with_file(&self, file: Option<&str>) -> Self {
        Self { spec: self.spec.clone().with_first(file), ..self.clone() }
    }

    /// Compares, and tells what differs.
    ///
    /// # Errors
    /// When the description is wrong, or the cluster can't be read.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let said = self.spec.said(streams.stdin)?;
        // What is wrong with the words is told without a cluster.
        if !said.is_nothing() {
            said.over(&json!({}))?.checked()?;
        }
        let found = ask(self.timeout, async {
            let client = self.cluster.connect().await?.client;
            let (meshes, operator) = (cluster::meshes(&client).await?, cluster::operator(&client).await?);
            let mut found = Found { notes: note_on(operator.as_ref()).into_iter().collect(), ..Found::default() };
            for mesh in wanted(&said, &meshes, &mut found.differences)? {
                found.look(&client, &mesh, &meshes, operator.as_ref()).await?;
            }
            Ok(found)
        })?;
        found.notes.iter().for_each(|note| streams.note(note));
        self.comparison.answer(&found.differences, |differences| human(differences, found.unchanged), streams)
    }
}

/// The MeshInstalls as they are to be; how they differ from those that are there is found out on the way.
fn wanted(said: &Said, meshes: &[MeshInstall], differences: &mut Vec<ManifestDifference>) -> Result<Vec<MeshInstall>, Failure> {
    if said.is_nothing() {
        let none = "the cluster has no MeshInstall: say what to plan, as in --set profile=default";
        return if meshes.is_empty() { Err(Failure::new(Exit::Failed, none)) } else { Ok(meshes.to_vec()) };
    }
    let spec_of = |mesh: &MeshInstall| serde_json::to_value(&mesh.spec).unwrap_or_default();
    let mut present = cluster::of_revision(meshes, "");
    let described: Described = said.over(&base(Kept::Nothing, present.as_ref().map(spec_of).as_ref())?)?;
    let spec = described.checked()?;
    if !spec.revision().is_empty() {
        present = cluster::of_revision(meshes, spec.revision());
    }
    let mut mesh = present.clone().unwrap_or_else(|| MeshInstall::new(&described.name(), spec.clone()));
    mesh.spec = spec;
    let object = format!("MeshInstall {}", mesh.name_any());
    match present.as_ref().map(|present| changes(&spec_of(present), &described.spec)) {
        None => differences.push(ManifestDifference { object, change: Change::Added, fields: Vec::new() }),
        Some(fields) if fields.is_empty() => {}
        Some(fields) => differences.push(ManifestDifference { object, change: Change::Changed, fields }),
    }
    Ok(vec![mesh])
}

/// Why the plan may be another than the operator's.
fn note_on(operator: Option<&Operator>) -> Option<String> {
    let own = env!("CARGO_PKG_VERSION");
    match operator {
        None => Some("note: no operator runs in the cluster: ferromesh install installs it first".to_owned()),
        Some(operator) if operator.images.tag != own => {
            Some(format!("note: the operator is {}, and this program {own}: it may plan some objects otherwise", operator.images.tag))
        }
        Some(_) => None,
    }
}

/// Why the operator does nothing for a MeshInstall, if so.
fn left_alone(mesh: &MeshInstall, all: &[MeshInstall]) -> Option<String> {
    let name = mesh.name_any();
    if mesh.metadata.deletion_timestamp.is_some() {
        return Some(format!("note: MeshInstall {name} is being deleted, and all that it has goes with it"));
    }
    let first = cluster::of_revision(all, mesh.spec.revision()).map(|first| first.name_any()).filter(|first| *first != name)?;
    Some(format!("note: MeshInstall {first} has the revision of MeshInstall {name} already: the operator leaves {name} alone"))
}

// === impl Found ===

impl Found {
    async fn look(&mut self, client: &Client, mesh: &MeshInstall, all: &[MeshInstall], operator: Option<&Operator>) -> Result<(), Failure> {
        if let Some(note) = left_alone(mesh, all) {
            self.notes.push(note);
            return Ok(());
        }
        let images = operator.map_or_else(Images::published, |operator| operator.images.clone());
        let namespace = operator.map_or(super::chart::NAMESPACE, |operator| &operator.namespace);
        let outlook = Outlook::of(mesh, all, &images, namespace).map_err(|problems| refused(&problems))?;
        let outlook = outlook.ok_or_else(|| {
            let told = format!(
                "MeshInstall {}: another version would come up beside the one that serves, or is to stay: what becomes of it is the \
                 operator's to tell. Set mode: Plan, and read status.plan",
                mesh.name_any()
            );
            Failure::new(Exit::Failed, told)
        })?;
        let looked = outlook.against(client).await;
        let (prospects, unchanged) = looked.map_err(|unread| Failure::cluster(format_args!("read {}", unread.object), &unread.source))?;
        self.unchanged += unchanged;
        prospects.into_iter().for_each(|prospect| self.take(prospect));
        Ok(())
    }

    fn take(&mut self, Prospect { object, action, mut fields }: Prospect) {
        fields.retain(|field| !same_quantity(field));
        let change = match action {
            Some(ChangeAction::Create) => Change::Added,
            Some(ChangeAction::Delete) => Change::Removed,
            Some(ChangeAction::Update) if fields.is_empty() => {
                self.unchanged += 1;
                return;
            }
            Some(ChangeAction::Update) => Change::Changed,
            None => {
                self.notes.push(format!("note: {object} is somebody else's: the operator would leave it alone, and say so"));
                return;
            }
        };
        self.differences.push(ManifestDifference { object, change, fields });
    }
}

fn human(found: &[ManifestDifference], unchanged: usize) -> String {
    let mut told = String::new();
    for ManifestDifference { object, change, fields } in found {
        let fate = match change {
            Change::Added => "would be created",
            Change::Removed => "would be deleted",
            Change::Changed => "would be changed:",
        };
        told.push_str(&format!("{object} {fate}\n"));
        if *change == Change::Changed {
            told_differences(fields, ["NOW", "PLANNED"]).lines().for_each(|line| told.push_str(&format!("  {line}\n")));
        }
    }
    let [created, changed, deleted] =
        [Change::Added, Change::Changed, Change::Removed].map(|wanted| found.iter().filter(|one| one.change == wanted).count());
    let unchanged = counted(unchanged, "object");
    told.push_str(&format!("{created} to create, {changed} to change, {deleted} to delete, {unchanged} as they are\n"));
    told
}
