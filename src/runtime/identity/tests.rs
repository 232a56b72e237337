//! The identity client against a certificate authority that answers as each test wants.

use rcgen::KeyPair;
use std::{
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tonic::{Response, Status};

use super::{CertificateSource, IdentityClient, IdentityConfig, IdentityError, WorkloadCert};
use crate::model::SpiffeId;
use crate::runtime::{
    CertificateResponse, ClientAuth, Limits, Listener, Registry, Security, Shutdown, Trigger, ca_routes, encode_metrics, server_config,
};
use crate::testing::{TestCa, eventually};

const SERVER: &str = "istio-citadel.istio-system.svc";
const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

/// A pod's mounted files and what its CA saw.
struct Pod {
    files: TempDir,
    tokens: Arc<Mutex<Vec<String>>>,
    address: SocketAddr,
    _server: Trigger,
}

// === impl Pod ===

impl Pod {
    /// A pod whose CA answers every request that has the token "good" with a leaf of `ca`.
    async fn new(ca: Arc<TestCa>) -> Self {
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("token"), "good\n").unwrap();
        fs::write(files.path().join("root"), ca.pem()).unwrap();
        let own = ca.workload(&SpiffeId::new("cluster.local", "istio-system", "istio-citadel"), &[SERVER]);
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let seen = tokens.clone();
        let routes = ca_routes(move |request| {
            let token = request.metadata().get("authorization").unwrap().to_str().unwrap().to_owned();
            seen.lock().unwrap().push(token.clone());
            let csr = request.into_inner().csr;
            let ca = ca.clone();
            async move {
                if token != "Bearer good" {
                    return Err(Status::unauthenticated("the token is not accepted"));
                }
                let leaf = ca.sign_request(&csr, &[WEB]);
                Ok(Response::new(CertificateResponse { cert_chain: vec![leaf.pem(), ca.pem()] }))
            }
        });
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = server_config(own.chain.clone(), own.key(), ClientAuth::None).unwrap();
        let (server, shutdown) = Shutdown::channel();
        tokio::spawn(listener.serve(routes, Security::fixed(tls), Limits::default(), shutdown));
        Self { files, tokens, address, _server: server }
    }

    fn client(&self, registry: &mut Registry) -> (IdentityClient, CertificateSource) {
        let config = IdentityConfig {
            address: self.address.to_string(),
            server_name: Some(SERVER.to_owned()),
            token_file: self.files.path().join("token"),
            root_file: self.files.path().join("root"),
            lifetime: Duration::from_secs(3600),
        };
        IdentityClient::new(config, registry)
    }

    fn write(&self, file: &str, content: &str) {
        fs::write(self.files.path().join(file), content).unwrap();
    }
}

#[tokio::test]
async fn a_refused_token_is_read_again_for_the_next_attempt() {
    let pod = Pod::new(Arc::new(TestCa::new("mesh"))).await;
    pod.write("token", "stale");
    let mut registry = Registry::default();
    let (client, mut source) = pod.client(&mut registry);
    let (trigger, shutdown) = Shutdown::channel();
    let task = tokio::spawn(client.run(shutdown));
    let tokens = pod.tokens.clone();
    eventually("a first attempt", || tokens.lock().unwrap().as_slice() == ["Bearer stale"]).await;
    pod.write("token", "good");
    let certificate = source.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!(certificate.identity.to_string(), WEB);
    assert_eq!(certificate.chain.len(), 1, "the root is not part of the chain");
    let page = encode_metrics(&registry);
    assert!(page.contains("identity_requests_total{result=\"success\"} 1"), "{page}");
    assert!(page.contains("identity_requests_total{result=\"failure\"}"), "{page}");
    trigger.request();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn added_roots_are_published_without_a_new_certificate() {
    let pod = Pod::new(Arc::new(TestCa::new("mesh"))).await;
    let (client, source) = pod.client(&mut Registry::default());
    let mut client = client;
    client.attempt().await;
    let first = source.borrow().clone().unwrap();
    pod.write("root", &format!("{}{}", first.roots_pem, TestCa::new("next").pem()));
    client.look_at_roots();
    let second = source.borrow().clone().unwrap();
    assert_eq!((second.roots.len(), &second.chain), (2, &first.chain));
    assert!(!client.is_due());
    // A root file that is broken for a moment changes nothing.
    pod.write("root", "");
    client.look_at_roots();
    assert_eq!(source.borrow().as_ref().unwrap().roots.len(), 2);
}

#[tokio::test]
async fn a_replaced_root_asks_for_a_new_certificate_at_once() {
    let pod = Pod::new(Arc::new(TestCa::new("mesh"))).await;
    let (mut client, source) = pod.client(&mut Registry::default());
    client.attempt().await;
    assert!(!client.is_due());
    pod.write("root", &TestCa::new("other").pem());
    client.look_at_roots();
    assert_eq!(source.borrow().as_ref().unwrap().roots.len(), 1);
    assert!(client.is_due());
}

#[tokio::test]
async fn a_ca_of_another_root_or_name_is_not_spoken_to() {
    let pod = Pod::new(Arc::new(TestCa::new("mesh"))).await;
    pod.write("root", &TestCa::new("other").pem());
    let (client, _source) = pod.client(&mut Registry::default());
    assert!(matches!(client.fetch().await, Err(IdentityError::Connect(_))));
    assert!(pod.tokens.lock().unwrap().is_empty(), "the token must not leave the pod");
}

#[test]
fn an_answer_must_fit_key_root_and_form() {
    let (ca, other) = (TestCa::new("mesh"), TestCa::new("other"));
    let (key, foreign) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let check = |leaf: rcgen::Certificate, roots: &TestCa| {
        WorkloadCert::from_answer(&[leaf.pem()], &key, roots.pem().as_bytes(), SystemTime::now()).map(drop)
    };
    assert!(check(ca.sign(&key, &[WEB], &[]), &ca).is_ok());
    assert!(matches!(check(ca.sign(&foreign, &[WEB], &[]), &ca), Err(IdentityError::ForeignKey)));
    assert!(matches!(check(ca.sign(&key, &[WEB], &[]), &other), Err(IdentityError::Answer(_))));
    assert!(matches!(check(ca.sign(&key, &[], &["web"]), &ca), Err(IdentityError::NoIdentity)));
    assert!(matches!(check(ca.sign(&key, &[WEB, "spiffe://td/ns/a/sa/b"], &[]), &ca), Err(IdentityError::NoIdentity)));
}

#[test]
fn a_key_is_never_shown() {
    let certificate = TestCa::new("mesh").workload(&WEB.parse().unwrap(), &[]);
    let shown = format!("{certificate:?}");
    assert!(shown.contains("shop") && !shown.contains("KEY"), "{shown}");
}
