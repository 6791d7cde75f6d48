//! `kind = "model"`: an agent that is a model with tools.
//!
//! Floors, low to high: [`provider`] (what a model is to us) and [`genai_provider`] behind it; `error` and `usage`;
//! `room` (what fits into a model's context), `files` and `history` (a thread as a model wants it) and `signed` (what only the
//! model's provider reads of it), `turn` (one answer, told as it comes) and `asking` (for one, with patience), `calls` (what
//! becomes of tool calls) with `read_file` (for texts that do not fit); `prepare` (the first request of a run);
//! [`ModelAgent`], the loop: model, tools, model, until there is nothing more to call or the steps are used up.
//!
//! Promises: every call that is shown gets a result, now or in the run that resumes this one; a model's fault is a stable
//! code and one honest sentence; what was used is said however the run ends; a stop takes effect at once.

mod answer_reader;
mod apis;
mod calls;
mod error;
mod files;
mod history;
pub mod http_provider;
mod prepare;
pub mod provider;
mod provider_state;
mod read_file;
mod retry;
mod room;
mod thoughts;
mod tool_call_deltas;
mod turn;
mod usage;

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

pub use error::ModelError;
pub use http_provider::{HttpProvider, Target};
pub use usage::{Allowance, Spent, Tokens};

use self::{
    calls::{Settled, Tools},
    history::Results,
    provider::{EndReason, ModelCall, ModelMessage, ModelProvider},
    turn::{Answer, remark},
};
use super::{
    attached::{IMAGES, LOGS, PDFS, TEXTS},
    builtin::Writer,
    tools::ToolBox,
};
use crate::{
    analyst::pricing::{Price, PriceTable},
    protocol::http::{AgentInfo, Health},
    server::{
        config::agents::{AgentConfig, AgentEntry, KindConfig, ModelConfig, Takes},
        runs::{Agent, AgentError, Done, Emitter, Outcome, RunInput},
    },
    thread::{NodeBody, ThreadView},
};

/// An agent that is a model with tools.
pub struct ModelAgent {
    info: AgentInfo,
    config: ModelConfig,
    provider: Arc<dyn ModelProvider>,
    toolbox: Option<Arc<dyn ToolBox>>,
    allowance: Option<Arc<dyn Allowance>>,
    price: Option<Price>,
    /// What was wrong with the provider the last time it was asked.
    fault: Mutex<Option<ModelError>>,
}

impl ModelAgent {
    /// The agent that `config` describes; `variables` answers what its key refers to.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub fn new(
        info: AgentInfo,
        config: ModelConfig,
        variables: impl Fn(&str) -> Option<String>,
        table: &PriceTable,
    ) -> Result<Self, String> {
        let provider = Arc::new(HttpProvider::from_config(&config, variables)?);
        Ok(Self::with_provider(info, config, provider, table))
    }

    /// The same over a provider of your own.
    #[must_use]
    pub fn with_provider(
        info: AgentInfo,
        config: ModelConfig,
        provider: Arc<dyn ModelProvider>,
        table: &PriceTable,
    ) -> Self {
        let price = price(&config, table);
        Self { info, config, provider, toolbox: None, allowance: None, price, fault: Mutex::default() }
    }

    /// Gives it tools.
    #[must_use]
    pub fn with_tools(self, toolbox: Arc<dyn ToolBox>) -> Self {
        Self { toolbox: Some(toolbox), ..self }
    }

    /// Has it ask between steps whether it may go on.
    #[must_use]
    pub fn with_allowance(self, allowance: Arc<dyn Allowance>) -> Self {
        Self { allowance: Some(allowance), ..self }
    }
}

