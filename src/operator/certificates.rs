//! The webhooks' certificates, kept by the operator that leads: issued, stored, renewed, and trusted by the operator's own webhook.

use ferromesh_crds::MeshInstall;
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use webhook_certs::{Ensured, LeafSpec, SecretSpec, Source, Store, StoreError, ensure_ca_bundle};

use super::{
    plan::{MANAGED_BY, MANAGER, serving_certificate},
    settings::{Revision, Role, Settings},
};
use crate::runtime::causes;

/// The Secret with the operator's own certificate, in its namespace.
pub(super) const OWN_SECRET: &str = "ferromesh-operator-webhook-certs";
/// The operator's Service, and the one through which a replica that isn't ready yet can be asked.
const SERVICES: [&str; 2] = ["ferromesh-operator", "ferromesh-operator-probe"];
/// The chart's webhook configuration, and the webhooks in it.
pub(super) const OWN_CONFIGURATION: &str = "ferromesh-operator";
pub(super) const OWN_WEBHOOKS: [&str; 2] = ["meshinstalls.install.ferromesh.dev", "probe.install.ferromesh.dev"];

/// Keeps the certificates.
pub(super) struct Certificates {
    client: Client,
    store: Store,
    source: Source,
    own: LeafSpec,
    state: Option<State>,
}

/// What is in force.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Which owners and leaves it was made for.
    wanted: Wanted,
    /// Roots to trust, in PEM.
    pub(super) bundle: String,
    /// Why a MeshInstall's certificates aren't there, although it asks for some, by its uid.
    pub(super) missing: BTreeMap<String, String>,
    /// Why the API server doesn't trust the operator's own webhook.
    pub(super) untrusted: Option<String>,
    /// When to look again at the latest.
    pub(super) next: OffsetDateTime,
}

/// For whom certificates are kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// The chart's, which all of the operator's own goes with.
    pub(super) chart: OwnerReference,
    /// Those of the MeshInstalls.
    pub(super) meshes: Vec<OfMesh>,
}

/// What a MeshInstall has of certificates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OfMesh {
    /// The MeshInstall.
    pub(super) owner: OwnerReference,
    namespace: String,
    /// Where its control planes can be.
    places: Vec<Revision>,
    /// Those of its webhooks.
    leaves: Vec<LeafSpec>,
}

