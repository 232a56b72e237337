//! Which tokens a workload believes, as RequestAuthentications say it: Envoy's filter that checks them, and leaves what they say where
//! routes can see it.
//!
//! A token that is there must be good; that there has to be one is not said here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use envoy_api::envoy::{
    config::{
        core::v3::{HttpUri, http_uri::HttpUpstreamType},
        route::v3::{RouteMatch, route_match::PathSpecifier},
    },
    extensions::filters::http::jwt_authn::v3::{
        JwksAsyncFetch, JwtAuthentication, JwtClaimToHeader, JwtHeader, JwtProvider, JwtRequirement, JwtRequirementAndList,
        JwtRequirementOrList, RemoteJwks, RequirementRule,
        jwt_provider::{JwksSourceSpecifier, NormalizePayload},
        jwt_requirement::RequiresType,
        requirement_rule::RequirementType,
    },
    r#type::matcher::v3::{
        ListMatcher, MetadataMatcher, OrMatcher, ValueMatcher,
        list_matcher::MatchPattern as InList,
        metadata_matcher::{PathSegment, path_segment::Segment},
        value_matcher::MatchPattern,
    },
};
use serde_json::Value;

use super::{
    fault::{Fault, FaultCause},
    input::Input,
    message::{duration, inline, string_matcher},
    naming::outbound_cluster,
    remote::{Holds, Remote},
    scope::Scope,
};
use crate::model::{ClaimMatch, HostPattern, JwtKeys, JwtRule, KeySetUrl, ObjectRef, PolicyTarget, RequestAuthentication, TokenLocation};

/// The filter, under whose name its findings are kept.
pub(super) const TOKEN_FILTER: &str = "envoy.filters.http.jwt_authn";
/// What it calls the content of the token among them.
const PAYLOAD: &str = "payload";
/// Claims that hold several values between spaces, as the standards for OAuth have them.
const LISTS: [&str; 2] = ["scope", "permission"];
/// How long fetching keys may take where the user does not say.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long fetched keys hold.
const KEYS_HOLD: Duration = Duration::from_secs(5 * 60);
/// A set by which no token is good. Envoy refuses one without keys, so there is one that nobody can sign with: it is not made from a private
/// key, but is the SHA-256 of `nobody signs with this key`.
const NOBODYS_KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"CJpvLPgBaFzeJ7Bozl2pv0B4STFhNPCj2SAmPSE-Q1g"}]}"#;

/// One rule, with the object that it stands in and its place there.
struct Believed<'a> {
    object: &'a ObjectRef,
    place: usize,
    rule: &'a JwtRule,
}

