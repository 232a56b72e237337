//! What watches tell the writer: objects, decoded.

use ferromesh_crds::catalog;
use k8s_openapi::api::{
    core::v1::{Node, Secret, Service},
    discovery::v1::EndpointSlice,
};
use kube::core::{DynamicObject, ObjectMeta, PartialObjectMeta};
use std::sync::Arc;

use super::{
    Purpose,
    rejected::Rejected,
    revision::Concern,
    verdict::{PROGRAMMED, Reported, Verdict},
};
use crate::config::kubernetes::{self, KubernetesService, PodFacts, PodView, Slice};
use crate::config::{ParseContext, parse_object};
use crate::mcp::Carried;
use crate::model::{ConfigObject, Credential, MeshConfig, ObjectRef};

/// The kinds that are not configuration, as [`ObjectRef`]s name them.
pub(super) const SERVICE: &str = "Service";
pub(super) const SLICE: &str = "EndpointSlice";
pub(super) const POD: &str = "Pod";
pub(super) const NODE: &str = "Node";
/// The kind of configuration that is an endpoint by itself.
pub(super) const WORKLOAD_ENTRY: &str = "WorkloadEntry";
pub(super) const SECRET: &str = "Secret";
/// The file with the mesh's settings counts as one more.
pub(super) const MESH_CONFIG: &str = "MeshConfig";

/// One message to the writer.
#[derive(Debug)]
pub(super) enum Update {
    /// One object, as it is now.
    One(Fact),
    /// All objects of a kind: what is not among them is gone.
    All(&'static str, Vec<Fact>),
    /// The mesh's settings.
    Mesh(Arc<MeshConfig>),
    /// Several that belong together: readers see all of them or none.
    Together(Vec<Update>),
}

/// One object, as it is now.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    /// The object.
    pub(super) object: ObjectRef,
    /// What it means; `None` if it is gone, or of no use to the mesh.
    pub(super) form: Option<Form>,
    /// What its author is told, if it is configuration that is there and somebody tells him.
    pub(super) verdict: Option<Box<Verdict>>,
    /// The object as it is passed on, if it is.
    pub(super) carried: Option<Arc<Carried>>,
}

/// What an object means.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Service(Box<KubernetesService>),
    Slice(Slice),
    Pod(PodFacts),
    /// The node's locality.
    Node(Arc<str>),
    Config(ConfigObject),
    Secret(Credential),
    Rejected(Rejected),
}

// === impl Update ===

impl Update {
    /// The kinds of which this tells everything.
    pub(super) fn completes(&self) -> Vec<&'static str> {
        match self {
            Self::One(_) => Vec::new(),
            Self::All(kind, _) => vec![kind],
            Self::Mesh(_) => vec![MESH_CONFIG],
            Self::Together(updates) => updates.iter().flat_map(Self::completes).collect(),
        }
    }
}

// === impl Form ===

impl Form {
    pub(super) fn into_service(self) -> Option<KubernetesService> {
        if let Self::Service(service) = self { Some(*service) } else { None }
    }

    pub(super) fn into_slice(self) -> Option<Slice> {
        if let Self::Slice(slice) = self { Some(slice) } else { None }
    }

    pub(super) fn into_pod(self) -> Option<PodFacts> {
        if let Self::Pod(pod) = self { Some(pod) } else { None }
    }

    pub(super) fn into_credential(self) -> Option<Credential> {
        if let Self::Secret(credential) = self { Some(credential) } else { None }
    }

    pub(super) fn into_locality(self) -> Option<Arc<str>> {
        if let Self::Node(locality) = self { Some(locality) } else { None }
    }
}

// === impl Fact ===

