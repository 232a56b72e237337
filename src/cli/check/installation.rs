//! Checks of the installation: what describes it, and the objects that it needs.

use ferromesh_crds::{
    MeshInstall, catalog,
    install::{Mode, State},
};
use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingWebhook, ValidatingWebhookConfiguration},
    apps::v1::Deployment,
};
use kube::ResourceExt;
use std::collections::BTreeSet;

use super::{
    facts::{Facts, known, of_any_revision},
    row::{Area, Check, Found, when},
};
use crate::cli::{
    finding::Severity::{Error, Info, Warning},
    install::{chart_roles, chart_webhook},
};
use crate::operator::RENDERED_BY;

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::new("FM5001", Area::Installation, Error, "a MeshInstall is there", no_mesh),
    Check::new("FM5002", Area::Installation, Warning, "one MeshInstall is there of each revision", several_meshes),
    Check::new("FM5003", Area::Installation, Error, "the MeshInstall is healthy", unhealthy),
    Check::new("FM5004", Area::Installation, Error, "the operator has seen the MeshInstall", unseen),
    Check::new("FM5005", Area::Installation, Error, "the operator runs", no_operator),
    Check::new("FM5006", Area::Installation, Warning, "versions agree", versions),
    Check::new("FM5007", Area::Installation, Error, "the mesh's roles are there", roles),
    Check::new("FM5008", Area::Installation, Error, "the CRDs are there and established", crds),
    Check::new("FM5009", Area::Installation, Warning, "the CRDs are this version's", old_crds),
    Check::new("FM5010", Area::Installation, Info, "changes are made", plan_only),
    Check::new("FM5011", Area::Installation, Warning, "the operator is asked about MeshInstalls", unasked),
];

/// The MeshInstalls that are installed, one of each revision; there is at least one.
fn installed(facts: &Facts) -> Result<Vec<&MeshInstall>, String> {
    let installed = facts.installed()?;
    if installed.is_empty() { Err("there is no MeshInstall".to_owned()) } else { Ok(installed) }
}

fn no_mesh(facts: &Facts) -> Result<Vec<Found>, String> {
    Ok(when(known(&facts.meshes)?.is_empty(), || Found::new("the cluster has no MeshInstall").with("ferromesh install")))
}

fn several_meshes(facts: &Facts) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    for installed in installed(facts)? {
        let of_it = |mesh: &&MeshInstall| mesh.spec.revision() == installed.spec.revision() && mesh.name_any() != installed.name_any();
        let told = format!("has no effect: MeshInstall {} of the same revision is older", installed.name_any());
        found.extend(known(&facts.meshes)?.iter().filter(of_it).map(|mesh| Found::new(told.clone()).of("MeshInstall", mesh)));
    }
    Ok(found)
}

fn condition(mesh: &MeshInstall, type_: &str) -> Option<(bool, String)> {
    let status = mesh.status.as_ref()?;
    let found = status.conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((found.status == "True", format!("{}: {}", found.reason, found.message)))
}

fn unhealthy(facts: &Facts) -> Result<Vec<Found>, String> {
    let told = |mesh: &MeshInstall| {
        let told = match condition(mesh, "Ready") {
            Some((true, _)) => return None,
            Some((false, message)) => message,
            None => "its condition Ready is not known".to_owned(),
        };
        let state = mesh.status.as_ref().and_then(|status| status.state);
        // What is on its way may well arrive.
        let severity = if matches!(state, Some(State::Updating | State::Reconciling)) { Warning } else { Error };
        let command = format!("kubectl describe meshinstall {}", mesh.name_any());
        Some(Found::new(told).of("MeshInstall", mesh).rated(severity).with(command))
    };
    Ok(installed(facts)?.into_iter().filter_map(told).collect())
}

fn unseen(facts: &Facts) -> Result<Vec<Found>, String> {
    let seen = |mesh: &MeshInstall| mesh.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(-1);
    let behind = installed(facts)?.into_iter().filter(|mesh| seen(mesh) < mesh.metadata.generation.unwrap_or_default());
    let told = |mesh| Found::new("was changed, and the operator has not seen it").of("MeshInstall", mesh).with("kubectl get lease -A");
    Ok(behind.map(told).collect())
}

fn no_operator(facts: &Facts) -> Result<Vec<Found>, String> {
    let Some(operator) = facts.operator()? else {
        return Ok(vec![Found::new("no operator: nobody installs or heals the mesh").with("ferromesh operator init")]);
    };
    let available = operator.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default();
    let command = format!("kubectl logs -n {} deploy/{}", operator.namespace().unwrap_or_default(), operator.name_any());
    Ok(when(available == 0, || Found::new("no pod of the operator is available").of("Deployment", operator).with(command)))
}

