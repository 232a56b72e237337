//! A pod's proxy container, as far as a process can be one.

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};
use tempfile::TempDir;

use crate::{
    authority::{Authority, NAME},
    page::{eventually, within},
};

pub(crate) struct Pod {
    pub(crate) folder: TempDir,
    pub(crate) admin: u16,
    pub(crate) status: u16,
    pub(crate) health: u16,
    pub(crate) dns: u16,
    supervisor: Child,
}

/// What differs between pods.
pub(crate) struct Shape<'a> {
    pub(crate) authority: &'a Authority,
    pub(crate) pilot: SocketAddr,
    pub(crate) envoy: &'a Path,
    pub(crate) lifetime: &'a str,
    pub(crate) drain: &'a str,
    /// What a shell does before, in a mount namespace of the pod's own, with the folder of the proxy as `$1`. The log then goes to a file.
    pub(crate) before: Option<&'a str>,
    /// Variables of the container beside the usual ones.
    pub(crate) env: &'a [(&'a str, &'a str)],
}

/// The pinned Envoy. Where it can't be had, `test` is noted as skipped, but not in CI.
pub(crate) fn envoy_for(test: &str) -> Option<PathBuf> {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("images/envoy.sh")).output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()));
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert!(env::var("CI").as_deref() != Ok("true"), "CI needs the pinned Envoy: {reason}");
    eprintln!("skipped: {test}: {reason}");
    if let Some(skips) = env::var_os("FERROMESH_SKIPS") {
        let mut skipped = fs::read_to_string(&skips).unwrap_or_default();
        skipped.push_str(&format!("{test}: the pinned Envoy can't be had: {reason}\n"));
        fs::write(skips, skipped).unwrap();
    }
    None
}

/// The agent's program: the one that tests are built with, or another that this variable names.
fn agent() -> PathBuf {
    env::var_os("FERROMESH_AGENT").map_or_else(|| env!("CARGO_BIN_EXE_ferromesh-agent").into(), PathBuf::from)
}

/// The agent, once a shell has done something in a mount namespace that ends with it.
fn in_own_mounts(before: &str, directory: &Path) -> Command {
    let mut command = Command::new("unshare");
    if !Uid::effective().is_root() {
        command.arg("--map-root-user");
    }
    fs::create_dir(directory).unwrap();
    let script = format!("set -e\n{before}\nshift\nexec \"$@\"");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]).arg(directory).arg(agent());
    command
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

// === impl Pod ===

impl Pod {
    pub(crate) fn start(shape: &Shape<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let (admin, status, health, dns) = (free_port(), free_port(), free_port(), free_port());
        let proxy_config = format!(
            r#"{{"discoveryAddress": "{}", "concurrency": 1, "statusPort": {status}, "terminationDrainDuration": "{}"}}"#,
            shape.pilot, shape.drain
        );
        let directory = folder.path().join("proxy");
        let mut command = shape.before.map_or_else(|| Command::new(agent()), |before| in_own_mounts(before, &directory));
        if shape.before.is_some() {
            let log = fs::File::create(folder.path().join("log")).unwrap();
            command.stdout(log.try_clone().unwrap()).stderr(log);
        }
        let supervisor = command
            .args(["proxy", "sidecar", "--log-level", "warning", "--envoy"])
            .arg(shape.envoy)
            .arg("--directory")
            .arg(directory)
            .arg("--token")
            .arg(file("token", "a token"))
            .arg("--roots")
            .arg(file("roots", &shape.authority.root()))
            .arg("--labels")
            .arg(file("labels", "app=\"web\"\n"))
            .args(["--ca-name", NAME, "--certificate-lifetime", shape.lifetime])
            .args(["--admin-port", &admin.to_string(), "--health-port", &health.to_string()])
            .args(["--metrics-port", &free_port().to_string(), "--dns-port", &dns.to_string()])
            .env_clear()
            .envs([("POD_NAME", "web-1"), ("POD_NAMESPACE", "shop"), ("INSTANCE_IP", "127.0.0.1"), ("SERVICE_ACCOUNT", "web")])
            .envs([("CA_ADDR", shape.authority.address.to_string()), ("PROXY_CONFIG", proxy_config)])
            .env("ISTIO_META_WORKLOAD_NAME", "web")
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .envs(shape.env.iter().copied())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, admin, status, health, dns, supervisor }
    }

    /// Process 1.
    pub(crate) fn process(&self) -> Pid {
        Pid::from_raw(self.supervisor.id().cast_signed())
    }

    /// What it and its children said, if that goes to a file.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The children of process 1: the agent proper, and Envoy if it runs.
    fn children(&self) -> Vec<(Pid, String)> {
        let supervisor = self.supervisor.id();
        let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap_or_default();
        let command = |child: &str| {
            let command = fs::read_to_string(format!("/proc/{child}/cmdline")).ok().filter(|command| !command.is_empty())?;
            Some((Pid::from_raw(child.parse().unwrap()), command))
        };
        children.split_whitespace().filter_map(command).collect()
    }

    pub(crate) fn agent(&self) -> Option<Pid> {
        self.children().into_iter().find(|(_, command)| command.contains("\0agent\0")).map(|(process, _)| process)
    }

    pub(crate) fn envoy(&self) -> Option<Pid> {
        self.children().into_iter().find(|(_, command)| command.contains("--config-path\0")).map(|(process, _)| process)
    }

    pub(crate) fn terminate(&self) {
        kill(self.process(), Signal::SIGTERM).unwrap();
    }

    /// Waits for the end of process 1.
    pub(crate) fn ended(&mut self, limit: Duration) -> ExitStatus {
        within(limit, "the container ends", || self.supervisor.try_wait().unwrap())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if self.supervisor.try_wait().unwrap().is_some() {
            return;
        }
        let children = self.children();
        // The second signal cuts the drain short.
        self.terminate();
        self.terminate();
        for _ in 0..1000 {
            if self.supervisor.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
        for (child, _) in children {
            let _ = kill(child, Signal::SIGKILL);
        }
    }
}

/// Whether a process is gone.
pub(crate) fn gone(process: Pid) -> bool {
    !Path::new(&format!("/proc/{process}")).exists()
}

/// Kills a process without warning.
pub(crate) fn kill_hard(process: Pid) {
    kill(process, Signal::SIGKILL).unwrap();
    eventually("the killed process is gone", || gone(process).then_some(()));
}
