//! The ConfigMaps from which the mesh's processes read their settings, while they run.

use serde_json::json;

use super::object::{Base, Planned};
use crate::model::InjectionValues;
use crate::operator::{
    object::Kind,
    settings::{Role, Settings},
};

/// What the mesh's configuration is a component of, by its label.
pub(super) const COMPONENT: &str = "mesh-config";
/// The mesh's configuration in the default revision, key `mesh`.
pub(super) const MESH: &str = "istio";
/// The injector's own values in the default revision, key `values`.
pub(in crate::operator) const INJECTION: &str = "istio-sidecar-injector";

/// The mesh's configuration.
pub(super) fn mesh(base: Base<'_>) -> Planned {
    let mesh = &base.settings.mesh;
    // JSON is YAML, only less pleasant to read.
    let text = serde_saphyr::to_string(mesh).unwrap_or_else(|_| json!(mesh).to_string());
    base.object(Kind::ConfigMap, &base.settings.revision.object(MESH), COMPONENT, json!({"data": {"mesh": text}}))
}

/// What the injector is told.
pub(super) fn injection(base: Base<'_>) -> Planned {
    let text = serde_json::to_string_pretty(&injection_values(base.settings)).unwrap_or_default();
    base.object(Kind::ConfigMap, &base.settings.revision.object(INJECTION), Role::Injector.name(), json!({"data": {"values": text}}))
}

/// The injector's values, of which the operator too decides who should have a sidecar.
pub(in crate::operator) fn injection_values(settings: &Settings) -> InjectionValues {
    let injection = settings.injection.clone();
    InjectionValues {
        hub: settings.images.hub.clone(),
        tag: settings.images.tag.clone(),
        image_pull_policy: settings.images.pull_policy.clone(),
        image_pull_secrets: settings.pull_secrets.clone(),
        revision: settings.revision.name().to_owned(),
        istio_namespace: settings.namespace.clone(),
        ca_address: ca_address(settings),
        cluster_id: settings.cluster.clone(),
        network: settings.network.clone(),
        proxy: settings.sidecar.clone(),
        policy: injection.policy,
        never_inject_selector: injection.never,
        always_inject_selector: injection.always,
        templates: injection.templates,
        default_templates: injection.default_templates,
        template_aliases: injection.template_aliases,
        allowed_images: injection.allowed_images,
        cni: settings.by_cni,
    }
}

/// Where proxies get their certificates.
pub(super) fn ca_address(settings: &Settings) -> String {
    format!("{}.{}.svc:15012", Role::Citadel.object(), settings.namespace)
}
