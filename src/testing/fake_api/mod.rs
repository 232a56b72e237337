//! A Kubernetes API server in memory, for [`kube::Client`].
//!
//! It stores any resource without knowing its schema and behaves as the real one does where controllers can tell: resource versions
//! and conflicts, writes that change nothing, generations, the status subresource, server-side apply with owners of fields, label and
//! field selectors, metadata-only answers, lists in pages, watches (also with initial events, and expired ones), finalizers, owner references. It
//! admits everything: no schema, defaults, authentication or RBAC. What a test needs beyond that, it answers by [`FakeApi::answer`].

mod apply;
mod request;
mod selector;
mod store;
mod tests;
mod watch;

use axum::body::Body;
use http::{Method, Response, header};
use http_body_util::BodyExt;
use kube::{Client, Resource};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::{net::TcpListener, sync::watch as channel};

pub(crate) use request::Call;
use store::{Key, Store};

/// The server. Clones share its state.
#[derive(Clone)]
pub(crate) struct FakeApi {
    inner: Arc<Inner>,
}

struct Inner {
    store: Mutex<Store>,
    answers: Mutex<Vec<Answer>>,
    calls: Mutex<Vec<Call>>,
    /// Streams of lists of these resources end after so many objects.
    cuts: Mutex<BTreeMap<String, usize>>,
    /// How many watches are open in each namespace; under none those of all namespaces and of the cluster.
    watches: Mutex<BTreeMap<String, usize>>,
    /// Tells watches that there is something new, or (by an odd epoch) that they are to end.
    news: channel::Sender<News>,
}

#[derive(Clone, Copy, Default)]
struct News {
    version: u64,
    breaks: u64,
}

type Answer = Arc<dyn Fn(&Call) -> Option<(u16, Value)> + Send + Sync>;

/// What a request comes to: a status code and a body.
type Outcome = Result<(u16, Value), Failure>;

/// An error as the API server words it.
#[derive(Debug)]
struct Failure {
    code: u16,
    reason: &'static str,
    message: String,
}

// === impl FakeApi ===

