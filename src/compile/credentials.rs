//! Secrets: which of them a proxy may have, and what is in each.
//!
//! A proxy is told what the objects that hold for it name, and of Secrets only those of its own namespace. Which objects hold is a matter of
//! its labels, so it has none before the API server has vouched for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::Arc,
};

use envoy_api::envoy::{
    config::core::v3::{DataSource, WatchedDirectory, data_source::Specifier},
    extensions::transport_sockets::tls::v3::{CertificateValidationContext, Secret, TlsCertificate, secret::Type},
};

use super::{
    fault::{Fault, FaultCause},
    gateways::servers,
    input::Input,
    message::file,
    resource::{Draft, ResourceType},
    scope::Scope,
};
use crate::model::{
    AUTHORITIES_SUFFIX, Authorities, CertifiedKey, ClientAuthorities, ClientTls, ClientTlsMode, Credential, DestinationRule, ObjectRef,
    ProxyRole, SecretKey, ServerCertificate, ServerTls, ServerTlsMode,
};

/// What a proxy may ask for, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum SecretSource {
    /// The certificate and the key in a Secret.
    Certificate(Arc<str>),
    /// The authorities in a Secret, or in the one whose name has `-cacert` behind it.
    Authorities(Arc<str>),
    /// A certificate and a key in files of the proxy's, which it reads again when they change.
    CertificateFiles {
        /// Path of the certificate.
        certificate: Arc<str>,
        /// Path of the key.
        key: Arc<str>,
    },
    /// Authorities in such a file.
    AuthoritiesFile(Arc<str>),
}

/// The name by which proxies ask for it.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(name) => write!(f, "kubernetes://{name}"),
            Self::Authorities(name) => write!(f, "kubernetes://{name}{AUTHORITIES_SUFFIX}"),
            Self::CertificateFiles { certificate, key } => write!(f, "file-cert:{certificate}~{key}"),
            Self::AuthoritiesFile(path) => write!(f, "file-root:{path}"),
        }
    }
}

/// What a server shows its clients; empty for the mesh's own certificate.
pub(super) fn shown_by(tls: &ServerTls) -> impl Iterator<Item = SecretSource> {
    let own = tls.mode != ServerTlsMode::IstioMutual;
    tls.certificates.iter().filter(move |_| own).map(|certificate| match certificate {
        ServerCertificate::Secret(name) => SecretSource::Certificate(name.clone()),
        ServerCertificate::Files { certificate, key } => {
            SecretSource::CertificateFiles { certificate: certificate.clone(), key: key.clone() }
        }
    })
}

/// What a server holds its clients' certificates against, if it asks for any and they are not the mesh's.
pub(super) fn clients_of(tls: &ServerTls) -> Option<SecretSource> {
    if !matches!(tls.mode, ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual) {
        return None;
    }
    match (&tls.client_authorities, tls.certificates.first()) {
        (Some(ClientAuthorities::Secret(name)), _) => Some(SecretSource::Authorities(name.clone())),
        (Some(ClientAuthorities::File(path)), _) => Some(SecretSource::AuthoritiesFile(path.clone())),
        (None, Some(ServerCertificate::Secret(name))) => Some(SecretSource::Authorities(name.clone())),
        (None, _) => None,
    }
}

/// What a client shows, if its credential is in a Secret.
pub(super) fn shown_by_client(tls: &ClientTls) -> Option<SecretSource> {
    let name = tls.credential_name.as_ref().filter(|_| tls.mode == ClientTlsMode::Mutual)?;
    Some(SecretSource::Certificate(name.clone()))
}

/// What a client holds its server's certificate against, if that is in a Secret.
pub(super) fn servers_of(tls: &ClientTls) -> Option<SecretSource> {
    let own = matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual) && !tls.unverified();
    Some(SecretSource::Authorities(tls.credential_name.as_ref().filter(|_| own)?.clone()))
}

/// What the proxy may have, with the objects that name it.
pub(super) fn wanted(scope: &Scope<'_>) -> BTreeMap<SecretSource, Vec<ObjectRef>> {
    let mut wanted: BTreeMap<SecretSource, BTreeSet<&ObjectRef>> = BTreeMap::new();
    let mut add = |source, object| _ = wanted.entry(source).or_default().insert(object);
    let ended: Vec<(&ServerTls, &ObjectRef)> = match scope.role() {
        ProxyRole::Router => {
            let servers = servers(scope).into_values().flatten();
            servers.filter_map(|it| Some((it.handling.ended()?, &it.gateway.origin))).collect()
        }
        ProxyRole::Sidecar => {
            let ports = scope.sidecar().into_iter().flat_map(|it| it.ingress.iter().map(|port| (port, &it.origin)));
            ports.filter_map(|(port, object)| Some((port.tls.as_ref()?, object))).collect()
        }
    };
    for (tls, object) in ended {
        shown_by(tls).chain(clients_of(tls)).for_each(|source| add(source, object));
    }
    for rule in scope.rules_with_secrets().filter(|rule| scope.may_use_secrets_of(rule)) {
        for tls in rule.client_tls() {
            shown_by_client(tls).into_iter().chain(servers_of(tls)).for_each(|source| add(source, &rule.origin));
        }
    }
    wanted.into_iter().map(|(source, objects)| (source, objects.into_iter().cloned().collect())).collect()
}

