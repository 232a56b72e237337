//! Servers of Gateways that ask their clients for certificates.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use tempfile::tempdir;

use super::gateways::{HTTP_TO_WEB, bound, gateway, secret, serving, tls_secret};
use crate::testing::{
    TestCa, block_on,
    http::Echo,
    https::{Identity, TlsClient},
};

#[test]
fn mutual_tls_demands_a_certificate_of_the_given_authority_and_name() {
    block_on(async {
        let (ca, clients, web) = (TestCa::new("root"), TestCa::new("clients"), Echo::start("web").await);
        let server = Identity::of(&ca, &["a.example"]);
        let entries = [("tls.crt", server.chain.as_str()), ("tls.key", &server.key), ("ca.crt", &clients.pem())];
        let (_envoy, port) = serving(
            &web,
            &[
                &secret("a", &entries),
                &gateway("a", "HTTPS", "a.example", "mode: MUTUAL, credentialName: a, subjectAltNames: [friend.example]"),
                &bound("a", "a.example", HTTP_TO_WEB),
            ],
        )
        .await;
        let client = TlsClient::trusting(&ca);
        assert!(client.get(port, "a.example").await.is_err(), "no certificate");
        assert!(client.showing(&Identity::of(&ca, &["friend.example"])).get(port, "a.example").await.is_err(), "another authority");
        assert!(client.showing(&Identity::of(&clients, &["foe.example"])).get(port, "a.example").await.is_err(), "another name");
        let told = client.showing(&Identity::of(&clients, &["friend.example"])).get(port, "a.example").await.unwrap();
        let seen: Value = serde_json::from_str(&told.answer.body).unwrap();
        let forwarded = seen["headers"]["x-forwarded-client-cert"].as_str().unwrap_or_default();
        assert!(told.answer.status == 200 && forwarded.contains("DNS=friend.example"), "{seen}");
    });
}

#[test]
fn optional_mutual_tls_checks_a_certificate_if_there_is_one() {
    block_on(async {
        let (ca, clients, web) = (TestCa::new("root"), TestCa::new("clients"), Echo::start("web").await);
        let server = Identity::of(&ca, &["a.example"]);
        let tls = "mode: OPTIONAL_MUTUAL, credentialName: a, caCertCredentialName: friends";
        let (_envoy, port) = serving(
            &web,
            &[
                &tls_secret("a", &server),
                &secret("friends", &[("cacert", &clients.pem())]),
                &gateway("a", "HTTPS", "a.example", tls),
                &bound("a", "a.example", HTTP_TO_WEB),
            ],
        )
        .await;
        let client = TlsClient::trusting(&ca);
        assert_eq!(client.get(port, "a.example").await.unwrap().answer.status, 200);
        assert_eq!(client.showing(&Identity::of(&clients, &["f.example"])).get(port, "a.example").await.unwrap().answer.status, 200);
        assert!(client.showing(&Identity::of(&ca, &["f.example"])).get(port, "a.example").await.is_err());
    });
}

#[test]
fn a_pinned_certificate_is_the_only_one() {
    block_on(async {
        let (ca, clients, web) = (TestCa::new("root"), TestCa::new("clients"), Echo::start("web").await);
        let (server, friend) = (Identity::of(&ca, &["a.example"]), Identity::of(&clients, &["f.example"]));
        let hash: String = Sha256::digest(friend.certificate()).iter().map(|byte| format!("{byte:02x}")).collect();
        let (_envoy, port) = serving(
            &web,
            &[
                &secret("a", &[("cert", &server.chain), ("key", &server.key), ("cacert", &clients.pem())]),
                &gateway("a", "HTTPS", "a.example", &format!("mode: MUTUAL, credentialName: a, verifyCertificateHash: [{hash}]")),
                &bound("a", "a.example", HTTP_TO_WEB),
            ],
        )
        .await;
        let client = TlsClient::trusting(&ca);
        assert_eq!(client.showing(&friend).get(port, "a.example").await.unwrap().answer.status, 200);
        assert!(client.showing(&Identity::of(&clients, &["f.example"])).get(port, "a.example").await.is_err());
    });
}

#[test]
fn a_pinned_key_is_the_only_one_whatever_certificate_it_comes_in() {
    block_on(async {
        let (ca, clients, web) = (TestCa::new("root"), TestCa::new("clients"), Echo::start("web").await);
        let (server, friend) = (Identity::of(&ca, &["a.example"]), Identity::of(&clients, &["f.example"]));
        let (_envoy, port) = serving(
            &web,
            &[
                &secret("a", &[("cert", &server.chain), ("key", &server.key), ("cacert", &clients.pem())]),
                &gateway(
                    "a",
                    "HTTPS",
                    "a.example",
                    &format!("mode: MUTUAL, credentialName: a, verifyCertificateSpki: ['{}']", friend.spki()),
                ),
                &bound("a", "a.example", HTTP_TO_WEB),
            ],
        )
        .await;
        let client = TlsClient::trusting(&ca);
        assert_eq!(client.showing(&friend).get(port, "a.example").await.unwrap().answer.status, 200);
        let renewed = friend.renewed(&clients, &["f.example"]);
        assert_ne!(renewed.chain, friend.chain);
        assert_eq!(client.showing(&renewed).get(port, "a.example").await.unwrap().answer.status, 200);
        assert!(client.showing(&Identity::of(&clients, &["f.example"])).get(port, "a.example").await.is_err(), "another key");
    });
}

/// Whether a gateway with these TLS settings takes one client, and refuses another whose certificate is revoked.
async fn refuses_who_is_revoked(objects: &[&str], (ca, clients): (&TestCa, [&Identity; 2])) {
    let web = Echo::start("web").await;
    let (_envoy, port) = serving(&web, &[objects, &[&*bound("a", "a.example", HTTP_TO_WEB)]].concat()).await;
    let [good, revoked] = clients;
    let client = TlsClient::trusting(ca);
    assert_eq!(client.showing(good).get(port, "a.example").await.unwrap().answer.status, 200);
    let refusal = client.showing(revoked).get(port, "a.example").await.unwrap_err();
    assert!(refusal.contains("CertificateRevoked"), "{refusal}");
}

#[test]
fn who_is_revoked_is_refused_whether_the_list_is_in_a_secret_or_a_file() {
    block_on(async {
        let (ca, authority, folder) = (TestCa::new("root"), TestCa::new("clients"), tempdir().unwrap());
        let server = Identity::of(&ca, &["a.example"]);
        let [good, revoked] = ["good.example", "revoked.example"].map(|name| Identity::of(&authority, &[name]));
        let list = authority.revoking(&[revoked.certificate()]);
        let stored = secret("a", &[("cert", &server.chain), ("key", &server.key), ("cacert", &authority.pem()), ("ca.crl", &list)]);
        let named = gateway("a", "HTTPS", "a.example", "mode: MUTUAL, credentialName: a");
        refuses_who_is_revoked(&[&stored, &named], (&ca, [&good, &revoked])).await;

        for (file, text) in [("crt", &server.chain), ("key", &server.key), ("ca", &authority.pem()), ("crl", &list)] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let at = folder.path().display();
        let tls = format!("mode: MUTUAL, serverCertificate: {at}/crt, privateKey: {at}/key, caCertificates: {at}/ca, caCrl: {at}/crl");
        refuses_who_is_revoked(&[&gateway("a", "HTTPS", "a.example", &tls)], (&ca, [&good, &revoked])).await;
    });
}
