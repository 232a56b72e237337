//! reviews: what readers wrote. Version v1 shows no stars, v2 asks ratings and shows black ones, v3 red ones.

use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::args::Settings;
use crate::client::{Client, UpstreamError};
use crate::headers;
use crate::product::ProductId;
use crate::ratings::Ratings;

/// The readers, and what they wrote.
const TEXTS: [(&str, &str); 2] = [
    ("Reviewer1", "I laughed from the first scene to the last. Mistaken identity has never been this tidy, or this loud."),
    ("Reviewer2", "Great fun, though it has less depth than the later plays. Read it aloud, with friends, and quickly."),
];

/// What `/reviews/{id}` answers.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Reviews {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) podname: String,
    #[serde(default)]
    pub(crate) clustername: String,
    /// The version that answered, for the page to show.
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) reviews: Vec<Review>,
}

/// One reader's review.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Review {
    pub(crate) reviewer: String,
    pub(crate) text: String,
    /// None where the version has no stars or the reader gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rating: Option<Rating>,
}

/// Stars, or why there are none.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum Rating {
    Given { stars: u8, color: Color },
    Failed { error: String },
}

/// The colour of a version's stars.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Color {
    Black,
    Red,
}

/// How a version shows stars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stars {
    None,
    Shown {
        color: Color,
        /// How long ratings may take. The two versions differ so that a delay put on ratings shows: v2 waits longer than the
        /// page waits for it, v3 gives up in time and shows the reviews without stars.
        patience: Duration,
    },
}

/// A version that reviews does not have.
#[derive(Debug, thiserror::Error)]
#[error("reviews has versions v1, v2 and v3, not {0:?}")]
pub(crate) struct UnknownVersion(String);

#[derive(Clone)]
struct Context {
    settings: Settings,
    stars: Stars,
    client: Client,
}

/// `GET /reviews/{id}`. Fails on a version that reviews does not have.
pub(crate) fn router(settings: &Settings) -> Result<Router, UnknownVersion> {
    let stars = Stars::of_version(&settings.version)?;
    let context = Context { settings: settings.clone(), stars, client: Client::new() };
    Ok(Router::new().route("/reviews/{id}", get(reviews)).with_state(context))
}

// === impl Stars ===

impl Stars {
    /// The stars of version `v1`, `v2` or `v3`.
    pub(crate) fn of_version(version: &str) -> Result<Self, UnknownVersion> {
        match version {
            "v1" => Ok(Self::None),
            "v2" => Ok(Self::Shown { color: Color::Black, patience: Duration::from_secs(10) }),
            "v3" => Ok(Self::Shown { color: Color::Red, patience: Duration::from_millis(2500) }),
            other => Err(UnknownVersion(other.to_owned())),
        }
    }
}

// === impl Color ===

impl Color {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Black => "black",
            Self::Red => "red",
        }
    }
}

async fn reviews(State(context): State<Context>, id: ProductId, incoming: HeaderMap) -> Json<Reviews> {
    let ratings = match context.stars {
        Stars::None => None,
        Stars::Shown { color, patience } => Some((color, ask_ratings(&context, id, &incoming, patience).await)),
    };
    let review = |(reviewer, text): &(&str, &str)| Review {
        reviewer: (*reviewer).to_owned(),
        text: (*text).to_owned(),
        rating: ratings.as_ref().and_then(|(color, ratings)| rating(reviewer, *color, ratings)),
    };
    Json(Reviews {
        id: id.to_string(),
        podname: context.settings.pod_name.clone(),
        clustername: context.settings.cluster_name.clone(),
        version: context.settings.version.clone(),
        reviews: TEXTS.iter().map(review).collect(),
    })
}

async fn ask_ratings(context: &Context, id: ProductId, incoming: &HeaderMap, patience: Duration) -> Result<Ratings, UpstreamError> {
    let host = &context.settings.upstreams.ratings;
    let answer = context.client.get(host, &format!("/ratings/{id}"), headers::passed_on(incoming), patience).await;
    answer.inspect_err(|error| tracing::warn!(upstream = %host, %error, "ratings failed"))
}

fn rating(reviewer: &str, color: Color, ratings: &Result<Ratings, UpstreamError>) -> Option<Rating> {
    match ratings {
        Ok(ratings) => ratings.ratings.get(reviewer).map(|stars| Rating::Given { stars: *stars, color }),
        Err(error) => Some(Rating::Failed { error: format!("ratings are unavailable: {error}") }),
    }
}
