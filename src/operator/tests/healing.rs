//! What others change comes back; what is right is left alone.

use ferromesh_crds::{MeshInstall, install::State, networking::Gateway};
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        apps::v1::Deployment,
        coordination::v1::Lease,
        core::v1::{ConfigMap, Namespace, Secret, Service},
        events::v1::Event,
        rbac::v1::{ClusterRoleBinding, Role, RoleBinding},
    },
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::cluster::{Cluster, MESH, OPERATOR};
use crate::testing::eventually;

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let mut cluster = Cluster::healthy(json!({})).await;
    let quiet = |cluster: &Cluster| cluster.writes().len();
    let passes = || cluster.api.get::<MeshInstall>(None, "mesh").unwrap().resource_version();
    let (writes, version) = (quiet(&cluster), passes());
    // Every watch lists anew, and an event of no importance follows.
    cluster.api.break_watches();
    cluster.api.compact();
    let marker = json!({"metadata": {"name": "unrelated"}, "webhooks": []});
    cluster.api.insert::<MutatingWebhookConfiguration>(&serde_json::from_value(marker).unwrap());
    cluster.api.delete::<Service>(Some(MESH), "istio-galley");
    eventually("the one repair", || cluster.api.get::<Service>(Some(MESH), "istio-galley").is_some()).await;
    let repairs: Vec<String> = cluster.writes().split_off(writes).into_iter().filter(|write| !write.contains("events")).collect();
    assert_eq!(repairs, ["PATCH services/istio-galley"]);
    assert_eq!(cluster.api.get::<MeshInstall>(None, "mesh").unwrap().resource_version(), version);
    // Nor does an operator that starts anew.
    cluster.stop();
    let writes = quiet(&cluster);
    cluster.start();
    cluster.api.delete::<Service>(Some(MESH), "istiod");
    eventually("the new operator's repair", || cluster.api.get::<Service>(Some(MESH), "istiod").is_some()).await;
    let repairs: Vec<String> = cluster.writes().split_off(writes).into_iter().filter(|write| !write.contains("events")).collect();
    assert_eq!(repairs, ["PATCH services/istiod"]);
}

#[tokio::test]
async fn edits_are_undone_and_told() {
    let cluster = Cluster::healthy(json!({})).await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.api.client(), MESH);
    let edit = json!({"metadata": {"labels": {"theirs": "stays"}}, "spec": {"replicas": 0}});
    deployments.patch("istio-galley", &PatchParams::default(), &Patch::Merge(edit)).await.unwrap();
    eventually("one replica", || {
        cluster.api.get::<Deployment>(Some(MESH), "istio-galley").and_then(|galley| galley.spec?.replicas) == Some(1)
    })
    .await;
    assert_eq!(cluster.api.get::<Deployment>(Some(MESH), "istio-galley").unwrap().labels()["theirs"], "stays");
    let wanted = "Deployment istio-system/istio-galley was changed at spec.replicas and has been restored";
    eventually("an event", || cluster.api.list::<Event>().iter().any(|event| event.note.as_deref() == Some(wanted))).await;
}

