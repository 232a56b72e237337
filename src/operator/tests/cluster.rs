//! A cluster with the chart's objects and a running reconciler.

use ferromesh_crds::{
    MeshInstall,
    install::{MeshInstallStatus, State},
};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    apps::v1::{DaemonSet, Deployment},
    coordination::v1::Lease,
    core::v1::{Namespace, Pod, Secret},
    rbac::v1::ClusterRole,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::operator::{
    CertificateSource, Images, LEASE, OperatorConfig, meshes::MeshWatch, metrics::Metrics, plan::GALLEY_WEBHOOK, reconcile::Reconciler,
    roles::ROLES,
};
use crate::runtime::{Elector, LeaseConfig, LeaseMaker, LeaseTiming, Readiness, Shutdown, Trigger};
use crate::testing::{
    eventually,
    fake_api::{Call, FakeApi},
};

pub(super) const OPERATOR: &str = "ferromesh-system";
pub(super) const MESH: &str = "istio-system";

/// The cluster; the operator in it ends with it.
pub(super) struct Cluster {
    pub(super) api: FakeApi,
    /// The galleys that refuse nothing, by their Services.
    pub(super) lax: Arc<Mutex<BTreeSet<String>>>,
    operator: Option<Trigger>,
    certificates: CertificateSource,
    /// The operator's version.
    version: &'static str,
}

/// The tag of images whose pods never get ready.
pub(super) const BROKEN: &str = "broken";

// === impl Cluster ===

impl Cluster {
    /// A cluster in which the chart has been installed; no operator runs yet.
    pub(super) fn new() -> Self {
        let api = FakeApi::new();
        for name in ["ferromesh-operator", "ferromesh-operator-namespaced"].into_iter().chain(ROLES) {
            api.insert(&Self::role(name));
        }
        let webhook = |name: &str| json!({"name": name, "clientConfig": {}, "sideEffects": "None", "admissionReviewVersions": ["v1"]});
        let webhooks = [webhook("meshinstalls.install.ferromesh.dev"), webhook("probe.install.ferromesh.dev")];
        let configuration = json!({"metadata": {"name": "ferromesh-operator"}, "webhooks": webhooks});
        api.insert::<ValidatingWebhookConfiguration>(&serde_json::from_value(configuration).unwrap());
        let lax: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (cluster, that_are_lax) = (api.clone(), lax.clone());
        api.answer(move |call| {
            let asks = || galleys(&cluster, call).iter().any(|service| !that_are_lax.lock().unwrap().contains(service));
            let probes = call.target.plural == "gateways" && call.query.contains_key("dryRun") && asks();
            let message = format!("admission webhook \"{GALLEY_WEBHOOK}\" denied the request: no such protocol");
            probes.then(|| (403, json!({"kind": "Status", "status": "Failure", "message": message, "reason": "Forbidden", "code": 403})))
        });
        Self { api, lax, operator: None, certificates: CertificateSource::Own, version: "1.0.2" }
    }

    /// A ClusterRole of the chart's.
    pub(super) fn role(name: &str) -> ClusterRole {
        let labels = json!({"app.kubernetes.io/part-of": "ferromesh"});
        serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
    }

    /// The same with an operator, and a MeshInstall whose every Deployment is ready.
    pub(super) async fn healthy(spec: Value) -> Self {
        let mut cluster = Self::new();
        cluster.install("mesh", spec);
        cluster.start();
        cluster.until_healthy().await;
        cluster
    }

    pub(super) fn install(&self, name: &str, spec: Value) {
        let mut mesh = MeshInstall::new(name, serde_json::from_value(spec).unwrap());
        let known = self.api.get::<MeshInstall>(None, name);
        mesh.status = known.as_ref().and_then(|mesh| mesh.status.clone());
        mesh.metadata.creation_timestamp = known.and_then(|mesh| mesh.metadata.creation_timestamp);
        self.api.insert(&mesh);
    }

    /// The same with certificates of somebody else.
    pub(super) fn with_foreign_certificates(mut self) -> Self {
        self.certificates = CertificateSource::External;
        self
    }

    /// What the chart tells an operator.
    pub(super) fn config(&self) -> OperatorConfig {
        OperatorConfig {
            namespace: OPERATOR.to_owned(),
            pod: "ferromesh-operator-1".to_owned(),
            images: Images { hub: "hub.example".to_owned(), tag: self.version.to_owned(), pull_policy: "Always".to_owned() },
            certificates: self.certificates,
        }
    }

