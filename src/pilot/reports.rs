//! What sessions tell the hub: which resources proxies refuse, and whether one that was asked has answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::compile::{Resource, ResourceType};

/// Different refused resources that wait for the hub, at most. A thousand proxies that refuse one resource are one; what is beyond this is
/// heard of again when these are dealt with and the proxies connect anew.
const REFUSALS: usize = 256;

/// So many proxies of a refusal are remembered, and so many of one namespace: one that can be asked is enough, and from how many
/// namespaces complaints come counts up to two.
const ACCUSERS: usize = 8;
const ACCUSERS_OF_NAMESPACE: usize = 2;

/// Takes reports, and hands them on. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Reports {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    news: Mutex<News>,
    told: Notify,
}

/// What was reported since the last look.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) refusals: BTreeMap<FormKey, Refusal>,
    /// The subscriber and the number of the latest question that was answered.
    pub(super) answered: Option<(u64, u64)>,
}

/// One form of a resource.
pub(super) type FormKey = (ResourceType, Arc<str>, u64);

/// A form of a resource that proxies refuse.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) resource: Arc<Resource>,
    /// The hash of the form that the first of them holds instead, if it is known to hold one.
    pub(super) held: Option<u64>,
    /// The first one's words.
    pub(super) message: Arc<str>,
    /// Who they are, never empty.
    pub(super) accusers: Vec<Accuser>,
}

/// A proxy that refuses something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accuser {
    /// Its number with the hub.
    pub(super) subscriber: u64,
    /// `POD.NAMESPACE`.
    pub(super) proxy: String,
    /// The namespace that it has proved to be of.
    pub(super) namespace: Arc<str>,
}

/// The form that a resource has.
pub(super) fn form_key(resource: &Resource) -> FormKey {
    (resource.kind, resource.name.clone(), resource.hash)
}

// === impl Reports ===

impl Reports {
    /// A proxy refuses a resource.
    pub(super) fn refused(&self, refusal: Refusal) {
        let mut news = self.news();
        let (key, full) = (form_key(&refusal.resource), news.refusals.len() >= REFUSALS);
        match news.refusals.get_mut(&key) {
            Some(known) => refusal.accusers.into_iter().for_each(|accuser| known.join(accuser)),
            None if full => return,
            None => _ = news.refusals.insert(key, refusal),
        }
        drop(news);
        self.inner.told.notify_one();
    }

    /// A subscriber has answered the question of that number.
    pub(super) fn answered(&self, subscriber: u64, question: u64) {
        self.news().answered = Some((subscriber, question));
        self.inner.told.notify_one();
    }

    /// Waits for reports. Cancel-safe; for one reader.
    pub(super) async fn heard(&self) -> News {
        loop {
            let news = std::mem::take(&mut *self.news());
            if !news.refusals.is_empty() || news.answered.is_some() {
                return news;
            }
            // A permit that came between the look and this wait is kept.
            self.inner.told.notified().await;
        }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.inner.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Refusal ===

impl Refusal {
    /// One more proxy refuses it.
    fn join(&mut self, accuser: Accuser) {
        let of_namespace = self.accusers.iter().filter(|known| known.namespace == accuser.namespace).count();
        if self.accusers.len() < ACCUSERS && of_namespace < ACCUSERS_OF_NAMESPACE {
            self.accusers.push(accuser);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: usize, proxy: u64, namespace: &str) -> Refusal {
        let resource = Resource::of(ResourceType::Cluster, &name.to_string(), "bad", &[]);
        let accuser = Accuser { subscriber: proxy, proxy: format!("{proxy}.{namespace}"), namespace: namespace.into() };
        Refusal { resource, held: None, message: "no".into(), accusers: vec![accuser] }
    }

    #[tokio::test]
    async fn a_thousand_refusals_of_one_resource_are_one_and_the_rest_is_bounded() {
        let reports = Reports::default();
        for proxy in 0..1000 {
            reports.refused(refusal(0, proxy, if proxy < 500 { "shop" } else { "bank" }));
        }
        let news = reports.heard().await;
        assert_eq!(news.refusals.len(), 1);
        let proxies: Vec<u64> = news.refusals.values().flat_map(|it| it.accusers.iter().map(|it| it.subscriber)).collect();
        assert_eq!(proxies, [0, 1, 500, 501]);
        (0..1000).for_each(|name| reports.refused(refusal(name, 1, "shop")));
        reports.answered(1, 7);
        let news = reports.heard().await;
        assert_eq!((news.refusals.len(), news.answered), (REFUSALS, Some((1, 7))));
        assert!(futures::FutureExt::now_or_never(reports.heard()).is_none());
    }
}
