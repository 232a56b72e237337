//! Writes what differs, and removes what is no longer planned. Nothing is written that is already so.

use kube::{
    Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::DynamicObject,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;
use webhook_certs::FIELD_MANAGER;

use super::{
    difference::{NARROWING, between, missing},
    foreign::{Foreign, Survey, is_ours, read, survey},
    live::{Live, mark, stripped},
    object::{Key, Kind},
    plan::{COMPONENT, MANAGER, Planned, Share},
    refusal::{advised, is_of_the_object},
};
use crate::runtime::{NotLeader, Term};

/// Applies plans, one after the other.
pub(super) struct Applier {
    client: Client,
    /// Of each object that was applied, the mark and the resource version that it had then. What the API server stores in another form
    /// than it was sent in would look different for ever.
    settled: BTreeMap<Key, (String, Value)>,
    /// Objects that the API server finds invalid: sending the same again would change nothing.
    refused: BTreeMap<Key, Refused>,
}

/// How an object stood when the API server found its plan invalid.
struct Refused {
    mark: String,
    /// The live object's resource version; null for none.
    version: Value,
    words: String,
    /// When it is sent again all the same: what makes it invalid may be no field of it, as a port that another Service has.
    again: Instant,
}

/// Which objects a plan decides about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding<'a> {
    /// The MeshInstall's uid.
    pub(super) owner: &'a str,
    /// What the mesh's control planes share, if the plan has it.
    pub(super) share: Option<&'a Share>,
    /// What is kept although the plan lacks it.
    pub(super) untouched: &'a [Key],
}

/// What one plan changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Made or brought to a new plan.
    pub(super) applied: Vec<Key>,
    /// Put back, because somebody had changed or deleted them; with the field, unless the whole object was gone.
    pub(super) repaired: Vec<(Key, Option<String>)>,
    /// Removed, because the plan no longer has them.
    pub(super) pruned: Vec<Key>,
}

/// Why a plan couldn't be applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("{key} can't be read: {}", advised(source))]
    Read { key: Key, source: Box<kube::Error> },
    #[error("{key} can't be written: {}", advised(source))]
    Write { key: Key, source: Box<kube::Error> },
    #[error("{key} can't be deleted: {}", advised(source))]
    Delete { key: Key, source: Box<kube::Error> },
    /// The API server answers, and will answer the same again.
    #[error("{key} is refused by the API server: {words}")]
    Invalid { key: Key, words: String },
    #[error("{0}")]
    Foreign(Foreign),
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
}

/// How a live object stands to its plan.
enum Verdict {
    Right,
    /// Never applied, or by another plan.
    Outdated,
    /// Applied by this plan and changed since, at this field or altogether.
    Drifted(Option<String>),
}

/// Who holds a Deployment's number of pods from when the plan lets go of it until an autoscaler says its own.
const REPLICAS: &str = "ferromesh-operator-replicas";
/// How long an object that was found invalid is not sent again, unless it or its plan changes.
const INVALID: Duration = Duration::from_secs(300);

// === impl Applier ===

impl Applier {
    pub(super) fn new(client: Client) -> Self {
        Self { client, settled: BTreeMap::new(), refused: BTreeMap::new() }
    }

    /// Brings the cluster to the plan, in the plan's order.
    ///
    /// # Errors
    /// The first write that failed. What comes after it has been tried, too; nothing has been removed, unless all that failed was invalid.
    pub(super) async fn run(
        &mut self,
        plan: &[Planned],
        holding: Holding<'_>,
        live: &mut Live,
        term: &Term,
    ) -> (Changes, Result<(), ApplyError>) {
        let mut changes = Changes::default();
        let result = self.write_all(plan, holding, live, term, &mut changes).await;
        (changes, result)
    }

    async fn write_all(
        &mut self,
        plan: &[Planned],
        holding: Holding<'_>,
        live: &mut Live,
        term: &Term,
        changes: &mut Changes,
    ) -> Result<(), ApplyError> {
        let Survey { withheld, foreign, unread } = survey(&self.client, plan.iter().map(|object| &object.key), live).await;
        // A mesh doesn't come up around somebody else's objects: they would get its rights, or its proxies.
        if let Some(foreign) = foreign.clone().filter(|_| !live.has_begun(holding.owner)) {
            return Err(foreign.into());
        }
        // One object that can't be written must not keep the others from their repair, least of all the webhook configurations, which
        // come last. The first failure is the one to tell, and before that what a person has to see to.
        let unread = unread.map(|(key, source)| ApplyError::Read { key, source });
        let mut failure = foreign.map(ApplyError::from).or(unread);
        let mut invalid = None;
        for object in plan.iter().filter(|object| !withheld.contains(&object.key)) {
            let verdict = self.judge(object, live.get(&object.key));
            if matches!(verdict, Verdict::Right) {
                self.refused.remove(&object.key);
                continue;
            }
            term.check()?;
            match self.apply(object, live).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error @ ApplyError::Invalid { .. }) => {
                    invalid.get_or_insert(error);
                    continue;
                }
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            }
            match verdict {
                Verdict::Drifted(field) => changes.repaired.push((object.key.clone(), field)),
                _ => changes.applied.push(object.key.clone()),
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.prune(plan, holding, live, term, changes).await?;
        invalid.map_or(Ok(()), Err)
    }

