//! Which Secrets the mesh's gateways need: those that Gateways for them name, and DestinationRules.
//!
//! Their names alone are looked for. Pilot gets the right to read each by its name, and to read no other: the root's key is in the same
//! namespace.

use ferromesh_crds::catalog;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
    runtime::watcher::{self, Event},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{certificates::OWN_SECRET, settings::Gateway};
use crate::config::{ParseContext, parse_object};
use crate::model::{AUTHORITIES_SUFFIX, ConfigObject, Labels};
use crate::runtime::causes;

/// Secrets that the mesh's own parts keep, or names that theirs begin with. Whatever a Gateway says, they are no gateway's.
const RESERVED: [&str; 6] = [
    "istio-ca-secret",
    "cacerts",
    "istio-galley-webhook-certs",
    "istio-sidecar-injector-webhook-certs",
    OWN_SECRET,
    webhook_certs::CA_SECRET,
];

/// A kind of objects that name Secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NamingKind {
    Gateway,
    DestinationRule,
}

/// The Secrets that objects name.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    named: BTreeMap<(NamingKind, String), Named>,
    listed: BTreeSet<NamingKind>,
}

/// What one object names, for pods with these labels.
#[derive(Debug, PartialEq)]
struct Named {
    selector: Labels,
    secrets: BTreeSet<Arc<str>>,
}

// === impl NamingKind ===

impl NamingKind {
    pub(super) const ALL: [Self; 2] = [Self::Gateway, Self::DestinationRule];
    const GROUP: &'static str = "networking.istio.io";

    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "Gateway",
            Self::DestinationRule => "DestinationRule",
        }
    }

    /// All objects of the kind; none if the catalog does not have it.
    pub(super) fn api(self, client: &Client) -> Option<Api<DynamicObject>> {
        let kind = catalog::find(Self::GROUP, self.name())?;
        let version = kind.versions.first()?;
        let resource = ApiResource {
            group: kind.group.to_owned(),
            version: (*version).to_owned(),
            api_version: format!("{}/{version}", kind.group),
            kind: kind.name.to_owned(),
            plural: kind.plural.to_owned(),
        };
        Some(Api::all_with(client.clone(), &resource))
    }
}

// === impl Credentials ===

impl Credentials {
    /// Takes in what a watch says; whether it tells something new.
    pub(super) fn note(&mut self, kind: NamingKind, event: watcher::Result<Event<DynamicObject>>) -> bool {
        match event {
            Ok(Event::Init) => {
                self.named.retain(|(other, _), _| *other != kind);
                self.listed.remove(&kind);
                false
            }
            Ok(Event::InitDone) => self.listed.insert(kind),
            Ok(Event::InitApply(object)) => {
                self.keep(kind, object);
                false
            }
            Ok(Event::Apply(object)) => self.keep(kind, object),
            Ok(Event::Delete(object)) => self.named.remove(&(kind, full_name(&object))).is_some(),
            Err(error) => {
                tracing::warn!(cause = causes(&error), kind = kind.name(), "watch broken");
                false
            }
        }
    }

    /// The names of the Secrets that pods of these gateways may need; none while not all objects are known.
    pub(super) fn of(&self, gateways: &[Gateway]) -> Option<BTreeSet<String>> {
        if self.listed.len() < NamingKind::ALL.len() {
            return None;
        }
        let selected = |named: &&Named| gateways.iter().any(|gateway| selects(&named.selector, gateway));
        let names = self.named.values().filter(selected).flat_map(|named| &named.secrets);
        let both = names.flat_map(|name| [name.to_string(), format!("{name}{AUTHORITIES_SUFFIX}")]);
        Some(both.filter(|name| !RESERVED.iter().any(|reserved| name.starts_with(reserved))).collect())
    }

    fn keep(&mut self, kind: NamingKind, object: DynamicObject) -> bool {
        let key = (kind, full_name(&object));
        match Named::by(kind, object) {
            Some(named) => self.named.get(&key) != Some(&named) && self.named.insert(key, named).is_none_or(|_| true),
            None => self.named.remove(&key).is_some(),
        }
    }
}

// === impl Named ===

