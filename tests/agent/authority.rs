//! A certificate authority that signs what it is asked for, for as long as it is asked for.

use ferromesh::runtime::{
    CertificateResponse, ClientAuth, Limits, Listener, Security, Shutdown, Trigger, ca_routes, certificates_from_pem, server_config,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::{net::SocketAddr, sync::Arc};
use time::{Duration, OffsetDateTime};
use tonic::Response;

/// Whose certificates it signs.
pub(crate) const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
/// The name that it has itself.
pub(crate) const NAME: &str = "istio-citadel.istio-system.svc";

pub(crate) struct Authority {
    issuer: Arc<Issuer<'static, KeyPair>>,
    root: String,
    pub(crate) address: SocketAddr,
    _server: Option<Trigger>,
}

// === impl Authority ===

impl Authority {
    pub(crate) async fn start() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "mesh");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let own = KeyPair::generate().unwrap();
        let root = params.self_signed(&own).unwrap().pem();
        let issuer = Arc::new(Issuer::new(params, own));
        let key = KeyPair::generate().unwrap();
        let own = leaf(&[SanType::DnsName(NAME.try_into().unwrap())], 3600).signed_by(&key, &issuer).unwrap();
        let der = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let tls = server_config(certificates_from_pem(own.pem().as_bytes()).unwrap(), der, ClientAuth::None).unwrap();
        let (signer, signers) = (issuer.clone(), root.clone());
        let routes = ca_routes(move |request| {
            let request = request.into_inner();
            let mut csr = CertificateSigningRequestParams::from_pem(&request.csr).unwrap();
            csr.params = leaf(&[SanType::URI(WEB.try_into().unwrap())], request.validity_duration);
            let chain = vec![csr.signed_by(&signer).unwrap().pem(), signers.clone()];
            async move { Ok(Response::new(CertificateResponse { cert_chain: chain })) }
        });
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, shutdown) = Shutdown::channel();
        tokio::spawn(listener.serve(routes, Security::fixed(tls), Limits::default(), shutdown));
        Self { issuer, root, address, _server: Some(server) }
    }

    /// One that signs for the tests alone, with a root that workloads' certificates have from elsewhere.
    pub(crate) fn of(root: &str, key: &str, address: SocketAddr) -> Self {
        let issuer = Issuer::from_ca_cert_pem(root, KeyPair::from_pem(key).unwrap()).unwrap();
        Self { issuer: Arc::new(issuer), root: root.to_owned(), address, _server: None }
    }

    /// The root in PEM.
    pub(crate) fn root(&self) -> String {
        self.root.clone()
    }

    /// A certificate chain and its key, both in PEM, with this identity.
    pub(crate) fn identity(&self, uri: &str) -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = leaf(&[SanType::URI(uri.try_into().unwrap())], 3600).signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key)
    }
}

fn leaf(names: &[SanType], seconds: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.to_vec();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = OffsetDateTime::now_utc() - Duration::minutes(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::seconds(seconds);
    params
}
