//! Real handshakes against a certificate that changes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::authority::WebhookCa;
use crate::policy::Policy;

const NAME: &str = "istio-galley.istio-system.svc";

fn authority() -> WebhookCa {
    WebhookCa::generate(OffsetDateTime::now_utc(), &Policy::default()).expect("an authority")
}

fn issue(ca: &WebhookCa) -> (String, KeyPem) {
    ca.issue(OffsetDateTime::now_utc(), &[NAME.to_owned()], &Policy::default()).expect("a leaf")
}

/// What an API server does with a bundle.
fn client(bundle: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(root.expect("a certificate")).expect("a root");
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A resumed session would not look at the certificate.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Answers one byte to each connection, until dropped with its runtime.
async fn serve(certificate: Arc<ReloadingCert>) -> std::net::SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate).expect("a configuration")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut tls) = acceptor.accept(stream).await {
                    let _ = tls.write_all(b"!").await;
                    let _ = tls.shutdown().await;
                }
            });
        }
    });
    address
}

/// One connection, as its certificate's bytes.
async fn connect(connector: &TlsConnector, address: std::net::SocketAddr) -> std::io::Result<Vec<u8>> {
    let stream = TcpStream::connect(address).await?;
    let mut tls = connector.connect(ServerName::try_from(NAME).expect("a name"), stream).await?;
    let (_, session) = tls.get_ref();
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(session.alpn_protocol(), Some(b"h2".as_slice()));
    let presented = session.peer_certificates().and_then(<[_]>::first).map(|certificate| certificate.to_vec()).unwrap_or_default();
    let mut answer = [0];
    tls.read_exact(&mut answer).await?;
    Ok(presented)
}

#[tokio::test]
async fn no_connection_fails_while_leaves_and_authority_rotate() {
    let (old, new) = (authority(), authority());
    let overlap = format!("{}{}", new.cert_pem(), old.cert_pem());
    let (cert, key) = issue(&old);
    let certificate = ReloadingCert::from_pem(&cert, &key).expect("a certificate");
    let address = serve(certificate.clone()).await;

    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let loops: Vec<_> = (0..4)
        .map(|_| {
            let (connector, stop, served) = (client(&overlap), stop.clone(), served.clone());
            tokio::spawn(async move {
                let mut presented = std::collections::BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    presented.insert(connect(&connector, address).await.expect("a connection failed"));
                    served.fetch_add(1, Ordering::Relaxed);
                }
                presented.len()
            })
        })
        .collect();

    for round in 0..20 {
        let (cert, key) = issue(if round < 10 { &old } else { &new });
        assert!(certificate.replace(&cert, &key).expect("a replacement"));
        let seen = served.load(Ordering::Relaxed);
        while served.load(Ordering::Relaxed) < seen + 12 && !loops.iter().any(tokio::task::JoinHandle::is_finished) {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in loops {
        assert!(client.await.expect("no failure") > 10, "the leaf never changed under this client");
    }
    // The new root alone is enough now, and the old one isn't.
    connect(&client(new.cert_pem()), address).await.expect("the new root verifies");
    assert!(connect(&client(old.cert_pem()), address).await.is_err());
}

#[tokio::test]
async fn older_protocols_are_refused() {
    let ca = authority();
    let (cert, key) = issue(&ca);
    let address = serve(ReloadingCert::from_pem(&cert, &key).expect("a certificate")).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.cert_pem().as_bytes()).expect("a root")).expect("a root");
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from(NAME).expect("a name");
    assert!(TlsConnector::from(Arc::new(config)).connect(name, stream).await.is_err());
}

fn write(directory: &Path, cert: &str, key: &KeyPem) {
    std::fs::write(directory.join(TLS_CRT), cert).expect("written");
    std::fs::write(directory.join(TLS_KEY), key.expose()).expect("written");
}

fn served(certificate: &ReloadingCert) -> CertificateDer<'static> {
    certificate.current.load().cert[0].clone()
}

#[test]
fn changed_files_are_served_and_equal_ones_are_not_loaded_again() {
    let (ca, directory) = (authority(), tempfile::tempdir().expect("a directory"));
    let (cert, key) = issue(&ca);
    write(directory.path(), &cert, &key);
    let certificate = ReloadingCert::from_files(directory.path()).expect("a certificate");
    assert!(!certificate.reload_if_changed().expect("nothing new"));

    let (cert, key) = issue(&ca);
    write(directory.path(), &cert, &key);
    assert!(certificate.reload_if_changed().expect("a new one"));
    assert_eq!(served(&certificate), CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate"));
}

#[test]
fn unusable_files_are_an_error_and_the_old_certificate_is_served_on() {
    let (ca, directory) = (authority(), tempfile::tempdir().expect("a directory"));
    let (cert, key) = issue(&ca);
    write(directory.path(), &cert, &key);
    let certificate = ReloadingCert::from_files(directory.path()).expect("a certificate");
    let before = served(&certificate);

    write(directory.path(), &issue(&ca).0, &key);
    assert!(matches!(certificate.reload_if_changed(), Err(ServeError::Defect(Defect::KeyMismatch))));
    std::fs::write(directory.path().join(TLS_CRT), "garbage").expect("written");
    assert!(matches!(certificate.reload_if_changed(), Err(ServeError::Defect(Defect::NoCertificate { .. }))));
    std::fs::remove_file(directory.path().join(TLS_CRT)).expect("removed");
    assert!(matches!(certificate.reload_if_changed(), Err(ServeError::Read { .. })));
    assert_eq!(served(&certificate), before);
}

#[test]
fn mounted_secret_is_read_through_its_version_link() {
    let (ca, directory) = (authority(), tempfile::tempdir().expect("a directory"));
    let version = |name: &str, (cert, key): (String, KeyPem)| {
        std::fs::create_dir(directory.path().join(name)).expect("a folder");
        write(&directory.path().join(name), &cert, &key);
        let next = directory.path().join("..next");
        std::os::unix::fs::symlink(name, &next).expect("a link");
        std::fs::rename(next, directory.path().join("..data")).expect("switched");
    };
    version("..one", issue(&ca));
    let certificate = ReloadingCert::from_files(directory.path()).expect("a certificate");
    let before = served(&certificate);
    version("..two", issue(&ca));
    assert!(certificate.reload_if_changed().expect("the second version"));
    assert_ne!(served(&certificate), before);
}
