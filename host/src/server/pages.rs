//! The pages for whoever operates this server: whether it lives, whether it can serve, and what it counted.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusHandle;

use super::readiness::Readiness;
use super::scrape::Scrape;
use crate::standin::Standin;

/// What a stopping server names as the part that cannot serve.
const STOPPING: &str = "stopping";

const TEXT: &str = "text/plain; charset=utf-8";

/// Answers the pages.
pub(super) struct Pages {
    standin: Standin,
    readiness: Readiness,
    metrics: Option<Scrape>,
    stopping: AtomicBool,
}

impl Pages {
    pub(super) fn new(standin: Standin, metrics: Option<PrometheusHandle>) -> Self {
        let metrics = metrics.map(|metrics| Scrape::new(move || metrics.render(), standin.clock()));
        Self { readiness: Readiness::new(standin.clone()), standin, metrics, stopping: AtomicBool::new(false) }
    }

    /// From now on the server is not ready: it takes nothing new.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// The page at this path; none where there is no such page.
    pub(super) async fn answer(&self, method: &Method, path: &str) -> Option<Response<Full<Bytes>>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        match path {
            "/healthz" => Some(page(StatusCode::OK, TEXT, "ok\n")),
            "/readyz" => Some(self.readiness().await),
            "/metrics" => Some(self.metrics().await),
            _ => None,
        }
    }

    async fn readiness(&self) -> Response<Full<Bytes>> {
        // A stranger may read this page: it names the part; the cause is in the log.
        let mut parts = self.readiness.unavailable().await.to_vec();
        parts.extend(self.stopping.load(Ordering::Relaxed).then_some(STOPPING));
        let status = if parts.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut body = serde_json::json!({ "ready": parts.is_empty(), "unavailable": parts });
        // Everybody else's tokens verify: one issuer must not take this server away from the others.
        let without_keys = self.standin.issuers_without_keys();
        if let (false, Some(body)) = (without_keys.is_empty(), body.as_object_mut()) {
            body.insert("issuers_without_keys".to_owned(), without_keys.into());
        }
        // The old modules serve on: nobody is to be sent elsewhere for that.
        if let (Some(refusal), Some(body)) = (self.standin.policy_status().refused.values().next(), body.as_object_mut()) {
            body.insert("policy_refused".to_owned(), refusal.code.into());
        }
        page(status, "application/json", body.to_string())
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        match &self.metrics {
            Some(metrics) => page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.page().await),
            None => page(StatusCode::NOT_FOUND, TEXT, "no metrics are kept\n"),
        }
    }
}

/// A page of plain text.
pub(super) fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    page(status, TEXT, body)
}

fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