impl Fact {
    fn new(kind: &'static str, metadata: &ObjectMeta, form: Option<Form>) -> Self {
        let (namespace, name) = (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
        Self { object: ObjectRef::new(kind, namespace, name), form, verdict: None, carried: None }
    }

    /// The same object as a control plane takes it in whom it concerns that way.
    pub(super) fn concerning(self, concern: Concern, purpose: Purpose) -> Self {
        match concern {
            Concern::None => self.gone(),
            Concern::Common if purpose != Purpose::Traffic => Self { verdict: None, ..self },
            Concern::Own | Concern::Common => self,
        }
    }

    /// The same object, gone.
    pub(super) fn gone(self) -> Self {
        Self::absent(self.object)
    }

    /// An object that is not there.
    pub(super) fn absent(object: ObjectRef) -> Self {
        Self { object, form: None, verdict: None, carried: None }
    }
}

pub(super) fn service(object: &Service, cluster_domain: &str) -> Fact {
    Fact::new(SERVICE, &object.metadata, Some(Form::Service(Box::new(kubernetes::service(object, cluster_domain)))))
}

pub(super) fn slice(object: &EndpointSlice) -> Fact {
    let slice = kubernetes::slice(object);
    if let Err(error) = &slice {
        tracing::debug!(ns = object.metadata.namespace, name = object.metadata.name, %error, "slice skipped");
    }
    Fact::new(SLICE, &object.metadata, slice.ok().map(Form::Slice))
}

pub(super) fn pod(object: &PodView) -> Fact {
    Fact::new(POD, &object.metadata, kubernetes::pod(object).map(Form::Pod))
}

pub(super) fn node(object: &PartialObjectMeta<Node>) -> Fact {
    let locality = object.metadata.labels.as_ref().map(kubernetes::locality).unwrap_or_default();
    Fact::new(NODE, &object.metadata, Some(Form::Node(locality)))
}

/// A Secret. What it holds is told to nobody but proxies that may have it; what is wrong with it is told here.
pub(super) fn secret(object: &Secret) -> Fact {
    let credential = kubernetes::credential(object);
    for error in &credential.problems {
        tracing::warn!(ns = object.metadata.namespace, name = object.metadata.name, %error, "Secret can't be used");
    }
    Fact::new(SECRET, &object.metadata, Some(Form::Secret(credential)))
}

/// An object of the mesh's configuration, read as the webhook reads it; with a verdict if its author is told, or was told by pilot that
/// proxies do not take it.
pub(super) fn config(kind: &catalog::Kind, mut object: DynamicObject, context: &ParseContext, purpose: Purpose) -> Fact {
    let metadata = object.metadata.clone();
    // As large as the rest, and read by no parser.
    object.metadata.managed_fields = None;
    let json = serde_json::to_value(object).unwrap_or_default();
    let (form, outcome) = match parse_object(kind.group, kind.name, &json, context) {
        Ok(parsed) => (Form::Config(parsed.value), Ok(parsed.warnings)),
        Err(reason) => (Form::Rejected(Rejected { generation: metadata.generation, reason: reason.clone() }), Err(reason)),
    };
    let carried = (purpose == Purpose::Distribution).then(|| Arc::new(Carried::of(&json)));
    let verdict = (purpose != Purpose::Traffic || is_unprogrammed(&json)).then(|| {
        let (uid, generation) = (metadata.uid.clone().unwrap_or_default(), metadata.generation);
        Box::new(Verdict { uid, generation, outcome, reported: Reported::of(&json, &metadata) })
    });
    // What is understood has its own name, which is kept once.
    let object = match &form {
        Form::Config(object) => object.origin().clone(),
        _ => Fact::new(kind.name, &metadata, None).object,
    };
    Fact { object, form: Some(form), verdict, carried }
}

/// Whether an object's status says that proxies do not take it.
fn is_unprogrammed(object: &serde_json::Value) -> bool {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == PROGRAMMED && condition["status"] == "False")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp;

    #[test]
    fn pilot_may_watch_every_kind_of_configuration() {
        let role = include_str!("../../charts/ferromesh/templates/roles/pilot-configuration.yaml");
        let named: Vec<&str> = role.split(|character: char| !character.is_ascii_lowercase()).collect();
        let missing: Vec<_> = catalog::kinds().iter().filter(|kind| mcp::is_carried(kind) && !named.contains(&kind.plural)).collect();
        let missing: Vec<_> = missing.iter().map(|kind| kind.crd_name()).collect();
        assert!(missing.is_empty(), "charts/ferromesh/templates/roles/pilot-configuration.yaml does not name {missing:?}");
    }
}
