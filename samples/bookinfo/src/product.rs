//! The shop's products (there is one), and their numbers in paths.

use axum::Json;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;

/// The only book.
pub(crate) const COMEDY_OF_ERRORS: Product = Product {
    id: ProductId(0),
    title: "The Comedy of Errors",
    description: "Two pairs of identical twins, parted by a shipwreck, end up in the same town on the same day without knowing of \
        each other. Everybody is taken for somebody else, and it all happens within one afternoon: the shortest and the \
        silliest of Shakespeare's plays.",
};

/// A book in the shop.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Product {
    pub(crate) id: ProductId,
    pub(crate) title: &'static str,
    /// Named as in the sample's public API; plain text is valid HTML here.
    #[serde(rename = "descriptionHtml")]
    pub(crate) description: &'static str,
}

/// A product's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct ProductId(pub(crate) u64);

/// An error as the services answer it: a status and `{"error": "..."}`.
#[derive(Debug)]
pub(crate) struct ErrorAnswer(pub(crate) StatusCode, pub(crate) String);

// === impl ProductId ===

impl std::fmt::Display for ProductId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// From a route's only parameter; what is no number is answered with 400.
impl<S: Send + Sync> FromRequestParts<S> for ProductId {
    type Rejection = ErrorAnswer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorAnswer> {
        match Path::<u64>::from_request_parts(parts, state).await {
            Ok(Path(number)) => Ok(Self(number)),
            Err(_) => Err(ErrorAnswer(StatusCode::BAD_REQUEST, "the product's id must be a number".to_owned())),
        }
    }
}

// === impl ErrorAnswer ===

impl IntoResponse for ErrorAnswer {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}
