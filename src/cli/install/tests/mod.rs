//! What people see of an installation: of files, and of clusters behind a fake API server in which a stand-in does the operator's work.

mod family;
mod files;
mod installing;
mod istio;
mod neighbours;
mod planning;
mod running;
mod verifying;

use ferromesh_crds::MeshInstall;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use std::time::Duration;

use crate::cli::tests::{PIPE, Run, TERMINAL, run_on};
use crate::testing::fake_api::FakeApi;

fn yaml_documents(text: &str) -> Vec<Value> {
    let (documents, problems) = crate::cli::source::read(text);
    assert_eq!(problems, []);
    documents.iter().map(crate::cli::source::Node::to_value).collect()
}

/// A cluster without an operator.
struct Cluster {
    api: FakeApi,
}

/// How the stand-in for the operator answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Healthy,
    Stalled,
    Never,
}

impl Cluster {
    fn new() -> Self {
        Self { api: FakeApi::new() }
    }

    async fn run(&self, command: &str) -> Run {
        self.run_with(command, "", false).await
    }

    async fn run_with(&self, command: &str, stdin: &str, terminal: bool) -> Run {
        run_on(&self.api, if terminal { TERMINAL } else { PIPE }, command, stdin).await
    }

    /// Brings the operator up as soon as it is applied, and answers each MeshInstall.
    fn operator(&self, answer: Answer) -> tokio::task::JoinHandle<()> {
        let api = self.api.clone();
        tokio::spawn(async move {
            loop {
                if let Some(mut deployment) = api.get::<Deployment>(Some("ferromesh-system"), "ferromesh-operator")
                    && deployment.status.as_ref().is_none_or(|status| status.available_replicas.is_none())
                {
                    deployment.status =
                        serde_json::from_value(json!({"availableReplicas": 1, "updatedReplicas": 1, "observedGeneration": 99})).unwrap();
                    api.insert(&deployment);
                }
                for mut mesh in api.list::<MeshInstall>() {
                    let generation = mesh.metadata.generation;
                    let seen = mesh.status.as_ref().and_then(|status| status.observed_generation) == generation;
                    if answer != Answer::Never && !seen {
                        mesh.status = Some(serde_json::from_value(status(generation.unwrap_or(1), answer)).unwrap());
                        api.insert(&mesh);
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }

    fn mesh(&self) -> MeshInstall {
        self.api.get::<MeshInstall>(None, "mesh").expect("there is a MeshInstall")
    }
}

fn status(generation: i64, answer: Answer) -> Value {
    let condition = |type_: &str, holds: &str, reason: &str, message: &str| {
        json!({"type": type_, "status": holds, "reason": reason, "message": message, "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let conditions = match answer {
        Answer::Stalled => json!([
            condition("Ready", "False", "ForeignMesh", "istiod is there"),
            condition("Stalled", "True", "ForeignMesh", "istiod is there")
        ]),
        _ => json!([condition("Ready", "True", "Healthy", "all components are ready")]),
    };
    json!({"observedGeneration": generation, "state": "HEALTHY", "version": env!("CARGO_PKG_VERSION"), "conditions": conditions,
        "components": {"pilot": {"status": "HEALTHY"}},
        "inventory": [{"apiVersion": "v1", "kind": "ConfigMap", "namespace": "istio-system", "name": "istio"}]})
}
