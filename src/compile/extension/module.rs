//! Servers from which Envoy fetches modules.

use std::{collections::BTreeSet, sync::Arc};

use http::Uri;

use crate::compile::{cluster, recipe::Recipe, resource::Draft, scope::Scope};

/// A server of modules.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::compile) struct ModuleSource {
    host: Arc<str>,
    port: u16,
    /// Whether it speaks TLS.
    tls: bool,
}

// === impl ModuleSource ===

impl ModuleSource {
    /// The server of a URL.
    pub(super) fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let tls = match uri.scheme_str()?.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Some(Self { host: uri.host()?.into(), port, tls })
    }

    /// The cluster that leads there.
    pub(super) fn cluster(&self) -> String {
        format!("{}|{}||{}", if self.tls { "wasm-tls" } else { "wasm" }, self.port, self.host)
    }
}

/// The servers of all modules that the proxy fetches.
pub(in crate::compile) fn sources(scope: &Scope<'_>) -> Vec<Recipe> {
    let extensions = scope.extensions();
    let fetched = extensions.iter().filter_map(|it| it.remote()).filter(|(_, sum)| sum.is_some());
    let sources: BTreeSet<ModuleSource> = fetched.filter_map(|(url, _)| ModuleSource::of(url)).collect();
    sources.into_iter().map(Recipe::ModuleSource).collect()
}

/// The cluster of a server of modules.
pub(in crate::compile) fn source(scope: &Scope<'_>, source: &ModuleSource) -> Draft {
    scope.extensions().iter().for_each(|it| {
        if it.remote().and_then(|(url, _)| ModuleSource::of(url)).as_ref() == Some(source) {
            scope.shaped_by(&it.origin);
        }
    });
    cluster::by_name(scope, &source.cluster(), &source.host, source.port, source.tls)
}