impl Named {
    /// `None` if the object names none, or is not understood: pilot makes nothing of it either.
    fn by(kind: NamingKind, object: DynamicObject) -> Option<Self> {
        let json = serde_json::to_value(object).ok()?;
        let parsed = parse_object(NamingKind::GROUP, kind.name(), &json, &ParseContext::default()).ok()?;
        let (selector, secrets): (_, BTreeSet<Arc<str>>) = match parsed.value {
            ConfigObject::Gateway(gateway) => {
                let tls = gateway.servers.iter().filter_map(|server| server.tls.as_ref());
                (gateway.selector.clone(), tls.flat_map(|tls| tls.secrets()).cloned().collect())
            }
            ConfigObject::DestinationRule(rule) => {
                let secrets = rule.client_tls().filter_map(|tls| tls.credential_name.clone()).collect();
                (rule.workload_selector.clone().unwrap_or_default(), secrets)
            }
            _ => return None,
        };
        (!secrets.is_empty()).then_some(Self { selector, secrets })
    }
}

fn full_name(object: &DynamicObject) -> String {
    let metadata = &object.metadata;
    format!("{}/{}", metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// Whether a selector picks a gateway's pods.
fn selects(selector: &Labels, gateway: &Gateway) -> bool {
    selector.iter().all(|(name, value)| match gateway.labels.get(&**name) {
        Some(found) => **found == **value,
        None => &**name == "app" && gateway.name == **value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::settings::{Images, resolve};
    use serde_json::{Value, json};

    fn known(objects: &[Value]) -> Credentials {
        let mut credentials = Credentials::default();
        for kind in NamingKind::ALL {
            credentials.note(kind, Ok(Event::Init));
            for object in objects.iter().filter(|object| object["kind"] == kind.name()) {
                credentials.note(kind, Ok(Event::InitApply(serde_json::from_value(object.clone()).unwrap())));
            }
            credentials.note(kind, Ok(Event::InitDone));
        }
        credentials
    }

    fn gateways() -> Vec<Gateway> {
        let images = Images { hub: "hub".to_owned(), tag: "1".to_owned(), pull_policy: "Always".to_owned() };
        resolve(&serde_json::from_value(json!({})).unwrap(), &images).unwrap().gateways
    }

    fn gateway(selector: &Value, credential: &str) -> Value {
        let tls = json!({"mode": "MUTUAL", "credentialName": credential});
        let server = json!({"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["a.example"], "tls": tls});
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": credential, "namespace": "shop"},
            "spec": {"selector": selector, "servers": [server]},
        })
    }

    fn named(objects: &[Value]) -> Vec<String> {
        known(objects).of(&gateways()).unwrap().into_iter().collect()
    }

    #[test]
    fn what_gateways_of_the_mesh_need_is_named_and_nothing_else() {
        let ingress = json!({"istio": "ingressgateway"});
        assert_eq!(named(&[gateway(&ingress, "web")]), ["web", "web-cacert"]);
        assert_eq!(named(&[gateway(&json!({"app": "istio-ingressgateway"}), "web")]), ["web", "web-cacert"]);
        assert_eq!(named(&[gateway(&json!({"istio": "of-another-team"}), "web")]), Vec::<String>::new());
        let rule = |selector: Value| {
            let tls = json!({"mode": "SIMPLE", "credentialName": "upstream"});
            json!({
                "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "up", "namespace": "shop"},
                "spec": {"host": "a.example", "trafficPolicy": {"tls": tls}, "workloadSelector": selector},
            })
        };
        assert_eq!(named(&[rule(Value::Null)]), ["upstream", "upstream-cacert"]);
        assert_eq!(named(&[rule(json!({"matchLabels": {"app": "client"}}))]), Vec::<String>::new());
    }

    #[test]
    fn no_gateway_gets_the_meshs_own_secrets() {
        let ingress = json!({"istio": "ingressgateway"});
        for reserved in RESERVED {
            assert_eq!(named(&[gateway(&ingress, reserved)]), Vec::<String>::new());
        }
    }

    #[test]
    fn nothing_is_said_before_everything_is_known() {
        let mut credentials = Credentials::default();
        credentials.note(NamingKind::Gateway, Ok(Event::InitDone));
        assert_eq!(credentials.of(&gateways()), None);
    }
}
