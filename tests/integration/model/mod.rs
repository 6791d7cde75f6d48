//! Model agents against a scripted model over real sockets: every kind of answer, complete or broken, through the real runner and
//! its log.

mod aimock;
mod analyst;
mod apis;
mod attached;
mod consent;
mod dialects;
mod errors;
mod provider;
mod runs;
pub(crate) mod server;
mod signed;
mod titles;
mod tools;
mod waiting;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use netra::{
    analyst::pricing::PriceTable,
    protocol::{
        Answer, AnswerStatus, Entry, InterruptAnswer, MessageId, RunId, ThreadId, UserId, agui::Interrupt,
        http::AgentInfo,
    },
    server::{
        agents::{
            AgentBuilder, AgentRegistry,
            model::ModelAgent,
            tools::{
                Consent, ToolBox, ToolOutput, ToolSpec,
                questions::{CallOutcome, Resumption},
            },
        },
        channel::{Channel, Channels},
        runs::{Agent, RunInput, Runner, RunnerOptions},
        threads,
        usage::{Allowance, Budget, DayAllowance},
    },
    thread::{NodeBody, RunState, RunView, ThreadView},
};
use serde_json::{Map, Value, json};

use self::server::Model;

use crate::support::{TEST_TIMEOUT, harness::texts};

/// Three tools that record their calls: `look` is automatic, `send` needs consent, `hang` does not end by itself.
#[derive(Default)]
struct Toolbox {
    executed: Mutex<Vec<(String, Value)>>,
}

#[async_trait]
impl ToolBox for Toolbox {
    async fn list(&self, _: &RunInput) -> Vec<ToolSpec> {
        let tool = |name: &str, consent| ToolSpec {
            name: name.into(),
            description: format!("Can {name}."),
            parameters: json!({"type": "object", "properties": {"at": {"type": "string"}}}),
            consent,
            source: "tests".into(),
        };
        vec![tool("look", Consent::Automatic), tool("send", Consent::Ask), tool("hang", Consent::Automatic)]
    }

    async fn call(&self, name: &str, args: Value, input: &RunInput) -> CallOutcome {
        self.executed.lock().expect("not poisoned").push((name.into(), args.clone()));
        if name == "hang" {
            input.cancel.cancelled().await;
        }
        let output = if args["at"] == "nowhere" {
            ToolOutput::failed("There is nothing.")
        } else {
            ToolOutput::done(format!("{name} {args}"))
        };
        output.into()
    }

    async fn resume(&self, name: &str, _: Resumption, _: &RunInput) -> CallOutcome {
        ToolOutput::failed(format!("`{name}` did not ask anything.")).into()
    }

    fn abandon(&self, _: ThreadId) {}
}

/// A budget of so many tokens, with the usage that was reported to it.
#[derive(Default)]
struct TokenLimit(u64, Mutex<Vec<u64>>);

#[async_trait]
impl Allowance for TokenLimit {
    fn used(&self, _: RunId, tokens: u64, _: f64) {
        self.1.lock().expect("not poisoned").push(tokens);
    }

    async fn admit(&self, _: UserId) -> Result<(), String> {
        let spent = self.1.lock().expect("not poisoned").last().copied().unwrap_or_default();
        if spent > self.0 { Err("today's tokens are used".into()) } else { Ok(()) }
    }
}

/// A thread whose agent has a scripted model.
type Harness = crate::support::harness::Harness<Arc<Toolbox>>;

impl Harness {
    async fn new(model: &Model) -> Self {
        Self::with(model, json!({})).await
    }

    /// With additional configuration.
    async fn with(model: &Model, more: Value) -> Self {
        Self::build(model, more, AgentBuilder::default(), |agent| agent).await
    }

    /// With a daily budget.
    async fn with_budget(model: &Model, budget: Budget) -> Self {
        let allowance = Arc::new(DayAllowance::new(budget));
        let builder = AgentBuilder { allowance: allowance.clone(), ..AgentBuilder::default() };
        let harness = Self::build(model, json!({}), builder, |agent| agent.with_allowance(allowance.clone())).await;
        allowance.begin(&harness.channels);
        harness
    }

    async fn build(
        model: &Model,
        more: Value,
        builder: AgentBuilder,
        change: impl FnOnce(ModelAgent) -> ModelAgent,
    ) -> Self {
        let mut config = json!({
            "model": "scripted", "base_url": model.url, "api_key": "sk-of-the-tests", "max_retry_wait_ms": 0,
            "titles": false,
            "prices": {"input": 1.0, "output": 10.0, "cached_input": 0.5},
        });
        merge(&mut config, more);
        let tools = Arc::new(Toolbox::default());
        let config = serde_json::from_value(config).expect("a configuration");
        let info = AgentInfo::new("model", "Model", "");
        let agent = ModelAgent::new(info, config, |_| None, &PriceTable::shipped()).expect("an agent");
        let agent: Arc<dyn Agent> = Arc::new(change(agent.with_tools(tools.clone())));
        let agents = AgentRegistry::new([agent], &[], builder).agents().clone();
        let runner = |channels: &Channels, files| Runner::new(channels.clone(), agents, RunnerOptions::new(files));
        Self::start("model", tools, runner).await
    }

    /// The tool calls that were executed so far: name and arguments.
    fn executed_calls(&self) -> Vec<(String, Value)> {
        self.agent.executed.lock().expect("not poisoned").clone()
    }
}

fn merge(config: &mut Value, more: Value) {
    let more: Map<String, Value> = serde_json::from_value(more).expect("an object");
    config.as_object_mut().expect("an object").extend(more);
}

/// The calls of a run: name, arguments, result.
fn calls_of(run: &RunView) -> Vec<(&str, &str, Option<&str>)> {
    let calls = run.nodes.iter().filter_map(|node| match &node.body {
        NodeBody::Tool { name, args, result, .. } => Some((name.as_str(), args.as_str(), result.as_deref())),
        _ => None,
    });
    calls.collect()
}

fn open_interrupts(run: &RunView) -> &[Interrupt] {
    match &run.state {
        RunState::Interrupted { interrupts } => interrupts,
        other => panic!("the run waits for no answer: {other:?}"),
    }
}

/// The code and the sentence of a failed run.
fn failure(run: &RunView) -> (&str, &str) {
    match &run.state {
        RunState::Failed { code: Some(code), message } => (code, message),
        other => panic!("failed with a code, not {other:?}"),
    }
}
