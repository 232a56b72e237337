//! What an object is to the mesh, so that another form can be put in its place.

use std::{collections::BTreeMap, sync::Arc};

use crate::model::{Change, Changes, ConfigObject, HostPattern, ObjectRef, Service, ServiceKey, Snapshot};

/// All that a snapshot has of an object: its configuration, and the services that it declares. Nothing if the object is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::pilot) struct Form {
    config: Option<ConfigObject>,
    services: BTreeMap<ServiceKey, Arc<Service>>,
}

// === impl Form ===

impl Form {
    /// What a snapshot has of an object.
    pub(super) fn of(object: &ObjectRef, snapshot: &Snapshot) -> Self {
        let declared = |key: &ServiceKey| Some((key.clone(), snapshot.services.get(key).filter(|it| it.origin == *object)?.clone()));
        let services = match object.kind {
            "ServiceEntry" => {
                let entry = snapshot.config.service_entries.get(object);
                let key = |host: &HostPattern| ServiceKey { host: host.clone(), namespace: object.namespace.clone() };
                entry.into_iter().flat_map(|entry| &entry.hosts).filter_map(|host| declared(&key(host))).collect()
            }
            "Service" => snapshot.services.keys().filter_map(declared).collect(),
            _ => BTreeMap::new(),
        };
        Self { config: snapshot.config.get(object), services }
    }

    /// The form of a Service that declares this.
    pub(super) fn of_service(service: Option<&Arc<Service>>) -> Self {
        Self { config: None, services: service.map(|service| (service.key.clone(), service.clone())).into_iter().collect() }
    }

    /// Whether the object is not there.
    pub(super) fn is_absent(&self) -> bool {
        self.config.is_none() && self.services.is_empty()
    }

    /// Gives the object this form in a snapshot. Returns what that may change.
    pub(super) fn put(&self, object: &ObjectRef, snapshot: &mut Snapshot) -> Changes {
        let before = Self::of(object, snapshot);
        let mut changes = Changes::from([Change::Config(object.clone())]);
        for key in before.services.keys() {
            snapshot.services.remove_mut(key);
        }
        for (key, service) in &self.services {
            // Somebody else may declare it now.
            if snapshot.services.get(key).is_none() {
                snapshot.services.insert_mut(key.clone(), service.clone());
            }
        }
        match &self.config {
            Some(config) => snapshot.config.insert(config.clone()),
            None => _ = snapshot.config.remove(object),
        }
        changes.extend(before.services.keys().chain(self.services.keys()).cloned().map(Change::Service));
        changes
    }
}