/// The model of the agent `id` among configured ones, for the analyst's wording.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn writer(
    id: &str,
    entries: &[AgentEntry],
    variables: impl Fn(&str) -> Option<String>,
    table: &PriceTable,
) -> Result<Writer, String> {
    let entry = entries.iter().find(|entry| entry.0.get("id").and_then(Value::as_str) == Some(id));
    let entry = entry.ok_or_else(|| format!("there is no agent `{id}` in [[agents]]"))?;
    match AgentConfig::read(entry).map_err(|problem| format!("agent `{id}`: {problem}"))?.kind {
        KindConfig::Model(config) => {
            let provider =
                HttpProvider::from_config(&config, variables).map_err(|error| format!("agent `{id}`: {error}"))?;
            Ok(Writer::new(Arc::new(provider), price(&config, table)))
        }
        _ => Err(format!("the agent `{id}` is not of kind \"model\"")),
    }
}

fn price(config: &ModelConfig, table: &PriceTable) -> Option<Price> {
    config.price().or_else(|| table.find(&config.model).cloned())
}

#[async_trait]
impl Agent for ModelAgent {
    fn info(&self) -> AgentInfo {
        let takes = |what| self.config.takes(what);
        let kinds: [(bool, &[&str]); 4] = [
            (takes(Takes::Image), &IMAGES),
            (takes(Takes::Pdf), &PDFS),
            (takes(Takes::Text), &TEXTS),
            // Its tools may read them.
            (takes(Takes::Text) || self.toolbox.is_some(), &LOGS),
        ];
        let files =
            kinds.iter().filter(|(reads, _)| *reads).flat_map(|(_, kinds)| kinds.iter().map(ToString::to_string));
        AgentInfo { files: files.collect(), ..self.info.clone() }
    }

    fn health(&self) -> Option<Health> {
        let fault = self.fault.lock().as_ref().map(ToString::to_string);
        let about = fault.clone().unwrap_or_else(|| "The model answered, or was not asked yet.".into());
        Some(Health { ok: fault.is_none(), about })
    }

    async fn run(&self, input: RunInput, out: Emitter) -> Result<Done, AgentError> {
        let mut run = Run { agent: self, input: &input, out: &out, spent: Spent::default(), left_out: 0, forgotten: 0 };
        match run.go().await {
            Ok(outcome) => Ok(run.done(outcome)),
            // What a stopped run used is counted too.
            Err(AgentError::Stopped) => Ok(run.done((Outcome::Cancelled, None))),
            Err(AgentError::Failed { code, message, .. }) => {
                let (usage, metadata) = (run.spent.usage(), run.metadata());
                Err(AgentError::Failed { code, message, usage, metadata })
            }
            Err(told) => Err(told),
        }
    }
}

/// How a run ended, and what it says came of it.
type Ended = (Outcome, Option<Value>);

/// One run.
struct Run<'a> {
    agent: &'a ModelAgent,
    input: &'a RunInput,
    out: &'a Emitter,
    spent: Spent,
    /// Messages of the conversation that did not fit.
    left_out: usize,
    /// Answers whose signed thoughts were too large for the log: after a pause, the model goes on without them.
    forgotten: usize,
}

