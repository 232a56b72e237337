//! Takes out of objects and logs what should not leave a cluster: private keys, tokens, passwords.

use regex::{Captures, Regex};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// What stands in the place of what was taken out.
pub(super) const BLOT: &str = "[redacted]";

/// Words by which fields, variables and annotations are known whose values are nobody else's.
const CONFIDENTIAL: [&str; 8] = ["password", "passwd", "token", "secret", "credential", "apikey", "api_key", "private"];
/// Fields that have such a word in them and name something, rather than hold it.
const NAMES: [&str; 12] = [
    "secretname",
    "credentialname",
    "credentialnames",
    "imagepullsecrets",
    "automountserviceaccounttoken",
    "serviceaccounttoken",
    "secretkeyref",
    "tokenexpirationseconds",
    "secret",
    "secrets",
    "secretref",
    "forwardoriginaltoken",
];
/// The annotation in which kubectl keeps a copy of the whole object, from before it was redacted.
const COPY: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Private keys in PEM, tokens by their form, and what follows the scheme of an authorization.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    const FORMS: [&str; 4] = [
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*",
        r"(?i)\b(?P<kept>bearer|basic) [A-Za-z0-9._~+/=-]{8,}",
        r#"(?i)(?P<kept>["']?(?:password|passwd|client_secret|api_?key)["']?\s*[=:]\s*["']?)[^\s"',;&]{3,}"#,
    ];
    FORMS.iter().filter_map(|form| Regex::new(form).ok()).collect()
});

/// An object without what is confidential.
pub(super) fn redacted(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(of_fields(fields)),
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        Value::String(text) => Value::String(redacted_text(&text)),
        other => other,
    }
}

/// A text without what is confidential.
pub(super) fn redacted_text(text: &str) -> String {
    FORMS.iter().fold(text.to_owned(), |text, form| {
        let replaced = form.replace_all(&text, |found: &Captures<'_>| match found.name("kept") {
            Some(kept) if kept.as_str().chars().all(char::is_alphabetic) => format!("{} {BLOT}", kept.as_str()),
            Some(kept) => format!("{}{BLOT}", kept.as_str()),
            None => BLOT.to_owned(),
        });
        replaced.into_owned()
    })
}

fn of_fields(fields: Map<String, Value>) -> Map<String, Value> {
    // `{name: DB_PASSWORD, value: …}`, as environment variables and headers are written.
    let named = fields.get("name").and_then(Value::as_str).is_some_and(is_confidential);
    // A key of a JWKS that is private has its exponent beside the type.
    let is_key = fields.contains_key("kty");
    let one = |(name, value): (String, Value)| {
        let holds = is_confidential(&name) || named && name == "value" || is_key && ["d", "k", "p", "q"].contains(&name.as_str());
        let value = match value {
            Value::String(_) if holds || name == COPY => Value::String(BLOT.to_owned()),
            value => redacted(value),
        };
        (name, value)
    };
    fields.into_iter().map(one).collect()
}

fn is_confidential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !NAMES.contains(&name.as_str()) && CONFIDENTIAL.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl";

    #[test]
    fn every_form_is_known() {
        assert_eq!(FORMS.len(), 4);
    }

    #[test]
    fn keys_tokens_and_passwords_in_texts_are_blotted_out() {
        let key = "a\n-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\nb";
        assert_eq!(redacted_text(key), format!("a\n{BLOT}\nb"));
        assert_eq!(redacted_text("-----BEGIN PRIVATE KEY-----\nMHcC"), BLOT, "a log may end in the middle");
        assert_eq!(redacted_text(&format!("token {TOKEN} came")), format!("token {BLOT} came"));
        assert_eq!(redacted_text("authorization: Bearer abcdefgh12345"), format!("authorization: Bearer {BLOT}"));
        assert_eq!(redacted_text("url=/x?password=hunter22&y=1"), format!("url=/x?password={BLOT}&y=1"));
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
        assert_eq!(redacted_text(certificate), certificate, "what is public stays");
    }

    #[test]
    fn fields_and_variables_that_hold_secrets_are_blotted_out_and_those_that_name_some_stay() {
        let object = json!({
            "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "PORT", "value": "80"}],
            "metadata": {"annotations": {COPY: "{\"everything\": 1}", "note": "x"}},
            "clientSecret": "abc", "tls": {"credentialName": "web"}, "volumes": [{"secret": {"secretName": "web"}}],
            "jwks": {"keys": [{"kty": "RSA", "n": "public", "d": "private"}]},
        });
        let redacted = redacted(object);
        assert_eq!(redacted["env"], json!([{"name": "DB_PASSWORD", "value": BLOT}, {"name": "PORT", "value": "80"}]));
        assert_eq!(redacted["metadata"]["annotations"], json!({COPY: BLOT, "note": "x"}));
        assert_eq!((&redacted["clientSecret"], &redacted["tls"]["credentialName"]), (&json!(BLOT), &json!("web")));
        assert_eq!(redacted["volumes"][0]["secret"]["secretName"], "web");
        assert_eq!(redacted["jwks"]["keys"][0], json!({"kty": "RSA", "n": "public", "d": BLOT}));
    }
}
