//! `ferromesh manifest`: the objects of an installation, as documents.

use clap::{Args, Subcommand, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    path::{Path, PathBuf},
    slice::from_ref,
};

use super::{
    apply::ManifestApplyArgs,
    chart::NAMESPACE,
    difference::{told_differences, without_traces},
    istio::{dry_run, taken},
    migrate::{MigrateArgs, VersionsArgs},
    object::Id,
    plan::PlanArgs,
    spec::SpecArgs,
    verify::VerifyArgs,
};
use crate::cli::{
    cluster::namespace,
    exit::{Exit, Failure},
    manifest::each_of_files,
    report::{self, Form, counted},
    terminal::{Streams, Style},
};
use crate::operator::{Difference, Images, between, generate};

/// Write, apply, compare and verify the objects of an installation
#[derive(Args, Debug)]
#[command(args = taken(), after_help = "\
Examples:
  ferromesh manifest generate --set profile=demo
  ferromesh manifest apply --set profile=demo
  ferromesh manifest diff before.yaml after.yaml")]
pub(in crate::cli) struct ManifestArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Generate(Box<GenerateArgs>),
    Apply(Box<ManifestApplyArgs>),
    Diff(Box<DiffArgs>),
    Migrate(MigrateArgs),
    Versions(VersionsArgs),
    VerifyInstall(VerifyArgs),
}

/// Write the objects that the operator would apply, the MeshInstall first
#[derive(Args, Debug)]
#[command(after_help = "\
No cluster is asked. What only a cluster tells is left out: the objects' owner, the webhooks' caBundle and failurePolicy Fail, and pilot's
right to the Secrets that gateways name. CRDs and the operator, without which these objects are no mesh, are not part of it: ferromesh
operator init --dump.

Examples:
  ferromesh manifest generate
  ferromesh manifest generate --set profile=demo
  ferromesh manifest generate -f mesh.yaml --set components.pilot.replicas=2 -o json")]
pub(in crate::cli) struct GenerateArgs {
    /// Write a file for each object into this directory, instead of all to standard output
    #[arg(short = 'd', long, value_name = "DIRECTORY")]
    output_directory: Option<PathBuf>,
    /// Write no file: say how many there would be
    #[arg(long)]
    dry_run: bool,
    /// The operator's namespace
    #[arg(long = "operatorNamespace", visible_alias = "operator-namespace", default_value = NAMESPACE, value_parser = namespace, value_name = "NAMESPACE")]
    operator_namespace: String,
    /// The form of the answer: human, json or yaml; anything else is a directory, as for -d
    #[arg(short, long, value_parser = Output::read, default_value = "human", value_name = "FORM")]
    output: Output,
    #[command(flatten)]
    spec: SpecArgs,
}

/// What `-o` says: today's tools mean a form by it, and Istio 1.4 a directory.
#[derive(Clone, Debug)]
enum Output {
    As(Form),
    Into(PathBuf),
}

/// Show how the objects of two files differ, or the cluster from what is planned, field by field
#[derive(Args, Debug)]
#[command(arg = dry_run(), after_help = "\
Two files are compared with each other; what the API server writes into every object (status, uid, times) does not count. Without a second
one, the cluster is compared with what the operator would make of the first, as by ferromesh plan.

Examples:
  ferromesh manifest diff before.yaml after.yaml
  ferromesh manifest diff before.yaml - --exit-code -o json
  ferromesh manifest diff mesh.yaml
  ferromesh manifest diff --set profile=demo")]
struct DiffArgs {
    /// A file, or - for standard input
    first: Option<String>,
    /// Another
    #[arg(conflicts_with_all = ["set", "filename"])]
    second: Option<String>,
    /// Of directories, take the files of those in them, too
    #[arg(short = 'r', visible_short_alias = 'R', long = "directory", requires = "second")]
    recursive: bool,
    #[command(flatten)]
    plan: PlanArgs,
}

/// An object that is not the same in both files, or in cluster and plan. `ferromesh manifest diff` and `plan` answer with a list of them.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::cli) struct ManifestDifference {
    /// The object, for example `Deployment istio-system/istio-pilot`.
    pub(super) object: String,
    /// Whether the object is in one file alone, or in both with other fields.
    pub(super) change: Change,
    /// The fields, where both have the object.
    pub(super) fields: Vec<Difference>,
}

/// What becomes of an object from the first file to the second, or from the cluster to the plan.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub(super) enum Change {
    /// Only the first has it; it would be deleted.
    Removed,
    /// Only the second has it; it would be created.
    Added,
    /// Both have it, and not the same.
    Changed,
}

// === impl ManifestArgs ===

impl ManifestArgs {
    /// Runs the verb.
    ///
    /// # Errors
    /// Those of the verb.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>, style: Style, interactive: bool, now: i64) -> Result<Exit, Failure> {
        match &self.verb {
            Verb::Generate(args) => args.run(streams),
            Verb::Apply(args) => args.run(streams, style, interactive),
            Verb::Diff(args) => args.run(streams),
            Verb::Migrate(args) => args.run(streams),
            Verb::Versions(_) => VersionsArgs::run(streams),
            Verb::VerifyInstall(args) => args.run(streams, style, now),
        }
    }
}

// === impl GenerateArgs ===

