//! `ferromesh experimental uninject`: the sidecar out of manifests.

use clap::Args;

use super::{FileArgs, Object, Outcome};
use crate::cli::{
    exit::{Exit, Failure},
    terminal::Streams,
};
use crate::injector::uninject;

/// Take the sidecar out of manifests: what an injection added, and what it changed is put back
#[derive(Args, Debug)]
#[command(after_help = "\
Templates that were not injected, and other objects, are written as they are.
Exit codes: 0 written, 65 a file can't be parsed, 64 wrong usage.

Examples:
  ferromesh experimental uninject -f web.yaml
  ferromesh x uninject -R -f config/ -o plain.yaml")]
pub(in crate::cli) struct UninjectArgs {
    #[command(flatten)]
    files: FileArgs,
}

// === impl UninjectArgs ===

impl UninjectArgs {
    /// Writes the manifests without sidecars.
    ///
    /// # Errors
    /// When a file can't be read, or the result not be written.
    pub(in crate::cli) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        self.files.run(streams, plain)
    }
}

/// An object without a sidecar.
pub(in crate::cli) fn plain(object: &Object<'_>) -> Outcome {
    let plain = uninject(object.template);
    if plain == *object.template { Outcome::Left(None) } else { Outcome::Changed(Box::new(plain)) }
}
