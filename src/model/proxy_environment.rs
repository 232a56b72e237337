//! The environment by which a proxy's container learns who and where it is: the agent's side of the contract reads it.

use serde_json::{Value, json};

use super::ProxySettings;

/// What the environment of a proxy's container says, in a sidecar and in a gateway alike.
#[derive(Clone, Copy, Debug)]
pub struct ProxyEnvironment<'a> {
    /// `host:port` of citadel.
    pub ca_address: &'a str,
    /// The mesh's trust domain.
    pub trust_domain: &'a str,
    /// The proxy's configuration.
    pub config: &'a ProxySettings,
    /// The name of this cluster in metadata.
    pub cluster: &'a str,
    /// The name of the proxy's workload.
    pub workload: &'a str,
    /// The path of the workload's object, as Istio writes it.
    pub owner: &'a str,
    /// How traffic comes to the proxy: `REDIRECT` or `NONE`.
    pub interception: &'a str,
}

// === impl ProxyEnvironment ===

impl ProxyEnvironment<'_> {
    /// The variables as a container lists them, with `more` and then the user's own from `proxyMetadata`. No name stands there twice.
    pub fn variables(&self, more: impl IntoIterator<Item = (&'static str, String)>) -> Vec<Value> {
        let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let value = |name: &str, value: &str| json!({"name": name, "value": value});
        let mut variables = vec![
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("INSTANCE_IP", "status.podIP"),
            field("HOST_IP", "status.hostIP"),
            field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
            field("NODE_NAME", "spec.nodeName"),
            value("CA_ADDR", self.ca_address),
            value("TRUST_DOMAIN", self.trust_domain),
            value("PROXY_CONFIG", &serde_json::to_string(self.config).unwrap_or_default()),
            value("ISTIO_META_CLUSTER_ID", self.cluster),
            value("ISTIO_META_WORKLOAD_NAME", self.workload),
            value("ISTIO_META_OWNER", self.owner),
            value("ISTIO_META_INTERCEPTION_MODE", self.interception),
        ];
        variables.extend(more.into_iter().map(|(name, text)| value(name, &text)));
        for (name, text) in &self.config.proxy_metadata {
            // The user's word counts; two variables of one name would make the pod one that can't be applied server-side.
            variables.retain(|own| own["name"] != name.as_str());
            variables.push(value(name, text));
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_word_replaces_ours() {
        let own = [("ISTIO_META_CLUSTER_ID".to_owned(), "mine".to_owned()), ("MORE".to_owned(), "theirs".to_owned())];
        let config = ProxySettings { proxy_metadata: own.into(), ..ProxySettings::default() };
        let environment = ProxyEnvironment {
            ca_address: "citadel:15012",
            trust_domain: "td",
            config: &config,
            cluster: "c",
            workload: "web",
            owner: "o",
            interception: "NONE",
        };
        let variables = environment.variables([("MORE", "ours".to_owned())]);
        let values = |name: &str| variables.iter().filter(|it| it["name"] == name).map(|it| it["value"].clone()).collect::<Vec<_>>();
        assert_eq!((values("ISTIO_META_CLUSTER_ID"), values("MORE")), (vec![json!("mine")], vec![json!("theirs")]));
        assert_eq!(values("ISTIO_META_WORKLOAD_NAME"), ["web"]);
    }
}
