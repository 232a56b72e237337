//! Judges one stored leaf and decides whether it stays.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::{Change, LeafSpec, PlannedLeaf, Repair, Roots, renewal};
use crate::certificate::Certificate;
use crate::error::{Defect, IssueError, PlanError};
use crate::material::{CaSecret, KeyPem, LeafSecret, TLS_CRT};
use crate::policy::Policy;
use crate::serve;

/// A leaf that will be served, kept or new.
pub(super) struct Judged {
    pub(super) certificate: Certificate,
    cert: String,
    key: KeyPem,
}

// === impl Judged ===

impl Judged {
    pub(super) fn planned(self, stored: Option<&LeafSecret>, bundle: &str) -> PlannedLeaf {
        let contents = LeafSecret { cert: self.cert, key: self.key, ca: bundle.to_owned() };
        let change = match stored {
            Some(stored) if *stored == contents => Change::None,
            Some(stored) if stored.cert == contents.cert && stored.key == contents.key => Change::Bundle,
            _ => Change::Issued,
        };
        PlannedLeaf { contents, change }
    }
}

/// Keeps the stored leaf or issues one, and reports what was broken.
pub(super) fn decide(
    now: OffsetDateTime,
    spec: &LeafSpec,
    stored: Option<&LeafSecret>,
    roots: &Roots,
    policy: &Policy,
    repairs: &mut Vec<Repair>,
) -> Result<Judged, PlanError> {
    if let Some(stored) = stored {
        match usable(now, spec, stored, roots) {
            Ok(certificate) if stays(now, &certificate, roots, policy) => {
                return Ok(Judged { certificate, cert: stored.cert.clone(), key: stored.key.clone() });
            }
            Ok(_) => {}
            Err(defect) => repairs.push(Repair { leaf: Some((spec.secret.namespace.clone(), spec.secret.name.clone())), defect }),
        }
    }
    let wrap = |source: IssueError| PlanError::Issue { subject: format!("{}/{}", spec.secret.namespace, spec.secret.name), source };
    let (cert, key) = roots.signing.issue(now, &spec.dns_names, policy).map_err(wrap)?;
    let certificate = Certificate::first(&cert, TLS_CRT).map_err(|defect| wrap(IssueError::Unreadable(defect)))?;
    Ok(Judged { certificate, cert, key })
}

/// The roots that signed leaves which servers may still present, from wherever a trace of them is left.
pub(super) fn roots_in_use(now: OffsetDateTime, ca: Option<&CaSecret>, leaves: &[(&LeafSpec, Option<&LeafSecret>)]) -> Vec<Certificate> {
    let stored = || leaves.iter().filter_map(|(_, stored)| *stored);
    let presented: Vec<Certificate> = stored().filter_map(|leaf| pair(now, leaf).ok()).collect();
    let traces = ca.into_iter().map(|ca| &ca.cert).chain(stored().map(|leaf| &leaf.ca));
    traces
        .flat_map(|pem| Certificate::all(pem))
        .filter(|root| root.not_after > now && presented.iter().any(|leaf| leaf.is_signed_by(root)))
        .collect()
}

/// A leaf stays while it is fresh and of the signing root, and a little longer while that root is still news to the clients.
fn stays(now: OffsetDateTime, leaf: &Certificate, roots: &Roots, policy: &Policy) -> bool {
    let due = now >= renewal(leaf, policy) || !leaf.is_signed_by(&roots.signing.certificate);
    let can_wait = now < roots.settled && leaf.not_after > roots.settled;
    !due || (can_wait && !roots.retired.is_empty())
}

fn usable(now: OffsetDateTime, spec: &LeafSpec, stored: &LeafSecret, roots: &Roots) -> Result<Certificate, Defect> {
    let certificate = pair(now, stored)?;
    let wanted: BTreeSet<String> = spec.dns_names.iter().cloned().collect();
    if certificate.dns_names != wanted {
        let found = certificate.dns_names.into_iter().collect();
        return Err(Defect::WrongNames { wanted: wanted.into_iter().collect(), found });
    }
    let trusted = std::iter::once(&roots.signing.certificate).chain(&roots.retired).any(|root| certificate.is_signed_by(root));
    if trusted { Ok(certificate) } else { Err(Defect::Untrusted) }
}

/// Certificate and key that belong together and haven't ended.
fn pair(now: OffsetDateTime, stored: &LeafSecret) -> Result<Certificate, Defect> {
    let certificate = Certificate::first(&stored.cert, TLS_CRT)?;
    serve::certified_key(&stored.cert, &stored.key)?;
    if certificate.not_after <= now {
        return Err(Defect::Expired { at: certificate.not_after });
    }
    Ok(certificate)
}
