//! The store against an API server that keeps Secrets in memory and checks resource versions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::authority::WebhookCa;

type Secrets = Arc<Mutex<Server>>;

#[derive(Default)]
struct Server {
    secrets: BTreeMap<String, Value>,
    version: u64,
    writes: usize,
    conflicts: usize,
}

impl Server {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        let path = path.trim_start_matches("/api/v1/namespaces/").to_owned();
        let key = if *method == Method::POST { format!("{path}/{}", text(&sent["metadata"]["name"])) } else { path };
        let stored = self.secrets.get(&key).cloned();
        match (method.as_str(), stored) {
            ("GET", Some(stored)) => (StatusCode::OK, stored),
            ("GET" | "PUT" | "DELETE", None) => failure(StatusCode::NOT_FOUND),
            ("POST", None) => self.store(key, sent),
            ("PUT", Some(stored)) if stored["metadata"]["resourceVersion"] == sent["metadata"]["resourceVersion"] => {
                assert_eq!(stored["type"], sent["type"], "the type of a Secret can't be changed");
                self.store(key, sent)
            }
            ("DELETE", Some(stored)) if stored["metadata"]["resourceVersion"] == sent["preconditions"]["resourceVersion"] => {
                self.secrets.remove(&key);
                (StatusCode::OK, stored)
            }
            _ => {
                self.conflicts += 1;
                failure(StatusCode::CONFLICT)
            }
        }
    }

    fn store(&mut self, key: String, mut secret: Value) -> (StatusCode, Value) {
        self.version += 1;
        self.writes += 1;
        secret["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.secrets.insert(key, secret.clone());
        (StatusCode::OK, secret)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn failure(code: StatusCode) -> (StatusCode, Value) {
    let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "Conflict" };
    (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code.as_u16()}))
}

fn client(server: &Secrets) -> Client {
    let server = server.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = server.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            // Lets the other store of a test come in between.
            tokio::task::yield_now().await;
            let (status, answer) = server.lock().expect("no panic").answer(&parts.method, parts.uri.path(), &body);
            let body = Full::new(bytes::Bytes::from(answer.to_string()));
            Ok::<_, kube::Error>(Response::builder().status(status).body(body).expect("a response"))
        }
    });
    Client::new(service, "default")
}

fn leaves() -> Vec<LeafSpec> {
    let leaf = |namespace: &str, name: &str| LeafSpec {
        secret: SecretSpec { namespace: namespace.into(), name: name.into(), ..SecretSpec::default() },
        dns_names: vec![format!("{name}.{namespace}.svc")],
    };
    vec![leaf("ferromesh-system", "ferromesh-operator-webhook-certs"), leaf("istio-system", "istio-galley-webhook-certs")]
}

fn owner(uid: &str) -> OwnerReference {
    OwnerReference { uid: uid.into(), name: "mesh".into(), kind: "MeshInstall".into(), ..OwnerReference::default() }
}

#[tokio::test]
async fn second_pass_writes_nothing_and_answers_the_same() {
    let server = Secrets::default();
    let (store, now) = (Store::new(client(&server), "ferromesh-system"), OffsetDateTime::now_utc());
    let first = store.ensure(now, &[], &leaves()).await.expect("ensured");
    assert_eq!(server.lock().expect("no panic").writes, 3);
    let second = store.ensure(now, &[], &leaves()).await.expect("ensured");
    assert_eq!(server.lock().expect("no panic").writes, 3);
    assert_eq!((first.bundle, first.leaves), (second.bundle, second.leaves));
    let server = server.lock().expect("no panic");
    assert!(server.secrets.values().all(|secret| secret["type"] == TYPE));
    assert!(server.secrets.contains_key("ferromesh-system/secrets/ferromesh-webhook-ca"));
}

#[tokio::test]
async fn replicas_that_start_together_agree_on_one_authority() {
    let server = Secrets::default();
    let (one, two) = (Store::new(client(&server), "ferromesh-system"), Store::new(client(&server), "ferromesh-system"));
    let (now, leaves) = (OffsetDateTime::now_utc(), leaves());
    let (one, two) = tokio::join!(one.ensure(now, &[], &leaves), two.ensure(now, &[], &leaves));
    let (one, two) = (one.expect("ensured"), two.expect("ensured"));
    assert!(server.lock().expect("no panic").conflicts > 0, "the test didn't make them meet");
    assert_eq!((one.bundle, one.leaves), (two.bundle, two.leaves));
}

