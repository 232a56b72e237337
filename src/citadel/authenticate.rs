//! Who calls: the API server says it, from the caller's projected service account token.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client, api::PostParams};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

use crate::model::SpiffeId;

/// A caller whose identity is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// What its certificate will say.
    pub(super) identity: SpiffeId,
    /// The pod that the token is bound to; tokens of people and of old controllers have none.
    pub(super) pod: Option<String>,
}

/// Why a caller is turned away.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthenticationError {
    /// No `authorization: Bearer …`.
    #[error("no bearer token: send a service account token of audience {AUDIENCE:?} as \"authorization: Bearer …\"")]
    NoToken,
    /// Expired, of another cluster, of a deleted pod, of another audience, forged.
    #[error("the token is not accepted: {0}")]
    Rejected(String),
    /// A person's or a node's token.
    #[error("{0:?} is no service account; only service accounts have identities in the mesh")]
    NotAServiceAccount(String),
    /// The API server could not be asked.
    #[error("the token could not be checked; try again")]
    Unavailable(#[source] kube::Error),
    /// It did not answer.
    #[error("the token could not be checked within {TIME_OUT:?}; try again")]
    TimedOut,
}

/// Asks the API server about tokens.
#[derive(Clone)]
pub(super) struct Authenticator {
    reviews: Api<TokenReview>,
    trust_domain: Arc<str>,
    /// Reviews at a time: enough to keep the API server busy, too few to drown it when a whole mesh starts at once.
    slots: Arc<Semaphore>,
}

/// A token for anything else must not do here, or whoever may read it could become its owner in the mesh.
const AUDIENCE: &str = "istio-ca";
const TIME_OUT: Duration = Duration::from_secs(8);

// === impl Authenticator ===

impl Authenticator {
    pub(super) fn new(client: Client, trust_domain: &str) -> Self {
        Self { reviews: Api::all(client), trust_domain: trust_domain.into(), slots: Arc::new(Semaphore::new(64)) }
    }

    /// The caller behind an `authorization` header.
    pub(super) async fn caller(&self, authorization: Option<&str>) -> Result<Caller, AuthenticationError> {
        let token = authorization.and_then(bearer_token).ok_or(AuthenticationError::NoToken)?;
        let spec = TokenReviewSpec { audiences: Some(vec![AUDIENCE.to_owned()]), token: Some(token.to_owned()) };
        let review = TokenReview { spec, ..Default::default() };
        let answer = timeout(TIME_OUT, async {
            let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
            self.reviews.create(&PostParams::default(), &review).await
        });
        let answered = answer.await.map_err(|_| AuthenticationError::TimedOut)?.map_err(AuthenticationError::Unavailable)?;
        proven(answered.status.unwrap_or_default(), &self.trust_domain)
    }
}

/// What a review's answer proves.
fn proven(status: TokenReviewStatus, trust_domain: &str) -> Result<Caller, AuthenticationError> {
    if status.authenticated != Some(true) {
        let reason = status.error.filter(|error| !error.is_empty());
        return Err(AuthenticationError::Rejected(reason.unwrap_or_else(|| "the API server does not know it".to_owned())));
    }
    // A server that does not know audiences answers without them: then nothing says that the token is for us.
    if !status.audiences.unwrap_or_default().iter().any(|audience| audience == AUDIENCE) {
        return Err(AuthenticationError::Rejected(format!("its audience is not {AUDIENCE:?}")));
    }
    let user = status.user.unwrap_or_default();
    let username = user.username.unwrap_or_default();
    let parts: Vec<&str> = username.split(':').collect();
    let ["system", "serviceaccount", namespace, service_account] = parts[..] else {
        return Err(AuthenticationError::NotAServiceAccount(username));
    };
    if namespace.is_empty() || service_account.is_empty() {
        return Err(AuthenticationError::NotAServiceAccount(username));
    }
    let pod = user.extra.and_then(|extra| first(&extra, "authentication.kubernetes.io/pod-name"));
    Ok(Caller { identity: SpiffeId::new(trust_domain, namespace, service_account), pod })
}

fn first(extra: &BTreeMap<String, Vec<String>>, key: &str) -> Option<String> {
    extra.get(key)?.first().cloned()
}

/// The token of `Bearer …`, whose scheme is case-insensitive.
fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn review(user: &str, audiences: &[&str]) -> Value {
        json!({"authenticated": true, "audiences": audiences, "user": {"username": user,
            "extra": {"authentication.kubernetes.io/pod-name": ["web-1"]}}})
    }

    #[test]
    fn a_service_account_is_named_by_its_namespace_and_name() {
        let status = serde_json::from_value(review("system:serviceaccount:shop:web", &["istio-ca"])).unwrap();
        let caller = proven(status, "cluster.local").unwrap();
        assert_eq!(caller, Caller { identity: SpiffeId::new("cluster.local", "shop", "web"), pod: Some("web-1".to_owned()) });
    }

    #[rstest]
    #[case(json!({"authenticated": false, "error": "token expired"}), "token expired")]
    #[case(json!({}), "does not know it")]
    #[case(review("system:serviceaccount:shop:web", &[]), "audience")]
    #[case(review("system:serviceaccount:shop:web", &["https://kubernetes.default.svc"]), "audience")]
    #[case(review("alice", &["istio-ca"]), "\"alice\" is no service account")]
    #[case(review("system:node:n1", &["istio-ca"]), "no service account")]
    #[case(review("system:serviceaccount:shop", &["istio-ca"]), "no service account")]
    #[case(review("system:serviceaccount::web", &["istio-ca"]), "no service account")]
    #[case(review("system:serviceaccount:shop:web:admin", &["istio-ca"]), "no service account")]
    fn others_are_turned_away_with_the_reason(#[case] status: Value, #[case] reason: &str) {
        let error = proven(serde_json::from_value(status).unwrap(), "cluster.local").unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn a_token_comes_as_bearer() {
        assert_eq!(bearer_token("Bearer abc"), Some("abc"));
        assert_eq!(bearer_token("bearer abc "), Some("abc"));
        assert_eq!(bearer_token("Basic abc"), None);
        assert_eq!(bearer_token("Bearer "), None);
    }
}
