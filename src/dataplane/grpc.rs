//! What applications see whose gRPC library speaks xDS itself: real programs with Go's library, real agents, a real pilot and citadel.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::LazyLock,
    time::{Duration, Instant},
};

use ferromesh_crds::{
    networking::{DestinationRule, VirtualService},
    security::PeerAuthentication,
};
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    time::sleep,
};

use super::control_plane::ControlPlane;
use crate::agent::{self, DataPlane, Order};
use crate::runtime::{Registry, Tasks};
use crate::testing::{block_on, eventually_seen, fake_api::FakeApi, free_port, http::try_get, skip};

const ECHO: &str = "spiffe://cluster.local/ns/shop/sa/echo";
const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/client";
const TARGET: &str = "xds:///echo.shop.svc.cluster.local:7070";
/// How long programs may take to see what has changed. They look for new certificates every five seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The sample's program; none without Go.
static PROGRAM: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    std::process::Command::new("go").arg("version").stdout(Stdio::null()).status().ok()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/grpc-echo/build.sh");
    let output = std::process::Command::new(script).output().expect("samples/grpc-echo/build.sh starts");
    assert!(output.status.success(), "samples/grpc-echo/build.sh: {}", String::from_utf8_lossy(&output.stderr));
    Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()))
});

/// A pod's agent, with the folder that it shares with the application.
struct Beside {
    folder: TempDir,
    _tasks: Tasks,
    _orders: mpsc::Receiver<Order>,
}

// === impl Beside ===