/// The filter for requests of that proxy; `None` if it looks at no tokens. Where routes depend on what a token says they are chosen anew
/// once it is known: `reroutes`.
pub(super) fn filter(scope: &Scope<'_>, reroutes: bool) -> Option<JwtAuthentication> {
    let believed = believed(scope);
    if believed.is_empty() {
        return None;
    }
    let named = |(place, it): (usize, Believed<'_>)| (format!("origins-{place}"), provider(scope, &it, reroutes));
    let providers: BTreeMap<String, JwtProvider> = believed.into_iter().enumerate().map(named).collect();
    let everything = RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..RouteMatch::default() };
    let names: Vec<&str> = providers.keys().map(String::as_str).collect();
    let rule = RequirementRule { r#match: Some(everything), requirement_type: Some(RequirementType::Requires(requirement(&names))) };
    // Browsers ask without the token whether they may send one.
    Some(JwtAuthentication { rules: vec![rule], providers, bypass_cors_preflight: true, ..JwtAuthentication::default() })
}

/// One good token, or none at all. Of several providers that look in the same place each would find the others' tokens bad, so that one
/// that is good for any of them is enough; what is demanded otherwise is that each finds a good one or none.
fn requirement(names: &[&str]) -> JwtRequirement {
    let of = |kind| JwtRequirement { requires_type: Some(kind) };
    let any = |requirements| of(RequiresType::RequiresAny(JwtRequirementOrList { requirements }));
    let named = |name: &&str| of(RequiresType::ProviderName((*name).to_owned()));
    let optional = |name: &&str| any(vec![named(name), of(RequiresType::AllowMissing(()))]);
    match names {
        [only] => optional(only),
        several => {
            let all = RequiresType::RequiresAll(JwtRequirementAndList { requirements: several.iter().map(optional).collect() });
            any(several.iter().map(named).chain([of(all)]).collect())
        }
    }
}

fn provider(scope: &Scope<'_>, believed: &Believed<'_>, reroutes: bool) -> JwtProvider {
    scope.shaped_by(believed.object);
    let rule = believed.rule;
    let texts = |texts: &[Arc<str>]| texts.iter().map(|text| text.to_string()).collect();
    let places = |of: fn(&TokenLocation) -> Option<&Arc<str>>| rule.locations.iter().filter_map(of).map(|it| it.to_string()).collect();
    let headers = rule.locations.iter().filter_map(|it| match it {
        TokenLocation::Header { name, prefix } => Some(JwtHeader { name: name.to_string(), value_prefix: prefix.to_string() }),
        TokenLocation::Parameter(_) | TokenLocation::Cookie(_) => None,
    });
    let claims = rule.claim_headers.iter().map(|it| JwtClaimToHeader {
        header_name: it.header.to_string(),
        claim_name: it.claim.join("."),
        ..JwtClaimToHeader::default()
    });
    let lists = LISTS.map(str::to_owned).into_iter().chain(rule.space_delimited_claims.iter().map(|it| it.to_string()));
    JwtProvider {
        issuer: rule.issuer.as_deref().unwrap_or_default().to_owned(),
        audiences: texts(&rule.audiences),
        forward: rule.forward,
        from_headers: headers.collect(),
        from_params: places(|it| match it {
            TokenLocation::Parameter(name) => Some(name),
            _ => None,
        }),
        from_cookies: places(|it| match it {
            TokenLocation::Cookie(name) => Some(name),
            _ => None,
        }),
        forward_payload_header: rule.payload_header.as_deref().unwrap_or_default().to_owned(),
        payload_in_metadata: PAYLOAD.to_owned(),
        normalize_payload_in_metadata: Some(NormalizePayload { space_delimited_claims: lists.collect() }),
        claim_to_headers: claims.collect(),
        clear_route_cache: reroutes,
        jwks_source_specifier: Some(keys(scope, believed)),
        ..JwtProvider::default()
    }
}

fn keys(scope: &Scope<'_>, believed: &Believed<'_>) -> JwksSourceSpecifier {
    match &believed.rule.keys {
        JwtKeys::Inline(keys) => JwksSourceSpecifier::LocalJwks(inline(&as_set(keys))),
        JwtKeys::Remote(url) => {
            let timeout = believed.rule.timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(FETCH_TIMEOUT);
            let uri = HttpUri {
                uri: url.url.to_string(),
                timeout: Some(duration(timeout)),
                http_upstream_type: Some(HttpUpstreamType::Cluster(cluster_to(scope, url))),
            };
            JwksSourceSpecifier::RemoteJwks(RemoteJwks {
                http_uri: Some(uri),
                cache_duration: Some(duration(KEYS_HOLD)),
                // Before the first request, and again before they are out of date.
                async_fetch: Some(JwksAsyncFetch::default()),
                ..RemoteJwks::default()
            })
        }
        JwtKeys::Discovered => {
            scope.leave_out(Fault {
                object: believed.object.clone(),
                path: format!("spec.jwtRules[{}].issuer", believed.place).into(),
                message: "the issuer is not asked for its keys, so that none of its tokens is good: name them by jwksUri or jwks"
                    .to_owned(),
                cause: FaultCause::Misfit,
            });
            JwksSourceSpecifier::LocalJwks(inline(NOBODYS_KEYS))
        }
    }
}

/// A set of keys. Users may write a single one; Envoy takes none that is alone.
fn as_set(keys: &str) -> String {
    match serde_json::from_str::<Value>(keys) {
        Ok(Value::Object(key)) if !key.contains_key("keys") => format!(r#"{{"keys":[{keys}]}}"#),
        _ => keys.to_owned(),
    }
}

/// The cluster behind which keys are: that of a service of the mesh, with all that is said of it, else one of their server's own.
fn cluster_to(scope: &Scope<'_>, url: &KeySetUrl) -> String {
    let host = HostPattern::new(&url.host);
    match in_mesh(scope, &host, url.port) {
        true => outbound_cluster(url.port, None, &host),
        false => server_of(url).to_string(),
    }
}

fn in_mesh(scope: &Scope<'_>, host: &HostPattern, port: u16) -> bool {
    scope.visible_service(host).is_some_and(|service| scope.visible_ports(service).any(|it| it.number == port))
}

fn server_of(url: &KeySetUrl) -> Remote {
    Remote { holds: Holds::Keys, host: url.host.clone(), port: url.port, tls: url.tls }
}

/// The servers outside of the mesh from which the proxy fetches keys.
pub(super) fn sources(scope: &Scope<'_>) -> BTreeSet<Remote> {
    let remote = |it: &Believed<'_>| match &it.rule.keys {
        JwtKeys::Remote(url) if !in_mesh(scope, &HostPattern::new(&url.host), url.port) => Some(server_of(url)),
        _ => None,
    };
    believed(scope).iter().filter_map(remote).collect()
}

/// Notes the objects whose keys a server has.
pub(super) fn name_users_of(scope: &Scope<'_>, server: &Remote) {
    let uses = |it: &Believed<'_>| matches!(&it.rule.keys, JwtKeys::Remote(url) if server_of(url) == *server);
    believed(scope).into_iter().filter(uses).for_each(|it| scope.shaped_by(it.object));
}

/// What must hold of the claims of a request's token, as Envoy's condition on what the filter found. A claim that is a list fulfils it by
/// one of its entries.
pub(super) fn condition(claim: &ClaimMatch) -> MetadataMatcher {
    let segment = |name: &str| PathSegment { segment: Some(Segment::Key(name.to_owned())) };
    let value = |pattern| ValueMatcher { match_pattern: Some(pattern) };
    let wanted = match &claim.value {
        None => MatchPattern::PresentMatch(true),
        Some(text) => {
            let text = value(MatchPattern::StringMatch(string_matcher(text)));
            let listed = ListMatcher { match_pattern: Some(InList::OneOf(Box::new(text.clone()))) };
            MatchPattern::OrMatch(OrMatcher { value_matchers: vec![text, value(MatchPattern::ListMatch(Box::new(listed)))] })
        }
    };
    MetadataMatcher {
        filter: TOKEN_FILTER.to_owned(),
        path: [PAYLOAD].into_iter().chain(claim.path.iter().map(|step| &**step)).map(segment).collect(),
        value: Some(value(wanted)),
        invert: claim.inverted,
    }
}

/// The rules that hold for the proxy, those of the root namespace before its own, the senior object's first.
fn believed<'a>(scope: &Scope<'a>) -> Vec<Believed<'a>> {
    let rules = |object: &'a Arc<RequestAuthentication>| {
        let object = &**object;
        object.rules.iter().enumerate().map(move |(place, rule)| Believed { object: &object.origin, place, rule })
    };
    scope.request_authentications().into_iter().flat_map(rules).collect()
}

