//! What the filter that checks tokens makes of a request: whether it lets it pass, and what the request's token says.
//!
//! Signatures and times are not looked at, which is told: a token that is shown is taken for one that its issuer would sign now.

use envoy_api::envoy::{
    extensions::filters::{
        http::jwt_authn::v3::{
            JwtAuthentication, JwtProvider, JwtRequirement, jwt_requirement::RequiresType, requirement_rule::RequirementType,
        },
        network::http_connection_manager::v3::{HttpConnectionManager, http_filter::ConfigType},
    },
    r#type::matcher::v3::{
        MetadataMatcher, ValueMatcher, list_matcher::MatchPattern as InList, metadata_matcher::path_segment::Segment,
        value_matcher::MatchPattern,
    },
};
use serde_json::Value;

use super::{HttpRequest, Origin, Possibility, Step, decision::Trace, http::Arrival, matching};

/// The filter, under whose name its findings are kept.
pub(super) const FILTER: &str = "envoy.filters.http.jwt_authn";
/// Where tokens stand if nobody says otherwise.
const HEADER: (&str, &str) = ("authorization", "Bearer ");
const PARAMETER: &str = "access_token";

/// What a token says, under the name that the filter gives it.
pub(super) type Claims = Option<(String, Value)>;

/// What is found where a provider looks.
#[derive(Clone, Debug)]
enum Found {
    Good(String, Value),
    Missing,
    Bad(u16, String),
}

/// What a request's token says, if it has one and routes may ask for it; the answer if it is refused. `by` are the objects that have tokens
/// checked.
pub(super) fn checked(
    manager: &HttpConnectionManager,
    arrival: &Arrival<'_>,
    by: &[Origin],
    trace: &mut Trace,
) -> Result<Claims, Box<Possibility>> {
    let Some(filter) = manager.http_filters.iter().find(|it| it.name == FILTER && !it.disabled) else { return Ok(None) };
    let Some(ConfigType::TypedConfig(config)) = &filter.config_type else { return Ok(None) };
    let Ok(config) = envoy_api::unpack::<JwtAuthentication>(config) else { return Ok(None) };
    if config.bypass_cors_preflight && is_preflight(arrival.http) {
        return Ok(None);
    }
    let required = config.rules.iter().find_map(|rule| match &rule.requirement_type {
        Some(RequirementType::Requires(requirement)) => Some(requirement),
        Some(RequirementType::RequirementName(name)) => config.requirement_map.get(name),
        None => None,
    });
    let Some(required) = required else { return Ok(None) };
    match met(&config, required, arrival.http) {
        Found::Missing => {
            trace.decided(Step::Filter, FILTER, "the request has no token, and needs none", by.to_vec());
            Ok(None)
        }
        Found::Good(name, claims) => {
            let issuer = claims["iss"].as_str().unwrap_or("nobody");
            trace.decided(Step::Filter, FILTER, format!("the request has a token of {issuer}"), by.to_vec());
            trace.note(
                "a token is taken for good if its issuer and audience are: its signature and its times are not checked here".to_owned(),
            );
            Ok(Some((name, claims)))
        }
        Found::Bad(status, because) => Err(Box::new(Possibility::answer(status, because, by.to_vec()))),
    }
}

/// Whether a condition on what filters found holds; `None` if it is about another filter.
pub(super) fn fulfils(condition: &MetadataMatcher, claims: &Claims) -> Option<bool> {
    if condition.filter != FILTER {
        return None;
    }
    let mut steps = condition.path.iter().filter_map(|step| step.segment.as_ref()).map(|Segment::Key(key)| key.as_str());
    let payload = claims.as_ref().filter(|(name, _)| Some(name.as_str()) == steps.next()).map(|(_, payload)| payload);
    let value = steps.fold(payload, |value, step| value?.get(step));
    let holds = condition.value.as_ref().is_some_and(|wanted| is_like(wanted, value));
    Some(holds != condition.invert)
}

fn is_like(wanted: &ValueMatcher, value: Option<&Value>) -> bool {
    match &wanted.match_pattern {
        Some(MatchPattern::PresentMatch(present)) => value.is_some() == *present,
        Some(MatchPattern::StringMatch(condition)) => value.and_then(Value::as_str).is_some_and(|text| matching::text(condition, text)),
        Some(MatchPattern::BoolMatch(wanted)) => value.and_then(Value::as_bool) == Some(*wanted),
        Some(MatchPattern::NullMatch(_)) => value.is_some_and(Value::is_null),
        Some(MatchPattern::ListMatch(list)) => match &list.match_pattern {
            Some(InList::OneOf(wanted)) => {
                value.and_then(Value::as_array).is_some_and(|all| all.iter().any(|it| is_like(wanted, Some(it))))
            }
            None => false,
        },
        Some(MatchPattern::OrMatch(any)) => any.value_matchers.iter().any(|wanted| is_like(wanted, value)),
        Some(MatchPattern::DoubleMatch(_)) | None => false,
    }
}