impl Run<'_> {
    async fn go(&mut self) -> Result<Ended, AgentError> {
        let (input, config) = (self.input, &self.agent.config);
        let toolbox = self.agent.toolbox.as_deref();
        let consent_timeout = config.consent_timeout_s.map(|wait| Duration::from_secs(wait.get().into()));
        let mut tools = Tools { input, out: self.out, toolbox, specs: Vec::new(), reader: None, consent_timeout };
        tools.refresh().await?;
        let history = input.history();
        let settled = match tools.settle_earlier(&history).await? {
            Settled::Done(results) => results,
            Settled::Asked(interrupts) => return Ok((Outcome::Interrupt(interrupts), None)),
            Settled::Pending(_) => Results::new(),
        };
        let mut taken: HashSet<String> = history::call_ids(&history).chain(called(&input.thread)).collect();
        let mut request = self.request(&mut tools, &history, &settled).await?;
        for step in 1.. {
            if step > 1 {
                tools.refresh().await?;
                request.tools = self.offered(&tools);
            }
            let answer = match step {
                1 => self.first_answer(&mut request, &mut tools, &mut taken).await?,
                _ => self.ask(&request, &mut taken).await?,
            };
            let Answer { text, calls, end } = answer;
            if calls.is_empty() {
                self.last_word(&text, end.reason).await?;
                return Ok((Outcome::default(), Some(json!({"steps": step}))));
            }
            if step >= config.max_steps {
                tools.decline(&calls, "Not carried out: the agent has used up its steps.").await?;
                let last = format!(
                    "I have taken {step} steps, the most that I may take for one question, and I am not done. Ask me to go on."
                );
                remark(self.out, &last).await?;
                return Ok((Outcome::default(), Some(json!({"steps": step, "stopped": "max_steps"}))));
            }
            if let Err(refused) = self.admitted().await {
                tools.decline(&calls, "Not carried out: the person's budget is used up.").await?;
                remark(self.out, &format!("I stop here, and I am not done: {refused}.")).await?;
                return Ok((Outcome::default(), Some(json!({"steps": step, "stopped": "budget_used"}))));
            }
            self.keep(&calls, end.provider_state.as_ref()).await?;
            let results = match tools.settle(&calls).await? {
                Settled::Done(results) => results,
                Settled::Asked(interrupts) => return Ok((Outcome::Interrupt(interrupts), None)),
                Settled::Pending(pending_tool_call_ids) => {
                    return Ok((Outcome::Success { pending_tool_call_ids }, None));
                }
            };
            let told = calls.iter().map(|call| ModelMessage::Tool {
                call_id: call.id.clone(),
                name: call.name.clone(),
                text: results.get(&call.id).cloned().unwrap_or_default(),
            });
            let told: Vec<ModelMessage> = told.collect();
            request.messages.push(ModelMessage::Assistant { text, calls, provider_state: end.provider_state });
            request.messages.extend(told);
        }
        unreachable!("the steps are bounded")
    }

    /// Whether the run may take another step, or why not.
    async fn admitted(&self) -> Result<(), String> {
        match &self.agent.allowance {
            Some(allowance) => allowance.admit(self.input.author.id).await,
            None => Ok(()),
        }
    }

    /// Has the log keep what only the provider reads of an answer, for the run that goes on after a pause.
    async fn keep(&mut self, calls: &[ModelCall], state: Option<&Value>) -> Result<(), AgentError> {
        let (Some(call), Some(state)) = (calls.first(), state) else { return Ok(()) };
        match provider_state::event(&*self.agent.provider, &call.id, state) {
            Some(event) => self.out.emit(event).await,
            None => {
                self.forgotten += 1;
                Ok(())
            }
        }
    }

    /// Says what the answer itself does not: that there is none, or that it was cut off.
    async fn last_word(&self, text: &str, reason: EndReason) -> Result<(), AgentError> {
        let word = match (reason, text.trim().is_empty()) {
            (EndReason::Length, _) => {
                "The answer ends here because it reached the limit of its length. Ask me to go on."
            }
            (EndReason::Filtered, _) => {
                "The model's provider held the answer back: its content filter did not let it pass. Ask in other words."
            }
            (EndReason::Stop | EndReason::ToolCalls, true) => "The model had nothing to say. Ask in other words.",
            (EndReason::Stop | EndReason::ToolCalls, false) => return Ok(()),
        };
        remark(self.out, word).await
    }

    fn done(self, (outcome, result): Ended) -> Done {
        Done { result, outcome, usage: self.spent.usage(), metadata: self.metadata(), ..Done::default() }
    }

    /// What the terminal event says beside: the cost, and what was left out.
    fn metadata(&self) -> Option<Map<String, Value>> {
        let mut metadata = self.spent.metadata();
        if self.left_out > 0 {
            metadata.insert("omittedMessages".into(), json!(self.left_out));
        }
        if self.forgotten > 0 {
            metadata.insert("omittedThoughts".into(), json!(self.forgotten));
        }
        Some(metadata).filter(|metadata| !metadata.is_empty())
    }
}

/// The ids of the calls of every run of a thread, whatever its branch: a result is found by its call's id alone.
fn called(thread: &ThreadView) -> impl Iterator<Item = String> {
    let calls = thread.runs().flat_map(|run| &run.nodes).filter(|node| matches!(node.body, NodeBody::Tool { .. }));
    calls.map(|node| node.id.clone())
}
