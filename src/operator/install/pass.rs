//! One pass over a MeshInstall: from what there is to what there is to be.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::{collections::BTreeSet, time::Duration};
use time::OffsetDateTime;

use super::{Install, InstallError, Installed, Wish, place::confirm, tags::Tags, upgrade::Course};
use crate::operator::{
    apply::{ApplyError, Changes as Written, Holding},
    certificates,
    family::owner,
    object::Key,
    plan::{Circumstances, Phase, Planned, credential_rights, plan, tag_configuration, webhook_configuration},
    settings::Role,
};
use crate::runtime::Term;

/// What is known of an installation before anything is looked at.
pub(super) struct Outset {
    controller: OwnerReference,
    operator_namespace: String,
    credentials: Option<BTreeSet<String>>,
}

/// How long until something is looked at again of which no watch tells.
const SOON: Duration = Duration::from_secs(1);

// === impl Outset ===

impl Outset {
    /// The circumstances in which nothing has been looked at.
    pub(super) fn circumstances<'a>(&'a self, wish: Wish<'a>) -> Circumstances<'a> {
        Circumstances::new(&self.controller, &self.operator_namespace, self.credentials.as_ref(), wish.share)
    }
}

// === impl Install ===

impl Install {
    /// Brings the cluster to what a MeshInstall describes; answers what was changed on the way, in any case.
    pub(in crate::operator) async fn run(
        &mut self,
        wish: Wish<'_>,
        now: OffsetDateTime,
        term: &Term,
    ) -> (Written, Result<Installed, InstallError>) {
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
        term.check().map_err(ApplyError::from)?;
        if self.namespace.is_none() || !self.certificates.are_known() {
            confirm(&self.client, wish.mesh).await?;
        }
        let outset = self.outset(wish);
        let missing = match self.ready(wish, outset.circumstances(wish)).await {
            Ok(missing) => missing,
            Err(failure) => {
                // What there is of certificates is kept meanwhile.
                self.keep(wish.uid(), now).await?;
                return Err(failure);
            }
        };
        let settings = self.attainable(wish.settings);
        let attainable = Wish { settings: &settings, ..wish };
        let course = self.course(attainable)?;
        self.want_certificates(attainable, &course);
        let certificates = self.certificates(now).await?;
        let tags = self.tags(attainable, &course);
        let circumstances = self.circumstances(attainable, &outset, &course, &certificates, &tags);
        let (inventory, failure) = self.write(attainable, &course, circumstances, &tags, term, written).await?;
        // Last: a role that is missing must not keep the others from their work.
        let roles = self.enter_owners().await;
        let unproven = attainable.settings.parts.contains_key(&Role::Galley) && !self.is_proven(attainable.uid(), &course.target);
        let awaited = circumstances.bundle.is_none() || unproven || !course.beside.is_empty() || !course.stays.is_empty();
        Ok(Installed {
            version: self.serving_version(attainable, &course),
            proxies: self.wanted_proxies(attainable, &course),
            again: awaited.then_some(SOON),
            applied: self.applied(wish, &course, &certificates, &inventory, tags.problems),
            hindrance: missing.or(failure.map(InstallError::from)).or(roles.err().map(InstallError::from)),
        })
    }

    /// What is known of an installation from the start.
    pub(super) fn outset(&self, wish: Wish<'_>) -> Outset {
        let controller = OwnerReference { controller: Some(true), block_owner_deletion: Some(true), ..owner(wish.mesh) };
        Outset { controller, operator_namespace: self.operator_namespace.clone(), credentials: self.credentials(wish.settings) }
    }

