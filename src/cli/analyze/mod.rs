//! `ferromesh analyze`: what is doubtful about the mesh as a whole, in a live cluster, in files, or in the cluster as it would be with
//! the files applied.

mod live;
mod stock;
mod suppress;
#[cfg(test)]
mod tests;
mod world;

pub(super) use live::list_kind;
pub(super) use stock::{Item, Key, Stock};
pub(super) use world::mesh_of;

use clap::{ArgAction, Args};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use self::{
    live::Live,
    suppress::Suppression,
    world::{Made, Setting},
};
use super::{
    cluster::{ClusterArgs, MeshArgs, ask, namespace},
    codes::explanations,
    document::FindingDocument,
    exit::{Exit, Failure},
    finding::{Finding, Location, Severity, sentence, unknown_kinds_once, without_hint},
    input::{self, SourceText},
    kinds::unknown,
    manifest::manifests,
    report::{self, Count, Output, counted},
    source::{self, Node},
    terminal::{Streams, Style},
};
use crate::analysis::{self, World};
use crate::config::{Code, Problem, mesh_config};
use crate::model::{MeshConfig, parse_duration};

/// Find what is doubtful about the mesh as a whole, in a cluster, in files, or in both together.
#[derive(Args, Debug)]
#[command(after_help = "\
Files are looked at as if they were applied to the cluster. --use-kube=false looks at files alone.
Exit codes: 0 nothing as bad as --failure-threshold, 79 something found, 65 a file can't be parsed, 69 no cluster, 77 forbidden.

Examples:
  ferromesh analyze
  ferromesh analyze -A -o json
  ferromesh analyze --use-kube=false -R config/
  ferromesh analyze -A --suppress \"IST0102=Namespace *\" --failure-threshold warning")]
pub(super) struct AnalyzeArgs {
    /// Files, directories, or - for standard input
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// The namespace to tell of, and of objects that name none
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    /// Tell of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Read the directories of directories too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Whether to look at the cluster
    #[arg(short = 'k', long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = ArgAction::Set)]
    use_kube: bool,
    /// Don't tell of a code on some objects: CODE=KIND NAME.NAMESPACE, * for any letters
    #[arg(short = 'S', long, value_name = "CODE=OBJECT")]
    suppress: Vec<Suppression>,
    /// The least severity that makes the exit code 79
    #[arg(long, value_enum, default_value = "error", value_name = "SEVERITY", ignore_case = true)]
    failure_threshold: Severity,
    /// The least severity that is told
    #[arg(long, value_enum, default_value = "info", value_name = "SEVERITY", ignore_case = true)]
    output_threshold: Severity,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
    /// List what is looked for, and do nothing else
    #[arg(short = 'L', long)]
    list_analyzers: bool,
    /// Pass over what can't be parsed, and kinds of a mesh that this one has not
    #[arg(long)]
    ignore_unknown: bool,
    /// A file with the mesh's settings, in place of those of the cluster
    #[arg(long = "meshConfigFile", visible_alias = "mesh-config-file", value_name = "FILE")]
    mesh_config_file: Option<PathBuf>,
    #[command(flatten)]
    mesh: MeshArgs,
    /// How long the cluster may take, for example 30s or 2m; a number alone is seconds
    #[arg(long, default_value = "30s", value_parser = seconds, value_name = "TIME", help_heading = "Cluster")]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What was read of a cluster.
struct Read {
    live: Live,
    /// The namespace of the context.
    namespace: String,
}

/// A file with its documents.
struct FileRead {
    text: SourceText,
    documents: Vec<Node>,
}

/// What was found, before anything is held back.
#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    unreadable: bool,
}

// === impl AnalyzeArgs ===

impl AnalyzeArgs {
    /// Analyzes, and tells what was found.
    ///
    /// # Errors
    /// When there is nothing to look at, or it can't be read.
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        if self.list_analyzers {
            streams.answer(&listed()).map_err(|error| Failure::new(Exit::Failed, error))?;
            return Ok(Exit::Clean);
        }
        if !self.use_kube && self.files.is_empty() {
            return Err(Failure::usage("there is nothing to look at: name files, or leave --use-kube=false out"));
        }
        self.note_unknown_suppressions(streams);
        let mesh = self.mesh()?;
        let mut found = Found::default();
        let (files, missing) = self.read_files(streams, &mut found);
        // Without a file that was named the rest may look as if nothing were wrong, or all.
        if files.is_empty() && !found.unreadable && !missing.is_empty() {
            return Failure::all(missing).map(|()| Exit::Clean);
        }
        let read = if self.use_kube { Some(self.read_cluster()?) } else { None };

        let default_namespace = self.namespace.clone().or(read.as_ref().map(|read| read.namespace.clone()));
        let default_namespace = default_namespace.unwrap_or_else(|| "default".to_owned());
        let mut stock = Stock::default();
        let unlisted = read.map(|read| take_live(read.live, &mut stock, streams));
        self.take_files(&files, &default_namespace, &mut stock, &mut found);
        stock.repeated().iter().for_each(|told| streams.note(&format!("note: {told}")));

