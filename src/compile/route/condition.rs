//! Conditions of routes on requests.

use envoy_api::envoy::config::route::v3::{
    HeaderMatcher, QueryParameterMatcher, RouteMatch, header_matcher::HeaderMatchSpecifier,
    query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier,
};

use super::any_path;
use crate::compile::{
    message::{regex, string_matcher},
    tokens,
};
use crate::model::{HeaderMatch, HttpMatch, StringMatch};

/// A request fulfils it if it fulfils all of the match's conditions.
pub(super) fn route_match(condition: &HttpMatch) -> RouteMatch {
    let pseudo = [(":scheme", &condition.scheme), (":method", &condition.method), (":authority", &condition.authority)];
    let mut headers: Vec<HeaderMatcher> = pseudo
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| (name, value)))
        .map(|(name, value)| header(name, Some(value), false))
        .collect();
    headers.extend(condition.headers.iter().map(|it| header(&it.name, it.value.as_ref(), it.inverted)));
    let dynamic_metadata = condition.claims.iter().map(tokens::condition).collect();
    let path = match &condition.uri {
        None => return RouteMatch { headers, query_parameters: query(condition), dynamic_metadata, ..any_path() },
        Some(StringMatch::Exact(path)) => PathSpecifier::Path(path.to_string()),
        Some(StringMatch::Prefix(prefix)) => PathSpecifier::Prefix(prefix.to_string()),
        Some(StringMatch::Regex(expression)) => PathSpecifier::SafeRegex(regex(expression)),
    };
    RouteMatch {
        path_specifier: Some(path),
        case_sensitive: condition.ignore_uri_case.then_some(false),
        headers,
        query_parameters: query(condition),
        dynamic_metadata,
        ..RouteMatch::default()
    }
}

/// The path of a match as traces show it.
pub(super) fn shown(condition: Option<&HttpMatch>) -> String {
    match condition.and_then(|condition| condition.uri.as_ref()) {
        None => "/*".to_owned(),
        Some(StringMatch::Exact(path)) => path.to_string(),
        Some(StringMatch::Prefix(prefix)) => format!("{prefix}*"),
        Some(StringMatch::Regex(expression)) => expression.to_string(),
    }
}

/// A value that only has to be there: none is given, or every value begins with it.
fn only_present(value: Option<&StringMatch>) -> bool {
    match value {
        None => true,
        Some(StringMatch::Prefix(prefix)) => prefix.is_empty(),
        Some(_) => false,
    }
}

fn header(name: &str, value: Option<&StringMatch>, inverted: bool) -> HeaderMatcher {
    let present = only_present(value);
    let specifier = match value {
        Some(value) if !present => HeaderMatchSpecifier::StringMatch(string_matcher(value)),
        _ => HeaderMatchSpecifier::PresentMatch(true),
    };
    HeaderMatcher {
        name: name.to_owned(),
        invert_match: inverted,
        // "Not this value" holds where there is no value; Envoy would say that nothing holds.
        treat_missing_header_as_empty: inverted && !present,
        header_match_specifier: Some(specifier),
    }
}

fn query(condition: &HttpMatch) -> Vec<QueryParameterMatcher> {
    let parameter = |it: &HeaderMatch| {
        let specifier = match &it.value {
            Some(value) if !only_present(Some(value)) => QueryParameterMatchSpecifier::StringMatch(string_matcher(value)),
            _ => QueryParameterMatchSpecifier::PresentMatch(true),
        };
        QueryParameterMatcher { name: it.name.to_string(), query_parameter_match_specifier: Some(specifier) }
    };
    condition.query_params.iter().map(parameter).collect()
}
