//! A thread whose agent is remote.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use netra::{
    protocol::{RunId, http::AgentInfo},
    server::{
        agents::{
            AgentBuilder, AgentRegistry,
            remote::{BreakerConfig, Remote, RemoteOptions},
        },
        channel::Channels,
        config::agents::AgUiConfig,
        raw_events,
        runs::{Agent, Runner, RunnerOptions},
    },
    thread::{RunState, RunView},
};
use serde_json::{Value, json};

use crate::{
    remote::server::Endpoint,
    support::harness::{Harness, texts},
};

/// A header's secret value, which must not appear anywhere.
pub const SECRET: &str = "s3cr3t-of-the-tests";

/// A thread whose agent is remote.
pub type RemoteHarness = Harness<Arc<Remote>>;

/// The configuration of an endpoint on this host.
pub fn config(url: &str, changes: &Value) -> AgUiConfig {
    let mut entry = json!({"url": url, "allow_private_network": true, "headers": {"Authorization": "Bearer ${TOKEN}"}});
    entry.as_object_mut().expect("an object").extend(changes.as_object().cloned().unwrap_or_default());
    serde_json::from_value(entry).expect("a configuration")
}

/// A remote agent with short retry and breaker intervals.
pub fn remote(config: &AgUiConfig) -> Remote {
    let breaker =
        BreakerConfig { failures: 3, first_pause: Duration::from_millis(200), max_pause: Duration::from_secs(1) };
    let options = RemoteOptions { breaker, backoff: Duration::from_millis(10) };
    let variables = |name: &str| (name == "TOKEN").then(|| SECRET.to_owned());
    Remote::new(AgentInfo::new("remote", "Remote", ""), config, variables, options).expect("the configuration is valid")
}

impl RemoteHarness {
    pub async fn new(server: &Endpoint) -> Self {
        Self::with_config(&config(&server.url, &json!({}))).await
    }

    /// With changes to the configuration.
    pub async fn with(server: &Endpoint, changes: Value) -> Self {
        Self::with_config(&config(&server.url, &changes)).await
    }

    pub async fn with_config(config: &AgUiConfig) -> Self {
        let remote = Arc::new(remote(config));
        let agents =
            AgentRegistry::new([remote.clone() as Arc<dyn Agent>], &[], AgentBuilder::default()).agents().clone();
        let runner = |channels: &Channels, files| Runner::new(channels.clone(), agents, RunnerOptions::new(files));
        Self::start("remote", remote, runner).await
    }

    /// Asks, and asserts that the run fails with this code and that no secret is shown; returns the error's message.
    pub async fn failure(&self, code: &str) -> String {
        let run = self.ask("hello").await;
        match run.state {
            RunState::Failed { message, code: Some(found) } => {
                assert_eq!(found, code, "{message}");
                assert!(!message.is_empty());
                let log = self.thread_frames().await.join("\n");
                assert!(!log.contains(SECRET) && !log.contains(&SECRET[..8]), "{log}");
                let about = self.agent.health().map(|health| health.about).unwrap_or_default();
                assert!(!about.contains(&SECRET[..8]), "{about}");
                message
            }
            other => panic!("fails with {code}, not {other:?}"),
        }
    }

    /// Waits until this is a run's text.
    pub async fn until_text_is(&self, run: RunId, text: &str) {
        self.until(|view| view.run(run).is_some_and(|run| text_of(run) == text)).await;
    }

    /// Stops a run; returns how long its end took.
    pub async fn stop(&self, run: RunId) -> Duration {
        let began = Instant::now();
        self.runner.stop(run);
        assert_eq!(self.final_state(run).await, RunState::Cancelled);
        began.elapsed()
    }

    /// The RAW events that are kept of a run.
    pub async fn raw(&self, run: RunId) -> Vec<Value> {
        let page = raw_events::page(&self.channels, run, 0).await.expect("the page is read");
        page.events.into_iter().map(|kept| kept.event).collect()
    }

    /// A run's events as the log stores them.
    pub async fn stored_events(&self, wanted: RunId) -> Vec<Value> {
        let entries = self
            .thread_frames()
            .await
            .into_iter()
            .map(|frame| serde_json::from_str::<Value>(&frame).expect("JSON")["payload"]["entry"].take());
        entries.filter(|entry| entry["run_id"] == wanted.to_string()).map(|mut entry| entry["event"].take()).collect()
    }
}

/// All texts of a run as one.
pub fn text_of(run: &RunView) -> String {
    texts(run).concat()
}
