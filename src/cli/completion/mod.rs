//! `ferromesh completion`: what a shell needs to complete arguments, and the answers that it then asks for at each press of the key.
//!
//! A shell's script calls this program with the words so far ([`complete`]), kubectl calls it under a name of its own
//! ([`complete_for_kubectl`]). The names of verbs and flags are the parser's; those of pods and the like come from the cluster.

mod live;
mod place;
mod settings;
#[cfg(test)]
mod tests;
mod words;

use clap::{Args, Command, CommandFactory};
use clap_complete::{
    Shell,
    env::{EnvCompleter, Shells},
};
use std::{
    ffi::{OsStr, OsString},
    path::Path,
    sync::Arc,
};

use self::{place::with_names, words::Words};
use super::{
    CommandLine,
    exit::{Exit, Failure},
    terminal::Streams,
};

/// The variable by which a shell's script asks, set to the shell's name.
pub const VARIABLE: &str = "FERROMESH_COMPLETE";
/// The name under which kubectl looks for who completes the arguments of its plugin.
pub(super) const KUBECTL: &str = "kubectl_complete-ferromesh";
/// What tells kubectl that only these are meant, and no files (cobra's `ShellCompDirectiveNoFileComp`).
const NO_FILES: &str = ":4\n";

const NAME: &str = "ferromesh";

/// Print the completion script for a shell
#[derive(Args, Debug)]
#[command(after_help = "\
To have it in every shell, write it to where yours looks, for example
/etc/bash_completion.d/ferromesh or ~/.config/fish/completions/ferromesh.fish; write it again after an upgrade.
Names of pods, namespaces and the like are those of the cluster.

Examples:
  ferromesh completion bash
  ferromesh completion zsh")]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

// === impl CompletionArgs ===

impl CompletionArgs {
    /// Prints the script.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        let shell = shell(&self.shell.to_string())?;
        shell.write_registration(VARIABLE, NAME, NAME, NAME, &mut script).map_err(|error| Failure::new(Exit::Failed, error))?;
        streams.answered(&String::from_utf8_lossy(&script))
    }
}

/// Answers a shell's script: what the word that is being typed may become. The words follow `--`.
#[must_use]
pub fn complete(shell_name: &str, arguments: Vec<OsString>, directory: Option<&Path>, streams: &mut Streams<'_>) -> Exit {
    let words: Vec<OsString> = arguments.into_iter().skip_while(|word| word != "--").skip(1).collect();
    // Anything else that is said would stand in the middle of what is being typed.
    candidates(shell_name, words, directory).and_then(|answer| streams.answered(&answer)).unwrap_or(Exit::Failed)
}

fn candidates(shell_name: &str, words: Vec<OsString>, directory: Option<&Path>) -> Result<String, Failure> {
    if words.is_empty() {
        return Err(Failure::usage("there are no words to complete"));
    }
    let (mut command, mut answer) = (command(&words), Vec::new());
    shell(shell_name)?.write_complete(&mut command, words, directory, &mut answer).map_err(failed)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Answers kubectl: a candidate a line with what it is, then a directive. The words are those behind the plugin's name, the last is the
/// one that is being typed.
pub(super) fn complete_for_kubectl(words: Vec<OsString>, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let words: Vec<OsString> = std::iter::once(NAME.into()).chain(words).collect();
    let last = words.len() - 1;
    let typed = words[last].clone();
    let mut candidates = clap_complete::engine::complete(&mut command(&words), words, last, None).map_err(failed)?;
    // As kubectl does it: flags for who types one.
    let is_flag = |word: &OsStr| word.as_encoded_bytes().starts_with(b"-");
    candidates.retain(|candidate| is_flag(&typed) || !is_flag(candidate.get_value()));
    let line = |candidate: &clap_complete::CompletionCandidate| {
        let value = candidate.get_value().to_string_lossy();
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        help.lines().next().map_or_else(|| format!("{value}\n"), |help| format!("{value}\t{help}\n"))
    };
    let lines: String = candidates.iter().map(line).collect();
    streams.answered(&format!("{lines}{NO_FILES}"))
}

/// The command line, with those arguments marked whose values are names.
fn command(words: &[OsString]) -> Command {
    with_names(CommandLine::command(), "", &Arc::new(Words::of(words)))
}

fn shell(name: &str) -> Result<&'static dyn EnvCompleter, Failure> {
    const SHELLS: Shells<'static> = Shells::builtins();
    let found = SHELLS.0.iter().find(|shell| shell.is(name));
    found.copied().ok_or_else(|| Failure::usage(format_args!("nothing is known of a shell {name:?}")))
}

fn failed(error: std::io::Error) -> Failure {
    Failure::new(Exit::Failed, error)
}
