//! Certificates and the webhook, as the API server meets them.

use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::Deployment,
    core::v1::Secret,
    rbac::v1::ClusterRole,
};
use serde_json::json;
use std::time::Duration;
use time::OffsetDateTime;
use webhook_certs::{LeafSpec, SecretSpec, Store};

use super::cluster::{Cluster, MESH, OPERATOR};
use crate::operator::{roles, start};
use crate::runtime::{Listener, Readiness, Shutdown, Tasks, certificates_from_pem, process_registry};
use crate::testing::{ask_trusting, eventually};

const SERVICE: &str = "ferromesh-operator.ferromesh-system.svc";

#[tokio::test]
async fn the_operator_is_ready_once_the_api_server_reaches_its_webhook_and_trusts_it() {
    let cluster = Cluster::new();
    let bundle = {
        let api = cluster.api.clone();
        move || {
            let configuration = api.get::<ValidatingWebhookConfiguration>(None, "ferromesh-operator")?;
            let webhooks = configuration.webhooks?.into_iter();
            webhooks.map(|webhook| webhook.client_config.ca_bundle).collect::<Option<Vec<_>>>()?.pop()
        }
    };
    // An API server without the bundle can't call the webhook, and says so.
    let trusted = bundle.clone();
    cluster.api.answer(move |call| {
        let probe = call.target.plural == "meshinstalls" && call.query.contains_key("dryRun");
        let (code, message) = match trusted() {
            Some(_) => (403, "admission webhook \"probe.install.ferromesh.dev\" denied the request: for a reason"),
            None => (500, "failed calling webhook \"probe.install.ferromesh.dev\": x509: certificate signed by unknown authority"),
        };
        probe.then(|| (code, json!({"kind": "Status", "status": "Failure", "message": message, "reason": "", "code": code})))
    });

    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (mut tasks, readiness) = (Tasks::new(), Readiness::new());
    start(cluster.config(), cluster.api.client(), listener, &mut tasks, &readiness, &mut process_registry());
    assert!(!readiness.is_ready());
    let running = tokio::spawn(tasks.run(futures::stream::pending(), Duration::from_secs(1)));
    tokio::time::timeout(Duration::from_secs(10), readiness.ready())
        .await
        .unwrap_or_else(|_| panic!("waits for {:?}", readiness.awaited()));

    let roots = certificates_from_pem(&bundle().unwrap().0).unwrap();
    let object = json!({"metadata": {"name": "mesh"}, "spec": {"version": "0.9"}});
    let request = json!({"uid": "u", "kind": {"group": "install.ferromesh.dev", "version": "v1alpha1", "kind": "MeshInstall"},
        "operation": "CREATE", "name": "mesh", "object": object});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let (_, answer) = ask_trusting(&roots, SERVICE, address, "/validate-meshinstall", review.to_string()).await;
    assert_eq!(
        answer["response"]["status"]["message"],
        "MeshInstall mesh spec.version: there is no version 0.9: choose of 1.0.2, or leave it empty"
    );

    running.abort();
}

#[tokio::test]
async fn certificates_of_somebody_else_are_waited_for_and_never_written() {
    let mut cluster = Cluster::new().with_foreign_certificates();
    let leaf = |namespace: &str, name: &str, service: &str| LeafSpec {
        secret: SecretSpec { namespace: namespace.to_owned(), name: name.to_owned(), ..SecretSpec::default() },
        dns_names: vec![format!("{service}.{namespace}.svc"), format!("{service}-probe.{namespace}.svc")],
    };
    // The issuer, which keeps its authority elsewhere.
    let issuer = Store::new(cluster.api.client(), "cert-manager");
    let own = leaf(OPERATOR, "ferromesh-operator-webhook-certs", "ferromesh-operator");
    issuer.ensure(OffsetDateTime::now_utc(), &[], std::slice::from_ref(&own)).await.unwrap();
    cluster.install("mesh", json!({}));
    cluster.start();
    eventually("the parts are there, but for the webhooks", || {
        cluster.api.list::<Deployment>().len() == 6 && cluster.condition("mesh", "CertificatesReady").is_some()
    })
    .await;
    let (status, reason, message) = cluster.condition("mesh", "CertificatesReady").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "CertificatesMissing"));
    assert!(message.contains("istio-galley-webhook-certs") && message.ends_with("the secret doesn't exist"), "{message}");
    assert!(cluster.api.list::<MutatingWebhookConfiguration>().is_empty());

    let galley = leaf(MESH, "istio-galley-webhook-certs", "istio-galley");
    let injector = leaf(MESH, "istio-sidecar-injector-webhook-certs", "istio-sidecar-injector");
    issuer.ensure(OffsetDateTime::now_utc(), &[], &[own, galley, injector]).await.unwrap();
    let before = cluster.api.list::<Secret>();
    cluster.until_healthy().await;
    assert_eq!(cluster.api.list::<Secret>(), before);
    assert_eq!(cluster.condition("mesh", "CertificatesReady").unwrap().0, "True");
}

#[tokio::test]
async fn an_operator_without_the_charts_roles_is_not_ready() {
    let cluster = Cluster::new();
    cluster.api.delete::<ClusterRole>(None, "ferromesh-pilot");
    let readiness = Readiness::new();
    let (_trigger, shutdown) = Shutdown::channel();
    let guard = readiness.wait_for("the chart's ClusterRoles");
    tokio::spawn(roles::watch(cluster.api.client(), guard, readiness.clone(), shutdown));
    eventually("a look at the roles", || cluster.api.calls().iter().any(|call| call.target.plural == "clusterroles")).await;
    assert!(!readiness.is_ready());
    cluster.api.insert(&Cluster::role("ferromesh-pilot"));
    eventually("readiness", || readiness.is_ready()).await;
    cluster.api.delete::<ClusterRole>(None, "ferromesh-pilot");
    eventually("no readiness", || !readiness.is_ready()).await;
}
