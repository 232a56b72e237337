//! `ferromesh experimental`: verbs whose flags and answers may still change.

use clap::{Args, Subcommand};

use super::{
    check::PrecheckArgs,
    exit::{Exit, Failure},
    inject::UninjectArgs,
    install::UpgradeArgs,
    mesh::{AddToMeshArgs, CheckInjectArgs, RemoveFromMeshArgs},
    terminal::{Environment, Streams, Style},
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
    Upgrade(Box<UpgradeArgs>),
}

// === impl ExperimentalArgs ===

impl ExperimentalArgs {
    /// Runs the verb.
    ///
    /// # Errors
    /// Those of the verb.
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style, environment: &Environment) -> Result<Exit, Failure> {
        match &self.verb {
            Verb::AddToMesh(args) => args.run(streams),
            Verb::CheckInject(args) => args.run(streams, style),
            Verb::Precheck(args) => args.run(streams, style, environment.now),
            Verb::RemoveFromMesh(args) => args.run(streams),
            Verb::Uninject(args) => args.run(streams),
            // As Istio 1.4 calls it.
            Verb::Upgrade(args) => args.run(streams, style, environment.interactive),
        }
    }
}
