//! Servers outside of the mesh from which Envoy fetches what its configuration only names: Wasm modules, and the keys of tokens' issuers.

use std::{collections::BTreeSet, fmt, sync::Arc};

use super::{cluster, extension, resource::Draft, scope::Scope, tokens};

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Remote {
    pub(super) holds: Holds,
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// Whether it speaks TLS.
    pub(super) tls: bool,
}

/// What a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Holds {
    /// Wasm modules.
    Modules,
    /// Keys by which tokens are checked.
    Keys,
}

/// The name of the cluster that leads there.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.holds {
            Holds::Modules => "wasm",
            Holds::Keys => "jwks",
        };
        write!(f, "{what}{}|{}||{}", if self.tls { "-tls" } else { "" }, self.port, self.host)
    }
}

/// All servers from which the proxy fetches something.
pub(super) fn remotes(scope: &Scope<'_>) -> BTreeSet<Remote> {
    extension::sources(scope).into_iter().chain(tokens::sources(scope)).collect()
}

/// The cluster that leads to a server.
pub(super) fn remote(scope: &Scope<'_>, remote: &Remote) -> Draft {
    match remote.holds {
        Holds::Modules => extension::name_users_of(scope, remote),
        Holds::Keys => tokens::name_users_of(scope, remote),
    }
    cluster::by_name(scope, &remote.to_string(), &remote.host, remote.port, remote.tls)
}
