//! What bringing about an installation would change, without changing anything.

use ferromesh_crds::install::ChangeAction;
use kube::Client;
use serde_json::Value;
use time::OffsetDateTime;

use super::{Install, InstallError, Wish};
use crate::operator::{
    apply::{ApplyError, Holding},
    difference::{Difference, applying},
    foreign::{Survey, survey},
    object::{Key, Scope},
    plan::{APPLIED, MANAGER, Planned, plan},
    status::Parts,
};

/// What would happen, in the order in which it would.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::operator) struct Preview {
    pub(in crate::operator) changes: Vec<(ChangeAction, Key, Vec<Difference>)>,
    /// How many objects would stay as they are.
    pub(in crate::operator) unchanged: usize,
}

/// What was found out about one object.
#[derive(Debug)]
pub(super) struct Previewed {
    /// The plan's mark and the object's version, for which it holds.
    state: (String, Value),
    fields: Vec<Difference>,
}

// === impl Install ===

impl Install {
    /// Compares the plan with the cluster, and looks how the parts are that are there; none while the cluster isn't known yet. Nothing is
    /// written but what keeps an installation that is there alive: its certificates, and that they are trusted.
    ///
    /// # Errors
    /// When the cluster can't be read.
    pub(in crate::operator) async fn preview(
        &mut self,
        wish: Wish<'_>,
        now: OffsetDateTime,
    ) -> Result<Option<(Preview, Parts)>, InstallError> {
        let certificates = self.hold(wish.uid(), now).await?;
        let outset = self.outset(wish);
        self.attach(wish.settings, outset.circumstances(wish)).await?;
        if !self.is_known()? {
            return Ok(None);
        }
        let course = self.course(wish)?;
        let tags = self.tags(wish, &course);
        let circumstances = self.circumstances(wish, &outset, &course, &certificates, &tags);
        let mut objects = course.part_of(plan(&course.shared, circumstances));
        objects.extend(self.meanwhile(wish, &course, circumstances));
        let untouched = self.untouched(wish, &course, circumstances, &tags);
        self.look_for_foreign(&objects).await?;
        let preview = self.compare(&objects, Holding { owner: wish.uid(), share: wish.share, untouched: &untouched }).await?;
        Ok(Some((preview, self.standing_parts(wish, &course))))
    }

    /// Looks whether somebody else's objects are in the way, as far as the operator may look.
    async fn look_for_foreign(&mut self, objects: &[Planned]) -> Result<(), ApplyError> {
        let watched = |key: &&Key| self.live.is_watched(&Scope { kind: key.kind, namespace: key.namespace.clone() });
        let keys: Vec<&Key> = objects.iter().map(|object| &object.key).filter(watched).collect();
        let Survey { foreign, unread, .. } = survey(&self.client, keys.into_iter(), &mut self.live).await;
        match (foreign, unread) {
            (Some(foreign), _) => Err(foreign.into()),
            (None, Some((key, source))) => Err(ApplyError::Read { key, source }),
            (None, None) => Ok(()),
        }
    }

    /// Whether all that is watched has been listed.
    fn is_known(&self) -> Result<bool, InstallError> {
        let unlisted = self.live.unlisted();
        match unlisted.iter().find_map(|(kind, cause)| Some((kind.name(), (*cause)?))) {
            Some((kind, cause)) => Err(InstallError::Unlisted { kind, cause: Some(cause.to_owned()) }),
            None => Ok(unlisted.is_empty()),
        }
    }

    async fn compare(&mut self, objects: &[Planned], holding: Holding<'_>) -> Result<Preview, InstallError> {
        let mut preview = Preview::default();
        let remembered = &mut self.known.entry(holding.owner.to_owned()).or_default().previewed;
        let mut known = std::mem::take(remembered);
        for object in objects {
            let key = &object.key;
            let Some(live) = self.live.get(key) else {
                preview.changes.push((ChangeAction::Create, key.clone(), Vec::new()));
                continue;
            };
            if self.applier.is_right(object, live) {
                preview.unchanged += 1;
                continue;
            }
            let state = (object.mark().to_owned(), live["metadata"]["resourceVersion"].clone());
            let found = match known.remove(key).filter(|known| known.state == state) {
                Some(found) => found,
                None => Previewed { state, fields: fields(&self.client, object).await? },
            };
            preview.changes.push((ChangeAction::Update, key.clone(), found.fields.clone()));
            remembered.insert(key.clone(), found);
        }
        let superfluous = holding.superfluous(objects, &self.live);
        preview.changes.extend(superfluous.into_iter().rev().map(|key| (ChangeAction::Delete, key, Vec::new())));
        Ok(preview)
    }
}

/// The fields that would be changed, by the object with all that the API server knows of it. The operator's own mark is no news.
async fn fields(client: &Client, object: &Planned) -> Result<Vec<Difference>, ApplyError> {
    let key = &object.key;
    let live = key.api(client).get_opt(&key.name).await;
    let live = live.map_err(|source| ApplyError::Read { key: key.clone(), source: Box::new(source) })?;
    let live = live.and_then(|live| serde_json::to_value(live).ok()).unwrap_or_default();
    let mark = format!("metadata.annotations[{APPLIED}]");
    Ok(applying(&object.body, &live, MANAGER).into_iter().filter(|difference| difference.path != mark).collect())
}
