//! What checks look at: a cluster, read once. What may not be read is known not to be known.

use ferromesh_crds::MeshInstall;
use k8s_openapi::{
    api::{
        admissionregistration::v1::{
            MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration, WebhookClientConfig,
        },
        apps::v1::{DaemonSet, Deployment},
        autoscaling::v2::HorizontalPodAutoscaler,
        coordination::v1::Lease,
        core::v1::{ConfigMap, Namespace, Node, Pod, Secret, Service},
        discovery::v1::EndpointSlice,
        policy::v1::PodDisruptionBudget,
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::ResourceExt;
use std::collections::BTreeMap;

use crate::cli::proxy::Standing;
use crate::operator::Outlier;

/// Something that was read, or why it was not.
pub(super) type Known<T> = Result<T, String>;

/// A cluster as it was when it was read.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The time, in seconds since the epoch.
    pub(super) now: i64,
    /// The namespace that is asked about; all of them without it.
    pub(super) only: Option<String>,
    /// The namespace of the control plane.
    pub(super) mesh_namespace: String,
    /// The API server's major and minor version.
    pub(super) version: Known<(u32, u32)>,
    /// What the caller needs for an installation, and whether he may: `create deployments.apps`.
    pub(super) rights: Known<BTreeMap<String, bool>>,
    pub(super) crds: Known<Vec<CustomResourceDefinition>>,
    pub(super) cluster_roles: Known<Vec<ClusterRole>>,
    pub(super) nodes: Known<Vec<Node>>,
    /// By which nodes say that they live.
    pub(super) leases: Known<Vec<Lease>>,
    pub(super) namespaces: Known<Vec<Namespace>>,
    pub(super) pods: Known<Vec<Pod>>,
    pub(super) services: Known<Vec<Service>>,
    pub(super) endpoints: Known<Vec<EndpointSlice>>,
    pub(super) deployments: Known<Vec<Deployment>>,
    pub(super) daemon_sets: Known<Vec<DaemonSet>>,
    pub(super) budgets: Known<Vec<PodDisruptionBudget>>,
    pub(super) autoscalers: Known<Vec<HorizontalPodAutoscaler>>,
    pub(super) mutating: Known<Vec<MutatingWebhookConfiguration>>,
    pub(super) validating: Known<Vec<ValidatingWebhookConfiguration>>,
    /// The ConfigMaps with the root, of all namespaces.
    pub(super) roots: Known<Vec<ConfigMap>>,
    /// The Secrets with the webhooks' serving certificates; their keys are dropped as they are read.
    pub(super) certificates: Known<Vec<Secret>>,
    pub(super) meshes: Known<Vec<MeshInstall>>,
    /// The proxies that are connected to pilot.
    pub(super) proxies: Known<Vec<Standing>>,
    /// The pods of the namespace that is asked about whose sidecar is missing or old; without one, MeshInstalls tell how many there are.
    pub(super) outliers: Known<Vec<Outlier>>,
}

/// A webhook, of whichever kind its configuration is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Webhook<'f> {
    /// The configuration's kind.
    pub(super) kind: &'static str,
    /// The configuration's name.
    pub(super) configuration: &'f str,
    pub(super) client: &'f WebhookClientConfig,
    /// Whether what it is asked about goes on without it.
    pub(super) lenient: bool,
    pub(super) rules: &'f [RuleWithOperations],
    /// Whether it is one of the mesh's own.
    pub(super) own: bool,
}

/// The operator's own webhook configuration.
const OPERATOR: &str = "ferromesh-operator";
/// Those of the mesh's parts, and the Services that answer for them. Those of revisions have theirs behind a dash.
const ASKED: [&str; 2] = ["istio-galley", "istio-sidecar-injector"];
/// What the names of tags' webhook configurations begin with, which other meshes have too.
const OF_TAG: &str = "istio-revision-tag-";

/// Namespaces of Kubernetes itself, whose pods are nobody's to mesh.
const SYSTEM: [&str; 3] = ["kube-node-lease", "kube-public", "kube-system"];

/// A fact, or why it is not known.
///
/// # Errors
/// The reason.
pub(super) fn known<T>(fact: &Known<T>) -> Result<&T, String> {
    fact.as_ref().map_err(Clone::clone)
}