impl Beside {
    /// The agent of a pod, once it says that it is ready.
    async fn start(mesh: &ControlPlane, pod: &str, app: &str, lifetime: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_plane = DataPlane::Grpc { certificates: folder.path().join("data") };
        let config = mesh.agent(&folder, pod, app, data_plane, lifetime);
        let (mut tasks, (orders, ordered), port) = (Tasks::new(), mpsc::channel(4), config.ports.status);
        let listeners = agent::bind(&config).await.unwrap();
        let _drain = agent::start(config, listeners, orders, &mut tasks, Registry::default());
        eventually_seen("the agent is ready", async || try_get(port, "/healthz/ready", &[]).await.is_ok_and(|answer| answer.status == 200))
            .await;
        Self { folder, _tasks: tasks, _orders: ordered }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM.as_ref().expect("asked for before"));
        // A program can start at once: a library reads its bootstrap no second time.
        let bootstrap = self.folder.path().join("grpc-bootstrap.json");
        assert!(bootstrap.exists());
        command.args(arguments).env("GRPC_XDS_BOOTSTRAP", bootstrap).kill_on_drop(true);
        command
    }

    fn server(&self, port: u16, name: &str) -> Child {
        self.command(&["serve", &format!("0.0.0.0:{port}"), name]).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn client(&self, target: &str) -> Client {
        let mut child = self.command(&["call", target]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (lines, results) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
        Client { _child: child, lines, results }
    }
}

/// A client that goes on.
struct Client {
    _child: Child,
    lines: ChildStdin,
    results: Lines<BufReader<ChildStdout>>,
}

// === impl Client ===

impl Client {
    /// What comes of a call with these headers, as in `name: value; …`.
    async fn call(&mut self, headers: &str) -> Value {
        self.lines.write_all(format!("{headers}\n").as_bytes()).await.unwrap();
        serde_json::from_str(&self.results.next_line().await.unwrap().expect("the client goes on")).unwrap()
    }

    /// Calls until what comes of it is as wanted.
    async fn calls_until(&mut self, what: &str, headers: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let result = self.call(headers).await;
            if wanted(&result) {
                return result;
            }
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; the last call came to {result}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Who answers how many of so many calls.
    async fn answering(&mut self, calls: usize) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for _ in 0..calls {
            let result = self.call("").await;
            *found.entry(result["name"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        found
    }
}

fn object<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

/// A pod of namespace `shop` that serves on that port, and whose server takes mTLS, as its label says.
fn pod(name: &str, app: &str, version: &str, port: u16) -> Pod {
    object(json!({
        "metadata": {"name": name, "namespace": "shop",
            "labels": {"app": app, "version": version, "security.istio.io/tlsMode": "istio"}},
        "spec": {"nodeName": "node-0", "serviceAccountName": app,
            "containers": [{"name": "app", "image": "app", "ports": [{"name": "grpc", "containerPort": port}]}]},
        "status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}]},
    }))
}

/// That a pod is an endpoint of `echo`.
fn slice(pod: &str, port: u16) -> EndpointSlice {
    object(json!({
        "metadata": {"name": pod, "namespace": "shop", "labels": {"kubernetes.io/service-name": "echo"}},
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": port}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": pod, "namespace": "shop"}}],
    }))
}

fn virtual_service(http: &Value) -> VirtualService {
    object(json!({"metadata": {"name": "echo", "namespace": "shop"}, "spec": {"hosts": ["echo"], "http": http}}))
}

fn to(subset: &str, weight: u32) -> Value {
    json!({"destination": {"host": "echo", "subset": subset}, "weight": weight})
}

/// A mesh with a client, and `echo` by two versions, each a server of its own.
struct Scene {
    api: FakeApi,
    mesh: ControlPlane,
    client: Beside,
    _servers: Vec<(Beside, Child)>,
}

// === impl Scene ===

impl Scene {
    async fn start(lifetime: Duration) -> Self {
        let (api, versions) = (FakeApi::new(), ["v1", "v2"].map(|version| (version, free_port())));
        let spec = json!({"clusterIP": "10.96.0.9", "selector": {"app": "echo"},
            "ports": [{"name": "grpc", "port": 7070, "targetPort": "grpc"}]});
        api.insert(&object::<Service>(json!({"metadata": {"name": "echo", "namespace": "shop"}, "spec": spec})));
        for (version, port) in versions {
            let name = format!("echo-{version}");
            api.insert(&pod(&name, "echo", version, port));
            api.insert(&slice(&name, port));
        }
        api.insert(&pod("client-1", "client", "v1", 1));
        let subsets = versions.map(|(version, _)| json!({"name": version, "labels": {"version": version}}));
        let spec = json!({"host": "echo", "subsets": subsets});
        api.insert(&object::<DestinationRule>(json!({"metadata": {"name": "echo", "namespace": "shop"}, "spec": spec})));
        let mesh = ControlPlane::start(&api).await;
        let mut servers = Vec::new();
        for (version, port) in versions {
            let beside = Beside::start(&mesh, &format!("echo-{version}"), "echo", lifetime).await;
            let server = beside.server(port, version);
            servers.push((beside, server));
        }
        let client = Beside::start(&mesh, "client-1", "client", lifetime).await;
        Self { api, mesh, client, _servers: servers }
    }
}

/// Runs a test where there is Go.
fn with_program(name: &str, test: impl Future<Output = ()>) {
    match *PROGRAM {
        Some(_) => block_on(test),
        None => skip(name, "Go, which builds the program, is not installed"),
    }
}

#[test]
fn calls_are_made_by_mtls_and_go_where_virtual_services_say() {
    with_program("calls_are_made_by_mtls_and_go_where_virtual_services_say", async {
        let scene = Scene::start(DAY).await;
        let mut client = scene.client.client(TARGET);
        let first = client.calls_until("a call is answered", "", |it| it["code"] == "OK").await;
        assert_eq!((&first["caller"], &first["server"]), (&json!(CLIENT), &json!(ECHO)), "{first}");
        client.calls_until("the other version answers, too", "", |it| it["name"] != first["name"]).await;

        let by_header = json!({"match": [{"headers": {"x-version": {"exact": "v2"}}}], "route": [to("v2", 1)]});
        let abort = json!({"match": [{"headers": {"x-fail": {"exact": "yes"}}}], "route": [to("v1", 1)],
            "fault": {"abort": {"grpcStatus": "DATA_LOSS", "percentage": {"value": 100}}}});
        // Browsers' rules are refused by gRPC, were they sent.
        let cors = json!({"allowOrigins": [{"exact": "*"}]});
        let shares = json!({"route": [to("v1", 90), to("v2", 10)], "corsPolicy": cors});
        scene.api.insert(&virtual_service(&json!([by_header, abort, shares])));
        client.calls_until("the fault has effect", "x-fail: yes", |it| it["code"] == "DataLoss").await;
        for _ in 0..10 {
            assert_eq!(client.call("x-version: v2").await["name"], "v2");
        }
        let found = client.answering(200).await;
        // Of 200 calls 20 are meant for v2; outside of these bounds they are once in a million times.
        assert!((3..=45).contains(found.get("v2").unwrap_or(&0)) && found.len() == 2, "{found:?}");
        let again = client.call("").await;
        assert_eq!((&again["caller"], &again["server"]), (&json!(CLIENT), &json!(ECHO)), "subsets are secured, too");

        assert_eq!(client.call("delay: 500ms").await["code"], "OK");
        scene.api.insert(&virtual_service(&json!([{"timeout": "0.2s", "route": [to("v1", 1)]}])));
        client.calls_until("the time is up", "delay: 500ms", |it| it["code"] == "DeadlineExceeded").await;
    });
}

#[test]
fn clients_follow_endpoints_and_peer_authentication_and_know_short_names() {
    with_program("clients_follow_endpoints_and_peer_authentication_and_know_short_names", async {
        let scene = Scene::start(DAY).await;
        let mut client = scene.client.client("xds:///echo:7070");
        client.calls_until("a call is answered", "", |it| it["name"] == "v1").await;
        scene.api.delete::<EndpointSlice>(Some("shop"), "echo-v1");
        let mut since = 0;
        while since < 20 {
            let result = client.calls_until("the other version alone answers", "", |it| it["code"] == "OK").await;
            since = if result["name"] == "v2" { since + 1 } else { 0 };
        }

        let off = json!({"metadata": {"name": "default", "namespace": "shop"}, "spec": {"mtls": {"mode": "DISABLE"}}});
        scene.api.insert(&object::<PeerAuthentication>(off));
        let plain = client.calls_until("nobody is known any more", "", |it| it["code"] == "OK" && it["caller"] == "").await;
        assert_eq!(plain["server"], "");
        let strict = json!({"metadata": {"name": "default", "namespace": "shop"}, "spec": {"mtls": {"mode": "STRICT"}}});
        scene.api.insert(&object::<PeerAuthentication>(strict));
        client.calls_until("the caller is known again", "", |it| it["caller"] == CLIENT).await;

        let mut nobody = scene.client.client("xds:///nowhere.shop:7070");
        assert_ne!(nobody.call("").await["code"], "OK");
        drop(scene.mesh);
        // What they know holds without the control plane.
        assert_eq!(client.call("").await["code"], "OK");
    });
}

#[test]
fn certificates_are_renewed_in_programs_that_go_on() {
    with_program("certificates_are_renewed_in_programs_that_go_on", async {
        let scene = Scene::start(Duration::from_secs(20)).await;
        let mut client = scene.client.client(TARGET);
        let first = client.calls_until("a call is answered", "", |it| it["name"] == "v1").await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A new client shakes hands anew; its own certificate and the server's must be good then.
            let mut another = scene.client.client(TARGET);
            let result = another.calls_until("the version answers", "", |it| it["code"] != "OK" || it["name"] == "v1").await;
            assert_eq!(result["code"], "OK", "{result}");
            if result["serial"] != first["serial"] {
                break;
            }
            assert!(Instant::now() < deadline, "the server shows its first certificate for ever");
        }
        assert_eq!(client.call("").await["code"], "OK");
    });
}
