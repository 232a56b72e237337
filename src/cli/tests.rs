//! The command line as a whole: arguments in; output, notes and exit code out.

use clap::CommandFactory;
use std::ffi::OsString;
use tempfile::TempDir;

use super::{CommandLine, Environment, Exit, Streams, run_with};
use crate::testing::fake_api::FakeApi;

/// What a run left behind.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) exit: Exit,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

pub(super) const TERMINAL: Environment =
    Environment { no_color: false, force_color: false, dumb: false, terminal: true, interactive: true, utf8: true, now: 0 };
pub(super) const PIPE: Environment = Environment { terminal: false, interactive: false, ..TERMINAL };

/// Runs a command line, split at spaces, with a text on standard input.
pub(super) fn run_in(environment: &Environment, command: &str, stdin: &str) -> Run {
    let words: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
    run_words(environment, &words, stdin)
}

/// Runs a command line of these words.
pub(super) fn run_words(environment: &Environment, words: &[&str], stdin: &str) -> Run {
    run_as("ferromesh", environment, words, stdin)
}

/// The same under a name of the program.
pub(super) fn run_as(program: &str, environment: &Environment, words: &[&str], stdin: &str) -> Run {
    let arguments = std::iter::once(&program).chain(words).map(OsString::from);
    let (mut stdin, mut stdout, mut stderr) = (stdin.as_bytes(), Vec::new(), Vec::new());
    let streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
    let exit = run_with(arguments, environment, streams);
    Run { exit, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(stderr).unwrap() }
}

pub(super) fn run(command: &str, stdin: &str) -> Run {
    run_in(&PIPE, command, stdin)
}

/// The same on a cluster, away from the runtime that serves it.
pub(super) async fn run_on(api: &FakeApi, environment: Environment, command: &str, stdin: &str) -> Run {
    let folder = TempDir::new().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, api.kubeconfig().await.to_string()).unwrap();
    let (command, stdin) = (format!("{command} --kubeconfig {}", kubeconfig.display()), stdin.to_owned());
    tokio::task::spawn_blocking(move || run_in(&environment, &command, &stdin)).await.unwrap()
}

#[test]
fn every_help_ends_in_examples_that_are_understood() {
    let mut command = CommandLine::command();
    command.build();
    let mut verbs: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    // Those that keep only verbs of their own below them.
    for group in ["experimental", "manifest", "operator", "profile", "tag"] {
        let of_group = command.find_subcommand(group).unwrap().get_subcommands();
        verbs.extend(of_group.map(|verb| format!("{group} {}", verb.get_name())));
    }
    for verb in verbs.iter().map(String::as_str).chain([""]) {
        let help = run(&format!("{verb} --help"), "");
        assert_eq!(help.exit, Exit::Clean);
        let (_, examples) = help.stdout.split_once("Examples:\n").unwrap_or_else(|| panic!("{verb}: {}", help.stdout));
        for example in examples.trim_end().lines() {
            let arguments = example.trim().split(' ').map(|argument| argument.trim_matches('"'));
            command.try_get_matches_from_mut(arguments).unwrap_or_else(|error| panic!("{example}: {error}"));
        }
    }
}

#[test]
fn wrong_usage_suggests_what_was_meant() {
    let run_verb = run("valdate x.yaml", "");
    assert_eq!((run_verb.exit, run_verb.stdout.as_str()), (Exit::Usage, ""));
    assert!(run_verb.stderr.contains("'validate'"), "{}", run_verb.stderr);
    let run_flag = run("validate --recursiv x.yaml", "");
    assert_eq!(run_flag.exit, Exit::Usage);
    assert!(run_flag.stderr.contains("--recursive"), "{}", run_flag.stderr);
    assert_eq!(run("validate", "").exit, Exit::Usage);
}

#[test]
fn a_plugin_of_kubectl_is_called_as_people_call_it() {
    let usage = |program: &str| {
        let told = run_as(program, &PIPE, &["explain", "--help"], "");
        assert_eq!(told.exit, Exit::Clean);
        told.stdout
    };
    assert!(usage("/usr/local/bin/kubectl-ferromesh").contains("Usage: kubectl ferromesh explain "));
    assert!(usage("/usr/local/bin/ferromesh").contains("Usage: ferromesh explain "));
}

#[test]
fn a_code_is_explained_offline() {
    insta::assert_snapshot!(run("explain fm0104", "").stdout);
    insta::assert_snapshot!(run("explain FM0104 -o json", "").stdout);
    insta::assert_snapshot!(run("explain IST0101", "").stdout);
    let unknown = run("explain FM0140", "");
    assert_eq!(unknown.exit, Exit::Usage);
    insta::assert_snapshot!(unknown.stderr);
}

#[test]
fn all_codes_are_listed() {
    let list = run("explain", "").stdout;
    assert!(list.contains("\nFM0101   The text can't be read at all.\n") && list.contains("\nIST0174  "), "{list}");
}

#[test]
fn version_is_told_without_a_cluster() {
    let version = run("version --remote=false -o json", "");
    assert_eq!((version.exit, version.stderr.as_str()), (Exit::Clean, ""));
    let value: serde_json::Value = serde_json::from_str(&version.stdout).unwrap();
    assert_eq!(value["clientVersion"]["version"], env!("CARGO_PKG_VERSION"));
    let unreachable = run("version --kubeconfig=/no/such/file", "");
    assert_eq!(unreachable.exit, Exit::Clean);
    assert!(unreachable.stderr.starts_with("note: the mesh's version is not known: "), "{}", unreachable.stderr);
}