/// `NAMESPACE/NAME`, or the name alone.
pub(super) fn shown(object: &impl ResourceExt) -> String {
    object.namespace().map(|namespace| format!("{namespace}/{}", object.name_any())).unwrap_or_else(|| object.name_any())
}

/// What of a name is behind that of the default revision's object: nothing, or a dash and a revision. None if it is another's name.
pub(super) fn of_any_revision<'n>(name: &'n str, default: &str) -> Option<&'n str> {
    name.strip_prefix(default).filter(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Whether an object is being deleted.
pub(super) fn going(object: &impl ResourceExt) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// Whether a webhook configuration is one of the mesh's own.
fn is_own(configuration: &impl ResourceExt) -> bool {
    let name = configuration.meta().name.as_deref().unwrap_or_default();
    name == OPERATOR
        || ASKED.iter().any(|own| of_any_revision(name, own).is_some())
        || name.starts_with(OF_TAG) && is_of_operator(configuration)
}

// === impl Webhook ===

impl Webhook<'_> {
    /// Namespace and name of the Secret with its server's certificate, as far as the Service that answers is one of the mesh's.
    pub(super) fn certificate(&self) -> Option<(String, String)> {
        let service = self.client.service.as_ref()?;
        // Its Services have one certificate.
        if self.configuration == OPERATOR {
            return Some((service.namespace.clone(), format!("{OPERATOR}-webhook-certs")));
        }
        let secret = |name: &&str| Some(format!("{name}-webhook-certs{}", of_any_revision(&service.name, name)?));
        Some((service.namespace.clone(), ASKED.iter().find_map(secret)?))
    }

    /// Whose signature the API server trusts, in PEM; empty if it trusts nobody's.
    pub(super) fn bundle(&self) -> &[u8] {
        self.client.ca_bundle.as_ref().map_or(&[], |bundle| bundle.0.as_slice())
    }
}

// === impl Facts ===

impl Facts {
    /// The MeshInstalls that are installed: of each revision the oldest, the default one first.
    ///
    /// # Errors
    /// When MeshInstalls are not known.
    pub(super) fn installed(&self) -> Result<Vec<&MeshInstall>, String> {
        let mut meshes: Vec<&MeshInstall> = known(&self.meshes)?.iter().collect();
        let order = |mesh: &MeshInstall| (mesh.spec.revision().to_owned(), mesh.creation_timestamp().map(|time| time.0), mesh.name_any());
        meshes.sort_by_cached_key(|mesh| order(mesh));
        meshes.dedup_by(|one, before| one.spec.revision() == before.spec.revision());
        Ok(meshes)
    }

    /// Whether a mesh is installed, as far as that is known.
    pub(super) fn has_mesh(&self) -> bool {
        self.meshes.as_ref().is_ok_and(|meshes| !meshes.is_empty())
    }

    /// The operator's Deployment.
    ///
    /// # Errors
    /// When Deployments are not known.
    pub(super) fn operator(&self) -> Result<Option<&Deployment>, String> {
        let is_operator = |label: Option<&String>| label.is_some_and(|name| name == "ferromesh-operator");
        Ok(known(&self.deployments)?.iter().find(|one| is_operator(one.labels().get("app.kubernetes.io/name"))))
    }

    /// Pods of the control plane and of the mesh's gateways.
    ///
    /// # Errors
    /// When pods are not known.
    pub(super) fn mesh_pods(&self) -> Result<impl Iterator<Item = &Pod>, String> {
        Ok(known(&self.pods)?.iter().filter(move |pod| self.is_of_mesh(*pod)))
    }

    /// Whether a namespace's workloads are looked at: those of the namespace that is asked about, or of all that are no system's and
    /// stay. What is being deleted has nothing to mend.
    pub(super) fn is_asked(&self, namespace: Option<&str>) -> bool {
        let namespace = namespace.unwrap_or_default();
        let goes = self.namespaces.iter().flatten().any(|one| going(one) && one.metadata.name.as_deref() == Some(namespace));
        match &self.only {
            Some(only) => only == namespace,
            None => !goes && !SYSTEM.contains(&namespace) && namespace != self.mesh_namespace,
        }
    }

