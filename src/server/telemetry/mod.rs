//! Logs and traces.
//!
//! Logs go to standard error, as text or as JSON; standard output is for results, as of `netra ask`. Traces go to an OTLP receiver where
//! one is configured: spans of requests, commands and runs, with ids and durations. Log events are not part of them, so nothing that
//! people write leaves the server in a trace.

#[cfg(feature = "otlp")]
mod otlp;

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use super::config::{Config, ConfigError, LogConfig, LogFormat};

/// What has to be flushed when the server stops.
#[derive(Debug)]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    traces: Option<otlp::Traces>,
}

/// Starts logging, and tracing where it is configured. A second call in the same process changes nothing.
///
/// # Errors
/// `NETRA_LOG` or `log.filter` is not a valid filter, or the endpoint for traces cannot be used.
pub fn init(config: &Config) -> Result<Telemetry, ConfigError> {
    let registry = tracing_subscriber::registry().with(log_layer(&config.log)?);
    #[cfg(feature = "otlp")]
    {
        let traces = otlp::Traces::start(config)?;
        let _ = registry.with(traces.as_ref().map(otlp::Traces::layer)).try_init();
        Ok(Telemetry { traces })
    }
    #[cfg(not(feature = "otlp"))]
    {
        let _ = registry.try_init();
        Ok(Telemetry {})
    }
}

impl Telemetry {
    /// Sends the traces that were not sent yet; takes a few seconds at most.
    pub async fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(traces) = self.traces {
            traces.finish().await;
        }
    }
}

fn log_layer(config: &LogConfig) -> Result<Box<dyn Layer<Registry> + Send + Sync>, ConfigError> {
    let (place, filter) = match std::env::var("NETRA_LOG") {
        Ok(filter) => ("NETRA_LOG", filter),
        Err(_) => ("log.filter", config.filter.clone()),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        ConfigError::new(
            place,
            format!("`{filter}` is not a filter ({error}); write levels by module: `info,netra=debug`"),
        )
    })?;
    let layer = fmt::layer().with_writer(stderr);
    Ok(match config.format {
        LogFormat::Text => layer.with_ansi(stderr().is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_log_filter_is_refused() {
        let wrong = LogConfig { filter: "netra=loud".into(), ..LogConfig::default() };
        let Err(error) = log_layer(&wrong) else { panic!("`loud` is not a level") };
        assert!(error.to_string().contains("netra=loud") && error.to_string().contains("netra=debug"), "{error}");
        assert!(log_layer(&LogConfig::default()).is_ok());
    }
}
