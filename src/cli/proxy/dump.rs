//! Envoy's own account of its configuration: the page `/config_dump` of its admin port, taken apart.

use serde_json::{Value, json};

use crate::cli::exit::{Exit, Failure};

/// What an Envoy, or a file, told.
#[derive(Clone, Debug)]
pub(super) struct Dump {
    sections: Vec<Value>,
    /// The page `/clusters?format=json`, if that was asked for or saved.
    statuses: Vec<Value>,
}

/// A resource, with the version under which it came; none for what stands in the bootstrap.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) resource: Value,
}

/// A secret, with what it is doing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HeldSecret {
    pub(super) state: &'static str,
    pub(super) secret: Value,
}

// === impl Dump ===

impl Dump {
    /// Reads a page: a dump of the configuration, or the state of the clusters.
    ///
    /// # Errors
    /// When it is neither.
    pub(super) fn parse(text: &str, from: &str) -> Result<Self, Failure> {
        let wrong = |reason: &str| Failure::new(Exit::Unreadable, format_args!("{from} is no dump of Envoy's configuration: {reason}"));
        let mut page: Value = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
        let list = |page: &mut Value, name: &str| page.get_mut(name).and_then(Value::as_array_mut).map(std::mem::take);
        match (list(&mut page, "configs"), list(&mut page, "cluster_statuses")) {
            (None, None) => Err(wrong("it has neither configs nor cluster_statuses")),
            (sections, statuses) => Ok(Self { sections: sections.unwrap_or_default(), statuses: statuses.unwrap_or_default() }),
        }
    }

    /// Takes the state of the clusters from another page.
    pub(super) fn with_statuses(mut self, other: Self) -> Self {
        self.statuses = other.statuses;
        self
    }

    fn section(&self, name: &str) -> Option<&Value> {
        self.sections.iter().find(|section| section["@type"].as_str().is_some_and(|it| it.ends_with(&format!("admin.v3.{name}"))))
    }

    /// What an array of a section holds, each entry's resource under `within`.
    fn held(&self, section: &str, list: &str, within: &[&str]) -> Vec<Held> {
        let entries = self.section(section).and_then(|section| section[list].as_array()).into_iter().flatten();
        let held = |entry: &Value| {
            let (last, outer) = within.split_last()?;
            let holder = outer.iter().fold(entry, |value, name| &value[*name]);
            let resource = holder.get(*last)?;
            let name = resource["name"].as_str().or(resource["cluster_name"].as_str()).or(entry["name"].as_str()).unwrap_or_default();
            let version = holder["version_info"].as_str().unwrap_or_default();
            Some(Held { name: name.to_owned(), version: version.to_owned(), resource: resource.clone() })
        };
        entries.filter_map(held).collect()
    }

    /// The clusters, those of the bootstrap first.
    pub(super) fn clusters(&self) -> Vec<Held> {
        let of = |list| self.held("ClustersConfigDump", list, &["cluster"]);
        [of("static_clusters"), of("dynamic_active_clusters"), of("dynamic_warming_clusters")].concat()
    }

    /// The listeners, those of the bootstrap first.
    pub(super) fn listeners(&self) -> Vec<Held> {
        let of = |list, within: &[&str]| self.held("ListenersConfigDump", list, within);
        [of("static_listeners", &["listener"]), of("dynamic_listeners", &["active_state", "listener"])].concat()
    }

    /// The route tables, those within listeners first. Virtual hosts that the proxy got by themselves have the names that they have in
    /// tables that are sent whole.
    pub(super) fn routes(&self) -> Vec<Held> {
        let of = |list| self.held("RoutesConfigDump", list, &["route_config"]);
        let mut tables = [of("static_route_configs"), of("dynamic_route_configs")].concat();
        for table in &mut tables {
            let prefix = format!("{}/", table.name);
            for host in table.resource["virtual_hosts"].as_array_mut().into_iter().flatten() {
                let short = host["name"].as_str().and_then(|name| name.strip_prefix(&prefix)).map(str::to_owned);
                if let Some(short) = short {
                    host["name"] = short.into();
                }
            }
        }
        tables
    }

    /// The endpoints, if the page was asked to hold them.
    pub(super) fn endpoints(&self) -> Vec<Held> {
        let of = |list| self.held("EndpointsConfigDump", list, &["endpoint_config"]);
        [of("static_endpoint_configs"), of("dynamic_endpoint_configs")].concat()
    }

    /// The clusters with their endpoints as Envoy sees them at present.
    pub(super) fn statuses(&self) -> &[Value] {
        &self.statuses
    }

    /// The bootstrap.
    pub(super) fn bootstrap(&self) -> Option<&Value> {
        self.section("BootstrapConfigDump").map(|section| &section["bootstrap"])
    }

    /// The secrets. Envoy itself leaves keys out of the page.
    pub(super) fn secrets(&self) -> Vec<HeldSecret> {
        let lists = [("static_secrets", "ACTIVE"), ("dynamic_active_secrets", "ACTIVE"), ("dynamic_warming_secrets", "WARMING")];
        let section = self.section("SecretsConfigDump");
        let entries = lists.into_iter().flat_map(|(list, state)| {
            let entries = section.and_then(|section| section[list].as_array()).into_iter().flatten();
            entries.map(move |entry| (entry, state))
        });
        let secret = |(entry, state): (&Value, &'static str)| {
            let mut secret = entry.get("secret").cloned().unwrap_or_else(|| json!({}));
            if secret.get("name").is_none() {
                secret["name"] = entry["name"].clone();
            }
            HeldSecret { state, secret }
        };
        entries.map(secret).collect()
    }

    /// All of it, for programs.
    pub(super) fn whole(&self) -> Value {
        json!({"configs": self.sections})
    }
}
