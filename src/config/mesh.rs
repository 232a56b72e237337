//! MeshConfig: the settings of the whole mesh, as YAML.

use std::time::Duration;

use super::destination_rule::locality_defects;
use super::problem::{Code, Invalid, Problem, quoted};
use super::virtual_service::is_retry_condition;
use crate::model::{HttpRetry, LocalityBalancing, MeshConfig, MeshNetwork, ProxySettings, parse_duration};

/// Reads a MeshConfig. An empty text is all defaults.
///
/// # Errors
/// When the text is no YAML, has a field that the mesh does not honour (its name is in the message), or a value that makes no sense.
pub fn mesh_config(text: &str) -> Result<MeshConfig, Invalid> {
    if text.trim().is_empty() {
        return Ok(MeshConfig::default());
    }
    let mesh: MeshConfig = serde_saphyr::from_str(text).map_err(|error| Invalid {
        errors: vec![Problem { path: String::new(), message: one_line(&error.to_string()), code: Code::Unreadable }],
        more: 0,
    })?;
    let errors = mesh_problems(&mesh);
    if errors.is_empty() { Ok(mesh) } else { Err(Invalid { errors, more: 0 }) }
}

/// The values of a MeshConfig that make no sense; none if the control plane can run on it.
pub fn mesh_problems(mesh: &MeshConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |path: &str, code, message: String| problems.push(Problem { path: path.to_owned(), message, code });
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    if mesh.trust_domain.is_empty() || !mesh.trust_domain.chars().all(legal) {
        let message = format!("{} may hold lower-case letters, digits, '.', '-' and '_' only", quoted(&mesh.trust_domain));
        report("trustDomain", Code::BadName, message);
    }
    // Hosts may have capitals, names of namespaces may not.
    let namespace = &mesh.root_namespace;
    if !super::hosts::is_label(namespace) || namespace.contains(|c: char| c.is_ascii_uppercase()) {
        report("rootNamespace", Code::BadName, format!("{} is no name of a namespace", quoted(&mesh.root_namespace)));
    }
    problems.extend(duration_problem("connectTimeout", &mesh.connect_timeout, Duration::from_millis(1)));
    problems.extend(duration_problem("dnsRefreshRate", &mesh.dns_refresh_rate, Duration::from_millis(1)));
    problems.extend(duration_problem("protocolDetectionTimeout", &mesh.protocol_detection_timeout, Duration::ZERO));
    problems.extend(locality_problems(&mesh.locality_lb_setting, "localityLbSetting"));
    problems.extend(mesh.mesh_networks.iter().flatten().flat_map(|(name, network)| network_problems(name, network)));
    problems.extend(retry_problem("defaultHttpRetryPolicy", mesh.default_http_retry_policy.as_ref()));
    problems.extend(proxy_problems(&mesh.default_config, "defaultConfig."));
    problems
}

/// What makes no sense in the mesh's `localityLbSetting`; the rules are those of a DestinationRule's.
fn locality_problems(setting: &LocalityBalancing, at: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |path: String, code, message: String| problems.push(Problem { path, message, code });
    if !setting.distribute.is_empty() && !setting.failover.is_empty() {
        report(at.to_owned(), Code::Conflict, "distribute and failover exclude each other".to_owned());
    }
    let sources: Vec<&str> = setting.distribute.iter().map(|one| &*one.from).collect();
    for (index, defect) in locality_defects(&sources) {
        report(format!("{at}.distribute[{index}].from"), Code::BadName, defect);
    }
    for (index, one) in setting.distribute.iter().enumerate() {
        let at = format!("{at}.distribute[{index}].to");
        let sum: u64 = one.to.values().map(|share| u64::from(*share)).sum();
        if sum != 100 {
            report(at.clone(), Code::BadWeights, format!("shares add up to {sum}, not 100"));
        }
        let localities: Vec<&str> = one.to.keys().map(|locality| &**locality).collect();
        for (index, defect) in locality_defects(&localities) {
            report(format!("{at}.{}", localities[index]), Code::BadName, defect);
        }
    }
    for (index, (from, _)) in setting.failover.iter().enumerate().filter(|(_, (from, to))| from == to) {
        report(format!("{at}.failover[{index}]"), Code::Conflict, format!("{} can't stand in for itself", quoted(from)));
    }
    problems
}

