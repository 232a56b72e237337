//! The installations in the cluster: the mesh's namespace, rights, certificates and objects, in the order in which they need each other.

mod condition;
mod galley;
mod place;
mod preview;
mod tags;
mod trust;
mod upgrade;

pub(super) use preview::Preview;

use ferromesh_crds::MeshInstall;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Client, ResourceExt};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use time::OffsetDateTime;
use tokio::time::Instant;
use webhook_certs::{CA_SECRET, Source};

use self::{
    place::{Place, confirm},
    preview::Previewed,
    upgrade::Course,
};
use super::{
    OperatorConfig,
    apply::{Applier, ApplyError, Changes as Written, Holding},
    certificates::{self, CertificateError, Certificates, OWN_CONFIGURATION, OWN_SECRET, OfMesh, Wanted},
    family::{Family, TagWish, owner},
    live::{Live, Seen},
    object::{Key, Kind},
    plan::{Circumstances, Phase, Planned, Share, credential_rights, plan, tag_configuration, webhook_configuration},
    proxies::{AllWanted, Tallies},
    refusal::advised,
    roles::{Roles, RolesError},
    settings::{Revision, Role, Settings},
    status::Applied,
    watch::{self, Changes},
};
use crate::runtime::Term;

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

/// A pass that went through.
pub(super) struct Installed {
    pub(super) applied: Applied,
    /// The version of the control plane that is asked.
    pub(super) version: String,
    /// How pods of each of its control planes should be.
    pub(super) proxies: AllWanted,
    /// When to look again, if something is awaited that no watch tells of.
    pub(super) again: Option<Duration>,
}

