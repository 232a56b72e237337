//! How tokens of an issuer are found and checked, for RequestAuthentication and 1.4's Policy.

use serde_json::Value;

use super::path::At;
use super::problem::{Code, clipped, quoted};
use super::reading::Reading;
use super::url::Url;
use crate::model::{JwtKeys, KeySetUrl};

/// The longest address of a key set.
const LONGEST_URL: usize = 2048;
/// How much of a JSON parser's words is shown.
const SHOWN: usize = 100;

/// The members that make a key of each type, as RFC 7518 and RFC 8037 have them.
const MEMBERS: [(&str, &[&str]); 4] = [("RSA", &["n", "e"]), ("EC", &["crv", "x", "y"]), ("OKP", &["crv", "x"]), ("oct", &["k"])];
/// Members that only the owner of a key may know.
const PRIVATE: [&str; 2] = ["d", "k"];

// === impl Reading: tokens ===

impl Reading<'_> {
    /// Where the issuer's keys come from: the address, or the keys themselves, each with its field's name.
    pub(super) fn jwt_keys(&mut self, at: &At<'_>, url: (&str, Option<&str>), keys: Option<&str>) -> JwtKeys {
        let (url_field, url) = url;
        let (url, keys) = (url.filter(|url| !url.is_empty()), keys.filter(|keys| !keys.is_empty()));
        self.at_most_one(at, [("jwks", keys.is_some()), (url_field, url.is_some())]);
        if let Some(keys) = keys {
            self.key_set(&at.field("jwks"), keys);
        }
        let remote = url.and_then(|url| self.key_set_url(&at.field(url_field), url));
        match (keys, remote) {
            (Some(keys), _) => JwtKeys::Inline(keys.into()),
            (None, Some(remote)) => JwtKeys::Remote(remote),
            (None, None) => JwtKeys::Discovered,
        }
    }

    fn key_set_url(&mut self, at: &At<'_>, text: &str) -> Option<KeySetUrl> {
        if text.len() > LONGEST_URL {
            self.error(at, Code::WrongSize, format!("has {} characters, {LONGEST_URL} at most are allowed", text.len()));
            return None;
        }
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(defect) => {
                self.error(at, Code::BadAddress, format!("{} {defect}", quoted(text)));
                return None;
            }
        };
        let tls = url.has_scheme("https");
        if !tls && !url.has_scheme("http") {
            self.error(at, Code::BadAddress, format!("{} must begin with http:// or https://", quoted(text)));
            return None;
        }
        if url.host.is_empty() {
            self.error(at, Code::BadAddress, format!("{} has no host", quoted(text)));
        }
        Some(KeySetUrl { url: text.into(), host: url.host.into(), port: url.port.unwrap_or(if tls { 443 } else { 80 }), tls })
    }

    /// A JSON Web Key Set, or a single key.
    fn key_set(&mut self, at: &At<'_>, text: &str) {
        let set: Value = match serde_json::from_str(text) {
            Ok(set) => set,
            Err(error) => {
                let message = format!("{} is no JSON Web Key Set: {}", quoted(text), clipped(&error.to_string(), SHOWN));
                self.error(at, Code::Unreadable, message);
                return;
            }
        };
        match (set.get("keys"), set.get("kty")) {
            (Some(Value::Array(keys)), _) => keys.iter().enumerate().for_each(|(index, key)| self.key(at, index, key)),
            (None, Some(_)) => self.key(at, 0, &set),
            _ => self.error(at, Code::Unreadable, format!("{} is no JSON Web Key Set: it has no list \"keys\"", quoted(text))),
        }
    }

    fn key(&mut self, at: &At<'_>, index: usize, key: &Value) {
        let kind = key["kty"].as_str().unwrap_or_default();
        let Some((_, members)) = MEMBERS.iter().find(|(name, _)| *name == kind) else {
            self.error(at, Code::Unreadable, format!("key {index} has the type {}: \"kty\" must be RSA, EC, OKP or oct", quoted(kind)));
            return;
        };
        let missing: Vec<&str> = members.iter().copied().filter(|member| !is_filled(&key[*member])).collect();
        if !missing.is_empty() {
            self.error(at, Code::Unreadable, format!("key {index} of type {kind} lacks {}", missing.join(", ")));
        }
        if PRIVATE.iter().any(|member| is_filled(&key[*member])) {
            let message = format!(
                "key {index} holds secret material, which whoever may read this object can sign tokens with: keep the public part only"
            );
            self.warn(at, Code::Risky, message);
        }
    }
}

/// Whether a member of a key is there: a text in base64url, or a curve's name.
fn is_filled(member: &Value) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
    member.as_str().is_some_and(|text| !text.is_empty() && text.bytes().all(legal))
}