    /// The circumstances of a plan, by all that has been found out.
    pub(super) fn circumstances<'a>(
        &mut self,
        wish: Wish<'a>,
        outset: &'a Outset,
        course: &'a Course,
        certificates: &'a certificates::State,
        tags: &'a Tags<'a>,
    ) -> Circumstances<'a> {
        Circumstances {
            bundle: certificates.bundle_of(wish.uid()),
            galley: self.galley_phase(wish.uid(), &course.target),
            tags: &tags.in_force,
            default_moved: tags.default_moved(),
            serving: Some(&course.target),
            beside: &course.stays,
            ..outset.circumstances(wish)
        }
    }

    /// Has the namespaces be there, and all be listed that is watched. Answers why the nodes' part can't be had, where that is all.
    async fn ready(&mut self, wish: Wish<'_>, circumstances: Circumstances<'_>) -> Result<Option<InstallError>, InstallError> {
        let missing = self.prepare(wish.settings, circumstances).await?;
        if let Some((kind, cause)) = self.live.unlisted().first() {
            return Err(InstallError::Unlisted { kind: kind.name(), cause: cause.map(str::to_owned) });
        }
        match missing {
            // What isn't there yet comes as a whole.
            Some(missing) if !self.live.has_begun(wish.uid()) => Err(missing),
            missing => Ok(missing),
        }
    }

    /// Writes what differs from the plan, and once more where galley has been proven by that; answers what the installation has then, and
    /// the first thing that could not be written.
    async fn write(
        &mut self,
        wish: Wish<'_>,
        course: &Course,
        mut circumstances: Circumstances<'_>,
        tags: &Tags<'_>,
        term: &Term,
        written: &mut Written,
    ) -> Result<(Vec<Key>, Option<ApplyError>), InstallError> {
        let mut objects = self.planned(wish, course, circumstances);
        let mut untouched = self.untouched(wish, course, circumstances, tags);
        untouched.extend(self.still_redirecting(course, &objects, wish.uid()));
        let holding = Holding { owner: wish.uid(), share: wish.share, untouched: &untouched };
        if self.applier.misses_any(&objects, &self.live) {
            confirm(&self.client, wish.mesh).await?;
        }
        let mut failure = self.apply(&objects, holding, term, written).await?;
        if self.prove_galley(wish.uid(), &course.target, circumstances.bundle.is_some()).await {
            circumstances.galley = Phase::Proven;
            objects = self.planned(wish, course, circumstances);
            failure = self.apply(&objects, holding, term, written).await?;
        }
        if let Some(bundle) = circumstances.bundle {
            let trusted = self.keep_trusted(&untouched, bundle).await;
            failure = failure.or(trusted.err());
        }
        Ok((holding.held(&self.live).cloned().collect(), failure))
    }

    /// Applies a plan; answers the first failure of one object, past which the others have been tried.
    async fn apply(
        &mut self,
        objects: &[Planned],
        holding: Holding<'_>,
        term: &Term,
        written: &mut Written,
    ) -> Result<Option<ApplyError>, ApplyError> {
        let (changes, result) = self.applier.run(objects, holding, &mut self.live, term).await;
        written.applied.extend(changes.applied);
        written.repaired.extend(changes.repaired);
        written.pruned.extend(changes.pruned);
        match result {
            Err(error @ ApplyError::NotLeader(_)) => Err(error),
            // Then none has been.
            Err(error @ ApplyError::Foreign(_)) if !self.live.has_begun(holding.owner) => Err(error),
            result => Ok(result.err()),
        }
    }

    /// What is written of the plan, but for the injector's webhooks where there are none yet and no injector to answer: in namespaces that are
    /// labelled already, they would refuse every pod until there is.
    fn planned(&self, wish: Wish<'_>, course: &Course, circumstances: Circumstances<'_>) -> Vec<Planned> {
        let mut objects = course.part_of(plan(&course.shared, circumstances));
        if !self.health(&course.target.revision.part(Role::Injector)).is_ready() {
            let places = [&course.shared.revision, &course.target.revision];
            let webhooks = places.map(|place| webhook_configuration(Role::Injector, place));
            objects.retain(|object| !webhooks.iter().flatten().any(|key| *key == object.key && self.live.get(key).is_none()));
        }
        objects.extend(self.meanwhile(wish, course, circumstances));
        objects
    }

    /// Objects that are left as they are, although the plan may lack them: because what they are to say isn't known, or is another version's.
    pub(super) fn untouched(&self, wish: Wish<'_>, course: &Course, circumstances: Circumstances<'_>, tags: &Tags<'_>) -> Vec<Key> {
        let settings = wish.settings;
        let places = [&settings.revision, &course.target.revision];
        let webhooks = settings.parts.keys().flat_map(|role| places.map(|place| webhook_configuration(*role, place))).flatten();
        let webhooks = webhooks.chain(wish.tags.iter().map(|tag| tag_configuration(&tag.name)));
        let unknown = circumstances.credentials.is_none() && settings.revision.is_default();
        let rights = credential_rights(settings).into_iter().filter(|_| unknown);
        let mut untouched: Vec<Key> = webhooks.filter(|_| circumstances.bundle.is_none()).chain(rights).collect();
        untouched.extend(self.left_alone(course, wish.uid()));
        untouched.extend(tags.kept.iter().cloned());
        untouched
    }
}
