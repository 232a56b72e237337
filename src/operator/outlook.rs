//! What the operator would change in a cluster for a spec, for those who look from outside and may only read.
//!
//! Each object is compared by the functions by which the operator itself previews its changes. What admission or the API server would make
//! of it is not asked, for that takes the right to write.

use ferromesh_crds::{
    MeshInstall,
    install::{ChangeAction, UpdateType},
};
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use serde_json::Value;

use super::{
    difference::{Difference, applying},
    foreign::is_ours,
    generate::{is_of_another_version, is_told_by_cluster, planned_at, standing},
    intent::Intent,
    object::Key,
    plan::{MANAGER, Planned, Share, credential_rights, place},
    settings::{Images, Revision, Settings},
};
use crate::config;

/// What is planned for a MeshInstall, and what it has beside that.
#[derive(Clone, Debug)]
pub struct Outlook {
    planned: Vec<Planned>,
    /// What it has been given earlier and is planned no more.
    unplanned: Vec<Key>,
    /// Where the control plane stands.
    place: Revision,
}

/// What would become of an object that does not stay as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Prospect {
    /// For example `Deployment istio-system/istio-pilot`.
    pub object: String,
    /// None for somebody else's, which the operator leaves alone, and tells.
    pub action: Option<ChangeAction>,
    /// The fields, where it is changed.
    pub fields: Vec<Difference>,
}

/// An object that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{object} can't be read")]
pub struct Unreadable {
    /// As in [`Prospect`].
    pub object: String,
    /// Why.
    pub source: kube::Error,
}

/// Questions that are under way at once.
const AT_ONCE: usize = 8;

// === impl Outlook ===

impl Outlook {
    /// The outlook for a MeshInstall with the spec that is wanted and the status that is there, among all of the cluster; it counts in place
    /// of the one of its name. None where that can't be told here: where another version would come up beside the one that serves, or
    /// another one than the operator's own is held, and where the operator does nothing for it.
    ///
    /// # Errors
    /// All that is wrong with the spec, by itself or beside the others.
    pub fn of(
        mesh: &MeshInstall,
        all: &[MeshInstall],
        images: &Images,
        operator_namespace: &str,
    ) -> Result<Option<Self>, Vec<config::Problem>> {
        let Some(intent) = Intent::among(mesh, all, images)? else { return Ok(None) };
        let settings = &intent.settings;
        let place = match is_of_another_version(mesh, images) {
            false => standing(mesh, settings),
            true if changes_in_place(mesh, settings) => settings.revision.clone(),
            true => return Ok(None),
        };
        let planned = planned_at(&intent, &place, operator_namespace)?;
        // Pilot's right to gateways' Secrets follows the gateways, what all control planes share stays with the one that has it, and a tag
        // that can't move where it is.
        let follows = credential_rights(settings);
        let stays = |key: &Key| follows.contains(key) || intent.kept.contains(key) || (Share::holds(key) && intent.share.is_none());
        let inventory = mesh.status.iter().flat_map(|status| &status.inventory).filter_map(Key::of_entry);
        let unplanned = inventory.filter(|key| !stays(key) && !planned.iter().any(|planned| planned.key == *key)).collect();
        Ok(Some(Self { planned, unplanned, place }))
    }

    /// What would become of the cluster's objects, in the order in which it would, and how many would stay as they are.
    ///
    /// # Errors
    /// The first object that can't be read.
    pub async fn against(&self, client: &Client) -> Result<(Vec<Prospect>, usize), Unreadable> {
        let planned =
            stream::iter(&self.planned).map(|planned| async move { live(client, &planned.key).await.map(|live| (planned, live)) });
        let planned: Vec<(&Planned, Option<Value>)> = planned.buffered(AT_ONCE).try_collect().await?;
        let unplanned = stream::iter(&self.unplanned).map(|key| async move { live(client, key).await.map(|live| (key, live)) });
        let unplanned: Vec<(&Key, Option<Value>)> = unplanned.buffered(AT_ONCE).try_collect().await?;
        let mut prospects: Vec<Prospect> = planned.into_iter().filter_map(|(planned, live)| prospect(planned, live.as_ref())).collect();
        let unchanged = self.planned.len() - prospects.len();
        let goes = |(key, live): (&Key, Option<Value>)| {
            let live = live.filter(|live| is_ours(key, live))?;
            // Another control plane's own go when nobody uses it any more.
            let is_anothers = place(key, &live).is_some_and(|place| place != self.place);
            (!is_anothers).then(|| Prospect { object: key.to_string(), action: Some(ChangeAction::Delete), fields: Vec::new() })
        };
        prospects.extend(unplanned.into_iter().filter_map(goes));
        Ok((prospects, unchanged))
    }
}

/// Whether another version of the control plane takes the place of the one that is there.
fn changes_in_place(mesh: &MeshInstall, settings: &Settings) -> bool {
    let mut standing = mesh.status.iter().flat_map(|status| &status.revisions);
    settings.pinned.is_none()
        && settings.strategy == UpdateType::InPlace
        && standing.all(|one| Revision::named(&one.name) == settings.revision)
}

async fn live(client: &Client, key: &Key) -> Result<Option<Value>, Unreadable> {
    let found = key.api(client).get_opt(&key.name).await.map_err(|source| Unreadable { object: key.to_string(), source })?;
    Ok(found.map(|found| serde_json::to_value(found).unwrap_or_default()))
}

fn prospect(planned: &Planned, live: Option<&Value>) -> Option<Prospect> {
    let (action, fields) = match live {
        None => (Some(ChangeAction::Create), Vec::new()),
        Some(live) if !is_ours(&planned.key, live) => (None, Vec::new()),
        Some(live) => {
            let fields: Vec<_> = applying(&planned.body, live, MANAGER).into_iter().filter(|one| !is_told_by_cluster(one)).collect();
            (Some(ChangeAction::Update), fields)
        }
    };
    let stays = action == Some(ChangeAction::Update) && fields.is_empty();
    (!stays).then(|| Prospect { object: planned.key.to_string(), action, fields })
}
