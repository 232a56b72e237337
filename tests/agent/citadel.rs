//! The real citadel, with as much of an API server as it needs to sign: it confirms every token as that of the tests' pod, and holds the
//! Secret with the root. Leases and ConfigMaps it refuses, which costs citadel nothing but the root's distribution.

use axum::body::Body;
use bytes::Bytes;
use ferromesh::{
    citadel::{CitadelConfig, start},
    runtime::{Listener, Readiness, Registry, Shutdown, Tasks, Trigger},
};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

pub(crate) struct Citadel {
    pub(crate) address: SocketAddr,
    secrets: Arc<Mutex<Option<Value>>>,
    _stop: Trigger,
}

const SECRET: &str = "/secrets/istio-ca-secret";

// === impl Citadel ===

impl Citadel {
    pub(crate) async fn start() -> Self {
        let secrets: Arc<Mutex<Option<Value>>> = Arc::default();
        let kept = secrets.clone();
        let server = tower::service_fn(move |request: Request<kube::client::Body>| {
            let kept = kept.clone();
            async move { Ok::<_, Infallible>(answer(request, &kept).await) }
        });
        let client = kube::Client::new(server, "istio-system");
        let config = CitadelConfig {
            namespace: "istio-system".to_owned(),
            pod: "istio-citadel-1".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            default_lifetime: Duration::from_secs(3600),
            max_lifetime: Duration::from_secs(3600),
            owner: None,
        };
        let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        start(config, client, listener, &mut tasks, &readiness, &mut registry);
        let (stop, stopped) = Shutdown::channel();
        let signal = Box::pin(futures::stream::once(async move {
            stopped.requested().await;
            "SIGTERM"
        }));
        tokio::spawn(tasks.run(futures::StreamExt::chain(signal, futures::stream::pending()), Duration::from_secs(10)));
        Self { address, secrets, _stop: stop }
    }

    /// A part of the root's Secret, once citadel has made it.
    pub(crate) fn secret(&self, key: &str) -> Option<String> {
        let secret = self.secrets.lock().unwrap();
        let data: k8s_openapi::ByteString = serde_json::from_value(secret.as_ref()?["data"][key].clone()).ok()?;
        Some(String::from_utf8(data.0).unwrap())
    }
}

async fn answer(request: Request<kube::client::Body>, kept: &Mutex<Option<Value>>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    if query.contains("watch=") {
        // A watch that tells nothing, and lasts.
        return Response::new(Body::from_stream(futures::stream::pending::<Result<Bytes, Infallible>>()));
    }
    let body = body.collect().await.unwrap().to_bytes();
    let object = || serde_json::from_slice::<Value>(&body).unwrap();
    let secret = kept.lock().unwrap().clone();
    match (parts.method, path) {
        (Method::POST, path) if path.ends_with("/tokenreviews") => {
            let mut review = object();
            let user = json!({"username": "system:serviceaccount:shop:web"});
            review["status"] = json!({"authenticated": true, "audiences": review["spec"]["audiences"], "user": user});
            said(201, &review)
        }
        (Method::POST, path) if path.ends_with("/secrets") => {
            *kept.lock().unwrap() = Some(object());
            said(201, &object())
        }
        (Method::GET, path) if path.ends_with(SECRET) && secret.is_some() => said(200, &secret.unwrap_or_default()),
        (Method::GET, path) if path.ends_with("/secrets") => {
            said(200, &json!({"apiVersion": "v1", "kind": "SecretList", "metadata": {"resourceVersion": "1"}, "items": []}))
        }
        _ => said(
            404,
            &json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "message": "no", "code": 404}),
        ),
    }
}

fn said(status: u16, object: &Value) -> Response<Body> {
    Response::builder().status(status).body(Body::from(object.to_string())).unwrap()
}