    /// Removes what is no longer planned, but for what belongs to a component of which an object was refused: that may be what was to take
    /// its place.
    async fn prune(
        &mut self,
        plan: &[Planned],
        holding: Holding<'_>,
        live: &mut Live,
        term: &Term,
        changes: &mut Changes,
    ) -> Result<(), ApplyError> {
        let component = |object: &Value| object["metadata"]["labels"][COMPONENT].as_str().map(str::to_owned);
        let waiting = plan.iter().filter(|object| self.refused.contains_key(&object.key));
        let waiting: BTreeSet<String> = waiting.filter_map(|object| component(&object.body)).collect();
        let mut superfluous = holding.superfluous(plan, live);
        superfluous.retain(|key| !live.get(key).and_then(component).is_some_and(|component| waiting.contains(&component)));
        // Backwards: a webhook configuration goes before the server that it names, or what it asks about would be refused meanwhile.
        for key in superfluous.into_iter().rev() {
            term.check()?;
            self.delete(&key, live).await?;
            changes.pruned.push(key);
        }
        Ok(())
    }

    fn judge(&self, object: &Planned, live: Option<&Value>) -> Verdict {
        let settled = self.settled.get(&object.key).filter(|(mark, _)| mark == object.mark());
        let Some(live) = live else {
            return if settled.is_some() { Verdict::Drifted(None) } else { Verdict::Outdated };
        };
        if settled.is_some_and(|(_, version)| *version == live["metadata"]["resourceVersion"]) {
            return Verdict::Right;
        }
        let marked = mark(live).is_some_and(|(name, hash)| object.mark() == format!("{name}/{hash}"));
        match missing(&object.body, live).into_iter().next() {
            None => Verdict::Right,
            Some(difference) if marked || settled.is_some() => Verdict::Drifted(Some(difference.path)),
            Some(_) => Verdict::Outdated,
        }
    }

    /// Whether a live object is as planned.
    pub(super) fn is_right(&self, object: &Planned, live: &Value) -> bool {
        matches!(self.judge(object, Some(live)), Verdict::Right)
    }

    /// Whether somebody deleted an object of the plan since it was applied.
    pub(super) fn misses_any(&self, plan: &[Planned], live: &Live) -> bool {
        plan.iter().any(|object| live.get(&object.key).is_none() && self.settled.contains_key(&object.key))
    }

    /// Brings about one object that no watch has shown yet.
    ///
    /// # Errors
    /// When it can't be read or written, or is somebody else's.
    pub(super) async fn ensure(&mut self, object: &Planned, live: &mut Live) -> Result<(), ApplyError> {
        let key = &object.key;
        match read(&self.client, key).await.map_err(|source| ApplyError::Read { key: key.clone(), source })? {
            Some(found) if is_ours(key, &found) => live.put(key.clone(), found),
            Some(_) => return Err(Foreign { first: key.clone(), more: 0 }.into()),
            None => live.remove(key),
        }
        if !matches!(self.judge(object, live.get(key)), Verdict::Right) {
            self.apply(object, live).await?;
        }
        Ok(())
    }

