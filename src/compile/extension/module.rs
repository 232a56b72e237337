//! Servers from which Envoy fetches modules.

use std::collections::BTreeSet;

use http::Uri;

use crate::compile::{
    remote::{Holds, Remote},
    scope::Scope,
};

/// The server of a URL.
pub(super) fn server_of(url: &str) -> Option<Remote> {
    let uri: Uri = url.parse().ok()?;
    let tls = match uri.scheme_str()?.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    Some(Remote { holds: Holds::Modules, host: uri.host()?.into(), port, tls })
}

/// The servers of all modules that the proxy fetches.
pub(in crate::compile) fn sources(scope: &Scope<'_>) -> BTreeSet<Remote> {
    let extensions = scope.extensions();
    let fetched = extensions.iter().filter_map(|it| it.remote()).filter(|(_, sum)| sum.is_some());
    fetched.filter_map(|(url, _)| server_of(url)).collect()
}

/// Notes the objects whose modules a server has.
pub(in crate::compile) fn name_users_of(scope: &Scope<'_>, server: &Remote) {
    let extensions = scope.extensions();
    let users = extensions.iter().filter(|it| it.remote().and_then(|(url, _)| server_of(url)).as_ref() == Some(server));
    users.for_each(|it| scope.shaped_by(&it.origin));
}
