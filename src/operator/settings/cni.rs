//! How the nodes' part works: where nodes keep their network's configuration, and what becomes of pods that it missed.

use ferromesh_crds::install::Component;
use serde_json::Value;
use std::collections::BTreeMap;

use super::Problem;
use crate::model::PodRepair;

/// The namespace of the nodes' part, which has nothing else in it: its pods use folders of their node, which the mesh's own namespace need
/// not allow.
pub(in crate::operator) const NODES: &str = "istio-cni";

/// Settings of the nodes' part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) struct Cni {
    /// The node's folder of network plugins.
    pub(in crate::operator) bin_dir: String,
    /// The node's folder of network configurations.
    pub(in crate::operator) conf_dir: String,
    /// What becomes of pods that started without their rules.
    pub(in crate::operator) repair: PodRepair,
}

// === impl Cni ===

impl Cni {
    /// Reads the old values that say it: each by the end of its path. The order of precedence is the reference's.
    pub(super) fn read(values: &BTreeMap<String, Value>, problems: &mut Vec<Problem>) -> Self {
        let mut wrong = |path: &str, reason: &str| problems.push(Problem::new(format!("spec.values.cni.{path}"), reason));
        let mut folder = |path: &str, usual: &str| match values.get(path) {
            None => usual.to_owned(),
            Some(Value::String(folder)) if folder.starts_with('/') && !folder.contains("..") => folder.clone(),
            Some(_) => {
                wrong(path, "must be an absolute path on the nodes");
                usual.to_owned()
            }
        };
        let (bin_dir, conf_dir) = (folder("cniBinDir", "/opt/cni/bin"), folder("cniConfDir", "/etc/cni/net.d"));
        let mut says = |path: &str, usual: bool| match values.get(path) {
            None => usual,
            Some(Value::Bool(says)) => *says,
            Some(_) => {
                wrong(path, "must be true or false");
                usual
            }
        };
        // Who asks for deleting or labelling does not want the pods changed in place.
        let (delete, label) = (says("repair.deletePods", false), says("repair.labelPods", false));
        let (on, fix) = (says("repair.enabled", true), says("repair.repairPods", !(delete || label)));
        let repair = match (on, fix, delete, label) {
            (true, true, ..) => PodRepair::Fix,
            (true, false, true, _) => PodRepair::Delete,
            (true, false, false, true) => PodRepair::Label,
            _ => PodRepair::Off,
        };
        Self { bin_dir, conf_dir, repair }
    }
}

/// What a part that runs once on each node can't be told.
pub(super) fn problems(component: &Component, path: &str) -> Vec<Problem> {
    let reason = "has no effect: there is one on each node";
    let found = [
        ("replicas", component.replicas.is_some()),
        ("autoscaling", component.autoscaling.is_some()),
        ("topologySpreadConstraints", !component.topology_spread_constraints.is_empty()),
    ];
    found.into_iter().filter(|(_, set)| *set).map(|(field, _)| Problem::new(format!("{path}.{field}"), reason)).collect()
}
