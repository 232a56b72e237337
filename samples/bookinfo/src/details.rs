//! details: facts about a book.

use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::product::ProductId;

/// `GET /details/{id}`.
pub(crate) fn router() -> Router {
    Router::new().route("/details/{id}", get(details))
}

/// What `/details/{id}` answers.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Details {
    pub(crate) id: u64,
    pub(crate) author: String,
    pub(crate) year: i32,
    #[serde(rename = "type")]
    pub(crate) binding: String,
    pub(crate) pages: u32,
    pub(crate) publisher: String,
    pub(crate) language: String,
    #[serde(rename = "ISBN-10")]
    pub(crate) isbn_10: String,
    #[serde(rename = "ISBN-13")]
    pub(crate) isbn_13: String,
}

async fn details(ProductId(id): ProductId) -> Json<Details> {
    Json(Details {
        id,
        author: "William Shakespeare".to_owned(),
        year: 1595,
        binding: "paperback".to_owned(),
        pages: 200,
        publisher: "PublisherA".to_owned(),
        language: "English".to_owned(),
        isbn_10: "1234567890".to_owned(),
        isbn_13: "123-1234567890".to_owned(),
    })
}
