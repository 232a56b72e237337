//! An xDS server of canned bytes: the yardstick for what the machine can do.
//!
//! It speaks to the same proxies over the same TLS on the same core as pilot did, and sends what pilot sent. It watches nothing, compiles
//! nothing and knows nothing of a proxy: what pilot needs beyond it is the price of its work.

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use h2::{RecvStream, SendStream, server};
use http::{Request, Response};
use rcgen::SanType;
use rustls_pki_types::PrivatePkcs8KeyDer;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    env, fs,
    future::poll_fn,
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    process::ChildStdin,
    sync::Arc,
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use super::{
    board::Recording,
    kind::Kind,
    pki::{Authority, Identity, SERVER, mutual},
    wire::{Messages, texts},
};
use crate::process::{Process, on_core};

/// Arguments of `ferromesh-bench canned`: the server's process. For each line of its standard input it pushes the file of that name.
#[derive(Debug, Args)]
pub(crate) struct CannedArgs {
    /// Where certificates and messages are.
    #[arg(long, value_name = "DIRECTORY")]
    folder: PathBuf,
}

/// What a client may send ahead, in bytes.
const WINDOW: u32 = 1024 * 1024;

const CERTIFICATE: &str = "certificate.der";
const KEY: &str = "key.der";
const ROOT: &str = "root.der";

/// By kind, two messages that take a resource to and fro between two forms.
pub(super) type Changes = BTreeMap<Kind, [Vec<u8>; 2]>;

/// The process; ends with this value.
pub(super) struct Canned {
    pub(super) process: Process,
    pub(super) pushes: Pushes,
    pub(super) address: SocketAddr,
    _folder: TempDir,
}

/// What makes it push.
pub(super) struct Pushes {
    input: ChildStdin,
    pushed: usize,
}

// === impl Canned ===

impl Canned {
    /// Starts a server that answers a proxy's subscriptions by `answers`, and can push `changes`.
    pub(super) fn start(core: u32, authority: &Authority, answers: &Recording, changes: &Changes) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let Identity { chain, key } = authority.identity(vec![SanType::DnsName(SERVER.try_into()?)])?;
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes);
        write(CERTIFICATE, &chain[0])?;
        write(KEY, key.secret_der())?;
        write(ROOT, authority.root())?;
        for kind in Kind::ALL {
            write(&answer_file(kind), answers.get(kind.type_url()).map(Vec::as_slice).unwrap_or_default())?;
        }
        for (kind, forms) in changes {
            for (form, message) in forms.iter().enumerate() {
                write(&change_file(*kind, form), message)?;
            }
        }
        let mut command = on_core(core);
        command.arg(env::current_exe()?).args(["canned", "--folder"]).arg(folder.path());
        let (process, input, output) = Process::start_with_pipes(&mut command)?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().context("the server of canned bytes did not start")?;
        Ok(Self { process, pushes: Pushes { input, pushed: 0 }, address, _folder: folder })
    }
}

// === impl Pushes ===

impl Pushes {
    /// Sends the change of that kind to every proxy, in one form and the other by turns.
    pub(super) fn push(&mut self, kind: Kind) -> anyhow::Result<()> {
        self.pushed += 1;
        writeln!(self.input, "{}", change_file(kind, self.pushed % 2)).context("the server of canned bytes has ended")
    }
}

fn answer_file(kind: Kind) -> String {
    format!("answer-{kind:?}")
}

fn change_file(kind: Kind, form: usize) -> String {
    format!("change-{kind:?}-{form}")
}

/// What each connection needs.
#[derive(Clone)]
struct Server {
    answers: Arc<[Bytes; Kind::COUNT]>,
    pushes: watch::Receiver<Bytes>,
}

// === impl CannedArgs ===

