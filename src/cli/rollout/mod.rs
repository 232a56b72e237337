//! `ferromesh rollout`: pods whose sidecar is missing or old, and the restart of what made them.
//!
//! Which pods these are, which workload may be restarted and when, the operator's own functions decide.

mod injectors;
#[cfg(test)]
mod tests;

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use self::injectors::injectors;
use super::{
    cluster::{AskedArgs, Cluster, ask, namespace},
    exit::{Exit, Failure},
    install::{BETWEEN, Progress, QUESTIONS, timeout},
    proxy::Table,
    report::{self, Form, counted},
    terminal::{Streams, Style},
};
use crate::operator::{Look, Outlier, RestartError, Rolling, Rollouts};
use crate::runtime::causes;

/// Restart the workloads whose pods lack the sidecar that they should have, or have an old one
#[derive(Args, Debug)]
#[command(after_help = "\
Workloads are restarted as kubectl rollout restart does it, one after the other, within the PodDisruptionBudgets of their pods. Jobs, pods
that nothing made, and what is paused, OnDelete or partitioned are told of and left.
Exit codes: 0 all is as it should be, or told by --dry-run; 79 some are left; 1 a restart gets no further; 69 no cluster, 75 not done in
time, 77 forbidden.

Examples:
  ferromesh rollout --dry-run -A
  ferromesh rollout --missed -n shop
  ferromesh rollout -A --max-workloads 3 --yes")]
pub(super) struct RolloutArgs {
    /// Only pods that should have a sidecar and have none
    #[arg(long)]
    missed: bool,
    /// Only pods whose sidecar is of another image than a new pod's
    #[arg(long)]
    outdated: bool,
    /// The namespace to look at
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    /// Look at all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Only tell which pods these are
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run, end with 79 if there are any
    #[arg(long, requires = "dry_run")]
    exit_code: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// So many workloads are under way at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..), value_name = "NUMBER")]
    max_workloads: u16,
    /// So many pods more than usual there are at once
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    max_surge_pods: u16,
    /// How long it may take
    #[arg(long, default_value = "10m", value_parser = timeout, value_name = "TIME")]
    timeout: Duration,
    #[command(flatten)]
    asked: AskedArgs,
}

/// A pod whose sidecar is missing or old. `ferromesh rollout` answers with a list of them.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RolloutRow {
    /// Its namespace.
    namespace: String,
    /// Its name.
    pod: String,
    /// What is not as it should be.
    reason: Reason,
    /// What made it, as kubectl takes it: `deployment/web`.
    owner: String,
    /// The image of its sidecar; null if it has none.
    image: Option<String>,
    /// The image that a new sidecar would have.
    current_image: String,
    /// What became of it: `restarted`, or why its owner was left; null with `--dry-run`.
    outcome: Option<String>,
}

/// Why a pod is to be made anew.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Reason {
    /// It should have a sidecar and has none.
    Missed,
    /// Its sidecar is of another image than a new pod's.
    Outdated,
}

/// How each workload ended: restarted, or left for a reason.
type Outcomes = BTreeMap<String, Result<(), String>>;

const RESTARTED: &str = "restarted";

// === impl RolloutArgs ===

impl RolloutArgs {
    /// Tells which pods these are, and restarts what made them.
    ///
    /// # Errors
    /// When the cluster can't be asked, a restart gets no further, or not in time.
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool) -> Result<Exit, Failure> {
        let look = ask(QUESTIONS, async {
            let cluster = self.asked.cluster.connect().await?;
            look(&mut self.rollouts(&cluster), &cluster, &self.asked.mesh.namespace).await
        })?;
        if self.dry_run || look.outliers.is_empty() {
            self.tell(&look.outliers, None, streams, style)?;
            return Ok(if self.exit_code && !look.outliers.is_empty() { Exit::Findings } else { Exit::Clean });
        }
        streams.note(table(&look.outliers).trim_end());
        let workloads: BTreeSet<&String> = look.outliers.iter().filter_map(|outlier| outlier.workload.as_ref()).collect();
        let mut outcomes = Outcomes::new();
        if !workloads.is_empty() {
            let question = format!("Restart {}?", counted(workloads.len(), "workload"));
            let agreed = self.yes || !interactive || streams.agreed(&question).map_err(|error| Failure::new(Exit::Failed, error))?;
            if !agreed {
                streams.note("nothing was restarted");
                return Ok(Exit::Findings);
            }
            outcomes = ask(self.timeout + QUESTIONS, self.roll(streams))?;
        }
        self.tell(&look.outliers, Some(&outcomes), streams, style)?;
        let restarted = |one: &Outlier| outcome(one, &outcomes).is_ok();
        Ok(if look.outliers.iter().all(restarted) { Exit::Clean } else { Exit::Findings })
    }

    fn rollouts(&self, cluster: &Cluster) -> Rollouts {
        let namespace = (!self.all_namespaces).then(|| self.namespace.clone().unwrap_or_else(|| cluster.namespace.clone()));
        let both = self.missed == self.outdated;
        let limits = Rolling {
            workloads: self.max_workloads.into(),
            surge: self.max_surge_pods.into(),
            missed: both || self.missed,
            outdated: both || self.outdated,
        };
        Rollouts::new(cluster.client.clone(), namespace, limits)
    }

    /// Restarts workloads until each is well, or left.
    async fn roll(&self, streams: &mut Streams<'_>) -> Result<Outcomes, Failure> {
        let cluster = self.asked.cluster.connect().await?;
        let mut rollouts = self.rollouts(&cluster);
        let mut progress = Progress::new(streams, self.timeout).hinting("what has been restarted goes on: kubectl get deployments");
        let mut outcomes = Outcomes::new();
        loop {
            let look = look(&mut rollouts, &cluster, &self.asked.mesh.namespace).await?;
            let pass = rollouts.restart(&look, Timestamp::now()).await.map_err(refused)?;
            pass.restarted.iter().for_each(|workload| progress.tell(&format!("{workload} restarted")));
            for workload in pass.helped {
                progress.tell(&format!("{workload} has its sidecars"));
                outcomes.insert(workload, Ok(()));
            }
            for (workload, why) in pass.left {
                if outcomes.get(&workload).is_none_or(Result::is_ok) {
                    progress.tell(&format!("{workload} is left: {why}"));
                    outcomes.insert(workload, Err(why));
                }
            }
            if let Some((workload, why)) = pass.stuck {
                let told = format_args!("the restart of {workload} gets no further, so no other follows: {why}");
                return Err(Failure::new(Exit::Failed, told));
            }
            let Some(first) = pass.awaited.first() else { return Ok(outcomes) };
            let more = if pass.awaited.len() > 1 { format!(" and {} more", pass.awaited.len() - 1) } else { String::new() };
            progress.waiting(&format!("{first}{more}: its pods, the injector or a disruption budget are not ready"))?;
            tokio::time::sleep(BETWEEN).await;
        }
    }

    /// Answers with the pods; with what became of them once something was done.
    fn tell(&self, outliers: &[Outlier], outcomes: Option<&Outcomes>, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        let told = match (self.asked.output, outcomes) {
            (Form::Human, _) if outliers.is_empty() => format!("{} every pod has the sidecar that it should have\n", style.good()),
            (Form::Human, None) => table(outliers),
            (Form::Human, Some(outcomes)) => human(outliers, outcomes, style),
            (form, outcomes) => {
                let rows: Vec<RolloutRow> = outliers.iter().map(|outlier| row(outlier, outcomes)).collect();
                report::document(&rows, form == Form::Yaml)
            }
        };
        streams.answered(&told)
    }
}

