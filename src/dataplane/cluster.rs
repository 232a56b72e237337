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
  clusterIP: {address}
  selector: {{app: {name}}}
  ports: [{{name: {port_name}, port: {number}}}]
",
        address = address_of(name),
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

/// The virtual address of the service of that name.
pub(super) fn address_of(name: &str) -> String {
    // Any that differs from name to name.
    format!("10.0.0.{}", name.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte)).max(1))
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

/// The Gateway `shop/door`, which takes HTTP for these hosts at port 8080 of the ingress gateway.
pub(super) fn door(hosts: &str) -> String {
    format!(
        "
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: door, namespace: shop}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 8080, name: http, protocol: HTTP}}, hosts: [{hosts}]}}]
"
    )
}

/// A VirtualService of namespace `shop` for these hosts, as in a YAML list; the rest of its `spec` as lines that are indented by two.
pub(super) fn virtual_service(name: &str, hosts: &str, spec: &str) -> String {
    format!(
        "
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: shop}}
spec:
  hosts: [{hosts}]
{spec}
"
    )
}

/// A DestinationRule of namespace `shop` for a host; the rest of its `spec` as lines that are indented by two.
pub(super) fn destination_rule(host: &str, spec: &str) -> String {
    format!(
        "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: rule, namespace: shop}}
spec:
  host: '{host}'
{spec}
"
    )
}

/// The pod whose Envoy is asked; its address is nobody else's.
pub(super) const CLIENT: &str = "
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {nodeName: node-0, serviceAccountName: client, containers: [{name: app, image: app}]}
status: {phase: Running, podIP: 10.9.9.9, conditions: [{type: Ready, status: \"True\"}]}
";

/// A ServiceEntry of a namespace, its `spec` as the inside of a YAML map.
pub(super) fn entry(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{spec}}}
"
    )
}
