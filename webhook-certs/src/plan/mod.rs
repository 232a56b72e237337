//! Decides, from what is stored and the time, what the Secrets should hold. Values in, values out; only new keys are random.

mod leaf;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use time::OffsetDateTime;

use crate::authority::WebhookCa;
use crate::certificate::Certificate;
use crate::error::{Defect, PlanError};
use crate::material::{CaSecret, LeafSecret};
use crate::policy::Policy;
use leaf::Judged;

/// Where a Secret lives and what its metadata says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretSpec {
    /// Namespace; it must exist.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels that the Secret has; others on it are left alone.
    pub labels: BTreeMap<String, String>,
    /// Exactly the owners that the Secret has.
    pub owners: Vec<OwnerReference>,
}

/// A serving certificate that is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeafSpec {
    /// Its Secret.
    pub secret: SecretSpec,
    /// The names that clients ask for, exactly.
    pub dns_names: Vec<String>,
}

/// What the Secrets should hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The authority's Secret.
    pub ca: CaSecret,
    /// Whether `ca` differs from what is stored.
    pub ca_change: bool,
    /// One for each leaf that was asked for, in that order.
    pub leaves: Vec<PlannedLeaf>,
    /// Every trusted root, as PEM, the signing one first: the `caBundle` of each webhook.
    pub bundle: String,
    /// What was found broken, and is replaced by this plan.
    pub repairs: Vec<Repair>,
    /// When there is something to do again if nobody touches the Secrets; always after `now`.
    pub next: OffsetDateTime,
}

/// One leaf's Secret.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedLeaf {
    /// What it should hold.
    pub contents: LeafSecret,
    /// How that differs from what is stored.
    pub change: Change,
}

/// How a leaf's Secret changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not at all.
    None,
    /// The certificate stays, the roots beside it change.
    Bundle,
    /// A new certificate with a new key.
    Issued,
}

/// Stored material that was unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// `namespace/name` of a leaf, `None` for the authority.
    pub leaf: Option<(String, String)>,
    /// What was wrong.
    pub defect: Defect,
}

/// The roots in force while a plan is made.
struct Roots {
    signing: WebhookCa,
    retired: Vec<Certificate>,
    /// When leaves of retired roots may be replaced: everyone has had the time to learn of the signing root.
    settled: OffsetDateTime,
}

/// Makes the plan for `leaves`, each with what its Secret holds now.
///
/// A missing authority is only made, not reported: that is how every installation starts.
///
/// # Errors
/// [`PlanError`] if the policy contradicts itself or a certificate can't be made.
pub fn plan(
    now: OffsetDateTime,
    ca: Option<&CaSecret>,
    leaves: &[(&LeafSpec, Option<&LeafSecret>)],
    policy: &Policy,
) -> Result<Plan, PlanError> {
    policy.check()?;
    let mut repairs = Vec::new();
    let mut roots = Roots::find(now, ca, leaves, policy, &mut repairs)?;

    let mut issued = Vec::with_capacity(leaves.len());
    for (spec, stored) in leaves {
        issued.push(leaf::decide(now, spec, *stored, &roots, policy, &mut repairs)?);
    }
    let all_moved = roots.drop_retired_when_unused(now, &issued, policy);

    let bundle = roots.bundle();
    let next = next_moment(now, &roots, &issued, all_moved, policy);
    let planned = issued.into_iter().zip(leaves).map(|(leaf, (_, stored))| leaf.planned(*stored, &bundle)).collect();
    let contents = roots.into_secret();
    let ca_change = ca != Some(&contents);
    Ok(Plan { ca: contents, ca_change, leaves: planned, bundle, repairs, next })
}

// === impl Roots ===