    /// Applies one object, whatever is known of the live one.
    ///
    /// # Errors
    /// When the API server refuses it or doesn't answer. Answers whether anything changed.
    async fn apply(&mut self, object: &Planned, live: &mut Live) -> Result<bool, ApplyError> {
        let key = &object.key;
        let version = live.get(key).map_or(Value::Null, |live| live["metadata"]["resourceVersion"].clone());
        if let Some(refused) = self.refused.get(key).filter(|refused| refused.holds(object, &version)) {
            return Err(ApplyError::Invalid { key: key.clone(), words: refused.words.clone() });
        }
        if let Some(replicas) = replicas_to_leave(object, live.get(key)) {
            self.send(key, REPLICAS, &replicas).await?;
        }
        if let Some(webhooks) = webhooks_to_keep(object, live.get(key)) {
            self.trust(key, &webhooks, &object.body["webhooks"][0]["clientConfig"]["caBundle"], live).await?;
        }
        let answer = self.send(key, MANAGER, &object.body).await;
        match &answer {
            Err(ApplyError::Invalid { words, .. }) => {
                let refused = Refused { mark: object.mark().to_owned(), version, words: words.clone(), again: Instant::now() + INVALID };
                self.refused.insert(key.clone(), refused);
            }
            _ => _ = self.refused.remove(key),
        }
        let answer = self.widen(object, answer?).await?;
        let answer = stripped(key.kind, serde_json::to_value(&answer).unwrap_or_default());
        let version = answer["metadata"]["resourceVersion"].clone();
        let changed = live.get(key).is_none_or(|before| before["metadata"]["resourceVersion"] != version);
        self.settled.insert(key.clone(), (object.mark().to_owned(), version));
        live.put(key.clone(), answer);
        if changed {
            tracing::info!(object = %key, "applied");
        }
        Ok(changed)
    }

    /// Has the webhooks of these names trust a bundle, by a manager that says nothing else of their configuration, nor of others in it.
    ///
    /// # Errors
    /// When the API server refuses it or doesn't answer.
    pub(super) async fn trust(&self, key: &Key, webhooks: &[Value], bundle: &Value, live: &mut Live) -> Result<(), ApplyError> {
        // With its uid the patch can't make an object anew that was deleted meanwhile.
        let metadata = json!({"name": key.name, "uid": live.get(key).map(|live| &live["metadata"]["uid"])});
        let mut body = json!({"apiVersion": key.kind.api_version(), "kind": key.kind.name(), "metadata": metadata});
        if !webhooks.is_empty() {
            body["webhooks"] = webhooks.iter().map(|name| json!({"name": name, "clientConfig": {"caBundle": bundle}})).collect();
        }
        let answer = self.send(key, FIELD_MANAGER, &body).await?;
        live.put(key.clone(), stripped(key.kind, serde_json::to_value(&answer).unwrap_or_default()));
        Ok(())
    }

    /// Takes out of an object's webhooks what others have put in and applying leaves there, because it is theirs: with it a webhook would be
    /// asked about less than it should. What this write takes away it comes to hold nothing of. Answers the object as it is then.
    async fn widen(&self, object: &Planned, applied: DynamicObject) -> Result<DynamicObject, ApplyError> {
        let Some(webhooks) = widened(&object.body, &applied.data) else { return Ok(applied) };
        // Of the very version that was looked at: the list is written as a whole.
        let body = json!({"metadata": {"resourceVersion": applied.metadata.resource_version}, "webhooks": webhooks});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let answer = object.key.api(&self.client).patch(&object.key.name, &params, &Patch::Merge(body)).await;
        answer.map_err(|source| ApplyError::refused(&object.key, source))
    }

    /// Forced: a field of the plan is the operator's, whoever wrote it last.
    async fn send(&self, key: &Key, manager: &str, body: &Value) -> Result<DynamicObject, ApplyError> {
        let params = PatchParams::apply(manager).force();
        let answer = key.api(&self.client).patch(&key.name, &params, &Patch::Apply(body)).await;
        answer.map_err(|source| ApplyError::refused(key, source))
    }

    async fn delete(&mut self, key: &Key, live: &mut Live) -> Result<(), ApplyError> {
        let uid = live.get(key).and_then(|object| object["metadata"]["uid"].as_str()).map(str::to_owned);
        // The very object that was judged, and not one that came in its place.
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::background() };
        match key.api(&self.client).delete(&key.name, &params).await {
            Ok(_) => tracing::info!(object = %key, "removed, as it is no longer planned"),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(source) => return Err(ApplyError::Delete { key: key.clone(), source: Box::new(source) }),
        }
        self.settled.remove(key);
        self.refused.remove(key);
        live.remove(key);
        Ok(())
    }
}

// === impl Refused ===

impl Refused {
    /// Whether the object would be refused again.
    fn holds(&self, object: &Planned, version: &Value) -> bool {
        self.mark == object.mark() && self.version == *version && Instant::now() < self.again
    }
}

// === impl Holding ===

