//! RequestAuthentication.

use std::{collections::BTreeSet, sync::Arc};

use ferromesh_crds::security::RequestAuthentication;
use ferromesh_crds::security::request_authentication::{ClaimToHeader, JwtRule};

use super::path::{At, SPEC};
use super::policy_target::Attachment;
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use super::text::{filled, given};
use crate::model::{self, ClaimHeader, JwtKeys, TokenLocation};

/// The most rules.
const MOST: usize = 4096;

/// Reads a RequestAuthentication.
///
/// # Errors
/// Everything that is wrong with it.
pub fn request_authentication(
    object: &RequestAuthentication,
    context: &ParseContext,
) -> Result<Parsed<model::RequestAuthentication>, Invalid> {
    let mut reading = Reading::new("RequestAuthentication", &object.metadata, context);
    let spec = &object.spec;
    let target = reading.policy_target(&Attachment {
        selector: spec.selector.as_ref(),
        reference: spec.target_ref.as_ref(),
        references: &spec.target_refs,
    });
    let at = SPEC.field("jwtRules");
    if spec.jwt_rules.len() > MOST {
        reading.error(&at, Code::WrongSize, format!("has {} entries, {MOST} at most are allowed", spec.jwt_rules.len()));
    }
    let rules = at.each(&spec.jwt_rules, |at, one| rule(&mut reading, at, one));
    let value = model::RequestAuthentication { origin: reading.origin.clone(), target, rules, created: reading.created };
    reading.finish(value)
}

fn rule(reading: &mut Reading<'_>, at: &At<'_>, rule: &JwtRule) -> model::JwtRule {
    if rule.issuer.as_deref() == Some("") {
        reading.error(&at.field("issuer"), Code::Required, "must not be empty");
    } else if rule.issuer.is_none() && !given(&rule.jwks_uri) && !given(&rule.jwks_uri_alias) {
        reading.error(&at.field("issuer"), Code::Required, "required unless there is a jwksUri");
    }
    for (field, url) in [("jwksUri", &rule.jwks_uri), ("jwks_uri", &rule.jwks_uri_alias)] {
        if url.as_deref() == Some("") {
            reading.error(&at.field(field), Code::Required, "must not be empty");
        }
    }
    if rule.jwks_uri.is_some() && rule.jwks_uri_alias.is_some() {
        reading.error(&at.field("jwks_uri"), Code::Conflict, "is another spelling of jwksUri: keep one of them");
    }
    let url = match &rule.jwks_uri_alias {
        Some(alias) if rule.jwks_uri.is_none() => ("jwks_uri", Some(alias.as_str())),
        _ => ("jwksUri", rule.jwks_uri.as_deref()),
    };
    let keys = reading.jwt_keys(at, url, rule.jwks.as_deref());
    if keys == JwtKeys::Discovered {
        let message = "this mesh does not ask issuers for their keys, so that none of its tokens is good: name the keys by jwksUri or jwks";
        reading.warn(&at.field("issuer"), Code::NotHonoured, message);
    }
    model::JwtRule {
        issuer: rule.issuer.as_deref().map(Into::into),
        audiences: reading.filled_texts(&at.field("audiences"), &rule.audiences),
        keys,
        locations: locations(reading, at, rule),
        forward: rule.forward_original_token.unwrap_or_default(),
        payload_header: payload_header(reading, at, rule),
        claim_headers: claim_headers(reading, at, &rule.output_claim_to_headers),
        timeout: reading.duration(&at.field("timeout"), rule.timeout.as_deref()),
        space_delimited_claims: reading.filled_texts(&at.field("spaceDelimitedClaims"), &rule.space_delimited_claims),
    }
}

