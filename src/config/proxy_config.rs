//! ProxyConfig.

use ferromesh_crds::networking::ProxyConfig;

use super::path::SPEC;
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use crate::model::{self, Labels};

/// The longest value of a variable.
const LONGEST_VALUE: usize = 2048;

/// Reads a ProxyConfig.
///
/// # Errors
/// Everything that is wrong with it.
pub fn proxy_config(object: &ProxyConfig, context: &ParseContext) -> Result<Parsed<model::ProxyConfig>, Invalid> {
    let mut reading = Reading::new("ProxyConfig", &object.metadata, context);
    let spec = &object.spec;
    let selector = spec.selector.as_ref();
    let selector = selector.map_or_else(Labels::new, |one| reading.selector(&SPEC.field("selector"), "matchLabels", &one.match_labels));
    let variables = SPEC.field("environmentVariables");
    for (name, value) in &spec.environment_variables {
        let at = variables.key(name);
        if name.is_empty() || name.contains(['=', '\0']) {
            reading.error(&at, Code::BadName, format!("{} is no name of a variable", quoted(name)));
        }
        if value.len() > LONGEST_VALUE {
            reading.error(&at, Code::WrongSize, format!("the value has {} bytes, {LONGEST_VALUE} at most are allowed", value.len()));
        }
    }
    let image = spec.image.as_ref().and_then(|image| image.image_type.as_deref());
    let value = model::ProxyConfig {
        origin: reading.origin.clone(),
        selector,
        concurrency: reading.count(&SPEC.field("concurrency"), spec.concurrency),
        environment: spec.environment_variables.clone(),
        image_type: image.filter(|image| !image.is_empty()).map(Into::into),
        created: reading.created,
    };
    reading.finish(value)
}
