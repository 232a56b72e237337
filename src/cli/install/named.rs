//! The names beside the default ones that an operator may give: revisions of control planes, and tags. Its right to write an object is a
//! right to that object's name, so it has to be told them beforehand, as the chart's values `revisions` and `tags` do.

use clap::Args;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::{Api, Client};
use serde_json::Value;

use super::chart::operator_role;
use crate::cli::exit::Failure;
use crate::config::kubernetes::is_dns_label;
use crate::model::DEFAULT_REVISION;

/// What stands for a revision, and for a tag, in the chart's objects as they are built in.
const REVISION: &str = "any-revision";
const TAG: &str = "any-tag";
/// How long a name may be.
const LONGEST: usize = 40;
/// The objects by whose names a ClusterRole tells which revisions and tags it is for.
const OF_REVISION: &str = "istio-sidecar-injector-";
const OF_TAG: &str = "istio-revision-tag-";

/// Which names an operator may give, as far as that is said.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct NamedArgs {
    /// Revisions beside the default one that the operator may install; with no name none, without this those of before
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = revision, num_args = 0..=1, help_heading = "Operator")]
    revisions: Option<Vec<String>>,
    /// Tags that a MeshInstall may let stand for revisions; with no name none, without this those of before
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = name, num_args = 0..=1, help_heading = "Operator")]
    tags: Option<Vec<String>>,
}

/// Names beside the default ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) revisions: Vec<String>,
    pub(super) tags: Vec<String>,
}

fn name(text: &str) -> Result<String, String> {
    if is_dns_label(text) && text.len() <= LONGEST {
        Ok(text.to_owned())
    } else {
        Err(format!("write at most {LONGEST} lower-case letters, digits and -, with a letter or digit at both ends"))
    }
}

fn revision(text: &str) -> Result<String, String> {
    if text == DEFAULT_REVISION { Err("the default revision needs no name".to_owned()) } else { name(text) }
}

// === impl NamedArgs ===

impl NamedArgs {
    /// The names: those that are said, and where nothing is said those of before.
    pub(super) fn over(&self, before: &Named) -> Named {
        let said = |said: &Option<Vec<String>>, before: &[String]| {
            let mut names = said.clone().unwrap_or_else(|| before.to_vec());
            names.sort();
            names.dedup();
            names
        };
        Named { revisions: said(&self.revisions, &before.revisions), tags: said(&self.tags, &before.tags) }
    }
}

// === impl Named ===

impl Named {
    /// Those that a spec speaks of.
    pub(super) fn of_spec(spec: &Value) -> Self {
        let revision = spec["revision"].as_str().filter(|name| !name.is_empty() && *name != DEFAULT_REVISION);
        let tags = spec["tags"].as_object().into_iter().flatten().map(|(tag, _)| tag.clone());
        Self { revisions: revision.map(str::to_owned).into_iter().collect(), tags: tags.collect() }
    }

    /// Those that the operator of a cluster has a right to; none if it has no role.
    ///
    /// # Errors
    /// When the role can't be read.
    pub(super) async fn of_cluster(client: &Client) -> Result<Self, Failure> {
        let usual = operator_role();
        let name = usual["metadata"]["name"].as_str().unwrap_or_default();
        let roles: Api<ClusterRole> = Api::all(client.clone());
        let found = roles.get_opt(name).await.map_err(|error| Failure::cluster(format_args!("read ClusterRole {name}"), &error))?;
        let Some(role) = found else { return Ok(Self::default()) };
        Ok(Self::of_role(&serde_json::to_value(role).unwrap_or_default()).without(&Self::of_role(&usual)))
    }

    fn of_role(role: &Value) -> Self {
        let rules = role["rules"].as_array().into_iter().flatten();
        let names: Vec<&str> =
            rules.flat_map(|rule| rule["resourceNames"].as_array().into_iter().flatten()).filter_map(Value::as_str).collect();
        let behind = |start: &str| names.iter().filter_map(|name| name.strip_prefix(start)).map(str::to_owned).collect();
        Self { revisions: behind(OF_REVISION), tags: behind(OF_TAG) }
    }

