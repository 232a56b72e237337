//! What became of each stored object of the configuration, for whoever tells its author: galley.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use ferromesh_crds::status::{MeshCondition, ValidationMessage};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Notify;

use crate::config::{Invalid, Problem};
use crate::model::ObjectRef;

/// The field manager of the share in a status that [`Reported`] is.
pub const STATUS_MANAGER: &str = "ferromesh-galley";
/// The condition in that share.
pub const ACCEPTED: &str = "Accepted";

/// What became of one stored object, and what its status says of that so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Which object of that name: another one may come in its place.
    pub uid: String,
    /// The generation that was looked at.
    pub generation: Option<i64>,
    /// What is doubtful about it; or why it has no effect.
    pub outcome: Result<Vec<Problem>, Invalid>,
    /// What its status says.
    pub reported: Reported,
}

/// The share of an object's status that tells of a verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reported {
    /// The condition `Accepted`.
    pub accepted: Option<Box<MeshCondition>>,
    /// The validation messages, as far as they are of this share's manager.
    pub messages: Vec<ValidationMessage>,
    /// The generation that the status speaks of.
    pub observed_generation: Option<i64>,
}

/// The verdicts that changed, until somebody asks for them: for each object the latest, however many there were. So it holds no more
/// than there are objects, and never holds up the writer.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    news: Mutex<News>,
    told: Notify,
}

/// The latest of each object; `None` if it is gone.
type News = BTreeMap<ObjectRef, Option<Box<Verdict>>>;

// === impl Reported ===

impl Reported {
    /// Reads it from a stored object.
    pub(super) fn of(object: &Value, metadata: &ObjectMeta) -> Self {
        let status = &object["status"];
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let accepted = conditions.iter().find(|condition| condition["type"] == ACCEPTED);
        let messages = status.get("validationMessages").filter(|_| owns_messages(metadata));
        Self {
            accepted: accepted.and_then(|condition| MeshCondition::deserialize(condition).ok()).map(Box::new),
            messages: messages.and_then(|messages| Vec::deserialize(messages).ok()).unwrap_or_default(),
            observed_generation: number(&status["observedGeneration"]),
        }
    }
}

/// Whether the list of messages is this share's: another's is neither compared nor taken away.
fn owns_messages(metadata: &ObjectMeta) -> bool {
    metadata.managed_fields.iter().flatten().any(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0["f:status"]);
        entry.manager.as_deref() == Some(STATUS_MANAGER) && fields.is_some_and(|fields| fields.get("f:validationMessages").is_some())
    })
}

/// A generation, which the reference writes as a text at times.
fn number(value: &Value) -> Option<i64> {
    match IntOrString::deserialize(value).ok()? {
        IntOrString::Int(number) => Some(i64::from(number)),
        IntOrString::String(text) => text.parse().ok(),
    }
}

// === impl Verdicts ===

impl Verdicts {
    /// Waits for verdicts that changed since the last call. The first calls report all there are. Cancel-safe; for one reader.
    pub async fn changed(&self) -> BTreeMap<ObjectRef, Option<Box<Verdict>>> {
        loop {
            let news = std::mem::take(&mut *self.inner.news.lock().unwrap_or_else(PoisonError::into_inner));
            if !news.is_empty() {
                return news;
            }
            // A permit that came between the look and this wait is kept.
            self.inner.told.notified().await;
        }
    }

    /// Takes in what changed.
    pub(super) fn tell(&self, news: Vec<(ObjectRef, Option<Box<Verdict>>)>) {
        if news.is_empty() {
            return;
        }
        self.inner.news.lock().unwrap_or_else(PoisonError::into_inner).extend(news);
        self.inner.told.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reported(status: &Value, manager: &str) -> Reported {
        let managed = json!({"manager": manager, "operation": "Apply", "subresource": "status",
            "fieldsV1": {"f:status": {"f:validationMessages": {}}}});
        let metadata = serde_json::from_value(json!({"managedFields": [managed]})).unwrap();
        Reported::of(&json!({"status": status}), &metadata)
    }

    #[test]
    fn only_what_is_galleys_is_read_from_a_status() {
        let status = json!({
            "observedGeneration": "3",
            "conditions": [{"type": "Programmed", "status": "False"}, {"type": "Accepted", "status": "True", "reason": "Accepted"}],
            "validationMessages": [{"level": "ERROR", "type": {"code": "IST0101"}}],
        });
        let own = reported(&status, STATUS_MANAGER);
        assert_eq!(own.accepted.as_ref().and_then(|condition| condition.status.as_deref()), Some("True"));
        assert_eq!((own.messages.len(), own.observed_generation), (1, Some(3)));
        assert_eq!(reported(&status, "somebody").messages, []);
        assert_eq!(reported(&json!({"conditions": "nonsense", "validationMessages": 5}), STATUS_MANAGER), Reported::default());
    }

    #[tokio::test]
    async fn of_several_verdicts_on_one_object_the_latest_is_told() {
        let verdicts = Verdicts::default();
        let (a, b) = (ObjectRef::new("Gateway", "shop", "a"), ObjectRef::new("Gateway", "shop", "b"));
        let verdict = |generation| {
            let reported = Reported::default();
            Some(Box::new(Verdict { uid: "u".to_owned(), generation: Some(generation), outcome: Ok(Vec::new()), reported }))
        };
        verdicts.tell(vec![(a.clone(), verdict(1)), (b.clone(), verdict(1))]);
        verdicts.tell(vec![(a.clone(), verdict(2)), (b.clone(), None)]);
        assert_eq!(verdicts.changed().await, BTreeMap::from([(a.clone(), verdict(2)), (b, None)]));
        let (next, ()) = tokio::join!(verdicts.changed(), async { verdicts.tell(vec![(a.clone(), None)]) });
        assert_eq!(next, BTreeMap::from([(a, None)]));
    }
}
