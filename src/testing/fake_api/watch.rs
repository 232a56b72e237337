//! Watches: a stream of changes, from a version or from the present state.

use axum::body::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use std::{collections::VecDeque, convert::Infallible};

use super::{Failure, FakeApi, request::Call, selector::Selection, store::Event};

struct Watch {
    api: FakeApi,
    call: Call,
    selection: Selection,
    seen: u64,
    breaks: u64,
    queue: VecDeque<Value>,
    over: bool,
}

/// The lines of a watch's answer, until the client goes away or watches are broken.
pub(super) fn stream(api: FakeApi, call: Call) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold(Watch::new(api, call), |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok(Bytes::from(format!("{event}\n"))), watch))
    })
}

// === impl Watch ===

impl Watch {
    fn new(api: FakeApi, call: Call) -> Self {
        let breaks = api.inner.news.borrow().breaks;
        let selection = call.selection();
        let from = call.query.get("resourceVersion").map_or("", String::as_str);
        let initial_events = call.flag("sendInitialEvents");
        let (mut queue, seen) = (VecDeque::new(), api.store().version());
        let mut watch_from = seen;
        if initial_events || matches!(from, "" | "0") {
            let present = api.store().selected(&call);
            queue.extend(present.into_iter().map(|object| json!({"type": "ADDED", "object": call.shape(object)})));
        } else {
            watch_from = from.parse().unwrap_or(0);
        }
        if initial_events {
            queue.push_back(json!({"type": "BOOKMARK", "object": {
                "apiVersion": call.target.api_version(), "kind": "Bookmark",
                "metadata": {"resourceVersion": seen.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}}}));
        }
        let cut = api.inner.cuts.lock().unwrap().get(&call.target.plural).copied().filter(|_| initial_events);
        queue.truncate(cut.unwrap_or(usize::MAX));
        *api.inner.watches.lock().unwrap().entry(namespace(&call)).or_default() += 1;
        Self { api, call, selection, seen: watch_from, breaks, queue, over: cut.is_some() }
    }

    async fn next(&mut self) -> Option<Value> {
        let mut news = self.api.inner.news.subscribe();
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.over || news.borrow_and_update().breaks != self.breaks {
                return None;
            }
            self.fetch();
            if self.queue.is_empty() {
                news.changed().await.ok()?;
            }
        }
    }

    /// Queues what is new.
    fn fetch(&mut self) {
        let store = self.api.store();
        let Some(events) = store.since(self.seen) else {
            let expired = Failure::new(410, "Expired", format!("too old resource version: {}", self.seen));
            self.queue.push_back(json!({"type": "ERROR", "object": expired.status()}));
            self.over = true;
            return;
        };
        let target = &self.call.target;
        let ours = events.iter().filter(|event| event.key.is_of(&target.group, &target.plural, target.namespace.as_deref()));
        self.queue.extend(ours.filter_map(|event| line(&self.call, &self.selection, event)));
        self.seen = store.version();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(open) = self.api.inner.watches.lock().unwrap().get_mut(&namespace(&self.call)) {
            *open -= 1;
        }
    }
}

fn namespace(call: &Call) -> String {
    call.target.namespace.clone().unwrap_or_default()
}

/// One change as this watch sees it: an object may enter or leave its selection.
fn line(call: &Call, selection: &Selection, event: &Event) -> Option<Value> {
    let selected = |object: &Option<Value>| object.clone().filter(|object| selection.matches(object));
    let (kind, mut object) = match (selected(&event.before), selected(&event.after)) {
        (None, Some(after)) => ("ADDED", after),
        (Some(_), Some(after)) => ("MODIFIED", after),
        (Some(before), None) => ("DELETED", before),
        (None, None) => return None,
    };
    object["metadata"]["resourceVersion"] = json!(event.version.to_string());
    Some(json!({"type": kind, "object": call.shape(object)}))
}
