//! Traces, sent by OTLP over HTTP.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use axum::http::{Request, Response};
use bytes::Bytes;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tokio::runtime::Handle;
use tracing::{Level, Subscriber};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use crate::server::config::{Config, ConfigError, TelemetryConfig};

/// How long one request to the receiver may take, and how long the last one may take when the server stops.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// The exporter of traces.
#[derive(Debug)]
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts the exporter, where an endpoint is configured.
    pub(super) fn start(config: &Config) -> Result<Option<Self>, ConfigError> {
        let Some(endpoint) = config.telemetry.otlp_endpoint.as_deref() else { return Ok(None) };
        let provider = provider(endpoint, &config.telemetry, instance(config));
        let provider = provider.map_err(|problem| ConfigError::new("telemetry.otlp_endpoint", problem))?;
        Ok(Some(Self(provider)))
    }

    /// Records this crate's spans, without the log events in them.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer("netra"));
        layer.with_location(false).with_threads(false).with_level(false).with_target(false).with_filter(filter_fn(
            |metadata| metadata.is_span() && *metadata.level() <= Level::INFO && metadata.target().starts_with("netra"),
        ))
    }

    /// Sends what was not sent yet.
    pub(super) async fn finish(self) {
        let last = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(EXPORT_TIMEOUT));
        match tokio::time::timeout(2 * EXPORT_TIMEOUT, last).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last traces were not sent"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last traces were not sent in time"),
        }
    }
}

/// This node's name in traces: host name and port.
fn instance(config: &Config) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "localhost".to_owned());
    format!("{}:{}", host.trim(), config.server.listen.port())
}

fn provider(endpoint: &str, config: &TelemetryConfig, instance: String) -> Result<SdkTracerProvider, String> {
    let http = reqwest::Client::builder().timeout(EXPORT_TIMEOUT).build().map_err(|error| error.to_string())?;
    let client = RuntimeClient { http, runtime: Handle::current(), failing: AtomicBool::new(false) };
    let exporter = SpanExporter::builder().with_http().with_http_client(client).with_timeout(EXPORT_TIMEOUT);
    let exporter =
        exporter.with_endpoint(format!("{endpoint}/v1/traces")).build().map_err(|error| error.to_string())?;
    let attributes =
        [KeyValue::new("service.version", env!("CARGO_PKG_VERSION")), KeyValue::new("service.instance.id", instance)];
    let resource = Resource::builder().with_service_name("netra").with_attributes(attributes).build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
    // The exporter's queue is bounded: while the receiver is unavailable, spans are dropped.
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_sampler(sampler);
    Ok(provider.with_resource(resource).build())
}

/// Sends requests on the server's runtime: the exporter runs on a thread of its own, where reqwest cannot work.
#[derive(Debug)]
struct RuntimeClient {
    http: reqwest::Client,
    runtime: Handle,
    /// Whether the last request failed, so that only the first failure in a row is logged.
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for RuntimeClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request.map(reqwest::Body::from))?;
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move { http.execute(request).await }).await?;
        let failed = !sent.as_ref().is_ok_and(|response| response.status().is_success());
        if failed && !self.failing.load(Ordering::Relaxed) {
            let status = sent.as_ref().ok().map(|response| response.status().as_u16());
            let error = sent.as_ref().err().map(ToString::to_string);
            tracing::warn!(status, error, "the OTLP receiver does not accept traces; they are dropped until it does");
        }
        self.failing.store(failed, Ordering::Relaxed);
        // The body is not read: it is unbounded, and nothing here needs it.
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = sent?.status();
        Ok(response)
    }
}
