//! `ferromesh experimental`: verbs whose flags and answers may still change.

use clap::{Args, Subcommand};

use super::{
    check::PrecheckArgs,
    exit::{Exit, Failure},
    inject::UninjectArgs,
    mesh::{AddToMeshArgs, CheckInjectArgs, RemoveFromMeshArgs},
    terminal::{Streams, Style},
};

/// Verbs whose flags and answers may still change
#[derive(Args, Debug)]
#[command(
    visible_alias = "x",
    alias = "exp",
    after_help = "\
Examples:
  ferromesh experimental check-inject -n shop deploy/web
  ferromesh x uninject -f web.yaml"
)]
pub(super) struct ExperimentalArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    AddToMesh(Box<AddToMeshArgs>),
    CheckInject(Box<CheckInjectArgs>),
    Precheck(Box<PrecheckArgs>),
    RemoveFromMesh(Box<RemoveFromMeshArgs>),
    Uninject(UninjectArgs),
}

// === impl ExperimentalArgs ===

impl ExperimentalArgs {
    /// Runs the verb.
    ///
    /// # Errors
    /// Those of the verb.
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style, now: i64) -> Result<Exit, Failure> {
        match &self.verb {
            Verb::AddToMesh(args) => args.run(streams),
            Verb::CheckInject(args) => args.run(streams, style),
            Verb::Precheck(args) => args.run(streams, style, now),
            Verb::RemoveFromMesh(args) => args.run(streams),
            Verb::Uninject(args) => args.run(streams),
        }
    }
}
