//! `ferromesh-agent init`.

use anyhow::Context;
use clap::{Args, Parser};
use nix::unistd::{getegid, geteuid};
use std::{
    fs::{self, File},
    path::PathBuf,
    process::ExitCode,
};
use tokio::runtime;

use super::LogArgs;
use crate::agent::{Backend, Capture, DnsCapture, Family, ResolvConf, Rules, Selection, apply, apply_in, restore_input, verify};
use crate::model::InterceptionMode;
use crate::runtime::causes;

/// Writes the rules that send a pod's traffic to its proxy, and ends.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  ferromesh-agent init\n  ferromesh-agent init --outbound-cidrs 10.0.0.0/8 --exclude-outbound-ports 5432,6379\n  ferromesh-agent init --mode TPROXY --dns-capture --dry-run\n  ferromesh-agent init --dry-run --backend iptables"
)]
pub struct InitArgs {
    #[command(flatten)]
    log: LogArgs,

    /// Print the rules, and change nothing.
    #[arg(long)]
    dry_run: bool,

    /// Change nothing, and look by a connection whether the rules are there; exits with 126 if they are not.
    #[arg(long, conflicts_with = "dry_run")]
    validate: bool,

    /// How rules are written: nftables, iptables, or auto for what the kernel has.
    #[arg(long, value_name = "NAME", env = "REDIRECT_BACKEND", default_value_t)]
    backend: Backend,

    /// How inbound connections come to the proxy: REDIRECT, or TPROXY, with which the application sees the clients' addresses.
    #[arg(long, value_name = "MODE", default_value = InterceptionMode::Redirect.as_str())]
    mode: InterceptionMode,

    /// Where the proxy takes outbound connections.
    #[arg(long, value_name = "PORT", default_value_t = 15001)]
    outbound_port: u16,

    /// Where the proxy takes inbound connections.
    #[arg(long, value_name = "PORT", default_value_t = 15006)]
    inbound_port: u16,

    /// The proxy's users, whose connections are never captured.
    #[arg(long, value_name = "IDS", default_value = "1337")]
    uid: String,

    /// The proxy's groups, likewise; the users' numbers if none is given.
    #[arg(long, value_name = "IDS")]
    gid: Option<String>,

    /// Inbound ports to capture: `*`, or a comma list; empty for none.
    #[arg(long, value_name = "PORTS", default_value = "*")]
    inbound_ports: String,

    /// Inbound ports to leave alone.
    #[arg(long, value_name = "PORTS", default_value = "15090,15021,15020")]
    exclude_inbound_ports: String,

    /// Outbound address ranges to capture: `*`, or a comma list; empty for none.
    #[arg(long, value_name = "RANGES", default_value = "*")]
    outbound_cidrs: String,

    /// Outbound address ranges to leave alone.
    #[arg(long, value_name = "RANGES", default_value = "")]
    exclude_outbound_cidrs: String,

    /// Outbound ports to capture beside the ranges.
    #[arg(long, value_name = "PORTS", default_value = "")]
    include_outbound_ports: String,

    /// Outbound ports to leave alone.
    #[arg(long, value_name = "PORTS", default_value = "")]
    exclude_outbound_ports: String,

    /// Groups whose processes' outbound connections are captured: `*`, or a comma list of numbers.
    #[arg(long, value_name = "IDS", default_value = "*")]
    outbound_groups: String,

    /// Groups whose processes' outbound connections are left alone.
    #[arg(long, value_name = "IDS", default_value = "")]
    exclude_outbound_groups: String,

    /// Interfaces whose traffic is left alone.
    #[arg(long, value_name = "NAMES", default_value = "")]
    exclude_interfaces: String,

    /// Interfaces of virtual machines within the pod: what comes in there counts as outbound.
    #[arg(long, value_name = "NAMES", default_value = "")]
    virtual_interfaces: String,

    /// Send DNS queries for the servers in resolv.conf to the agent.
    #[arg(long)]
    dns_capture: bool,

    /// Where the agent answers DNS queries.
    #[arg(long, value_name = "PORT", default_value_t = 15053)]
    dns_port: u16,

    #[arg(long, hide = true, default_value = "/etc/resolv.conf")]
    resolv_conf: PathBuf,
}

