//! Redirects.

use envoy_api::envoy::config::route::v3::{
    RedirectAction,
    redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier},
};

use crate::compile::virtual_services::Caller;
use crate::model::{HttpRedirect, RedirectPort};

/// The answer that sends a caller elsewhere.
pub(super) fn redirect(to: &HttpRedirect, caller: Caller<'_>) -> RedirectAction {
    let code = match to.code {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    };
    let path = to.uri.as_deref().map(|uri| PathRewriteSpecifier::PathRedirect(uri.to_owned()));
    let prefix = || to.prefix.as_deref().map(|prefix| PathRewriteSpecifier::PrefixRewrite(prefix.to_owned()));
    RedirectAction {
        host_redirect: to.authority.as_deref().unwrap_or_default().to_owned(),
        port_redirect: port(to, caller).into(),
        response_code: code.into(),
        scheme_rewrite_specifier: to.scheme.as_deref().map(|scheme| SchemeRewriteSpecifier::SchemeRedirect(scheme.to_owned())),
        path_rewrite_specifier: path.or_else(prefix),
        ..RedirectAction::default()
    }
}

/// The port to name; 0 for none, so that the scheme's own is not spelled out.
fn port(to: &HttpRedirect, caller: Caller<'_>) -> u16 {
    let port = match to.port {
        Some(RedirectPort::Number(port)) => port,
        // A table is made for one port, so that it is known here what Envoy could not say.
        Some(RedirectPort::OfRequest) => caller.port,
        Some(RedirectPort::OfScheme) | None => return 0,
    };
    let implied = match to.scheme.as_deref() {
        Some("http") => port == 80,
        Some(_) => port == 443,
        // The scheme stays as it is, and so does what its port means.
        None => port == caller.port && matches!(port, 80 | 443),
    };
    if implied { 0 } else { port }
}
