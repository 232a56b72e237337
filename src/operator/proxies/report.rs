//! What is told of the proxies.

use super::Synced;

/// What the MeshInstall's status says of the proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::operator) struct Tally {
    /// Whether a namespace chooses the control plane.
    pub(in crate::operator) chosen: bool,
    /// Pods of the mesh with a sidecar.
    pub(in crate::operator) total: usize,
    /// Pods of the mesh's own gateways.
    pub(in crate::operator) gateways: usize,
    /// Whether the proxies of both have what they are told; none while that isn't known.
    pub(in crate::operator) synced: Option<Synced>,
    /// Pods beside these that are on their way out, whose proxies serve until they are gone.
    pub(in crate::operator) leaving: usize,
    /// The namespaces that choose the control plane or have its sidecars; the first few, in order.
    pub(in crate::operator) namespaces: Vec<String>,
    /// Pods that should have one and have none.
    pub(in crate::operator) missed: usize,
    /// Pods whose sidecar is another than a new pod would get.
    pub(in crate::operator) outdated: usize,
    /// Workloads with such pods, as `Deployment shop/web`; the first few, in order.
    pub(in crate::operator) workloads: Vec<String>,
    /// A restart that gets no further, and why; others wait for it.
    pub(in crate::operator) stuck: Option<String>,
    /// Why workloads with such pods are not restarted, one sentence each; the first few.
    pub(in crate::operator) left: Vec<String>,
    /// Whether the operator restarts workloads itself.
    pub(in crate::operator) rolling: bool,
}

/// So many workloads are named, and so many namespaces.
pub(super) const NAMED: usize = 3;

// === impl Tally ===

impl Tally {
    /// Whether all proxies are as they should be.
    pub(in crate::operator) fn is_well(&self) -> bool {
        self.missed == 0 && self.outdated == 0 && self.stuck.is_none() && self.stale() == 0
    }

    /// Proxies that are known not to have what they are told.
    pub(in crate::operator) fn stale(&self) -> usize {
        self.synced.map_or(0, |synced| synced.stale)
    }

    /// All proxies.
    pub(in crate::operator) fn proxies(&self) -> usize {
        self.total + self.gateways
    }

    /// The same, but for how many are well: that changes all the time and is worth no haste, unless the last one goes.
    pub(super) fn tells_the_same_as(&self, other: &Self) -> bool {
        let told = |tally: &Self| Self {
            total: tally.total.min(1),
            leaving: tally.leaving.min(1),
            synced: tally.synced.map(|synced| Synced { synced: 0, ..synced }),
            ..tally.clone()
        };
        told(self) == told(other)
    }

    /// Who has or chooses the control plane; none if nobody does.
    pub(in crate::operator) fn users(&self) -> Option<String> {
        let proxies = self.total + self.leaving;
        if proxies == 0 && !self.chosen {
            return None;
        }
        let of = if self.namespaces.is_empty() { String::new() } else { format!(" of namespaces {}", self.namespaces.join(", ")) };
        Some(match proxies {
            0 => format!("the label{of}"),
            1 => format!("1 proxy{of}"),
            _ => format!("{proxies} proxies{of}"),
        })
    }

    /// What is not as it should be, and what to do.
    pub(in crate::operator) fn message(&self) -> String {
        if let Some(stuck) = &self.stuck {
            return format!("{stuck}; no other workload is restarted until that is mended or undone");
        }
        let counted =
            |count: usize, what: &str| (count > 0).then(|| format!("{count} {}{what}", if count == 1 { "pod " } else { "pods " }));
        let counts = [counted(self.missed, "without the sidecar that their labels ask for"), counted(self.outdated, "with an old sidecar")];
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        let stale = match self.stale() {
            0 => None,
            1 => Some("1 proxy lacks what pilot told it: ferromesh proxy-status".to_owned()),
            stale => Some(format!("{stale} proxies lack what pilot told them: ferromesh proxy-status")),
        };
        if counts.is_empty() {
            return stale.unwrap_or_default();
        }
        let more = if self.workloads.len() >= NAMED { " and perhaps others" } else { "" };
        let of = if self.workloads.is_empty() { String::new() } else { format!(" ({}{more})", self.workloads.join(", ")) };
        let remedy = match (self.left.first(), self.rolling) {
            (Some(left), _) => left.clone(),
            (None, true) => "they are being restarted".to_owned(),
            (None, false) => "restart them: kubectl rollout restart".to_owned(),
        };
        let pods = format!("{}{of}: {remedy}", counts.join(", "));
        [Some(pods), stale].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_names_and_says_what_to_do() {
        let tally = Tally { missed: 2, outdated: 1, workloads: vec!["Deployment shop/web".to_owned()], ..Tally::default() };
        assert_eq!(
            tally.message(),
            "2 pods without the sidecar that their labels ask for, 1 pod with an old sidecar (Deployment shop/web): restart them: kubectl rollout restart"
        );
        assert!(Tally { rolling: true, ..tally.clone() }.message().ends_with(": they are being restarted"));
        let synced = Some(Synced { synced: 4, stale: 2 });
        let stale = "2 proxies lack what pilot told them: ferromesh proxy-status";
        assert!(Tally { synced, ..tally.clone() }.message().ends_with(&format!("kubectl rollout restart; {stale}")));
        let only = Tally { synced, ..Tally::default() };
        assert!(only.message() == stale && !only.is_well());
        let more = |synced, stale| Tally { synced: Some(Synced { synced, stale }), ..Tally::default() };
        assert!(more(5, 2).tells_the_same_as(&only) && !more(4, 1).tells_the_same_as(&only), "haste is for what is amiss");
        let stuck = Tally { stuck: Some("Deployment shop/web gets no further".to_owned()), ..tally };
        assert!(stuck.message().starts_with("Deployment shop/web gets no further; ") && !stuck.is_well());
    }
}
