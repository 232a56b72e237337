//! Who may read the debug pages: callers on the pod's own loopback, so whoever may forward a port to it, and callers with the token of a
//! service account of the control plane's namespace.

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client, api::PostParams};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

use crate::runtime::Peer;

/// Who may read the debug pages from elsewhere than loopback.
#[derive(Clone)]
pub struct DebugAccess {
    reviews: Api<TokenReview>,
    /// Accounts of this namespace may: those of the control plane, and of the dashboards beside it.
    namespace: Arc<str>,
    /// Reviews at a time: a flood of wrong tokens must not become one for the API server.
    slots: Arc<Semaphore>,
}

/// A caller whose token was accepted.
#[derive(Clone, Copy, Debug)]
struct Trusted;

/// Why a caller is turned away.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Refusal {
    #[error("debug pages need a token: send one of a service account of {0} as \"authorization: Bearer …\", or forward a port to the pod")]
    NoToken(Arc<str>),
    #[error("the token is not accepted")]
    Rejected,
    #[error("{user:?} may not read debug pages: accounts of namespace {namespace} may")]
    Stranger { user: String, namespace: Arc<str> },
    #[error("the token could not be checked: try again")]
    Unavailable,
}

const TIME_OUT: Duration = Duration::from_secs(5);
const SLOTS: usize = 4;

// === impl DebugAccess ===

impl DebugAccess {
    /// Access for service accounts of a namespace, whose tokens that cluster knows.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { reviews: Api::all(client), namespace: namespace.into(), slots: Arc::new(Semaphore::new(SLOTS)) }
    }

    /// The pages, for those callers too.
    pub fn open(self, pages: Router) -> Router {
        pages.layer(from_fn_with_state(self, authenticate))
    }

    async fn check(&self, token: Option<String>) -> Result<(), Refusal> {
        let token = token.ok_or_else(|| Refusal::NoToken(self.namespace.clone()))?;
        let spec = TokenReviewSpec { audiences: None, token: Some(token) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = timeout(TIME_OUT, async {
            let _slot = self.slots.acquire().await.ok()?;
            self.reviews.create(&PostParams::default(), &review).await.ok()
        });
        let answered = answer.await.ok().flatten().ok_or(Refusal::Unavailable)?;
        allowed(answered.status.unwrap_or_default(), &self.namespace)
    }
}

/// Whether a review's answer proves an account of that namespace.
fn allowed(status: TokenReviewStatus, namespace: &Arc<str>) -> Result<(), Refusal> {
    if status.authenticated != Some(true) {
        return Err(Refusal::Rejected);
    }
    let user = status.user.and_then(|user| user.username).unwrap_or_default();
    match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((own, account)) if *own == **namespace && !account.is_empty() => Ok(()),
        _ => Err(Refusal::Stranger { user, namespace: namespace.clone() }),
    }
}

/// The token of `Bearer …`, whose scheme is case-insensitive.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

// === impl Refusal ===

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoToken(_) | Self::Rejected => StatusCode::UNAUTHORIZED,
            Self::Stranger { .. } => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, format!("{self}\n")).into_response()
    }
}

fn on_loopback(request: &Request) -> bool {
    let address = request.extensions().get::<Peer>().and_then(|peer| peer.address);
    address.is_some_and(|address| address.ip().to_canonical().is_loopback())
}

async fn authenticate(State(access): State<DebugAccess>, mut request: Request, next: Next) -> Response {
    if !on_loopback(&request) {
        let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = authorization.and_then(bearer).map(str::to_owned);
        if let Err(refusal) = access.check(token).await {
            return refusal.into_response();
        }
        request.extensions_mut().insert(Trusted);
    }
    next.run(request).await
}

/// Pages for loopback, and for whom [`DebugAccess::open`] let in. Where nobody opens them, they stay closed.
pub(super) fn closed<S: Clone + Send + Sync + 'static>(pages: Router<S>) -> Router<S> {
    pages.layer(from_fn(trusted_only))
}

async fn trusted_only(trusted: Option<Extension<Trusted>>, request: Request, next: Next) -> Response {
    if trusted.is_some() || on_loopback(&request) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "debug pages answer to loopback only: kubectl -n istio-system port-forward deploy/istio-pilot 15014\n")
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, routing::get};
    use http::Method;
    use serde_json::json;
    use tower::ServiceExt;

    use crate::testing::fake_api::FakeApi;

    /// An API server that knows the token `good` as that of an account.
    fn api(account: &'static str) -> FakeApi {
        let api = FakeApi::new();
        api.answer(move |call| {
            if call.method != Method::POST || call.target.plural != "tokenreviews" {
                return None;
            }
            let good = call.body["spec"]["token"] == "good";
            let status = json!({"authenticated": good, "user": {"username": account}});
            Some((
                201,
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {}, "status": status}),
            ))
        });
        api
    }

    async fn ask(pages: &Router, address: &str, authorization: Option<&str>) -> StatusCode {
        let mut request = http::Request::get("/debug/page");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer { address: Some(address.parse().unwrap()), identity: None });
        pages.clone().oneshot(request).await.unwrap().status()
    }

    fn pages() -> Router {
        closed(Router::new().route("/debug/page", get(async || "page")))
    }

    #[tokio::test]
    async fn loopback_needs_no_token_and_others_one_of_the_control_planes_namespace() {
        let opened = DebugAccess::new(api("system:serviceaccount:istio-system:kiali").client(), "istio-system").open(pages());
        assert_eq!(ask(&opened, "127.0.0.1:5", None).await, StatusCode::OK);
        assert_eq!(ask(&opened, "10.0.0.9:5", Some("Bearer good")).await, StatusCode::OK);
        assert_eq!(ask(&opened, "10.0.0.9:5", None).await, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&opened, "10.0.0.9:5", Some("Bearer forged")).await, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&opened, "10.0.0.9:5", Some("Basic good")).await, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn accounts_of_other_namespaces_and_people_are_turned_away() {
        for account in
            ["system:serviceaccount:shop:web", "system:serviceaccount:istio-system:", "alice", "system:serviceaccount:istio-system-2:x"]
        {
            let opened = DebugAccess::new(api(account).client(), "istio-system").open(pages());
            assert_eq!(ask(&opened, "10.0.0.9:5", Some("Bearer good")).await, StatusCode::FORBIDDEN, "{account}");
        }
    }

    #[tokio::test]
    async fn an_api_server_that_fails_lets_nobody_in_and_pages_that_nobody_opened_stay_closed() {
        let failing = FakeApi::new();
        failing.answer(|_| Some((500, json!({}))));
        let opened = DebugAccess::new(failing.client(), "istio-system").open(pages());
        assert_eq!(ask(&opened, "10.0.0.9:5", Some("Bearer good")).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(&pages(), "10.0.0.9:5", Some("Bearer good")).await, StatusCode::FORBIDDEN);
    }
}
