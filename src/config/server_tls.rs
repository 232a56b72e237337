//! `tls` of a port that is listened on, for Gateway and Sidecar.

use ferromesh_crds::networking::gateway::{ServerTls, ServerTlsMode, TlsCertificate, TlsProtocol};

use super::path::At;
use super::problem::Code;
use super::reading::Reading;
use crate::model;

/// Whether a text is there and not empty.
pub(super) fn given(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(|text| !text.is_empty())
}

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

// === impl Reading: TLS of servers ===

impl Reading<'_> {
    /// How TLS is ended at a port.
    pub(super) fn server_tls(&mut self, at: &At<'_>, tls: &ServerTls) -> model::ServerTls {
        // As in protobuf, no mode is the first one.
        let mode = tls.mode.unwrap_or(ServerTlsMode::Passthrough);
        let sources = [given(&tls.credential_name), !tls.credential_names.is_empty(), !tls.tls_certificates.is_empty()];
        if sources.iter().filter(|source| **source).count() > 1 {
            self.error(at, Code::Conflict, "credentialName, credentialNames and tlsCertificates exclude each other");
        }
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
        self.warn_of_rest_of_tls(at, tls);
        model::ServerTls {
            mode: match mode {
                ServerTlsMode::Passthrough => model::ServerTlsMode::Passthrough,
                ServerTlsMode::Simple => model::ServerTlsMode::Simple,
                ServerTlsMode::Mutual => model::ServerTlsMode::Mutual,
                ServerTlsMode::AutoPassthrough => model::ServerTlsMode::AutoPassthrough,
                ServerTlsMode::IstioMutual => model::ServerTlsMode::IstioMutual,
                ServerTlsMode::OptionalMutual => model::ServerTlsMode::OptionalMutual,
            },
            credential_name: tls.credential_name.as_deref().filter(|name| !name.is_empty()).map(Into::into),
            https_redirect: tls.https_redirect.unwrap_or_default(),
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
        if mode != ServerTlsMode::Simple && !given(&tls.ca_certificates) {
            self.error(&at.field("caCertificates"), Code::Required, format!("required by {mode_text} without credentialName"));
        }
    }

    fn warn_of_unused_certificates(&mut self, at: &At<'_>, tls: &ServerTls, mode: ServerTlsMode) {
        if has_certificates(tls) {
            self.warn(at, Code::NoEffect, format!("{} does not decrypt, so its certificates have no effect", mode_name(mode)));
        }
    }

    /// What the API has and the mesh does not act on.
    fn warn_of_rest_of_tls(&mut self, at: &At<'_>, tls: &ServerTls) {
        let rest = [
            ("serverCertificate", given(&tls.server_certificate)),
            ("privateKey", given(&tls.private_key)),
            ("caCertificates", given(&tls.ca_certificates)),
            ("caCrl", given(&tls.ca_crl)),
            ("credentialNames", !tls.credential_names.is_empty()),
            ("caCertCredentialName", given(&tls.ca_cert_credential_name)),
            ("tlsCertificates", !tls.tls_certificates.is_empty()),
            ("subjectAltNames", !tls.subject_alt_names.is_empty()),
            ("verifyCertificateSpki", !tls.verify_certificate_spki.is_empty()),
            ("verifyCertificateHash", !tls.verify_certificate_hash.is_empty()),
            ("minProtocolVersion", tls.min_protocol_version.is_some()),
            ("maxProtocolVersion", tls.max_protocol_version.is_some()),
            ("cipherSuites", !tls.cipher_suites.is_empty()),
            ("insecureSkipVerify", tls.insecure_skip_verify.is_some()),
        ];
        for (field, present) in rest {
            self.not_honoured(at, field, present);
        }
    }
}
