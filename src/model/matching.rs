//! Conditions of routes.

use std::sync::Arc;

use super::Labels;

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StringMatch {
    /// The whole text.
    Exact(Arc<str>),
    /// Its beginning.
    Prefix(Arc<str>),
    /// The whole text, as an RE2 expression; the parser has read it to be sure that Envoy takes it.
    Regex(Arc<str>),
}

/// A condition on one header (or query parameter).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The name, lower case for headers.
    pub name: Arc<str>,
    /// `None`: it only has to be there.
    pub value: Option<StringMatch>,
    /// The condition holds when the match does not (`withoutHeaders`).
    pub inverted: bool,
}

/// A condition on a claim of the request's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimMatch {
    /// The claim, as the steps that lead to it.
    pub path: Vec<Arc<str>>,
    /// `None`: it only has to be there.
    pub value: Option<StringMatch>,
    /// The condition holds when the match does not (`withoutHeaders`).
    pub inverted: bool,
}

/// One entry of `http[].match`: all its conditions must hold. With none it matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpMatch {
    /// The user's name for it.
    pub name: Arc<str>,
    /// The path.
    pub uri: Option<StringMatch>,
    /// Whether exact and prefix paths ignore case.
    pub ignore_uri_case: bool,
    /// `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// The method.
    pub method: Option<StringMatch>,
    /// The host that the client asked for.
    pub authority: Option<StringMatch>,
    /// Headers, inverted ones (`withoutHeaders`) among them.
    pub headers: Vec<HeaderMatch>,
    /// Claims of the request's token (`@request.auth.claims` among the headers).
    pub claims: Vec<ClaimMatch>,
    /// Query parameters.
    pub query_params: Vec<HeaderMatch>,
    /// The port that the client called; `None` for any.
    pub port: Option<u16>,
    /// Labels of the calling workload; empty for any.
    pub source_labels: Labels,
    /// Namespace of the calling workload; `None` for any.
    pub source_namespace: Option<Arc<str>>,
    /// Gateways (`namespace/name`, or `mesh`) for which it holds; empty for all of the object's.
    pub gateways: Vec<Arc<str>>,
    /// A prefix for the metrics of the route.
    pub stat_prefix: Option<Arc<str>>,
}
