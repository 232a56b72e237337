//! What can go wrong: with stored material, with issuing, with the API, with serving.

use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;

/// Why a stored certificate can't be used. A planned repair names it; nothing in it quotes key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// The Secret doesn't exist.
    #[error("the secret doesn't exist")]
    Missing,
    /// No PEM certificate under the key.
    #[error("{key} holds no PEM certificate")]
    NoCertificate {
        /// Key of the Secret or name of the file.
        key: &'static str,
    },
    /// The certificate isn't X.509, or a field of it can't be read.
    #[error("{key} holds a certificate that can't be parsed: {reason}")]
    BadCertificate {
        /// Key of the Secret or name of the file.
        key: &'static str,
        /// The parser's words.
        reason: String,
    },
    /// The private key can't be read.
    #[error("tls.key holds no usable private key")]
    BadKey,
    /// Certificate and key are not a pair.
    #[error("tls.key doesn't belong to the certificate in tls.crt")]
    KeyMismatch,
    /// The stored authority isn't one.
    #[error("tls.crt is no certificate authority")]
    NotAnAuthority,
    /// The certificate is for other names.
    #[error("tls.crt is for {found:?}, not for {wanted:?}")]
    WrongNames {
        /// Names that were asked for.
        wanted: Vec<String>,
        /// Names in the certificate.
        found: Vec<String>,
    },
    /// Past its end.
    #[error("tls.crt ended at {at}")]
    Expired {
        /// `notAfter`.
        at: OffsetDateTime,
    },
    /// No trusted root signed it.
    #[error("tls.crt is signed by no root that is trusted")]
    Untrusted,
}

/// A certificate couldn't be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A name isn't a DNS name.
    #[error("{name:?} can't be the name of a server")]
    Name {
        /// The offending name.
        name: String,
        /// Its parser's error.
        #[source]
        source: rcgen::Error,
    },
    /// Key generation, encoding or signing failed.
    #[error("making a certificate failed")]
    Sign(#[source] rcgen::Error),
    /// What was just made can't be read back.
    #[error("a new certificate can't be read back")]
    Unreadable(#[source] Defect),
}

/// No plan could be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Renewal has no room.
    #[error("a leaf lifetime of {lifetime:?} leaves no room for {settle:?} of settling in its last third")]
    LeafTooShort {
        /// The policy's leaf lifetime.
        lifetime: Duration,
        /// The policy's settling time.
        settle: Duration,
    },
    /// A leaf would outlive its authority.
    #[error("an authority lifetime of {lifetime:?} leaves no room for leaves of {leaf:?} in its last third")]
    CaTooShort {
        /// The policy's authority lifetime.
        lifetime: Duration,
        /// The policy's leaf lifetime.
        leaf: Duration,
    },
    /// A certificate couldn't be made.
    #[error("issuing for {subject}")]
    Issue {
        /// `namespace/secret`, or `authority`.
        subject: String,
        /// Why.
        #[source]
        source: IssueError,
    },
}

/// Secrets couldn't be brought to what was planned.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The API refused or didn't answer.
    #[error("can't {verb} secret {namespace}/{name}")]
    Api {
        /// `get`, `create`, `update` or `delete`.
        verb: &'static str,
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// No plan could be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Somebody else kept writing the same Secrets.
    #[error("gave up after {attempts} attempts: secret {namespace}/{name} kept changing")]
    Contended {
        /// How often it was tried.
        attempts: usize,
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
    },
    /// A Secret of that name is somebody else's.
    #[error(
        "secret {namespace}/{name} is somebody else's and has been left alone: remove it, or hand it over with \
         kubectl label -n {namespace} secret {name} --overwrite {label}"
    )]
    Foreign {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// The label by which it would be ours, as `KEY=VALUE`.
        label: String,
    },
    /// A Secret that an outside issuer should have made can't be used.
    #[error("secret {namespace}/{name}, which an outside issuer keeps, can't be used")]
    External {
        /// The Secret's namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// What is wrong with it.
        #[source]
        defect: Defect,
    },
}

/// A webhook configuration didn't get its bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The configuration doesn't exist.
    #[error("validating webhook configuration {name} doesn't exist")]
    Missing {
        /// Its name.
        name: String,
    },
    /// The configuration has no such webhook.
    #[error("validating webhook configuration {name} has no webhook {webhook}")]
    NoSuchWebhook {
        /// The configuration's name.
        name: String,
        /// The webhook's name.
        webhook: String,
    },
    /// The API refused or didn't answer.
    #[error("can't {verb} validating webhook configuration {name}")]
    Api {
        /// `get` or `patch`.
        verb: &'static str,
        /// Its name.
        name: String,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
}

/// A serving certificate couldn't be loaded; the one before it is still served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file can't be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate and key can't be used.
    #[error("the serving certificate can't be used")]
    Defect(#[source] Defect),
    /// Only a certificate that came from files can be read again.
    #[error("this certificate came from memory, there are no files to read it from")]
    NoFiles,
    /// The TLS library refused the settings.
    #[error("building the TLS configuration")]
    Tls(#[source] rustls::Error),
}
