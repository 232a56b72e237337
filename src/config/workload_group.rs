//! WorkloadGroup.

use std::time::Duration;

use ferromesh_crds::networking::WorkloadGroup;
use ferromesh_crds::networking::workload_group::{ExecProbe, GrpcProbe, HttpProbe, ReadinessProbe, TcpProbe};

use super::path::{At, SPEC};
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use super::text::{filled, given};
use crate::model::{self, HealthCheck, WorkloadProbe};

/// Seconds that an answer may take, and between probes, where the probe says nothing.
const TIMEOUT: u32 = 1;
const PERIOD: u32 = 10;
/// Results in a row that change the verdict, where the probe says nothing.
const SUCCESSES: u32 = 1;
const FAILURES: u32 = 3;
/// The service account of workloads whose template names none.
const SERVICE_ACCOUNT: &str = "default";

/// Reads a WorkloadGroup.
///
/// # Errors
/// Everything that is wrong with it.
pub fn workload_group(object: &WorkloadGroup, context: &ParseContext) -> Result<Parsed<model::WorkloadGroup>, Invalid> {
    let mut reading = Reading::new("WorkloadGroup", &object.metadata, context);
    let spec = &object.spec;
    reading.warn(&SPEC, Code::NotHonoured, "this mesh makes no WorkloadEntries from WorkloadGroups");
    let at = SPEC.field("template");
    if spec.template.is_none() {
        reading.required(&at);
    }
    let template = spec.template.clone().unwrap_or_default();
    if given(&template.address) {
        reading.warn(&at.field("address"), Code::NoEffect, "each workload has its own address");
    }
    if !template.labels.is_empty() {
        reading.warn(&at.field("labels"), Code::NoEffect, "the labels of the group's workloads belong in spec.metadata.labels");
    }
    reading.labels(&at.field("labels"), &template.labels);
    let metadata = spec.metadata.clone().unwrap_or_default();
    let account = filled(&template.service_account);
    let probe = spec.probe.as_ref();
    let value = model::WorkloadGroup {
        origin: reading.origin.clone(),
        labels: reading.labels(&SPEC.field("metadata").field("labels"), &metadata.labels),
        annotations: metadata.annotations,
        ports: reading.endpoint_ports(&at.field("ports"), &template.ports, None),
        weight: template.weight.unwrap_or_default(),
        locality: template.locality.as_deref().unwrap_or_default().into(),
        network: template.network.as_deref().unwrap_or_default().into(),
        service_account: account.unwrap_or(SERVICE_ACCOUNT).into(),
        probe: probe.and_then(|probe| self::probe(&mut reading, &SPEC.field("probe"), probe)),
        created: reading.created,
    };
    reading.finish(value)
}

fn probe(reading: &mut Reading<'_>, at: &At<'_>, probe: &ReadinessProbe) -> Option<WorkloadProbe> {
    // As in protobuf, 0 counts as absent.
    let mut count = |field: &str, value: Option<i32>, default: u32| {
        reading.count(&at.field(field), value).filter(|value| *value > 0).unwrap_or(default)
    };
    let seconds = |value: u32| Duration::from_secs(value.into());
    let initial_delay = seconds(count("initialDelaySeconds", probe.initial_delay_seconds, 0));
    let timeout = seconds(count("timeoutSeconds", probe.timeout_seconds, TIMEOUT));
    let period = seconds(count("periodSeconds", probe.period_seconds, PERIOD));
    let success_threshold = count("successThreshold", probe.success_threshold, SUCCESSES);
    let failure_threshold = count("failureThreshold", probe.failure_threshold, FAILURES);
    let ways = [
        ("httpGet", probe.http_get.is_some()),
        ("tcpSocket", probe.tcp_socket.is_some()),
        ("exec", probe.exec.is_some()),
        ("grpc", probe.grpc.is_some()),
    ];
    if reading.at_most_one(at, ways) == 0 {
        reading.error(at, Code::Required, "one of httpGet, tcpSocket, exec and grpc is needed");
    }
    let http = probe.http_get.as_ref().map(|one| http(reading, &at.field("httpGet"), one));
    let tcp = probe.tcp_socket.as_ref().map(|one| tcp(reading, &at.field("tcpSocket"), one));
    let exec = probe.exec.as_ref().map(|one| exec(reading, &at.field("exec"), one));
    let grpc = probe.grpc.as_ref().map(|one| grpc(reading, &at.field("grpc"), one));
    let check = http.or(tcp).or(exec).or(grpc)?;
    Some(WorkloadProbe { initial_delay, timeout, period, success_threshold, failure_threshold, check })
}

fn required_port(reading: &mut Reading<'_>, at: &At<'_>, port: Option<u32>) -> u16 {
    let here = at.field("port");
    match port {
        Some(port) => reading.port(&here, port),
        None => {
            reading.required(&here);
            0
        }
    }
}

fn http(reading: &mut Reading<'_>, at: &At<'_>, probe: &HttpProbe) -> HealthCheck {
    let scheme = probe.scheme.as_deref().unwrap_or_default();
    if !matches!(scheme, "" | "HTTP" | "HTTPS") {
        reading.error(&at.field("scheme"), Code::NotAllowed, format!("{} is not one of HTTP, HTTPS", quoted(scheme)));
    }
    let list = at.field("httpHeaders");
    let mut headers = Vec::with_capacity(probe.http_headers.len());
    for (index, header) in probe.http_headers.iter().enumerate() {
        let here = list.index(index);
        let here = here.field("name");
        let name = header.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            reading.required(&here);
        } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            reading.error(&here, Code::BadHeader, format!("{} is no name of a header", quoted(name)));
        }
        headers.push((name.into(), header.value.as_deref().unwrap_or_default().into()));
    }
    HealthCheck::Http {
        tls: scheme == "HTTPS",
        host: probe.host.as_deref().unwrap_or_default().into(),
        port: required_port(reading, at, probe.port),
        path: probe.path.as_deref().unwrap_or_default().into(),
        headers,
    }
}

fn tcp(reading: &mut Reading<'_>, at: &At<'_>, probe: &TcpProbe) -> HealthCheck {
    HealthCheck::Tcp { host: probe.host.as_deref().unwrap_or_default().into(), port: required_port(reading, at, probe.port) }
}

fn exec(reading: &mut Reading<'_>, at: &At<'_>, probe: &ExecProbe) -> HealthCheck {
    let list = at.field("command");
    if probe.command.is_empty() {
        reading.required(&list);
    }
    for (index, _) in probe.command.iter().enumerate().filter(|(_, word)| word.is_empty()) {
        reading.error(&list.index(index), Code::WrongSize, "a word of the command must not be empty");
    }
    HealthCheck::Exec(probe.command.iter().map(|word| word.as_str().into()).collect())
}

fn grpc(reading: &mut Reading<'_>, at: &At<'_>, probe: &GrpcProbe) -> HealthCheck {
    HealthCheck::Grpc { port: required_port(reading, at, probe.port), service: probe.service.as_deref().unwrap_or_default().into() }
}