/// Each of these leaves all that is planned as it is, and takes its effect away.
#[tokio::test]
async fn what_narrows_something_that_is_planned_is_undone() {
    let cluster = Cluster::healthy(json!({})).await;
    let client = cluster.api.client();
    let named = json!({
        "metadata": {"name": "edge", "namespace": "shop"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [{
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["a.example"],
            "tls": {"mode": "SIMPLE", "credentialName": "web"},
        }]},
    });
    cluster.api.insert::<Gateway>(&serde_json::from_value(named).unwrap());
    let rules = || cluster.api.get::<Role>(Some(MESH), "ferromesh-pilot-credentials").and_then(|role| role.rules).unwrap_or_default();
    eventually("the right to a Secret", || rules().len() == 1).await;

    let service = || cluster.api.get::<Service>(Some(MESH), "istio-sidecar-injector").unwrap().spec.unwrap().selector;
    let injector = || cluster.api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector").unwrap().webhooks.unwrap();
    let galley = || cluster.api.get::<ValidatingWebhookConfiguration>(None, "istio-galley").unwrap().webhooks.unwrap();
    let right = (service(), injector(), galley(), rules());
    let is_right = || (service(), injector(), galley(), rules()) == right;
    let params = PatchParams::default();

    let services: Api<Service> = Api::namespaced(client.clone(), MESH);
    let edit = json!({"spec": {"selector": {"x": "y"}}});
    services.patch("istio-sidecar-injector", &params, &Patch::Merge(edit)).await.unwrap();
    eventually("the pods behind a Service", is_right).await;
    let wanted = "Service istio-system/istio-sidecar-injector was changed at spec.selector.x and has been restored";
    eventually("an event", || cluster.api.list::<Event>().iter().any(|event| event.note.as_deref() == Some(wanted))).await;

    let selector = json!({"matchLabels": {"x": "y"}});
    let never = json!({"name": "never", "expression": "false"});
    let asked: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    for field in ["namespaceSelector", "objectSelector", "matchConditions"] {
        let mut webhooks = json!(injector());
        match field {
            "matchConditions" => webhooks[1][field].as_array_mut().unwrap().push(never.clone()),
            field => webhooks[0][field]["matchLabels"] = selector["matchLabels"].clone(),
        }
        asked.patch("istio-sidecar-injector", &params, &Patch::Merge(json!({"webhooks": webhooks}))).await.unwrap();
        eventually(&format!("{field} of the injector's webhooks"), is_right).await;
    }
    // Of the namespaces galley's plan says nothing.
    let mut webhooks = json!(galley());
    webhooks[0]["namespaceSelector"] = selector;
    webhooks[0]["matchConditions"].as_array_mut().unwrap().push(never);
    let asked: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    asked.patch("istio-galley", &params, &Patch::Merge(json!({"webhooks": webhooks}))).await.unwrap();
    eventually("galley's webhooks", is_right).await;

    let roles: Api<Role> = Api::namespaced(client, MESH);
    let mut narrowed = json!(rules());
    narrowed[0]["nonResourceURLs"] = json!(["/nowhere"]);
    roles.patch("ferromesh-pilot-credentials", &params, &Patch::Merge(json!({"rules": narrowed}))).await.unwrap();
    eventually("a role's rules", is_right).await;

    // And then there is rest.
    cluster.until_healthy().await;
    let writes = cluster.writes().len();
    cluster.api.break_watches();
    cluster.api.compact();
    cluster.api.delete::<Service>(Some(MESH), "istiod");
    eventually("another repair", || cluster.api.get::<Service>(Some(MESH), "istiod").is_some()).await;
    let repairs: Vec<String> = cluster.writes().split_off(writes).into_iter().filter(|write| !write.contains("events")).collect();
    assert_eq!(repairs, ["PATCH services/istiod"]);
}

#[tokio::test]
async fn every_kind_comes_back() {
    let cluster = Cluster::healthy(json!({})).await;
    let api = &cluster.api;
    api.delete::<Deployment>(Some(MESH), "istio-pilot");
    api.delete::<ConfigMap>(Some(MESH), "istio");
    api.delete::<Lease>(Some(MESH), "istio-citadel");
    api.delete::<ClusterRoleBinding>(None, "ferromesh-citadel");
    api.delete::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector");
    api.delete::<ValidatingWebhookConfiguration>(None, "istio-galley");
    api.delete::<Secret>(Some(MESH), "istio-galley-webhook-certs");
    api.delete::<Secret>(Some(OPERATOR), "ferromesh-operator-webhook-certs");
    eventually("all of them", || {
        api.get::<Deployment>(Some(MESH), "istio-pilot").is_some()
            && api.get::<ConfigMap>(Some(MESH), "istio").is_some()
            && api.get::<Lease>(Some(MESH), "istio-citadel").is_some()
            && api.get::<ClusterRoleBinding>(None, "ferromesh-citadel").is_some()
            && api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector").is_some()
            && api.get::<ValidatingWebhookConfiguration>(None, "istio-galley").is_some()
            && api.get::<Secret>(Some(MESH), "istio-galley-webhook-certs").is_some()
            && api.get::<Secret>(Some(OPERATOR), "ferromesh-operator-webhook-certs").is_some()
    })
    .await;
    cluster.until_healthy().await;
}

