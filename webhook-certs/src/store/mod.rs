//! Keeps the planned contents in Secrets. Two callers at once never fight: who comes second reads again.

#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Client, Error, ResourceExt};
use time::OffsetDateTime;
use tracing::{info, warn};

use crate::certificate::Certificate;
use crate::error::StoreError;
use crate::external;
use crate::material::{CaSecret, KeyPem, LeafSecret};
use crate::plan::{Change, LeafSpec, Repair, SecretSpec, plan};
use crate::policy::Policy;

/// Name of the Secret that holds the authority, in the operator's namespace.
pub const CA_SECRET: &str = "ferromesh-webhook-ca";

const TYPE: &str = "kubernetes.io/tls";
/// Enough for a handful of replicas that start together; more contention than that is a fault to report.
const ATTEMPTS: usize = 8;

/// Who issues the leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// We do.
    #[default]
    Own,
    /// Somebody else keeps the leaves' Secrets, with `ca.crt`; they are read and checked, never written.
    External,
}

/// The Secrets of one operator.
#[derive(Clone)]
pub struct Store {
    client: Client,
    ca: SecretSpec,
    source: Source,
}

/// What is in force once the Secrets hold it.
#[derive(Clone, Debug)]
pub struct Ensured {
    /// The `caBundle` of each webhook, PEM. Publish it before serving `leaves`.
    pub bundle: String,
    /// One for each leaf that was asked for, in that order.
    pub leaves: Vec<Leaf>,
    /// What was broken and has been replaced.
    pub repairs: Vec<Repair>,
    /// When to call again at the latest.
    pub next: OffsetDateTime,
}

/// A serving certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Certificate chain, PEM.
    pub cert: String,
    /// Its key.
    pub key: KeyPem,
}

/// Somebody wrote the Secret since it was read.
struct Conflict {
    namespace: String,
    name: String,
}

enum WriteError {
    Conflict(Conflict),
    Failed(StoreError),
}

// === impl Store ===

