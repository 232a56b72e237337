//! What a visitor sees.

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};

use super::services::{self, Bookinfo, Running, refused_address, unused_upstreams};
use crate::args::Upstreams;

async fn page(bookinfo: &Bookinfo) -> String {
    let answer = bookinfo.productpage.get("/productpage", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    answer.body
}

/// The colours of the stars on a page, and how many reviews have some.
fn stars(html: &str) -> (usize, usize) {
    (html.matches("data-color=\"black\"").count(), html.matches("data-color=\"red\"").count())
}

#[tokio::test]
async fn colour_of_the_stars_shows_the_version_of_reviews() {
    for (version, expected) in [("v1", (0, 0)), ("v2", (2, 0)), ("v3", (0, 2))] {
        let bookinfo = Bookinfo::start(version).await;
        let html = page(&bookinfo).await;
        // The style sheet has both colours once.
        let (black, red) = stars(html.split_once("</style>").expect("a style").1);
        assert_eq!((black, red), expected, "{version}: {html}");
        assert!(html.contains(&format!("data-reviews-version=\"{version}\" data-reviews-pod=\"reviews-{version}-pod\"")), "{html}");
        assert!(html.contains("William Shakespeare, 1595"), "{html}");
        assert_eq!(html.matches("data-rating=\"5\"").count() + html.matches("data-rating=\"4\"").count(), black + red);
        bookinfo.stop().await;
    }
}

#[tokio::test]
async fn page_stands_without_ratings() {
    for version in ["v2", "v3"] {
        let bookinfo = Bookinfo::start_with_ratings_at(version, refused_address().await).await;
        let html = page(&bookinfo).await;
        assert_eq!(html.matches("data-unavailable=\"ratings\"").count(), 2, "{html}");
        assert_eq!(html.matches("class=\"stars\"").count(), 0);
        assert!(html.contains("class=\"reviewer\">Reviewer2<"), "{html}");
        bookinfo.stop().await;
    }
}

#[tokio::test]
async fn page_stands_without_reviews_and_details() {
    let productpage = Running::start(services::productpage(Upstreams {
        reviews: refused_address().await,
        details: refused_address().await,
        ..unused_upstreams()
    }))
    .await;
    let answer = productpage.get("/productpage", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    for service in ["reviews", "details"] {
        assert!(answer.body.contains(&format!("data-unavailable=\"{service}\" data-status=\"503\"")), "{}", answer.body);
    }
    assert!(answer.body.contains("The Comedy of Errors"));
    productpage.stop().await;
}

#[tokio::test]
async fn status_of_a_failing_upstream_is_shown_and_passed_on_by_the_api() {
    let failing = Running::start(Router::new().route("/reviews/0", get(|| async { StatusCode::FORBIDDEN }))).await;
    let upstreams = Upstreams { reviews: failing.authority(), ..unused_upstreams() };
    let productpage = Running::start(services::productpage(upstreams)).await;
    let html = productpage.get("/productpage", &[]).await.body;
    assert!(html.contains("the reviews service failed with 403 Forbidden"), "{html}");
    assert_eq!(productpage.get("/api/v1/products/0/reviews", &[]).await.status, StatusCode::FORBIDDEN);
    productpage.stop().await;
    failing.stop().await;
}

#[tokio::test]
async fn name_that_is_markup_is_shown_as_text() {
    let bookinfo = Bookinfo::start("v1").await;
    let signed_in = bookinfo.productpage.send("POST", "/login", &[], "username=%3Cscript%3Ealert%281%29%3C%2Fscript%3E&passwd=x").await;
    let cookie = signed_in.headers["set-cookie"].to_str().expect("ASCII").split(';').next().expect("a pair");
    let html = bookinfo.productpage.get("/productpage", &[("cookie", cookie)]).await.body;
    assert!(html.contains("Signed in as <b id=\"user\">&lt;script&gt;alert(1)&lt;/script&gt;</b>"), "{html}");
    assert!(!html.contains("<script"), "{html}");
    bookinfo.stop().await;
}

#[tokio::test]
async fn browser_may_load_nothing_from_elsewhere() {
    let bookinfo = Bookinfo::start("v3").await;
    let answer = bookinfo.productpage.get("/productpage", &[]).await;
    let policy = answer.headers["content-security-policy"].to_str().expect("ASCII");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    // The icon's SVG names its namespace, which is an identifier and not loaded.
    let html = answer.body.replace("http://www.w3.org/2000/svg", "");
    assert!(!html.contains("://") && !html.contains("src="), "{html}");
    bookinfo.stop().await;
}

#[tokio::test]
async fn api_answers_in_the_shape_that_scripts_know() {
    let bookinfo = Bookinfo::start("v3").await;
    let api = async |path: &str| -> Value {
        let answer = bookinfo.productpage.get(path, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).expect("JSON")
    };
    let products = api("/api/v1/products").await;
    assert_eq!((&products[0]["id"], &products[0]["title"]), (&json!(0), &json!("The Comedy of Errors")));
    assert!(products[0]["descriptionHtml"].is_string());
    let details = api("/api/v1/products/0").await;
    assert_eq!((&details["id"], &details["type"], &details["ISBN-10"]), (&json!(0), &json!("paperback"), &json!("1234567890")));
    let reviews = api("/api/v1/products/7/reviews").await;
    assert_eq!((&reviews["id"], &reviews["podname"], &reviews["clustername"]), (&json!("7"), &json!("reviews-v3-pod"), &json!("here")));
    assert_eq!(reviews["reviews"][1]["rating"], json!({ "stars": 4, "color": "red" }));
    assert_eq!(api("/api/v1/products/7/ratings").await, json!({ "id": 7, "ratings": { "Reviewer1": 5, "Reviewer2": 4 } }));
    bookinfo.stop().await;
}

#[tokio::test]
async fn reviews_tells_that_ratings_failed_and_its_first_version_never_asks() {
    let rating = async |version| {
        let reviews = Running::start(services::reviews(version, refused_address().await)).await;
        let answer: Value = serde_json::from_str(&reviews.get("/reviews/0", &[]).await.body).expect("JSON");
        reviews.stop().await;
        answer["reviews"][0]["rating"].clone()
    };
    assert_eq!(rating("v1").await, Value::Null);
    assert_eq!(rating("v2").await, json!({ "error": "ratings are unavailable: no connection" }));
}

#[tokio::test]
async fn every_service_is_healthy_by_itself_and_refuses_an_id_that_is_no_number() {
    let bookinfo = Bookinfo::start("v2").await;
    let all = std::iter::once(&bookinfo.productpage).chain(bookinfo.behind());
    for service in all {
        let health = service.get("/health", &[]).await;
        assert_eq!(health.status, StatusCode::OK);
        assert!(health.body.contains("is healthy"), "{}", health.body);
    }
    let answer = bookinfo.productpage.get("/api/v1/products/x/reviews", &[]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.body, r#"{"error":"the product's id must be a number"}"#);
    bookinfo.stop().await;
}
