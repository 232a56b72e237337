//! Which requests are refused, and what a certificate says.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize, SanType, SignatureAlgorithm,
};
use rstest::rstest;
use std::time::Duration;
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use crate::citadel::authority::{Authority, AuthorityError, Material, Subject};
use crate::citadel::csr::{CsrError, public_key};
use crate::model::SpiffeId;
use crate::testing::TestCa;

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const HOUR: Duration = Duration::from_secs(3600);

fn authority() -> Authority {
    let now = OffsetDateTime::now_utc();
    Authority::new(Material::generate("cluster.local", now).unwrap(), now).unwrap()
}

fn request(params: CertificateParams, algorithm: &'static SignatureAlgorithm) -> String {
    params.serialize_request(&KeyPair::generate_for(algorithm).unwrap()).unwrap().pem().unwrap()
}

fn sign(authority: &Authority, csr: &str) -> Vec<u8> {
    let identity: SpiffeId = WEB.parse().unwrap();
    let subject = Subject { identity: &identity, dns_names: &[] };
    authority.sign(subject, &public_key(csr).unwrap(), HOUR, OffsetDateTime::now_utc()).unwrap().der().to_vec()
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    names.value.general_names.iter().map(ToString::to_string).collect()
}

#[rstest]
#[case(&PKCS_ECDSA_P256_SHA256)]
#[case(&PKCS_ECDSA_P384_SHA384)]
#[case(&PKCS_ED25519)]
fn usual_keys_are_accepted(#[case] algorithm: &'static SignatureAlgorithm) {
    sign(&authority(), &request(CertificateParams::default(), algorithm));
}

#[test]
fn rsa_of_2048_bits_is_accepted() {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    sign(&authority(), &csr);
}

#[test]
fn an_uncommon_curve_is_refused() {
    assert_eq!(public_key(&request(CertificateParams::default(), &PKCS_ECDSA_P521_SHA512)), Err(CsrError::Key));
}

/// `openssl req -new -newkey rsa:1024 -nodes -sha256 -subj /CN=weak -outform PEM`: our own library makes no such key.
const WEAK: &str = include_str!("weak-rsa.csr");
/// The same with `-newkey rsa:2048 -sha1`.
const SHA1: &str = include_str!("sha1.csr");

#[test]
fn weak_keys_and_hashes_are_refused_with_the_reason() {
    let error = public_key(WEAK).unwrap_err();
    assert_eq!(error.to_string(), "csr: RSA key of 1024 bits; at least 2048 are needed");
    assert!(matches!(public_key(SHA1), Err(CsrError::SignatureAlgorithm(_))));
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let good = request(CertificateParams::default(), &PKCS_ECDSA_P256_SHA256);
    let other = request(CertificateParams::default(), &PKCS_ECDSA_P256_SHA256);
    let (good, other) = (der(&good), der(&other));
    // The last 64 bytes lie within the signature, whose length differs by a byte or two from one request to the next.
    let mut forged = good.clone();
    let end = forged.len() - 8;
    forged[end..].copy_from_slice(&other[other.len() - 8..]);
    assert_ne!(forged, good);
    assert_eq!(public_key(&pem("CERTIFICATE REQUEST", &forged)), Err(CsrError::Signature));
}

#[rstest]
#[case::empty("", CsrError::Pem)]
#[case::no_pem("hello", CsrError::Pem)]
#[case::huge(&"x".repeat(1 << 20), CsrError::Pem)]
#[case::a_certificate(&TestCa::new("x").pem(), CsrError::Pem)]
#[case::no_request(&pem("CERTIFICATE REQUEST", b"\x30\x03\x02\x01\x05"), CsrError::Encoding)]
#[case::endless(&pem("CERTIFICATE REQUEST", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30]), CsrError::Encoding)]
#[case::deep(&pem("CERTIFICATE REQUEST", &[0x30; 8000]), CsrError::Encoding)]
fn garbage_is_refused(#[case] csr: &str, #[case] expected: CsrError) {
    assert_eq!(public_key(csr), Err(expected));
}

#[test]
fn trailing_bytes_are_refused() {
    let mut padded = der(&request(CertificateParams::default(), &PKCS_ECDSA_P256_SHA256));
    padded.push(0);
    assert_eq!(public_key(&pem("CERTIFICATE REQUEST", &padded)), Err(CsrError::Encoding));
}