/// The pods of a namespace whose sidecar is missing or old.
///
/// # Errors
/// When they, or what they should be like, can't be read.
pub(super) async fn outliers(cluster: &Cluster, mesh_namespace: &str, namespace: &str) -> Result<Vec<Outlier>, Failure> {
    // Nothing is restarted.
    let limits = Rolling { workloads: 0, surge: 0, missed: true, outdated: true };
    look(&mut Rollouts::new(cluster.client.clone(), Some(namespace.to_owned()), limits), cluster, mesh_namespace)
        .await
        .map(|look| look.outliers)
}

async fn look(rollouts: &mut Rollouts, cluster: &Cluster, mesh_namespace: &str) -> Result<Look, Failure> {
    let injectors = injectors(cluster, mesh_namespace).await?;
    rollouts.look(injectors).await.map_err(|error| Failure::cluster("look at pods and namespaces", &error))
}

/// That a workload can't be read or restarted.
fn refused(error: RestartError) -> Failure {
    let told = format!("{}: {}", error.doing, causes(&*error.source));
    Failure { message: told, ..Failure::cluster("", &error.source) }
}

fn reason(outlier: &Outlier) -> Reason {
    if outlier.image.is_some() { Reason::Outdated } else { Reason::Missed }
}

/// What became of a pod.
fn outcome(outlier: &Outlier, outcomes: &Outcomes) -> Result<(), String> {
    match &outlier.workload {
        Some(workload) => outcomes.get(workload).cloned().unwrap_or(Ok(())),
        None => Err(format!("no restart makes a pod of {} anew: that is for who made it", outlier.owner)),
    }
}

fn row(outlier: &Outlier, outcomes: Option<&Outcomes>) -> RolloutRow {
    RolloutRow {
        namespace: outlier.namespace.clone(),
        pod: outlier.pod.clone(),
        reason: reason(outlier),
        owner: outlier.owner.clone(),
        image: outlier.image.clone(),
        current_image: outlier.current.clone(),
        outcome: outcomes.map(|outcomes| outcome(outlier, outcomes).err().unwrap_or_else(|| RESTARTED.to_owned())),
    }
}

fn table(outliers: &[Outlier]) -> String {
    let mut table = Table::new(&["NAMESPACE", "POD", "REASON", "OWNER", "IMAGE"]);
    for outlier in outliers {
        let reason = match reason(outlier) {
            Reason::Missed => "missed",
            Reason::Outdated => "outdated",
        };
        let image = outlier.image.clone().unwrap_or_default();
        table.row([outlier.namespace.clone(), outlier.pod.clone(), reason.to_owned(), outlier.owner.clone(), image]);
    }
    table.shown()
}

fn human(outliers: &[Outlier], outcomes: &Outcomes, style: Style) -> String {
    let restarted = outcomes.values().filter(|outcome| outcome.is_ok()).count();
    let mut told = String::new();
    if restarted > 0 {
        told.push_str(&format!("{} {} restarted\n", style.good(), counted(restarted, "workload")));
    }
    let left: BTreeSet<String> = outliers
        .iter()
        .filter_map(|outlier| Some(format!("{} -n {}: {}", outlier.owner, outlier.namespace, outcome(outlier, outcomes).err()?)))
        .collect();
    left.iter().for_each(|line| told.push_str(&format!("{} {line}\n", style.doubtful())));
    told
}
