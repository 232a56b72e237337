//! An issuer of tokens.

use k8s_openapi::ByteString;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey};
use serde_json::{Value, json};

/// Who signs tokens, with a key of its own.
pub(crate) struct Issuer {
    name: &'static str,
    key: KeyPair,
}

// === impl Issuer ===

impl Issuer {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, key: KeyPair::generate_for(&PKCS_ED25519).unwrap() }
    }

    /// Its public key, as a JSON Web Key Set.
    pub(crate) fn keys(&self) -> String {
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": base64url(self.key.public_key_raw())}]}).to_string()
    }

    /// A token that says these things beside who issued it.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let mut claims = claims.clone();
        claims["iss"] = json!(self.name);
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&json!({"alg": "EdDSA", "typ": "JWT"})), part(&claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64url(&signature))
    }

    /// The same as the value of the header `authorization`.
    pub(crate) fn bearer(&self, claims: &Value) -> String {
        format!("Bearer {}", self.token(claims))
    }
}

/// Bytes as the parts of tokens and keys have them.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    let text = serde_json::to_value(ByteString(bytes.to_vec())).unwrap();
    text.as_str().unwrap().trim_end_matches('=').replace('+', "-").replace('/', "_")
}