/// What makes no sense in one of the mesh's networks.
fn network_problems(name: &str, network: &MeshNetwork) -> Vec<Problem> {
    let gateways = network.gateways.iter().enumerate();
    let wrong = gateways.filter_map(|(index, gateway)| match (gateway.port, gateway.address, &gateway.registry_service_name) {
        (0, ..) => Some((format!("gateways[{index}].port"), "0 is no port", Code::OutOfRange)),
        (_, None, None) => Some((format!("gateways[{index}]"), "give address or registryServiceName", Code::Required)),
        (_, Some(_), Some(_)) => Some((format!("gateways[{index}]"), "address and registryServiceName exclude each other", Code::Conflict)),
        _ => None,
    });
    let path = |at: String| format!("meshNetworks.{name}.{at}");
    wrong.map(|(at, message, code)| Problem { path: path(at), message: message.to_owned(), code }).collect()
}

/// What makes no sense in the mesh's policy for retries.
fn retry_problem(at: &str, retry: Option<&HttpRetry>) -> Option<Problem> {
    let conditions = retry?.retry_on.split(',').map(str::trim).filter(|condition| !condition.is_empty());
    let unknown = conditions.into_iter().find(|condition| !is_retry_condition(condition))?;
    let message = format!("{} is no condition for retries", quoted(unknown));
    Some(Problem { path: format!("{at}.retryOn"), message, code: Code::NotAllowed })
}

/// The values of a ProxyConfig that make no sense to a proxy; `at` is what stands before the fields' names in their paths.
pub fn proxy_problems(proxy: &ProxySettings, at: &str) -> Vec<Problem> {
    let durations = [("terminationDrainDuration", &proxy.termination_drain_duration), ("drainDuration", &proxy.drain_duration)];
    let wrong = durations.into_iter().filter_map(|(name, text)| duration_problem(&format!("{at}{name}"), text, Duration::ZERO));
    let mut problems: Vec<Problem> = wrong.collect();
    if proxy.status_port == 0 {
        problems.push(Problem { path: format!("{at}statusPort"), message: "0 is no port".to_owned(), code: Code::OutOfRange });
    }
    for name in ["ISTIO_OUTBOUND_OWNER_GROUPS", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"] {
        let groups = proxy.proxy_metadata.get(name).map_or("", String::as_str);
        let mut groups = groups.split(',').map(str::trim).filter(|group| !group.is_empty());
        if let Some(wrong) = groups.find(|group| *group != "*" && group.parse::<u32>().is_err()) {
            let message = format!("{} is no number of a group; names of groups are not known in the proxy's container", quoted(wrong));
            problems.push(Problem { path: format!("{at}proxyMetadata.{name}"), message, code: Code::OutOfRange });
        }
    }
    problems
}

fn duration_problem(path: &str, text: &str, least: Duration) -> Option<Problem> {
    if parse_duration(text).is_some_and(|duration| duration >= least) {
        return None;
    }
    let bound = if least.is_zero() { "" } else { " of at least 1ms" };
    let message = format!("{} is no duration{bound} such as 500ms, 2.5s or 1h30m", quoted(text));
    Some(Problem { path: path.to_owned(), message, code: Code::BadDuration })
}

