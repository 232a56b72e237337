//! The installations in the cluster: the mesh's namespace, rights, certificates and objects, in the order in which they need each other.

mod condition;
mod galley;
mod meanwhile;
mod pass;
mod place;
mod preview;
mod remembered;
mod tags;
mod trust;
mod upgrade;

pub(super) use preview::Preview;

use ferromesh_crds::MeshInstall;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use time::OffsetDateTime;
use tokio::time::Instant;
use webhook_certs::{CA_SECRET, Source};

use self::{place::Place, preview::Previewed};
use super::{
    OperatorConfig,
    apply::{Applier, ApplyError},
    certificates::{self, CertificateError, Certificates, OWN_SECRET, OfMesh},
    family::{Family, TagWish, owner},
    live::{Live, Seen},
    object::{Key, Kind},
    plan::{Phase, Share},
    proxies::{AllWanted, Tallies},
    refusal::advised,
    roles::{Roles, RolesError},
    settings::{Revision, Settings},
    status::{Applied, Reason},
    watch::{self, Changes},
};

/// Everything that the leading operator holds.
pub(super) struct Install {
    client: Client,
    operator_namespace: String,
    live: Live,
    applier: Applier,
    certificates: Certificates,
    roles: Roles,
    cluster: Changes,
    /// The mesh's namespace with what is watched there, and in that of the nodes' part.
    namespace: Option<Place>,
    chart: Option<OwnerReference>,
    /// What is known of each MeshInstall, by its uid.
    known: BTreeMap<String, Known>,
    /// Whether the nodes' part that is asked for can't be had at present.
    nodes_withheld: bool,
}

/// What is known of a MeshInstall.
#[derive(Debug, Default)]
struct Known {
    /// What it last wanted of certificates.
    certificates: Option<OfMesh>,
    /// Whether the galley at a place has been seen at work; not known before its webhook's configuration has been looked at.
    galley: BTreeMap<Revision, Phase>,
    /// Since when nobody uses a control plane that isn't asked any more.
    unused: BTreeMap<Revision, Instant>,
    /// What was last found out about objects that would be changed, so that it is asked for once.
    previewed: BTreeMap<Key, Previewed>,
}

/// A MeshInstall that can be installed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) mesh: &'a MeshInstall,
    pub(super) settings: &'a Settings,
    /// What the mesh's control planes share, if that is this one's.
    pub(super) share: Option<&'a Share>,
    /// The tags that it has.
    pub(super) tags: &'a [TagWish],
    /// What is known of the proxies of each control plane.
    pub(super) tallies: &'a Tallies,
}

/// A pass that went through, if need be past something that is not as planned.
pub(super) struct Installed {
    pub(super) applied: Applied,
    /// The version of the control plane that is asked.
    pub(super) version: String,
    /// How pods of each of its control planes should be.
    pub(super) proxies: AllWanted,
    /// When to look again, if something is awaited that no watch tells of.
    pub(super) again: Option<Duration>,
    /// What kept something from its plan, and nothing else.
    pub(super) hindrance: Option<InstallError>,
}

/// Why a pass didn't, or not with everything.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstallError {
    #[error("MeshInstall {0} is being deleted")]
    MeshGoing(String),
    #[error("MeshInstall {name} can't be read: {}", advised(source))]
    Mesh { name: String, source: Box<kube::Error> },
    #[error("namespace {0} is being deleted; the mesh comes back after that")]
    NamespaceGoing(String),
    #[error("namespace {name} can't be read or made: {}", advised(source))]
    Namespace { name: String, source: Box<kube::Error> },
    #[error("can't list {kind}{}", .cause.as_deref().map(|cause| format!(": {cause}")).unwrap_or_default())]
    Unlisted { kind: &'static str, cause: Option<String> },
    #[error("spec.version: there is no version {pinned}: this operator renders {own}, and there is {}; \
             name one of these, or none for the operator's own", if there.is_empty() { "no other" } else { there })]
    Version { pinned: String, own: String, there: String },
    #[error(
        "spec.version: the pilot of version {pinned}, Deployment {pilot}, was deleted, and this operator renders {own} alone: apply that \
             Deployment again, start the operator of version {pinned} again, or remove spec.version to upgrade"
    )]
    PilotGone { pinned: String, own: String, pilot: String },
    #[error(transparent)]
    Roles(#[from] RolesError),
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

// === impl InstallError ===

impl InstallError {
    /// The reason to stall for, where another try comes to the same before somebody changes something.
    pub(super) fn stalls(&self) -> Option<Reason> {
        match self {
            Self::Version { .. } | Self::Apply(ApplyError::Invalid { .. }) => Some(Reason::InvalidSpec),
            Self::PilotGone { .. } => Some(Reason::ComponentFailed),
            Self::Apply(ApplyError::Foreign(_)) => Some(Reason::ForeignObject),
            _ => None,
        }
    }

    /// Whether a watch tells when another try is worth it. Nobody watches what isn't the operator's.
    pub(super) fn is_watched(&self) -> bool {
        matches!(self.stalls(), Some(Reason::InvalidSpec | Reason::ComponentFailed))
    }
}

// === impl Wish ===

impl<'a> Wish<'a> {
    /// The MeshInstall's uid.
    pub(super) fn uid(self) -> &'a str {
        self.mesh.metadata.uid.as_deref().unwrap_or_default()
    }
}

