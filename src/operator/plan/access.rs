//! Who may do what: bindings of the chart's ClusterRoles. The operator holds none of these rights, it may only bind them.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::{
    Share,
    object::{Base, MANAGER, Planned},
};
use crate::model::{PodRepair, served_revision};
use crate::operator::{
    object::{Key, Kind},
    settings::{ConfigSource, NODES, Revision, Role},
};

/// The role by which the operator may work in the mesh's namespace.
pub(in crate::operator) const OWN_ROLE: &str = "ferromesh-operator-namespaced";

/// The role by which the operator may see the mesh's proxies.
const PROXIES: &str = "ferromesh-proxies";
/// The role by which it may restart workloads.
const ROLLOUT: &str = "ferromesh-rollout";

/// The role by which pilot may read gateways' Secrets, and its binding.
pub(super) const CREDENTIALS: &str = "ferromesh-pilot-credentials";

/// The operator's own rights in the mesh's namespace; comes before everything else there.
pub(super) fn own(base: Base<'_>, operator_namespace: &str) -> Planned {
    own_within(base, base.namespace(), "operator", operator_namespace)
}

/// The same rights in another namespace, for the sake of a part of the mesh.
pub(super) fn own_within(base: Base<'_>, namespace: &str, component: &str, operator_namespace: &str) -> Planned {
    let fields = json!({"roleRef": role(OWN_ROLE), "subjects": [subject(MANAGER, operator_namespace)]});
    base.placed(Key::new(Kind::RoleBinding, namespace, OWN_ROLE), component, fields)
}

/// The operator's own rights to look after the mesh's proxies: to see pods and who made them, and to restart workloads as long as that is
/// asked for. That right reaches every workload of the cluster, so it is held no longer than it is needed.
pub(super) fn proxies(base: Base<'_>, share: &Share, operator_namespace: &str) -> Vec<Planned> {
    let bind = |name: &str| {
        let fields = json!({"roleRef": role(name), "subjects": [subject(MANAGER, operator_namespace)]});
        base.object(Kind::ClusterRoleBinding, name, "operator", fields)
    };
    [(share.injects, PROXIES), (share.injects && share.rolls, ROLLOUT)]
        .into_iter()
        .filter(|(bound, _)| *bound)
        .map(|(_, name)| bind(name))
        .collect()
}

/// The rights of one part of the control plane. A binding has the name of its role, and the revision behind it.
pub(super) fn bindings(base: Base<'_>, part: Role) -> Vec<Planned> {
    let revision = &base.settings.revision;
    let home = if part == Role::Cni { NODES } else { base.namespace() };
    let bind = |kind, name: &str| {
        let fields = json!({"roleRef": role(name), "subjects": [subject(&revision.part(part), home)]});
        let name = if part.is_shared() { name.to_owned() } else { revision.object(name) };
        base.object(kind, &name, part.name(), fields)
    };
    let cluster = format!("ferromesh-{}", part.name());
    let mut bindings = vec![bind(Kind::ClusterRoleBinding, &cluster)];
    // Who gets the configuration from galley has no right to it.
    if part == Role::Pilot && base.settings.config_source == ConfigSource::Kubernetes {
        bindings.push(bind(Kind::ClusterRoleBinding, &format!("{cluster}-configuration")));
    }
    // Pods are labelled and deleted by who is told to, and by no other.
    if part == Role::Cni && matches!(base.settings.cni.repair, PodRepair::Label | PodRepair::Delete) {
        bindings.push(bind(Kind::ClusterRoleBinding, &format!("{cluster}-repair")));
    }
    if elects(part) {
        bindings.push(bind(Kind::RoleBinding, &format!("{cluster}-namespaced")));
    }
    bindings
}

/// An add-on's right to look at the cluster.
pub(super) fn addon(base: Base<'_>, role: &str, account: &str, component: &str) -> Planned {
    let fields = json!({"roleRef": self::role(role), "subjects": [subject(account, base.namespace())]});
    base.object(Kind::ClusterRoleBinding, role, component, fields)
}

/// Pilot's right to read Secrets in the mesh's namespace: those that gateways need, each by its name. The one role that is no chart's,
/// because its names are the users'. `readers` are the accounts of the pilots by which gateways are served.
pub(super) fn credentials(base: Base<'_>, names: &BTreeSet<String>, readers: &[String]) -> [Planned; 2] {
    let read = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get", "list", "watch"]});
    // A rule without names would be for all.
    let rules: Vec<Value> = (!names.is_empty()).then_some(read).into_iter().collect();
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": CREDENTIALS});
    let subjects: Vec<Value> = readers.iter().map(|reader| subject(reader, base.namespace())).collect();
    let binding = json!({"roleRef": role, "subjects": subjects});
    let object = |kind, fields| base.object(kind, CREDENTIALS, Role::Pilot.name(), fields);
    [object(Kind::Role, json!({"rules": rules})), object(Kind::RoleBinding, binding)]
}

/// The lease by which a part's replicas agree on one that writes. They hold it, and can't make it: it comes and goes with the mesh.
pub(super) fn lease(base: Base<'_>, part: Role) -> Option<Planned> {
    // Control planes that serve the same configuration agree on one, wherever they stand.
    let of = Revision::named(served_revision(base.settings.revision.name()));
    elects(part).then(|| base.object(Kind::Lease, &of.part(part), part.name(), json!({})))
}

/// Whether a part's replicas agree on one that writes.
fn elects(part: Role) -> bool {
    matches!(part, Role::Citadel | Role::Galley)
}

/// Whether an object is one that the control planes of a mesh share.
pub(super) fn is_shared(name: &str) -> bool {
    [OWN_ROLE, PROXIES, ROLLOUT, Role::Citadel.object()].contains(&name) || name.starts_with("ferromesh-citadel")
}

fn role(name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name})
}

fn subject(account: &str, namespace: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": account, "namespace": namespace})
}
