//! Which callers a workload accepts, as PeerAuthentications say it.

use std::{collections::BTreeMap, sync::Arc};

use super::scope::Scope;
use crate::model::{Labels, MtlsMode};

/// What a workload accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    general: MtlsMode,
    ports: BTreeMap<u16, MtlsMode>,
}

impl Accepted {
    /// What it accepts on a port.
    pub(super) fn on(&self, port: u16) -> MtlsMode {
        self.ports.get(&port).copied().unwrap_or(self.general)
    }

    /// What it accepts on ports of which nothing is said.
    pub(super) fn elsewhere(&self) -> MtlsMode {
        self.general
    }

    /// Ports on which it accepts something of its own.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.keys().copied()
    }
}

impl Scope<'_> {
    /// What the proxy's own workload accepts.
    pub(super) fn accepted_here(&self) -> Accepted {
        self.accepted(self.namespace(), |selector| self.selected_by(selector))
    }

    /// What a workload of that namespace accepts; `selects` tells whether labels pick it. The object that names the workload counts
    /// before that of its namespace, and that before the root namespace's; only the first knows ports.
    pub(super) fn accepted(&self, namespace: &Arc<str>, selects: impl Fn(&Labels) -> bool) -> Accepted {
        let root: Arc<str> = self.settings().root_namespace.as_str().into();
        let own = self.peer_authentications(namespace);
        let specific = own.iter().filter(|it| !it.selector.is_empty()).find(|it| selects(&it.selector));
        let general = own.iter().find(|it| it.selector.is_empty());
        let mesh = self.peer_authentications(&root).iter().find(|it| it.selector.is_empty());
        for object in [specific, general, mesh].into_iter().flatten() {
            self.shaped_by(&object.origin);
        }
        let modes = [specific, general, mesh].into_iter().flatten().find_map(|it| it.mode);
        let general = modes.unwrap_or(MtlsMode::Permissive);
        let ports = specific.into_iter().flat_map(|it| &it.ports).map(|(port, mode)| (*port, mode.unwrap_or(general))).collect();
        Accepted { general, ports }
    }
}
