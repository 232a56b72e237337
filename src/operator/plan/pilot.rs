//! Pilot: computes and serves the proxies' configuration.

use super::{
    citadel::TRUST_DOMAIN,
    control_plane::{Mount, Parts, Source},
    object::{Base, Planned},
};
use crate::operator::settings::{Part, Role};

/// The Service under which today's tools know pilot.
const ALIAS: &str = "istiod";

pub(super) fn plan(base: Base<'_>, part: &Part) -> Vec<Planned> {
    let parts = Parts {
        role: Role::Pilot,
        container: "discovery",
        labels: ("istiod", "pilot"),
        port: ("grpc-xds", 15012, 15012),
        env: Vec::new(),
        mounts: vec![
            Mount::mesh_config(),
            Mount { name: "istio-token", path: "/var/run/secrets/tokens", source: Source::CitadelToken },
            // The pod waits for it: citadel writes it before pilot has any use for a root.
            Mount { name: "istiod-ca-cert", path: "/var/run/secrets/istio", source: Source::ConfigMap("istio-ca-root-cert") },
        ],
        read_at_start: vec![(TRUST_DOMAIN, &base.settings.mesh.trust_domain)],
    };
    let mut objects = parts.plan(base, part);
    objects.insert(1, parts.service(base, ALIAS));
    objects
}