#[test]
fn nothing_that_a_request_asks_for_reaches_the_certificate() {
    let mut greedy = CertificateParams::default();
    greedy.distinguished_name.push(DnType::CommonName, "cluster-admin");
    greedy.distinguished_name.push(DnType::OrganizationName, "system:masters");
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning, ExtendedKeyUsagePurpose::Any];
    greedy.subject_alt_names = vec![
        SanType::URI("spiffe://cluster.local/ns/istio-system/sa/istio-pilot".try_into().unwrap()),
        SanType::DnsName("kubernetes.default.svc".try_into().unwrap()),
        SanType::IpAddress([10, 0, 0, 1].into()),
    ];
    let certificate = sign(&authority(), &request(greedy, &PKCS_ECDSA_P256_SHA256));
    check_svid(&certificate);
}

#[test]
fn a_certificate_is_a_spiffe_svid() {
    check_svid(&sign(&authority(), &request(CertificateParams::default(), &PKCS_ECDSA_P256_SHA256)));
}

/// The X.509-SVID standard, and what the mesh adds to it.
fn check_svid(certificate: &[u8]) {
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    assert_eq!(names(&certificate), [GeneralName::URI(WEB).to_string()], "exactly one name");
    assert!(certificate.subject_alternative_name().unwrap().unwrap().critical, "critical, because the subject is empty");
    assert_eq!(certificate.subject().to_string(), "");
    assert!(!certificate.is_ca());
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_cert_sign() && !usage.value.crl_sign());
    let extended = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && !extended.any && !extended.code_signing);
    let validity = certificate.validity();
    let now = OffsetDateTime::now_utc();
    let backdated = now - validity.not_before.to_datetime();
    assert!((119..=122).contains(&backdated.whole_seconds()), "{backdated}");
    let lifetime = validity.not_after.to_datetime() - now;
    assert!(lifetime <= HOUR + Duration::from_secs(1) && lifetime > HOUR - Duration::from_secs(3), "{lifetime}");
    assert!(certificate.serial.bits() >= 120, "hard to guess");
}

#[test]
fn two_certificates_of_one_key_have_two_serial_numbers() {
    let authority = authority();
    let csr = request(CertificateParams::default(), &PKCS_ECDSA_P256_SHA256);
    let (first, second) = (sign(&authority, &csr), sign(&authority, &csr));
    let serial = |der: &[u8]| X509Certificate::from_der(der).unwrap().1.serial.clone();
    assert_ne!(serial(&first), serial(&second));
}

#[test]
fn a_leaf_does_not_outlive_its_authority() {
    let authority = authority();
    let identity: SpiffeId = WEB.parse().unwrap();
    let subject = Subject { identity: &identity, dns_names: &[] };
    let late = authority.not_after() - Duration::from_secs(60);
    let leaf = authority.sign(subject, &KeyPair::generate().unwrap(), HOUR, late).unwrap();
    let (_, leaf) = X509Certificate::from_der(leaf.der()).unwrap();
    assert_eq!(leaf.validity().not_after.timestamp(), authority.not_after().unix_timestamp());
}

#[test]
fn material_that_does_not_fit_together_is_refused_with_the_reason() {
    let now = OffsetDateTime::now_utc();
    let (ca, other) = (TestCa::new("mesh"), TestCa::new("other"));
    let good = Material { certificate: ca.pem(), key: ca.key_pem(), chain: String::new(), roots: ca.pem() };
    let refusal = |material: Material| Authority::new(material, now).unwrap_err();
    assert!(Authority::new(good.clone(), now).is_ok());
    assert!(matches!(refusal(Material { key: other.key_pem(), ..good.clone() }), AuthorityError::Mismatch));
    assert!(matches!(refusal(Material { key: "secret".to_owned(), ..good.clone() }), AuthorityError::Key(_)));
    assert!(matches!(refusal(Material { roots: other.pem(), ..good.clone() }), AuthorityError::Chain(_)));
    assert!(matches!(
        refusal(Material { certificate: "x".to_owned(), ..good.clone() }),
        AuthorityError::Certificate { part: "ca-cert.pem", .. }
    ));
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = Material { certificate: ca.sign(&leaf_key, &[WEB], &[]).pem(), key: leaf_key.serialize_pem(), ..good.clone() };
    assert!(matches!(refusal(leaf), AuthorityError::NotAnAuthority));
    let long_after = now + Duration::from_secs(4000 * 365 * 24 * 3600);
    assert!(matches!(Authority::new(good, long_after).unwrap_err(), AuthorityError::NotValidNow(_)));
}

fn der(pem: &str) -> Vec<u8> {
    use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject};
    CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |group: &[u8]| {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        (0..4).map(|n| if n <= group.len() { char::from(ALPHABET[(bits >> (18 - 6 * n) & 63) as usize]) } else { '=' }).collect::<String>()
    };
    let text: String = der.chunks(3).map(encode).collect();
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}