impl CannedArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let read = |name: &str| read(&self.folder, name);
        let own = Identity { chain: vec![read(CERTIFICATE)?.into()], key: PrivatePkcs8KeyDer::from(read(KEY)?).into() };
        let tls = TlsAcceptor::from(Arc::new(mutual(own, read(ROOT)?.into())?));
        let mut answers = [const { Bytes::new() }; Kind::COUNT];
        for kind in Kind::ALL {
            answers[kind as usize] = read(&answer_file(kind))?.into();
        }
        let (pushing, pushes) = watch::channel(Bytes::new());
        let server = Server { answers: Arc::new(answers), pushes };
        let folder = self.folder;
        let mut orders = tokio::task::spawn_blocking(move || follow(&folder, &pushing));
        loop {
            let accepted = tokio::select! {
                ended = &mut orders => return ended?,
                accepted = listener.accept() => accepted,
            };
            let (stream, _) = accepted?;
            let (tls, server) = (tls.clone(), server.clone());
            // A proxy that breaks off needs no answer; the fleet reports what it misses.
            tokio::spawn(async move { server.connection(tls, stream).await.ok() });
        }
    }
}

fn read(folder: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    fs::read(folder.join(name)).with_context(|| format!("can't read {name}"))
}

/// Pushes the files that standard input names, until it ends.
fn follow(folder: &Path, pushing: &watch::Sender<Bytes>) -> anyhow::Result<()> {
    let mut files: BTreeMap<String, Bytes> = BTreeMap::new();
    for line in io::stdin().lines() {
        let name = line?;
        let bytes = match files.entry(name) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let bytes = read(folder, new.key())?.into();
                new.insert(bytes)
            }
        };
        pushing.send_replace(bytes.clone());
    }
    Ok(())
}

// === impl Server ===

impl Server {
    async fn connection(self, tls: TlsAcceptor, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let stream = tls.accept(stream).await?;
        let mut builder = server::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let mut connection = builder.handshake::<_, Bytes>(stream).await?;
        let (request, mut respond) = connection.accept().await.context("no request came")??;
        let response = Response::builder().header("content-type", "application/grpc").body(())?;
        let requests = respond.send_response(response, false)?;
        let mut conversation = pin!(self.converse(request, requests));
        poll_fn(|context| {
            let ended = connection.poll_closed(context).map_err(Into::into);
            let ended = if ended.is_ready() { ended } else { conversation.as_mut().poll(context) };
            if ended.is_ready() { ended } else { connection.poll_closed(context).map_err(Into::into) }
        })
        .await
    }

    async fn converse(mut self, request: Request<RecvStream>, mut responses: SendStream<Bytes>) -> anyhow::Result<()> {
        let (mut body, mut messages) = (request.into_body(), Messages::default());
        self.pushes.mark_unchanged();
        loop {
            tokio::select! {
                chunk = body.data() => {
                    let Some(chunk) = chunk.transpose()? else { return Ok(()) };
                    body.flow_control().release_capacity(chunk.len())?;
                    messages.push(&chunk);
                }
                changed = self.pushes.changed() => {
                    changed?;
                    responses.send_data(self.pushes.borrow_and_update().clone(), false)?;
                }
            }
            while let Some(message) = messages.next()? {
                if let Some(kind) = subscription(&message) {
                    responses.send_data(self.answers[kind as usize].clone(), false)?;
                }
            }
        }
    }
}

/// The kind that a request subscribes to; none if it answers a response. The numbers are those of `DeltaDiscoveryRequest`.
fn subscription(request: &[u8]) -> Option<Kind> {
    let (type_url, nonce) = (2, 6);
    if texts(request, nonce).next().is_some() {
        return None;
    }
    Kind::of(texts(request, type_url).next()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_api::envoy::service::discovery::v3::DeltaDiscoveryRequest;
    use prost::Message;

    #[test]
    fn an_acknowledgement_asks_for_nothing() {
        let asking = DeltaDiscoveryRequest { type_url: Kind::Routes.type_url().to_owned(), ..DeltaDiscoveryRequest::default() };
        assert_eq!(subscription(&asking.encode_to_vec()), Some(Kind::Routes));
        let answering = DeltaDiscoveryRequest { response_nonce: "1".to_owned(), ..asking };
        assert_eq!(subscription(&answering.encode_to_vec()), None);
    }
}
