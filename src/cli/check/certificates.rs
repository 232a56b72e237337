//! Checks of the root that proxies trust, and of the webhooks' certificates.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::collections::{BTreeMap, BTreeSet};
use x509_parser::parse_x509_certificate;

use super::{
    facts::{Facts, Webhook, going, known, shown},
    row::{Area, Check, Found, when},
};
use crate::cli::{
    finding::Severity::{self, Error, Warning},
    report::counted,
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::new("FM2001", Area::Certificates, Error, "the API server trusts the webhooks", untrusted),
    Check::new("FM2002", Area::Certificates, Error, "webhook configurations have a caBundle", no_bundle),
    Check::new("FM2003", Area::Certificates, Warning, "the root lasts", root_ends),
    Check::new("FM2004", Area::Certificates, Warning, "the webhooks' certificates are renewed", renewal_overdue),
    Check::new("FM2005", Area::Certificates, Error, "each namespace has the root", no_root),
    Check::new("FM2006", Area::Certificates, Error, "all namespaces have the same root", other_root),
    Check::new("FM2007", Area::Certificates, Error, "the webhooks have certificates", no_certificate),
];

/// The key with the root, in its ConfigMap.
const ROOT: &str = "root-cert.pem";
/// A day, in seconds.
const DAY: i64 = 86_400;
/// Days before a root's end at which it is warned of, and at which it is an error.
const ROOT_DAYS: [i64; 2] = [60, 14];
/// Whom the mesh's webhooks ask, by their Services' names; those of revisions have theirs behind a dash.
const ASKED: [&str; 2] = ["istio-galley", "istio-sidecar-injector"];
/// The operator, whose Services have one certificate.
pub(super) const OPERATOR: &str = "ferromesh-operator";

/// The Secrets with the certificates of those whom the mesh's own webhooks ask, each with the configurations that need it.
pub(super) fn serving(webhooks: &[Webhook<'_>]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for webhook in webhooks.iter().filter(|webhook| webhook.is_own()) {
        let Some(service) = webhook.client.service.as_ref().map(|service| service.name.as_str()) else { continue };
        let rest = |part: &'static str| Some((part, service.strip_prefix(part).filter(|rest| rest.is_empty() || rest.starts_with('-'))?));
        let secret = match ASKED.into_iter().find_map(rest) {
            Some((part, rest)) => format!("{part}-webhook-certs{rest}"),
            None if webhook.configuration == OPERATOR => format!("{OPERATOR}-webhook-certs"),
            None => continue,
        };
        found.entry(secret).or_default().insert(webhook.configuration.to_owned());
    }
    found
}

/// The first certificate of a PEM text, and from when to when it is valid.
fn validity(pem: &[u8]) -> Option<(i64, i64)> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, certificate) = parse_x509_certificate(&der).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// Whether one of a bundle's certificates has signed the first of a chain.
fn signed(chain: &[u8], bundle: &[u8]) -> bool {
    let Ok(leaf) = CertificateDer::from_pem_slice(chain) else { return false };
    let Ok((_, leaf)) = parse_x509_certificate(&leaf) else { return false };
    CertificateDer::pem_slice_iter(bundle).flatten().any(|issuer| {
        parse_x509_certificate(&issuer)
            .is_ok_and(|(_, issuer)| issuer.subject() == leaf.issuer() && leaf.verify_signature(Some(issuer.public_key())).is_ok())
    })
}

/// The caBundles of the mesh's own webhook configurations, by the configuration's name.
fn bundles(webhooks: &[Webhook<'_>]) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut bundles: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for webhook in webhooks.iter().filter(|webhook| webhook.is_own()) {
        bundles.entry(webhook.configuration.to_owned()).or_default().push(webhook.bundle().to_vec());
    }
    bundles
}

/// The serving certificate in a Secret.
fn chain(secret: &Secret) -> Option<&[u8]> {
    secret.data.as_ref()?.get("tls.crt").map(|bytes| &*bytes.0).filter(|bytes| !bytes.is_empty())
}

fn untrusted(facts: &Facts) -> Result<Vec<Found>, String> {
    let webhooks = facts.webhooks()?;
    let (serving, bundles) = (serving(&webhooks), bundles(&webhooks));
    let mut found = Vec::new();
    for secret in known(&facts.certificates)? {
        let Some(chain) = chain(secret) else { continue };
        for configuration in serving.get(&secret.name_any()).into_iter().flatten() {
            let mut bundles = bundles.get(configuration).into_iter().flatten();
            if bundles.any(|bundle| !bundle.is_empty() && !signed(chain, bundle)) {
                let message = format!("no certificate of the caBundle of {configuration} has signed this one: the API server refuses it");
                found.push(Found::new(message).of("Secret", secret).with("kubectl get meshinstall -o wide"));
            }
        }
    }
    Ok(found)
}

