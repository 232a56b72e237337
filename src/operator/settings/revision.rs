//! Which control plane of a mesh an installation is: the default one, or a named one beside it.
//!
//! Control planes of one mesh share its authority for certificates, its gateways, the nodes' part and its add-ons. These are described
//! where the default one is, and a revision that speaks of them is refused by field.

use ferromesh_crds::install::{Components, MeshInstallSpec};
use serde_json::Value;
use std::collections::BTreeMap;

use super::{Part, Problem, Problems, Role, Settings, values::Translated};
use crate::model::{DEFAULT_REVISION, SLOTS, of_revision};

/// A control plane's revision; empty for the default one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operator) struct Revision(String);

/// Revisions whose objects would have the names of others: `ferromesh-pilot-configuration` is the binding of a role, and
/// `istio-sidecar-injector` and `istio-ca-root-cert` are ConfigMaps beside `istio`.
const TAKEN: [&str; 3] = ["configuration", "sidecar-injector", "ca-root-cert"];

/// Why a field is not a revision's.
const OF_THE_MESH: &str = "belongs to the whole mesh: say it in the MeshInstall of the default revision";

// === impl Revision ===

impl Revision {
    /// The one that a spec describes.
    pub(in crate::operator) fn of(spec: &MeshInstallSpec) -> Self {
        Self(spec.revision().to_owned())
    }

    /// The one of that name.
    pub(in crate::operator) fn named(name: &str) -> Self {
        Self(if name == DEFAULT_REVISION { String::new() } else { name.to_owned() })
    }

    /// The places beside its own where a control plane can stand that is upgraded by a revision: the default one alone.
    pub(in crate::operator) fn slots(&self) -> Vec<Self> {
        if self.is_default() { SLOTS.map(Self::named).into() } else { Vec::new() }
    }

    pub(in crate::operator) fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// Its name as labels and pods say it.
    pub(in crate::operator) fn name(&self) -> &str {
        if self.is_default() { DEFAULT_REVISION } else { &self.0 }
    }

    /// The name of this control plane's own object where the default one's is `name`.
    pub(in crate::operator) fn object(&self, name: &str) -> String {
        of_revision(name, &self.0)
    }

    /// The name of this control plane's Deployment of a part, its Service and its ServiceAccount.
    pub(in crate::operator) fn part(&self, role: Role) -> String {
        if role.is_shared() { role.object().to_owned() } else { self.object(role.object()) }
    }

    /// What tells a process of this control plane whose it is.
    pub(in crate::operator) fn argument(&self) -> Option<String> {
        (!self.is_default()).then(|| format!("--revision={}", self.0))
    }
}

/// Takes what is shared out of a spec that has all that lies under it; the authority stays as the profile has it, for the case that there
/// is no other control plane.
pub(super) fn leave_out_shared(spec: &mut Value) {
    for path in ["/gateways", "/addons", "/components/cni"] {
        if let Some(shared) = spec.pointer_mut(path) {
            *shared = Value::Null;
        }
    }
}

/// What a revision can't say, of its own or by old values.
pub(super) fn problems(spec: &MeshInstallSpec, translated: &Translated) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut wrong = |path: &str, reason: &str| found.push(Problem::new(path, reason));
    let Revision(name) = Revision::of(spec);
    if TAKEN.iter().any(|taken| name == *taken || name.strip_prefix(taken).is_some_and(|rest| rest.starts_with('-'))) {
        wrong("spec.revision", &format!("{name} would give objects the names of others: choose another"));
    }
    if SLOTS.contains(&name.as_str()) {
        wrong(
            "spec.revision",
            &format!("{name} is a place of the default control plane's (updateStrategy.type: Revision): choose another name"),
        );
    }
    let Components { citadel, cni, .. } = spec.components.clone().unwrap_or_default();
    let said = [
        ("spec.components.citadel", citadel.is_some()),
        ("spec.components.cni", cni.is_some()),
        ("spec.gateways", spec.gateways.is_some()),
        ("spec.addons", spec.addons.is_some()),
        ("spec.tags", !spec.tags.is_empty()),
        ("spec.values.cni", !translated.cni.is_empty()),
    ];
    said.iter().filter(|(_, said)| *said).for_each(|(path, _)| wrong(path, OF_THE_MESH));
    for (field, path) in [("gateways", "/gateways"), ("addons", "/addons"), ("citadel", "/components/citadel"), ("cni", "/components/cni")]
    {
        if translated.spec.pointer(path).is_some() {
            wrong("spec.values", &format!("sets {field}, which {OF_THE_MESH}"));
        }
    }
    if translated.strict {
        wrong("spec.values.global.mtls.enabled", &format!("{OF_THE_MESH}; profile sds sets it, too"));
    }
    if spec.injection.as_ref().is_some_and(|injection| injection.enable_namespaces_by_default == Some(true)) {
        wrong(
            "spec.injection.enableNamespacesByDefault",
            "has an effect in the default revision alone: pods come to others by their labels",
        );
    }
    found
}

/// A revision serves proxies, whatever else it has.
pub(super) fn without_pilot(parts: &BTreeMap<Role, Part>) -> Option<Problem> {
    let reason = "a revision is there to serve proxies: leave pilot on";
    (!parts.contains_key(&Role::Pilot)).then(|| Problem::new("spec.components.pilot.enabled", reason))
}

