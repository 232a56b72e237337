//! Takes out of objects and logs what should not leave a cluster: private keys, tokens, passwords.

use regex::{Captures, Regex};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// What stands in the place of what was taken out.
pub(super) const BLOT: &str = "[redacted]";

/// Words by which fields, variables and annotations are known whose values are nobody else's.
const CONFIDENTIAL: [&str; 9] = ["password", "passwd", "passphrase", "token", "secret", "credential", "apikey", "api_key", "private"];
/// The same as ends of names, within which they mean something else.
const ENDS: [&str; 3] = ["_pass", "-pass", "_pwd"];
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
/// The annotations in which tools keep a copy of the whole object, from before it was redacted.
const COPIES: [&str; 3] = ["kubectl.kubernetes.io/last-applied-configuration", "kapp.k14s.io/original", "objectset.rio.cattle.io/applied"];

/// Private keys in PEM, as they are and in base64, tokens by their form, what follows the scheme of an authorization, and passwords in URLs.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    const FORMS: [&str; 5] = [
        r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        r"LS0tLS1CRUdJTi(?:BQUklWQVRF|BSU0EgUFJJVkFURS|BFQyBQUklWQVRF|BFTkNSWVBURUQ|BPUEVOU1NI)[A-Za-z0-9+/=]*",
        r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*",
        r"(?i)\b(?P<kept>(?:bearer|basic) )[A-Za-z0-9._~+/=-]{8,}",
        r"(?P<kept>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?P<after>@)",
    ];
    FORMS.iter().filter_map(|form| Regex::new(form).ok()).collect()
});
/// `name=value` and `"name": "value"` within a text, where the name has one of the words above in it.
static ASSIGNMENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = CONFIDENTIAL.iter().chain(&ENDS).copied().collect::<Vec<_>>().join("|");
    let name = format!(r"(?i)(?P<kept>(?P<name>[\w.-]*(?:{words})[\w-]*)");
    let value = r#"\\?["']?[ \t]*[=:][ \t]*\\?["']?)(?P<value>[^\s"',;&\\]{3,})"#;
    Regex::new(&format!("{name}{value}")).ok()
});

/// An object without what is confidential.
pub(super) fn redacted(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(of_fields(fields)),
        Value::Array(items) => Value::Array(of_items(items)),
        Value::String(text) => Value::String(redacted_string(&text)),
        other => other,
    }
}

/// An object of somebody else's, as an application's pod: the values of its variables are its owner's, whatever they are called.
pub(super) fn without_variables(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let ours = fields.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with("istio-"));
            let one = |(name, value): (String, Value)| {
                let value = if name == "env" && !ours { blotted_variables(value) } else { without_variables(value) };
                (name, value)
            };
            Value::Object(fields.into_iter().map(one).collect())
        }
        Value::Array(items) => items.into_iter().map(without_variables).collect(),
        other => other,
    }
}

fn blotted_variables(mut variables: Value) -> Value {
    for variable in variables.as_array_mut().into_iter().flatten() {
        if let Some(value) = variable.get_mut("value") {
            *value = Value::String(BLOT.to_owned());
        }
    }
    variables
}

/// A text without what is confidential.
pub(super) fn redacted_text(text: &str) -> String {
    let text = FORMS.iter().fold(text.to_owned(), |text, form| {
        let part = |found: &Captures<'_>, name: &str| found.name(name).map_or(String::new(), |part| part.as_str().to_owned());
        let blotted = |found: &Captures<'_>| format!("{}{BLOT}{}", part(found, "kept"), part(found, "after"));
        form.replace_all(&text, blotted).into_owned()
    });
    let assigned = |found: &Captures<'_>| {
        // A name's last part is what it is: `global.proxy.token`.
        let name = found["name"].rsplit('.').next().unwrap_or_default().to_owned();
        let tells = ["true", "false", "null"].contains(&&found["value"]) || found["value"].starts_with(['$', '{', '[']);
        if is_confidential(&name) && !tells { format!("{}{BLOT}", &found["kept"]) } else { found[0].to_owned() }
    };
    ASSIGNMENT.as_ref().map_or_else(|| text.clone(), |form| form.replace_all(&text, assigned).into_owned())
}

/// A field's text: what is JSON by itself, as some annotations and key sets are, is looked into.
fn redacted_string(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => {
            let clean = redacted(value.clone());
            // What there is nothing to blot in stays as it was written.
            if clean == value { text.to_owned() } else { clean.to_string() }
        }
        _ => redacted_text(text),
    }
}

/// The items of a list. Of a command's words one may be a flag, and the next its value.
fn of_items(items: Vec<Value>) -> Vec<Value> {
    let mut holds = false;
    let one = |item: Value| {
        let word = item.as_str().unwrap_or_default();
        let (is_value, is_flag) = (holds && !word.starts_with('-'), word.starts_with('-') && !word.contains('='));
        holds = is_flag && is_confidential(word.trim_start_matches('-'));
        if is_value { blotted(item) } else { redacted(item) }
    };
    items.into_iter().map(one).collect()
}

