//! An operator runs already: flags that it would not heed, versions that it would go back from, and what an upgrade makes of it.

use k8s_openapi::api::apps::v1::Deployment;

use super::{Answer, Cluster};
use crate::cli::Exit;

const THIS: &str = env!("CARGO_PKG_VERSION");

/// A cluster with a mesh, whose operator has another tag.
async fn with_operator_of(tag: &str) -> Cluster {
    let cluster = Cluster::new();
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("install").await.exit, Exit::Clean);
    operator.abort();
    let _ = operator.await;
    let mut deployment: Deployment = cluster.api.get(Some("ferromesh-system"), "ferromesh-operator").unwrap();
    let containers = &mut deployment.spec.as_mut().unwrap().template.spec.as_mut().unwrap().containers;
    let variables = containers[0].env.as_mut().unwrap();
    variables.iter_mut().find(|it| it.name == "FERROMESH_TAG").unwrap().value = Some(tag.to_owned());
    cluster.api.insert(&deployment);
    cluster
}

fn tag(cluster: &Cluster) -> String {
    let deployment = cluster.api.get::<Deployment>(Some("ferromesh-system"), "ferromesh-operator").unwrap();
    let variables = deployment.spec.unwrap().template.spec.unwrap().containers.remove(0).env.unwrap();
    variables.into_iter().find(|it| it.name == "FERROMESH_TAG").unwrap().value.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_does_not_become_an_older_one_unless_that_is_said() {
    let cluster = with_operator_of("99.0.0").await;
    let refused = format!(
        "error: the operator is of version 99.0.0, and {THIS} is older: use ferromesh 99.0.0, or say --downgrade to take operator and CRDs back\n"
    );
    cluster.api.forget_calls();
    for command in ["upgrade", "upgrade --dry-run", "operator init"] {
        let told = cluster.run(command).await;
        assert_eq!((told.exit, told.stderr.as_str()), (Exit::Failed, refused.as_str()), "{command}");
    }
    assert!(cluster.api.calls().iter().all(|call| !call.is_write()));
    let operator = cluster.operator(Answer::Healthy);
    assert_eq!(cluster.run("upgrade --downgrade").await.exit, Exit::Clean);
    assert_eq!(tag(&cluster), THIS);
    operator.abort();
    let cluster = with_operator_of("99.0.0").await;
    assert_eq!(cluster.run("operator init --downgrade --wait=false").await.exit, Exit::Clean);
    assert_eq!(tag(&cluster), THIS);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_an_operator_would_not_heed_are_refused_with_what_does_it() {
    let cluster = with_operator_of("0.0.1").await;
    let told = cluster.run("install --hub registry.example/team --tag 0.0.2 --wait=false").await;
    let command = "ferromesh operator init --operatorNamespace ferromesh-system --hub registry.example/team --tag 0.0.2 --image-pull-policy \
                   IfNotPresent, or for the mesh alone --set hub=registry.example/team,tag=0.0.2\n";
    assert!(told.exit == Exit::Failed && told.stderr.ends_with(command), "{told:?}");
    assert!(told.stderr.contains("the operator runs with hub docker.io/ferromesh, tag 0.0.1, and is left as it is"), "{told:?}");
    let policy = cluster.run("manifest apply --image-pull-policy Never").await;
    assert!(policy.exit == Exit::Failed && policy.stderr.ends_with("--set imagePullPolicy=Never\n"), "{policy:?}");
    for verb in ["install", "upgrade"] {
        let moved = cluster.run(&format!("{verb} --operatorNamespace ops")).await;
        let remedy =
            "the operator runs in namespace ferromesh-system: say --operatorNamespace ferromesh-system, or remove that one first\n";
        assert!(moved.exit == Exit::Failed && moved.stderr.ends_with(remedy), "{moved:?}");
    }
    let same = cluster.run("install --operatorNamespace ferromesh-system --hub docker.io/ferromesh --tag 0.0.1 --wait=false").await;
    assert_eq!(same.exit, Exit::Clean, "{same:?}");

    let mut deployment: Deployment = cluster.api.get(Some("ferromesh-system"), "ferromesh-operator").unwrap();
    let labels = deployment.metadata.labels.as_mut().unwrap();
    labels.insert("app.kubernetes.io/managed-by".to_owned(), "Helm".to_owned());
    labels.insert("app.kubernetes.io/instance".to_owned(), "mine".to_owned());
    cluster.api.insert(&deployment);
    for verb in ["install", "upgrade"] {
        let helms = cluster.run(&format!("{verb} --hub registry.example/team --wait=false")).await;
        let command = "helm upgrade mine charts/ferromesh -n ferromesh-system --reuse-values --set image.registry=registry.example,\
                       image.repository=team,image.tag=0.0.1,image.pullPolicy=IfNotPresent, or for the mesh alone";
        assert!(helms.exit == Exit::Failed && helms.stderr.contains(command), "{helms:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_tells_what_becomes_of_the_operator_and_asks() {
    let cluster = with_operator_of("0.0.1").await;
    let moves = format!("operator 0.0.1 → {THIS}, the control plane follows by updateStrategy\n");
    let dry = cluster.run("upgrade --dry-run").await;
    assert_eq!((dry.exit, dry.stdout), (Exit::Clean, format!("{moves}MeshInstall mesh would stay as it is\n")));
    let declined = cluster.run_with("upgrade", "n\n", true).await;
    assert_eq!(declined.stderr, format!("{moves}Change the operator? [y/N] nothing was changed\n"));
    let both = cluster.run_with("upgrade --set profile=demo", "n\n", true).await;
    assert!(both.stderr.ends_with("Change MeshInstall mesh and the operator? [y/N] nothing was changed\n"), "{both:?}");
    assert_eq!(tag(&cluster), "0.0.1");
    let operator = cluster.operator(Answer::Healthy);
    let agreed = cluster.run_with("experimental upgrade", "y\n", true).await;
    assert!(agreed.exit == Exit::Clean && tag(&cluster) == THIS, "{agreed:?}");
    let again = cluster.run_with("upgrade", "", true).await;
    assert!(again.exit == Exit::Clean && !again.stderr.contains("[y/N]"), "{again:?}");
    let dry = cluster.run("upgrade --dry-run").await.stdout;
    assert_eq!(dry, format!("operator {THIS} and the CRDs would be applied again\nMeshInstall mesh would stay as it is\n"));
    operator.abort();
    let own = cluster.run("upgrade --tag 99.0.0 --set tag=1.2.3 --dry-run").await;
    assert!(own.stdout.starts_with(&format!("operator {THIS} → 99.0.0\n")), "{own:?}");
}