/// The first line of a parser's message, which names the place; the rest is an excerpt of the text.
fn one_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        mesh_config(text).unwrap_err().to_string()
    }

    #[test]
    fn absent_fields_have_their_defaults() {
        assert_eq!(mesh_config("").unwrap(), MeshConfig::default());
        assert_eq!(mesh_config("accessLogFile: /dev/stdout\n").unwrap().trust_domain, "cluster.local");
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = error("defaultConfig:\n  concurency: 2\n");
        assert!(error.contains("concurency") && error.ends_with("(FM0101)") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn a_namespace_has_no_capitals() {
        assert_eq!(error("rootNamespace: Shop\n"), "rootNamespace: \"Shop\" is no name of a namespace (FM0111)");
        assert!(mesh_config("rootNamespace: shop-1\n").is_ok());
    }

    #[test]
    fn values_without_sense_are_named_all_at_once() {
        let text = "trustDomain: a/b\nrootNamespace: a_b\nconnectTimeout: 0s\ndefaultConfig:\n  drainDuration: soon\n  statusPort: 0\n";
        insta::assert_snapshot!(error(text).replace("; ", "\n"), @r#"
        trustDomain: "a/b" may hold lower-case letters, digits, '.', '-' and '_' only (FM0111)
        rootNamespace: "a_b" is no name of a namespace (FM0111)
        connectTimeout: "0s" is no duration of at least 1ms such as 500ms, 2.5s or 1h30m (FM0113)
        defaultConfig.drainDuration: "soon" is no duration such as 500ms, 2.5s or 1h30m (FM0113)
        defaultConfig.statusPort: 0 is no port (FM0106)
        "#);
    }

    #[test]
    fn traffic_of_the_mesh_is_checked_as_rules_are() {
        let text = "
localityLbSetting:
  distribute:
  - {from: r1/z1, to: {r1/*: 50, r1/z1: 40}}
  - {from: r1/z1, to: {'a*b': 100}}
  failover: [{from: r1, to: r1}]
defaultHttpRetryPolicy: {attempts: 1, retryOn: 'connect-failure,sometimes'}
dnsRefreshRate: 0s
protocolDetectionTimeout: soon
";
        insta::assert_snapshot!(error(text).replace("; ", "\n"), @r#"
        dnsRefreshRate: "0s" is no duration of at least 1ms such as 500ms, 2.5s or 1h30m (FM0113)
        protocolDetectionTimeout: "soon" is no duration such as 500ms, 2.5s or 1h30m (FM0113)
        localityLbSetting: distribute and failover exclude each other (FM0108)
        localityLbSetting.distribute[1].from: "r1/z1" is named twice (FM0111)
        localityLbSetting.distribute[0].to: shares add up to 90, not 100 (FM0112)
        localityLbSetting.distribute[0].to.r1/z1: "r1/z1" lies within "r1", which has a share of its own (FM0111)
        localityLbSetting.distribute[1].to.a*b: "a*b": '*' stands once, and at the end (FM0111)
        localityLbSetting.failover[0]: "r1" can't stand in for itself (FM0108)
        defaultHttpRetryPolicy.retryOn: "sometimes" is no condition for retries (FM0105)
        "#);
        assert!(error("defaultHttpRetryPolicy: {attempts: 1, perTryTimeout: soon}").contains("\"soon\" is no duration"));
        let text = "
meshNetworks:
  far: {gateways: [{port: 0, address: 192.0.2.1}, {port: 443}, {port: 443, address: 192.0.2.1, registryServiceName: a.b.svc}]}
";
        insta::assert_snapshot!(error(text).replace("; ", "\n"), @r#"
        meshNetworks.far.gateways[0].port: 0 is no port (FM0106)
        meshNetworks.far.gateways[1]: give address or registryServiceName (FM0103)
        meshNetworks.far.gateways[2]: address and registryServiceName exclude each other (FM0108)
        "#);
        assert!(error("meshNetworks: {far: {endpoints: [{fromRegistry: Kubernetes}]}}").contains("fromRegistry"));
        assert!(error("pathNormalization: {normalization: SOME}").contains("SOME"));
    }
}
