//! `ferromesh-agent init`.

use anyhow::Context;
use clap::Args;

use super::LogArgs;
use crate::agent::{Capture, Selection, install};

/// Writes the rules that send a pod's traffic to its proxy, and ends.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  ferromesh-agent init\n  ferromesh-agent init --outbound-cidrs 10.0.0.0/8 --exclude-outbound-ports 5432,6379"
)]
pub struct InitArgs {
    #[command(flatten)]
    log: LogArgs,

    /// Where the proxy takes outbound connections.
    #[arg(long, value_name = "PORT", default_value_t = 15001)]
    outbound_port: u16,

    /// Where the proxy takes inbound connections.
    #[arg(long, value_name = "PORT", default_value_t = 15006)]
    inbound_port: u16,

    /// The proxy's user, whose connections are never captured.
    #[arg(long, value_name = "ID", default_value_t = 1337)]
    uid: u32,

    /// The proxy's group, likewise; the user's number if none is given.
    #[arg(long, value_name = "ID")]
    gid: Option<u32>,

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
}

// === impl InitArgs ===

impl InitArgs {
    /// Puts the rules into this process's network namespace, in place of those of an earlier run.
    ///
    /// # Errors
    /// When an argument can't be understood or the kernel refuses.
    pub fn run(self) -> anyhow::Result<()> {
        self.log.init()?;
        let capture = self.capture()?;
        let chains = capture.chains();
        install(&chains)?;
        tracing::info!(
            inbound = %capture.inbound_ports,
            outbound = %capture.outbound_ranges,
            rules = chains.iter().map(|chain| chain.rules.len()).sum::<usize>(),
            "redirect rules are in place"
        );
        Ok(())
    }

    fn capture(&self) -> anyhow::Result<Capture> {
        let ports = |argument: &'static str, text: &str| Capture::ports(text).context(argument);
        let ranges = |argument: &'static str, text: &str| Capture::ranges(text).context(argument);
        Ok(Capture {
            outbound_port: self.outbound_port,
            inbound_port: self.inbound_port,
            user: self.uid,
            group: self.gid.unwrap_or(self.uid),
            inbound_ports: Selection::read(&self.inbound_ports, Capture::ports).context("--inbound-ports")?,
            excluded_inbound_ports: ports("--exclude-inbound-ports", &self.exclude_inbound_ports)?,
            outbound_ranges: Selection::read(&self.outbound_cidrs, Capture::ranges).context("--outbound-cidrs")?,
            excluded_outbound_ranges: ranges("--exclude-outbound-cidrs", &self.exclude_outbound_cidrs)?,
            outbound_ports: ports("--include-outbound-ports", &self.include_outbound_ports)?,
            excluded_outbound_ports: ports("--exclude-outbound-ports", &self.exclude_outbound_ports)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::injector::{ProxyConfigs, Surroundings, Template, inject};
    use crate::model::MeshConfig;
    use clap::Parser;
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
        assert_eq!((capture.user, capture.group), (1337, 1337));
        assert_eq!(capture.outbound_ranges, Selection::All);
    }

    #[test]
    fn a_wrong_list_is_named_with_its_argument() {
        let error = capture(&["--outbound-cidrs", "10.0.0.0/33"]).unwrap_err();
        assert_eq!(format!("{error:#}"), "--outbound-cidrs: \"10.0.0.0/33\" is no address range such as 10.0.0.0/8");
    }
}
