//! Policy and MeshPolicy of Istio 1.4.

use std::collections::BTreeSet;

use ferromesh_crds::authentication::method::{self as api, Jwt, MutualTlsMode, PrincipalBinding, TriggerRule};
use ferromesh_crds::authentication::policy::{TargetPort, TargetSelector};
use ferromesh_crds::authentication::{MeshPolicy, Policy};

use super::hosts::is_label;
use super::path::{At, METADATA, SPEC};
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use crate::model::{self, AuthenticationMethods, JwtRule, OriginMethod, PeerMethod, PolicyPort, PolicyService, TokenTrigger, TriggerPath};

/// The name of the policy for everything in its scope.
pub(super) const DEFAULT: &str = "default";
/// What took the place of both kinds.
const SUCCESSOR: &str = "PeerAuthentication for peers and RequestAuthentication for origins, of security.istio.io/v1";
/// What follows from the mesh not acting on them.
const CONSEQUENCE: &str = "callers are asked for what PeerAuthentications say";

/// What both kinds say of callers.
struct Methods<'a> {
    peers: &'a [api::PeerMethod],
    peer_is_optional: Option<bool>,
    origins: &'a [api::OriginMethod],
    origin_is_optional: Option<bool>,
    binding: Option<PrincipalBinding>,
}

/// Reads a Policy.
///
/// # Errors
/// Everything that is wrong with it.
pub fn policy(object: &Policy, context: &ParseContext) -> Result<Parsed<model::Policy>, Invalid> {
    let mut reading = Reading::new("Policy", &object.metadata, context);
    let spec = &object.spec;
    reading.deprecated_kind(SUCCESSOR, CONSEQUENCE);
    let is_default = &*reading.origin.name == DEFAULT;
    if is_default && !spec.targets.is_empty() {
        let message = "the Policy named \"default\" is for the whole namespace: it can't have targets";
        reading.error(&SPEC.field("targets"), Code::Conflict, message);
    }
    if !is_default && spec.targets.is_empty() {
        let message = format!("{} has no targets: name it \"default\" if it is for the whole namespace", quoted(&reading.origin.name));
        reading.error(&METADATA.field("name"), Code::NotAllowed, message);
    }
    let targets = SPEC.field("targets").each(&spec.targets, |at, one| target(&mut reading, at, one));
    let methods = methods(
        &mut reading,
        &Methods {
            peers: &spec.peers,
            peer_is_optional: spec.peer_is_optional,
            origins: &spec.origins,
            origin_is_optional: spec.origin_is_optional,
            binding: spec.principal_binding,
        },
    );
    let value = model::Policy { origin: reading.origin.clone(), targets, methods, created: reading.created };
    reading.finish(value)
}

/// Reads a MeshPolicy.
///
/// # Errors
/// Everything that is wrong with it.
pub fn mesh_policy(object: &MeshPolicy, context: &ParseContext) -> Result<Parsed<model::MeshPolicy>, Invalid> {
    let mut reading = Reading::cluster_scoped("MeshPolicy", &object.metadata, context);
    let spec = &object.spec;
    reading.deprecated_kind(SUCCESSOR, CONSEQUENCE);
    reading.single();
    let methods = methods(
        &mut reading,
        &Methods {
            peers: &spec.peers,
            peer_is_optional: spec.peer_is_optional,
            origins: &spec.origins,
            origin_is_optional: spec.origin_is_optional,
            binding: spec.principal_binding,
        },
    );
    let value = model::MeshPolicy { origin: reading.origin.clone(), methods, created: reading.created };
    reading.finish(value)
}

impl Reading<'_> {
    /// An object of a kind of which there is one, by a fixed name.
    pub(super) fn single(&mut self) {
        if &*self.origin.name != DEFAULT {
            let message = format!("{} must be {DEFAULT:?}: there is one {}", quoted(&self.origin.name), self.origin.kind);
            self.error(&METADATA.field("name"), Code::NotAllowed, message);
        }
    }
}

