//! ServiceRoleBinding.

use std::{collections::BTreeMap, sync::Arc};

use ferromesh_crds::rbac::ServiceRoleBinding;
use ferromesh_crds::rbac::service_role_binding::{self as api, ServiceRoleBindingSpec};

use super::role::{self, MOST};
use super::{CONSEQUENCE, SUCCESSOR, is_permissive};
use crate::config::path::{At, SPEC};
use crate::config::problem::{Code, Invalid, Parsed, quoted};
use crate::config::reading::{ParseContext, Reading};
use crate::config::text::{filled, given};
use crate::model::{self, BoundRole, Subject};

/// The one kind of roles.
const ROLE: &str = "ServiceRole";

/// Reads a ServiceRoleBinding.
///
/// # Errors
/// Everything that is wrong with it.
pub fn service_role_binding(object: &ServiceRoleBinding, context: &ParseContext) -> Result<Parsed<model::ServiceRoleBinding>, Invalid> {
    let mut reading = Reading::new("ServiceRoleBinding", &object.metadata, context);
    let spec = &object.spec;
    reading.deprecated_kind(SUCCESSOR, CONSEQUENCE);
    let at = SPEC.field("subjects");
    match spec.subjects.len() {
        0 => reading.error(&at, Code::Required, "at least one subject is needed"),
        1..=MOST => {}
        count => reading.error(&at, Code::WrongSize, format!("has {count} entries, {MOST} at most are allowed")),
    }
    let subjects = at.each(&spec.subjects, |at, one| subject(&mut reading, at, one));
    let role = bound_role(&mut reading, spec);
    let permissive = is_permissive(spec.mode);
    let value = model::ServiceRoleBinding { origin: reading.origin.clone(), subjects, role, permissive, created: reading.created };
    reading.finish(value)
}

fn bound_role(reading: &mut Reading<'_>, spec: &ServiceRoleBindingSpec) -> BoundRole {
    let ways = [("roleRef", spec.role_ref.is_some()), ("role", given(&spec.role)), ("actions", !spec.actions.is_empty())];
    if reading.at_most_one(&SPEC, ways) == 0 {
        reading.error(&SPEC.field("roleRef"), Code::Required, "required: it names the role");
    }
    if let Some(reference) = &spec.role_ref {
        let at = SPEC.field("roleRef");
        if reference.kind != ROLE {
            reading.error(&at.field("kind"), Code::NotAllowed, format!("{} must be {ROLE}", quoted(&reference.kind)));
        }
        if reference.name.is_empty() {
            reading.required(&at.field("name"));
        }
        return BoundRole::Local(reference.name.as_str().into());
    }
    match spec.role.as_deref().map(|role| (role.strip_prefix('/'), role)) {
        Some((Some(name), _)) => BoundRole::Root(name.into()),
        Some((None, name)) => BoundRole::Local(name.into()),
        None => BoundRole::Inline(SPEC.field("actions").each(&spec.actions, |at, one| role::rule(reading, at, one))),
    }
}

fn subject(reading: &mut Reading<'_>, at: &At<'_>, subject: &api::Subject) -> Subject {
    let text = |reading: &mut Reading<'_>, at: &At<'_>, one: &String| reading.text_match(at, one);
    let address = |reading: &mut Reading<'_>, at: &At<'_>, one: &String| reading.range(at, one);
    reading.deprecated(at, "group", given(&subject.group), "groups");
    let mut groups = reading.values(at, [("groups", &subject.groups), ("notGroups", &subject.not_groups)], text);
    if let Some(group) = filled(&subject.group) {
        groups.any_of.extend(reading.text_match(&at.field("group"), group));
    }
    let user = filled(&subject.user);
    let value = Subject {
        user: user.and_then(|user| reading.text_match(&at.field("user"), user)),
        names: reading.values(at, [("names", &subject.names), ("notNames", &subject.not_names)], text),
        groups,
        namespaces: reading.values(at, [("namespaces", &subject.namespaces), ("notNamespaces", &subject.not_namespaces)], text),
        addresses: reading.values(at, [("ips", &subject.ips), ("notIps", &subject.not_ips)], address),
        properties: properties(reading, at, subject),
    };
    if is_empty(subject) {
        reading.error(at, Code::Required, "must not be empty: set user, or properties");
    }
    value
}

fn is_empty(subject: &api::Subject) -> bool {
    let lists = [
        &subject.names,
        &subject.not_names,
        &subject.groups,
        &subject.not_groups,
        &subject.namespaces,
        &subject.not_namespaces,
        &subject.ips,
        &subject.not_ips,
    ];
    !given(&subject.user) && !given(&subject.group) && subject.properties.is_empty() && lists.into_iter().all(Vec::is_empty)
}

/// Properties, none of which may say again what a field says.
fn properties(reading: &mut Reading<'_>, at: &At<'_>, subject: &api::Subject) -> BTreeMap<Arc<str>, model::TextMatch> {
    let list = at.field("properties");
    let fields = [
        ("source.principal", "names", !subject.names.is_empty() || !subject.not_names.is_empty()),
        ("source.namespace", "namespaces", !subject.namespaces.is_empty() || !subject.not_namespaces.is_empty()),
        ("source.ip", "ips", !subject.ips.is_empty() || !subject.not_ips.is_empty()),
        ("request.auth.claims[groups]", "groups", !subject.groups.is_empty() || !subject.not_groups.is_empty()),
    ];
    let mut read = BTreeMap::new();
    for (key, value) in &subject.properties {
        let at = list.key(key);
        if key.is_empty() {
            reading.error(&at, Code::Required, "a property needs a name");
        }
        if let Some((_, field, _)) = fields.iter().find(|(name, _, set)| *set && *name == key.as_str()) {
            reading.error(&at, Code::Conflict, format!("there is {field} already"));
        }
        if let Some(value) = reading.text_match(&at, value) {
            read.insert(key.as_str().into(), value);
        }
    }
    read
}
