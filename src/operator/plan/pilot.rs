//! Pilot: computes and serves the proxies' configuration.

use serde_json::json;

use super::{
    citadel::TRUST_DOMAIN,
    control_plane::{Mount, Parts, Port},
    object::{Base, Planned},
};
use crate::operator::{
    object::Kind,
    settings::{ConfigSource, Part, RemotePilot, Role},
};

/// How long pilot's allocator keeps what was freed, in milliseconds. All proxies at once need many times what they need afterwards, and when
/// they are served pilot has nothing to do by which the allocator would notice that it is time.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

/// The annotation of its Deployment with the version of the operator that has planned the control plane. With the image that tells which
/// one it is, to an operator that begins anew and to the next version.
pub const RENDERED_BY: &str = "install.ferromesh.dev/rendered-by";

/// The Service under which today's tools know pilot.
pub(super) const ALIAS: &str = "istiod";

pub(super) fn plan(base: Base<'_>, part: &Part) -> Vec<Planned> {
    let [token, roots] = Mount::identity();
    let parts = Parts {
        role: Role::Pilot,
        container: "discovery",
        labels: ("istiod", "pilot"),
        args: args(base),
        ports: vec![Port { name: "grpc-xds", pod: 15012, service: 15012 }],
        env: vec![json!({"name": PURGE_DELAY, "value": "0"})],
        mounts: vec![Mount::mesh_config(&base.settings.revision), token, roots],
        read_at_start: vec![(TRUST_DOMAIN, &base.settings.mesh.trust_domain)],
        described: vec![(RENDERED_BY, &base.settings.operator)],
    };
    let mut objects = parts.plan(base, part);
    objects.insert(1, parts.service(base, &base.settings.revision.object(ALIAS)));
    objects
}

fn args(base: Base<'_>) -> Vec<String> {
    let source = match base.settings.config_source {
        ConfigSource::Kubernetes => None,
        ConfigSource::Galley => Some("--config-source=galley".to_owned()),
    };
    source.into_iter().chain(base.settings.revision.argument()).collect()
}

/// Pilot's Service where pilot runs elsewhere under a name: proxies go on asking for `istio-pilot`, by which they also know whose
/// certificate to expect. Where it has an address, they are told that.
pub(super) fn elsewhere(base: Base<'_>) -> Option<Planned> {
    let Some(RemotePilot::Named(name)) = &base.settings.remote_pilot else { return None };
    let spec = json!({"spec": {"type": "ExternalName", "externalName": name}});
    Some(base.object(Kind::Service, Role::Pilot.object(), Role::Pilot.name(), spec))
}
