//! Services in this process, on ports that the system chooses, and a client to look at them.

use axum::Router;
use axum::body::Bytes;
use http::uri::Authority;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::args::{Service, Settings, Upstreams};
use crate::server;

/// A server that runs until it is stopped.
pub(crate) struct Running {
    authority: Authority,
    drain: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

/// The four services.
pub(crate) struct Bookinfo {
    pub(crate) productpage: Running,
    behind: Vec<Running>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

// === impl Running ===

impl Running {
    pub(crate) async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let authority = authority_of(&listener);
        let (drain, draining) = oneshot::channel();
        Self { authority, drain, task: tokio::spawn(server::serve(listener, router, draining)) }
    }

    pub(crate) fn authority(&self) -> Authority {
        self.authority.clone()
    }

    /// Drains and waits for the end, which must come on its own.
    pub(crate) async fn stop(self) {
        drop(self.drain);
        self.task.await.expect("no panic").expect("served");
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &'static str) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.authority));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).expect("valid");
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        let (head, body) = client.request(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        Answer { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).expect("text") }
    }
}

// === impl Bookinfo ===

impl Bookinfo {
    /// All four, with this version of reviews.
    pub(crate) async fn start(reviews_version: &str) -> Self {
        let ratings = Running::start(ratings()).await;
        let mut bookinfo = Self::start_with_ratings_at(reviews_version, ratings.authority()).await;
        bookinfo.behind.push(ratings);
        bookinfo
    }

    /// Without a ratings of its own.
    pub(crate) async fn start_with_ratings_at(reviews_version: &str, ratings: Authority) -> Self {
        let reviews = Running::start(reviews(reviews_version, ratings.clone())).await;
        let details = Running::start(router(&settings(Service::Details, "v1", unused_upstreams()))).await;
        let upstreams = Upstreams { details: details.authority(), reviews: reviews.authority(), ratings };
        let productpage = Running::start(router(&settings(Service::Productpage, "v1", upstreams))).await;
        Self { productpage, behind: vec![reviews, details] }
    }

    /// The services behind the page.
    pub(crate) fn behind(&self) -> impl Iterator<Item = &Running> {
        self.behind.iter()
    }

    pub(crate) async fn stop(self) {
        self.productpage.stop().await;
        for service in self.behind {
            service.stop().await;
        }
    }
}

/// Routes of a ratings.
pub(crate) fn ratings() -> Router {
    router(&settings(Service::Ratings, "v1", unused_upstreams()))
}

/// Routes of a reviews that calls this ratings.
pub(crate) fn reviews(version: &str, ratings: Authority) -> Router {
    router(&settings(Service::Reviews, version, Upstreams { ratings, ..unused_upstreams() }))
}

/// Routes of a productpage that calls these.
pub(crate) fn productpage(upstreams: Upstreams) -> Router {
    router(&settings(Service::Productpage, "v1", upstreams))
}

/// Addresses where nobody may call: port 0 can't be connected to.
pub(crate) fn unused_upstreams() -> Upstreams {
    let nowhere = Authority::from_static("127.0.0.1:0");
    Upstreams { details: nowhere.clone(), reviews: nowhere.clone(), ratings: nowhere }
}

/// An address where a server was and is no more.
pub(crate) async fn refused_address() -> Authority {
    authority_of(&TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
}

fn router(settings: &Settings) -> Router {
    server::router(settings).expect("a known version")
}

fn settings(service: Service, version: &str, upstreams: Upstreams) -> Settings {
    let pod_name = format!("{service}-{version}-pod");
    Settings { service, version: version.to_owned(), port: 0, upstreams, pod_name, cluster_name: "here".to_owned() }
}

fn authority_of(listener: &TcpListener) -> Authority {
    listener.local_addr().expect("bound").to_string().parse().expect("an authority")
}
