//! Pilot: computes and serves the proxies' configuration.

use super::{
    citadel::TRUST_DOMAIN,
    control_plane::{Mount, Parts, Port},
    object::{Base, Planned},
};
use crate::operator::settings::{ConfigSource, Part, Role};

/// The Service under which today's tools know pilot.
const ALIAS: &str = "istiod";

pub(super) fn plan(base: Base<'_>, part: &Part) -> Vec<Planned> {
    let [token, roots] = Mount::identity();
    let parts = Parts {
        role: Role::Pilot,
        container: "discovery",
        labels: ("istiod", "pilot"),
        args: match base.settings.config_source {
            ConfigSource::Kubernetes => Vec::new(),
            ConfigSource::Galley => vec!["--config-source=galley".to_owned()],
        },
        ports: vec![Port { name: "grpc-xds", pod: 15012, service: 15012 }],
        env: Vec::new(),
        mounts: vec![Mount::mesh_config(), token, roots],
        read_at_start: vec![(TRUST_DOMAIN, &base.settings.mesh.trust_domain)],
    };
    let mut objects = parts.plan(base, part);
    objects.insert(1, parts.service(base, ALIAS));
    objects
}
