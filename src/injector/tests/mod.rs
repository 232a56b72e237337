//! Whole injections.

mod laws;
mod serving;
mod shapes;

use serde_json::{Value, json};

use super::{pod::PodView, *};
use crate::model::{InjectionValues, MeshConfig, SidecarDefaults};

fn template() -> Template {
    let requests = [("cpu".to_owned(), json!("10m")), ("memory".to_owned(), json!("64Mi"))].into();
    Template::new(
        InjectionValues {
            hub: "registry.local/mesh".to_owned(),
            tag: "1.0.0".to_owned(),
            image_pull_policy: String::new(),
            image_pull_secrets: vec!["hub".to_owned()],
            revision: "default".to_owned(),
            istio_namespace: "istio-system".to_owned(),
            ca_address: "istio-citadel.istio-system.svc:15012".to_owned(),
            cluster_id: "Kubernetes".to_owned(),
            proxy: SidecarDefaults { resources: [("requests".to_owned(), requests)].into(), ..SidecarDefaults::default() },
            ..InjectionValues::default()
        },
        MeshConfig::default(),
    )
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": "reviews-v1-5d8f-",
            "labels": {"app": "reviews", "version": "v1", "pod-template-hash": "5d8f"},
            "annotations": {"prometheus.io/port": "9080", "prometheus.io/scrape": "true"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "reviews-v1-5d8f", "controller": true}],
        },
        "spec": {
            "futureField": {"kept": true},
            "initContainers": [{"name": "migrate", "image": "db"}],
            "containers": [{
                "name": "reviews", "image": "bookinfo", "futureField": 1,
                "ports": [{"containerPort": 9080, "name": "http"}],
                "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
            }],
        },
    })
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().map(|l| l.iter().filter_map(|c| c["name"].as_str()).collect()).unwrap_or_default()
}

