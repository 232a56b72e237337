//! The webhooks' certificates: for whom they are kept, and who is told to trust them. Configurations that are left as they are go on being
//! trusted, too.

use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::OwnerReference};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use time::OffsetDateTime;

use super::{Install, InstallError, Wish, upgrade::Course};
use crate::operator::{
    apply::ApplyError,
    certificates::{self, OWN_CONFIGURATION, OfMesh, Wanted},
    family::owner,
    object::{Key, Kind},
    roles::RolesError,
    settings::{Revision, Role},
};

// === impl Install ===

impl Install {
    /// Notes what there is to be of certificates: those of all control planes that stand, as each is asked for as long as it is there.
    pub(super) fn want_certificates(&mut self, wish: Wish<'_>, course: &Course) {
        let settings = wish.settings;
        let mut roles: Vec<(Revision, Role)> = course.target.parts.keys().map(|role| (course.target.revision.clone(), *role)).collect();
        for place in &course.stays {
            let there = |role: &Role| self.live.get(&Key::new(Kind::Deployment, &settings.namespace, &place.part(*role))).is_some();
            roles.extend(Role::ALL.into_iter().filter(there).map(|role| (place.clone(), role)));
        }
        let places: BTreeSet<Revision> = roles.iter().map(|(place, _)| place.clone()).collect();
        self.watch_certificates(&places);
        let known = self.known.entry(wish.uid().to_owned()).or_default();
        known.certificates = Some(OfMesh::wanted(settings, &roles, owner(wish.mesh)));
        known.galley.retain(|place, _| places.contains(place));
        known.previewed.clear();
    }

    /// Has the certificates be there that are wanted; what is in force then.
    ///
    /// # Errors
    /// When not even the operator's own is there.
    pub(super) async fn certificates(&mut self, now: OffsetDateTime) -> Result<certificates::State, InstallError> {
        let chart = match &self.chart {
            Some(chart) => chart.clone(),
            None => self.chart.insert(self.roles.chart().await?).clone(),
        };
        let wanted = Wanted { chart, meshes: self.wanted_certificates().cloned().collect() };
        let own = self.live.get(&Key::new(Kind::ValidatingWebhookConfiguration, "", OWN_CONFIGURATION));
        let state = self.certificates.ensure(now, &wanted, own).await?;
        Ok(state)
    }

    /// Has the roles go with the last of the chart and the MeshInstalls.
    pub(super) async fn enter_owners(&mut self) -> Result<(), RolesError> {
        let owners: Vec<OwnerReference> = self.chart.iter().chain(self.wanted_certificates().map(|mesh| &mesh.owner)).cloned().collect();
        self.roles.enter(&owners, &self.operator_namespace).await
    }

    fn wanted_certificates(&self) -> impl Iterator<Item = &OfMesh> {
        self.known.values().filter_map(|known| known.certificates.as_ref())
    }

    /// Has the webhook configurations among these trust `bundle`, and changes nothing else of them.
    ///
    /// # Errors
    /// When the API server refuses a write or doesn't answer; the others have been tried, too.
    pub(super) async fn keep_trusted(&mut self, keys: &[Key], bundle: &str) -> Result<(), ApplyError> {
        let trusted = json!(ByteString(bundle.as_bytes().to_vec()));
        let webhooks = [Kind::MutatingWebhookConfiguration, Kind::ValidatingWebhookConfiguration];
        let mut failure = None;
        for key in keys.iter().filter(|key| webhooks.contains(&key.kind)) {
            let Some(live) = self.live.get(key) else { continue };
            let asked: &[Value] = live["webhooks"].as_array().map_or(&[], Vec::as_slice);
            if asked.iter().all(|webhook| webhook["clientConfig"]["caBundle"] == trusted) {
                continue;
            }
            let names: Vec<Value> = asked.iter().map(|webhook| webhook["name"].clone()).collect();
            if let Err(error) = self.applier.trust(key, &names, &trusted, &mut self.live).await {
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }
}