/// What stands under a name that is confidential.
fn blotted(value: Value) -> Value {
    match value {
        Value::String(_) | Value::Number(_) => Value::String(BLOT.to_owned()),
        Value::Array(items) => items.into_iter().map(blotted).collect(),
        other => redacted(other),
    }
}

fn of_fields(fields: Map<String, Value>) -> Map<String, Value> {
    // `{name: DB_PASSWORD, value: …}`, as environment variables and headers are written.
    let named = fields.get("name").and_then(Value::as_str).is_some_and(is_confidential);
    // A key of a JWKS that is private has its exponent beside the type.
    let is_key = fields.contains_key("kty");
    let one = |(name, value): (String, Value)| {
        let holds = is_confidential(&name) || named && name == "value" || is_key && ["d", "k", "p", "q"].contains(&name.as_str());
        // Numbers of tokens are those of a rate limit.
        let counts = value.is_number() && name.to_ascii_lowercase().contains("token");
        let value = if (holds || COPIES.contains(&name.as_str())) && !counts { blotted(value) } else { redacted(value) };
        (name, value)
    };
    fields.into_iter().map(one).collect()
}

fn is_confidential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let holds = CONFIDENTIAL.iter().any(|word| name.contains(word)) || ENDS.iter().any(|end| name.ends_with(end));
    holds && !NAMES.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl";

    #[test]
    fn every_form_is_known() {
        assert!(FORMS.len() == 5 && ASSIGNMENT.is_some());
    }

    #[test]
    fn keys_tokens_and_passwords_in_texts_are_blotted_out() {
        let key = "a\n-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\nb";
        assert_eq!(redacted_text(key), format!("a\n{BLOT}\nb"));
        assert_eq!(redacted_text("-----BEGIN PRIVATE KEY-----\nMHcC"), BLOT, "a log may end in the middle");
        assert_eq!(redacted_text(&format!("token {TOKEN} came")), format!("token {BLOT} came"));
        assert_eq!(redacted_text("authorization: Bearer abcdefgh12345"), format!("authorization: Bearer {BLOT}"));
        assert_eq!(redacted_text("url=/x?password=hunter22&y=1"), format!("url=/x?password={BLOT}&y=1"));
        assert_eq!(redacted_text("postgres://jane:hunter22@db/x"), format!("postgres://jane:{BLOT}@db/x"));
        assert_eq!(redacted_text("cacheToken = \"abcd\""), format!("cacheToken = \"{BLOT}\""));
        assert_eq!(redacted_text("a LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t b"), format!("a {BLOT} b"));
        let telling = "secretName: web\nforwardOriginalToken: true\nserviceAccountToken:\n  path: x\nimage=hub/x:1\nat 10:20:30";
        assert_eq!(redacted_text(telling), telling);
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
        assert_eq!(redacted_text(certificate), certificate, "what is public stays");
    }

    #[test]
    fn fields_and_variables_that_hold_secrets_are_blotted_out_and_those_that_name_some_stay() {
        let object = json!({
            "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "DB_PASS", "value": "hunter2"}, {"name": "PORT", "value": "80"}],
            "metadata": {"annotations": {COPIES[0]: "{\"everything\": 1}", "note": "x", "owner": "{\"a\": 1}", "ci": "{\"apiKey\": \"k\"}"}},
            "args": ["--token", "abc", "--verbose", "--client-secret=abc"], "passwords": ["abc", 12], "maxTokens": 10,
            "clientSecret": "abc", "tls": {"credentialName": "web"}, "volumes": [{"secret": {"secretName": "web"}}],
            "jwks": {"keys": [{"kty": "RSA", "n": "public", "d": "private"}]},
        });
        let redacted = redacted(object);
        let env = json!([{"name": "DB_PASSWORD", "value": BLOT}, {"name": "DB_PASS", "value": BLOT}, {"name": "PORT", "value": "80"}]);
        assert_eq!(redacted["env"], env);
        let annotations = json!({COPIES[0]: BLOT, "note": "x", "owner": "{\"a\": 1}", "ci": format!("{{\"apiKey\":\"{BLOT}\"}}")});
        assert_eq!(redacted["metadata"]["annotations"], annotations);
        assert_eq!(redacted["args"], json!(["--token", BLOT, "--verbose", format!("--client-secret={BLOT}")]));
        assert_eq!((&redacted["passwords"], &redacted["maxTokens"]), (&json!([BLOT, BLOT]), &json!(10)));
        assert_eq!((&redacted["clientSecret"], &redacted["tls"]["credentialName"]), (&json!(BLOT), &json!("web")));
        assert_eq!(redacted["volumes"][0]["secret"]["secretName"], "web");
        assert_eq!(redacted["jwks"]["keys"][0], json!({"kty": "RSA", "n": "public", "d": BLOT}));
    }
}