fn locations(reading: &mut Reading<'_>, at: &At<'_>, rule: &JwtRule) -> Vec<TokenLocation> {
    let headers = at.field("fromHeaders").each(&rule.from_headers, |at, one| TokenLocation::Header {
        name: reading.header_name(&at.field("name"), &one.name),
        prefix: one.prefix.as_deref().unwrap_or_default().into(),
    });
    let parameters = reading.filled_texts(&at.field("fromParams"), &rule.from_params);
    let cookies = reading.filled_texts(&at.field("fromCookies"), &rule.from_cookies);
    let others = parameters.into_iter().map(TokenLocation::Parameter).chain(cookies.into_iter().map(TokenLocation::Cookie));
    headers.into_iter().chain(others).collect()
}

fn payload_header(reading: &mut Reading<'_>, at: &At<'_>, rule: &JwtRule) -> Option<Arc<str>> {
    let name = filled(&rule.output_payload_to_header)?;
    Some(reading.header_name(&at.field("outputPayloadToHeader"), name))
}

fn claim_headers(reading: &mut Reading<'_>, at: &At<'_>, entries: &[ClaimToHeader]) -> Vec<ClaimHeader> {
    let mut taken = BTreeSet::new();
    at.field("outputClaimToHeaders").each(entries, |at, entry| {
        let header = at.field("header");
        let legal = entry.header.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if entry.header.is_empty() {
            reading.required(&header);
        } else if !legal {
            let message = format!("{} may have letters, digits, '-' and '_' only", quoted(&entry.header));
            reading.error(&header, Code::BadHeader, message);
        } else if !taken.insert(entry.header.to_ascii_lowercase()) {
            reading.warn(&header, Code::NoEffect, format!("{} gets another claim already: one of them is lost", quoted(&entry.header)));
        }
        if entry.claim.is_empty() {
            reading.required(&at.field("claim"));
        }
        ClaimHeader { header: entry.header.as_str().into(), claim: entry.claim.split('.').map(Into::into).collect() }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::KeySetUrl;

    fn rule(rule: Value) -> model::JwtRule {
        let object = json!({"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": {"name": "a"}, "spec": {"jwtRules": [rule]}});
        request_authentication(&serde_json::from_value(object).unwrap(), &ParseContext::default()).unwrap().value.rules.remove(0)
    }

    #[test]
    fn keys_are_inline_remote_or_discovered() {
        let remote =
            |url: &str, host: &str, port: u16, tls: bool| JwtKeys::Remote(KeySetUrl { url: url.into(), host: host.into(), port, tls });
        let keys = |url: &str| rule(json!({"issuer": "a", "jwksUri": url})).keys;
        assert_eq!(keys("https://k.example.com/x"), remote("https://k.example.com/x", "k.example.com", 443, true));
        assert_eq!(keys("http://[::1]:8080"), remote("http://[::1]:8080", "::1", 8080, false));
        assert_eq!(rule(json!({"issuer": "a", "jwks_uri": "http://k"})).keys, remote("http://k", "k", 80, false));
        assert_eq!(rule(json!({"issuer": "a", "jwks": "{\"keys\":[]}"})).keys, JwtKeys::Inline("{\"keys\":[]}".into()));
        assert_eq!(rule(json!({"issuer": "a"})).keys, JwtKeys::Discovered);
    }

    #[test]
    fn places_are_looked_at_in_order() {
        let places =
            rule(json!({"issuer": "a", "fromCookies": ["c"], "fromParams": ["p"], "fromHeaders": [{"name": "h", "prefix": "x "}]}))
                .locations;
        let header = TokenLocation::Header { name: "h".into(), prefix: "x ".into() };
        assert_eq!(places, [header, TokenLocation::Parameter("p".into()), TokenLocation::Cookie("c".into())]);
    }

    #[test]
    fn dots_lead_into_nested_claims() {
        let claims = rule(json!({"issuer": "a", "outputClaimToHeaders": [{"header": "x-a", "claim": "b.c"}]})).claim_headers;
        assert_eq!(claims, [ClaimHeader { header: "x-a".into(), claim: vec!["b".into(), "c".into()] }]);
    }
}
