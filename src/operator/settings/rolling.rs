//! Whether, and how fast, the operator restarts workloads.

use ferromesh_crds::install::{UpdateStrategy, WorkloadUpdate};

use super::Problem;

/// The limits within which workloads are restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolling {
    /// So many workloads at once.
    pub workloads: usize,
    /// So many pods more than usual at once, over all workloads.
    pub surge: i64,
    /// Whether those are restarted whose pods lack a sidecar.
    pub missed: bool,
    /// Whether those are restarted whose sidecars are old.
    pub outdated: bool,
}

// === impl Rolling ===

impl Rolling {
    /// Reads `spec.updateStrategy`; none if workloads are their owners' to restart.
    pub(super) fn read(strategy: &UpdateStrategy, problems: &mut Vec<Problem>) -> Option<Self> {
        let limits = strategy.rolling.clone();
        if strategy.workloads != Some(WorkloadUpdate::Rolling) {
            if limits.is_some() {
                problems.push(Problem::new("spec.updateStrategy.rolling", "has an effect only with workloads: Rolling"));
            }
            return None;
        }
        let limits = limits.unwrap_or_default();
        Some(Self {
            workloads: limits.max_workloads.and_then(|most| usize::try_from(most).ok()).unwrap_or(1),
            surge: limits.max_surge_pods.map_or(10, i64::from),
            missed: limits.missed.unwrap_or(true),
            outdated: limits.outdated.unwrap_or(true),
        })
    }

    /// The limits within which two sets of workloads are restarted together.
    pub(in crate::operator) fn narrower(self, other: Self) -> Self {
        Self { workloads: self.workloads.min(other.workloads), surge: self.surge.min(other.surge), ..self }
    }
}