/// Why there is no certificate, not even the operator's own.
#[derive(Debug, thiserror::Error)]
#[error("{}", causes(.0))]
pub(super) struct CertificateError(#[from] StoreError);

/// How long until what is missing is looked for again: nobody tells when a namespace or somebody else's Secret is ready.
const SOON: time::Duration = time::Duration::seconds(2);

// === impl Certificates ===

impl Certificates {
    pub(super) fn new(client: Client, namespace: &str, source: Source) -> Self {
        let store = Store::new(client.clone(), namespace).with_source(source).with_ca_labels(labels());
        let secret = SecretSpec { namespace: namespace.to_owned(), name: OWN_SECRET.to_owned(), labels: labels(), ..SecretSpec::default() };
        let dns_names = SERVICES.map(|service| format!("{service}.{namespace}.svc")).to_vec();
        Self { client, store, source, own: LeafSpec { secret, dns_names }, state: None }
    }

    /// Has the next call look at the Secrets again.
    pub(super) fn forget(&mut self) {
        self.state = None;
    }

    /// Whether the Secrets have been looked at since they last changed.
    pub(super) fn are_known(&self) -> bool {
        self.state.is_some()
    }

    /// When there is something to do even if nobody touches a Secret.
    pub(super) fn next(&self) -> Option<OffsetDateTime> {
        self.state.as_ref().map(|state| state.next)
    }

    /// Brings the Secrets to what is wanted, unless they are known to be so; and the operator's own webhook, if `live` (its configuration)
    /// doesn't trust them.
    ///
    /// # Errors
    /// When not even the operator's own certificate is there.
    pub(super) async fn ensure(&mut self, now: OffsetDateTime, wanted: &Wanted, live: Option<&Value>) -> Result<State, CertificateError> {
        let current = self.state.take().filter(|state| state.wanted == *wanted && now < state.next);
        let mut state = match current {
            Some(state) => state,
            None => self.renew(now, wanted).await?,
        };
        if live.is_some_and(|live| trusts(live, &state.bundle)) {
            state.untrusted = None;
        } else {
            let written = ensure_ca_bundle(&self.client, OWN_CONFIGURATION, &OWN_WEBHOOKS, &state.bundle).await;
            let untrusted = written.err().map(|error| causes(&error));
            if let Some(cause) = untrusted.as_ref().filter(|_| untrusted != state.untrusted) {
                tracing::warn!(cause, "the API server doesn't trust the operator's webhook");
            }
            state.untrusted = untrusted;
        }
        Ok(self.state.insert(state).clone())
    }

    async fn renew(&self, now: OffsetDateTime, wanted: &Wanted) -> Result<State, StoreError> {
        let mut own = self.own.clone();
        own.secret.owners = vec![wanted.chart.clone()];
        let owners: Vec<_> = [&wanted.chart].into_iter().chain(wanted.meshes.iter().map(|mesh| &mesh.owner)).cloned().collect();
        let mut missing = BTreeMap::new();
        let ensured = loop {
            let there: Vec<&OfMesh> = wanted.meshes.iter().filter(|mesh| !missing.contains_key(&mesh.owner.uid)).collect();
            let leaves: Vec<LeafSpec> = [&own].into_iter().chain(there.iter().flat_map(|mesh| &mesh.leaves)).cloned().collect();
            match self.store.ensure(now, &owners, &leaves).await {
                Err(error) if leaves.len() > 1 && self.concerns_a_mesh_alone(&error) => {
                    // One that can't have its own must not keep the others from theirs.
                    let at_fault = there.iter().find(|mesh| mesh.has(&error));
                    let without = at_fault.map_or(there.clone(), |mesh| vec![*mesh]);
                    missing.extend(without.into_iter().map(|mesh| (mesh.owner.uid.clone(), causes(&error))));
                }
                other => break other?,
            }
        };
        if self.source == Source::Own {
            for mesh in &wanted.meshes {
                self.remove_unneeded(mesh).await;
            }
        }
        let Ensured { bundle, next, .. } = ensured;
        let next = if missing.is_empty() { next } else { next.min(now + SOON) };
        Ok(State { wanted: wanted.clone(), bundle, missing, untrusted: None, next })
    }

    /// Takes away the Secrets of webhooks that this mesh had. They do no harm, so a failure is only logged; the next look finds them.
    async fn remove_unneeded(&self, mesh: &OfMesh) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &mesh.namespace);
        let all = mesh.places.iter().flat_map(|place| Role::ALL.into_iter().filter_map(|role| serving_certificate(role, place)));
        let unneeded: Vec<String> = all.filter(|name| mesh.leaves.iter().all(|leaf| leaf.secret.name != *name)).collect();
        for name in unneeded.iter().map(String::as_str) {
            let found = match secrets.get_metadata_opt(name).await {
                Ok(found) => found.filter(|found| found.owner_references().iter().any(|owner| owner.uid == mesh.owner.uid)),
                Err(error) => {
                    tracing::debug!(error = causes(&error), secret = name, "not looked at");
                    continue;
                }
            };
            let Some(found) = found else { continue };
            let preconditions = Some(Preconditions { uid: found.uid(), resource_version: None });
            match secrets.delete(name, &DeleteParams { preconditions, ..DeleteParams::background() }).await {
                Ok(_) => tracing::info!(secret = name, "removed, as its webhook is no longer part of the mesh"),
                Err(error) => tracing::warn!(error = causes(&error), secret = name, "not removed"),
            }
        }
    }

    /// Whether a MeshInstall's own Secrets can't be there: its namespace isn't ready, an outside issuer hasn't made them, or somebody else's
    /// have their names. A failure of any other kind must not have a certificate count as gone whose root is still to be trusted.
    fn concerns_a_mesh_alone(&self, error: &StoreError) -> bool {
        let elsewhere = |namespace: &str, name: &str| namespace != self.own.secret.namespace || name.starts_with("istio-");
        match error {
            StoreError::Api { namespace, name, source, .. } => {
                let refused = matches!(&**source, kube::Error::Api(status) if status.code == 403 || status.code == 404);
                refused && elsewhere(namespace, name)
            }
            StoreError::External { namespace, name, .. } | StoreError::Foreign { namespace, name, .. } => elsewhere(namespace, name),
            _ => false,
        }
    }
}

