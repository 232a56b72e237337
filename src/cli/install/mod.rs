//! Verbs about the installation: what it would consist of, bringing it about, seeing that it is there, taking it away.
//!
//! They write a MeshInstall and leave the rest to the operator; the operator itself they install where there is none. What an
//! installation consists of they ask the operator's own plan.

mod apply;
mod assignment;
mod beside;
mod chart;
mod cluster;
mod difference;
mod generated;
mod gone;
mod images;
mod istio;
mod manifest;
mod migrate;
mod named;
mod neighbours;
mod object;
mod operator;
mod plan;
mod profile;
mod progress;
mod running;
mod spec;
#[cfg(test)]
mod tests;
mod uninstall;
mod verify;
mod wait;

pub(super) use apply::{InstallArgs, UpgradeArgs};
pub(super) use chart::{NAMESPACE as OPERATOR_NAMESPACE, chart_roles, chart_webhook};
pub(super) use cluster::{meshes, operator_namespace, timeout};
pub(super) use images::ImagesArgs;
pub(super) use manifest::ManifestArgs;
pub(super) use object::Id;
pub(super) use operator::{OperatorArgs, may_tag};
pub(super) use plan::PlanArgs;
pub(super) use profile::ProfileArgs;
pub(super) use progress::{BETWEEN, Progress};
pub(super) use spec::schema as spec_schema;
pub(super) use uninstall::UninstallArgs;
pub(super) use verify::VerifyArgs;
pub(super) use wait::{QUESTIONS, WaitArgs};

#[cfg(test)]
pub(super) use {images::ImageRow, manifest::ManifestDifference, profile::ProfileRow, verify::Verification};
