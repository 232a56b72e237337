//! Conditions on texts, headers and queries, as Envoy reads them.

use envoy_api::envoy::{
    config::route::v3::{
        HeaderMatcher, QueryParameterMatcher, header_matcher::HeaderMatchSpecifier as Header,
        query_parameter_matcher::QueryParameterMatchSpecifier as Query,
    },
    r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern},
};
use regex::Regex;

use super::HttpRequest;

/// Whether a text fulfils a condition. A regular expression must match all of it.
pub(super) fn text(condition: &StringMatcher, value: &str) -> bool {
    let ignore = condition.ignore_case;
    let folded = |text: &str| if ignore { text.to_ascii_lowercase() } else { text.to_owned() };
    match &condition.match_pattern {
        Some(MatchPattern::Exact(text)) => folded(value) == folded(text),
        Some(MatchPattern::Prefix(text)) => folded(value).starts_with(&folded(text)),
        Some(MatchPattern::Suffix(text)) => folded(value).ends_with(&folded(text)),
        Some(MatchPattern::Contains(text)) => folded(value).contains(&folded(text)),
        Some(MatchPattern::SafeRegex(expression)) => whole(&expression.regex, value),
        Some(MatchPattern::Custom(_)) | None => false,
    }
}

/// Whether an expression matches a whole text.
pub(super) fn whole(expression: &str, value: &str) -> bool {
    Regex::new(&format!("^(?:{expression})$")).is_ok_and(|regex| regex.is_match(value))
}

/// Whether a request has the header that is asked for. The forms that Envoy has given up are those of users' EnvoyFilters.
#[expect(deprecated, reason = "Envoy still reads them")]
pub(super) fn header(condition: &HeaderMatcher, request: &HttpRequest, scheme: &str) -> bool {
    let value = request.header(&condition.name, scheme);
    if let Some(Header::PresentMatch(present)) = &condition.header_match_specifier {
        return (value.is_some() == *present) != condition.invert_match;
    }
    let Some(value) = value.or_else(|| condition.treat_missing_header_as_empty.then(String::new)) else { return false };
    let holds = match &condition.header_match_specifier {
        Some(Header::StringMatch(condition)) => text(condition, &value),
        Some(Header::ExactMatch(text)) => value == *text,
        Some(Header::PrefixMatch(text)) => value.starts_with(text),
        Some(Header::SuffixMatch(text)) => value.ends_with(text),
        Some(Header::ContainsMatch(text)) => value.contains(text),
        Some(Header::SafeRegexMatch(expression)) => whole(&expression.regex, &value),
        Some(Header::RangeMatch(range)) => value.parse().is_ok_and(|number: i64| (range.start..range.end).contains(&number)),
        // No condition: that it is there is enough.
        Some(Header::PresentMatch(_)) | None => true,
    };
    holds != condition.invert_match
}

/// Whether a request's query has the parameter that is asked for. Of several of a name, the first counts.
pub(super) fn query(condition: &QueryParameterMatcher, request: &HttpRequest) -> bool {
    let pairs = request.query().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let value = pairs.filter(|(name, _)| !name.is_empty()).find(|(name, _)| *name == condition.name).map(|(_, value)| value);
    match &condition.query_parameter_match_specifier {
        Some(Query::StringMatch(condition)) => value.is_some_and(|value| text(condition, value)),
        Some(Query::PresentMatch(present)) => value.is_some() == *present,
        None => value.is_some(),
    }
}
