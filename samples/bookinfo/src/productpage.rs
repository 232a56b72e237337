//! productpage: the web page, its sign-in, and a small JSON API beside it.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS};
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::Settings;
use crate::client::{Client, UpstreamError};
use crate::details::Details;
use crate::headers;
use crate::page::Page;
use crate::product::{COMEDY_OF_ERRORS, ErrorAnswer, Product, ProductId};
use crate::reviews::Reviews;
use crate::session::{self, User};

const PAGE: &str = "/productpage";
/// Shorter than reviews v2 waits for ratings, so that a delay of ratings shows as a page without reviews.
const PATIENCE: Duration = Duration::from_secs(3);
/// The page needs its own style and nothing else, so a browser shall load and run nothing else.
const SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Clone)]
struct Context {
    settings: Settings,
    client: Client,
}

/// The sign-in form.
#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    username: String,
}

/// The page at `/productpage`, `/login`, `/logout`, and `/api/v1/products`.
pub(crate) fn router(settings: &Settings) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::to(PAGE) }))
        .route(PAGE, get(page))
        .route("/login", post(login))
        .route("/logout", get(logout))
        .route("/api/v1/products", get(|| async { Json([COMEDY_OF_ERRORS]) }))
        .route("/api/v1/products/{id}", get(api_details))
        .route("/api/v1/products/{id}/reviews", get(api_reviews))
        .route("/api/v1/products/{id}/ratings", get(api_ratings))
        .with_state(Context { settings: settings.clone(), client: Client::new() })
}

// === impl Context ===

impl Context {
    /// Asks an upstream on behalf of the visitor.
    async fn ask<T: DeserializeOwned>(&self, host: &Authority, path: &str, outgoing: &HeaderMap) -> Result<T, UpstreamError> {
        let answer = self.client.get(host, path, outgoing.clone(), PATIENCE).await;
        answer.inspect_err(|error| tracing::warn!(upstream = %host, path, %error, "upstream failed"))
    }

    async fn details<T: DeserializeOwned>(&self, id: ProductId, outgoing: &HeaderMap) -> Result<T, UpstreamError> {
        self.ask(&self.settings.upstreams.details, &format!("/details/{id}"), outgoing).await
    }

    /// Asks a second time where the first failed: fault injection shows what a retry in an application does to a delay.
    async fn reviews<T: DeserializeOwned>(&self, id: ProductId, outgoing: &HeaderMap) -> Result<T, UpstreamError> {
        let (host, path) = (&self.settings.upstreams.reviews, format!("/reviews/{id}"));
        match self.ask(host, &path, outgoing).await {
            Ok(reviews) => Ok(reviews),
            Err(_) => self.ask(host, &path, outgoing).await,
        }
    }

    async fn ratings<T: DeserializeOwned>(&self, id: ProductId, outgoing: &HeaderMap) -> Result<T, UpstreamError> {
        self.ask(&self.settings.upstreams.ratings, &format!("/ratings/{id}"), outgoing).await
    }
}

async fn page(State(context): State<Context>, incoming: HeaderMap) -> Response {
    let user = User::of(&incoming);
    let outgoing = headers::passed_on_for(user.as_ref(), &incoming);
    let product: &Product = &COMEDY_OF_ERRORS;
    let (details, reviews) =
        tokio::join!(context.details::<Details>(product.id, &outgoing), context.reviews::<Reviews>(product.id, &outgoing));
    let page = Page {
        product,
        user: user.as_ref(),
        details: &details,
        reviews: &reviews,
        version: &context.settings.version,
        pod: &context.settings.pod_name,
    };
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, SECURITY_POLICY),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(page.html())).into_response()
}

/// Signs in whoever says a name, and goes back to the page.
async fn login(form: String) -> Result<Response, ErrorAnswer> {
    let refused = |reason: String| ErrorAnswer(StatusCode::BAD_REQUEST, reason);
    // A form's body is written as a query is.
    let query = Uri::builder().path_and_query(format!("/?{form}")).build().map_err(|error| refused(error.to_string()))?;
    let Query(login) = Query::<Login>::try_from_uri(&query).map_err(|error| refused(error.body_text()))?;
    let user: User = login.username.parse().map_err(|error: session::InvalidUser| refused(error.to_string()))?;
    Ok(([(SET_COOKIE, user.set_cookie())], Redirect::to(PAGE)).into_response())
}

async fn logout() -> Response {
    ([(SET_COOKIE, session::clear_cookie())], Redirect::to(PAGE)).into_response()
}

async fn api_details(State(context): State<Context>, id: ProductId, incoming: HeaderMap) -> Result<Json<Value>, ErrorAnswer> {
    let outgoing = headers::passed_on_for(User::of(&incoming).as_ref(), &incoming);
    api_answer("details", context.details(id, &outgoing).await)
}

async fn api_reviews(State(context): State<Context>, id: ProductId, incoming: HeaderMap) -> Result<Json<Value>, ErrorAnswer> {
    let outgoing = headers::passed_on_for(User::of(&incoming).as_ref(), &incoming);
    api_answer("reviews", context.reviews(id, &outgoing).await)
}

async fn api_ratings(State(context): State<Context>, id: ProductId, incoming: HeaderMap) -> Result<Json<Value>, ErrorAnswer> {
    let outgoing = headers::passed_on_for(User::of(&incoming).as_ref(), &incoming);
    api_answer("ratings", context.ratings(id, &outgoing).await)
}

/// An upstream's JSON as it is, or its status with a sentence.
fn api_answer(name: &str, answer: Result<Value, UpstreamError>) -> Result<Json<Value>, ErrorAnswer> {
    answer.map(Json).map_err(|error| ErrorAnswer(error.status(), format!("the product's {name} are unavailable: {error}")))
}