/// What `--validate` exits with where rules are missing.
const NOT_REDIRECTED: u8 = 126;

// === impl InitArgs ===

impl InitArgs {
    /// Puts the rules into this process's network namespace, in place of those of an earlier run; or shows them, or looks whether they are
    /// there.
    ///
    /// # Errors
    /// When an argument can't be understood or the kernel refuses.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        self.log.init()?;
        let capture = self.capture()?;
        if self.validate {
            return validate(&capture);
        }
        let rules = capture.rules();
        if self.dry_run {
            print!("{}", shown(&rules, self.backend));
            return Ok(ExitCode::SUCCESS);
        }
        let backend = apply(&rules, self.backend)?;
        tracing::info!(
            inbound = %capture.inbound_ports,
            outbound = %capture.outbound_ranges,
            rules = rules.len(),
            %backend,
            "redirect rules are in place"
        );
        Ok(ExitCode::SUCCESS)
    }

    fn capture(&self) -> anyhow::Result<Capture> {
        let ports = |argument: &'static str, text: &str| Capture::ports(text).context(argument);
        let ranges = |argument: &'static str, text: &str| Capture::ranges(text).context(argument);
        let ids = |argument: &'static str, text: &str| Capture::ids(text).context(argument);
        let interfaces = |argument: &'static str, text: &str| Capture::interfaces(text).context(argument);
        Ok(Capture {
            mode: self.mode,
            outbound_port: self.outbound_port,
            inbound_port: self.inbound_port,
            users: ids("--uid", &self.uid)?,
            groups: ids("--gid", self.gid.as_ref().unwrap_or(&self.uid))?,
            inbound_ports: Selection::read(&self.inbound_ports, Capture::ports).context("--inbound-ports")?,
            excluded_inbound_ports: ports("--exclude-inbound-ports", &self.exclude_inbound_ports)?,
            outbound_ranges: Selection::read(&self.outbound_cidrs, Capture::ranges).context("--outbound-cidrs")?,
            excluded_outbound_ranges: ranges("--exclude-outbound-cidrs", &self.exclude_outbound_cidrs)?,
            outbound_ports: ports("--include-outbound-ports", &self.include_outbound_ports)?,
            excluded_outbound_ports: ports("--exclude-outbound-ports", &self.exclude_outbound_ports)?,
            outbound_groups: Selection::read(&self.outbound_groups, Capture::ids).context("--outbound-groups")?,
            excluded_outbound_groups: ids("--exclude-outbound-groups", &self.exclude_outbound_groups)?,
            excluded_interfaces: interfaces("--exclude-interfaces", &self.exclude_interfaces)?,
            virtual_interfaces: interfaces("--virtual-interfaces", &self.virtual_interfaces)?,
            dns: self.dns_capture.then(|| self.dns()).transpose()?,
        })
    }

    /// The same by who does not know the pod's `resolv.conf`: queries to any server are captured.
    fn capture_from_node(mut self) -> anyhow::Result<Capture> {
        let dns = std::mem::take(&mut self.dns_capture).then_some(DnsCapture { port: self.dns_port, resolvers: Selection::All });
        Ok(Capture { dns, ..self.capture()? })
    }

    /// Queries that the application means for the pod's own servers.
    fn dns(&self) -> anyhow::Result<DnsCapture> {
        let path = &self.resolv_conf;
        let text = fs::read_to_string(path).with_context(|| format!("--dns-capture: can't read {}", path.display()))?;
        let servers = ResolvConf::parse(&text).servers;
        anyhow::ensure!(!servers.is_empty(), "--dns-capture: {} names no server, so that there is nothing to capture", path.display());
        Ok(DnsCapture { port: self.dns_port, resolvers: Selection::Only(servers) })
    }
}

/// Arguments of `ferromesh-agent init`, without its name.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    init: InitArgs,
}

/// Puts the rules that these arguments of `ferromesh-agent init` ask for into an open network namespace.
///
/// # Errors
/// When an argument can't be understood, the namespace can't be entered, or the kernel refuses.
pub(in crate::app) fn redirect_in(arguments: &[String], namespace: &File) -> anyhow::Result<()> {
    let init = Line::try_parse_from(arguments)?.init;
    let backend = init.backend;
    apply_in(namespace, &init.capture_from_node()?.rules(), backend)?;
    Ok(())
}

