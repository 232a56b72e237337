//! `tls` of a port that is listened on, for Gateway and Sidecar.

use std::sync::Arc;

use ferromesh_crds::networking::gateway::{ServerTls, ServerTlsMode, TlsCertificate, TlsProtocol};
use k8s_openapi::ByteString;
use serde_json::json;

use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;
use super::text::{given, shared};
use crate::model::{self, ClientAuthorities, ServerCertificate, TlsVersion};

/// The cipher suites of TLS up to 1.2 that Envoy's library has, by its names.
const CIPHER_SUITES: [&str; 14] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
];
/// The length of a SHA-256, in bytes.
const SHA256: usize = 32;

/// Whether a port's TLS names certificates, as opposed to a redirect alone.
pub(super) fn has_certificates(tls: &ServerTls) -> bool {
    let files = [&tls.server_certificate, &tls.private_key, &tls.ca_certificates, &tls.credential_name];
    files.into_iter().any(given) || !tls.credential_names.is_empty() || !tls.tls_certificates.is_empty()
}

/// How the mode is spelled in configuration.
pub(super) fn mode_name(mode: ServerTlsMode) -> &'static str {
    match mode {
        ServerTlsMode::Passthrough => "PASSTHROUGH",
        ServerTlsMode::Simple => "SIMPLE",
        ServerTlsMode::Mutual => "MUTUAL",
        ServerTlsMode::AutoPassthrough => "AUTO_PASSTHROUGH",
        ServerTlsMode::IstioMutual => "ISTIO_MUTUAL",
        ServerTlsMode::OptionalMutual => "OPTIONAL_MUTUAL",
    }
}

/// Whether a mode ends TLS here.
pub(super) fn decrypts(tls: &ServerTls) -> bool {
    !matches!(tls.mode, None | Some(ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough))
}

fn texts(texts: &[String]) -> Vec<Arc<str>> {
    texts.iter().map(|text| text.as_str().into()).collect()
}

/// Secrets before files, as the reference prefers them.
fn certificates(tls: &ServerTls) -> Vec<ServerCertificate> {
    let secrets = tls.credential_name.iter().chain(&tls.credential_names).filter(|name| !name.is_empty());
    let secrets: Vec<_> = secrets.map(|name| ServerCertificate::Secret(name.as_str().into())).collect();
    if !secrets.is_empty() {
        return secrets;
    }
    let files = |certificate: &Option<String>, key: &Option<String>| {
        shared(certificate).zip(shared(key)).map(|(certificate, key)| ServerCertificate::Files { certificate, key })
    };
    let listed: Vec<_> = tls.tls_certificates.iter().filter_map(|one| files(&one.server_certificate, &one.private_key)).collect();
    if listed.is_empty() { files(&tls.server_certificate, &tls.private_key).into_iter().collect() } else { listed }
}

fn client_authorities(tls: &ServerTls) -> Option<ClientAuthorities> {
    let listed = tls.tls_certificates.iter().find_map(|one| shared(&one.ca_certificates));
    let file = shared(&tls.ca_certificates).or(listed).map(ClientAuthorities::File);
    shared(&tls.ca_cert_credential_name).map(ClientAuthorities::Secret).or(file)
}

fn version(version: TlsProtocol) -> Option<TlsVersion> {
    match version {
        TlsProtocol::Auto => None,
        TlsProtocol::V1_0 => Some(TlsVersion::V1_0),
        TlsProtocol::V1_1 => Some(TlsVersion::V1_1),
        TlsProtocol::V1_2 => Some(TlsVersion::V1_2),
        TlsProtocol::V1_3 => Some(TlsVersion::V1_3),
    }
}

// === impl Reading: TLS of servers ===

