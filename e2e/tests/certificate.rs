//! The certificate that a webhook shows is renewed while the API server asks it all the time.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, Forward, SecureVisitor, Test, run, within};
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Secret};
use kube::{Api, api::DeleteParams};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::time::Duration;

use crate::creators::Creators;

const INJECTOR: &str = "istio-sidecar-injector";
/// The operator makes the Secret anew within seconds; a kubelet takes up to two minutes to bring it into the pod.
const SHOWN: Duration = Duration::from_secs(180);
/// Who creates pods at once: more than two cores can serve.
const CREATORS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn a_webhooks_certificate_is_renewed_under_full_load() {
    run("a_webhooks_certificate_is_renewed_under_full_load", renewal).await;
}

async fn renewal(test: &Test) -> anyhow::Result<()> {
    let cluster = &test.cluster;
    let namespace = test.namespace().await?;
    let (way, visitor) = visitor(cluster).await?;
    let shown = async || anyhow::Ok(visitor.get("/").await?.certificate);
    let first = shown().await?;

    let creators = Creators::start(cluster, &namespace, CREATORS);
    creators.go_on().await?;
    let before = creators.served();
    cluster.api::<Secret>(CONTROL_PLANE).delete(&format!("{INJECTOR}-webhook-certs"), &DeleteParams::default()).await?;
    let (_, took) = within(SHOWN, "the injector shows a new certificate", async || {
        anyhow::ensure!(shown().await? != first, "it shows the old one");
        Ok(())
    })
    .await?;
    let meanwhile = creators.served() - before;
    creators.go_on().await?;
    creators.stop().await.context("a pod was refused, or came without its sidecar, while the certificate was renewed")?;
    drop(way);
    let rate = f64::from(u32::try_from(meanwhile)?) / took.as_secs_f64();
    eprintln!("the new certificate was shown after {:.0} s; {meanwhile} pods meanwhile ({rate:.0}/s), none failed", took.as_secs_f64());
    Ok(())
}

/// Who asks the injector as the API server does, and believes whom that believes; and the way there, open as long as it lives.
async fn visitor(cluster: &Cluster) -> anyhow::Result<(Forward, SecureVisitor)> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(cluster.client());
    let webhooks = configurations.get(INJECTOR).await?.webhooks.unwrap_or_default();
    let bundle = webhooks.into_iter().find_map(|webhook| webhook.client_config.ca_bundle).context("no webhook has a caBundle")?;
    let authority = CertificateDer::from_pem_slice(&bundle.0).context("the caBundle holds no certificate")?;
    let way = Forward::to(cluster, CONTROL_PLANE, &format!("deployment/{INJECTOR}"), 9443).await?;
    let address = way.visitor.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let visitor = SecureVisitor::new(&address, &format!("{INJECTOR}.{CONTROL_PLANE}.svc"), authority)?;
    Ok((way, visitor))
}
