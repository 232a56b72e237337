//! The nodes' part on folders of its own and a fake API server.

use ferromesh_cni::{Said, answer};
use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Pod};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::symlink, net::UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{CniConfig, Redirect, decide::VALIDATION, start};
use crate::model::PodRepair;
use crate::runtime::{Readiness, Registry, Shutdown, TaskError, Tasks, Trigger, UnixSocket, encode_metrics};
use crate::testing::{eventually, fake_api::FakeApi};

const UID: &str = "5f0c0b1e-0000-4000-8000-000000000001";
const OTHERS: &str = r#"{"cniVersion":"0.4.0","name":"net","plugins":[{"type":"ptp"}]}"#;

/// A pod whose validating container has these arguments.
pub(super) fn pod(name: &str, arguments: &[&str]) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "shop", "uid": UID, "annotations": {"sidecar.istio.io/status": "{}"}},
        "spec": {
            "nodeName": "node-1",
            "initContainers": [{"name": VALIDATION, "image": "proxy", "args": arguments}],
            "containers": [{"name": name, "image": name}],
        },
    }))
    .unwrap()
}

/// The same once it has found its rules missing.
fn broken(name: &str) -> Pod {
    let mut pod = serde_json::to_value(pod(name, &["init", "--uid", "7"])).unwrap();
    let state = json!({"terminated": {"exitCode": 126}});
    pod["status"] = json!({"initContainerStatuses": [
        {"name": VALIDATION, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]});
    serde_json::from_value(pod).unwrap()
}

/// Arguments of rules, and what stands in the file of the namespace that they came into.
type Put = (Vec<String>, String);

struct Node {
    folder: TempDir,
    /// Which rules have been put where.
    redirected: Arc<Mutex<Vec<Put>>>,
    readiness: Readiness,
    registry: Registry,
    stop: Trigger,
    task: JoinHandle<Result<(), TaskError>>,
}

// === impl Node ===

impl Node {
    fn start(api: &FakeApi, repair: PodRepair, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["bin", "conf", "proc"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("plugin"), "program").unwrap();
        prepare(folder.path());
        let redirected: Arc<Mutex<Vec<Put>>> = Arc::default();
        let kept = redirected.clone();
        let redirect = Redirect::new(move |arguments, mut namespace| {
            let mut name = String::new();
            namespace.read_to_string(&mut name).unwrap();
            if name == "refused" {
                return Err("the kernel says no".to_owned());
            }
            kept.lock().unwrap().push((arguments.to_vec(), name));
            Ok(())
        });
        let config = CniConfig {
            node: "node-1".to_owned(),
            namespace: "istio-system".to_owned(),
            bin_dir: path("bin"),
            conf_dir: path("conf"),
            plugin: path("plugin"),
            socket: path("cni.sock"),
            repair,
            processes: path("proc"),
            redirect,
        };
        let socket = UnixSocket::bind(&config.socket).unwrap();
        let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
        start(config, api.client(), socket, &mut tasks, &readiness, &mut registry);
        let (stop, stopped) = Shutdown::channel();
        let signal = Box::pin(futures::stream::once(async move {
            stopped.requested().await;
            "SIGTERM"
        }));
        let task = tokio::spawn(tasks.run(futures::StreamExt::chain(signal, futures::stream::pending()), Duration::from_secs(10)));
        Self { folder, redirected, readiness, registry, stop, task }
    }

    async fn ready(api: &FakeApi, repair: PodRepair) -> Self {
        let node = Self::start(api, repair, |folder| fs::write(folder.join("conf/10-net.conflist"), OTHERS).unwrap());
        eventually("ready", || node.readiness.is_ready()).await;
        node
    }

    fn chain(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.folder.path().join("conf/10-net.conflist")).unwrap()).unwrap()
    }

    fn is_chained(&self) -> bool {
        self.chain()["plugins"][1]["type"] == "istio-cni"
    }

    /// What the runtime gets from the plugin for a pod, of whose namespace only the runtime knows the folder.
    async fn made(&self, pod: &str, uid: &str, namespace: &str) -> Said {
        let kept = tempfile::tempdir().unwrap();
        let netns = kept.path().join(namespace);
        if namespace != "missing" {
            fs::write(&netns, namespace).unwrap();
        }
        let configuration = json!({"cniVersion": "1.0.0", "socket": self.socket(), "prevResult": {"ips": []}}).to_string();
        let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME={pod};K8S_POD_UID={uid}");
        let asked = tokio::task::spawn_blocking(move || {
            let environment = |name: &str| match name {
                "CNI_COMMAND" => "ADD".to_owned(),
                "CNI_NETNS" => netns.display().to_string(),
                "CNI_ARGS" => args.clone(),
                _ => String::new(),
            };
            answer(&environment, &configuration)
        });
        asked.await.unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("cni.sock")
    }

    async fn stop(self) -> TempDir {
        self.stop.request();
        self.task.await.unwrap().unwrap();
        self.folder
    }
}

