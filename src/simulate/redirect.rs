//! Where redirects lead.

use envoy_api::envoy::config::route::v3::{
    RedirectAction, Route,
    redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier},
    route_match::PathSpecifier,
};

use super::{HttpRequest, host::without_port, http::Arrival};

/// The status of a redirect, and where it leads.
pub(super) fn answer(to: &RedirectAction, route: &Route, arrival: &Arrival<'_>) -> (u16, String) {
    let status = match to.response_code() {
        RedirectResponseCode::MovedPermanently => 301,
        RedirectResponseCode::Found => 302,
        RedirectResponseCode::SeeOther => 303,
        RedirectResponseCode::TemporaryRedirect => 307,
        RedirectResponseCode::PermanentRedirect => 308,
    };
    let (request, own_scheme) = (arrival.http, arrival.request.transport.scheme());
    let scheme = match &to.scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => "https",
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => scheme,
        _ => own_scheme,
    };
    let given = to.port_redirect;
    let implied = if own_scheme == "https" { ":443" } else { ":80" };
    let host = match (to.host_redirect.as_str(), request.authority.as_str()) {
        ("", own) if given != 0 || (scheme != own_scheme && own.ends_with(implied)) => without_port(own),
        ("", own) => own,
        (new, _) => new,
    };
    let port = if given == 0 { String::new() } else { format!(":{given}") };
    let path = path(to, route, request);
    (status, format!("{scheme}://{host}{port}{path}"))
}

fn path(to: &RedirectAction, route: &Route, request: &HttpRequest) -> String {
    let query = if to.strip_query || request.query().is_empty() { String::new() } else { format!("?{}", request.query()) };
    match &to.path_rewrite_specifier {
        Some(PathRewriteSpecifier::PathRedirect(path)) if path.contains('?') => path.clone(),
        Some(PathRewriteSpecifier::PathRedirect(path)) => format!("{path}{query}"),
        Some(PathRewriteSpecifier::PrefixRewrite(new)) => {
            let matched = match route.r#match.as_ref().and_then(|it| it.path_specifier.as_ref()) {
                Some(PathSpecifier::Prefix(prefix) | PathSpecifier::PathSeparatedPrefix(prefix)) => prefix.len(),
                _ => request.bare_path().len(),
            };
            format!("{new}{}{query}", request.bare_path().get(matched..).unwrap_or_default())
        }
        _ if to.strip_query => request.bare_path().to_owned(),
        _ => request.path.clone(),
    }
}

/// The same place by HTTPS.
pub(super) fn to_https(request: &HttpRequest) -> String {
    let authority = request.authority.strip_suffix(":80").unwrap_or(&request.authority);
    format!("https://{authority}{}", request.path)
}