/// Why a pass didn't.
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
    #[error(transparent)]
    Roles(#[from] RolesError),
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// How long until something is looked at again of which no watch tells.
const SOON: Duration = Duration::from_secs(1);

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

    /// Why it can't be told yet whether there is a mesh of somebody else's.
    pub(super) fn unknown_webhooks(&self) -> Option<InstallError> {
        let webhooks = [Kind::MutatingWebhookConfiguration, Kind::ValidatingWebhookConfiguration];
        let (kind, cause) = self.live.unlisted().into_iter().find(|(kind, _)| webhooks.contains(kind))?;
        Some(InstallError::Unlisted { kind: kind.name(), cause: cause.map(str::to_owned) })
    }

    /// Says which MeshInstalls there are. What one of them has is kept from the start, also if it comes to nothing else.
    pub(super) fn meet(&mut self, family: &Family) {
        let uids: Vec<String> = family.members.iter().filter_map(|member| member.mesh.uid()).collect();
        self.known.retain(|uid, _| uids.contains(uid));
        for member in &family.members {
            let known = || Known { certificates: OfMesh::installed(&member.mesh, owner(&member.mesh)), ..Known::default() };
            self.known.entry(member.mesh.uid().unwrap_or_default()).or_insert_with(known);
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
        Ok(self.enter_owners().await?)
    }

    /// Nothing is to be changed: certificates are kept for those who had some before, also before this operator's time.
    ///
    /// # Errors
    /// When they can't be had.
    pub(super) async fn hold(&mut self, now: OffsetDateTime) -> Result<(), InstallError> {
        self.certificates(now).await?;
        Ok(self.enter_owners().await?)
    }

    /// Brings the cluster to what a MeshInstall describes; answers what was changed on the way, in any case.
    pub(super) async fn run(&mut self, wish: Wish<'_>, now: OffsetDateTime, term: &Term) -> (Written, Result<Installed, InstallError>) {
        let mut written = Written::default();
        let result = self.bring_about(wish, now, term, &mut written).await;
        (written, result)
    }

    async fn bring_about(
        &mut self,
        wish: Wish<'_>,
        now: OffsetDateTime,
        term: &Term,
        written: &mut Written,
    ) -> Result<Installed, InstallError> {
        let Wish { mesh, settings, share, .. } = wish;
        term.check().map_err(ApplyError::from)?;
        if self.namespace.is_none() || !self.certificates.are_known() {
            confirm(&self.client, mesh).await?;
        }
        let plain = owner(mesh);
        let controller = OwnerReference { controller: Some(true), block_owner_deletion: Some(true), ..plain.clone() };
        let operator_namespace = self.operator_namespace.clone();
        let credentials = self.credentials(settings);
        let before = Circumstances::new(&controller, &operator_namespace, credentials.as_ref(), share);
        self.prepare(settings, before).await?;
        self.listed(now).await?;
        let course = self.course(wish)?;
        self.want_certificates(settings, &course, plain.clone());
        let state = self.certificates(now).await?;
        let bundle = (!state.missing.contains_key(&plain.uid)).then_some(&*state.bundle);
        let tags = self.tags(wish, &course);
        let stays = course.stays();
        let mut circumstances = Circumstances {
            bundle,
            galley: self.galley_phase(&plain.uid, &course.target),
            tags: &tags.in_force,
            default_moved: tags.default_moved(),
            serving: Some(&course.target),
            beside: &stays,
            ..before
        };
        let mut objects = self.planned(&course, circumstances);
        let mut untouched = untouched(wish, &course, bundle.is_some(), credentials.is_some());
        untouched.extend(self.left_alone(&course, &plain.uid));
        untouched.extend(tags.kept.iter().cloned());
        untouched.extend(self.still_redirecting(&course, &objects, &plain.uid));
        let holding = Holding { owner: &plain.uid, share, untouched: &untouched };
        if self.applier.misses_any(&objects, &self.live) {
            confirm(&self.client, mesh).await?;
        }
        self.write(&objects, holding, term, written).await?;
        if self.prove_galley(&plain.uid, &course.target, bundle.is_some()).await {
            circumstances.galley = Phase::Proven;
            objects = self.planned(&course, circumstances);
            self.write(&objects, holding, term, written).await?;
        }
        if let Some(bundle) = bundle {
            self.keep_trusted(&untouched, bundle).await?;
        }

        // Last: a role that is missing must not keep the others from their work.
        self.enter_owners().await?;

        let mut inventory: Vec<Key> = objects.into_iter().map(|object| object.key).collect();
        inventory.extend(untouched.into_iter().filter(|key| self.live.get(key).is_some()));
        inventory.sort();
        inventory.dedup();
        let galley = settings.parts.contains_key(&Role::Galley) && !self.is_proven(&plain.uid, &course.target);
        let awaited = bundle.is_none() || galley || !course.beside.is_empty() || !stays.is_empty();
        Ok(Installed {
            applied: self.applied(wish, &course, &state, &inventory, tags.problems),
            version: self.serving_version(wish, &course),
            proxies: self.wanted_proxies(wish, &course),
            again: awaited.then_some(SOON),
        })
    }

    /// Waits until all is listed that is watched. What there is of certificates is kept meanwhile.
    async fn listed(&mut self, now: OffsetDateTime) -> Result<(), InstallError> {
        let unlisted = self.live.unlisted();
        let Some((kind, cause)) = unlisted.first() else { return Ok(()) };
        let error = InstallError::Unlisted { kind: kind.name(), cause: cause.map(str::to_owned) };
        self.certificates(now).await?;
        Err(error)
    }

    /// Notes what there is to be of certificates: those of all control planes that stand, as each is asked for as long as it is there.
    fn want_certificates(&mut self, settings: &Settings, course: &Course, owner: OwnerReference) {
        let mut roles: Vec<(Revision, Role)> = course.target.parts.keys().map(|role| (course.target.revision.clone(), *role)).collect();
        for place in course.stays() {
            let there = |role: &Role| self.live.get(&Key::new(Kind::Deployment, &settings.namespace, &place.part(*role))).is_some();
            roles.extend(Role::ALL.into_iter().filter(there).map(|role| (place.clone(), role)));
        }
        let places: BTreeSet<Revision> = roles.iter().map(|(place, _)| place.clone()).collect();
        self.watch_certificates(&places);
        let known = self.known.entry(owner.uid.clone()).or_default();
        known.certificates = Some(OfMesh::wanted(settings, &roles, owner));
        known.galley.retain(|place, _| places.contains(place));
        known.previewed.clear();
    }

    async fn write(&mut self, objects: &[Planned], holding: Holding<'_>, term: &Term, written: &mut Written) -> Result<(), ApplyError> {
        let (changes, result) = self.applier.run(objects, holding, &mut self.live, term).await;
        written.applied.extend(changes.applied);
        written.repaired.extend(changes.repaired);
        written.pruned.extend(changes.pruned);
        result
    }

    async fn certificates(&mut self, now: OffsetDateTime) -> Result<certificates::State, InstallError> {
        let chart = match &self.chart {
            Some(chart) => chart.clone(),
            None => self.chart.insert(self.roles.chart().await?).clone(),
        };
        let wanted = Wanted { chart, meshes: self.wanted_certificates().cloned().collect() };
        let own = self.live.get(&Key::new(Kind::ValidatingWebhookConfiguration, "", OWN_CONFIGURATION));
        let state = self.certificates.ensure(now, &wanted, own).await?;
        Ok(state)
    }

    fn wanted_certificates(&self) -> impl Iterator<Item = &OfMesh> {
        self.known.values().filter_map(|known| known.certificates.as_ref())
    }

    /// The names of the Secrets that gateways need. Those are the mesh's, and so known to its default control plane.
    fn credentials(&self, settings: &Settings) -> Option<BTreeSet<String>> {
        self.live.credentials.of(&settings.gateways).filter(|_| settings.revision.is_default())
    }

    /// Has the roles go with the last of the chart and the MeshInstalls.
    async fn enter_owners(&mut self) -> Result<(), RolesError> {
        let owners: Vec<OwnerReference> = self.chart.iter().chain(self.wanted_certificates().map(|mesh| &mesh.owner)).cloned().collect();
        self.roles.enter(&owners, &self.operator_namespace).await
    }

    /// What is written of the plan, but for the injector's webhooks where there are none yet and no injector to answer: in namespaces that are
    /// labelled already, they would refuse every pod until there is.
    fn planned(&self, course: &Course, circumstances: Circumstances<'_>) -> Vec<Planned> {
        let mut objects = course.part_of(plan(&course.shared, circumstances));
        if !self.health(&course.target.revision.part(Role::Injector)).is_ready() {
            let places = [&course.shared.revision, &course.target.revision];
            let webhooks = places.map(|place| webhook_configuration(Role::Injector, place));
            objects.retain(|object| !webhooks.iter().flatten().any(|key| *key == object.key && self.live.get(key).is_none()));
        }
        objects
    }

    fn forget_namespaces(&mut self) {
        self.namespace = None;
        self.live.forget_namespaces();
    }
}

/// Objects that are left as they are, because what they are to say isn't known.
fn untouched(wish: Wish<'_>, course: &Course, have_bundle: bool, have_credentials: bool) -> Vec<Key> {
    let Wish { settings, tags, .. } = wish;
    let places = [&settings.revision, &course.target.revision];
    let webhooks = settings.parts.keys().flat_map(|role| places.map(|place| webhook_configuration(*role, place))).flatten();
    let webhooks = webhooks.chain(tags.iter().map(|tag| tag_configuration(&tag.name))).filter(|_| !have_bundle);
    let rights = credential_rights(settings).into_iter().filter(|_| !have_credentials && settings.revision.is_default());
    webhooks.chain(rights).collect()
}
