//! A stand-in for an API server that holds what it is told and never changes: enough for a process that watches.

use anyhow::Context;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Objects by the path of their list, for example `/apis/networking.istio.io/v1/virtualservices`.
pub(crate) type Objects = BTreeMap<String, Vec<Value>>;

/// The server. It ends with the runtime.
pub(crate) struct Cluster {
    kubeconfig: PathBuf,
}

// === impl Cluster ===

impl Cluster {
    /// Serves `objects` on loopback; a kubeconfig for it is written into `folder`.
    ///
    /// # Errors
    /// When it can't listen, or the file can't be written.
    pub(crate) async fn serve(objects: Objects, folder: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let kubeconfig = folder.join("kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_for(listener.local_addr()?).to_string())?;
        let objects = Arc::new(objects);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let objects = objects.clone();
                // A client that goes away is not the server's to report.
                tokio::spawn(async move { answer(stream, &objects).await.ok() });
            }
        });
        Ok(Self { kubeconfig })
    }

    /// The file for `KUBECONFIG`.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

fn kubeconfig_for(address: SocketAddr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench", "users": [{"name": "bench", "user": {}}],
        "clusters": [{"name": "bench", "cluster": {"server": format!("http://{address}")}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    })
}

/// Answers one connection's only request: a list, or a watch that tells the list and then nothing.
async fn answer(mut stream: TcpStream, objects: &Objects) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        anyhow::ensure!(stream.read_buf(&mut head).await? > 0 && head.len() < 64 * 1024, "no request");
    }
    let head = String::from_utf8(head)?;
    let mut words = head.split(' ');
    let (method, target) = (words.next().context("no method")?, words.next().context("no target")?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let watches = query.split('&').any(|option| option == "watch=true" || option == "watch=1");
    let none = Vec::new();
    let held = objects.get(path).unwrap_or(&none);
    let mut body = String::new();
    match (method, watches) {
        ("GET", true) => {
            for object in held {
                body += &json!({"type": "ADDED", "object": object}).to_string();
                body.push('\n');
            }
            let metadata = json!({"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}});
            body += &json!({"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Object", "metadata": metadata}}).to_string();
            body.push('\n');
        }
        ("GET", false) if !path.contains("/leases/") => {
            body = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": held}).to_string();
        }
        _ => {
            let said = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
            let status = json!({"kind": "Status", "status": "Failure", "message": "read-only", "reason": "Forbidden", "code": 403});
            return Ok(stream.write_all(format!("{said}{status}").as_bytes()).await?);
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n").await?;
    stream.write_all(body.as_bytes()).await?;
    if watches {
        // Until the client is gone.
        stream.read_to_end(&mut Vec::new()).await?;
    }
    Ok(())
}