/// What is behind a name that these objects ask for; `None`, and the objects have a fault, as long as there is nothing.
pub(super) fn secret(scope: &Scope<'_>, source: &SecretSource, objects: &[ObjectRef]) -> Option<Draft> {
    let Some(content) = content(scope, source) else {
        // What is in files is the proxy's own affair, and of who is a stranger nothing is known.
        if let Some(what) = lack(scope, source) {
            let name: Arc<str> = source.to_string().into();
            let fault = |object: &ObjectRef| Fault {
                path: place(scope, object, source),
                object: object.clone(),
                message: what.clone(),
                cause: FaultCause::Secret(name.clone()),
            };
            objects.iter().for_each(|object| scope.leave_out(fault(object)));
        }
        return None;
    };
    objects.iter().for_each(|object| scope.shaped_by(object));
    let name = source.to_string();
    Some(Draft::new(ResourceType::Secret, &name, &Secret { name: name.clone(), r#type: Some(content) }))
}

fn content(scope: &Scope<'_>, source: &SecretSource) -> Option<Type> {
    Some(match source {
        SecretSource::Certificate(name) => Type::TlsCertificate(certificate(scope.own_credential(name)?.certificate.as_ref()?)),
        SecretSource::Authorities(name) => {
            let of = |name: &Arc<str>| scope.own_credential(name).and_then(|credential| credential.authorities.as_ref());
            Type::ValidationContext(authorities(of(&apart(name)).or_else(|| of(name))?))
        }
        SecretSource::CertificateFiles { certificate, key } => Type::TlsCertificate(TlsCertificate {
            certificate_chain: Some(file(certificate)),
            private_key: Some(file(key)),
            watched_directory: folder_of(key),
            ..TlsCertificate::default()
        }),
        SecretSource::AuthoritiesFile(path) => Type::ValidationContext(CertificateValidationContext {
            trusted_ca: Some(file(path)),
            watched_directory: folder_of(path),
            ..CertificateValidationContext::default()
        }),
    })
}

/// The Secret that holds authorities alone.
fn apart(name: &Arc<str>) -> Arc<str> {
    format!("{name}{AUTHORITIES_SUFFIX}").into()
}

/// Why there is nothing behind a name, for who names it.
fn lack(scope: &Scope<'_>, source: &SecretSource) -> Option<String> {
    let (names, what) = match source {
        SecretSource::Certificate(name) => (vec![name.clone()], "no certificate with its key"),
        SecretSource::Authorities(name) => (vec![apart(name), name.clone()], "no authorities"),
        SecretSource::CertificateFiles { .. } | SecretSource::AuthoritiesFile(_) => return None,
    };
    if !scope.is_vouched() {
        return None;
    }
    let namespace = scope.namespace();
    // Of several, the one that is there is meant; and if all are, each may be at fault.
    let told = names.iter().filter_map(|name| {
        let problems = &scope.own_credential(name)?.problems;
        let why = if problems.is_empty() { what.to_owned() } else { problems.join("; ") };
        Some(format!("Secret {namespace}/{name}: {why}"))
    });
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        return Some(told.join("; "));
    }
    let either: Vec<String> = names.iter().rev().map(|name| format!("{namespace}/{name}")).collect();
    Some(format!("Secret {} is not there, or pilot may not read it", either.join(" or ")))
}

/// Where an object names it, as far as that is easily told.
fn place(scope: &Scope<'_>, object: &ObjectRef, source: &SecretSource) -> Arc<str> {
    let gateway = (object.kind == "Gateway").then(|| scope.gateway(object)).flatten();
    let names_it = |tls: &ServerTls| shown_by(tls).chain(clients_of(tls)).any(|named| named == *source);
    let server = gateway.and_then(|it| it.servers.iter().position(|server| server.tls.as_ref().is_some_and(names_it)));
    server.map_or_else(|| "spec".into(), |index| format!("spec.servers[{index}].tls").into())
}

fn certificate(pair: &CertifiedKey) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: Some(bytes(&pair.chain)),
        private_key: Some(bytes(&pair.key)),
        ocsp_staple: pair.ocsp_staple.as_deref().map(bytes),
        ..TlsCertificate::default()
    }
}

fn authorities(authorities: &Authorities) -> CertificateValidationContext {
    CertificateValidationContext {
        trusted_ca: Some(bytes(&authorities.roots)),
        crl: authorities.revoked.as_deref().map(bytes),
        ..CertificateValidationContext::default()
    }
}

fn bytes(bytes: &[u8]) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(bytes.to_vec())), ..DataSource::default() }
}

/// Where a file is replaced when it changes: mounted Secrets are replaced as whole folders.
fn folder_of(path: &str) -> Option<WatchedDirectory> {
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty())?;
    Some(WatchedDirectory { path: folder.display().to_string(), ..WatchedDirectory::default() })
}

impl<'a> Scope<'a> {
    /// The DestinationRules that name Secrets.
    fn rules_with_secrets(&self) -> impl Iterator<Item = &'a DestinationRule> + use<'a> {
        self.reads(Input::RulesWithSecrets);
        let mesh = self.mesh;
        mesh.rules_with_secrets.values().map(|rule| &**rule)
    }

    /// Whether the proxy may have the Secrets that a rule names: as a gateway, or because the rule names it. A rule for everybody would
    /// have every sidecar ask for keys.
    pub(super) fn may_use_secrets_of(&self, rule: &DestinationRule) -> bool {
        let named = |labels| self.in_namespace(&rule.origin.namespace) && self.selected_by(labels);
        match &rule.workload_selector {
            Some(labels) => named(labels),
            None => self.role() == ProxyRole::Router && self.sees(&rule.export_to, &rule.origin.namespace),
        }
    }

    /// What the Secret of that name holds, if the proxy may know.
    fn own_credential(&self, name: &Arc<str>) -> Option<&'a Credential> {
        if !self.is_vouched() {
            return None;
        }
        let key = SecretKey { namespace: self.namespace().clone(), name: name.clone() };
        self.credential(key)
    }
}