impl Store {
    /// A store whose authority is kept in [`CA_SECRET`] of `namespace`, with the default policy, issuing by itself.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        let ca = SecretSpec { namespace: namespace.to_owned(), name: CA_SECRET.to_owned(), ..SecretSpec::default() };
        Self { client, ca, source: Source::Own }
    }

    /// Labels that the authority's Secret has.
    #[must_use]
    pub fn with_ca_labels(mut self, labels: impl IntoIterator<Item = (String, String)>) -> Self {
        self.ca.labels = labels.into_iter().collect();
        self
    }

    /// Another issuer.
    #[must_use]
    pub fn with_source(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// Brings every Secret to what the plan for `now` says; writes only what differs.
    ///
    /// `ca_owners` are exactly the owners of the authority's Secret. `leaves` names all leaves: a retired root is trusted until each
    /// of *these* has been replaced.
    ///
    /// # Errors
    /// [`StoreError`]; whatever was written before it is consistent, the next call goes on from there.
    pub async fn ensure(&self, now: OffsetDateTime, ca_owners: &[OwnerReference], leaves: &[LeafSpec]) -> Result<Ensured, StoreError> {
        if self.source == Source::External {
            return self.read_external(now, leaves).await;
        }
        let ca = SecretSpec { owners: ca_owners.to_vec(), ..self.ca.clone() };
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.attempt(now, &ca, leaves).await {
                Ok(ensured) => return Ok(ensured),
                Err(WriteError::Conflict(conflict)) => last = Some(conflict),
                Err(WriteError::Failed(error)) => return Err(error),
            }
        }
        let (namespace, name) = last.map_or_else(Default::default, |conflict| (conflict.namespace, conflict.name));
        Err(StoreError::Contended { attempts: ATTEMPTS, namespace, name })
    }

    async fn attempt(&self, now: OffsetDateTime, ca: &SecretSpec, leaves: &[LeafSpec]) -> Result<Ensured, WriteError> {
        let stored_ca = self.read_own(ca).await?;
        let mut stored = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            stored.push(self.read_own(&leaf.secret).await?);
        }
        let ca_contents = stored_ca.as_ref().map(|secret| CaSecret::from_data(secret.data.as_ref()));
        let contents: Vec<_> =
            stored.iter().map(|secret| secret.as_ref().map(|secret| LeafSecret::from_data(secret.data.as_ref()))).collect();
        let asked: Vec<_> = leaves.iter().zip(&contents).map(|(spec, contents)| (spec, contents.as_ref())).collect();
        let plan = plan(now, ca_contents.as_ref(), &asked, &Policy::default()).map_err(|error| WriteError::Failed(error.into()))?;

        for repair in &plan.repairs {
            let secret = repair.leaf.as_ref().map_or_else(|| ca.name.clone(), |(namespace, name)| format!("{namespace}/{name}"));
            warn!(%secret, defect = %repair.defect, "replacing unusable webhook certificate");
        }
        // The authority first: a leaf of an authority that isn't stored would be trusted by nobody after a restart.
        if self.write(ca, stored_ca, plan.ca.to_data()).await? {
            info!(namespace = %ca.namespace, secret = %ca.name, "webhook authority stored");
        }
        let mut ensured = Ensured { bundle: plan.bundle, leaves: Vec::new(), repairs: plan.repairs, next: plan.next };
        for ((spec, stored), planned) in leaves.iter().zip(stored).zip(plan.leaves) {
            let written = self.write(&spec.secret, stored, planned.contents.to_data()).await?;
            if written && planned.change == Change::Issued {
                info!(namespace = %spec.secret.namespace, secret = %spec.secret.name, "webhook certificate issued");
            }
            ensured.leaves.push(Leaf { cert: planned.contents.cert, key: planned.contents.key });
        }
        Ok(ensured)
    }

    async fn read_external(&self, now: OffsetDateTime, leaves: &[LeafSpec]) -> Result<Ensured, StoreError> {
        let mut roots: Vec<Certificate> = Vec::new();
        // An outside issuer renews when it likes: look often enough that a new root is in the bundle within minutes.
        let mut ensured = Ensured { bundle: String::new(), leaves: Vec::new(), repairs: Vec::new(), next: now + time::Duration::MINUTE };
        for spec in leaves {
            let secret = match self.read(&spec.secret).await {
                Ok(secret) => secret,
                Err(WriteError::Failed(error)) => return Err(error),
                Err(WriteError::Conflict(_)) => None,
            };
            let contents = secret.map(|secret| LeafSecret::from_data(secret.data.as_ref()));
            let (namespace, name) = (spec.secret.namespace.clone(), spec.secret.name.clone());
            let (trusted, end) =
                external::check(now, spec, contents.as_ref()).map_err(|defect| StoreError::External { namespace, name, defect })?;
            for root in trusted {
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
            ensured.next = ensured.next.min(end);
            ensured.leaves.extend(contents.map(|contents| Leaf { cert: contents.cert, key: contents.key }));
        }
        ensured.bundle = roots.iter().map(Certificate::pem).collect();
        Ok(ensured)
    }

    /// Reads a Secret that is about to be written, unless somebody else made it.
    async fn read_own(&self, spec: &SecretSpec) -> Result<Option<Secret>, WriteError> {
        let stored = self.read(spec).await?;
        match (&stored, spec.labels.first_key_value()) {
            (Some(secret), Some((key, value))) if !bears_a_trace(secret, spec) => {
                let (namespace, name, label) = (spec.namespace.clone(), spec.name.clone(), format!("{key}={value}"));
                Err(WriteError::Failed(StoreError::Foreign { namespace, name, label }))
            }
            _ => Ok(stored),
        }
    }

    async fn read(&self, spec: &SecretSpec) -> Result<Option<Secret>, WriteError> {
        self.api(spec).get_opt(&spec.name).await.map_err(|error| failed("get", spec, error))
    }

    /// Writes the Secret if it isn't already so; answers whether it wrote.
    async fn write(
        &self,
        spec: &SecretSpec,
        stored: Option<Secret>,
        data: std::collections::BTreeMap<String, k8s_openapi::ByteString>,
    ) -> Result<bool, WriteError> {
        let api = self.api(spec);
        let fresh = Secret { metadata: ObjectMeta { name: Some(spec.name.clone()), ..Default::default() }, ..Default::default() };
        let of_our_type = stored.as_ref().is_none_or(|secret| secret.type_.as_deref() == Some(TYPE));
        if let Some(foreign) = stored.as_ref().filter(|_| !of_our_type) {
            // A Secret's type can't be changed.
            let preconditions = Preconditions { resource_version: foreign.resource_version(), uid: foreign.uid() };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            api.delete(&spec.name, &params).await.map_err(|error| failed("delete", spec, error))?;
        }
        let existing = stored.filter(|_| of_our_type);
        let mut wanted = existing.clone().unwrap_or(fresh);
        wanted.type_ = Some(TYPE.to_owned());
        wanted.data = Some(data);
        wanted.labels_mut().extend(spec.labels.clone());
        wanted.metadata.owner_references = (!spec.owners.is_empty()).then(|| spec.owners.clone());
        if wanted.labels().is_empty() {
            wanted.metadata.labels = None;
        }
        let Some(existing) = existing else {
            api.create(&PostParams::default(), &wanted).await.map_err(|error| failed("create", spec, error))?;
            return Ok(true);
        };
        if existing == wanted {
            return Ok(false);
        }
        // It carries the resourceVersion that was read, so it fails if somebody wrote meanwhile.
        api.replace(&spec.name, &PostParams::default(), &wanted).await.map_err(|error| failed("update", spec, error))?;
        Ok(true)
    }

    fn api(&self, spec: &SecretSpec) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &spec.namespace)
    }
}

/// Whether anything of a Secret is as we make it: a label, or an owner's kind. The rest somebody may have edited away.
fn bears_a_trace(secret: &Secret, spec: &SecretSpec) -> bool {
    let is_of = |owner: &OwnerReference| spec.owners.iter().any(|own| own.kind == owner.kind && own.api_version == owner.api_version);
    spec.labels.iter().any(|(key, value)| secret.labels().get(key) == Some(value)) || secret.owner_references().iter().any(is_of)
}

// === impl WriteError ===

fn failed(verb: &'static str, spec: &SecretSpec, error: Error) -> WriteError {
    let (namespace, name) = (spec.namespace.clone(), spec.name.clone());
    // 409 is "already exists" of a create, "changed" of an update and "precondition failed" of a delete. A Secret that went away
    // between read and update answers 404; a namespace that isn't there does so to a create, which reading again wouldn't mend.
    let raced = match &error {
        Error::Api(status) => status.code == 409 || (status.code == 404 && matches!(verb, "update" | "delete")),
        _ => false,
    };
    if raced {
        return WriteError::Conflict(Conflict { namespace, name });
    }
    WriteError::Failed(StoreError::Api { verb, namespace, name, source: Box::new(error) })
}