fn versions(facts: &Facts) -> Result<Vec<Found>, String> {
    let own = env!("CARGO_PKG_VERSION");
    let told = |mesh: &MeshInstall| {
        let version = version(facts, mesh).filter(|version| version != own)?;
        Some(Found::new(format!("is of version {version}, and this program of {own}")).of("MeshInstall", mesh))
    };
    Ok(installed(facts)?.into_iter().filter_map(told).collect())
}

/// A mesh's version: that of the operator which planned its pilot, as a site's images may have any tag; where that is not known, the tag.
fn version(facts: &Facts, mesh: &MeshInstall) -> Option<String> {
    let tag = mesh.status.as_ref()?.version.clone()?;
    let of_tag = |one: &&Deployment| {
        let pod = one.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let images = pod.iter().flat_map(|pod| &pod.containers).filter_map(|container| container.image.as_ref());
        images.filter_map(|image| image.rsplit_once(':')).any(|(_, own)| own == tag)
    };
    let pilots = facts.deployments.iter().flatten().filter(|one| of_any_revision(&one.name_any(), "istio-pilot").is_some());
    let planned_by = pilots.filter(of_tag).find_map(|pilot| pilot.annotations().get(RENDERED_BY).cloned());
    planned_by.or(Some(tag))
}

fn roles(facts: &Facts) -> Result<Vec<Found>, String> {
    let there: BTreeSet<String> = known(&facts.cluster_roles)?.iter().map(ResourceExt::name_any).collect();
    let missing: Vec<String> = chart_roles().into_iter().filter(|name| !there.contains(name)).collect();
    let told = || {
        let roles = missing.join(", ");
        Found::new(format!("ClusterRoles are missing, so that parts of the mesh have no rights: {roles}")).with("ferromesh operator init")
    };
    Ok(when(!missing.is_empty(), told))
}

fn crds(facts: &Facts) -> Result<Vec<Found>, String> {
    let all = known(&facts.crds)?;
    let mut found = Vec::new();
    for kind in catalog::kinds() {
        let name = kind.crd_name();
        let Some(crd) = all.iter().find(|crd| crd.name_any() == name) else {
            found.push(Found::new(format!("CustomResourceDefinition {name} is not there")).with("ferromesh operator init"));
            continue;
        };
        let conditions = crd.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let established = conditions.into_iter().any(|condition| condition.type_ == "Established" && condition.status == "True");
        if !established {
            found.push(Found::new("is not established: the API server does not serve it").of("CustomResourceDefinition", crd));
        }
    }
    Ok(found)
}

fn old_crds(facts: &Facts) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    for crd in known(&facts.crds)? {
        let Some(kind) = catalog::find(&crd.spec.group, &crd.spec.names.kind) else { continue };
        let served: BTreeSet<&str> = crd.spec.versions.iter().filter(|version| version.served).map(|version| &*version.name).collect();
        let missing: Vec<&str> = kind.versions.iter().copied().filter(|version| !served.contains(version)).collect();
        if !missing.is_empty() {
            let told = format!("does not serve version {}", missing.join(", "));
            found.push(Found::new(told).of("CustomResourceDefinition", crd).with("ferromesh operator init"));
        }
    }
    Ok(found)
}

fn unasked(facts: &Facts) -> Result<Vec<Found>, String> {
    let shipped: ValidatingWebhookConfiguration =
        serde_json::from_value(chart_webhook()).map_err(|error| format!("the chart's webhook configuration can't be read: {error}"))?;
    let effect = "a wrong MeshInstall is not refused when it is applied; its status says so later";
    let Some(there) = known(&facts.validating)?.iter().find(|one| one.name_any() == shipped.name_any()) else {
        let told = format!("ValidatingWebhookConfiguration {} is not there: {effect}", shipped.name_any());
        return Ok(vec![Found::new(told).with("ferromesh operator init")]);
    };
    let as_shipped = |webhook: &ValidatingWebhook| {
        let same = |one: &&ValidatingWebhook| one.name == webhook.name;
        let asks = |one: &ValidatingWebhook| (one.rules.clone(), one.failure_policy.clone(), one.match_conditions.clone());
        there.webhooks.iter().flatten().find(same).is_some_and(|one| asks(one) == asks(webhook))
    };
    let changed = shipped.webhooks.iter().flatten().filter(|webhook| !as_shipped(webhook));
    let told = |webhook: &ValidatingWebhook| {
        let told = format!("webhook {} is not as it was installed: perhaps {effect}", webhook.name);
        Found::new(told).of("ValidatingWebhookConfiguration", there).with("ferromesh operator init")
    };
    Ok(changed.map(told).collect())
}

fn plan_only(facts: &Facts) -> Result<Vec<Found>, String> {
    let planning = installed(facts)?.into_iter().filter(|mesh| mesh.spec.mode() == Mode::Plan);
    let told = |mesh| Found::new("is in mode Plan: changes are listed in its status, and not made").of("MeshInstall", mesh);
    Ok(planning.map(told).collect())
}