#[tokio::test]
async fn a_corrupted_bundle_is_replaced_in_every_webhook_configuration() {
    let cluster = Cluster::healthy(json!({})).await;
    let bundles = || {
        let of_validating = |name: &str| {
            let configuration = cluster.api.get::<ValidatingWebhookConfiguration>(None, name);
            configuration
                .and_then(|all| all.webhooks)
                .unwrap_or_default()
                .into_iter()
                .map(|one| one.client_config.ca_bundle)
                .collect::<Vec<_>>()
        };
        let injector = cluster.api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector");
        let injector = injector.and_then(|all| all.webhooks).unwrap_or_default().into_iter().map(|one| one.client_config.ca_bundle);
        [of_validating("ferromesh-operator"), of_validating("istio-galley"), injector.collect()].concat()
    };
    let right = bundles();
    assert!(right.windows(2).all(|pair| pair[0] == pair[1] && pair[0].is_some()), "one authority for all");
    for name in ["ferromesh-operator", "istio-galley"] {
        let mut configuration = cluster.api.get::<ValidatingWebhookConfiguration>(None, name).unwrap();
        configuration.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = Some(ByteString(b"corrupted".to_vec()));
        cluster.api.insert(&configuration);
    }
    let mut injector = cluster.api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector").unwrap();
    injector.webhooks.as_mut().unwrap()[1].client_config.ca_bundle = None;
    cluster.api.insert(&injector);
    assert_ne!(bundles(), right);
    eventually("the right bundles", || bundles() == right).await;
}