// === impl State ===

impl State {
    /// Who is to be trusted by those who ask the webhooks of this MeshInstall, in PEM; none while it lacks certificates.
    pub(super) fn bundle_of(&self, uid: &str) -> Option<&str> {
        (!self.missing.contains_key(uid)).then_some(&*self.bundle)
    }
}

// === impl OfMesh ===

impl OfMesh {
    /// What an installation needs that has these parts at these places.
    pub(super) fn wanted(settings: &Settings, parts: &[(Revision, Role)], owner: OwnerReference) -> Self {
        Self::new(&settings.namespace, &settings.revision, parts, owner)
    }

    /// Whether an error is about one of its Secrets.
    fn has(&self, error: &StoreError) -> bool {
        let (StoreError::Api { namespace, name, .. }
        | StoreError::External { namespace, name, .. }
        | StoreError::Foreign { namespace, name, .. }) = error
        else {
            return false;
        };
        *namespace == self.namespace && self.leaves.iter().any(|leaf| leaf.secret.name == *name)
    }

    /// What one has that an operator has made, by its status; none if there is none.
    pub(super) fn installed(mesh: &MeshInstall, owner: OwnerReference) -> Option<Self> {
        let (inventory, namespace) = (&mesh.status.as_ref()?.inventory, mesh.spec.namespace());
        if inventory.iter().all(|entry| entry.namespace.as_deref() != Some(namespace)) {
            return None;
        }
        let revision = Revision::of(&mesh.spec);
        let is_there = |(place, role): &(Revision, Role)| {
            let name = place.part(*role);
            inventory.iter().any(|entry| entry.kind == "Deployment" && entry.name == name)
        };
        let all = places(&revision).into_iter().flat_map(|place| Role::ALL.map(|role| (place.clone(), role)));
        let parts: Vec<(Revision, Role)> = all.filter(is_there).collect();
        Some(Self::new(namespace, &revision, &parts, owner))
    }

    fn new(namespace: &str, home: &Revision, parts: &[(Revision, Role)], owner: OwnerReference) -> Self {
        let leaf = |(revision, role): &(Revision, Role)| {
            let secret = SecretSpec {
                namespace: namespace.to_owned(),
                name: serving_certificate(*role, revision)?,
                labels: labels(),
                owners: vec![owner.clone()],
            };
            Some(LeafSpec { secret, dns_names: vec![format!("{}.{namespace}.svc", revision.part(*role))] })
        };
        Self { leaves: parts.iter().filter_map(leaf).collect(), namespace: namespace.to_owned(), places: places(home), owner }
    }
}

/// Where the control planes of a MeshInstall can be.
fn places(home: &Revision) -> Vec<Revision> {
    std::iter::once(home.clone()).chain(home.slots()).collect()
}

/// Whether every webhook of the operator's configuration has this bundle.
fn trusts(configuration: &Value, bundle: &str) -> bool {
    let wanted = json!(ByteString(bundle.as_bytes().to_vec()));
    let webhooks = configuration["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    OWN_WEBHOOKS.iter().all(|name| webhooks.iter().any(|webhook| webhook["name"] == *name && webhook["clientConfig"]["caBundle"] == wanted))
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([(MANAGED_BY.to_owned(), MANAGER.to_owned()), ("app.kubernetes.io/part-of".to_owned(), "ferromesh".to_owned())])
}
