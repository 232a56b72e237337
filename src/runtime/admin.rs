//! The monitoring port (15014 in the control plane): is the process alive, is it ready, what does it measure, which build is it.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use std::sync::Arc;

use super::{Readiness, Registry, encode_metrics, metrics::CONTENT_TYPE};

/// What `/version` answers.
#[derive(Clone, Debug, Serialize)]
pub struct BuildInfo {
    /// The role, for example `pilot`.
    pub component: &'static str,
    /// The release.
    pub version: &'static str,
}

/// The routes `/ready`, `/healthz`, `/metrics` and `/version`, to which a role may add its own.
#[derive(Debug)]
pub struct Admin {
    router: Router,
}

struct Context {
    readiness: Readiness,
    registry: Registry,
    build: BuildInfo,
}

// === impl Admin ===

impl Admin {
    /// The routes of a process. Register every metric before: the registry is read-only from here on.
    pub fn new(readiness: Readiness, registry: Registry, build: BuildInfo) -> Self {
        let router = Router::new()
            .route("/ready", get(ready))
            .route("/healthz", get(async || "alive\n"))
            .route("/metrics", get(metrics))
            .route("/version", get(async |State(context): State<Arc<Context>>| Json(context.build.clone())))
            .with_state(Arc::new(Context { readiness, registry, build }));
        Self { router }
    }

    /// Adds a role's own routes.
    #[must_use]
    pub fn with_routes(self, routes: Router) -> Self {
        Self { router: self.router.merge(routes) }
    }

    /// The routes, for [`super::Listener::serve`].
    pub fn into_router(self) -> Router {
        self.router
    }
}

async fn ready(State(context): State<Arc<Context>>) -> Response {
    let awaited = context.readiness.awaited();
    if awaited.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", awaited.join(", "))).into_response()
}

async fn metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], encode_metrics(&context.registry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::process_registry;
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    fn admin(readiness: &Readiness) -> Router {
        let build = BuildInfo { component: "pilot", version: "1.2.3" };
        Admin::new(readiness.clone(), process_registry(), build)
            .with_routes(Router::new().route("/debug/hello", get(async || "hello")))
            .into_router()
    }

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let response = router.clone().oneshot(http::Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_names_what_is_awaited() {
        let readiness = Readiness::new();
        let guard = readiness.wait_for("watch of pods");
        let router = admin(&readiness);
        assert_eq!(ask(&router, "/ready").await, (StatusCode::SERVICE_UNAVAILABLE, "waiting for: watch of pods\n".to_owned()));
        drop(guard);
        assert_eq!(ask(&router, "/ready").await, (StatusCode::OK, "ready\n".to_owned()));
    }

    #[tokio::test]
    async fn a_process_says_what_it_is() {
        let router = admin(&Readiness::new());
        assert_eq!(ask(&router, "/version").await.1, r#"{"component":"pilot","version":"1.2.3"}"#);
        assert_eq!(ask(&router, "/healthz").await.0, StatusCode::OK);
        assert!(ask(&router, "/metrics").await.1.contains("process_resident_memory_bytes"));
        assert_eq!(ask(&router, "/debug/hello").await.1, "hello");
    }
}