fn daemon_set() -> DaemonSet {
    serde_json::from_value(json!({"metadata": {"name": "istio-cni-node", "namespace": "istio-system"}})).unwrap()
}

#[tokio::test]
async fn pods_that_are_left_to_the_node_get_their_rules_and_others_are_left_alone() {
    let api = FakeApi::new();
    api.insert(&pod("web", &["init", "--uid", "7"]));
    api.insert(&pod("plain", &["sh"]));
    let node = Node::ready(&api, PodRepair::Fix).await;
    for (pod, namespace) in [("web", "net-a"), ("plain", "missing"), ("gone", "net-c")] {
        let said = node.made(pod, UID, namespace).await;
        assert!(said.success, "{pod}: {said:?}");
    }
    let put = node.redirected.lock().unwrap().clone();
    assert_eq!(put, [(vec!["--uid".to_owned(), "7".to_owned()], "net-a".to_owned())]);

    for (uid, namespace, reason) in [
        ("u-2", "net-a", "pod shop/web is another one by now"),
        (UID, "refused", "pod shop/web can't be redirected: the kernel says no"),
        (UID, "missing", "the runtime's plugin could not open the network namespace /"),
    ] {
        let said = node.made("web", uid, namespace).await;
        assert!(!said.success && said.text.contains(reason), "{said:?}");
    }
    let page = encode_metrics(&node.registry);
    for line in ["{result=\"redirected\"} 1", "{result=\"left alone\"} 2", "{result=\"failed\"} 3"] {
        assert!(page.contains(&format!("cni_networks_total{line}")), "{page}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_question_that_nobody_understands_is_told_so_at_once() {
    let api = FakeApi::new();
    let node = Node::ready(&api, PodRepair::Fix).await;
    let socket = node.socket();
    // A plugin of another version, say.
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(b"POST /networks HTTP/1.1\r\nhost: cni\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let answer: Value = serde_json::from_str(&asked.await.unwrap()).unwrap();
    assert!(answer["failed"].as_str().unwrap().starts_with("the question is not understood: "), "{answer}");
    node.stop().await;
}

#[tokio::test]
async fn the_plugin_comes_into_the_chain_and_back_into_it_and_leaves_with_its_daemon_set() {
    let api = FakeApi::new();
    api.insert(&daemon_set());
    let node = Node::ready(&api, PodRepair::Fix).await;
    let bin = node.folder.path().join("bin/istio-cni");
    assert!(node.is_chained());
    assert_eq!(node.chain()["plugins"][1]["socket"], json!(node.folder.path().join("cni.sock")));
    assert_eq!(fs::read_to_string(&bin).unwrap(), "program");

    // Another tool writes its configuration anew, somebody removes the program, and a newer configuration comes first.
    fs::write(node.folder.path().join("conf/10-net.conflist"), OTHERS).unwrap();
    fs::remove_file(&bin).unwrap();
    eventually("both are back", || node.is_chained() && bin.exists()).await;
    fs::write(node.folder.path().join("conf/05-other.conflist"), OTHERS).unwrap();
    let other = node.folder.path().join("conf/05-other.conflist");
    eventually("the first one counts", || fs::read_to_string(&other).unwrap().contains("istio-cni")).await;

    // A rollout leaves it.
    let folder = node.stop().await;
    assert!(fs::read_to_string(folder.path().join("conf/10-net.conflist")).unwrap().contains("istio-cni"));
    assert!(folder.path().join("bin/istio-cni").exists());

    let node = Node::ready(&api, PodRepair::Fix).await;
    api.delete::<DaemonSet>(Some("istio-system"), "istio-cni-node");
    let folder = node.stop().await;
    let left: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("conf/10-net.conflist")).unwrap()).unwrap();
    assert_eq!(left, serde_json::from_str::<Value>(OTHERS).unwrap());
    assert!(!folder.path().join("bin/istio-cni").exists());
}

#[tokio::test]
async fn a_node_without_a_network_is_waited_for() {
    let api = FakeApi::new();
    let node = Node::start(&api, PodRepair::Off, |_| {});
    eventually("only the configuration is awaited", || node.readiness.awaited() == [super::place::AWAITED]).await;
    fs::write(node.folder.path().join("conf/10-net.conflist"), OTHERS).unwrap();
    eventually("ready", || node.readiness.is_ready()).await;
    fs::remove_file(node.folder.path().join("conf/10-net.conflist")).unwrap();
    eventually("not ready any more", || !node.readiness.is_ready()).await;
    node.stop().await;
}

#[tokio::test]
async fn a_pod_that_started_without_its_rules_gets_them_where_it_is() {
    let api = FakeApi::new();
    api.insert(&broken("web"));
    let node = Node::start(&api, PodRepair::Fix, |folder| {
        fs::write(folder.join("conf/10-net.conflist"), OTHERS).unwrap();
        fs::create_dir_all(folder.join("proc/8/ns")).unwrap();
        fs::write(folder.join("proc/8/cgroup"), format!("0::/kubepods/pod{UID}/x\n")).unwrap();
        fs::write(folder.join("net-8"), "net-8").unwrap();
        symlink(folder.join("net-8"), folder.join("proc/8/ns/net")).unwrap();
    });
    eventually("its rules", || !node.redirected.lock().unwrap().is_empty()).await;
    let put = node.redirected.lock().unwrap().clone();
    assert_eq!(put, [(vec!["--uid".to_owned(), "7".to_owned()], "net-8".to_owned())]);
    let writes = api.calls().into_iter().filter(|call| call.is_write()).count();
    assert_eq!(writes, 0, "that takes no right of the API's");
    node.stop().await;
}

#[tokio::test]
async fn pods_that_started_without_their_rules_are_labelled_or_deleted_as_told() {
    for repair in [PodRepair::Label, PodRepair::Delete, PodRepair::Off] {
        let api = FakeApi::new();
        api.insert(&pod("whole", &["init"]));
        let node = Node::ready(&api, repair).await;
        api.insert(&broken("web"));
        let found = || api.get::<Pod>(Some("shop"), "web");
        match repair {
            PodRepair::Label => {
                eventually("a label", || found().is_some_and(|pod| pod.labels().contains_key("cni.istio.io/uninitialized"))).await;
            }
            PodRepair::Delete => eventually("it is deleted", || found().is_none()).await,
            _ => assert!(found().is_some_and(|pod| pod.labels().is_empty())),
        }
        assert!(api.get::<Pod>(Some("shop"), "whole").unwrap().labels().is_empty());
        assert!(node.redirected.lock().unwrap().is_empty());
        node.stop().await;
    }
}
