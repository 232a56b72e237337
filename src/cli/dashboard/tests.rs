//! Pages of pods behind an API server that forwards ports.

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::net::{IpAddr, Ipv4Addr};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::forward::{forward, listen};
use crate::cli::{
    Exit,
    proxy::{
        PodName, Pods,
        tests::live::{Backend, api_server, page_server},
    },
    tests::run,
};
use crate::testing::http::try_get;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn pods(kubeconfig: &str) -> Pods {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Pods::new(Client::try_from(config).unwrap())
}

fn pod(name: &str) -> PodName {
    PodName { namespace: "shop".to_owned(), name: name.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_page_is_on_this_machine_until_the_end() {
    let folder = TempDir::new().unwrap();
    let backend = Backend { pod: "web-1", port: page_server(&[("/", "the page")]).await };
    let pods = pods(&api_server(&folder, vec![backend])).await;
    let listener = listen(HERE, Some(0), 15000).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (end, ended) = oneshot::channel();
    let mut notes = Vec::new();
    let ends = async { ended.await.unwrap() };
    let seen = async {
        let answers = futures::future::join_all([(); 3].map(|()| try_get(port, "/", &[]))).await;
        end.send(()).unwrap();
        answers
    };
    let pod = pod("web-1");
    let (carried, answers) = tokio::join!(forward(listener, &pods, &pod, 15000, ends, |note| notes.push(note)), seen);
    carried.unwrap();
    assert_eq!(answers.into_iter().map(|answer| answer.unwrap().body).collect::<Vec<_>>(), ["the page"; 3]);
    assert_eq!(notes, Vec::<String>::new());
    assert!(try_get(port, "/", &[]).await.is_err(), "nothing listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_does_not_answer_is_told_of_and_the_next_connection_is_taken() {
    let folder = TempDir::new().unwrap();
    let pods = pods(&api_server(&folder, vec![Backend { pod: "dead", port: 1 }])).await;
    let listener = listen(HERE, Some(0), 15000).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let ends = async {
        for _ in 0..2 {
            assert!(try_get(port, "/", &[]).await.is_err());
            assert_eq!(hear.recv().await.unwrap(), "port 15000 of dead.shop can't be reached: connection refused");
        }
    };
    forward(listener, &pods, &pod("dead"), 15000, ends, |note| told.send(note).unwrap()).await.unwrap();
}

#[test]
fn a_port_is_the_pages_own_or_any_that_is_free_unless_one_is_named() {
    let first = listen(HERE, None, 0).unwrap();
    let taken = first.local_addr().unwrap().port();
    let other = listen(HERE, None, taken).unwrap().local_addr().unwrap();
    assert!(other.ip().is_loopback() && other.port() != taken);
    let failure = listen(HERE, Some(taken), 15000).unwrap_err();
    assert_eq!((failure.exit, failure.message), (Exit::Failed, format!("127.0.0.1:{taken} is taken: name another port with --port")));
    drop(first);
    assert_eq!(listen(HERE, None, taken).unwrap().local_addr().unwrap().port(), taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_with_what_brings_it() {
    let folder = TempDir::new().unwrap();
    let kubeconfig = api_server(&folder, Vec::new());
    let asked = async |rest: &str| {
        let command = format!("dashboard {rest} --kubeconfig {kubeconfig}");
        tokio::task::spawn_blocking(move || run(&command, "")).await.unwrap()
    };
    let none = asked("jaeger").await;
    assert_eq!((none.exit, none.stdout.as_str()), (Exit::Failed, ""));
    assert!(none.stderr.starts_with("error: no pod of tracing runs in namespace istio-system: the MeshInstall's spec.addons"), "{none:?}");
    assert!(asked("pilot -i mesh").await.stderr.contains("no pod of pilot runs in namespace mesh"));
    assert!(asked("envoy deploy/web").await.stderr.contains("no pod of web runs in namespace shop"));
    assert_eq!(run("dashboard envoy", "").exit, Exit::Usage);
    assert_eq!(run("dashboard grafana --address elsewhere", "").exit, Exit::Usage);
}