fn no_bundle(facts: &Facts) -> Result<Vec<Found>, String> {
    let empty = bundles(&facts.webhooks()?).into_iter().filter(|(_, bundles)| bundles.iter().any(Vec::is_empty));
    Ok(empty
        .map(|(name, _)| Found::new(format!("webhook configuration {name} has no caBundle: the API server trusts nobody there")))
        .collect())
}

fn root_of(map: &ConfigMap) -> Option<&str> {
    map.data.as_ref()?.get(ROOT).map(String::as_str)
}

/// The root as the mesh's own namespace has it; else of any.
fn root(facts: &Facts) -> Result<&str, String> {
    let roots = known(&facts.roots)?;
    let own = roots.iter().find(|map| facts.is_of_mesh(*map)).or_else(|| roots.first());
    own.and_then(root_of).ok_or_else(|| "no ConfigMap has a root".to_owned())
}

fn root_ends(facts: &Facts) -> Result<Vec<Found>, String> {
    let Some((_, end)) = validity(root(facts)?.as_bytes()) else {
        return Ok(vec![Found::new("the root that proxies trust is no certificate").rated(Error)]);
    };
    let [warned, error] = ROOT_DAYS.map(|days| facts.now + days * DAY);
    let severity = if end <= error { Error } else { Warning };
    Ok(when(end <= warned, || Found::new(format!("the root certificate {}", ends(end, facts.now))).rated(severity)))
}

/// `ends in 21 days`, or that it has ended.
fn ends(end: i64, now: i64) -> String {
    match (end - now) / DAY {
        _ if end <= now => "has ended".to_owned(),
        0 => "ends today".to_owned(),
        days => format!("ends in {}", counted(usize::try_from(days).unwrap_or(0), "day")),
    }
}

/// Certificates that are renewed by themselves: overdue in the last third of their life, and an error in the last sixth.
fn renewal_overdue(facts: &Facts) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    for secret in known(&facts.certificates)? {
        let Some((start, end)) = chain(secret).and_then(validity) else { continue };
        let (life, left) = (end - start, end - facts.now);
        let severity: Option<Severity> = match () {
            () if left * 6 <= life => Some(Error),
            () if left * 3 <= life => Some(Warning),
            () => None,
        };
        found.extend(severity.map(|severity| {
            Found::new(format!("its certificate {}, and should have been renewed", ends(end, facts.now)))
                .of("Secret", secret)
                .rated(severity)
        }));
    }
    Ok(found)
}

fn no_root(facts: &Facts) -> Result<Vec<Found>, String> {
    let there: BTreeSet<String> = known(&facts.roots)?.iter().filter_map(ResourceExt::namespace).collect();
    let without = known(&facts.namespaces)?.iter().filter(|one| !going(*one) && !there.contains(&one.name_any()));
    let names: Vec<String> = without.map(ResourceExt::name_any).collect();
    let told = || {
        let message = format!(
            "{} without ConfigMap istio-ca-root-cert, so that pods with a sidecar can't start: {}",
            counted(names.len(), "namespace"),
            names.join(", ")
        );
        Found::new(message).with(format!("kubectl logs -n {} deploy/istio-citadel", facts.mesh_namespace))
    };
    Ok(when(!names.is_empty(), told))
}

fn other_root(facts: &Facts) -> Result<Vec<Found>, String> {
    let root = root(facts)?;
    let other = known(&facts.roots)?.iter().filter(|map| root_of(map).is_some_and(|own| own != root));
    Ok(other.map(|map| Found::new("has another root than the mesh: proxies there trust nobody else").of("ConfigMap", map)).collect())
}

fn no_certificate(facts: &Facts) -> Result<Vec<Found>, String> {
    let (secrets, webhooks) = (known(&facts.certificates)?, facts.webhooks()?);
    let mut found = Vec::new();
    for (name, configurations) in serving(&webhooks) {
        let secret = secrets.iter().find(|secret| secret.name_any() == name);
        if secret.and_then(chain).is_none() {
            let message =
                secret.map_or_else(|| format!("Secret {name} is not there"), |secret| format!("Secret {} has no tls.crt", shown(secret)));
            let asking = configurations.into_iter().collect::<Vec<_>>().join(", ");
            found.push(Found::new(format!("{message}: the webhook of {asking} can't answer")));
        }
    }
    Ok(found)
}