    /// All of both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let both = |one: &[String], other: &[String]| {
            let mut names = [one, other].concat();
            names.sort();
            names.dedup();
            names
        };
        Self { revisions: both(&self.revisions, &other.revisions), tags: both(&self.tags, &other.tags) }
    }

    /// Puts them into one of the chart's objects, in the place of what stands for them there.
    pub(super) fn enter(&self, object: &mut Value) {
        for rule in object["rules"].as_array_mut().into_iter().flatten() {
            let Some(names) = rule.get_mut("resourceNames").and_then(Value::as_array_mut) else { continue };
            *names = std::mem::take(names).into_iter().flat_map(|name| self.entered(&name)).collect();
        }
    }

    fn entered(&self, name: &Value) -> Vec<Value> {
        let text = name.as_str().unwrap_or_default();
        let with = |start: &str, names: &[String]| names.iter().map(|name| format!("{start}{name}").into()).collect();
        match (text.strip_suffix(REVISION), text.strip_suffix(TAG)) {
            (Some(start), _) => with(start, &self.revisions),
            (None, Some(start)) => with(start, &self.tags),
            (None, None) => vec![name.clone()],
        }
    }

    /// As flags of `ferromesh operator init`; empty if there are none.
    pub(super) fn flags(&self) -> String {
        let flag = |name: &str, names: &[String]| if names.is_empty() { String::new() } else { format!(" --{name} {}", names.join(",")) };
        format!("{}{}", flag("revisions", &self.revisions), flag("tags", &self.tags))
    }

    /// Those that the other has not.
    pub(super) fn without(&self, other: &Self) -> Self {
        let rest = |own: &[String], other: &[String]| own.iter().filter(|name| !other.contains(name)).cloned().collect();
        Self { revisions: rest(&self.revisions, &other.revisions), tags: rest(&self.tags, &other.tags) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.revisions.is_empty() && self.tags.is_empty()
    }

    /// Which these are, for people.
    pub(super) fn told(&self) -> String {
        let told = |what: &str, names: &[String]| names.iter().map(|name| format!("{what} {name}")).collect::<Vec<_>>();
        [told("revision", &self.revisions), told("tag", &self.tags)].concat().join(", ")
    }

    /// As values of the chart.
    fn values(&self) -> String {
        let value = |name: &str, names: &[String]| (!names.is_empty()).then(|| format!("{name}={{{}}}", names.join(",")));
        let values = [value("revisions", &self.revisions), value("tags", &self.tags)];
        values.into_iter().flatten().collect::<Vec<_>>().join(",")
    }

    /// Helm's command that gives the operator of a release its rights for them.
    pub(super) fn helm_upgrade(&self, release: &str, namespace: &str) -> String {
        let set = if self.is_empty() { String::new() } else { format!(" --reuse-values --set '{}'", self.values()) };
        format!("helm upgrade {release} charts/ferromesh -n {namespace}{set}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{install::chart::objects, source};
    use crate::operator::Images;
    use serde_json::json;

    /// What Helm renders for revisions `canary` and `next` and tag `prod` of the templates that depend on them: `make generate`.
    const CHART: &str = include_str!("tests/operator-named.yaml");

    fn named(revisions: &[&str], tags: &[&str]) -> Named {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Named { revisions: texts(revisions), tags: texts(tags) }
    }

    #[test]
    fn the_objects_are_the_charts_for_the_same_values() {
        let (documents, problems) = source::read(CHART);
        assert_eq!(problems, []);
        let charts: Vec<Value> = documents.iter().map(source::Node::to_value).filter(|object| !object.is_null()).collect();
        let ours = objects("ferromesh-system", &Images::published(), &named(&["canary", "next"], &["prod"]));
        let mut compared = 0;
        for chart in &charts {
            let same = |one: &&Value| one["kind"] == chart["kind"] && one["metadata"]["name"] == chart["metadata"]["name"];
            let own = ours.iter().find(same).unwrap_or_else(|| panic!("no {chart}"));
            assert_eq!(own["rules"], chart["rules"], "{}", chart["metadata"]["name"]);
            compared += usize::from(chart["rules"].to_string().contains("-next"));
        }
        assert_eq!(compared, 3, "ferromesh-operator, ferromesh-operator-namespaced and ferromesh-galley-namespaced");
        let others = |named: &Named| -> Vec<Value> {
            let known = |object: &Value| {
                charts.iter().any(|chart| chart["metadata"]["name"] == object["metadata"]["name"] && chart["kind"] == object["kind"])
            };
            objects("ferromesh-system", &Images::published(), named).into_iter().filter(|object| !known(object)).collect()
        };
        assert_eq!(others(&named(&["canary", "next"], &["prod"])), others(&Named::default()));
    }

    #[test]
    fn without_names_nothing_that_stands_for_them_is_left() {
        let text = serde_json::to_string(&objects("ferromesh-system", &Images::published(), &Named::default())).unwrap();
        assert!(!text.contains(REVISION) && !text.contains(TAG));
    }

    #[test]
    fn a_spec_and_a_role_tell_names_and_flags_and_values_say_them() {
        assert_eq!(Named::of_spec(&json!({"revision": "canary"})), named(&["canary"], &[]));
        assert_eq!(Named::of_spec(&json!({"revision": "", "tags": {"prod": "canary"}})), named(&[], &["prod"]));
        let both = named(&["a"], &["t"]).and(&named(&["b", "a"], &[]));
        assert_eq!(both, named(&["a", "b"], &["t"]));
        assert_eq!((both.flags().as_str(), both.values().as_str()), (" --revisions a,b --tags t", "revisions={a,b},tags={t}"));
        assert_eq!(both.without(&named(&["a"], &[])).told(), "revision b, tag t");
        assert_eq!(Named::default().flags(), "");
        let is_operators = |one: &Value| one["kind"] == "ClusterRole" && one["metadata"]["name"] == "ferromesh-operator";
        let role = objects("x", &Images::published(), &both).into_iter().find(is_operators).unwrap();
        assert_eq!(Named::of_role(&role).without(&Named::of_role(&operator_role())), both);
    }

    #[test]
    fn names_are_those_that_the_charts_schema_takes() {
        for good in ["canary", "1-31", "a"] {
            assert_eq!(revision(good).as_deref(), Ok(good));
        }
        for bad in ["", "Canary", "a_b", "-a", "a-", "a".repeat(41).as_str()] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(revision("default").is_err() && name("default").is_ok(), "a tag may be called so");
    }
}
