//! What the path says by which the webhook is called: `/inject/cluster/C/net/N`.
//!
//! A control plane may serve several clusters; each one's webhook configuration then says here whose pods it asks about.

/// Where a call comes from, as far as its path says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// The cluster's name.
    pub(super) cluster: Option<String>,
    /// The network's name.
    pub(super) network: Option<String>,
}

// === impl Call ===

impl Call {
    /// Reads pairs of a key and a value, in which `--slash--` stands for `/`. Keys that nobody knows are passed over.
    pub(super) fn parse(path: &str) -> Self {
        let mut call = Self::default();
        let mut parts = path.split('/').filter(|part| !part.is_empty()).skip(1);
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            let value = value.replace("--slash--", "/");
            match key {
                "cluster" => call.cluster = Some(value),
                "net" => call.network = Some(value),
                _ => {}
            }
        }
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_unknown_ones_passed_over() {
        let of = |path: &str| {
            let Call { cluster, network } = Call::parse(path);
            (cluster.unwrap_or_default(), network.unwrap_or_default())
        };
        let pair = |cluster: &str, network: &str| (cluster.to_owned(), network.to_owned());
        assert_eq!(of("/inject"), pair("", ""));
        assert_eq!(of("/inject/cluster/east/net/n1"), pair("east", "n1"));
        assert_eq!(of("/inject/net/a--slash--b/other/x/cluster/c"), pair("c", "a/b"));
        assert_eq!(of("/inject/net"), pair("", ""));
    }
}