#[test]
fn a_native_sidecar_stands_before_the_pods_own_init_containers() {
    let injected = inject(&pod(), &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap();
    assert_eq!(names(&injected["spec"]["initContainers"]), ["istio-init", "istio-proxy", "migrate"]);
    assert_eq!(names(&injected["spec"]["containers"]), ["reviews"]);
    insta::assert_yaml_snapshot!("native", injected);
}

#[test]
fn an_ordinary_sidecar_comes_last_and_init_after_the_pods_own() {
    let injected = inject(&pod(), &Surroundings::of("shop", &ProxyConfigs::default(), false), &template()).unwrap();
    assert_eq!(names(&injected["spec"]["initContainers"]), ["migrate", "istio-init"]);
    assert_eq!(names(&injected["spec"]["containers"]), ["reviews", "istio-proxy"]);
    assert_eq!(injected["spec"]["containers"][1]["restartPolicy"], Value::Null);
}

#[test]
fn injecting_twice_gives_the_same_pod() {
    for native in [true, false] {
        let once = inject(&pod(), &Surroundings::of("shop", &ProxyConfigs::default(), native), &template()).unwrap();
        assert_eq!(inject(&once, &Surroundings::of("shop", &ProxyConfigs::default(), native), &template()).unwrap(), once);
    }
}

#[test]
fn injecting_again_on_newer_nodes_moves_the_sidecar() {
    let old = inject(&pod(), &Surroundings::of("shop", &ProxyConfigs::default(), false), &template()).unwrap();
    assert_eq!(
        inject(&old, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap(),
        inject(&pod(), &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap()
    );
}

#[test]
fn application_containers_keep_everything_but_their_probes() {
    let mut injected = inject(&pod(), &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap();
    let mut before = pod();
    for pod in [&mut injected, &mut before] {
        pod["spec"]["containers"][0].as_object_mut().unwrap().remove("readinessProbe");
    }
    assert_eq!(injected["spec"]["containers"], before["spec"]["containers"]);
    assert_eq!(injected["spec"]["futureField"], before["spec"]["futureField"]);
}

#[test]
fn the_sidecar_is_confined() {
    let injected = inject(&pod(), &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap();
    let security = |index: usize| &injected["spec"]["initContainers"][index]["securityContext"];
    assert_eq!(security(0)["capabilities"], json!({"add": ["NET_ADMIN"], "drop": ["ALL"]}));
    assert_eq!(security(1)["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(security(1)["runAsUser"], 1337);
    for index in [0, 1] {
        assert_eq!(security(index)["privileged"], false);
        assert_eq!(security(index)["allowPrivilegeEscalation"], false);
        assert_eq!(security(index)["readOnlyRootFilesystem"], true);
    }
}

#[test]
fn a_pod_that_captures_nothing_gets_no_init_container() {
    let mut pod = pod();
    pod["metadata"]["annotations"]["sidecar.istio.io/interceptionMode"] = "NONE".into();
    let injected = inject(&pod, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap();
    assert_eq!(names(&injected["spec"]["initContainers"]), ["istio-proxy", "migrate"]);
}

#[test]
fn what_the_pod_says_of_its_ports_reaches_the_redirect_rules() {
    let mut pod = pod();
    pod["metadata"]["annotations"]["traffic.sidecar.istio.io/excludeInboundPorts"] = "9999".into();
    let injected = inject(&pod, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap();
    let args = injected["spec"]["initContainers"][0]["args"].as_array().unwrap();
    let at = args.iter().position(|arg| arg == "--exclude-inbound-ports").unwrap();
    assert_eq!(args[at + 1], "15090,15021,15020,9999");
}

#[test]
fn a_container_of_our_name_is_the_pods_own_word_on_the_sidecar() {
    let mut own = pod();
    let override_ =
        json!({"name": "istio-proxy", "image": "auto", "securityContext": {"runAsUser": 1500}, "env": [{"name": "X", "value": "1"}]});
    own["spec"]["containers"].as_array_mut().unwrap().insert(0, override_);
    for native in [true, false] {
        let injected = inject(&own, &Surroundings::of("shop", &ProxyConfigs::default(), native), &template()).unwrap();
        let view = PodView::new(&injected);
        let proxy = view.container("istio-proxy").unwrap();
        assert_eq!(proxy["image"], "registry.local/mesh/ferromesh-proxy:1.0.0");
        assert_eq!(proxy["securityContext"]["runAsUser"], 1500);
        assert_eq!(proxy["securityContext"]["readOnlyRootFilesystem"], true);
        assert!(proxy["env"].as_array().unwrap().iter().any(|variable| variable["name"] == "X"));
        let args = view.container("istio-init").unwrap()["args"].as_array().unwrap();
        assert!(args.windows(2).any(|pair| pair == ["--uid", "1500"]), "{args:?}");
        assert_eq!(inject(&injected, &Surroundings::of("shop", &ProxyConfigs::default(), native), &template()).unwrap(), injected);
    }
}

#[test]
fn what_the_pod_says_of_itself_stays() {
    let mut own = pod();
    own["metadata"]["labels"]["security.istio.io/tlsMode"] = "disabled".into();
    own["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = "other".into();
    let injected = inject(&own, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap();
    assert_eq!(injected["metadata"]["labels"]["security.istio.io/tlsMode"], "disabled");
    assert_eq!(injected["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"], "other");
    assert_eq!(injected["metadata"]["annotations"]["kubectl.kubernetes.io/default-logs-container"], "reviews");
}

#[test]
fn every_spelling_of_the_scrape_annotations_gives_way_to_ours() {
    let mut own = pod();
    own["metadata"]["annotations"] = json!({"prometheus.io.port": "9080", "prometheus-io/path": "/m"});
    let injected = inject(&own, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap();
    let annotations = injected["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(annotations["prometheus.io/port"], "15020");
    assert!(!annotations.contains_key("prometheus.io.port") && !annotations.contains_key("prometheus-io/path"));
    let env = PodView::new(&injected).container("istio-proxy").unwrap()["env"].to_string();
    assert!(env.contains(r#"{\"path\":\"/m\",\"port\":\"9080\"}"#), "{env}");
    own["metadata"]["annotations"]["prometheus_io_scrape"] = "false".into();
    let left = inject(&own, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap();
    assert_eq!(left["metadata"]["annotations"]["prometheus.io.port"], "9080");
}

#[test]
fn status_port_zero_leaves_the_sidecar_without_probes() {
    let mut own = pod();
    own["metadata"]["annotations"]["status.sidecar.istio.io/port"] = "0".into();
    let injected = inject(&own, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap();
    let proxy = PodView::new(&injected).container("istio-proxy").unwrap();
    assert_eq!((&proxy["readinessProbe"], &proxy["startupProbe"]), (&Value::Null, &Value::Null));
    assert_eq!(injected["spec"]["containers"][0]["readinessProbe"], own["spec"]["containers"][0]["readinessProbe"]);
}

#[test]
fn no_field_is_made_that_the_pod_does_not_need() {
    let own = json!({"metadata": {"annotations": {"sidecar.istio.io/interceptionMode": "NONE"}}, "spec": {"containers": [{"name": "a"}]}});
    let injected = inject(&own, &Surroundings::of("shop", &ProxyConfigs::default(), false), &template()).unwrap();
    assert!(injected["spec"].get("initContainers").is_none(), "{injected}");
}

#[test]
fn a_pod_that_makes_no_sense_breaks_nothing() {
    let broken = [
        json!({"metadata": {"labels": 5, "annotations": "x", "ownerReferences": {}}, "spec": {"containers": {}, "volumes": "x"}}),
        json!({"metadata": {}, "spec": {"containers": [5, "x", {"name": 7, "readinessProbe": [], "lifecycle": 3}], "initContainers": null}}),
        json!({"metadata": {"annotations": {"sidecar.istio.io/status": "[]", "proxy.istio.io/overrides": "{\"containers\":5}"}}, "spec": {}}),
    ];
    for pod in broken {
        let injected = inject(&pod, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap();
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &patch::between(&pod, injected.clone())).unwrap();
        assert_eq!(patched, injected);
    }
}

#[test]
fn scraping_the_sidecars_own_port_is_refused() {
    let mut pod = pod();
    pod["metadata"]["annotations"]["prometheus.io/port"] = "15090".into();
    let error = inject(&pod, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template()).unwrap_err();
    assert_eq!(error.to_string(), "annotation prometheus.io/port: \"15090\" is one of the sidecar's own ports; name the application's");
}

#[test]
fn a_variant_of_the_image_is_what_a_tag_can_end_in() {
    let image = |annotation: &str, text: &str| {
        let mut pod = pod();
        pod["metadata"]["annotations"][annotation] = text.into();
        let injected = inject(&pod, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template())?;
        Ok::<_, InjectError>(injected["spec"]["initContainers"][1]["image"].as_str().unwrap().to_owned())
    };
    let usual = "registry.local/mesh/ferromesh-proxy:1.0.0";
    assert_eq!(image("sidecar.istio.io/proxyImageType", "debug").unwrap(), format!("{usual}-debug"));
    assert_eq!(image("proxy.istio.io/config", "{image: {imageType: debug}}").unwrap(), format!("{usual}-debug"));
    assert_eq!(image("sidecar.istio.io/proxyImageType", "distroless").unwrap(), usual);
    assert!(image("sidecar.istio.io/proxyImageType", "de bug").is_err());
}
