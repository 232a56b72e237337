//! Environment variables that a spec adds to a container.

use ferromesh_crds::install::{EnvVariable, MeshInstallSpec};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource};
use serde_json::Value;
use std::collections::BTreeSet;

use super::{Part, Problem, Settings, problem::Field, typed};
use crate::operator::plan::own_variables;

/// Reads a list of variables. Whether the operator sets one of them itself is not known here.
pub(super) fn read(given: &[EnvVariable], mut field: Field<'_>) -> Vec<EnvVar> {
    let mut seen = BTreeSet::new();
    let mut read = Vec::new();
    for (index, variable) in given.iter().enumerate() {
        let EnvVariable { name, value, value_from } = variable;
        let mut field = field.item(index);
        if !is_variable(name) {
            field.at("name").wrong(format!("{name:?} must be letters, digits, _, - and ., no digit first"));
        }
        if !seen.insert(name) {
            field.at("name").wrong(format!("{name} is there twice: leave one away"));
        }
        if value.as_ref().is_some_and(|value| !value.is_empty()) && value_from.is_some() {
            field.at("valueFrom").wrong("can't be set together with value");
        }
        let source = value_from.as_ref().and_then(|source| source_of(&Value::Object(source.0.clone()), field.at("valueFrom")));
        read.push(EnvVar { name: name.clone(), value: value.clone(), value_from: source });
    }
    read
}

/// Variables that the operator sets itself: with another value, its part would do something else than it was told. `merged` is the spec
/// that has been read.
pub(super) fn reserved(settings: &Settings, merged: &MeshInstallSpec) -> Vec<Problem> {
    let gateways = merged.gateways.clone().unwrap_or_default();
    let directions = [("ingress", gateways.ingress), ("egress", gateways.egress)];
    let direction = |name: &str| directions.iter().find(|(_, list)| list.iter().any(|one| one.name == name)).map_or("", |(list, _)| *list);
    let parts = settings.parts.iter().map(|(role, part)| (format!("spec.components.{}", role.name()), settings.revision.part(*role), part));
    let gateways = settings.gateways.iter().map(|one| {
        let path = format!("spec.gateways.{}[{}]", direction(&one.name), one.name);
        (path, one.name.clone(), &one.part)
    });
    let parts: Vec<(String, String, &Part)> = parts.chain(gateways).filter(|(.., part)| !part.env.is_empty()).collect();
    if parts.is_empty() {
        return Vec::new();
    }
    let own = own_variables(settings);
    let mut problems = Vec::new();
    for (path, workload, part) in parts {
        let is_own = |name: &String| own.get(&workload).is_some_and(|own| own.contains(name));
        for (index, variable) in part.env.iter().enumerate().filter(|(_, variable)| is_own(&variable.name)) {
            let reason = format!("{} is set by the operator: take it away", variable.name);
            Field::new(&path, &mut problems).at("env").item(index).at("name").wrong(reason);
        }
    }
    problems
}

fn source_of(given: &Value, mut field: Field<'_>) -> Option<EnvVarSource> {
    let explain = "pod.spec.containers.env.valueFrom";
    if given.as_object().is_some_and(|sources| sources.values().filter(|source| !source.is_null()).count() != 1) {
        field.wrong(format!("must name one source, as fieldRef or secretKeyRef: see kubectl explain {explain}"));
        return None;
    }
    typed::read(given, explain, field)
}

/// Whether every version of Kubernetes takes a text for a variable's name.
fn is_variable(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !name.is_empty() && name.bytes().all(rest) && !name.starts_with(|first: char| first.is_ascii_digit())
}