fn target(reading: &mut Reading<'_>, at: &At<'_>, target: &TargetSelector) -> PolicyService {
    if !is_label(&target.name) {
        let message = format!("{} is no short name of a service: letters, digits and '-' only", quoted(&target.name));
        reading.error(&at.field("name"), Code::BadName, message);
    }
    if !target.labels.is_empty() {
        reading.warn(&at.field("labels"), Code::NoEffect, "labels of a target never had an effect: name the service");
    }
    let ports = at.field("ports").each(&target.ports, |at, one| port(reading, at, one));
    PolicyService { name: target.name.as_str().into(), ports: ports.into_iter().flatten().collect() }
}

fn port(reading: &mut Reading<'_>, at: &At<'_>, port: &TargetPort) -> Option<PolicyPort> {
    match (port.number, port.name.as_deref()) {
        (Some(number), None) => Some(PolicyPort::Number(reading.port(&at.field("number"), number))),
        (None, Some("")) => {
            reading.error(&at.field("name"), Code::Required, "must not be empty");
            None
        }
        (None, Some(name)) => Some(PolicyPort::Name(name.into())),
        (Some(_), Some(_)) => {
            reading.at_most_one(at, [("number", true), ("name", true)]);
            None
        }
        (None, None) => {
            reading.error(at, Code::Required, "number or name is needed");
            None
        }
    }
}

fn methods(reading: &mut Reading<'_>, methods: &Methods<'_>) -> AuthenticationMethods {
    reading.deprecated(&SPEC, "peerIsOptional", methods.peer_is_optional == Some(true), "mode PERMISSIVE");
    let mut issuers = BTreeSet::new();
    let peers = SPEC.field("peers").each(methods.peers, |at, one| peer(reading, at, one, &mut issuers));
    let origins = SPEC.field("origins").each(methods.origins, |at, one| {
        let at = at.field("jwt");
        match &one.jwt {
            Some(jwt) => Some(token(reading, &at, jwt, &mut issuers)),
            None => {
                reading.required(&at);
                None
            }
        }
    });
    AuthenticationMethods {
        peers,
        peer_is_optional: methods.peer_is_optional.unwrap_or_default(),
        origins: origins.into_iter().flatten().collect(),
        origin_is_optional: methods.origin_is_optional.unwrap_or_default(),
        principal_is_origin: methods.binding == Some(PrincipalBinding::UseOrigin),
    }
}

/// A way of a workload. Nothing at all is mutual TLS: 1.4's own examples write `- mtls:`, and the API server drops nulls.
fn peer<'o>(reading: &mut Reading<'_>, at: &At<'_>, method: &'o api::PeerMethod, issuers: &mut BTreeSet<&'o str>) -> PeerMethod {
    let mtls = method.mtls.as_ref();
    match &method.jwt {
        Some(_) if mtls.is_some() => _ = reading.at_most_one(at, [("mtls", true), ("jwt", true)]),
        Some(jwt) => return PeerMethod::Token(Box::new(token(reading, &at.field("jwt"), jwt, issuers))),
        None => {}
    }
    let allow_tls = mtls.is_some_and(|mtls| mtls.allow_tls == Some(true));
    reading.deprecated(&at.field("mtls"), "allowTls", allow_tls, "mode PERMISSIVE");
    PeerMethod::MutualTls { permissive: allow_tls || mtls.is_some_and(|mtls| mtls.mode == Some(MutualTlsMode::Permissive)) }
}