/// Looks whether rules that capture this are in place. Who repairs pods knows by the exit code that they are not.
fn validate(capture: &Capture) -> anyhow::Result<ExitCode> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(match runtime.block_on(verify(capture, geteuid().as_raw(), getegid().as_raw())) {
        Ok(()) => {
            tracing::info!("redirection works");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = causes(&error), "redirection does not work");
            ExitCode::from(NOT_REDIRECTED)
        }
    })
}

/// The rules as that program reads them which would write them.
fn shown(rules: &Rules, backend: Backend) -> String {
    if backend != Backend::Iptables {
        return rules.to_string();
    }
    let part = |program: &str, family| format!("# {program}\n{}", restore_input(&rules.chains, family, |_| true));
    part("iptables-restore --noflush", Family::V4) + &part("ip6tables-restore --noflush", Family::V6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::injector::{ProxyConfigs, Surroundings, Template, inject};
    use crate::model::MeshConfig;
    use serde_json::json;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        init: InitArgs,
    }

    fn capture(arguments: &[&str]) -> anyhow::Result<Capture> {
        Command::try_parse_from(["init"].iter().chain(arguments))?.init.capture()
    }

    /// The arguments after `init` of the container that the injector adds.
    fn injected() -> Vec<String> {
        let values = json!({
            "hub": "h", "tag": "t", "revision": "default", "istioNamespace": "istio-system", "caAddress": "citadel:15012",
            "clusterId": "Kubernetes", "proxy": {},
        });
        let template = Template::new(serde_json::from_value(values).unwrap(), MeshConfig::default());
        let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "web"}]}});
        let injected = inject(&pod, &Surroundings::of("shop", &ProxyConfigs::default(), true), &template).unwrap();
        let init = injected["spec"]["initContainers"].as_array().unwrap().iter().find(|it| it["name"] == "istio-init").unwrap();
        let arguments: Vec<String> = serde_json::from_value(init["args"].clone()).unwrap();
        assert_eq!(arguments[0], "init");
        arguments[1..].to_vec()
    }

    #[test]
    fn what_the_injector_writes_is_what_no_arguments_mean() {
        let written = injected();
        let capture = capture(&written.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(capture, super::tests::capture(&[]).unwrap());
        assert_eq!(capture.outbound_ranges, Selection::All);
        assert_eq!((capture.users, capture.groups), (vec![1337], vec![1337]));
    }

    #[test]
    fn a_wrong_list_is_named_with_its_argument() {
        for (argument, value, problem) in [
            ("--outbound-cidrs", "10.0.0.0/33", "\"10.0.0.0/33\" is no address range such as 10.0.0.0/8"),
            ("--uid", "root", "\"root\" is no number of a user or group, such as 1337"),
            ("--outbound-groups", "1,-2", "\"-2\" is no number of a user or group, such as 1337"),
            (
                "--exclude-interfaces",
                "eth0/1",
                "\"eth0/1\" is no name of an interface: it has 1 to 15 characters, and neither blanks, quotes nor slashes",
            ),
        ] {
            let error = capture(&[&format!("{argument}={value}")]).unwrap_err();
            assert_eq!(format!("{error:#}"), format!("{argument}: {problem}"));
        }
    }

    #[test]
    fn dns_servers_are_those_of_the_pod() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolv.conf");
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            capture(&["--dns-capture", "--resolv-conf", file.to_str().unwrap()])
        };
        let dns = read("nameserver 10.96.0.10\n").unwrap().dns.unwrap();
        assert_eq!(dns, DnsCapture { port: 15053, resolvers: Selection::Only(vec!["10.96.0.10".parse().unwrap()]) });
        assert!(read("search example.com\n").unwrap_err().to_string().contains("names no server"));
    }

    #[test]
    fn rules_are_shown_as_their_program_reads_them() {
        let rules = capture(&["--mode", "TPROXY"]).unwrap().rules();
        assert!(shown(&rules, Backend::Auto).contains("\ttype route hook output priority -150; policy accept;\n"));
        let iptables = shown(&rules, Backend::Iptables);
        assert!(iptables.starts_with("# iptables-restore --noflush\n*mangle\n"), "{iptables}");
        assert_eq!(iptables.matches("COMMIT").count(), 4);
    }
}