impl<'a> Scope<'a> {
    fn request_authentications(&self) -> Vec<&'a Arc<RequestAuthentication>> {
        self.reads(Input::CheckingNamespaces);
        let all = &self.mesh.request_authentications;
        if all.is_empty() {
            return Vec::new();
        }
        let of_namespace = |namespace: Arc<str>| {
            self.reads(Input::RequestAuthentications(namespace.clone()));
            all.get(&namespace).into_iter().flatten().filter(move |it| match &it.target {
                PolicyTarget::Workloads(labels) => self.selected_by(labels),
                PolicyTarget::Resources(resources) => self.stands_behind(resources, &namespace),
            })
        };
        self.root_and_own(all).into_iter().flat_map(of_namespace).collect()
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::testing::base64url;

    #[test]
    fn nobody_has_the_key_by_which_no_token_is_good() {
        let set: Value = serde_json::from_str(NOBODYS_KEYS).unwrap();
        assert_eq!(set["keys"][0]["x"], base64url(&Sha256::digest("nobody signs with this key")));
    }

    #[test]
    fn a_key_alone_becomes_a_set() {
        assert_eq!(as_set(r#"{"kty":"oct","k":"a"}"#), r#"{"keys":[{"kty":"oct","k":"a"}]}"#);
        assert_eq!(as_set(NOBODYS_KEYS), NOBODYS_KEYS);
    }
}