#[tokio::test]
async fn an_intruder_in_a_binding_is_thrown_out() {
    let cluster = Cluster::healthy(json!({})).await;
    let mut binding = cluster.api.get::<ClusterRoleBinding>(None, "ferromesh-citadel").unwrap();
    let intruder = json!({"kind": "ServiceAccount", "name": "intruder", "namespace": "default"});
    binding.subjects.as_mut().unwrap().push(serde_json::from_value(intruder).unwrap());
    cluster.api.insert(&binding);
    eventually("one subject", || {
        cluster.api.get::<ClusterRoleBinding>(None, "ferromesh-citadel").and_then(|binding| binding.subjects).unwrap_or_default().len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_deleted_namespace_is_made_again() {
    let cluster = Cluster::healthy(json!({})).await;
    let api = &cluster.api;
    api.delete::<Namespace>(None, MESH);
    eventually("namespace and mesh are back", || {
        cluster.bring_up_pods();
        api.get::<Namespace>(None, MESH).is_some() && api.list::<Deployment>().len() == 6
    })
    .await;
    cluster.until_healthy().await;
}

#[tokio::test]
async fn lasting_refusals_are_told() {
    let mut cluster = Cluster::new();
    cluster.api.answer(|call| {
        let refused = call.is_write() && call.target.plural == "deployments";
        refused
            .then(|| (403, json!({"kind": "Status", "status": "Failure", "message": "exceeded quota", "reason": "Forbidden", "code": 403})))
    });
    cluster.install("mesh", json!({}));
    cluster.start();
    eventually("the refusal in the status", || cluster.condition("mesh", "Ready").is_some_and(|(_, reason, _)| reason == "ApplyFailed"))
        .await;
    let (.., message) = cluster.condition("mesh", "Ready").unwrap();
    assert!(
        message.starts_with("Deployment istio-system/istio-citadel can't be written: ") && message.contains("exceeded quota"),
        "{message}"
    );
    assert_eq!(cluster.status("mesh").state, Some(State::Error));
}

#[tokio::test]
async fn an_object_that_the_api_server_finds_invalid_stalls_and_keeps_no_other_from_its_plan() {
    let cluster = Cluster::healthy(json!({"gateways": {"egress": [{"name": "istio-egressgateway", "enabled": true}]}})).await;
    let refuses = Arc::new(AtomicBool::new(true));
    let still = refuses.clone();
    cluster.api.answer(move |call| {
        let refused = call.method == "PATCH" && call.target.plural == "services" && still.load(Ordering::SeqCst);
        refused.then(|| (422, json!({"kind": "Status", "status": "Failure", "message": "port is taken", "reason": "Invalid", "code": 422})))
    });
    let bundles = || {
        let injector = cluster.api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector");
        injector.and_then(|all| all.webhooks).unwrap_or_default().into_iter().map(|one| one.client_config.ca_bundle).collect::<Vec<_>>()
    };
    let gateway = || cluster.api.get::<Service>(Some(MESH), "istio-ingressgateway");
    let right = bundles();
    cluster.api.delete::<Service>(Some(MESH), "istio-ingressgateway");
    let mut injector = cluster.api.get::<MutatingWebhookConfiguration>(None, "istio-sidecar-injector").unwrap();
    injector.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = Some(ByteString(b"corrupted".to_vec()));
    cluster.api.insert(&injector);
    eventually("the right bundle", || bundles() == right).await;
    let stalled = (
        "True".to_owned(),
        "InvalidSpec".to_owned(),
        "Service istio-system/istio-ingressgateway is refused by the API server: port is taken".to_owned(),
    );
    eventually("the refusal in the status", || cluster.condition("mesh", "Stalled").as_ref() == Some(&stalled)).await;
    assert!(gateway().is_none(), "the refusal was real");

    // Further passes send it no more, and take away what is no longer planned, but for what it may be meant to replace.
    let sent = || cluster.writes().iter().filter(|write| *write == "PATCH services/istio-ingressgateway").count();
    let before = sent();
    let there = |name: &str| cluster.api.get::<Deployment>(Some(MESH), name).is_some();
    cluster.install("mesh", json!({"addons": {"prometheus": {"enabled": false}}}));
    eventually("what is not planned is gone", || !there("prometheus")).await;
    let listed = |name: &str| cluster.status("mesh").inventory.iter().any(|entry| entry.kind == "Deployment" && entry.name == name);
    eventually("it is told of no more", || !listed("prometheus") && !cluster.status("mesh").components.contains_key("prometheus")).await;
    assert!(listed("istio-egressgateway"), "what is there is");
    cluster.fail_pods_of("istio-galley");
    let galley = || cluster.status("mesh").components["galley"].status;
    let answers = || cluster.condition("mesh", "WebhooksReady").map(|(status, ..)| status == "True");
    eventually("a part that fails meanwhile is told of", || galley() == Some(State::Error) && answers() == Some(false)).await;
    assert_eq!(cluster.condition("mesh", "Stalled").as_ref(), Some(&stalled));
    cluster.api.delete::<ConfigMap>(Some(MESH), "istio");
    eventually("another repair", || cluster.api.get::<ConfigMap>(Some(MESH), "istio").is_some()).await;
    assert_eq!(sent(), before);
    assert!(there("istio-egressgateway"), "another gateway stays until the new one is there");

    // Another spec is another try.
    refuses.store(false, Ordering::SeqCst);
    let service = json!({"annotations": {"cloud/kind": "internal"}});
    let gateways = json!({"ingress": [{"name": "istio-ingressgateway", "service": service}]});
    cluster.install("mesh", json!({"addons": {"prometheus": {"enabled": false}}, "gateways": gateways}));
    cluster.until_healthy().await;
    assert!(gateway().is_some() && !there("istio-egressgateway") && cluster.condition("mesh", "Stalled").is_none());
}

#[tokio::test]
async fn pilot_may_read_the_secrets_that_gateways_name_as_long_as_they_do() {
    let cluster = Cluster::healthy(json!({})).await;
    let named = || {
        let role = cluster.api.get::<Role>(Some(MESH), "ferromesh-pilot-credentials")?;
        Some(role.rules.unwrap_or_default().into_iter().flat_map(|rule| rule.resource_names.unwrap_or_default()).collect::<Vec<_>>())
    };
    eventually("a role without names", || named() == Some(Vec::new())).await;
    let binding = cluster.api.get::<RoleBinding>(Some(MESH), "ferromesh-pilot-credentials").unwrap();
    assert_eq!((&*binding.role_ref.kind, &*binding.subjects.unwrap()[0].name), ("Role", "istio-pilot"));
    let server = json!({
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": ["a.example"],
        "tls": {"mode": "SIMPLE", "credentialName": "web"},
    });
    let gateway = json!({
        "metadata": {"name": "edge", "namespace": "shop"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
    });
    cluster.api.insert::<Gateway>(&serde_json::from_value(gateway).unwrap());
    eventually("the names", || named() == Some(vec!["web".to_owned(), "web-cacert".to_owned()])).await;
    cluster.api.delete::<Gateway>(Some("shop"), "edge");
    eventually("a role without names again", || named() == Some(Vec::new())).await;
}
