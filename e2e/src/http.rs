//! Asking over HTTP, as a visitor from outside does.

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, body::Bytes, header::CONTENT_TYPE};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::time::Duration;

/// Longer than any answer of a healthy mesh.
const LIMIT: Duration = Duration::from_secs(10);

/// A client of one server. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Visitor {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

// === impl Visitor ===

impl Visitor {
    /// A visitor of the server at `base`, as in `http://10.0.0.1:30080`.
    pub fn new(base: impl Into<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build_http();
        Self { client, base: base.into() }
    }

    /// The address of a path on the server.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The answer to a GET, whatever its status.
    ///
    /// # Errors
    /// When there is none.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut request = Request::get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(request.body(Full::default())?).await
    }

    /// The body of a GET that was answered with 200.
    ///
    /// # Errors
    /// When it was not, with what was answered instead.
    pub async fn page(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<String> {
        let answer = self.get(path, headers).await?;
        anyhow::ensure!(answer.status == 200, "{path} answered {}: {}", answer.status, answer.body.trim());
        Ok(answer.body)
    }

    /// The answer to a form that is sent.
    ///
    /// # Errors
    /// When there is none.
    pub async fn post_form(&self, path: &str, form: &str) -> anyhow::Result<Answer> {
        let request = Request::post(self.url(path)).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.ask(request.body(Full::from(form.to_owned()))?).await
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let uri = request.uri().clone();
        let exchange = async {
            let (head, body) = self.client.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, anyhow::Error>(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        let answer = tokio::time::timeout(LIMIT, exchange).await.with_context(|| format!("{uri}: no answer within {LIMIT:?}"))?;
        answer.with_context(|| format!("{uri}: no answer"))
    }
}
