//! ratings: how many stars each reader gave. All versions answer the same, from memory.

use std::collections::BTreeMap;

use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::product::ProductId;

/// `GET /ratings/{id}`.
pub(crate) fn router() -> Router {
    Router::new().route("/ratings/{id}", get(ratings))
}

/// What `/ratings/{id}` answers.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Ratings {
    pub(crate) id: u64,
    /// Stars, 1 to 5, by reader.
    pub(crate) ratings: BTreeMap<String, u8>,
}

async fn ratings(ProductId(id): ProductId) -> Json<Ratings> {
    Json(Ratings { id, ratings: BTreeMap::from([("Reviewer1".to_owned(), 5), ("Reviewer2".to_owned(), 4)]) })
}
