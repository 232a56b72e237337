//! What the Secrets hold, as text: nothing here has been checked yet.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;

/// Certificate (chain) in a Secret and in the folder that it is mounted at.
pub(crate) const TLS_CRT: &str = "tls.crt";
/// Private key.
pub(crate) const TLS_KEY: &str = "tls.key";
/// Roots that clients are to trust.
pub(crate) const CA_CRT: &str = "ca.crt";
/// Roots that no longer sign but are still trusted; in the authority's Secret only.
pub(crate) const RETIRED_CRT: &str = "retired.crt";

/// A private key as PEM. It has no `Display`, and `Debug` doesn't show it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPem(String);

/// Contents of the authority's Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaSecret {
    /// The root that signs, as PEM.
    pub cert: String,
    /// Its key.
    pub key: KeyPem,
    /// Roots that signed before and are still trusted, as PEM.
    pub retired: String,
}

/// Contents of a serving certificate's Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafSecret {
    /// The serving certificate, as PEM.
    pub cert: String,
    /// Its key.
    pub key: KeyPem,
    /// Every root that is trusted, as PEM.
    pub ca: String,
}

type Data = BTreeMap<String, ByteString>;

// === impl KeyPem ===

impl KeyPem {
    /// Wraps PEM text.
    #[must_use]
    pub fn new(pem: String) -> Self {
        Self(pem)
    }

    /// The PEM text, for the place that stores or uses the key.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPem(redacted)")
    }
}

// === impl CaSecret ===

impl CaSecret {
    /// Reads a Secret's data; what is absent is empty.
    #[must_use]
    pub fn from_data(data: Option<&Data>) -> Self {
        Self { cert: text(data, TLS_CRT), key: KeyPem(text(data, TLS_KEY)), retired: text(data, RETIRED_CRT) }
    }

    /// The Secret's data.
    #[must_use]
    pub fn to_data(&self) -> Data {
        data([(TLS_CRT, &self.cert), (TLS_KEY, &self.key.0), (RETIRED_CRT, &self.retired)])
    }
}

// === impl LeafSecret ===

impl LeafSecret {
    /// Reads a Secret's data; what is absent is empty.
    #[must_use]
    pub fn from_data(data: Option<&Data>) -> Self {
        Self { cert: text(data, TLS_CRT), key: KeyPem(text(data, TLS_KEY)), ca: text(data, CA_CRT) }
    }

    /// The Secret's data.
    #[must_use]
    pub fn to_data(&self) -> Data {
        data([(TLS_CRT, &self.cert), (TLS_KEY, &self.key.0), (CA_CRT, &self.ca)])
    }
}

// PEM is ASCII: whatever isn't text turns into text that no parser accepts, and is replaced like other garbage.
fn text(data: Option<&Data>, key: &str) -> String {
    data.and_then(|data| data.get(key)).map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).unwrap_or_default()
}

fn data<const N: usize>(entries: [(&str, &String); N]) -> Data {
    entries.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.clone().into_bytes()))).collect()
}
