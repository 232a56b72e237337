//! Checks of proxies: of all by what the operator has counted, of one namespace's pod by pod.

use ferromesh_crds::install::ProxyCounts;

use super::{
    facts::{Facts, known},
    row::{Area, Check, Found, when},
};
use crate::cli::{
    finding::Severity::{Error, Warning},
    proxy::Standing,
    report::counted,
};
use crate::operator::Outlier;

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::new("FM3001", Area::Proxies, Error, "pods have the sidecar that they ask for", missed),
    Check::new("FM3003", Area::Proxies, Warning, "sidecars are of the mesh's version", outdated),
    Check::new("FM4001", Area::Proxies, Warning, "proxies have acknowledged their configuration", unsynced),
    Check::new("FM4002", Area::Proxies, Error, "proxies refuse nothing", refused),
];

/// A count in the MeshInstalls' status, and of how many.
fn counts(facts: &Facts, count: fn(&ProxyCounts) -> Option<i64>) -> Result<(i64, i64), String> {
    let installed = facts.installed()?;
    let all: Option<Vec<&ProxyCounts>> = installed.iter().map(|mesh| mesh.status.as_ref()?.proxies.as_ref()).collect();
    let all = all.filter(|all| !all.is_empty()).ok_or_else(|| "the operator has not counted the proxies yet".to_owned())?;
    let sum = |count: fn(&ProxyCounts) -> Option<i64>| all.iter().filter_map(|proxies| count(proxies)).sum();
    Ok((sum(count), sum(|proxies| proxies.total)))
}

/// A finding about a pod.
fn about(pod: &Outlier, message: impl Into<String>) -> Found {
    Found { object: Some(format!("Pod {}/{}", pod.namespace, pod.pod)), ..Found::new(message) }
}

fn missed(facts: &Facts) -> Result<Vec<Found>, String> {
    if let Some(namespace) = &facts.only {
        let missed = known(&facts.outliers)?.iter().filter(|pod| pod.image.is_none());
        let command = format!("ferromesh rollout --missed -n {namespace}");
        return Ok(missed.map(|pod| about(pod, "runs without the sidecar that labels ask for").with(&command)).collect());
    }
    let (missed, _) = counts(facts, |proxies| proxies.missed)?;
    let told = || {
        let pods = counted(usize::try_from(missed).unwrap_or(0), "pod");
        Found::new(format!("{pods} without the sidecar that labels ask for")).with("ferromesh rollout --missed -A")
    };
    Ok(when(missed > 0, told))
}

fn outdated(facts: &Facts) -> Result<Vec<Found>, String> {
    if let Some(namespace) = &facts.only {
        let outdated = known(&facts.outliers)?.iter().filter_map(|pod| {
            let message = format!("has a sidecar of {}, and a new one would be of {}", pod.image.as_ref()?, pod.current);
            Some(about(pod, message).with(format!("ferromesh rollout --outdated -n {namespace}")))
        });
        return Ok(outdated.collect());
    }
    let (outdated, total) = counts(facts, |proxies| proxies.outdated)?;
    let told = || Found::new(format!("{outdated} of {total} sidecars are older than the mesh")).with("ferromesh rollout --outdated -A");
    Ok(when(outdated > 0, told))
}

/// The proxies that pilot knows, called `POD.NAMESPACE`: those of the namespace that is asked about, or all.
fn proxies(facts: &Facts) -> Result<Vec<&Standing>, String> {
    let namespace = |proxy: &Standing| proxy.name.rsplit_once('.').map(|(_, namespace)| namespace.to_owned());
    let is_asked = |proxy: &&Standing| facts.only.is_none() || facts.only == namespace(proxy);
    Ok(known(&facts.proxies)?.iter().filter(is_asked).collect())
}

fn unsynced(facts: &Facts) -> Result<Vec<Found>, String> {
    let proxies = proxies(facts)?;
    let behind: Vec<&str> = proxies.iter().filter(|proxy| !proxy.synced && proxy.refused == 0).map(|proxy| &*proxy.name).collect();
    let told = || Found::new(format!("{} of {} proxies have not acknowledged all yet: {}", behind.len(), proxies.len(), few(&behind)));
    let command = match &facts.only {
        Some(namespace) => format!("ferromesh proxy-status -n {namespace}"),
        None => "ferromesh proxy-status".to_owned(),
    };
    Ok(when(!behind.is_empty(), || told().with(command)))
}

fn refused(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = proxies(facts)?.into_iter().filter(|proxy| proxy.refused > 0).map(|proxy| {
        let resources = counted(proxy.refused, "resource");
        Found::new(format!("proxy {} refuses {resources}, and keeps the last good form", proxy.name))
            .with(format!("ferromesh why nack {}", proxy.name))
    });
    Ok(told.collect())
}

/// The first names of many.
fn few(names: &[&str]) -> String {
    let more = if names.len() > 3 { format!(" and {} more", names.len() - 3) } else { String::new() };
    format!("{}{more}", names.iter().take(3).copied().collect::<Vec<_>>().join(", "))
}