    /// Pods of workloads that are looked at, but for those that are being deleted.
    ///
    /// # Errors
    /// When pods are not known.
    pub(super) fn workload_pods(&self) -> Result<impl Iterator<Item = &Pod>, String> {
        Ok(known(&self.pods)?.iter().filter(move |pod| !going(*pod) && self.is_asked(pod.metadata.namespace.as_deref())))
    }

    /// Those of them that have a sidecar.
    ///
    /// # Errors
    /// When pods are not known.
    pub(super) fn meshed_pods(&self) -> Result<impl Iterator<Item = &Pod>, String> {
        Ok(self.workload_pods()?.filter(|pod| has_sidecar(pod)))
    }

    /// Whether the nodes redirect pods' traffic, so that no init container has to.
    pub(super) fn nodes_redirect(&self) -> bool {
        let is_cni = |set: &DaemonSet| set.name_any() == "istio-cni-node";
        self.daemon_sets.as_ref().is_ok_and(|sets| sets.iter().any(is_cni))
    }

    /// The mesh's own webhooks, with those of revisions and tags.
    ///
    /// # Errors
    /// When the configurations of either kind are not known.
    pub(super) fn own_webhooks(&self) -> Result<Vec<Webhook<'_>>, String> {
        Ok(self.webhooks()?.into_iter().filter(|webhook| webhook.own).collect())
    }

    /// All webhooks, those that change objects first.
    ///
    /// # Errors
    /// When the configurations of either kind are not known.
    pub(super) fn webhooks(&self) -> Result<Vec<Webhook<'_>>, String> {
        let is_lenient = |policy: &Option<String>| policy.as_deref() == Some("Ignore");
        let mut found = Vec::new();
        for one in known(&self.mutating)? {
            found.extend(one.webhooks.iter().flatten().map(|webhook| Webhook {
                kind: "MutatingWebhookConfiguration",
                configuration: one.metadata.name.as_deref().unwrap_or_default(),
                client: &webhook.client_config,
                lenient: is_lenient(&webhook.failure_policy),
                rules: webhook.rules.as_deref().unwrap_or_default(),
                own: is_own(one),
            }));
        }
        for one in known(&self.validating)? {
            found.extend(one.webhooks.iter().flatten().map(|webhook| Webhook {
                kind: "ValidatingWebhookConfiguration",
                configuration: one.metadata.name.as_deref().unwrap_or_default(),
                client: &webhook.client_config,
                lenient: is_lenient(&webhook.failure_policy),
                rules: webhook.rules.as_deref().unwrap_or_default(),
                own: is_own(one),
            }));
        }
        Ok(found)
    }

    /// Whether an object is in the mesh's namespace.
    pub(super) fn is_of_mesh(&self, object: &impl ResourceExt) -> bool {
        object.meta().namespace.as_deref() == Some(self.mesh_namespace.as_str())
    }

    /// Whether somebody answers at a Service.
    ///
    /// # Errors
    /// When endpoints are not known.
    pub(super) fn answers(&self, namespace: &str, service: &str) -> Result<bool, String> {
        let of_service = |slice: &&EndpointSlice| {
            slice.namespace().as_deref() == Some(namespace)
                && slice.labels().get("kubernetes.io/service-name").is_some_and(|name| name == service)
        };
        let ready = |slice: &EndpointSlice| {
            slice.endpoints.iter().any(|one| one.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true))
        };
        Ok(known(&self.endpoints)?.iter().filter(of_service).any(ready))
    }
}

/// Whether the operator made an object.
pub(super) fn is_of_operator(object: &impl ResourceExt) -> bool {
    object.labels().get("app.kubernetes.io/managed-by").is_some_and(|manager| manager == "ferromesh-operator")
}

/// Whether a pod was injected.
pub(super) fn has_sidecar(pod: &Pod) -> bool {
    sidecar(pod).is_some() && pod.annotations().contains_key("sidecar.istio.io/status")
}

/// A pod's proxy, and whether it is a native sidecar.
pub(super) fn sidecar(pod: &Pod) -> Option<(&k8s_openapi::api::core::v1::Container, bool)> {
    let spec = pod.spec.as_ref()?;
    let is_proxy = |container: &&k8s_openapi::api::core::v1::Container| container.name == "istio-proxy";
    let native = spec.init_containers.iter().flatten().find(is_proxy).map(|container| (container, true));
    native.or_else(|| spec.containers.iter().find(is_proxy).map(|container| (container, false)))
}
