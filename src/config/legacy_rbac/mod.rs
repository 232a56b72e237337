//! Roles of Istio 1.4: ServiceRole, ServiceRoleBinding, RbacConfig and ClusterRbacConfig.

mod binding;
mod role;

use ferromesh_crds::rbac::rbac_config::{EnforcementMode, RbacMode, RbacTarget};
use ferromesh_crds::rbac::{ClusterRbacConfig, RbacConfig};

use super::path::SPEC;
use super::problem::{Code, Invalid, Parsed};
use super::reading::{ParseContext, Reading};
use crate::model::{self, RbacScope, RbacTargets};

pub use binding::service_role_binding;
pub use role::service_role;

/// What took the place of all four kinds.
const SUCCESSOR: &str = "AuthorizationPolicy of security.istio.io/v1";
/// What follows from the mesh not acting on them.
const CONSEQUENCE: &str = "no request is allowed or refused because of it";

/// Where roles count, as both kinds say it.
struct Scope<'a> {
    mode: Option<RbacMode>,
    inclusion: Option<&'a RbacTarget>,
    exclusion: Option<&'a RbacTarget>,
}

/// Reads an RbacConfig.
///
/// # Errors
/// Everything that is wrong with it.
pub fn rbac_config(object: &RbacConfig, context: &ParseContext) -> Result<Parsed<model::RbacConfig>, Invalid> {
    let mut reading = Reading::new("RbacConfig", &object.metadata, context);
    let spec = &object.spec;
    reading.deprecated_kind(SUCCESSOR, CONSEQUENCE);
    reading.single();
    let scope = Scope { mode: spec.mode, inclusion: spec.inclusion.as_ref(), exclusion: spec.exclusion.as_ref() };
    let scope = self::scope(&mut reading, &scope);
    let permissive = is_permissive(spec.enforcement_mode);
    let value = model::RbacConfig { origin: reading.origin.clone(), scope, permissive, created: reading.created };
    reading.finish(value)
}

/// Reads a ClusterRbacConfig.
///
/// # Errors
/// Everything that is wrong with it.
pub fn cluster_rbac_config(object: &ClusterRbacConfig, context: &ParseContext) -> Result<Parsed<model::ClusterRbacConfig>, Invalid> {
    let mut reading = Reading::cluster_scoped("ClusterRbacConfig", &object.metadata, context);
    let spec = &object.spec;
    reading.deprecated_kind(SUCCESSOR, CONSEQUENCE);
    reading.single();
    let scope = Scope { mode: spec.mode, inclusion: spec.inclusion.as_ref(), exclusion: spec.exclusion.as_ref() };
    let scope = self::scope(&mut reading, &scope);
    let permissive = is_permissive(spec.enforcement_mode);
    let value = model::ClusterRbacConfig { origin: reading.origin.clone(), scope, permissive, created: reading.created };
    reading.finish(value)
}

fn is_permissive(mode: Option<EnforcementMode>) -> bool {
    mode == Some(EnforcementMode::Permissive)
}

fn scope(reading: &mut Reading<'_>, scope: &Scope<'_>) -> RbacScope {
    let mode = scope.mode.unwrap_or(RbacMode::Off);
    let lists = [
        ("inclusion", scope.inclusion, RbacMode::OnWithInclusion, "ON_WITH_INCLUSION"),
        ("exclusion", scope.exclusion, RbacMode::OnWithExclusion, "ON_WITH_EXCLUSION"),
    ];
    for (field, list, its_mode, name) in lists {
        let at = SPEC.field(field);
        match list {
            None if mode == its_mode => reading.error(&at, Code::Required, format!("required in mode {name}: {{}} for none")),
            Some(_) if mode != its_mode => reading.warn(&at, Code::NoEffect, format!("has no effect but in mode {name}")),
            _ => {}
        }
    }
    match mode {
        RbacMode::Off => RbacScope::Off,
        RbacMode::On => RbacScope::On,
        RbacMode::OnWithInclusion => RbacScope::Only(targets(scope.inclusion)),
        RbacMode::OnWithExclusion => RbacScope::Except(targets(scope.exclusion)),
    }
}

fn targets(targets: Option<&RbacTarget>) -> RbacTargets {
    let texts = |list: &[String]| list.iter().map(|text| text.as_str().into()).collect();
    targets.map_or_else(RbacTargets::default, |one| RbacTargets { services: texts(&one.services), namespaces: texts(&one.namespaces) })
}