/// What of a requirement is found.
fn met(config: &JwtAuthentication, required: &JwtRequirement, request: &HttpRequest) -> Found {
    match &required.requires_type {
        Some(RequiresType::ProviderName(name)) => config.providers.get(name).map_or(Found::Missing, |it| of_provider(it, request)),
        Some(RequiresType::RequiresAny(any)) => {
            let optional = any.requirements.iter().any(|it| matches!(it.requires_type, Some(RequiresType::AllowMissing(()))));
            let found: Vec<Found> = any.requirements.iter().map(|it| met(config, it, request)).collect();
            let good = found.iter().find(|it| matches!(it, Found::Good(..)));
            // All that was found is worse than nothing, unless nothing will do.
            let bad = found.iter().find(|it| matches!(it, Found::Bad(..)));
            match (good, bad) {
                (Some(found), _) | (None, Some(found)) => found.clone(),
                (None, None) if optional || any.requirements.iter().any(accepts_nothing) => Found::Missing,
                (None, None) => Found::Bad(401, "the request has no token".to_owned()),
            }
        }
        Some(RequiresType::RequiresAll(all)) => {
            let found: Vec<Found> = all.requirements.iter().map(|it| met(config, it, request)).collect();
            let bad = found.iter().find(|it| matches!(it, Found::Bad(..)));
            let good = found.iter().find(|it| matches!(it, Found::Good(..)));
            bad.or(good).cloned().unwrap_or(Found::Missing)
        }
        _ => Found::Missing,
    }
}

/// Whether no token at all fulfils a requirement.
fn accepts_nothing(required: &JwtRequirement) -> bool {
    match &required.requires_type {
        Some(RequiresType::AllowMissing(())) => true,
        Some(RequiresType::RequiresAny(any)) => any.requirements.iter().any(accepts_nothing),
        Some(RequiresType::RequiresAll(all)) => all.requirements.iter().all(accepts_nothing),
        _ => false,
    }
}

fn of_provider(provider: &JwtProvider, request: &HttpRequest) -> Found {
    let mut last = Found::Missing;
    for token in tokens(provider, request) {
        last = judged(provider, &token);
        if matches!(last, Found::Bad(..)) {
            break;
        }
    }
    last
}

/// The tokens of a request, where a provider looks for them.
fn tokens(provider: &JwtProvider, request: &HttpRequest) -> Vec<String> {
    let header = |name: &str, prefix: &str| {
        let values = request.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        values.filter_map(|(_, value)| Some(value.strip_prefix(prefix)?.trim().to_owned())).collect::<Vec<_>>()
    };
    let parameter = |name: &str| {
        let pairs = request.query().split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(own, _)| *own == name).map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
    };
    let cookie = |name: &str| {
        let all = request.header("cookie", "").unwrap_or_default();
        let pairs = all.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(own, _)| *own == name).map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
    };
    if provider.from_headers.is_empty() && provider.from_params.is_empty() && provider.from_cookies.is_empty() {
        return [header(HEADER.0, HEADER.1), parameter(PARAMETER)].concat();
    }
    let headers = provider.from_headers.iter().flat_map(|it| header(&it.name, &it.value_prefix));
    let parameters = provider.from_params.iter().flat_map(|name| parameter(name));
    headers.chain(parameters).chain(provider.from_cookies.iter().flat_map(|name| cookie(name))).collect()
}

fn judged(provider: &JwtProvider, token: &str) -> Found {
    let Some(mut claims) = payload(token) else { return Found::Bad(401, "the token of the request can't be read".to_owned()) };
    let issuer = claims["iss"].as_str().unwrap_or_default().to_owned();
    if !provider.issuer.is_empty() && provider.issuer != issuer {
        return Found::Bad(401, format!("the token of the request is of {issuer}, and {} alone is believed", provider.issuer));
    }
    let meant = match &claims["aud"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !provider.audiences.is_empty() && !provider.audiences.iter().any(|audience| meant.contains(&audience.as_str())) {
        return Found::Bad(
            403,
            format!("the token of the request is for {}", if meant.is_empty() { "nobody".to_owned() } else { meant.join(", ") }),
        );
    }
    for name in provider.normalize_payload_in_metadata.iter().flat_map(|it| &it.space_delimited_claims) {
        let Some(Value::String(text)) = claims.get(name) else { continue };
        claims[name] = text.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().into();
    }
    Found::Good(provider.payload_in_metadata.clone(), claims)
}

/// What a token says: its second part.
fn payload(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&decoded(payload)?).ok().filter(Value::is_object)
}

/// Bytes of base64url without padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(((bits >> count) & 0xff) as u8);
        }
    }
    Some(bytes)
}

/// Whether a browser asks what it may send.
fn is_preflight(request: &HttpRequest) -> bool {
    let has = |name| request.header(name, "").is_some();
    request.method == "OPTIONS" && has("origin") && has("access-control-request-method")
}
