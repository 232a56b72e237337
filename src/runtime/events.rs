//! Events: words for people, on the object that they concern. The same words are not said again within ten minutes.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, timeout};

use super::causes;

/// How long the same words are not said again of the same object.
const SILENCE: Duration = Duration::from_secs(600);
/// How long the API server may take; its patience with events is not ours.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest note that Kubernetes takes, in bytes.
const LENGTH: usize = 1024;

/// Publishes events. Its role needs `create` on events.k8s.io in the objects' namespaces.
pub struct EventPublisher {
    client: Client,
    reporter: Reporter,
    action: &'static str,
    said: BTreeMap<(String, String, String), Instant>,
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Whether somebody has to do something.
    pub warning: bool,
    /// The cause in one word.
    pub reason: String,
    /// The cause and the remedy in a sentence.
    pub note: String,
}

// === impl EventPublisher ===

impl std::fmt::Debug for EventPublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventPublisher").field("reporter", &self.reporter).finish_non_exhaustive()
    }
}

impl EventPublisher {
    /// Publishes for `controller`, which runs in `pod` and is about to do `action` when it finds something to tell.
    pub fn new(client: Client, controller: &str, pod: &str, action: &'static str) -> Self {
        let reporter = Reporter { controller: controller.to_owned(), instance: Some(pod.to_owned()) };
        Self { client, reporter, action, said: BTreeMap::new() }
    }

    /// Publishes what hasn't just been said of this object. A failure is only logged: an event is a courtesy.
    pub async fn publish(&mut self, about: &ObjectReference, news: impl IntoIterator<Item = News>) {
        let now = Instant::now();
        self.said.retain(|_, at| now < *at + SILENCE);
        for News { warning, reason, note } in news {
            let words = (about.uid.clone().unwrap_or_default(), reason.clone(), note.clone());
            if self.said.insert(words, now).is_some() {
                continue;
            }
            let type_ = if warning { EventType::Warning } else { EventType::Normal };
            let note = note[..note.floor_char_boundary(LENGTH)].to_owned();
            let event = Event { type_, reason, note: Some(note), action: self.action.to_owned(), secondary: None };
            // A recorder of its own for each: one would count what has the same reason, and keep the first one's words.
            let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            match timeout(PATIENCE, recorder.publish(&event, about)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error = causes(&error), "event not published"),
                Err(_) => tracing::warn!("event not published: no answer in time"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_api::FakeApi;
    use k8s_openapi::api::events::v1::Event as Published;

    #[tokio::test]
    async fn the_same_words_on_the_same_object_are_said_once_and_long_ones_are_cut() {
        let api = FakeApi::new();
        let mut events = EventPublisher::new(api.client(), "test", "pod", "Test");
        let about = |uid: &str| ObjectReference {
            kind: Some("Gateway".to_owned()),
            namespace: Some("shop".to_owned()),
            name: Some("web".to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        let news = |note: &str| [News { warning: true, reason: "Invalid".to_owned(), note: note.to_owned() }];
        events.publish(&about("1"), news("a")).await;
        events.publish(&about("1"), news("a")).await;
        assert_eq!(api.list::<Published>().len(), 1);
        events.publish(&about("2"), news("a")).await;
        events.publish(&about("1"), news(&"é".repeat(2000))).await;
        let notes: Vec<usize> = api.list::<Published>().iter().filter_map(|event| Some(event.note.as_ref()?.len())).collect();
        assert_eq!((notes.len(), notes.iter().max()), (3, Some(&1024)));
    }
}
