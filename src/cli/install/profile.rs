//! `ferromesh profile`: the profiles, what each sets, and how they differ.

use clap::{Args, Subcommand};
use ferromesh_crds::{check::nearest, install::Profile};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    difference::{ComparisonArgs, told_differences},
    istio::{self, dry_run, taken},
    spec::SpecArgs,
};
use crate::cli::{
    exit::{Exit, Failure},
    proxy::Table,
    report::{self, Form},
    terminal::Streams,
};
use crate::operator::{self, between, overlay};

/// Show the profiles, what each sets, and how they differ
#[derive(Args, Debug)]
#[command(args = taken(), arg = dry_run().global(true), after_help = "\
Examples:
  ferromesh profile list
  ferromesh profile dump demo
  ferromesh profile diff default demo")]
pub(in crate::cli) struct ProfileArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
    Dump(Box<DumpArgs>),
    Diff(DiffArgs),
}

/// List the profiles
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ferromesh profile list
  ferromesh profile list -o json")]
struct ListArgs {
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
}

/// Print what a profile sets, as a MeshInstall
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ferromesh profile dump
  ferromesh profile dump demo --config-path gateways.ingress
  ferromesh profile dump minimal --set components.pilot.replicas=2 -o json")]
struct DumpArgs {
    /// The profile; without one that which --set or a file names, or default
    name: Option<String>,
    /// Print this part of the spec alone, for example components.pilot
    #[arg(short = 'p', long, value_name = "PATH")]
    config_path: Option<String>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
    #[command(flatten)]
    spec: SpecArgs,
}

/// Show how two profiles differ, or two files with MeshInstalls
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ferromesh profile diff default demo
  ferromesh profile diff default mesh.yaml --exit-code")]
struct DiffArgs {
    /// A profile, or a file
    first: String,
    /// Another
    second: String,
    #[command(flatten)]
    comparison: ComparisonArgs,
}

/// A profile. `ferromesh profile list` answers with a list of them.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Profile")]
pub(in crate::cli) struct ProfileRow {
    /// Its name, as `spec.profile` has it.
    name: &'static str,
    /// What it is.
    description: &'static str,
}

// === impl ProfileArgs ===

impl ProfileArgs {
    /// Runs the verb.
    ///
    /// # Errors
    /// When there is no such profile, or a file can't be read.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        match &self.verb {
            Verb::List(args) => args.run(streams),
            Verb::Dump(args) => args.run(streams),
            Verb::Diff(args) => args.run(streams),
        }
    }
}

impl ListArgs {
    fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let rows: Vec<ProfileRow> =
            Profile::ALL.into_iter().map(|profile| ProfileRow { name: profile.name(), description: description(profile) }).collect();
        let told = match self.output {
            Form::Human => {
                let mut table = Table::new(&["NAME", "DESCRIPTION"]);
                rows.iter().for_each(|row| table.row([row.name, row.description].map(str::to_owned)));
                table.shown()
            }
            form => report::document(&rows, form == Form::Yaml),
        };
        streams.answered(&told)
    }
}

impl DumpArgs {
    fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let base = match &self.name {
            Some(name) => json!({"profile": named(name)?.name()}),
            None => json!({}),
        };
        let described = self.spec.over(&base, streams.stdin)?;
        let profile = described.checked()?.profile();
        let spec = overlay(&operator::profile(profile), &described.spec);
        let shown = match &self.config_path {
            Some(path) => part(&spec, path)?,
            None => described.clone().with(spec).object(&described.name()),
        };
        streams.answered(&report::document(&shown, self.output != Form::Json))
    }
}

impl DiffArgs {
    fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let [first, second] = [effective(&self.first, streams)?, effective(&self.second, streams)?];
        self.comparison.answer(&between(&first, &second), |found| told_differences(found, [&self.first, &self.second]), streams)
    }
}

/// The whole spec of a profile, or of a file that describes an installation.
fn effective(name: &str, streams: &mut Streams<'_>) -> Result<Value, Failure> {
    let is_file = name == "-" || std::path::Path::new(name).is_file();
    if !is_file {
        return Ok(operator::profile(named(name)?));
    }
    let described = SpecArgs::of_file(name).over(&json!({}), streams.stdin)?;
    Ok(overlay(&operator::profile(described.checked()?.profile()), &described.spec))
}

fn named(name: &str) -> Result<Profile, Failure> {
    let found = Profile::ALL.into_iter().find(|profile| profile.name() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = Profile::ALL.into_iter().map(Profile::name).collect();
        let meant = nearest(name, names.iter().copied()).map(|meant| format!(", did you mean {meant:?}?"));
        let meant = meant.unwrap_or_else(|| format!(": there are {}", names.join(", ")));
        Failure::usage(format_args!("there is no profile {name:?}{meant}"))
    })
}

fn description(profile: Profile) -> &'static str {
    match profile {
        Profile::Default => "the control plane and an ingress gateway",
        Profile::Demo => "the same with an egress gateway, access logs and small requests",
        Profile::Minimal => "pilot, and citadel, which it gets its certificate from",
        Profile::Sds => "default with mutual TLS required",
        Profile::Remote => "what a cluster needs whose pilot runs elsewhere",
    }
}

/// A part of a spec: `components.pilot`, `gateways.ingress[istio-ingressgateway]`, or as 1.4 has it `trafficManagement.components.pilot`.
fn part(spec: &Value, path: &str) -> Result<Value, Failure> {
    let place = istio::place(path);
    let place = place.as_deref().unwrap_or(path);
    let steps = place.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty());
    let found = steps.into_iter().try_fold(spec, |value, step| match value {
        Value::Array(items) => items.iter().find(|item| item["name"] == step).or_else(|| items.get(step.parse::<usize>().ok()?)),
        value => value.get(step),
    });
    found.cloned().ok_or_else(|| {
        let there = if place == path { "there".to_owned() } else { format!("at {place}") };
        Failure::usage(format_args!("--config-path {path}: the profile sets nothing {there}"))
    })
}
