//! Who a workload is: its SPIFFE identity.

use std::{fmt, str::FromStr, sync::Arc};

/// `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, the only form of identity in the mesh (the one that Istio uses).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    /// For example `cluster.local`.
    pub trust_domain: Arc<str>,
    /// The pod's namespace.
    pub namespace: Arc<str>,
    /// The pod's service account.
    pub service_account: Arc<str>,
}

/// Why a text is not one of the mesh's identities.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
pub struct IdentityError(pub String);

impl SpiffeId {
    /// An identity from its parts, which the caller knows to be valid Kubernetes names.
    pub fn new(trust_domain: &str, namespace: &str, service_account: &str) -> Self {
        Self { trust_domain: trust_domain.into(), namespace: namespace.into(), service_account: service_account.into() }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/ns/{}/sa/{}", self.trust_domain, self.namespace, self.service_account)
    }
}

impl FromStr for SpiffeId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || IdentityError(text.to_owned());
        let mut parts = text.strip_prefix("spiffe://").ok_or_else(error)?.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(td), Some("ns"), Some(ns), Some("sa"), Some(sa), None) if ![td, ns, sa].contains(&"") => Ok(Self::new(td, ns, sa)),
            _ => Err(error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_as_it_was_written() {
        let id = SpiffeId::new("cluster.local", "shop", "web");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn other_shapes_are_refused() {
        for text in ["", "spiffe://td", "spiffe://td/ns//sa/x", "spiffe://td/ns/a/sa/b/c", "https://td/ns/a/sa/b", "spiffe://td/sa/b/ns/a"]
        {
            assert!(text.parse::<SpiffeId>().is_err(), "{text}");
        }
    }
}
