//! Secrets in rows: names, types, validity and serial numbers, and never a key.

use k8s_openapi::ByteString;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::{parse_x509_certificate, time::ASN1Time};

use super::{dump::HeldSecret, table::Table};

/// What may be told of a secret.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    name: String,
    kind: &'static str,
    state: &'static str,
    /// What its first certificate says, if it has one.
    certificate: Option<Certificate>,
}

#[derive(Clone, Debug, PartialEq)]
struct Certificate {
    serial: String,
    not_before: i64,
    not_after: i64,
}

/// What may be told of a secret in a dump.
pub(super) fn shown(held: &HeldSecret) -> Shown {
    let secret = &held.secret;
    let name = secret["name"].as_str().unwrap_or_default().to_owned();
    let (kind, source) = if secret["tls_certificate"].is_object() {
        ("Cert Chain", &secret["tls_certificate"]["certificate_chain"])
    } else if secret["validation_context"].is_object() {
        ("CA", &secret["validation_context"]["trusted_ca"])
    } else {
        ("", &Value::Null)
    };
    Shown { name, kind, state: held.state, certificate: certificate(source) }
}

fn certificate(source: &Value) -> Option<Certificate> {
    let bytes = match source["inline_string"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => serde_json::from_value::<ByteString>(source["inline_bytes"].clone()).ok()?.0,
    };
    let der = CertificateDer::from_pem_slice(&bytes).ok()?;
    let (_, parsed) = parse_x509_certificate(&der).ok()?;
    let seconds = |time: ASN1Time| time.timestamp();
    let serial = parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Certificate { serial, not_before: seconds(parsed.validity().not_before), not_after: seconds(parsed.validity().not_after) })
}

// === impl Certificate ===

impl Certificate {
    fn valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

fn rfc3339(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// The secrets as a table; `now` is in seconds since the epoch.
pub(super) fn table(secrets: &[Shown], now: i64) -> Table {
    let mut table = Table::new(&["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"]);
    for it in secrets {
        let of = |value: fn(&Certificate) -> String| it.certificate.as_ref().map(value).unwrap_or_default();
        let valid = it.certificate.as_ref().is_some_and(|certificate| certificate.valid_at(now));
        table.row([
            it.name.clone(),
            it.kind.to_owned(),
            it.state.to_owned(),
            valid.to_string(),
            of(|it| it.serial.clone()),
            of(|it| rfc3339(it.not_after)),
            of(|it| rfc3339(it.not_before)),
        ]);
    }
    table.sorted()
}

/// The secrets for programs.
pub(super) fn value(secrets: &[Shown], now: i64) -> Value {
    let value = |it: &Shown| {
        let certificate = it.certificate.as_ref().map(|own| {
            json!({
                "serialNumber": own.serial, "valid": own.valid_at(now),
                "notBefore": rfc3339(own.not_before), "notAfter": rfc3339(own.not_after),
            })
        });
        json!({"name": it.name, "type": it.kind, "state": it.state, "certificate": certificate})
    };
    Value::Array(secrets.iter().map(value).collect())
}
