//! Certificates that somebody else issues, such as cert-manager: checked, never written.

use time::OffsetDateTime;

use crate::certificate::Certificate;
use crate::error::Defect;
use crate::material::{CA_CRT, LeafSecret, TLS_CRT};
use crate::plan::LeafSpec;
use crate::serve;

/// Checks what an outside issuer stored for `spec` and answers the roots to trust for it, with its end.
pub(crate) fn check(
    now: OffsetDateTime,
    spec: &LeafSpec,
    stored: Option<&LeafSecret>,
) -> Result<(Vec<Certificate>, OffsetDateTime), Defect> {
    let stored = stored.ok_or(Defect::Missing)?;
    let certificate = Certificate::first(&stored.cert, TLS_CRT)?;
    serve::certified_key(&stored.cert, &stored.key)?;
    if certificate.not_after <= now {
        return Err(Defect::Expired { at: certificate.not_after });
    }
    // An outside issuer may add names; it may not leave one out.
    if !spec.dns_names.iter().all(|name| certificate.dns_names.contains(name)) {
        let found = certificate.dns_names.into_iter().collect();
        return Err(Defect::WrongNames { wanted: spec.dns_names.clone(), found });
    }
    let roots = Certificate::all(&stored.ca);
    if roots.is_empty() {
        return Err(Defect::NoCertificate { key: CA_CRT });
    }
    if !chains_to(&Certificate::all(&stored.cert), &roots) {
        return Err(Defect::Untrusted);
    }
    Ok((roots, certificate.not_after))
}

/// Whether each certificate is signed by the next one, until one is signed by a root.
fn chains_to(chain: &[Certificate], roots: &[Certificate]) -> bool {
    for (index, certificate) in chain.iter().enumerate() {
        if roots.iter().any(|root| certificate.is_signed_by(root) || certificate == root) {
            return true;
        }
        if !chain.get(index + 1).is_some_and(|issuer| certificate.is_signed_by(issuer)) {
            return false;
        }
    }
    false
}
