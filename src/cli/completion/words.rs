//! What the words typed so far say of the cluster and the namespace that are meant.

use std::ffi::OsString;

use crate::cli::cluster::ClusterArgs;

/// The words typed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(Vec<String>);

// === impl Words ===

impl Words {
    /// Those that are text.
    pub(super) fn of(words: &[OsString]) -> Self {
        Self(words.iter().map(|word| word.to_string_lossy().into_owned()).collect())
    }

    /// The cluster that is meant.
    pub(super) fn cluster(&self) -> ClusterArgs {
        let [context, as_user] = ["--context", "--as"].map(|flag| self.value(&[flag]));
        ClusterArgs { kubeconfig: self.value(&["--kubeconfig", "-c"]).map(Into::into), context, as_user }
    }

    /// The namespace that is meant, if one is named.
    pub(super) fn namespace(&self) -> Option<String> {
        self.value(&["--namespace", "-n"])
    }

    /// The value of a flag by any of its names, as `--flag value`, `--flag=value` or `-fvalue`; the last counts.
    fn value(&self, flags: &[&str]) -> Option<String> {
        let value = |(at, word): (usize, &String)| {
            flags.iter().find_map(|flag| match word.strip_prefix(flag)? {
                "" => self.0.get(at + 1).filter(|next| !next.is_empty()).cloned(),
                rest if flag.starts_with("--") => rest.strip_prefix('=').map(str::to_owned),
                rest => Some(rest.trim_start_matches('=').to_owned()),
            })
        };
        self.0.iter().enumerate().rev().find_map(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_found_however_they_are_written() {
        let namespace = |line: &str| Words::of(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).namespace();
        for line in ["ps -n shop", "ps --namespace shop web", "ps -n=shop", "ps -nshop", "ps --namespace=shop", "-n other ps -n shop"] {
            assert_eq!(namespace(line).as_deref(), Some("shop"), "{line}");
        }
        for line in ["ps shop", "ps --namespaces=shop", "ps -n "] {
            assert_eq!(namespace(line), None, "{line}");
        }
        let cluster = Words::of(&["--context=test", "--kubeconfig", "file"].map(OsString::from)).cluster();
        assert_eq!((cluster.context.as_deref(), cluster.kubeconfig), (Some("test"), Some("file".into())));
    }
}