impl Roots {
    fn find(
        now: OffsetDateTime,
        ca: Option<&CaSecret>,
        leaves: &[(&LeafSpec, Option<&LeafSecret>)],
        policy: &Policy,
        repairs: &mut Vec<Repair>,
    ) -> Result<Self, PlanError> {
        let mut retired = Certificate::all(ca.map_or("", |ca| &ca.retired));
        retired.retain(|root| root.is_authority && root.not_after > now);

        let signing = match ca.map(|ca| load(now, ca)) {
            Some(Ok(current)) if now < renewal(&current.certificate, policy) => current,
            Some(Ok(outgoing)) => {
                retired.insert(0, outgoing.certificate);
                generate(now, policy)?
            }
            lost => {
                if let Some(Err(defect)) = lost {
                    repairs.push(Repair { leaf: None, defect });
                }
                // The key is gone, but servers still present what it signed: trust those roots until they have been replaced.
                retired.extend(leaf::roots_in_use(now, ca, leaves));
                generate(now, policy)?
            }
        };
        let mut kept: Vec<Certificate> = Vec::new();
        for root in retired {
            if root != signing.certificate && !kept.contains(&root) {
                kept.push(root);
            }
        }
        let settled = made(&signing.certificate, policy) + policy.settle;
        Ok(Self { signing, retired: kept, settled })
    }

    /// Drops the retired roots if nobody presents a leaf of theirs any more. Otherwise answers when that could be, if it is known.
    fn drop_retired_when_unused(&mut self, now: OffsetDateTime, leaves: &[Judged], policy: &Policy) -> Option<OffsetDateTime> {
        if !leaves.iter().all(|leaf| leaf.certificate.is_signed_by(&self.signing.certificate)) {
            return None;
        }
        let youngest = leaves.iter().map(|leaf| made(&leaf.certificate, policy) + policy.settle).max();
        let moved = youngest.map_or(self.settled, |youngest| youngest.max(self.settled));
        if moved <= now {
            self.retired.clear();
        }
        Some(moved)
    }

    fn bundle(&self) -> String {
        std::iter::once(&self.signing.certificate).chain(&self.retired).map(Certificate::pem).collect()
    }

    fn into_secret(self) -> CaSecret {
        let retired = self.retired.iter().map(Certificate::pem).collect();
        CaSecret { cert: self.signing.cert_pem().to_owned(), key: self.signing.key_pem(), retired }
    }
}

fn load(now: OffsetDateTime, ca: &CaSecret) -> Result<WebhookCa, Defect> {
    let loaded = WebhookCa::load(&ca.cert, &ca.key)?;
    if loaded.certificate.not_after <= now {
        return Err(Defect::Expired { at: loaded.certificate.not_after });
    }
    Ok(loaded)
}

fn generate(now: OffsetDateTime, policy: &Policy) -> Result<WebhookCa, PlanError> {
    WebhookCa::generate(now, policy).map_err(|source| PlanError::Issue { subject: "authority".to_owned(), source })
}

/// When a certificate of ours was made.
fn made(certificate: &Certificate, policy: &Policy) -> OffsetDateTime {
    certificate.not_before + policy.backdate
}

/// Two thirds into a certificate's life.
fn renewal(certificate: &Certificate, policy: &Policy) -> OffsetDateTime {
    let made = made(certificate, policy);
    made + (certificate.not_after - made) * 2 / 3
}

fn next_moment(
    now: OffsetDateTime,
    roots: &Roots,
    leaves: &[Judged],
    all_moved: Option<OffsetDateTime>,
    policy: &Policy,
) -> OffsetDateTime {
    let mut moments = vec![renewal(&roots.signing.certificate, policy)];
    if !roots.retired.is_empty() {
        moments.push(all_moved.unwrap_or(roots.settled));
    }
    moments.extend(leaves.iter().map(|leaf| renewal(&leaf.certificate, policy)));
    // What is overdue was put off until the signing root has settled.
    let later = |moment: OffsetDateTime| if moment > now { moment } else { roots.settled };
    let earliest = moments.into_iter().map(later).min().unwrap_or(roots.settled);
    earliest.max(now + time::Duration::SECOND)
}