fn token<'o>(reading: &mut Reading<'_>, at: &At<'_>, jwt: &'o Jwt, issuers: &mut BTreeSet<&'o str>) -> OriginMethod {
    let issuer = jwt.issuer.as_deref().unwrap_or_default();
    let place = at.field("issuer");
    if issuer.is_empty() {
        reading.required(&place);
    } else if !issuers.insert(issuer) {
        reading.error(&place, Code::Duplicate, format!("there are two entries for the issuer {}", quoted(issuer)));
    }
    let mut locations = Vec::new();
    locations.extend(
        at.field("jwtHeaders")
            .each(&jwt.jwt_headers, |at, name| model::TokenLocation::Header { name: reading.header_name(at, name), prefix: "".into() }),
    );
    locations.extend(reading.filled_texts(&at.field("jwtParams"), &jwt.jwt_params).into_iter().map(model::TokenLocation::Parameter));
    let rule = JwtRule {
        issuer: Some(issuer.into()),
        audiences: reading.filled_texts(&at.field("audiences"), &jwt.audiences),
        keys: reading.jwt_keys(at, ("jwksUri", jwt.jwks_uri.as_deref()), jwt.jwks.as_deref()),
        locations,
        // As in 1.4, whose filter left the token where it was.
        forward: true,
        payload_header: None,
        claim_headers: Vec::new(),
        timeout: None,
        space_delimited_claims: Vec::new(),
    };
    OriginMethod { rule, triggers: at.field("triggerRules").each(&jwt.trigger_rules, |at, one| trigger(reading, at, one)) }
}

fn trigger(reading: &mut Reading<'_>, at: &At<'_>, rule: &TriggerRule) -> TokenTrigger {
    let mut paths = |field: &str, list: &[api::PathMatch]| {
        let read = at.field(field).each(list, |at, one| path(reading, at, one));
        read.into_iter().flatten().collect()
    };
    TokenTrigger { excluded: paths("excludedPaths", &rule.excluded_paths), included: paths("includedPaths", &rule.included_paths) }
}

fn path(reading: &mut Reading<'_>, at: &At<'_>, condition: &api::PathMatch) -> Option<TriggerPath> {
    let api::PathMatch { exact, prefix, suffix, regex } = condition;
    let set = [("exact", exact), ("prefix", prefix), ("suffix", suffix), ("regex", regex)];
    let mut set = set.into_iter().filter_map(|(field, text)| Some((field, text.as_deref()?)));
    let (Some((field, text)), None) = (set.next(), set.next()) else {
        reading.error(at, Code::Conflict, "exactly one of exact, prefix, suffix and regex must be set");
        return None;
    };
    if text.is_empty() {
        reading.error(&at.field(field), Code::Required, "must not be empty");
        return None;
    }
    Some(match field {
        "exact" => TriggerPath::Exact(text.into()),
        "prefix" => TriggerPath::Prefix(text.into()),
        "suffix" => TriggerPath::Suffix(text.into()),
        _ => {
            reading.regex(&at.field(field), text)?;
            TriggerPath::Regex(text.into())
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn methods(spec: Value) -> AuthenticationMethods {
        let object =
            json!({"apiVersion": "authentication.istio.io/v1alpha1", "kind": "MeshPolicy", "metadata": {"name": "default"}, "spec": spec});
        mesh_policy(&serde_json::from_value(object).unwrap(), &ParseContext::default()).unwrap().value.methods
    }

    #[test]
    fn a_peer_without_anything_is_mutual_tls() {
        let peers = methods(json!({"peers": [{}, {"mtls": null}, {"mtls": {"mode": "PERMISSIVE"}}, {"mtls": {"allowTls": true}}]})).peers;
        let expected = [false, false, true, true].map(|permissive| PeerMethod::MutualTls { permissive });
        assert_eq!(peers, expected);
    }

    #[test]
    fn a_cluster_scoped_object_has_no_namespace() {
        let object = json!({"apiVersion": "authentication.istio.io/v1alpha1", "kind": "MeshPolicy", "metadata": {"name": "default", "namespace": "shop"}, "spec": {}});
        let parsed = mesh_policy(&serde_json::from_value(object).unwrap(), &ParseContext::default()).unwrap();
        assert_eq!(parsed.value.origin, model::ObjectRef::new("MeshPolicy", "", "default"));
    }
}