        let Made { world, left_out } = world::make(&stock, Setting { mesh_namespace: &self.mesh.namespace, mesh, unlisted });
        left_out.iter().for_each(|told| streams.note(&format!("note: {told}")));
        note_skipped(&world, self.use_kube, streams);
        let told_of = self.told_of(&default_namespace);
        let findings = analysis::analyze(&world);
        found.findings.extend(findings.iter().filter_map(|finding| self.take(finding, &stock, told_of)));

        let failed = found.findings.iter().any(|finding| finding.severity >= self.failure_threshold);
        found.findings.retain(|finding| finding.severity >= self.output_threshold);
        self.tell(&found, stock.iter().count(), streams, style)?;
        Failure::all(missing).map(|()| match (found.unreadable && !self.ignore_unknown, failed) {
            (true, _) => Exit::Unreadable,
            (false, true) => Exit::Findings,
            (false, false) => Exit::Clean,
        })
    }

    fn mesh(&self) -> Result<Option<MeshConfig>, Failure> {
        self.mesh_config_file.as_deref().map(mesh_of_file).transpose()
    }

    fn note_unknown_suppressions(&self, streams: &mut Streams<'_>) {
        let known = explanations();
        for suppression in &self.suppress {
            if !known.iter().any(|explanation| explanation.code == suppression.code) {
                streams.note(&format!("note: there is no code {}, so suppressing it has no effect", suppression.code));
            }
        }
    }

    /// The files that can be read, and what is to be said of those that are not there.
    fn read_files(&self, streams: &mut Streams<'_>, found: &mut Found) -> (Vec<FileRead>, Vec<Failure>) {
        let (mut files, mut missing) = (Vec::new(), Vec::new());
        for text in input::texts(&self.files, self.recursive, streams.stdin) {
            let text = match text {
                Ok(text) => text,
                Err(failure) if failure.exit == Exit::Unreadable => {
                    found.unreadable = true;
                    found.findings.extend((!self.ignore_unknown).then(|| Finding::of_unreadable(&failure.message)));
                    continue;
                }
                Err(failure) => {
                    missing.push(failure);
                    continue;
                }
            };
            let (documents, problems) = source::read(&text.text);
            for problem in problems.iter().filter(|_| !self.ignore_unknown) {
                found.unreadable |= !problem.duplicate;
                found.findings.push(Finding::of_text(problem, &text));
            }
            files.push(FileRead { text, documents });
        }
        (files, missing)
    }

    fn read_cluster(&self) -> Result<Read, Failure> {
        let read = ask(self.timeout, async {
            let cluster = self.cluster.connect().await?;
            let live = live::read(&cluster, &self.mesh.namespace).await?;
            Ok(Read { live, namespace: cluster.namespace })
        });
        read.map_err(|failure| match failure.exit {
            Exit::Unreachable | Exit::TimedOut if !self.files.is_empty() => {
                let message = format!("{}\n  to look at the files alone: ferromesh analyze --use-kube=false …", failure.message);
                Failure { message, ..failure }
            }
            _ => failure,
        })
    }

    fn take_files<'n>(&self, files: &'n [FileRead], default_namespace: &str, stock: &mut Stock<'n>, found: &mut Found) {
        for file in files {
            let mut unknown_kinds = Vec::new();
            for manifest in file.documents.iter().flat_map(manifests) {
                let suppressed = |problem: &Problem| {
                    let namespace = manifest.namespace().unwrap_or(default_namespace);
                    let [kind, name] = [manifest.kind, manifest.name()].map(Option::unwrap_or_default);
                    self.suppresses(problem.code.as_str(), kind, namespace, name)
                };
                if let Some(problem) = unknown(&manifest).filter(|problem| !self.ignore_unknown && !suppressed(problem)) {
                    let object = manifest.shown(Some(default_namespace));
                    unknown_kinds.push(Finding { object, ..Finding::of(&problem, Severity::Error).placed(&manifest, &file.text) });
                }
                if !stock.add_file(&file.text, manifest, default_namespace) && !self.ignore_unknown {
                    let message = "a document needs apiVersion and kind: --ignore-unknown passes over those without".to_owned();
                    let problem = Problem { path: String::new(), message, code: Code::Required };
                    let place = Location::new(&file.text.name, &file.text.text, manifest.node.place);
                    found.findings.push(Finding { location: Some(place), ..Finding::of(&problem, Severity::Error) });
                }
            }
            found.findings.extend(unknown_kinds_once(unknown_kinds));
        }
    }

    /// The namespace to tell of; `None` for all. Files alone are told of whole, unless a namespace is asked for.
    fn told_of<'a>(&'a self, default_namespace: &'a str) -> Option<&'a str> {
        match &self.namespace {
            _ if self.all_namespaces => None,
            Some(namespace) => Some(namespace),
            None if self.use_kube => Some(default_namespace),
            None => None,
        }
    }

    /// A finding of the analysis as one of ours; none if it is held back.
    fn take(&self, finding: &analysis::Finding, stock: &Stock<'_>, told_of: Option<&str>) -> Option<Finding> {
        let object = &finding.object;
        let item = stock.find(object.kind, &object.namespace, &object.name);
        let in_file = item.is_some_and(|item| item.file.is_some());
        let namespace = if object.kind == "Namespace" { &object.name } else { &object.namespace };
        let elsewhere = told_of.is_some_and(|told_of| !namespace.is_empty() && **namespace != *told_of);
        if elsewhere && !in_file {
            return None;
        }
        let suppressed = self.suppresses(finding.code.as_str(), object.kind, &object.namespace, &object.name);
        (!suppressed).then(|| of_analysis(finding, item))
    }

    /// Whether a code is not to be told of an object; the namespace is empty for what lives outside of namespaces.
    fn suppresses(&self, code: &str, kind: &str, namespace: &str, name: &str) -> bool {
        let dotted = if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {name}.{namespace}") };
        self.suppress.iter().any(|suppression| suppression.covers(code, &dotted))
    }

    fn tell(&self, found: &Found, objects: usize, streams: &mut Streams<'_>, style: Style) -> Result<(), Failure> {
        let findings = found.findings.iter();
        let told: String = match self.output {
            Output::Human => {
                let told: String = findings.map(|finding| format!("{}\n", report::human(finding, style))).collect();
                format!("{told}{}\n", summary(&found.findings, objects, style))
            }
            Output::Log => findings.map(|finding| report::log(finding, style)).collect(),
            Output::Table | Output::Wide => report::table(&found.findings, self.output == Output::Wide, style),
            Output::Json | Output::Yaml => {
                report::document(&findings.map(report::finding).collect::<Vec<FindingDocument>>(), self.output == Output::Yaml)
            }
        };
        streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        if self.output == Output::Log && found.findings.is_empty() {
            streams.note(&summary(&[], objects, style));
        }
        Ok(())
    }
}

