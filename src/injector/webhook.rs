//! The answers to the API server, from memory alone.

use kube::core::admission::{AdmissionResponse, Operation};
use std::{sync::Arc, time::Instant};
use tokio::sync::watch;

use super::{
    Decision, NativeSidecars, ProxyConfigs, Skip, Surroundings, call::Call, decide, inject, limits::Place, metrics::Metrics,
    namespaces::NamespaceLabels, patch, pod::PodView, settings::TemplateSource, unhonoured::unhonoured,
};
use crate::runtime::AdmissionRequest;

/// Answers for pods. Clones share everything.
#[derive(Clone)]
pub(super) struct Webhook {
    pub(super) template: TemplateSource,
    pub(super) proxy_configs: watch::Receiver<Arc<ProxyConfigs>>,
    pub(super) namespaces: watch::Receiver<Arc<NamespaceLabels>>,
    pub(super) native: NativeSidecars,
    pub(super) metrics: Metrics,
}

/// What is said of one pod, beside what the pod itself says.
enum Verdict {
    Injected {
        patch: json_patch::Patch,
        warnings: Vec<String>,
    },
    Left(Skip),
    /// Not a question for an injector.
    Unconcerned,
    Refused(String),
}

// === impl Webhook ===

impl Webhook {
    /// The answer to one review.
    pub(super) fn answer(&self, request: &AdmissionRequest) -> AdmissionResponse {
        let started = Instant::now();
        self.metrics.requests.inc();
        let verdict = self.judge(request);
        let response = self.worded(request, verdict);
        self.metrics.seconds.observe(started.elapsed().as_secs_f64());
        response
    }

    fn judge(&self, request: &AdmissionRequest) -> Verdict {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        let pod = match &request.object {
            Some(pod) if request.kind == "Pod" && request.operation == Operation::Create => pod,
            _ => return Verdict::Unconcerned,
        };
        if !pod["metadata"].is_object() || !pod["spec"].is_object() {
            return Verdict::Refused("metadata and spec must be objects".to_owned());
        }
        // Nobody asks before the template is there, unless he goes round readiness.
        let Some(template) = self.template.borrow().clone() else {
            return Verdict::Refused("the injector has no settings yet; try again".to_owned());
        };
        if let Decision::Skip(reason) = decide(&PodView::new(pod), namespace, &template.values) {
            return Verdict::Left(reason);
        }
        let (proxy_configs, namespaces) = (self.proxy_configs.borrow().clone(), self.namespaces.borrow().clone());
        let labels = namespaces.of(namespace);
        if labels.is_none() {
            tracing::debug!(ns = namespace, "this namespace is not known yet; it limits nothing");
        }
        let call = Call::parse(&request.path);
        let surroundings = Surroundings {
            namespace_labels: labels,
            cluster: call.cluster.as_deref(),
            network: call.network.as_deref(),
            ..Surroundings::of(namespace, &proxy_configs, self.native.on(pod["spec"]["nodeName"].as_str()))
        };
        match inject(pod, &surroundings, &template) {
            Ok(injected) => {
                let mut warnings = unhonoured(&PodView::new(pod));
                warnings.extend(Place::new(namespace, labels).warning(&injected));
                Verdict::Injected { patch: json_patch::Patch(patch::between(pod, injected)), warnings }
            }
            Err(error) => Verdict::Refused(error.to_string()),
        }
    }

    /// Counts and logs a verdict and puts it into the API server's words.
    fn worded(&self, request: &AdmissionRequest, verdict: Verdict) -> AdmissionResponse {
        let pod = request.shown_name();
        match verdict {
            Verdict::Injected { patch, warnings } => {
                self.metrics.success.inc();
                tracing::debug!(%pod, operations = patch.0.len(), dry_run = request.dry_run, "injected");
                let mut response = request.allow();
                response.warnings = (!warnings.is_empty()).then_some(warnings);
                if patch.0.is_empty() {
                    return response;
                }
                response.with_patch(patch).expect("a patch of JSON values is JSON")
            }
            Verdict::Left(reason) => {
                self.metrics.skip.inc();
                tracing::debug!(%pod, %reason, "left as it is");
                let mut response = request.allow();
                // The other reasons are the user's own wish, or Kubernetes' own pods.
                response.warnings = (reason == Skip::HostNetwork).then(|| vec![reason.to_string()]);
                response
            }
            Verdict::Unconcerned => {
                self.metrics.skip.inc();
                tracing::debug!(kind = request.kind, operation = ?request.operation, "only pods that are being created are injected");
                request.allow()
            }
            Verdict::Refused(reason) => {
                self.metrics.failure.inc();
                tracing::debug!(%pod, reason, "refused");
                request.deny(format_args!("Pod {pod} {reason}"))
            }
        }
    }
}