impl GenerateArgs {
    fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let described = self.spec.over(&json!({}), streams.stdin)?;
        let spec = described.checked()?;
        let objects = generate(&spec, &Images::published(), &self.operator_namespace);
        let objects = objects.map_err(|problems| refused(&problems))?;
        let mesh = described.object(&described.name());
        // First: kubectl deletes in this order, and whatever else went before it the operator would make anew.
        let objects: Vec<Value> = std::iter::once(mesh).chain(objects).collect();
        let (form, directory) = match (&self.output, &self.output_directory) {
            (Output::Into(_), Some(_)) => return Err(Failure::usage("-o and -d both name a directory: leave one away")),
            (Output::Into(directory), None) => (Form::Yaml, Some(directory)),
            (Output::As(form), directory) => (*form, directory.as_ref()),
        };
        match directory {
            Some(directory) if self.dry_run => {
                streams.note(&format!("{} would be written to {}", counted(objects.len(), "object"), directory.display()));
                Ok(Exit::Clean)
            }
            Some(directory) => {
                write_files(directory, &objects, form)?;
                streams.note(&format!("{} written to {}", counted(objects.len(), "object"), directory.display()));
                Ok(Exit::Clean)
            }
            None => streams.answered(&documents(&objects, form)),
        }
    }
}

// === impl Output ===

impl Output {
    fn read(text: &str) -> Result<Self, Infallible> {
        Ok(Form::from_str(text, true).map_or_else(|_| Self::Into(text.into()), Self::As))
    }
}

/// That the operator would not install a spec, in a line for each reason.
pub(super) fn refused(problems: &[crate::config::Problem]) -> Failure {
    let all = problems.iter().map(Failure::usage).collect();
    Failure::all(all).err().unwrap_or_else(|| Failure::usage("the operator would refuse this"))
}

/// Objects as a file that kubectl reads: YAML documents, or a list in JSON.
pub(super) fn documents(objects: &[Value], form: Form) -> String {
    if form == Form::Json {
        return report::document(&json!({"apiVersion": "v1", "kind": "List", "items": objects}), false);
    }
    objects.iter().map(|object| format!("---\n{}", report::document(object, true))).collect()
}

/// Writes each object to a file of its own; numbers in front keep the order.
fn write_files(directory: &Path, objects: &[Value], form: Form) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, format_args!("can't write to {}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    let ending = if form == Form::Json { "json" } else { "yaml" };
    for (number, object) in objects.iter().enumerate() {
        let text = |field: &Value| field.as_str().unwrap_or_default().to_ascii_lowercase();
        let name = format!("{number:02}-{}-{}.{ending}", text(&object["kind"]), text(&object["metadata"]["name"]));
        std::fs::write(directory.join(name), report::document(object, form != Form::Json)).map_err(failed)?;
    }
    Ok(())
}

// === impl DiffArgs ===

impl DiffArgs {
    fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let Some(names @ [first, second]) = self.first.as_ref().zip(self.second.as_ref()).map(<[&String; 2]>::from) else {
            return self.plan.with_file(self.first.as_deref()).run(streams);
        };
        let mut read = |name: &String| objects_of(from_ref(name), self.recursive, streams).map(by_name);
        let (first, second) = (read(first)?, read(second)?);
        self.plan.comparison.answer(&compared(&first, &second), |found| human(found, names.map(String::as_str)), streams)
    }
}

/// The objects of files, in their order; of directories in directories if `recursive`.
///
/// # Errors
/// When a file can't be read, or a document is no object.
pub(super) fn objects_of(names: &[String], recursive: bool, streams: &mut Streams<'_>) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    each_of_files(names, recursive, streams.stdin, |at, manifest| {
        let object = manifest.to_value();
        if Id::of(&object, "").is_none() {
            return Err(Failure::new(Exit::Unreadable, format_args!("{at}: this is no object with apiVersion, kind and name")));
        }
        objects.push(object);
        Ok(())
    })?;
    Ok(objects)
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let named = |object: Value| Some((Id::of(&object, "")?.to_string(), without_traces(object)));
    objects.into_iter().filter_map(named).collect()
}

fn compared(first: &BTreeMap<String, Value>, second: &BTreeMap<String, Value>) -> Vec<ManifestDifference> {
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let difference = |name: &String| {
        let (change, fields) = match (first.get(name), second.get(name)) {
            (Some(first), Some(second)) => (Change::Changed, between(first, second)),
            (Some(_), None) => (Change::Removed, Vec::new()),
            (None, _) => (Change::Added, Vec::new()),
        };
        let same = change == Change::Changed && fields.is_empty();
        (!same).then(|| ManifestDifference { object: name.clone(), change, fields })
    };
    names.into_iter().filter_map(difference).collect()
}

fn human(found: &[ManifestDifference], names: [&str; 2]) -> String {
    let mut told = String::new();
    for ManifestDifference { object, change, fields } in found {
        match change {
            Change::Removed => told.push_str(&format!("{object}: only in {}\n", names[0])),
            Change::Added => told.push_str(&format!("{object}: only in {}\n", names[1])),
            Change::Changed => {
                told.push_str(&format!("{object}:\n"));
                let table = told_differences(fields, names);
                table.lines().for_each(|line| told.push_str(&format!("  {line}\n")));
            }
        }
    }
    told
}
