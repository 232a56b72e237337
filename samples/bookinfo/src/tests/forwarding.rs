//! What travels on from the visitor's request to the services behind.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::services::{self, Bookinfo, Running, unused_upstreams};
use crate::args::Upstreams;

/// The headers of the requests that a service got.
type Seen = Arc<Mutex<Vec<HeaderMap>>>;

/// Puts a recorder in front of a service.
fn recorded(routes: Router) -> (Router, Seen) {
    async fn record(State(seen): State<Seen>, request: Request, next: Next) -> Response {
        seen.lock().expect("not poisoned").push(request.headers().clone());
        next.run(request).await
    }
    let seen = Seen::default();
    (routes.layer(from_fn_with_state(Arc::clone(&seen), record)), seen)
}

fn take(seen: &Seen) -> Vec<HeaderMap> {
    std::mem::take(&mut *seen.lock().expect("not poisoned"))
}

#[tokio::test]
async fn signed_in_user_reaches_reviews_until_he_signs_out() {
    let (routes, seen) = recorded(services::reviews("v1", unused_upstreams().ratings));
    let reviews = Running::start(routes).await;
    let upstreams = Upstreams { reviews: reviews.authority(), ..unused_upstreams() };
    let page = Running::start(services::productpage(upstreams)).await;

    let signed_in = page.send("POST", "/login", &[("content-type", "application/x-www-form-urlencoded")], "username=jason").await;
    assert_eq!((signed_in.status, &signed_in.headers["location"]), (StatusCode::SEE_OTHER, &"/productpage".parse().expect("valid")));
    assert_eq!(signed_in.headers["set-cookie"], "user=jason; Path=/; HttpOnly; SameSite=Lax");

    let html = page.get("/productpage", &[("cookie", "user=jason"), ("end-user", "mary")]).await.body;
    assert!(html.contains("<b id=\"user\">jason</b>"), "{html}");
    let requests = take(&seen);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].get_all("end-user").iter().collect::<Vec<_>>(), ["jason"]);

    let signed_out = page.get("/logout", &[("cookie", "user=jason")]).await;
    assert_eq!(signed_out.status, StatusCode::SEE_OTHER);
    assert!(signed_out.headers["set-cookie"].to_str().expect("ASCII").contains("Max-Age=0"));
    let html = page.get("/productpage", &[]).await.body;
    assert!(html.contains("action=\"/login\""), "{html}");
    assert!(!take(&seen)[0].contains_key("end-user"));

    page.stop().await;
    reviews.stop().await;
}

#[tokio::test]
async fn trace_headers_reach_ratings_through_reviews() {
    let sent = [
        ("x-request-id", "r1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "vendor=1"),
        ("b3", "1-2-1"),
        ("x-b3-traceid", "463ac35c9f6413ad"),
        ("x-b3-spanid", "a2fb4a1d1a96d312"),
        ("x-b3-parentspanid", "0020000000000001"),
        ("x-b3-sampled", "1"),
        ("x-b3-flags", "0"),
        ("x-ot-span-context", "o"),
        ("x-cloud-trace-context", "c/1;o=1"),
        ("x-datadog-trace-id", "1"),
        ("x-datadog-parent-id", "2"),
        ("x-datadog-sampling-priority", "1"),
        ("user-agent", "a browser"),
        ("authorization", "Bearer x"),
    ];
    for version in ["v2", "v3"] {
        let (routes, seen) = recorded(services::ratings());
        let ratings = Running::start(routes).await;
        let bookinfo = Bookinfo::start_with_ratings_at(version, ratings.authority()).await;
        let request = [sent.as_slice(), &[("cookie", "user=jason"), ("x-private", "stays")]].concat();
        assert_eq!(bookinfo.productpage.get("/productpage", &request).await.status, StatusCode::OK);
        let requests = take(&seen);
        assert_eq!(requests.len(), 1);
        for (name, value) in sent {
            assert_eq!(requests[0].get(name).map(|value| value.as_bytes()), Some(value.as_bytes()), "{name}");
        }
        assert_eq!(requests[0]["end-user"], "jason");
        assert!(!requests[0].contains_key("x-private"));
        bookinfo.stop().await;
        ratings.stop().await;
    }
}

#[tokio::test]
async fn bad_names_sign_nobody_in() {
    let page = Running::start(services::productpage(unused_upstreams())).await;
    for (form, reason) in [("", "empty"), ("username=+", "empty"), ("username=a%0D%0Ab", "control"), ("username=a b", "")] {
        let answer = page.send("POST", "/login", &[], form).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{form}");
        assert!(answer.body.contains(reason), "{}", answer.body);
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    page.stop().await;
}
