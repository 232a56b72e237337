//! What the mesh would not understand is refused with a sentence, and not stored.

use ferromesh_e2e::{Cluster, Test, run};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_objects_are_refused_with_the_reason() {
    run("wrong_objects_are_refused_with_the_reason", refused).await;
}

async fn refused(test: &Test) -> anyhow::Result<()> {
    let namespace = test.namespace().await?;
    let route = json!({"destination": {"host": "reviews"}});
    let weighted = |weight: u32| json!({"destination": {"host": "reviews", "subset": format!("w{weight}")}, "weight": weight});
    let http = |http: Value| networking("VirtualService", json!({"hosts": ["reviews"], "http": [http]}));
    let server = |number: u32| json!({"port": {"number": number, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]});
    let gateway = |number: u32| networking("Gateway", json!({"selector": {"istio": "ingressgateway"}, "servers": [server(number)]}));
    let mesh = |spec: Value| object("install.ferromesh.dev/v1alpha1", "MeshInstall", spec);

    let cases: [(&str, Value, &[&str]); 8] = [
        ("weights of 90", http(json!({"route": [weighted(40), weighted(50)]})), &["spec.http[0].route", "90", "100"]),
        ("weights of 130", http(json!({"route": [weighted(80), weighted(50)]})), &["spec.http[0].route", "130", "100"]),
        ("an unknown field", http(json!({"route": [route], "timout": "3s"})), &["spec.http[0]", "timout"]),
        ("a route without destination", http(json!({"route": [{"weight": 100}]})), &["spec.http[0].route[0]", "destination"]),
        ("a duration that is none", http(json!({"route": [route], "timeout": "soon"})), &["spec.http[0].timeout", "must be a duration"]),
        ("a gateway's port", gateway(70000), &["spec.servers[0].port.number", "65535"]),
        ("an unknown profile", mesh(json!({"profile": "defualt"})), &["profile", "defualt", "demo"]),
        ("an unknown setting", mesh(json!({"meshConfig": {"trustDomian": "x"}})), &["trustDomian", "trustDomain"]),
    ];
    for (what, object, words) in &cases {
        refuse(&test.cluster, &namespace, what, object, words).await?;
    }

    // What is right is accepted, in each version that users write.
    for version in ["v1alpha3", "v1beta1", "v1"] {
        let mut right = http(json!({"route": [weighted(40), weighted(60)], "timeout": "3s"}));
        right["apiVersion"] = format!("networking.istio.io/{version}").into();
        test.cluster.apply(&namespace, &right.to_string()).await?;
    }
    // An update is judged as a creation is, and what is stored stays.
    let wrong = http(json!({"route": [weighted(1), weighted(2)]}));
    let said = test.cluster.try_kubectl(&["apply", "-n", &namespace, "-f", "-"], Some(&wrong.to_string())).await?;
    anyhow::ensure!(!said.ok, "an update to weights of 3 is accepted");
    let stored = test.cluster.kubectl(&["get", "virtualservices.networking.istio.io", NAME, "-n", &namespace, "-o", "yaml"]).await?;
    anyhow::ensure!(stored.contains("weight: 60"), "{stored}");
    Ok(())
}

/// The name of every object of this test.
const NAME: &str = "e2e-wrong";

fn networking(kind: &str, spec: Value) -> Value {
    object("networking.istio.io/v1", kind, spec)
}

fn object(version: &str, kind: &str, spec: Value) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": NAME}, "spec": spec})
}

async fn refuse(cluster: &Cluster, namespace: &str, what: &str, object: &Value, words: &[&str]) -> anyhow::Result<()> {
    let text = object.to_string();
    let said = cluster.try_kubectl(&["apply", "-n", namespace, "-f", "-"], Some(&text)).await?;
    eprintln!("{what}: {}", said.err.trim());
    let kind = format!("{}.{}", object["kind"].as_str().unwrap_or_default().to_lowercase(), group(object));
    let stored = cluster.try_kubectl(&["get", &kind, NAME, "-n", namespace], None).await?;
    if stored.ok {
        // Were it a MeshInstall, the operator would go by it.
        cluster.kubectl(&["delete", &kind, NAME, "-n", namespace]).await?;
    }
    anyhow::ensure!(!said.ok, "{what} is accepted");
    anyhow::ensure!(!stored.ok, "{what} is refused and yet stored");
    anyhow::ensure!(stored.err.contains("NotFound"), "{what}: {}", stored.err.trim());
    for word in words {
        anyhow::ensure!(said.err.contains(word), "{what}: the reason does not say {word:?}: {}", said.err.trim());
    }
    Ok(())
}

fn group(object: &Value) -> &str {
    object["apiVersion"].as_str().and_then(|version| version.split('/').next()).unwrap_or_default()
}