impl FakeApi {
    /// An empty cluster.
    pub(crate) fn new() -> Self {
        let inner = Inner {
            store: Mutex::new(Store::default()),
            answers: Mutex::default(),
            calls: Mutex::default(),
            cuts: Mutex::default(),
            watches: Mutex::default(),
            news: channel::Sender::new(News::default()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A client of this server. Needs a runtime.
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                Ok::<_, kube::Error>(api.handle(&parts, &body))
            }
        });
        Client::new(service, "default")
    }

    /// Serves it by HTTP as well, as long as the runtime runs, for those who bring a kubeconfig of their own: this one, with a context in
    /// namespace `default`.
    pub(crate) async fn kubeconfig(&self) -> Value {
        let api = self.clone();
        let answer = move |request: axum::extract::Request| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                api.handle(&parts, &body)
            }
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
        })
    }

    /// Answers requests instead of the store: the first closure that returns a status code and a body wins. For reviews, failures and
    /// whatever else a test needs.
    pub(crate) fn answer(&self, answer: impl Fn(&Call) -> Option<(u16, Value)> + Send + Sync + 'static) {
        self.inner.answers.lock().unwrap().push(Arc::new(answer));
    }

    /// Every request so far that was not a watch, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner.calls.lock().unwrap().clone()
    }

    /// The resource version of the latest change.
    pub(crate) fn version(&self) -> u64 {
        self.store().version()
    }

    /// Begins to count calls anew.
    pub(crate) fn forget_calls(&self) {
        self.inner.calls.lock().unwrap().clear();
    }

    /// Stores an object as it is, status included, whether or not it exists.
    pub(crate) fn insert<K: Resource<DynamicType = ()> + Serialize>(&self, object: &K) {
        let mut value = serde_json::to_value(object).unwrap();
        value["apiVersion"] = json!(K::api_version(&()));
        value["kind"] = json!(K::kind(&()));
        let meta = object.meta();
        let key = Self::key::<K>(meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default());
        self.store().insert(key, value);
        self.tell();
    }

    /// An object as it is stored.
    pub(crate) fn get<K: Resource<DynamicType = ()> + DeserializeOwned>(&self, namespace: Option<&str>, name: &str) -> Option<K> {
        let value = self.store().get(&Self::key::<K>(namespace, name))?;
        Some(serde_json::from_value(value).unwrap())
    }

    /// Every object of a kind, in all namespaces.
    pub(crate) fn list<K: Resource<DynamicType = ()> + DeserializeOwned>(&self) -> Vec<K> {
        let values = self.store().list(&K::group(&()), &K::plural(&()), None);
        values.into_iter().map(|value| serde_json::from_value(value).unwrap()).collect()
    }

    /// Every object of every kind, sorted.
    pub(crate) fn all(&self) -> Vec<Value> {
        self.store().all()
    }

    /// Deletes an object as `kubectl delete` does: finalizers hold it, dependents go with it.
    pub(crate) fn delete<K: Resource<DynamicType = ()>>(&self, namespace: Option<&str>, name: &str) {
        self.store().delete(&Self::key::<K>(namespace, name), false).unwrap();
        self.tell();
    }

    /// How many watches are open in a namespace.
    pub(crate) fn watches(&self, namespace: &str) -> usize {
        self.inner.watches.lock().unwrap().get(namespace).copied().unwrap_or_default()
    }

    /// Ends every watch, as a restart of the server does; watchers connect again.
    pub(crate) fn break_watches(&self) {
        self.inner.news.send_modify(|news| news.breaks += 1);
    }

    /// Ends streams of lists of a resource after so many objects, as a server does that dies over it; `None` mends that.
    pub(crate) fn cut_lists(&self, plural: &str, after: Option<usize>) {
        let mut cuts = self.inner.cuts.lock().unwrap();
        match after {
            Some(count) => _ = cuts.insert(plural.to_owned(), count),
            None => _ = cuts.remove(plural),
        }
    }

    /// Forgets the past: a watch from an earlier version gets 410 Expired.
    pub(crate) fn compact(&self) {
        self.store().compact();
        self.break_watches();
    }

    fn key<K: Resource<DynamicType = ()>>(namespace: Option<&str>, name: &str) -> Key {
        Key::new(&K::group(&()), &K::plural(&()), namespace.unwrap_or_default(), name)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.inner.store.lock().unwrap()
    }

    fn tell(&self) {
        let version = self.store().version();
        self.inner.news.send_modify(|news| news.version = version);
    }

    fn handle(&self, parts: &http::request::Parts, body: &[u8]) -> Response<Body> {
        let Some(call) = Call::parse(parts, body) else {
            return reply(Err(Failure::new(404, "NotFound", format!("no resource at {}", parts.uri.path()))));
        };
        if call.is_watch() && !self.answers_itself(&call) {
            return self.watch(call);
        }
        self.inner.calls.lock().unwrap().push(call.clone());
        let answers = self.inner.answers.lock().unwrap().clone();
        if let Some((code, body)) = answers.iter().find_map(|answer| answer(&call)) {
            return json_reply(code, &body);
        }
        let outcome = self.execute(&call);
        self.tell();
        reply(outcome)
    }

    /// Whether a test answers this watch, for example with a failure.
    fn answers_itself(&self, call: &Call) -> bool {
        let answers = self.inner.answers.lock().unwrap().clone();
        answers.iter().any(|answer| answer(call).is_some())
    }

    fn execute(&self, call: &Call) -> Outcome {
        let mut store = self.store();
        let key = call.target.key();
        match (&call.method, call.target.name.is_some()) {
            (&Method::GET, true) => Ok((200, call.shape(store.get(&key).ok_or_else(|| Failure::not_found(&key))?))),
            (&Method::GET, false) => Ok((200, store.answer_list(call))),
            (&Method::POST, false) => store.create(call).map(|object| (201, object)),
            (&Method::PUT, true) => store.replace(call, &key).map(|object| (200, object)),
            (&Method::PATCH, true) => store.patch(call, &key),
            (&Method::DELETE, true) => store.delete_by(call, &key).map(|object| (200, object)),
            (&Method::DELETE, false) => store.delete_all(call),
            _ => Err(Failure::new(405, "MethodNotAllowed", format!("{} is not understood", call.method))),
        }
    }

    fn watch(&self, call: Call) -> Response<Body> {
        let stream = watch::stream(self.clone(), call);
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
        response.body(Body::from_stream(stream)).unwrap()
    }
}

// === impl Failure ===

impl Failure {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into() }
    }

    fn not_found(key: &Key) -> Self {
        Self::new(404, "NotFound", format!("{} {:?} not found", key.plural, key.name))
    }

    fn status(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "metadata": {},
               "reason": self.reason, "message": self.message, "code": self.code})
    }
}

fn reply(outcome: Outcome) -> Response<Body> {
    match outcome {
        Ok((code, body)) => json_reply(code, &body),
        Err(failure) => json_reply(failure.code, &failure.status()),
    }
}

fn json_reply(code: u16, body: &Value) -> Response<Body> {
    let response = Response::builder().status(code).header(header::CONTENT_TYPE, "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}
