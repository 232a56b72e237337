//! `ferromesh completion`: what a shell needs to complete the arguments of the other verbs.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{
    CommandLine,
    exit::{Exit, Failure},
    terminal::Streams,
};

/// Print the completion script for a shell.
#[derive(Args, Debug)]
#[command(after_help = "\
To have it in every shell, write it to where yours looks, for example
/etc/bash_completion.d/ferromesh or ~/.config/fish/completions/ferromesh.fish.

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
        generate(self.shell, &mut CommandLine::command(), "ferromesh", &mut script);
        streams.answer(&String::from_utf8_lossy(&script)).map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(Exit::Clean)
    }
}