    /// Has an operator of another version take the place of the one that runs.
    pub(super) fn upgrade(&mut self, version: &'static str) {
        self.version = version;
        self.start();
    }

    /// Starts an operator, in place of one that runs.
    pub(super) fn start(&mut self) {
        let client = self.api.client();
        let (trigger, shutdown) = Shutdown::channel();
        let config = self.config();
        let lease = LeaseConfig {
            namespace: OPERATOR.to_owned(),
            name: LEASE.to_owned(),
            identity: config.pod.clone(),
            maker: LeaseMaker::Candidates,
            // A follower that looks often, so that one operator after another comes soon.
            timing: LeaseTiming { retry: Duration::from_millis(50), ..LeaseTiming::default() },
        };
        let (watch, meshes) = MeshWatch::new(client.clone());
        tokio::spawn(watch.run(Readiness::new().wait_for("list"), shutdown.clone()));
        let (elector, leadership) = Elector::new(client.clone(), lease);
        tokio::spawn(elector.run(shutdown.clone()));
        tokio::spawn(Reconciler::new(client, config, meshes, Metrics::new()).run(leadership, shutdown));
        self.operator = Some(trigger);
    }

    pub(super) fn stop(&mut self) {
        self.operator = None;
    }

    pub(super) async fn until_healthy(&self) {
        let mut seen = None;
        eventually("a healthy mesh", || {
            // Where nothing has changed, nothing is to be found.
            let version = Some(self.api.version());
            if std::mem::replace(&mut seen, version) == version {
                return false;
            }
            self.bring_up_pods();
            let status = self.status("mesh");
            let mesh = self.api.get::<MeshInstall>(None, "mesh");
            // What is told of proxies comes a moment later, and is the last that is written.
            let injects = !self.api.list::<MutatingWebhookConfiguration>().is_empty();
            let counted = self.condition("mesh", "ProxiesInSync").is_some();
            status.state == Some(State::Healthy)
                && (counted || !injects)
                && status.observed_generation == mesh.and_then(|mesh| mesh.metadata.generation)
        })
        .await;
    }

    /// Does what the controllers of Deployments and DaemonSets and the kubelets do, of which there are none.
    pub(super) fn bring_up_pods(&self) {
        self.bring_up_pods_but("");
    }

    /// The same, but for one Deployment.
    pub(super) fn bring_up_pods_but(&self, held: &str) {
        for daemon_set in self.api.list::<DaemonSet>() {
            let generation = daemon_set.metadata.generation;
            let status = json!({"observedGeneration": generation, "desiredNumberScheduled": 0, "currentNumberScheduled": 0,
                "numberMisscheduled": 0, "numberReady": 0});
            let daemon_set = DaemonSet { status: serde_json::from_value(status).unwrap(), ..daemon_set };
            self.api.insert(&daemon_set);
        }
        for deployment in self.api.list::<Deployment>().into_iter().filter(|one| one.name_any() != held) {
            let is_ready = !image(&deployment).ends_with(&format!(":{BROKEN}"));
            self.judge(deployment, is_ready);
        }
    }

    /// Has the pods of a Deployment of the mesh fail.
    pub(super) fn fail_pods_of(&self, name: &str) {
        self.judge(self.api.get::<Deployment>(Some(MESH), name).unwrap(), false);
    }

    /// Writes a Deployment's status.
    fn judge(&self, deployment: Deployment, is_ready: bool) {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let generation = deployment.metadata.generation;
        let whole = json!({"observedGeneration": generation, "replicas": wanted, "updatedReplicas": wanted,
            "readyReplicas": wanted, "availableReplicas": wanted});
        let given_up = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"});
        let failed = json!({"observedGeneration": generation, "replicas": wanted, "updatedReplicas": wanted, "conditions": [given_up]});
        let status = if is_ready { whole } else { failed };
        self.api.insert(&Deployment { status: serde_json::from_value(status).unwrap(), ..deployment });
    }

    /// The bundles that webhooks are trusted by, of the operator and of all meshes.
    pub(super) fn bundles(&self) -> BTreeSet<Option<String>> {
        let of = |object: &Value| object["webhooks"].as_array().cloned().unwrap_or_default();
        let bundle = |webhook: Value| webhook["clientConfig"]["caBundle"].as_str().map(str::to_owned);
        self.api.all().iter().flat_map(of).map(bundle).collect()
    }

