//! `ferromesh manifest migrate` and `manifest versions`: from Istio's descriptions and versions to ours.

use clap::Args;
use serde_json::json;

use super::{istio::dry_run, spec::SpecArgs};
use crate::cli::{
    exit::{Exit, Failure},
    report,
    terminal::Streams,
};

/// Write what an IstioControlPlane, or a file of values for Istio's charts, says as a MeshInstall
#[derive(Args, Debug)]
#[command(arg = dry_run(), after_help = "\
What has no meaning here is refused by name, with what to do in its place.

Examples:
  ferromesh manifest migrate values.yaml
  ferromesh manifest migrate control-plane.yaml")]
pub(super) struct MigrateArgs {
    /// The file, or - for standard input
    #[arg(value_name = "FILE")]
    file: String,
}

/// Tell which versions this program installs, and from which it upgrades
#[derive(Args, Debug)]
#[command(arg = dry_run(), after_help = "\
Examples:
  ferromesh manifest versions")]
pub(super) struct VersionsArgs {}

// === impl MigrateArgs ===

impl MigrateArgs {
    pub(super) fn run(&self, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let described = SpecArgs::of_values(&self.file).over(&json!({}), streams.stdin)?;
        described.checked()?;
        streams.answered(&report::document(&described.object(&described.name()), true))
    }
}

// === impl VersionsArgs ===

impl VersionsArgs {
    pub(super) fn run(streams: &mut Streams<'_>) -> Result<Exit, Failure> {
        let own = env!("CARGO_PKG_VERSION");
        let told = format!(
            "this program can:\n  install ferromesh {own}\n  upgrade a mesh to {own}; proxies one minor version behind or ahead keep working\n"
        );
        streams.answered(&told)
    }
}
