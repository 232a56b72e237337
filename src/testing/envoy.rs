//! The pinned Envoy as a process on loopback.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{LazyLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http;

/// How long Envoy may take to serve. It does in a tenth of a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/envoy.sh");
    let output = Command::new(script).output().expect("images/envoy.sh starts");
    assert!(output.status.success(), "images/envoy.sh: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
});

/// An Envoy that serves. It ends, and its folder goes, when this is dropped.
pub(crate) struct RunningEnvoy {
    /// The port of its admin pages.
    pub(crate) admin_port: u16,
    pid: Pid,
    /// The thread that started it: Envoy ends with it.
    starter: Option<thread::JoinHandle<()>>,
    folder: TempDir,
}

/// Where Envoy is.
pub(crate) fn binary() -> &'static Path {
    &BINARY
}

/// Checks a bootstrap without serving; the error is what Envoy says.
pub(crate) fn validate(bootstrap: &Value) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    let file = write_bootstrap(folder.path(), bootstrap);
    let mut command = Command::new(&*BINARY);
    let output = command.arg("--mode").arg("validate").arg("-c").arg(file).arg("--log-level").arg("warn").output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Starts Envoy and waits until it serves. The bootstrap needs no `admin`: it gets one on a free port of loopback.
pub(crate) async fn start(mut bootstrap: Value) -> RunningEnvoy {
    let folder = TempDir::new().unwrap();
    bootstrap["admin"] = json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}});
    let file = write_bootstrap(folder.path(), &bootstrap);
    let address_file = folder.path().join("admin-address");
    let log_file = folder.path().join("envoy.log");
    let mut command = Command::new(&*BINARY);
    command.arg("-c").arg(file).arg("--admin-address-path").arg(&address_file).arg("--log-path").arg(&log_file);
    // Several Envoys share a machine's names of memory by this; a free one is taken.
    command.args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "info", "--drain-time-s", "1"]);
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (started, process) = mpsc::channel();
    let starter = thread::spawn(move || {
        let mut child = command.spawn().unwrap();
        let _ = started.send(child.id());
        let _ = child.wait();
    });
    let pid = Pid::from_raw(process.recv().unwrap().cast_signed());
    let mut envoy = RunningEnvoy { admin_port: 0, pid, starter: Some(starter), folder };
    let deadline = Instant::now() + PATIENCE;
    while !envoy.serves(&address_file).await {
        assert!(Instant::now() < deadline && !envoy.ended(), "Envoy does not serve:\n{}", envoy.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    envoy
}

fn write_bootstrap(folder: &Path, bootstrap: &Value) -> PathBuf {
    let file = folder.join("bootstrap.json");
    fs::write(&file, bootstrap.to_string()).unwrap();
    file
}

// === impl RunningEnvoy ===

impl RunningEnvoy {
    /// An admin page.
    pub(crate) async fn admin(&self, path: &str) -> http::Answer {
        http::get(self.admin_port, path, &[]).await
    }

    /// The port of a listener of that name, which may have been 0 in the configuration.
    pub(crate) async fn port_of(&self, listener: &str) -> u16 {
        let page: Value = serde_json::from_str(&self.admin("/listeners?format=json").await.body).unwrap();
        let statuses = page["listener_statuses"].as_array().cloned().unwrap_or_default();
        let found = statuses.iter().find(|it| it["name"] == listener);
        let port = found.and_then(|it| it["local_address"]["socket_address"]["port_value"].as_u64());
        u16::try_from(port.unwrap_or_else(|| panic!("no listener {listener}: {page}"))).unwrap()
    }

    /// The sum of the counters and gauges whose names end so.
    pub(crate) async fn counted(&self, name: &str) -> u64 {
        let page = self.admin(&format!("/stats?filter={name}$")).await.body;
        page.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("envoy.log")).unwrap_or_default()
    }

    async fn serves(&mut self, address_file: &Path) -> bool {
        let address = fs::read_to_string(address_file).unwrap_or_default();
        let Some(port) = address.rsplit(':').next().and_then(|port| port.trim().parse().ok()) else { return false };
        self.admin_port = port;
        http::try_get(port, "/ready", &[]).await.is_ok_and(|answer| answer.status == 200)
    }

    fn ended(&self) -> bool {
        self.starter.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }
}

impl Drop for RunningEnvoy {
    fn drop(&mut self) {
        // Once the starter has waited for it, its process id may be another's.
        if !self.ended() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        if let Some(starter) = self.starter.take() {
            let _ = starter.join();
        }
    }
}
