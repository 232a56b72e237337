//! Citadel: signs the workloads' certificates.

use serde_json::json;

use super::{
    control_plane::{Mount, Parts, Port},
    object::{Base, Planned},
};
use crate::operator::settings::{Part, Revision, Role};

/// The trust domain is part of every identity, the process's own too, so it holds from its start to its end.
pub(super) const TRUST_DOMAIN: &str = "install.ferromesh.dev/trust-domain";

/// With the configuration that the control plane at `place` has.
pub(super) fn plan(base: Base<'_>, part: &Part, place: &Revision) -> Vec<Planned> {
    // Without `controller` and `blockOwnerDeletion`: what citadel makes in other namespaces must never hold up the MeshInstall's end.
    let owner = base.owner;
    let owner = json!({"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid});
    let parts = Parts {
        role: Role::Citadel,
        container: "citadel",
        labels: ("security", "citadel"),
        args: Vec::new(),
        ports: vec![Port { name: "grpc-citadel", pod: 15012, service: 15012 }],
        env: vec![json!({"name": "MESH_OWNER", "value": owner.to_string()})],
        mounts: vec![Mount::mesh_config(place)],
        read_at_start: vec![(TRUST_DOMAIN, &base.settings.mesh.trust_domain)],
        described: Vec::new(),
    };
    parts.plan(base, part)
}
