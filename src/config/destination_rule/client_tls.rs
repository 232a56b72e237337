//! `tls` of a traffic policy.

use ferromesh_crds::networking::destination_rule::{ClientTls, ClientTlsMode};

use crate::config::path::At;
use crate::config::problem::Code;
use crate::config::reading::Reading;
use crate::config::text::{given, shared};
use crate::model;

/// TLS to endpoints.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, tls: &ClientTls) -> model::ClientTls {
    // As in protobuf, no mode is the first one.
    let mode = tls.mode.unwrap_or(ClientTlsMode::Disable);
    check_credentials(reading, at, tls, mode);
    if tls.insecure_skip_verify == Some(true) {
        check_unverified(reading, at, tls, mode);
    }
    model::ClientTls {
        mode: match mode {
            ClientTlsMode::Disable => model::ClientTlsMode::Disable,
            ClientTlsMode::Simple => model::ClientTlsMode::Simple,
            ClientTlsMode::Mutual => model::ClientTlsMode::Mutual,
            ClientTlsMode::IstioMutual => model::ClientTlsMode::IstioMutual,
        },
        sni: shared(&tls.sni),
        subject_alt_names: tls.subject_alt_names.iter().map(|name| name.as_str().into()).collect(),
        ca_certificates: shared(&tls.ca_certificates),
        client_certificate: shared(&tls.client_certificate),
        private_key: shared(&tls.private_key),
        credential_name: shared(&tls.credential_name),
        ca_crl: shared(&tls.ca_crl),
        insecure_skip_verify: tls.insecure_skip_verify,
    }
}

/// Certificates come from a Secret or from files, never from both.
fn check_credentials(reading: &mut Reading<'_>, at: &At<'_>, tls: &ClientTls, mode: ClientTlsMode) {
    let files = [
        ("clientCertificate", given(&tls.client_certificate)),
        ("privateKey", given(&tls.private_key)),
        ("caCertificates", given(&tls.ca_certificates)),
        ("caCrl", given(&tls.ca_crl)),
    ];
    match mode {
        ClientTlsMode::Simple | ClientTlsMode::Mutual if given(&tls.credential_name) => {
            for (field, _) in files.iter().filter(|(_, given)| *given) {
                reading.error(at, Code::Conflict, format!("credentialName and {field} exclude each other"));
            }
        }
        ClientTlsMode::Mutual => {
            for (field, _) in files.iter().take(2).filter(|(_, given)| !given) {
                reading.error(&at.field(field), Code::Required, "required by MUTUAL without credentialName");
            }
        }
        ClientTlsMode::Disable | ClientTlsMode::Simple | ClientTlsMode::IstioMutual => {}
    }
}

/// What the server is checked against makes no sense where it is not checked. A credential of MUTUAL may hold the client's half alone.
fn check_unverified(reading: &mut Reading<'_>, at: &At<'_>, tls: &ClientTls, mode: ClientTlsMode) {
    let checks = [
        ("caCertificates", given(&tls.ca_certificates)),
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
        ("credentialName", given(&tls.credential_name) && mode == ClientTlsMode::Simple),
    ];
    let checked = matches!(mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
    for (field, _) in checks.iter().filter(|(_, given)| checked && *given) {
        reading.error(at, Code::Conflict, format!("insecureSkipVerify and {field} exclude each other"));
    }
}