impl Holding<'_> {
    /// What is there of what the plan decides about.
    pub(super) fn held<'l>(&self, live: &'l Live) -> impl Iterator<Item = &'l Key> {
        live.applied().filter(|(key, owner)| self.decides(key, owner)).map(|(key, _)| key)
    }

    /// What is there and no longer planned, in the order of its kinds. Most of what is in a namespace that goes is left to that, as the
    /// operator's own rights there go with it; the program on the nodes must find that it is no longer wanted before it is ended.
    pub(super) fn superfluous(&self, plan: &[Planned], live: &Live) -> Vec<Key> {
        let wanted: BTreeSet<&Key> = plan.iter().map(|object| &object.key).chain(self.untouched).collect();
        let keys: BTreeSet<&Key> = self.held(live).filter(|key| !wanted.contains(key)).collect();
        let goes = |namespace: &String| keys.contains(&&Key::new(Kind::Namespace, "", namespace));
        let is_ours_to_do = |key: &&&Key| key.kind == Kind::DaemonSet || !key.namespace.as_ref().is_some_and(goes);
        keys.iter().filter(is_ours_to_do).map(|key| (*key).clone()).collect()
    }

    /// Whether an object that was made for a MeshInstall is this plan's to take away. What is shared is so by whoever has it now, and by
    /// nobody who only had it once.
    fn decides(&self, key: &Key, owner: &str) -> bool {
        match self.share {
            Some(share) if Share::holds(key) => owner == self.owner || share.heirs.iter().any(|heir| heir.uid == owner),
            None if Share::holds(key) => false,
            _ => owner == self.owner,
        }
    }
}

// === impl ApplyError ===

impl ApplyError {
    /// What the API server says against a write.
    fn refused(key: &Key, source: kube::Error) -> Self {
        match source {
            kube::Error::Api(status) if is_of_the_object(&status) => Self::Invalid { key: key.clone(), words: status.message.clone() },
            source => Self::Write { key: key.clone(), source: Box::new(source) },
        }
    }
}

impl From<Foreign> for ApplyError {
    fn from(foreign: Foreign) -> Self {
        Self::Foreign(foreign)
    }
}

/// The part of a Deployment that says how many pods it has, where a plan that said so gives way to one that leaves it to an autoscaler.
/// A number that nobody holds any more falls back to 1, and a busy part would lose its pods until the autoscaler has looked.
fn replicas_to_leave(object: &Planned, live: Option<&Value>) -> Option<Value> {
    let (key, live) = (&object.key, live?);
    let replicas = &live["spec"]["replicas"];
    let lets_go = key.kind == Kind::Deployment && object.body["spec"]["replicas"].is_null() && replicas.as_i64().is_some_and(|all| all > 1);
    let is_new = mark(live).is_none_or(|(name, hash)| object.mark() != format!("{name}/{hash}"));
    let metadata = json!({"name": key.name, "namespace": key.namespace});
    (lets_go && is_new).then(
        || json!({"apiVersion": key.kind.api_version(), "kind": key.kind.name(), "metadata": metadata, "spec": {"replicas": replicas}}),
    )
}

/// The names of the webhooks that stay in a configuration, where others are to go from it: who has had them trust a new root while nothing
/// else was written holds a part of each, and a part that nobody else holds is no webhook.
fn webhooks_to_keep(object: &Planned, live: Option<&Value>) -> Option<Vec<Value>> {
    let names = |object: &Value| object["webhooks"].as_array().into_iter().flatten().map(|one| one["name"].clone()).collect::<Vec<_>>();
    let (wanted, there) = (names(&object.body), names(live?));
    let (kept, gone): (Vec<_>, Vec<_>) = there.into_iter().partition(|name| wanted.contains(name));
    (!gone.is_empty()).then_some(kept)
}

/// The webhooks of a live configuration without what narrows those that are planned; none if nothing does.
fn widened(planned: &Value, live: &Value) -> Option<Vec<Value>> {
    let webhooks = live["webhooks"].as_array()?;
    let widen = |live: &Value| {
        let planned = planned["webhooks"].as_array().into_iter().flatten().find(|planned| planned["name"] == live["name"]);
        let (Some(planned), Some(fields)) = (planned, live.as_object()) else { return live.clone() };
        let mut fields = fields.clone();
        for field in NARROWING.into_iter().filter(|field| differ(&planned[*field], &live[*field])) {
            match &planned[field] {
                Value::Null => _ = fields.remove(field),
                planned => _ = fields.insert(field.to_owned(), planned.clone()),
            }
        }
        Value::Object(fields)
    };
    let widened: Vec<Value> = webhooks.iter().map(widen).collect();
    (widened != *webhooks).then_some(widened)
}

/// Whether two values of a field say something else.
fn differ(one: &Value, other: &Value) -> bool {
    !between(&json!({"field": one}), &json!({"field": other})).is_empty()
}
