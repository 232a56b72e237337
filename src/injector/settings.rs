//! The template of all injections, from the files that the operator keeps: the mesh's configuration and the injector's values.

use serde_json::json;
use std::{convert::Infallible, str::Utf8Error, sync::Arc};
use tokio::sync::watch;

use super::{InjectorConfig, ProxyImage, Template, TemplateError, metrics::Metrics, templates::Templates};
use crate::config::{Invalid, kubernetes::resource_problems, mesh_config};
use crate::model::{InjectionValues, MeshConfig};
use crate::runtime::{ContentWatch, ReadyGuard, Shutdown, causes};

/// The current template; none until both files have been understood.
pub(super) type TemplateSource = watch::Receiver<Option<Arc<Template>>>;

/// Follows both files and publishes what they say together.
pub(super) struct Settings {
    mesh: ContentWatch,
    values: ContentWatch,
    image: ProxyImage,
    publish: watch::Sender<Option<Arc<Template>>>,
    metrics: Metrics,
}

/// Why a file's content can't be used. The content from before holds on.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error("not text in UTF-8")]
    Text(#[from] Utf8Error),
    #[error("not understood")]
    Content(#[from] serde_saphyr::Error),
    #[error("not a MeshConfig")]
    Mesh(#[from] Invalid),
    #[error("a template can't be used")]
    Template(#[from] TemplateError),
    #[error("{0} is empty")]
    Empty(&'static str),
    #[error("proxy.resources.{0}: {1}")]
    Resources(String, String),
}

// === impl Settings ===

impl Settings {
    pub(super) fn new(config: &InjectorConfig, metrics: Metrics) -> (Self, TemplateSource) {
        let (publish, template) = watch::channel(None);
        let follow = |path| ContentWatch::new(path, config.reread);
        (Self { mesh: follow(&config.mesh), values: follow(&config.values), image: config.image.clone(), publish, metrics }, template)
    }

    /// Publishes a template for each change of a file until shutdown; releases `ready` with the first one.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, ready: ReadyGuard, shutdown: Shutdown) -> Result<(), Infallible> {
        let (mut mesh, mut values, mut ready) = (None, None, Some(ready));
        loop {
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                content = self.mesh.changed() => take(&mut mesh, read_mesh(&content), "mesh", &self.metrics),
                content = self.values.changed() => take(&mut values, read_values(&content, &self.image), "values", &self.metrics),
            }
            if let (Some(mesh), Some(values)) = (&mesh, &values) {
                let template = Some(Arc::new(Template::new(InjectionValues::clone(values), MeshConfig::clone(mesh))));
                if *self.publish.borrow() != template {
                    tracing::info!("settings read");
                    self.publish.send_replace(template);
                }
                drop(ready.take());
            }
        }
    }
}

/// Takes what a file says now, unless it can't be understood.
fn take<T>(slot: &mut Option<T>, read: Result<T, SettingsError>, file: &'static str, metrics: &Metrics) {
    metrics.refused(file, read.is_err());
    match read {
        Ok(content) => *slot = Some(content),
        Err(error) => {
            tracing::error!(error = causes(&error), file, old_kept = slot.is_some(), "settings refused");
        }
    }
}

fn read_mesh(content: &[u8]) -> Result<MeshConfig, SettingsError> {
    Ok(mesh_config(std::str::from_utf8(content)?)?)
}

/// Values without an image or a citadel, or with resources that Kubernetes refuses, would break every pod from here on.
fn read_values(content: &[u8], image: &ProxyImage) -> Result<InjectionValues, SettingsError> {
    let mut values: InjectionValues = serde_saphyr::from_str(std::str::from_utf8(content)?)?;
    values.hub = image.hub.clone().unwrap_or(values.hub);
    values.tag = image.tag.clone().unwrap_or(values.tag);
    let needed = [("hub", &values.hub), ("tag", &values.tag), ("revision", &values.revision), ("caAddress", &values.ca_address)];
    match needed.iter().find(|(_, text)| text.is_empty()) {
        Some((name, _)) => Err(SettingsError::Empty(name)),
        None => {
            Templates::new(&values).check()?;
            match resource_problems(&json!(values.proxy.resources)).into_iter().next() {
                Some((field, reason)) => Err(SettingsError::Resources(field, reason)),
                None => Ok(values),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values, where no image is told.
    fn read_values(content: &[u8]) -> Result<InjectionValues, SettingsError> {
        super::read_values(content, &ProxyImage::default())
    }

    #[test]
    fn an_image_that_is_told_holds_whatever_the_values_say() {
        let values = "hub: r.example/mesh\ntag: '2'\nrevision: default\nistioNamespace: istio-system\ncaAddress: c:15012\n\
                      clusterId: Kubernetes\nproxy: {}\n";
        let image = ProxyImage { hub: None, tag: Some("1".to_owned()) };
        let read = super::read_values(values.as_bytes(), &image).unwrap();
        assert_eq!((read.hub.as_str(), read.tag.as_str()), ("r.example/mesh", "1"));
        let image = ProxyImage { hub: Some("other.example".to_owned()), tag: None };
        let read = super::read_values(values.as_bytes(), &image).unwrap();
        assert_eq!((read.hub.as_str(), read.tag.as_str()), ("other.example", "2"));
    }

    #[test]
    fn values_may_be_json_or_yaml_but_not_wrong() {
        let yaml = "hub: r.example/mesh\ntag: '1'\nrevision: default\nistioNamespace: istio-system\ncaAddress: c:15012\n\
                    clusterId: Kubernetes\nproxy: {resources: {requests: {cpu: 10m}}}\n";
        let values = read_values(yaml.as_bytes()).unwrap();
        assert_eq!(read_values(serde_json::to_string(&values).unwrap().as_bytes()).unwrap(), values);
        assert!(matches!(read_values(yaml.replace("hub: r.example/mesh", "hub: ''").as_bytes()), Err(SettingsError::Empty("hub"))));
        assert!(matches!(read_values(yaml.replace("hub:", "hubb:").as_bytes()), Err(SettingsError::Content(_))));
        let dear = read_values(yaml.replace("10m", "ten").as_bytes()).unwrap_err().to_string();
        assert_eq!(dear, "proxy.resources.requests.cpu: \"ten\" is no quantity: write for example 100m or 128Mi");
        let without = format!("{yaml}defaultTemplates: [nope]\n");
        assert!(matches!(read_values(without.as_bytes()), Err(SettingsError::Template(TemplateError::NotFound { .. }))));
    }

    #[test]
    fn the_mesh_config_is_read_as_pilot_reads_it() {
        assert_eq!(read_mesh(b"trustDomain: shop.example\n").unwrap().trust_domain, "shop.example");
        assert!(matches!(read_mesh(b"trustDomain: a/b\n"), Err(SettingsError::Mesh(_))));
        assert!(matches!(read_mesh(b"\xff"), Err(SettingsError::Text(_))));
    }
}
