//! Where a proxy is on its way from start to end.

use std::time::Instant;

/// The phases, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Children that fall are brought back.
    Running,
    /// The agent drains Envoy, and has until then.
    Draining { until: Instant },
    /// Both were asked to end, and have until then.
    Ending { until: Instant },
    /// Both were killed.
    Killed,
}
