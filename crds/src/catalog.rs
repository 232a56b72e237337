//! Every kind of the API: its group, its versions, its CRD and its schema.

use std::sync::OnceLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::authentication::{MeshPolicy, Policy};
use crate::check;
use crate::extensions::{TrafficExtension, WasmPlugin};
use crate::install::MeshInstall;
use crate::networking::{
    DestinationRule, EnvoyFilter, Gateway, ProxyConfig, ServiceEntry, Sidecar, VirtualService, WorkloadEntry, WorkloadGroup,
};
use crate::rbac::{ClusterRbacConfig, RbacConfig, ServiceRole, ServiceRoleBinding};
use crate::schema::Rules;
use crate::security::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication};
use crate::telemetry::Telemetry;

/// Versions of the networking group, the stored one first. All have the same schema.
const NETWORKING: &[&str] = &["v1", "v1beta1", "v1alpha3"];
/// Versions of EnvoyFilter.
const ENVOY_FILTER: &[&str] = &["v1alpha3"];
/// Versions of ProxyConfig.
const PROXY_CONFIG: &[&str] = &["v1beta1"];
/// Versions of the security group, the stored one first. All have the same schema.
const SECURITY: &[&str] = &["v1", "v1beta1"];
/// Versions of Telemetry, the stored one first: v1alpha1, as in the reference, so that either mesh reads what the other stored.
const TELEMETRY: &[&str] = &["v1alpha1", "v1"];
/// The one version of the extensions group.
const EXTENSIONS: &[&str] = &["v1alpha1"];
/// The one version of the groups that Istio 1.4 had and later ones have not.
const LEGACY: &[&str] = &["v1alpha1"];

/// For kinds of which there is one object.
const SINGLE: &[(&str, &str)] = &[("self.metadata.name == 'default'", "there is one object of this kind: it must be named default")];
/// A namespace has one Policy for all of its services.
const POLICY_NAMES: &[(&str, &str)] = &[(
    "(self.metadata.name == 'default') != (has(self.spec) && has(self.spec.targets) && self.spec.targets.size() > 0)",
    "the Policy named default is for the whole namespace and has no targets; any other needs targets",
)];
/// Versions of MeshInstall, the stored one first.
const INSTALL: &[&str] = &["v1alpha1"];

/// A kind of the API.
pub struct Kind {
    /// The API group.
    pub group: &'static str,
    /// The kind's name.
    pub name: &'static str,
    /// The plural, as it stands in URLs.
    pub plural: &'static str,
    /// Served versions; the first is the one that is stored.
    pub versions: &'static [&'static str],
    /// Whether its objects belong to no namespace.
    pub cluster_scoped: bool,
    /// CEL rules on whole objects: those on names can't stand in the spec.
    rules: &'static [(&'static str, &'static str)],
    derived: fn() -> CustomResourceDefinition,
    schema: OnceLock<Value>,
    rewrite: fn(Value) -> serde_json::Result<Value>,
}

static KINDS: [Kind; 22] = [
    kind::<MeshPolicy>("authentication.istio.io", "MeshPolicy", "meshpolicies", LEGACY).cluster_scoped().ruled(SINGLE),
    kind::<Policy>("authentication.istio.io", "Policy", "policies", LEGACY).ruled(POLICY_NAMES),
    kind::<TrafficExtension>("extensions.istio.io", "TrafficExtension", "trafficextensions", EXTENSIONS),
    kind::<WasmPlugin>("extensions.istio.io", "WasmPlugin", "wasmplugins", EXTENSIONS),
    kind::<MeshInstall>("install.ferromesh.dev", "MeshInstall", "meshinstalls", INSTALL).cluster_scoped(),
    kind::<DestinationRule>("networking.istio.io", "DestinationRule", "destinationrules", NETWORKING),
    kind::<EnvoyFilter>("networking.istio.io", "EnvoyFilter", "envoyfilters", ENVOY_FILTER),
    kind::<Gateway>("networking.istio.io", "Gateway", "gateways", NETWORKING),
    kind::<ProxyConfig>("networking.istio.io", "ProxyConfig", "proxyconfigs", PROXY_CONFIG),
    kind::<ServiceEntry>("networking.istio.io", "ServiceEntry", "serviceentries", NETWORKING),
    kind::<Sidecar>("networking.istio.io", "Sidecar", "sidecars", NETWORKING),
    kind::<VirtualService>("networking.istio.io", "VirtualService", "virtualservices", NETWORKING),
    kind::<WorkloadEntry>("networking.istio.io", "WorkloadEntry", "workloadentries", NETWORKING),
    kind::<WorkloadGroup>("networking.istio.io", "WorkloadGroup", "workloadgroups", NETWORKING),
    kind::<ClusterRbacConfig>("rbac.istio.io", "ClusterRbacConfig", "clusterrbacconfigs", LEGACY).cluster_scoped().ruled(SINGLE),
    kind::<RbacConfig>("rbac.istio.io", "RbacConfig", "rbacconfigs", LEGACY).ruled(SINGLE),
    kind::<ServiceRole>("rbac.istio.io", "ServiceRole", "serviceroles", LEGACY),
    kind::<ServiceRoleBinding>("rbac.istio.io", "ServiceRoleBinding", "servicerolebindings", LEGACY),
    kind::<AuthorizationPolicy>("security.istio.io", "AuthorizationPolicy", "authorizationpolicies", SECURITY),
    kind::<PeerAuthentication>("security.istio.io", "PeerAuthentication", "peerauthentications", SECURITY),
    kind::<RequestAuthentication>("security.istio.io", "RequestAuthentication", "requestauthentications", SECURITY),
    kind::<Telemetry>("telemetry.istio.io", "Telemetry", "telemetries", TELEMETRY),
];

