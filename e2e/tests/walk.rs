//! Each profile comes up from nothing, becomes each other one, and goes; whatever the way, what is there follows from the profile alone,
//! and in the end nothing is. Runs after all others.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, Mesh, OPERATOR, Test, ferromesh_offline, run, within};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::DeleteParams};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::drift::{gone, scale};

/// A mesh whose images are on the node, or another profile of it.
const HEALTHY: Duration = Duration::from_secs(120);
/// Garbage collection, with that of a namespace.
const COLLECTED: Duration = Duration::from_secs(90);
/// The same for the command line, which then tells what is left.
const COLLECTED_OR_TOLD: &str = "--timeout=90s";
const PROFILES: [&str; 5] = ["default", "demo", "minimal", "sds", "remote"];
/// All kinds of which the mesh has objects, but for pods and what they come from.
const KINDS: &str = "namespaces,serviceaccounts,configmaps,secrets,services,deployments.apps,daemonsets.apps,poddisruptionbudgets.policy,\
                     horizontalpodautoscalers.autoscaling,leases.coordination.k8s.io,roles.rbac.authorization.k8s.io,\
                     rolebindings.rbac.authorization.k8s.io,clusterrolebindings.rbac.authorization.k8s.io,\
                     mutatingwebhookconfigurations.admissionregistration.k8s.io,\
                     validatingwebhookconfigurations.admissionregistration.k8s.io,peerauthentications.security.istio.io";
/// What the mesh's namespace has when there is no mesh: what every namespace has, and the root's key.
const STAYS: [&str; 3] = ["ServiceAccount default", "ConfigMap kube-root-ca.crt", "Secret istio-ca-secret"];

/// Objects by what they are called, without what chance and the API server decide.
type Objects = BTreeMap<String, Value>;

#[tokio::test(flavor = "multi_thread")]
async fn every_profile_comes_changes_and_goes() {
    run("every_profile_comes_changes_and_goes", whole_lives).await;
}