// === impl Install ===

impl Install {
    pub(super) fn new(client: &Client, config: &OperatorConfig) -> Self {
        let secrets: &[&str] = match config.certificates {
            Source::Own => &[OWN_SECRET, CA_SECRET],
            Source::External => &[OWN_SECRET],
        };
        Self {
            client: client.clone(),
            operator_namespace: config.namespace.clone(),
            live: Live::new(),
            applier: Applier::new(client.clone()),
            certificates: Certificates::new(client.clone(), &config.namespace, config.certificates),
            roles: Roles::new(client.clone()),
            cluster: watch::of_cluster(client, &config.namespace, secrets),
            namespace: None,
            chart: None,
            known: BTreeMap::new(),
            nodes_withheld: false,
        }
    }

    /// The watches.
    pub(super) fn changes(&mut self) -> (&mut Changes, Option<&mut Changes>) {
        (&mut self.cluster, self.namespace.as_mut().map(|place| &mut place.changes))
    }

    /// Takes in what a watch says; whether a pass is worth it.
    pub(super) fn note(&mut self, seen: Seen) -> bool {
        match &seen {
            Seen::Certificate => self.certificates.forget(),
            // With the namespace go the operator's rights in it, and every watch there.
            Seen::NamespaceGone => self.forget_namespaces(),
            Seen::Object(..) | Seen::Pod(..) | Seen::Naming(..) => {}
        }
        self.live.note(seen)
    }

    /// How long until certificates have to be looked at.
    pub(super) fn certificates_due(&self, now: OffsetDateTime) -> Option<Duration> {
        self.certificates.next().map(|next| Duration::try_from(next - now).unwrap_or_default())
    }

    pub(super) fn foreign_mesh(&self) -> Option<Key> {
        self.live.foreign_mesh().cloned()
    }

    /// Whether there is something of a mesh already: as the cluster shows, or as its status remembers.
    pub(super) fn has_begun(&self, mesh: &MeshInstall) -> bool {
        let remembered = mesh.status.as_ref().is_some_and(|status| !status.inventory.is_empty());
        remembered || self.live.has_begun(mesh.metadata.uid.as_deref().unwrap_or_default())
    }

    /// Why it can't be told yet whether there is a mesh of somebody else's.
    pub(super) fn unknown_webhooks(&self) -> Option<InstallError> {
        let webhooks = [Kind::MutatingWebhookConfiguration, Kind::ValidatingWebhookConfiguration];
        let (kind, cause) = self.live.unlisted().into_iter().find(|(kind, _)| webhooks.contains(kind))?;
        Some(InstallError::Unlisted { kind: kind.name(), cause: cause.map(str::to_owned) })
    }

    /// Says which MeshInstalls there are. What one of them has is kept from the start, also if it comes to nothing else.
    pub(super) fn meet(&mut self, family: &Family) {
        self.known.retain(|uid, _| family.members.iter().any(|member| member.uid() == uid));
        for member in &family.members {
            let known = || Known { certificates: OfMesh::installed(&member.mesh, owner(&member.mesh)), ..Known::default() };
            self.known.entry(member.uid().to_owned()).or_insert_with(known);
        }
    }

    /// There is no mesh: the operator's own webhook still needs its certificate, and nothing else is left to do.
    ///
    /// # Errors
    /// When the certificate can't be had.
    pub(super) async fn leave(&mut self, now: OffsetDateTime) -> Result<(), InstallError> {
        self.forget_namespaces();
        self.known.clear();
        self.certificates(now).await?;
        self.enter_owners().await?;
        Ok(())
    }

    /// Nothing of this MeshInstall's is to be changed: certificates are kept for those who had some before, also before this operator's time,
    /// and its webhooks go on being trusted. Answers what is in force.
    ///
    /// # Errors
    /// When they can't be had, or the webhook configurations can't be written.
    pub(super) async fn hold(&mut self, uid: &str, now: OffsetDateTime) -> Result<certificates::State, InstallError> {
        let state = self.keep(uid, now).await?;
        self.enter_owners().await?;
        Ok(state)
    }

    /// The same for a moment: whose the roles are is not looked at.
    ///
    /// # Errors
    /// As above.
    pub(super) async fn keep(&mut self, uid: &str, now: OffsetDateTime) -> Result<certificates::State, InstallError> {
        let state = self.certificates(now).await?;
        if let Some(bundle) = state.bundle_of(uid) {
            let held: Vec<Key> = self.live.applied().filter(|(_, owner)| *owner == uid).map(|(key, _)| key.clone()).collect();
            self.keep_trusted(&held, bundle).await?;
        }
        Ok(state)
    }

    /// The names of the Secrets that gateways need. Those are the mesh's, and so known to its default control plane.
    fn credentials(&self, settings: &Settings) -> Option<BTreeSet<String>> {
        self.live.credentials.of(&settings.gateways).filter(|_| settings.revision.is_default())
    }

    fn forget_namespaces(&mut self) {
        self.namespace = None;
        self.live.forget_namespaces();
    }
}