    /// Has the authority of the webhooks replaced, and waits until all of them are trusted by the new one.
    pub(super) async fn until_another_authority_is_trusted(&self) {
        let before = self.bundles();
        self.api.delete::<Secret>(Some(OPERATOR), "ferromesh-webhook-ca");
        eventually("the new authority is trusted by all", || self.bundles().len() == 1 && self.bundles() != before).await;
    }

    pub(super) fn status(&self, name: &str) -> MeshInstallStatus {
        self.api.get::<MeshInstall>(None, name).and_then(|mesh| mesh.status).unwrap_or_default()
    }

    pub(super) fn condition(&self, name: &str, type_: &str) -> Option<(String, String, String)> {
        let conditions = self.status(name).conditions;
        let found = conditions.into_iter().find(|condition| condition.type_ == type_)?;
        Some((found.status, found.reason, found.message))
    }

    /// The revision that an injector's webhook configuration leads to, and the Service.
    pub(super) fn asked(&self, configuration: &str) -> Option<(String, String)> {
        let configuration = self.api.get::<MutatingWebhookConfiguration>(None, configuration)?;
        let service = configuration.webhooks.iter().flatten().next()?.client_config.service.clone()?;
        Some((configuration.labels().get("istio.io/rev")?.clone(), service.name))
    }

    /// A namespace called shop.
    pub(super) fn namespace(&self, labels: &Value) {
        let mut labels = labels.clone();
        labels["kubernetes.io/metadata.name"] = json!("shop");
        self.api.insert::<Namespace>(&serde_json::from_value(json!({"metadata": {"name": "shop", "labels": labels}})).unwrap());
    }

    /// A pod of that namespace whose sidecar a control plane has made.
    pub(super) fn pod(&self, revision: &str, version: &str) {
        let status = json!({"revision": revision, "image": format!("hub.example/ferromesh-proxy:{version}")}).to_string();
        let metadata = json!({"namespace": "shop", "name": "web", "annotations": {"sidecar.istio.io/status": status}});
        self.api.insert::<Pod>(&serde_json::from_value(json!({"metadata": metadata, "spec": {"containers": []}})).unwrap());
    }

    /// Writes so far, but for the leases, which are renewed for ever.
    pub(super) fn writes(&self) -> Vec<String> {
        let calls = self.api.calls();
        let counted = calls.iter().filter(|call| call.is_write() && call.target.plural != "leases");
        counted.map(|call| format!("{} {}/{}", call.method, call.target.plural, call.target.name.as_deref().unwrap_or("-"))).collect()
    }

    /// Owners of the operator's lease, by kind.
    pub(super) fn lease_owners(&self) -> Vec<String> {
        let lease = self.api.get::<Lease>(Some(OPERATOR), LEASE);
        lease.and_then(|lease| lease.metadata.owner_references).unwrap_or_default().into_iter().map(|owner| owner.kind).collect()
    }
}

/// The Services of the galleys that the API server asks about an object.
fn galleys(api: &FakeApi, call: &Call) -> Vec<String> {
    let revision = call.body.pointer("/metadata/labels/istio.io~1rev").and_then(Value::as_str);
    let all = api.list::<ValidatingWebhookConfiguration>().into_iter().flat_map(|one| one.webhooks.unwrap_or_default());
    let asked = all.filter(|webhook| webhook.name.ends_with(GALLEY_WEBHOOK) && picks(webhook.object_selector.as_ref(), revision));
    asked.filter_map(|webhook| Some(webhook.client_config.service?.name)).collect()
}

/// Whether a selector picks an object that names this revision.
fn picks(selector: Option<&LabelSelector>, revision: Option<&str>) -> bool {
    selector.and_then(|selector| selector.match_expressions.as_ref()).into_iter().flatten().all(|expression| {
        let listed = || revision.is_some_and(|name| expression.values.iter().flatten().any(|value| value == name));
        match (&*expression.key, &*expression.operator) {
            ("istio.io/rev", "In") => listed(),
            ("istio.io/rev", "DoesNotExist") => revision.is_none(),
            other => panic!("galley's webhooks select by {other:?}"),
        }
    })
}

/// What a Deployment's pods run.
pub(super) fn image(deployment: &Deployment) -> String {
    let containers = deployment.spec.iter().flat_map(|spec| &spec.template.spec).flat_map(|pod| &pod.containers);
    containers.into_iter().next().and_then(|container| container.image.clone()).unwrap_or_default()
}
