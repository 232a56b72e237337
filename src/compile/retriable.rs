//! Requests that a server's proxy could not bring to its application, so that a client's proxy brings them to another endpoint.
//!
//! An application that ends closes its port, and the connections that its proxy keeps open to it, at once; that its endpoint is gone is known
//! to clients' proxies a moment later. What they send meanwhile is answered by the server's proxy itself, with 503. Only that proxy knows
//! whether the application can have dealt with the request, so it says so in a header, which is a condition of retries by default.

use envoy_api::envoy::{
    config::{
        accesslog::v3::{AccessLogFilter, AndFilter, HeaderFilter, OrFilter, ResponseFlagFilter, access_log_filter::FilterSpecifier},
        core::v3::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction},
        route::v3::{HeaderMatcher, header_matcher::HeaderMatchSpecifier},
    },
    extensions::filters::network::http_connection_manager::v3::{LocalReplyConfig, ResponseMapper},
};

use super::message::string_matcher;
use crate::model::StringMatch;

/// Stands in an answer of a server's proxy if the request may be sent to another endpoint.
pub(super) const HEADER: &str = "x-ferromesh-retriable";
/// The condition of retries that asks for headers of answers.
pub(super) const CONDITION: &str = "retriable-headers";
/// Envoy could not connect: nothing of the request has been sent.
const NOT_CONNECTED: &str = "UF";
/// The connection ended before an answer: the application may have read the request.
const CUT_OFF: &str = "UC";
/// Methods that ask for nothing to be changed. HTTP lets any client send them again by itself when a connection ends (RFC 9110, 9.2.2).
const SAFE_METHODS: &str = "GET|HEAD|OPTIONS|TRACE";

/// What a server's proxy adds to answers that it makes up in place of the application.
pub(super) fn replies() -> LocalReplyConfig {
    let safe = FilterSpecifier::HeaderFilter(HeaderFilter {
        header: Some(HeaderMatcher {
            name: ":method".to_owned(),
            header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(string_matcher(&StringMatch::Regex(SAFE_METHODS.into())))),
            ..HeaderMatcher::default()
        }),
    });
    let harmless = FilterSpecifier::AndFilter(AndFilter { filters: vec![flagged(CUT_OFF), filter(safe)] });
    let retriable = FilterSpecifier::OrFilter(OrFilter { filters: vec![flagged(NOT_CONNECTED), filter(harmless)] });
    let header = HeaderValueOption {
        header: Some(HeaderValue { key: HEADER.to_owned(), value: "true".to_owned(), ..HeaderValue::default() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    };
    let mapper = ResponseMapper { filter: Some(filter(retriable)), headers_to_add: vec![header], ..ResponseMapper::default() };
    LocalReplyConfig { mappers: vec![mapper], ..LocalReplyConfig::default() }
}

/// How a client's proxy knows such an answer.
pub(super) fn matcher() -> HeaderMatcher {
    let present = Some(HeaderMatchSpecifier::PresentMatch(true));
    HeaderMatcher { name: HEADER.to_owned(), header_match_specifier: present, ..HeaderMatcher::default() }
}

fn flagged(flag: &str) -> AccessLogFilter {
    filter(FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter { flags: vec![flag.to_owned()] }))
}

fn filter(specifier: FilterSpecifier) -> AccessLogFilter {
    AccessLogFilter { filter_specifier: Some(specifier) }
}
