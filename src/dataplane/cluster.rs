//! The objects of Kubernetes that every test needs, as YAML.

/// A Service, `port` as `NAME:NUMBER`, and for each backend, a version and a port of loopback, a ready pod (`NAME-VERSION`) that listens
/// there.
pub(super) fn service(namespace: &str, name: &str, port: &str, backends: &[(&str, u16)]) -> String {
    let (port_name, number) = port.split_once(':').unwrap_or_else(|| panic!("{port} is not NAME:NUMBER"));
    let mut yaml = format!(
        "
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  clusterIP: 10.0.0.{last}
  selector: {{app: {name}}}
  ports: [{{name: {port_name}, port: {number}}}]
",
        // Any that differs from name to name.
        last = name.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)).max(1),
    );
    for (version, target) in backends {
        let pod = format!("{name}-{version}");
        yaml += &self::pod(namespace, &pod, &format!("app: {name}, version: {version}"));
        yaml += &format!(
            "
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {pod}, namespace: {namespace}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: {port_name}, port: {target}}}]
endpoints:
- addresses: [127.0.0.1]
  conditions: {{ready: true}}
  targetRef: {{kind: Pod, name: {pod}, namespace: {namespace}}}
"
        );
    }
    yaml
}

/// A ready pod at 127.0.0.1, which has no sidecar; labels as in a YAML map without its braces.
pub(super) fn pod(namespace: &str, name: &str, labels: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}
spec: {{nodeName: node-0, serviceAccountName: {name}, containers: [{{name: app, image: app}}]}}
status: {{phase: Running, podIP: 127.0.0.1, conditions: [{{type: Ready, status: \"True\"}}]}}
"
    )
}

/// The pod of the ingress gateway: `istio-system/gateway`, labelled `istio: ingressgateway`.
pub(super) fn ingress_gateway() -> String {
    pod("istio-system", "gateway", "istio: ingressgateway")
}
