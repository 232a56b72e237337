//! Envoy's command line.

use std::time::Duration;

use super::{BOOTSTRAP, ProxyFacts};

/// Envoy's arguments: everything that the bootstrap can't say. `log_level` is one of Envoy's, `parts` are levels of its
/// parts as it writes them, `drain` is how long a changed listener keeps its connections, `overriding` is laid over the bootstrap.
pub fn envoy_arguments(facts: &ProxyFacts, log_level: &str, parts: &str, drain: Duration, overriding: Option<&str>) -> Vec<String> {
    let mut arguments: Vec<String> = ["--config-path", BOOTSTRAP, "--drain-time-s"].map(str::to_owned).into();
    arguments.push(drain.as_secs().to_string());
    // Clients hear at once that they should go, instead of ever more of them over the drain time: a pod has seconds to end.
    arguments.extend(["--drain-strategy", "immediate"].map(str::to_owned));
    // A new Envoy in the place of an old one is the supervisor's work; hot restart would need shared memory.
    arguments.push("--disable-hot-restart".to_owned());
    arguments.extend(["--log-level".to_owned(), log_level.to_owned()]);
    // Pilot may use fields that are newer than they are old; that is no news in each pod's log.
    let quiet = "misc:error";
    let parts = if parts.is_empty() { quiet.to_owned() } else { format!("{quiet},{parts}") };
    arguments.extend(["--component-log-level".to_owned(), parts]);
    // Without it, Envoy starts a worker for each CPU that the container may use.
    if facts.proxy_config.concurrency > 0 {
        arguments.extend(["--concurrency".to_owned(), facts.proxy_config.concurrency.to_string()]);
    }
    arguments.extend(overriding.into_iter().flat_map(|overriding| ["--config-yaml", overriding]).map(str::to_owned));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::node::tests::facts;

    #[test]
    fn concurrency_zero_leaves_it_to_envoy() {
        let mut facts = facts();
        let line = |facts: &ProxyFacts| envoy_arguments(facts, "warning", "", Duration::from_secs(45), None).join(" ");
        assert!(line(&facts).ends_with("--concurrency 2"), "{}", line(&facts));
        facts.proxy_config.concurrency = 0;
        assert!(!line(&facts).contains("concurrency"));
        assert!(line(&facts).contains("--drain-time-s 45"));
    }

    #[test]
    fn levels_of_parts_come_after_ours() {
        let line = envoy_arguments(&facts(), "warning", "misc:debug,filter:trace", Duration::from_secs(45), None).join(" ");
        assert!(line.contains("--component-log-level misc:error,misc:debug,filter:trace"), "{line}");
    }
}
