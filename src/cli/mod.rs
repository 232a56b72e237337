//! Which answer does a person at a terminal get? The verbs of `ferromesh`, one file each.
//!
//! [`run_with`] is the single entry: arguments, what is known of the terminal, and streams in; an exit code out. What a verb answers goes
//! to standard output, everything else to standard error. It reads no environment; files and clusters only as told.

mod analyze;
mod bug_report;
mod check;
mod cluster;
mod codes;
mod completion;
mod dashboard;
mod document;
mod exit;
mod experimental;
mod explain;
mod finding;
mod inject;
mod input;
mod install;
mod kinds;
mod manifest;
mod mesh;
#[cfg(test)]
mod misuse;
mod proxy;
mod report;
mod rollout;
mod source;
mod tag;
mod terminal;
#[cfg(test)]
mod tests;
mod validate;
mod version;
mod why;
mod workload;

pub use completion::{VARIABLE as COMPLETION, complete};
pub use exit::Exit;
pub use terminal::{Environment, Streams};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use std::{ffi::OsString, path::Path};

use self::{
    analyze::AnalyzeArgs,
    bug_report::BugReportArgs,
    check::CheckArgs,
    completion::CompletionArgs,
    dashboard::DashboardArgs,
    exit::Failure,
    experimental::ExperimentalArgs,
    explain::ExplainArgs,
    inject::KubeInjectArgs,
    install::{ImagesArgs, InstallArgs, ManifestArgs, OperatorArgs, PlanArgs, ProfileArgs, UninstallArgs, UpgradeArgs, VerifyArgs},
    proxy::{ProxyConfigArgs, ProxyStatusArgs},
    rollout::RolloutArgs,
    tag::TagArgs,
    terminal::Colour,
    validate::ValidateArgs,
    version::VersionArgs,
    why::WhyArgs,
};

/// The command line of ferromesh, a service mesh.
#[derive(Debug, Parser)]
#[command(
    name = "ferromesh",
    version,
    disable_help_subcommand = true,
    after_help = "Examples:\n  ferromesh install --set profile=demo\n  ferromesh validate -R config/\n  ferromesh analyze -A\n  ferromesh explain FM0104"
)]
struct CommandLine {
    /// When to colour the answer
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t, num_args = 0..=1, default_missing_value = "always", require_equals = true)]
    color: Colour,
    #[command(subcommand)]
    verb: Verb,
}

/// The name under which kubectl finds it.
const PLUGIN: &str = "kubectl-ferromesh";

#[derive(Debug, Subcommand)]
enum Verb {
    Analyze(Box<AnalyzeArgs>),
    BugReport(Box<BugReportArgs>),
    Check(Box<CheckArgs>),
    Completion(CompletionArgs),
    Dashboard(Box<DashboardArgs>),
    Experimental(ExperimentalArgs),
    Explain(ExplainArgs),
    Images(Box<ImagesArgs>),
    Install(Box<InstallArgs>),
    KubeInject(Box<KubeInjectArgs>),
    Manifest(Box<ManifestArgs>),
    Operator(Box<OperatorArgs>),
    Plan(Box<PlanArgs>),
    Profile(Box<ProfileArgs>),
    ProxyConfig(Box<ProxyConfigArgs>),
    ProxyStatus(ProxyStatusArgs),
    Rollout(Box<RolloutArgs>),
    Tag(TagArgs),
    Uninstall(UninstallArgs),
    Upgrade(Box<UpgradeArgs>),
    Validate(ValidateArgs),
    VerifyInstall(VerifyArgs),
    Version(VersionArgs),
    Why(Box<WhyArgs>),
}

/// Runs the verb that the arguments name, the first of which is the program's own name, and returns how it ended.
pub fn run_with(arguments: impl IntoIterator<Item = OsString>, environment: &Environment, mut streams: Streams<'_>) -> Exit {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let ended = if is_called(completion::KUBECTL, &arguments) {
        completion::complete_for_kubectl(arguments.split_off(1), &mut streams)
    } else {
        match understood(arguments) {
            Ok(command) => command.run(environment, &mut streams),
            Err(error) => Ok(misunderstood(&error, &mut streams)),
        }
    };
    match ended {
        Ok(exit) => exit,
        Err(Failure { exit, message }) => {
            streams.note(&format!("error: {message}"));
            exit
        }
    }
}

/// Whether the program has this name.
fn is_called(name: &str, arguments: &[OsString]) -> bool {
    arguments.first().is_some_and(|program| Path::new(program).file_stem().is_some_and(|stem| stem == name))
}

/// Reads the arguments. A program of the plugin's name was called by kubectl, and is called so in help and errors.
fn understood(arguments: Vec<OsString>) -> Result<CommandLine, clap::Error> {
    let mut command = CommandLine::command();
    if is_called(PLUGIN, &arguments) {
        command = command.bin_name("kubectl ferromesh");
    }
    let matches = command.try_get_matches_from_mut(arguments)?;
    CommandLine::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Help and version are answers; the rest is wrong usage.
fn misunderstood(error: &clap::Error, streams: &mut Streams<'_>) -> Exit {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match streams.answer(&text) {
            Ok(()) => Exit::Clean,
            Err(error) => {
                streams.note(&format!("error: {error}"));
                Exit::Failed
            }
        },
        _ => {
            streams.note(text.trim_end());
            Exit::Usage
        }
    }
}

// === impl CommandLine ===

impl CommandLine {
    fn run(self, environment: &Environment, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let style = environment.style(self.color);
        match self.verb {
            Verb::Analyze(args) => args.run(streams, style),
            Verb::BugReport(args) => args.run(streams, environment.now),
            Verb::Check(args) => args.run(streams, style, environment.now),
            Verb::Completion(args) => args.run(streams),
            Verb::Dashboard(args) => args.run(streams, environment.terminal),
            Verb::Experimental(args) => args.run(streams, style, environment),
            Verb::Explain(args) => args.run(streams),
            Verb::Images(args) => args.run(streams),
            Verb::Install(args) => args.run(streams, style, environment.interactive),
            Verb::KubeInject(args) => args.run(streams),
            Verb::Manifest(args) => args.run(streams, style, environment.interactive, environment.now),
            Verb::Operator(args) => args.run(streams, style, environment.interactive),
            Verb::Plan(args) => args.run(streams),
            Verb::Profile(args) => args.run(streams),
            Verb::ProxyConfig(args) => args.run(streams, environment.now),
            Verb::ProxyStatus(args) => args.run(streams, style),
            Verb::Rollout(args) => args.run(streams, style, environment.interactive),
            Verb::Tag(args) => args.run(streams),
            Verb::Uninstall(args) => args.run(streams, style, environment.interactive),
            Verb::Upgrade(args) => args.run(streams, style, environment.interactive),
            Verb::Validate(args) => args.run(streams, style),
            Verb::VerifyInstall(args) => args.run(streams, style, environment.now),
            Verb::Version(args) => args.run(streams),
            Verb::Why(args) => args.run(streams, style),
        }
    }
}
