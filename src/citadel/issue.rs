//! The gRPC service: a request with a token in, a chain of certificates out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tonic::{Code, Request, Response, Status};

use super::{
    AuthorityError, AuthoritySource, CitadelConfig,
    authenticate::{AuthenticationError, Authenticator},
    authority::Subject,
    csr::{CsrError, public_key},
    metrics::Metrics,
};
use crate::runtime::{CertificateRequest, CertificateResponse, ca_routes, causes};

/// Answers certificate requests. Clones share everything.
#[derive(Clone)]
pub(super) struct Issuance {
    authenticator: Authenticator,
    authority: AuthoritySource,
    lifetimes: Lifetimes,
    metrics: Metrics,
}

/// How long certificates hold.
#[derive(Clone, Copy, Debug)]
struct Lifetimes {
    default: Duration,
    max: Duration,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
enum IssueError {
    #[error(transparent)]
    Csr(#[from] CsrError),
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    #[error("the root certificate is not there yet; try again")]
    NoAuthority,
    #[error("the certificate could not be signed")]
    Sign(#[from] AuthorityError),
}

// === impl Issuance ===

impl Issuance {
    pub(super) fn new(authenticator: Authenticator, authority: AuthoritySource, config: &CitadelConfig, metrics: Metrics) -> Self {
        let lifetimes = Lifetimes { default: config.default_lifetime, max: config.max_lifetime };
        Self { authenticator, authority, lifetimes, metrics }
    }

    /// The routes to serve.
    pub(super) fn routes(self) -> axum::Router {
        let issuance = Arc::new(self);
        ca_routes(move |request| {
            let issuance = issuance.clone();
            async move { issuance.answer(request).await }
        })
    }

    async fn answer(&self, request: Request<CertificateRequest>) -> Result<Response<CertificateResponse>, Status> {
        let started = Instant::now();
        let result = self.issue(&request).await;
        self.metrics.csr_seconds.observe(started.elapsed().as_secs_f64());
        self.metrics.count_csr(result.as_ref().map_or_else(IssueError::label, |_| "issued"));
        result.map(|cert_chain| Response::new(CertificateResponse { cert_chain })).map_err(|error| error.status())
    }

    async fn issue(&self, request: &Request<CertificateRequest>) -> Result<Vec<String>, IssueError> {
        // The request itself first: it costs less than to ask the API server.
        let message = request.get_ref();
        let key = public_key(&message.csr)?;
        let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let caller = self.authenticator.caller(authorization).await?;
        let authority = self.authority.borrow().clone().ok_or(IssueError::NoAuthority)?;
        let lifetime = self.lifetimes.granted(message.validity_duration);
        let subject = Subject { identity: &caller.identity, dns_names: &[] };
        let leaf = authority.sign(subject, &key, lifetime, OffsetDateTime::now_utc())?;
        tracing::debug!(identity = %caller.identity, pod = caller.pod, ?lifetime, "certificate issued");
        Ok(authority.answer(&leaf))
    }
}

// === impl Lifetimes ===

impl Lifetimes {
    /// The lifetime for a request of so many seconds; none or nonsense gets the default.
    fn granted(self, requested: i64) -> Duration {
        let requested = u64::try_from(requested).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        requested.unwrap_or(self.default).min(self.max)
    }
}

// === impl IssueError ===

impl IssueError {
    /// How the metric calls it.
    fn label(&self) -> &'static str {
        match self {
            Self::Csr(_) => "bad_request",
            Self::Authentication(AuthenticationError::Unavailable(_) | AuthenticationError::TimedOut) | Self::NoAuthority => "unavailable",
            Self::Authentication(_) => "unauthenticated",
            Self::Sign(_) => "internal",
        }
    }

    fn status(&self) -> Status {
        let code = match self.label() {
            "bad_request" => Code::InvalidArgument,
            "unauthenticated" => Code::Unauthenticated,
            "unavailable" => Code::Unavailable,
            _ => Code::Internal,
        };
        match code {
            Code::Internal | Code::Unavailable => tracing::warn!(error = causes(self), "certificate request failed"),
            _ => tracing::info!(error = %self, "certificate request refused"),
        }
        Status::new(code, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_never_longer_than_asked_for_or_allowed() {
        let hour = Duration::from_secs(3600);
        let lifetimes = Lifetimes { default: 24 * hour, max: 48 * hour };
        assert_eq!(lifetimes.granted(3600), hour);
        assert_eq!(lifetimes.granted(0), 24 * hour);
        assert_eq!(lifetimes.granted(-5), 24 * hour);
        assert_eq!(lifetimes.granted(i64::MAX), 48 * hour);
    }
}