async fn whole_lives(test: &Test) -> anyhow::Result<()> {
    let mesh = &test.mesh;
    let (mut fresh, mut switched) = (BTreeMap::new(), Vec::new());
    for (index, profile) in PROFILES.into_iter().enumerate() {
        // The first one is there already, from nothing.
        if index > 0 {
            apply(mesh, profile).await?;
        }
        healthy(mesh, profile).await?;
        verified(&test.cluster).await.with_context(|| format!("a fresh {profile}"))?;
        if index == 0 {
            mesh.test_chart().await?;
        }
        fresh.insert(profile, objects(test).await?);

        // Steps of one to four, which lead back: with all five beginnings each profile becomes each other one.
        let mut at = index;
        for step in 1..PROFILES.len() {
            let (from, to) = (PROFILES[at], PROFILES[(at + step) % PROFILES.len()]);
            apply(mesh, to).await?;
            healthy(mesh, &format!("{to} after {from}")).await?;
            verified(&test.cluster).await.with_context(|| format!("{to} after {from}"))?;
            switched.push((from, to, objects(test).await?));
            at = (at + step) % PROFILES.len();
        }
        remove(test, index).await.with_context(|| format!("removing {}", PROFILES[at]))?;
    }
    let pairs: BTreeSet<(&str, &str)> = switched.iter().map(|(from, to, _)| (*from, *to)).collect();
    anyhow::ensure!(pairs.len() == PROFILES.len() * (PROFILES.len() - 1), "not every switch was made: {pairs:?}");
    for (from, to, found) in &switched {
        same(found, &fresh[to]).with_context(|| format!("{to} after {from} is not as {to} from nothing"))?;
    }
    let sets: Vec<Vec<&String>> = fresh.values().map(|objects| objects.keys().collect()).collect();
    let differ = sets.iter().enumerate().all(|(at, set)| !sets[..at].contains(set));
    anyhow::ensure!(differ, "profiles differ in their objects: {sets:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "for minutes: make operator-kills"]
async fn an_operator_that_is_killed_at_random_is_no_harm() {
    run("an_operator_that_is_killed_at_random_is_no_harm", killed).await;
}

async fn killed(test: &Test) -> anyhow::Result<()> {
    let mesh = &test.mesh;
    let mut undisturbed = BTreeMap::new();
    for profile in PROFILES {
        apply(mesh, profile).await?;
        healthy(mesh, profile).await?;
        undisturbed.insert(profile, objects(test).await?);
    }
    for (round, profile) in PROFILES.into_iter().chain(PROFILES).enumerate() {
        apply(mesh, profile).await?;
        // The waits are spread over the time that a change takes, a little more each round.
        let wait = Duration::from_millis(u64::try_from(round)? * 170);
        tokio::time::sleep(wait).await;
        let kill = ["delete", "pods", "-n", OPERATOR, "-l", "app.kubernetes.io/name=ferromesh-operator", "--force", "--grace-period=0"];
        test.cluster.kubectl(&kill).await?;
        let took = healthy(mesh, &format!("{profile}, its operator killed after {wait:?}")).await?;
        same(&objects(test).await?, &undisturbed[profile]).with_context(|| format!("{profile}, its operator killed after {wait:?}"))?;
        eprintln!("{profile}: killed after {} ms, healthy {:.1} s later", wait.as_millis(), took.as_secs_f64());
    }
    Ok(())
}

/// A profile with what it can't do without here: nothing answers as its pilot elsewhere, so that its gateway would never be ready.
fn spec(profile: &str) -> Value {
    match profile {
        "remote" => json!({
            "profile": "remote", "values": {"global": {"remotePilotAddress": "pilot.example.com"}},
            "gateways": {"ingress": [{"name": "istio-ingressgateway", "enabled": false}]},
        }),
        profile => json!({"profile": profile}),
    }
}

/// Applies a profile, once an operator is there to say yes to it.
async fn apply(mesh: &Mesh, profile: &str) -> anyhow::Result<()> {
    within(HEALTHY, &format!("{profile} is accepted"), async || mesh.apply_spec(spec(profile)).await).await.map(drop)
}

async fn healthy(mesh: &Mesh, what: &str) -> anyhow::Result<Duration> {
    let (_, took) = within(HEALTHY, &format!("{what} is healthy"), async || mesh.healthy().await).await?;
    Ok(took)
}

async fn verified(cluster: &Cluster) -> anyhow::Result<()> {
    let said = cluster.ferromesh(&["verify-install"]).await?;
    anyhow::ensure!(said.ok, "verify-install: {}{}", said.out, said.err);
    Ok(())
}

/// Takes the mesh away, each time in another way, and looks what is left.
async fn remove(test: &Test, way: usize) -> anyhow::Result<()> {
    let (mesh, cluster) = (&test.mesh, &test.cluster);
    match way {
        0 => uninstall(cluster, &["uninstall", "--yes", COLLECTED_OR_TOLD]).await?,
        1 => {
            scale(cluster, OPERATOR, "ferromesh-operator", 0).await?;
            gone(cluster, OPERATOR, "ferromesh-operator").await?;
            mesh.delete().await?;
            cleared(test).await.context("without an operator")?;
            scale(cluster, OPERATOR, "ferromesh-operator", 1).await?;
        }
        2 => {
            // The namespace goes first. The mesh must not come back in it.
            let namespaces: Api<Namespace> = Api::all(cluster.client());
            namespaces.delete(CONTROL_PLANE, &DeleteParams::default()).await?;
            mesh.delete().await?;
            within(COLLECTED, "the namespace is gone", async || {
                anyhow::ensure!(namespaces.get_opt(CONTROL_PLANE).await?.is_none(), "it is there");
                Ok(())
            })
            .await?;
            cleared(test).await?;
            return mesh.restrict().await;
        }
        3 => {
            // As people of Istio 1.4 do it. What goes with what was deleted before it is not found.
            let generated = ferromesh_offline(&["manifest", "generate"]).await?.checked()?;
            cluster.try_kubectl(&["delete", "--ignore-not-found", "--timeout=60s", "-f", "-"], Some(&generated)).await?.checked()?;
        }
        _ => {
            mesh.uninstall_chart().await?;
            uninstall(cluster, &["uninstall", "--purge", "--yes", COLLECTED_OR_TOLD]).await?;
            return purged(test).await;
        }
    }
    cleared(test).await
}

async fn uninstall(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<()> {
    let said = cluster.ferromesh(arguments).await?;
    anyhow::ensure!(said.ok, "{arguments:?}: {}{}", said.out, said.err);
    Ok(())
}

/// Nothing is left of the mesh but what was promised to stay.
async fn cleared(test: &Test) -> anyhow::Result<()> {
    within(COLLECTED, "nothing is left", async || {
        let left = objects(test).await?;
        anyhow::ensure!(left.is_empty(), "{:?}", left.keys());
        let kinds = "serviceaccounts,configmaps,secrets,services,deployments,pods,leases.coordination.k8s.io";
        let inside = listed(&test.cluster, &["get", kinds, "-n", CONTROL_PLANE, "-o", "json"]).await?;
        let left: Vec<String> = inside.iter().map(name).filter(|name| !STAYS.contains(&&**name)).collect();
        anyhow::ensure!(left.is_empty(), "in {CONTROL_PLANE}: {left:?}");
        Ok(())
    })
    .await
    .map(drop)
}

/// Not even that.
async fn purged(test: &Test) -> anyhow::Result<()> {
    within(COLLECTED, "nothing at all is left", async || {
        test.mesh.gone().await?;
        let said = test.cluster.kubectl(&["get", "customresourcedefinitions,clusterroles", "-o", "name"]).await?;
        let left: Vec<&str> = said.lines().filter(|name| ["istio.io", "ferromesh"].iter().any(|mark| name.contains(mark))).collect();
        anyhow::ensure!(left.is_empty(), "{left:?}");
        let namespaces: Api<Namespace> = Api::all(test.cluster.client());
        for name in [CONTROL_PLANE, "istio-cni"] {
            anyhow::ensure!(namespaces.get_opt(name).await?.is_none(), "namespace {name} is there");
        }
        Ok(())
    })
    .await
    .map(drop)
}

/// What the operator made, and the certificates that it keeps for the mesh; not what is its own.
async fn objects(test: &Test) -> anyhow::Result<Objects> {
    let query = ["get", KINDS, "-A", "-l", "app.kubernetes.io/managed-by=ferromesh-operator", "-o", "json"];
    let owner = test.mesh.install().await.ok().and_then(|install| install.uid()).unwrap_or_default();
    let found = listed(&test.cluster, &query).await?.into_iter().filter(|object| object["metadata"]["namespace"] != OPERATOR);
    found.map(|object| Ok((format!("{} in {}", name(&object), object["metadata"]["namespace"]), stable(object, &owner)?))).collect()
}

async fn listed(cluster: &Cluster, query: &[&str]) -> anyhow::Result<Vec<Value>> {
    let said: Value = serde_json::from_str(&cluster.kubectl(query).await?)?;
    Ok(said["items"].as_array().cloned().unwrap_or_default())
}

fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// An object as the operator decided it, whatever its past: without what the API server and controllers write, and what differs between any
/// two installations (`owner` is the uid of this one's).
fn stable(object: Value, owner: &str) -> anyhow::Result<Value> {
    let text = object.to_string();
    let text = if owner.is_empty() { text } else { text.replace(owner, "OWNER") };
    let mut object: Value = serde_json::from_str(&text)?;
    let without = |value: &mut Value, fields: &[&str]| {
        if let Some(value) = value.as_object_mut() {
            value.retain(|field, _| !fields.contains(&field.as_str()));
        }
    };
    without(&mut object, &["status"]);
    without(&mut object["metadata"], &["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "deletionTimestamp"]);
    let decided = ["deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation", "install.ferromesh.dev/applied"];
    without(&mut object["metadata"]["annotations"], &decided);
    match object["kind"].as_str() {
        Some("Service") => {
            without(&mut object["spec"], &["clusterIP", "clusterIPs", "healthCheckNodePort"]);
            for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
                without(port, &["nodePort"]);
            }
        }
        Some("Lease") => without(&mut object, &["spec"]),
        Some("Secret") => without(&mut object, &["data"]),
        Some("MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
            for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
                without(&mut webhook["clientConfig"], &["caBundle"]);
            }
        }
        _ => {}
    }
    Ok(object)
}

fn same(found: &Objects, wanted: &Objects) -> anyhow::Result<()> {
    let names = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    anyhow::ensure!(names(found) == names(wanted), "there are {:?}, not {:?}", names(found), names(wanted));
    for (name, object) in wanted {
        anyhow::ensure!(&found[name] == object, "{name}: {}\nand not {object}", found[name]);
    }
    Ok(())
}