/// The mesh's settings in a file.
///
/// # Errors
/// When it can't be read.
pub(super) fn mesh_of_file(file: &Path) -> Result<MeshConfig, Failure> {
    mesh_config(&input::text(file)?).map_err(|invalid| Failure::new(Exit::Unreadable, format_args!("{} {invalid}", file.display())))
}

/// A time as istioctl takes it, or in seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok().map(Duration::from_secs);
    number.or_else(|| parse_duration(text)).ok_or_else(|| "write for example 30s or 2m".to_owned())
}

/// Takes what a cluster holds; returns the kinds that could not be listed.
fn take_live(live: Live, stock: &mut Stock<'_>, streams: &mut Streams<'_>) -> BTreeSet<String> {
    for object in live.objects {
        stock.add_live(object);
    }
    let note = |(kind, failure): (String, Failure)| {
        streams.note(&format!("note: {}", failure.message));
        kind
    };
    live.unknown.into_iter().map(note).collect()
}

/// Tells in a line what could not be looked for, or not everywhere. Whoever has files alone knows what they can't tell: to them the
/// number is enough.
fn note_skipped(world: &World, live: bool, streams: &mut Streams<'_>) {
    let skipped = analysis::skipped(world);
    let codes: BTreeSet<&str> = skipped.iter().map(|skipped| skipped.code.as_str()).collect();
    let unknown: BTreeSet<&str> = skipped.iter().map(|skipped| skipped.unknown).collect();
    let list = |set: BTreeSet<&str>| set.into_iter().collect::<Vec<_>>().join(", ");
    match (codes.len(), live) {
        (0, _) => {}
        (count, false) => {
            let checks = counted(count, "check");
            streams.note(&format!("note: files alone don't tell what a cluster runs: {checks} left out, wholly or in part"));
        }
        (_, true) => {
            streams.note(&format!("note: {} are not known, so that all or part of these was left out: {}", list(unknown), list(codes)))
        }
    }
}

fn summary(findings: &[Finding], objects: usize, style: Style) -> String {
    let objects = counted(objects, "object");
    match Count::of(findings).words().as_str() {
        "" => format!("{} nothing found in {objects}", style.good()),
        count => format!("{count} in {objects}"),
    }
}

/// A finding of the analysis, with the place of its field if its object is in a file.
fn of_analysis(finding: &analysis::Finding, item: Option<&Item<'_>>) -> Finding {
    let (message, hint) = without_hint(&finding.message);
    let message = sentence(finding.code.as_str(), &finding.path, message);
    let told = Finding {
        severity: finding.level.into(),
        code: finding.code.to_string(),
        object: Some(finding.object.to_string()),
        path: finding.path.clone(),
        message,
        hint,
        location: None,
    };
    match item.and_then(|item| item.file) {
        Some((text, manifest)) => told.placed(&manifest, text),
        None => told,
    }
}

/// What is looked for, a line each.
fn listed() -> String {
    let known = explanations();
    let line = |code: &analysis::Code| {
        let meaning = known.iter().find(|explanation| explanation.code == code.as_str());
        let meaning = meaning.map(|explanation| explanation.meaning.as_str()).unwrap_or_default();
        format!("{code:7}  {:7}  {}: {meaning}\n", code.level().to_string(), code.name())
    };
    analysis::Code::ALL.iter().map(line).collect()
}