/// Every kind, by group and name.
#[must_use]
pub fn kinds() -> &'static [Kind] {
    &KINDS
}

/// The kind of this group and name, if the API has it.
#[must_use]
pub fn find(group: &str, name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.group == group && kind.name == name)
}

const fn kind<K: CustomResourceExt + DeserializeOwned + Serialize>(
    group: &'static str,
    name: &'static str,
    plural: &'static str,
    versions: &'static [&'static str],
) -> Kind {
    Kind {
        group,
        name,
        plural,
        versions,
        cluster_scoped: false,
        rules: &[],
        derived: K::crd,
        schema: OnceLock::new(),
        rewrite: rewrite::<K>,
    }
}

fn rewrite<K: DeserializeOwned + Serialize>(object: Value) -> serde_json::Result<Value> {
    serde_json::to_value(K::deserialize(object)?)
}

// === impl Kind ===

impl Kind {
    /// The same kind, without namespaces.
    const fn cluster_scoped(mut self) -> Self {
        self.cluster_scoped = true;
        self
    }

    /// The same kind, with rules on whole objects.
    const fn ruled(mut self, rules: &'static [(&'static str, &'static str)]) -> Self {
        self.rules = rules;
        self
    }

    /// The name of the CRD.
    #[must_use]
    pub fn crd_name(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// The CRD with all its versions, ready to be applied.
    #[must_use]
    pub fn crd(&self) -> CustomResourceDefinition {
        let mut crd = (self.derived)();
        let mut derived = crd.spec.versions.remove(0);
        if let Some(validation) = &mut derived.schema {
            let schema = serde_json::from_value(self.schema().clone());
            validation.open_api_v3_schema = Some(schema.expect("the schema came from this type"));
        }
        crd.spec.versions = self
            .versions
            .iter()
            .enumerate()
            .map(|(position, version)| {
                let mut entry = derived.clone();
                (*version).clone_into(&mut entry.name);
                entry.served = true;
                entry.storage = position == 0;
                entry
            })
            .collect();
        crd.spec.names.list_kind = Some(format!("{}List", self.name));
        crd
    }

    /// The schema of whole objects, made once: what the API server checks, and what [`crate::check`] reads.
    #[must_use]
    pub fn schema(&self) -> &Value {
        self.schema.get_or_init(|| {
            let derived = (self.derived)().spec.versions.into_iter().next();
            let schema = derived.and_then(|version| version.schema).and_then(|schema| schema.open_api_v3_schema);
            let mut schema = serde_json::to_value(schema).expect("a schema is JSON");
            simplify(&mut schema, true);
            if !self.rules.is_empty() {
                schema["x-kubernetes-validations"] = Rules(self.rules).as_json();
            }
            schema
        })
    }

    /// The object as the kind's types write it: without nulls, empty fields, and fields that they don't know.
    ///
    /// # Errors
    /// Where a value has another type than the schema says, or the object's envelope (`apiVersion`, `kind`, `metadata`) is malformed.
    pub fn normalised(&self, object: &Value) -> serde_json::Result<Value> {
        (self.rewrite)(check::without_nulls(self.schema(), object))
    }
}

/// Takes out of a derived schema what Kubernetes does not need: `nullable` (it drops nulls by itself),
/// formats of numbers (it warns of those; bounds take their place), titles, and line breaks inside paragraphs.
fn simplify(schema: &mut Value, root: bool) {
    let Some(fields) = schema.as_object_mut() else { return };
    fields.remove("nullable");
    fields.remove("title");
    if fields.get("type").is_some_and(|kind| kind == "integer" || kind == "number") {
        let bounds = match fields.remove("format").as_ref().and_then(Value::as_str) {
            Some("int32") => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
            Some("uint32") => Some((0, i64::from(u32::MAX))),
            _ => None,
        };
        if let Some((least, most)) = bounds {
            fields.entry("minimum").or_insert_with(|| least.into());
            fields.entry("maximum").or_insert_with(|| most.into());
        }
    }
    if let Some(Value::String(description)) = fields.get_mut("description") {
        *description = unwrap_lines(description);
    }
    if root && let Some(fields) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        fields.entry("metadata").or_insert_with(|| Value::Object(Map::from_iter([("type".into(), "object".into())])));
    }
    for child in ["items", "additionalProperties"] {
        if let Some(child) = fields.get_mut(child) {
            simplify(child, false);
        }
    }
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        for property in properties.values_mut() {
            simplify(property, false);
        }
    }
}

/// Joins the lines of each paragraph.
fn unwrap_lines(text: &str) -> String {
    let paragraphs: Vec<String> = text.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    paragraphs.join("\n\n")
}
