//! Logs and traces.
//!
//! Logs go to standard error, so that standard output stays for answers, as text or as JSON. Traces go by OTLP where the
//! configuration says so, else nowhere and at no cost: the spans of requests, commands and runs, with ids and durations.
//! What is logged inside them stays in the log, so nothing that people say can get into a trace.

use std::{
    io::{IsTerminal, stderr},
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
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::config::{Config, ConfigError, LogConfig, LogFormat, TelemetryConfig};

/// How long one delivery of traces may take, and how long the last one may when the server stops.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was begun, to be finished when the server stops.
#[derive(Debug)]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Begins logging, and tracing where that is configured. Called again it changes nothing.
///
/// # Errors
/// Where `NETRA_LOG` is no filter, or the endpoint none that can be used.
pub fn init(config: &Config) -> Result<Telemetry, ConfigError> {
    let log = log(&config.log)?;
    let provider = config.telemetry.otlp_endpoint.as_deref();
    let provider = provider.map(|endpoint| provider_of(endpoint, &config.telemetry, instance(config))).transpose();
    let provider = provider.map_err(|problem| ConfigError::new("telemetry.otlp_endpoint", problem))?;
    let traces = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("netra"));
        layer.with_location(false).with_threads(false).with_level(false).with_target(false).with_filter(filter_fn(
            |metadata| metadata.is_span() && *metadata.level() <= Level::INFO && metadata.target().starts_with("netra"),
        ))
    });
    let _ = tracing_subscriber::registry().with(log).with(traces).try_init();
    Ok(Telemetry(provider))
}

impl Telemetry {
    /// Sends what was not sent yet, in bounded time.
    pub async fn finish(self) {
        let Some(provider) = self.0 else { return };
        let last = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(PATIENCE));
        match tokio::time::timeout(2 * PATIENCE, last).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last traces were not sent"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last traces were not sent in time"),
        }
    }
}

fn log(config: &LogConfig) -> Result<Box<dyn Layer<Registry> + Send + Sync>, ConfigError> {
    let (place, filter) = match std::env::var("NETRA_LOG") {
        Ok(filter) => ("NETRA_LOG", filter),
        Err(_) => ("log.filter", config.filter.clone()),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        ConfigError::new(
            place,
            format!("`{filter}` is no filter ({error}); write levels by module: `info,netra=debug`"),
        )
    })?;
    let layer = fmt::layer().with_writer(stderr);
    Ok(match config.format {
        LogFormat::Text => layer.with_ansi(stderr().is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    })
}

/// This node's name in traces: the machine's and the port.
fn instance(config: &Config) -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "localhost".to_owned());
    format!("{}:{}", machine.trim(), config.server.listen.port())
}

fn provider_of(endpoint: &str, config: &TelemetryConfig, instance: String) -> Result<SdkTracerProvider, String> {
    let http = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
    let sender = Sender { http, runtime: Handle::current(), failing: AtomicBool::new(false) };
    let exporter = SpanExporter::builder().with_http().with_http_client(sender).with_timeout(PATIENCE);
    let exporter =
        exporter.with_endpoint(format!("{endpoint}/v1/traces")).build().map_err(|error| error.to_string())?;
    let attributes =
        [KeyValue::new("service.version", env!("CARGO_PKG_VERSION")), KeyValue::new("service.instance.id", instance)];
    let resource = Resource::builder().with_service_name("netra").with_attributes(attributes).build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
    // Its queue is bounded: what a receiver that is away does not take is dropped.
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_sampler(sampler);
    Ok(provider.with_resource(resource).build())
}

/// Takes traces out through the client that the server has anyway. The exporter lives in a thread of its own, the client
/// needs the runtime.
#[derive(Debug)]
struct Sender {
    http: reqwest::Client,
    runtime: Handle,
    /// Whether the last try failed: said once, not with every try.
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request.map(reqwest::Body::from))?;
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move { http.execute(request).await }).await?;
        let well = sent.as_ref().is_ok_and(|response| response.status().is_success());
        if !well && !self.failing.swap(!well, Ordering::Relaxed) {
            let status = sent.as_ref().ok().map(|response| response.status().as_u16());
            let error = sent.as_ref().err().map(ToString::to_string);
            tracing::warn!(status, error, "traces are not taken; they are dropped until they are");
        }
        self.failing.store(!well, Ordering::Relaxed);
        // What it says beside the status is of no use here, and not bounded.
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = sent?.status();
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_filter_is_refused() {
        let wrong = LogConfig { filter: "netra=loud".into(), ..LogConfig::default() };
        let Err(error) = log(&wrong) else { panic!("`loud` is no level") };
        assert!(error.to_string().contains("netra=loud") && error.to_string().contains("netra=debug"), "{error}");
        assert!(log(&LogConfig::default()).is_ok());
    }
}