#[tokio::test]
async fn owners_and_labels_are_written_and_foreign_labels_stay() {
    let server = Secrets::default();
    let (store, now, mut leaves) = (Store::new(client(&server), "ferromesh-system"), OffsetDateTime::now_utc(), leaves());
    leaves[1].secret.owners = vec![owner("1")];
    store.ensure(now, &[owner("1")], &leaves).await.expect("ensured");
    let galley = "istio-system/secrets/istio-galley-webhook-certs";
    server.lock().expect("no panic").secrets.get_mut(galley).expect("stored")["metadata"]["labels"] = json!({"theirs": "kept"});
    leaves[1].secret.owners = vec![owner("2")];
    leaves[1].secret.labels.insert("app".into(), "galley".into());
    let before = server.lock().expect("no panic").secrets[galley]["data"].clone();
    store.ensure(now, &[], &leaves).await.expect("ensured");

    let server = server.lock().expect("no panic");
    let stored = &server.secrets[galley];
    assert_eq!(stored["metadata"]["labels"], json!({"theirs": "kept", "app": "galley"}));
    assert_eq!(stored["metadata"]["ownerReferences"][0]["uid"], "2");
    assert_eq!(stored["data"], before, "metadata alone changed");
    assert_eq!(server.secrets["ferromesh-system/secrets/ferromesh-webhook-ca"]["metadata"].get("ownerReferences"), None);
}

#[tokio::test]
async fn secret_of_somebody_else_is_left_alone_until_it_is_handed_over() {
    let server = Secrets::default();
    let (store, now, mut leaves) = (Store::new(client(&server), "ferromesh-system"), OffsetDateTime::now_utc(), leaves());
    leaves[1].secret.labels.insert("app".into(), "galley".into());
    let galley = "istio-system/secrets/istio-galley-webhook-certs";
    let theirs = json!({"metadata": {"name": "istio-galley-webhook-certs", "namespace": "istio-system"}, "type": TYPE, "data": {}});
    server.lock().expect("no panic").store(galley.into(), theirs);
    let before = server.lock().expect("no panic").secrets[galley].clone();
    let refused = store.ensure(now, &[], &leaves).await.expect_err("refused").to_string();
    let command = "kubectl label -n istio-system secret istio-galley-webhook-certs --overwrite app=galley";
    assert!(refused.starts_with("secret istio-system/istio-galley-webhook-certs is somebody else's"), "{refused}");
    assert!(refused.ends_with(command), "{refused}");
    assert_eq!(server.lock().expect("no panic").secrets[galley], before);
    server.lock().expect("no panic").secrets.get_mut(galley).expect("stored")["metadata"]["labels"] = json!({"app": "galley"});
    store.ensure(now, &[], &leaves).await.expect("ensured");
    assert_ne!(server.lock().expect("no panic").secrets[galley]["data"], before["data"]);
}

#[tokio::test]
async fn secret_of_another_type_is_made_anew() {
    let server = Secrets::default();
    let key = "ferromesh-system/secrets/ferromesh-webhook-ca";
    server.lock().expect("no panic").store(
        key.into(),
        json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": "ferromesh-webhook-ca", "uid": "u"}}),
    );
    let store = Store::new(client(&server), "ferromesh-system");
    let ensured = store.ensure(OffsetDateTime::now_utc(), &[], &leaves()).await.expect("ensured");
    assert_eq!(ensured.repairs.len(), 1);
    assert_eq!(server.lock().expect("no panic").secrets[key]["type"], TYPE);
}

#[tokio::test]
async fn outside_issuer_is_believed_after_a_check_and_never_overwritten() {
    let server = Secrets::default();
    let (now, policy, leaves) = (OffsetDateTime::now_utc(), Policy::default(), leaves());
    let store = Store::new(client(&server), "ferromesh-system").with_source(Source::External);
    assert!(matches!(store.ensure(now, &[], &leaves).await, Err(StoreError::External { .. })), "nothing has been issued yet");

    let ca = WebhookCa::generate(now, &policy).expect("an authority");
    let put = |leaf: &LeafSpec, roots: &str| {
        let (cert, key) = ca.issue(now, &leaf.dns_names, &policy).expect("a leaf");
        let data = LeafSecret { cert, key, ca: roots.to_owned() }.to_data();
        let (namespace, name) = (&leaf.secret.namespace, &leaf.secret.name);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": TYPE, "metadata": {"name": name}, "data": data});
        server.lock().expect("no panic").store(format!("{namespace}/secrets/{name}"), secret);
    };
    leaves.iter().for_each(|leaf| put(leaf, ca.cert_pem()));
    let writes = server.lock().expect("no panic").writes;
    let ensured = store.ensure(now, &[], &leaves).await.expect("usable");
    assert_eq!(ensured.bundle, ca.cert_pem());
    assert_eq!(ensured.leaves.len(), 2);

    let other = WebhookCa::generate(now, &policy).expect("an authority");
    put(&leaves[1], other.cert_pem());
    let error = store.ensure(now, &[], &leaves).await.expect_err("signed by another root");
    assert!(matches!(error, StoreError::External { defect: crate::Defect::Untrusted, .. }), "{error}");
    assert_eq!(server.lock().expect("no panic").writes, writes + 1, "only the test itself wrote");
}
