//! What the API server says of tokens.

use serde_json::{Value, json};

use super::fake_api::FakeApi;

/// Lets the tokens `NAMESPACE/ACCOUNT` be good, and those that begin with `!` for another audience.
pub(crate) fn review_tokens(api: &FakeApi) {
    api.answer(|call| (call.target.plural == "tokenreviews").then(|| (201, review(&call.body))));
}

fn review(body: &Value) -> Value {
    let token = body["spec"]["token"].as_str().unwrap_or_default();
    let audiences = if token.starts_with('!') { json!(["elsewhere"]) } else { body["spec"]["audiences"].clone() };
    let status = match token.trim_start_matches('!').split_once('/') {
        Some((namespace, account)) => json!({"authenticated": true, "audiences": audiences,
            "user": {"username": format!("system:serviceaccount:{namespace}:{account}")}}),
        None => json!({"authenticated": false, "error": "token expired"}),
    };
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": body["spec"], "status": status})
}