// === impl Settings ===

impl Settings {
    /// The same where another MeshInstall, called `name`, has what is shared.
    ///
    /// # Errors
    /// What both must say alike, and do not.
    pub(in crate::operator) fn beside(self, mesh: &Self, name: &str) -> Result<Self, Problems> {
        let alike = [
            ("namespace", &self.namespace, &mesh.namespace),
            ("meshConfig.trustDomain", &self.mesh.trust_domain, &mesh.mesh.trust_domain),
            ("values.global.multiCluster.clusterName", &self.cluster, &mesh.cluster),
            ("values.global.network", &self.network, &mesh.network),
        ];
        let wrong = |(field, own, theirs): &(&str, &String, &String)| {
            let reason = format!("is {own:?}, and {theirs:?} in MeshInstall {name}: all revisions are one mesh, so make them the same");
            Problem::new(format!("spec.{field}"), reason)
        };
        let problems: Vec<Problem> = alike.iter().filter(|(_, own, theirs)| own != theirs).map(wrong).collect();
        if problems.is_empty() { Ok(self.without_shared(mesh.by_cni)) } else { Err(Problems(problems)) }
    }

    /// The same without what is shared; `by_cni` tells whether the mesh has the nodes' part.
    pub(in crate::operator) fn without_shared(mut self, by_cni: bool) -> Self {
        self.parts.remove(&Role::Citadel);
        self.by_cni = by_cni;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::settings::{Images, resolve};
    use serde_json::json;

    fn read(spec: &Value) -> Result<Settings, String> {
        let images = Images { hub: "h".to_owned(), tag: "t".to_owned(), pull_policy: "Always".to_owned() };
        resolve(&serde_json::from_value(spec.clone()).unwrap(), &images).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_revision_has_pilot_galley_and_injector_and_nothing_that_is_shared() {
        for profile in ["default", "demo"] {
            let revision = read(&json!({"profile": profile, "revision": "canary"})).unwrap();
            assert_eq!(revision.gateways, []);
            assert!(revision.addons.is_empty());
            let beside = revision.beside(&read(&json!({})).unwrap(), "mesh").unwrap();
            assert_eq!(beside.parts.keys().copied().collect::<Vec<_>>(), [Role::Pilot, Role::Galley, Role::Injector], "{profile}");
            assert_eq!(beside.mesh.default_config.discovery_address, "istio-pilot-canary.istio-system.svc:15012");
        }
    }

    #[test]
    fn what_belongs_to_the_mesh_is_refused_by_field() {
        let cases = [
            (json!({"components": {"citadel": {"replicas": 2}}}), "spec.components.citadel: belongs to the whole mesh"),
            (json!({"components": {"cni": {"enabled": true}}}), "spec.components.cni: belongs"),
            (json!({"gateways": {"ingress": [{"name": "edge"}]}}), "spec.gateways: belongs"),
            (json!({"addons": {"kiali": {"enabled": true}}}), "spec.addons: belongs"),
            (json!({"tags": {"prod": "canary"}}), "spec.tags: belongs"),
            (json!({"values": {"gateways": {"istio-egressgateway": {"enabled": true}}}}), "spec.values: sets gateways, which belongs"),
            (json!({"values": {"kiali": {"enabled": true}}}), "spec.values: sets addons, which belongs"),
            (json!({"values": {"global": {"mtls": {"enabled": true}}}}), "spec.values.global.mtls.enabled: belongs"),
            (json!({"profile": "sds"}), "spec.values.global.mtls.enabled: belongs"),
            (json!({"components": {"pilot": {"enabled": false}}}), "spec.components.pilot.enabled: a revision is there to serve proxies"),
            (json!({"injection": {"enableNamespacesByDefault": true}}), "spec.injection.enableNamespacesByDefault: has an effect in the"),
            (json!({"revision": "configuration"}), "spec.revision: configuration would give objects the names of others"),
            (json!({"revision": "sidecar-injector-x"}), "spec.revision: sidecar-injector-x would"),
            (json!({"revision": "blue"}), "spec.revision: blue is a place of the default control plane's"),
            (json!({"updateStrategy": {"type": "Revision"}}), "spec.updateStrategy.type: Revision is for the default control plane"),
        ];
        for (mut spec, wanted) in cases {
            if spec["revision"].is_null() {
                spec["revision"] = json!("canary");
            }
            let found = read(&spec).expect_err("refused");
            assert!(found.contains(wanted), "{spec}: {found}");
        }
    }

    #[test]
    fn what_all_revisions_must_say_alike_is_compared() {
        let mesh = read(&json!({"meshConfig": {"trustDomain": "shop.example"}, "components": {"cni": {"enabled": true}}})).unwrap();
        let found = read(&json!({"revision": "canary"})).unwrap().beside(&mesh, "mesh").unwrap_err().to_string();
        let wanted = "spec.meshConfig.trustDomain: is \"cluster.local\", and \"shop.example\" in MeshInstall mesh: all revisions are one mesh, \
                      so make them the same";
        assert_eq!(found, wanted);
        let same = read(&json!({"revision": "canary", "meshConfig": {"trustDomain": "shop.example"}})).unwrap();
        assert!(same.beside(&mesh, "mesh").unwrap().by_cni, "its pods are redirected by the mesh's nodes");
    }
}
