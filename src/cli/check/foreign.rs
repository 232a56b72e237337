//! What another mesh has in a cluster: found by checks FM1003 to FM1005, and by the verbs that would write over it or take it away.

use ferromesh_crds::catalog;
use k8s_openapi::{
    api::admissionregistration::v1::MutatingWebhookConfiguration,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, ResourceExt, api::ListParams};
use std::collections::BTreeSet;

use super::facts::is_of_operator;
use crate::cli::{
    codes::explanations,
    exit::{Exit, Failure},
};
use crate::injector;
use crate::runtime::list_all;

/// Labels by which objects are known to be of another mesh's installer.
const OTHER_INSTALLERS: [&str; 3] =
    ["operator.istio.io/managed", "operator.istio.io/component", "install.operator.istio.io/owning-resource"];

/// CRDs of the mesh's kinds with objects that are stored in versions which this mesh does not serve, and these versions.
pub(super) fn unserved(crds: &[CustomResourceDefinition]) -> impl Iterator<Item = (&CustomResourceDefinition, String)> {
    crds.iter().filter_map(|crd| {
        let kind = catalog::find(&crd.spec.group, &crd.spec.names.kind)?;
        let stored = crd.status.iter().flat_map(|status| status.stored_versions.iter().flatten());
        let lost: Vec<&str> = stored.map(String::as_str).filter(|version| !kind.versions.contains(version)).collect();
        (!lost.is_empty()).then(|| (crd, lost.join(", ")))
    })
}

/// CRDs of the mesh's kinds that another mesh's installer keeps, and the label that says so.
pub(super) fn others_crds(crds: &[CustomResourceDefinition]) -> impl Iterator<Item = (&CustomResourceDefinition, &'static str)> {
    let of_kinds = crds.iter().filter(|crd| catalog::find(&crd.spec.group, &crd.spec.names.kind).is_some());
    of_kinds.filter_map(|crd| Some((crd, *OTHER_INSTALLERS.iter().find(|label| crd.labels().contains_key(**label))?)))
}

/// Configurations by which another mesh injects pods.
pub(super) fn others_injectors(configurations: &[MutatingWebhookConfiguration]) -> impl Iterator<Item = &MutatingWebhookConfiguration> {
    configurations.iter().filter(|one| !is_of_operator(*one) && injector::parse(one).is_some())
}

/// What there is of another mesh.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Foreign {
    /// The CRDs of the mesh's kinds that its installer keeps.
    pub(in crate::cli) crds: BTreeSet<String>,
    /// CRDs that the API server would not let be replaced, and the stored versions because of which.
    unserved: Vec<(String, String)>,
    /// The configurations by which it injects pods.
    injectors: Vec<String>,
}

// === impl Foreign ===

impl Foreign {
    /// Looks for it.
    ///
    /// # Errors
    /// When it can't be told: who can't see another mesh must not write over it.
    pub(in crate::cli) async fn of_cluster(client: &Client) -> Result<Self, Failure> {
        let everywhere = ListParams::default();
        let crds = list_all(&Api::<CustomResourceDefinition>::all(client.clone()), &everywhere).await;
        let crds = crds.map_err(|error| Failure::cluster("look for CRDs of another mesh", &error))?;
        let injectors = list_all(&Api::<MutatingWebhookConfiguration>::all(client.clone()), &everywhere).await;
        let injectors = injectors.map_err(|error| Failure::cluster("look for the injector of another mesh", &error))?;
        Ok(Self {
            crds: others_crds(&crds).map(|(crd, _)| crd.name_any()).collect(),
            unserved: unserved(&crds).map(|(crd, versions)| (crd.name_any(), versions)).collect(),
            injectors: others_injectors(&injectors).map(ResourceExt::name_any).collect(),
        })
    }

    /// Whether a mesh may come, or an operator for it; `beside` if it is to run beside the other one, whose CRDs then stay as they are.
    ///
    /// # Errors
    /// When it may not, with what to do.
    pub(in crate::cli) fn lets_in(&self, beside: bool) -> Result<(), Failure> {
        let refused = |what: String, code: &str| Err(Failure::new(Exit::Failed, format_args!("{what} ({code}). {}", remedy(code))));
        if let Some(name) = self.injectors.first().filter(|_| !beside) {
            let told = format!("MutatingWebhookConfiguration {name} injects pods, and is of another mesh; nothing was written");
            return refused(told, "FM1005");
        }
        match self.unserved.iter().find(|(crd, _)| !(beside && self.crds.contains(crd))) {
            Some((crd, versions)) => {
                let told =
                    format!("objects of CustomResourceDefinition {crd} are stored in version {versions}, which this mesh does not serve");
                refused(told, "FM1003")
            }
            None => Ok(()),
        }
    }

    /// Why another Istio is taken to be here; none if there is none.
    pub(in crate::cli) fn told(&self) -> Option<String> {
        let injects = self.injectors.first().map(|name| format!("MutatingWebhookConfiguration {name} injects pods for it (FM1005)"));
        injects.or_else(|| Some(format!("its installer keeps CustomResourceDefinition {} (FM1004)", self.crds.first()?)))
    }
}

fn remedy(code: &str) -> String {
    explanations().into_iter().find(|it| it.code == code).map(|it| it.remedy).unwrap_or_default()
}
