//! Admission webhooks: reviews in, verdicts out, at a bounded cost.
//!
//! The reviews' envelope is read here, once for all webhooks; what a verdict depends on is the webhook's own. The object stays the JSON
//! that the API server sent, so that fields which nobody here knows survive.

mod intake;

use axum::{
    Json, Router,
    body::Body,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use k8s_openapi::ByteString;
use kube::core::{
    Status,
    admission::{AdmissionResponse, Operation},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use self::intake::{Intake, Taken};

/// Bodies that are longer are looked at one at a time, and not by a thread that serves connections: as values they take many times their
/// length, and their time.
const LARGE: usize = 256 * 1024;
/// The most maps in a large body. An empty one is two bytes there and half a kilobyte as a value.
const MAX_MAPS: usize = 100_000;
/// The most values in a large body. The largest object that Kubernetes stores has a tenth of that.
const MAX_VALUES: usize = 1_000_000;
/// How long one review may take, its body's arrival included: as long as an API server waits by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a webhook is asked.
#[derive(Clone, Debug)]
pub struct AdmissionRequest {
    /// The path by which the webhook was called; what stands after its own may say where the call comes from.
    pub path: String,
    /// Names this review; the answer repeats it.
    pub uid: String,
    /// The object's API group; empty for Kubernetes' core.
    pub group: String,
    /// The version in which the object is sent.
    pub version: String,
    /// The object's kind.
    pub kind: String,
    /// The part of the object that the request is about, for example `status`; none for the object itself.
    pub subresource: Option<String>,
    /// What is being done.
    pub operation: Operation,
    /// Where; none for objects of the whole cluster.
    pub namespace: Option<String>,
    /// The object's name; none where the API server is still to make one.
    pub name: Option<String>,
    /// The object as it would be stored; none when it is being deleted.
    pub object: Option<Value>,
    /// The object as it is stored.
    pub old_object: Option<Value>,
    /// Whether nothing will be stored whatever the answer.
    pub dry_run: bool,
    /// Who asks.
    pub username: String,
}

#[derive(Deserialize)]
struct Review {
    request: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    uid: String,
    kind: Kind,
    #[serde(default)]
    sub_resource: Option<String>,
    operation: Operation,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    object: Option<Value>,
    #[serde(default)]
    old_object: Option<Value>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    user_info: UserInfo,
}

#[derive(Deserialize)]
struct Kind {
    group: String,
    version: String,
    kind: String,
}

#[derive(Default, Deserialize)]
struct UserInfo {
    #[serde(default)]
    username: String,
}

/// An answer as the API server reads it. A patch is base64 there, which kube's own type would write as a list of numbers, thrice as long.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnsweredReview {
    api_version: &'static str,
    kind: &'static str,
    response: Answer,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    uid: String,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
}

/// The route of one webhook. `answer` must answer from memory: the API server waits for it.
///
/// A body that is no AdmissionReview gets *bad request*, one of more than 8 MiB or of far more values than any real one *payload too
/// large*, one that does not arrive *request timeout*; none of them reaches `answer`.
pub fn admission_route<H>(path: &str, answer: H) -> Router
where
    H: Fn(AdmissionRequest) -> AdmissionResponse + Clone + Send + Sync + 'static,
{
    patient_routes(&[path], answer, PATIENCE)
}

/// The same for a path and everything below it: [`AdmissionRequest::path`] says which was called.
pub fn admission_tree<H>(path: &str, answer: H) -> Router
where
    H: Fn(AdmissionRequest) -> AdmissionResponse + Clone + Send + Sync + 'static,
{
    patient_routes(&[path, &format!("{path}/{{*rest}}")], answer, PATIENCE)
}

fn patient_routes<H>(paths: &[&str], answer: H, patience: Duration) -> Router
where
    H: Fn(AdmissionRequest) -> AdmissionResponse + Clone + Send + Sync + 'static,
{
    let desk = Desk { intake: Intake::new(), large: Arc::new(Semaphore::new(1)) };
    let handle = async move |uri: Uri, body: Body| match timeout(patience, desk.handle(uri.path().to_owned(), body, answer)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    paths.iter().fold(Router::new(), |router, path| router.route(path, post(handle.clone())))
}

/// Where reviews are taken in and answered.
#[derive(Clone, Debug)]
struct Desk {
    intake: Intake,
    large: Arc<Semaphore>,
}

// === impl Desk ===

impl Desk {
    async fn handle<H>(self, path: String, body: Body, answer: H) -> Response
    where
        H: Fn(AdmissionRequest) -> AdmissionResponse + Send + 'static,
    {
        let taken = match self.intake.take(body).await {
            Ok(taken) => taken,
            Err(status) => return status.into_response(),
        };
        // Microseconds, and never more at a time than there are threads.
        if taken.bytes.len() <= LARGE {
            return review(path, &taken.bytes, answer);
        }
        // The semaphore is never closed, so there is a turn for every body.
        let turn = self.large.acquire_owned().await.ok();
        // It goes on when nobody waits for it any more, and keeps its turn and its memory until its end.
        let work = spawn_blocking(move || {
            let Taken { bytes, .. } = &taken;
            let response = review(path, bytes, answer);
            drop(turn);
            response
        });
        work.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

fn review(path: String, body: &[u8], answer: impl Fn(AdmissionRequest) -> AdmissionResponse) -> Response {
    if explodes(body) {
        return (StatusCode::PAYLOAD_TOO_LARGE, "more values than any object of Kubernetes has\n").into_response();
    }
    match serde_json::from_slice::<Review>(body) {
        Ok(review) => Json(AnsweredReview::from(answer(review.request.at(path)))).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("not an AdmissionReview: {error}\n")).into_response(),
    }
}

/// Whether a large body is made of so many small parts that it would take many times its length as a value. What stands in texts is
/// counted too, which errs on the safe side.
fn explodes(body: &[u8]) -> bool {
    let count = |wanted: u8| body.iter().filter(|byte| **byte == wanted).count();
    body.len() > LARGE && (count(b'{') > MAX_MAPS || count(b',') > MAX_VALUES)
}

// === impl AdmissionRequest ===

impl AdmissionRequest {
    /// `namespace/name` of the object, or what its name will begin with.
    pub fn shown_name(&self) -> String {
        let generated = || self.object.as_ref()?["metadata"]["generateName"].as_str().map(|prefix| format!("{prefix}*"));
        let name = self.name.clone().or_else(generated).unwrap_or_default();
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        }
    }

    /// The answer that lets the request pass. Warnings and a patch may be added to it.
    pub fn allow(&self) -> AdmissionResponse {
        let mut response = AdmissionResponse::invalid("");
        response.uid.clone_from(&self.uid);
        response.allowed = true;
        response.result = kube::core::Status::default();
        response
    }

    /// The answer that refuses the request, with the reason that the user reads.
    pub fn deny(&self, reason: impl std::fmt::Display) -> AdmissionResponse {
        let mut response = self.allow().deny(reason);
        response.result.code = StatusCode::FORBIDDEN.as_u16();
        response
    }
}

impl From<AdmissionResponse> for AnsweredReview {
    fn from(answer: AdmissionResponse) -> Self {
        let response = Answer {
            uid: answer.uid,
            allowed: answer.allowed,
            status: (!answer.allowed).then_some(answer.result),
            patch_type: answer.patch.is_some().then_some("JSONPatch"),
            patch: answer.patch.map(ByteString),
            warnings: answer.warnings,
        };
        Self { api_version: "admission.k8s.io/v1", kind: "AdmissionReview", response }
    }
}

// === impl Envelope ===

impl Envelope {
    /// The request that came in by this path.
    fn at(self, path: String) -> AdmissionRequest {
        let envelope = self;
        let present = |object: Option<Value>| object.filter(|object| !object.is_null());
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        AdmissionRequest {
            path,
            uid: envelope.uid,
            group: envelope.kind.group,
            version: envelope.kind.version,
            kind: envelope.kind.kind,
            subresource: named(envelope.sub_resource),
            operation: envelope.operation,
            namespace: named(envelope.namespace),
            name: named(envelope.name),
            object: present(envelope.object),
            old_object: present(envelope.old_object),
            dry_run: envelope.dry_run,
            username: envelope.user_info.username,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{intake::MAX_BODY, *};
    use axum::body::Bytes;
    use http_body_util::BodyExt;
    use serde_json::json;
    use tower::ServiceExt;

    fn route() -> Router {
        admission_route("/check", |request| match request.object {
            Some(ref object) if object["spec"]["good"] == true => request.allow(),
            Some(ref object) if object["spec"]["good"] == "almost" => request.allow().with_patch(json_patch::Patch::default()).unwrap(),
            _ => request.deny(format_args!("{} {} spec.good: must be true", request.kind, request.name.as_deref().unwrap_or("?"))),
        })
    }

    fn review_of(object: &Value) -> Value {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u-1", "kind": {"group": "g.example", "version": "v1", "kind": "Thing"},
            "resource": {"group": "g.example", "version": "v1", "resource": "things"},
            "operation": "CREATE", "name": "x", "namespace": "", "userInfo": {"username": "jane"}, "object": object, "oldObject": null,
        }})
    }

    #[tokio::test]
    async fn a_tree_answers_below_its_path_and_says_where_it_was_called() {
        let route = admission_tree("/check", |request| request.deny(&request.path));
        let message = async |path: &str| {
            let body = Body::from(review_of(&json!({})).to_string());
            let response = route.clone().oneshot(http::Request::post(path).body(body).unwrap()).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            serde_json::from_slice::<Value>(&body).map(|body| body["response"]["status"]["message"].clone()).unwrap_or_default()
        };
        assert_eq!(message("/check").await, "/check");
        assert_eq!(message("/check/cluster/c/net/n").await, "/check/cluster/c/net/n");
        assert_eq!(message("/other").await, Value::Null);
    }

    async fn ask(body: impl Into<Body>) -> (StatusCode, Value) {
        let response = route().oneshot(http::Request::post("/check").body(body.into()).unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into()))
    }

    #[tokio::test]
    async fn a_verdict_names_its_review() {
        let (status, body) = ask(review_of(&json!({"spec": {"good": true}})).to_string()).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!((body["kind"].as_str(), body["apiVersion"].as_str()), (Some("AdmissionReview"), Some("admission.k8s.io/v1")));
        assert_eq!((&body["response"]["uid"], &body["response"]["allowed"]), (&json!("u-1"), &json!(true)));
    }

    #[tokio::test]
    async fn a_patch_is_base64() {
        let (_, body) = ask(review_of(&json!({"spec": {"good": "almost"}})).to_string()).await;
        assert_eq!(body["response"], json!({"uid": "u-1", "allowed": true, "patch": "W10=", "patchType": "JSONPatch"}));
    }

    #[tokio::test]
    async fn a_refusal_carries_its_reason() {
        let (_, body) = ask(review_of(&json!({})).to_string()).await;
        assert_eq!(body["response"]["allowed"], false);
        assert_eq!(body["response"]["status"]["message"], "Thing x spec.good: must be true");
        assert_eq!(body["response"]["status"]["code"], 403);
    }

    #[tokio::test]
    async fn what_is_no_review_is_told_so() {
        let (status, body) = ask("{\"request\": 5}").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body.as_str().unwrap().starts_with("not an AdmissionReview"), "{body}");
    }

    #[tokio::test]
    async fn nesting_and_size_are_bounded() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let nested = review_of(&json!("DEEP")).to_string().replace("\"DEEP\"", &deep);
        assert_eq!(ask(nested).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(ask(vec![b' '; MAX_BODY + 1]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
        for part in ["{},", "1,"] {
            let many = review_of(&json!("MANY")).to_string().replace("\"MANY\"", &format!("[{}1]", part.repeat(MAX_BODY / 2 / part.len())));
            assert_eq!(ask(many).await.0, StatusCode::PAYLOAD_TOO_LARGE, "{part}");
        }
        let routes = json!({"spec": {"good": true, "routes": vec![json!({"host": "a.example.com", "weight": 1}); 40_000]}});
        assert_eq!(ask(review_of(&routes).to_string()).await.1["response"]["allowed"], true);
    }

    #[tokio::test]
    async fn bodies_that_never_end_hold_nobody_up() {
        let route = patient_routes(&["/check"], |request| request.allow(), Duration::from_millis(500));
        let post = |body: Body| route.clone().oneshot(http::Request::post("/check").body(body).unwrap());
        let endless = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::convert::Infallible>>());
        let held = tokio::spawn(futures::future::join_all((0..256).map(|_| post(endless()))));
        tokio::task::yield_now().await;
        let answer = timeout(Duration::from_millis(250), post(review_of(&json!({})).to_string().into())).await;
        assert_eq!(answer.expect("an answer before any of them is given up").unwrap().status(), StatusCode::OK);
        let held = held.await.unwrap();
        assert!(held.iter().all(|response| response.as_ref().unwrap().status() == StatusCode::REQUEST_TIMEOUT));
    }
}