impl Reading<'_> {
    /// How TLS is ended at a port.
    pub(super) fn server_tls(&mut self, at: &At<'_>, tls: &ServerTls) -> model::ServerTls {
        // As in protobuf, no mode is the first one.
        let mode = tls.mode.unwrap_or(ServerTlsMode::Passthrough);
        let sources = [
            ("credentialName", given(&tls.credential_name)),
            ("credentialNames", !tls.credential_names.is_empty()),
            ("tlsCertificates", !tls.tls_certificates.is_empty()),
        ];
        self.at_most_one(at, sources);
        match mode {
            ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => self.warn_of_unused_certificates(at, tls, mode),
            ServerTlsMode::IstioMutual => self.refuse_own_certificates(at, tls),
            ServerTlsMode::Simple | ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual => self.require_certificates(at, tls, mode),
        }
        if let (Some(least), Some(most)) = (tls.min_protocol_version, tls.max_protocol_version)
            && least > most
            && most != TlsProtocol::Auto
        {
            self.error(at, Code::Conflict, "minProtocolVersion is above maxProtocolVersion");
        }
        self.check_pins(at, tls);
        if given(&tls.ca_crl) && mode == ServerTlsMode::Simple && !given(&tls.credential_name) {
            self.error(&at.field("caCrl"), Code::Conflict, "SIMPLE asks clients for no certificate that could be revoked");
        }
        self.not_honoured(at, "insecureSkipVerify", tls.insecure_skip_verify.is_some());
        model::ServerTls {
            mode: match mode {
                ServerTlsMode::Passthrough => model::ServerTlsMode::Passthrough,
                ServerTlsMode::Simple => model::ServerTlsMode::Simple,
                ServerTlsMode::Mutual => model::ServerTlsMode::Mutual,
                ServerTlsMode::AutoPassthrough => model::ServerTlsMode::AutoPassthrough,
                ServerTlsMode::IstioMutual => model::ServerTlsMode::IstioMutual,
                ServerTlsMode::OptionalMutual => model::ServerTlsMode::OptionalMutual,
            },
            https_redirect: tls.https_redirect.unwrap_or_default(),
            certificates: certificates(tls),
            client_authorities: client_authorities(tls),
            ca_crl: shared(&tls.ca_crl),
            subject_alt_names: texts(&tls.subject_alt_names),
            verify_certificate_spki: texts(&tls.verify_certificate_spki),
            verify_certificate_hash: texts(&tls.verify_certificate_hash),
            min_protocol: tls.min_protocol_version.and_then(version),
            max_protocol: tls.max_protocol_version.and_then(version),
            cipher_suites: self.cipher_suites(at, tls),
        }
    }

    /// Suites that Envoy knows, each once; it would refuse others.
    fn cipher_suites(&mut self, at: &At<'_>, tls: &ServerTls) -> Vec<Arc<str>> {
        let list = at.field("cipherSuites");
        let mut known: Vec<Arc<str>> = Vec::new();
        for (index, suite) in tls.cipher_suites.iter().enumerate() {
            // Suites in brackets are equals.
            let group = suite.strip_prefix('[').and_then(|suite| suite.strip_suffix(']')).unwrap_or(suite);
            if !group.split('|').all(|one| CIPHER_SUITES.contains(&one)) {
                self.warn(
                    &list.index(index),
                    Code::NoEffect,
                    format!("the proxy knows no cipher suite {}, so it is left out", quoted(suite)),
                );
            } else if known.iter().any(|one| **one == **suite) {
                self.warn(&list.index(index), Code::NoEffect, format!("{} is named twice", quoted(suite)));
            } else {
                known.push(suite.as_str().into());
            }
        }
        let old = matches!(tls.min_protocol_version, Some(TlsProtocol::V1_0 | TlsProtocol::V1_1));
        if old && tls.cipher_suites.is_empty() {
            let message = "below TLS 1.2 the proxy has no cipher suite of its own: add cipherSuites";
            self.warn(&at.field("minProtocolVersion"), Code::NoEffect, message);
        }
        known
    }

    /// Hashes of keys and certificates: Envoy refuses a listener with a malformed one.
    fn check_pins(&mut self, at: &At<'_>, tls: &ServerTls) {
        let list = at.field("verifyCertificateSpki");
        for (index, hash) in tls.verify_certificate_spki.iter().enumerate() {
            let bytes = serde_json::from_value::<ByteString>(json!(hash)).map(|bytes| bytes.0.len());
            if !bytes.is_ok_and(|length| length == SHA256) {
                self.error(&list.index(index), Code::Unreadable, format!("{} is no SHA-256 in base64", quoted(hash)));
            }
        }
        let list = at.field("verifyCertificateHash");
        for (index, hash) in tls.verify_certificate_hash.iter().enumerate() {
            let digits = hash.replace(':', "");
            if digits.len() != 2 * SHA256 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                self.error(&list.index(index), Code::Unreadable, format!("{} is no SHA-256 in hexadecimal", quoted(hash)));
            }
        }
    }

    /// The mesh's own certificates leave no room for others.
    fn refuse_own_certificates(&mut self, at: &At<'_>, tls: &ServerTls) {
        let own = [
            ("serverCertificate", given(&tls.server_certificate)),
            ("privateKey", given(&tls.private_key)),
            ("caCertificates", given(&tls.ca_certificates)),
            ("caCrl", given(&tls.ca_crl)),
            ("credentialName", given(&tls.credential_name)),
            ("credentialNames", !tls.credential_names.is_empty()),
            ("tlsCertificates", !tls.tls_certificates.is_empty()),
        ];
        for (field, _) in own.iter().filter(|(_, given)| *given) {
            self.error(&at.field(field), Code::Conflict, "ISTIO_MUTUAL uses the mesh's own certificates");
        }
    }

    /// A certificate, its key, and authorities for clients where they show certificates.
    fn require_certificates(&mut self, at: &At<'_>, tls: &ServerTls, mode: ServerTlsMode) {
        if given(&tls.credential_name) || !tls.credential_names.is_empty() {
            return;
        }
        let mode_text = mode_name(mode);
        if tls.tls_certificates.is_empty() {
            for (field, given) in [("serverCertificate", given(&tls.server_certificate)), ("privateKey", given(&tls.private_key))] {
                if !given {
                    self.error(&at.field(field), Code::Required, format!("required by {mode_text} without credentialName"));
                }
            }
        }
        let listed = |one: &TlsCertificate| !given(&one.server_certificate) || !given(&one.private_key);
        for (index, _) in tls.tls_certificates.iter().enumerate().filter(|(_, one)| listed(one)) {
            self.error(&at.field("tlsCertificates").index(index), Code::Required, "serverCertificate and privateKey are needed");
        }
        let authorities = given(&tls.ca_certificates) || given(&tls.ca_cert_credential_name);
        let listed = !tls.tls_certificates.is_empty() && tls.tls_certificates.iter().all(|one| given(&one.ca_certificates));
        if mode != ServerTlsMode::Simple && !authorities && !listed {
            self.error(&at.field("caCertificates"), Code::Required, format!("required by {mode_text} without credentialName"));
        }
    }

    fn warn_of_unused_certificates(&mut self, at: &At<'_>, tls: &ServerTls, mode: ServerTlsMode) {
        if has_certificates(tls) {
            self.warn(at, Code::NoEffect, format!("{} does not decrypt, so its certificates have no effect", mode_name(mode)));
        }
    }
}
