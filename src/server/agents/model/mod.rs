//! `kind = "model"`: an agent that is a model with tools.
//!
//! [`ModelAgent`] runs the loop: it asks the model, carries out its tool calls, and asks again, until there are no more calls or
//! the steps are used up. Its modules, low to high:
//!
//! - [`provider`]: the types between the loop and a model. [`http_provider`] implements them over HTTP, with `apis` (the formats of
//!   the providers), `answer_reader`, `tool_call_deltas` and `thoughts`.
//! - `error` and `usage`.
//! - `context` (what fits into a model's context), `files` and `history` (a thread as a model gets it), `provider_state`.
//! - `answer` (emits one answer) and `retry` (asks again while the provider is busy).
//! - `calls` (carries out tool calls) and `read_file` (a tool for text files that do not fit).
//! - `prepare` (the first request of a run).
//! - `title` (titles of threads).
//!
//! Guarantees: every call that is shown gets a result, in this run or in the one that resumes it; an error of the model is a stable
//! code and a sentence; usage is reported however the run ends; a stop takes effect at once.

mod answer;
mod answer_reader;
mod apis;
mod calls;
mod context;
mod error;
mod files;
mod history;
pub mod http_provider;
mod prepare;
pub mod provider;
mod provider_state;
mod read_file;
mod retry;
mod thoughts;
mod title;
mod tool_call_deltas;
mod usage;

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

pub use error::ModelError;
pub use http_provider::{HttpProvider, Target};
pub use usage::{Spent, Tokens};

use self::{
    answer::{Answer, emit_message},
    calls::{Settled, Tools},
    history::Results,
    provider::{EndReason, ModelCall, ModelMessage, ModelProvider, ModelRequest},
};
use super::{
    attached::{IMAGES, LOGS, PACKED_LOGS, PDFS, TEXTS},
    builtin::AnalystModel,
    tools::ToolBox,
};
use crate::{
    analyst::pricing::{Price, PriceTable},
    protocol::http::{AgentInfo, Health},
    server::{
        config::agents::{AgentConfig, AgentEntry, FileType, KindConfig, ModelConfig, Provider},
        runs::{Agent, AgentError, Done, Emitter, Exchange, Outcome, RunInput, TitleAnswer},
        usage::Allowance,
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
    /// The error of the newest request; `None` if it was answered.
    last_error: Mutex<Option<ModelError>>,
}

impl ModelAgent {
    /// Creates the agent that `config` describes. `variables` looks up the environment variables to which its `api_key` refers.
    ///
    /// # Errors
    /// The configuration key that is wrong, and why.
    pub fn new(
        info: AgentInfo,
        config: ModelConfig,
        variables: impl Fn(&str) -> Option<String>,
        table: &PriceTable,
    ) -> Result<Self, String> {
        let provider = Arc::new(HttpProvider::from_config(&config, variables)?);
        Ok(Self::with_provider(info, config, provider, table))
    }

    /// As [`ModelAgent::new`], but with this provider instead of one that sends requests over HTTP.
    #[must_use]
    pub fn with_provider(
        info: AgentInfo,
        config: ModelConfig,
        provider: Arc<dyn ModelProvider>,
        table: &PriceTable,
    ) -> Self {
        let price = price(&config, table);
        Self { info, config, provider, toolbox: None, allowance: None, price, last_error: Mutex::default() }
    }

    /// Gives it tools.
    #[must_use]
    pub fn with_tools(self, toolbox: Arc<dyn ToolBox>) -> Self {
        Self { toolbox: Some(toolbox), ..self }
    }

    /// Has it check a budget between its steps.
    #[must_use]
    pub fn with_allowance(self, allowance: Arc<dyn Allowance>) -> Self {
        Self { allowance: Some(allowance), ..self }
    }
}

/// Creates the analyst's model from the configured agent `id`.
///
/// # Errors
/// When there is no such agent, or it is not a usable model; says why in a sentence.
pub fn analyst_model(
    id: &str,
    entries: &[AgentEntry],
    variables: impl Fn(&str) -> Option<String>,
    table: &PriceTable,
) -> Result<AnalystModel, String> {
    let entry = entries.iter().find(|entry| entry.0.get("id").and_then(Value::as_str) == Some(id));
    let entry = entry.ok_or_else(|| format!("there is no agent `{id}` in [[agents]]"))?;
    match AgentConfig::parse(entry).map_err(|problem| format!("agent `{id}`: {problem}"))?.kind {
        KindConfig::Model(config) => {
            let provider =
                HttpProvider::from_config(&config, variables).map_err(|error| format!("agent `{id}`: {error}"))?;
            Ok(AnalystModel::new(Arc::new(provider), price(&config, table)))
        }
        _ => Err(format!("the agent `{id}` is not of kind \"model\"")),
    }
}

/// The configured price of a model; without one, the price of this model at its provider in the table. OpenAI's protocol at another
/// address (`base_url`) does not tell the provider, since servers of many providers offer that API; the model is then looked up by its name alone.
fn price(config: &ModelConfig, table: &PriceTable) -> Option<Price> {
    let any_server =
        matches!(config.provider, Provider::OpenAi | Provider::OpenAiResponses) && config.base_url.is_some();
    let provider = (!any_server).then(|| config.provider.name());
    config.price().or_else(|| table.find_at(&config.model, provider).cloned())
}

#[async_trait]
impl Agent for ModelAgent {
    fn info(&self) -> AgentInfo {
        let accepts = |what| self.config.accepts(what);
        let kinds: [(bool, &[&str]); 5] = [
            (accepts(FileType::Image), &IMAGES),
            (accepts(FileType::Pdf), &PDFS),
            (accepts(FileType::Text), &TEXTS),
            // Tools may read them, too.
            (accepts(FileType::Text) || self.toolbox.is_some(), &LOGS),
            (self.toolbox.is_some(), &PACKED_LOGS),
        ];
        let files =
            kinds.iter().filter(|(reads, _)| *reads).flat_map(|(_, kinds)| kinds.iter().map(ToString::to_string));
        AgentInfo { files: files.collect(), ..self.info.clone() }
    }

    fn health(&self) -> Option<Health> {
        let error = self.last_error.lock().as_ref().map(ToString::to_string);
        let about = error.clone().unwrap_or_else(|| "The model answered, or was not called yet.".into());
        Some(Health { ok: error.is_none(), about })
    }

    fn reads_messages(&self) -> bool {
        true
    }

    fn makes_titles(&self) -> bool {
        self.config.titles
    }

    async fn title(&self, exchange: &Exchange) -> Result<TitleAnswer, AgentError> {
        title::ask(&*self.provider, &self.config, self.price.as_ref(), exchange).await
    }

    async fn run(&self, input: RunInput, out: Emitter) -> Result<Done, AgentError> {
        let (spent, omitted_messages, omitted_states) = (Spent::default(), 0, 0);
        let mut run = Run { agent: self, input: &input, out: &out, spent, omitted_messages, omitted_states };
        match run.execute().await {
            Ok(end) => Ok(run.done(end)),
            // The usage of a stopped run counts, too.
            Err(AgentError::Stopped) => Ok(run.done((Outcome::Cancelled, None))),
            Err(AgentError::Failed { code, message, .. }) => {
                let (usage, metadata) = (run.spent.usage(), run.metadata());
                Err(AgentError::Failed { code, message, usage, metadata })
            }
            Err(error) => Err(error),
        }
    }
}

/// The outcome of a run and its result.
type RunEnd = (Outcome, Option<Value>);

/// One run.
struct Run<'a> {
    agent: &'a ModelAgent,
    input: &'a RunInput,
    out: &'a Emitter,
    spent: Spent,
    /// How many messages of the conversation were left out because they did not fit into the model's context.
    omitted_messages: usize,
    /// How many answers had a provider state that was too large for the log. A run that resumes this one cannot send it to the model again.
    omitted_states: usize,
}

impl Run<'_> {
    async fn execute(&mut self) -> Result<RunEnd, AgentError> {
        let (input, config) = (self.input, &self.agent.config);
        let toolbox = self.agent.toolbox.as_deref();
        let consent_timeout = config.consent_timeout_s.map(|wait| Duration::from_secs(wait.get().into()));
        let mut tools = Tools { input, out: self.out, toolbox, specs: Vec::new(), reader: None, consent_timeout };
        tools.refresh().await?;
        let history = input.history();
        let settled = match tools.settle_earlier(&history).await? {
            Settled::Done(results) => results,
            Settled::Interrupted(interrupts) => return Ok((Outcome::Interrupt(interrupts), None)),
            Settled::Pending(_) => Results::new(),
        };
        let mut used_ids: HashSet<String> = history::call_ids(&history).chain(thread_call_ids(&input.thread)).collect();
        let mut request = self.request(&mut tools, &history, &settled).await?;
        for step in 1.. {
            if step > 1 {
                tools.refresh().await?;
                request.tools = self.offered_tools(&tools);
            }
            request.messages.extend(self.new_messages().await?);
            let answer = match step {
                1 => self.first_answer(&mut request, &mut tools, &mut used_ids).await?,
                _ => self.ask(&request, &mut used_ids).await?,
            };
            if answer.calls.is_empty() {
                let result = end_result(step, answer.end.reason);
                if self.has_new_messages(step, answer, &mut request).await? {
                    continue;
                }
                return Ok((Outcome::default(), Some(result)));
            }
            let Answer { text, calls, end } = answer;
            if step >= config.max_steps {
                tools.decline(&calls, "Not carried out: the agent has used up its steps.").await?;
                let last = format!(
                    "I have taken {step} steps, the most that I may take for one question, and I am not done. Ask me to continue."
                );
                emit_message(self.out, &last).await?;
                return Ok((Outcome::default(), Some(json!({"steps": step, "stopped": "max_steps"}))));
            }
            if let Err(refused) = self.check_budget().await {
                tools.decline(&calls, "Not carried out: the person's budget is used up.").await?;
                emit_message(self.out, &format!("I stop here, and I am not done: {refused}.")).await?;
                return Ok((Outcome::default(), Some(json!({"steps": step, "stopped": "budget_used"}))));
            }
            self.keep_state(&calls, end.provider_state.as_ref()).await?;
            let results = match tools.settle(&calls).await? {
                Settled::Done(results) => results,
                Settled::Interrupted(interrupts) => return Ok((Outcome::Interrupt(interrupts), None)),
                Settled::Pending(pending_tool_call_ids) => {
                    return Ok((Outcome::Success { pending_tool_call_ids }, None));
                }
            };
            let messages = result_messages(&calls, &results);
            request.messages.push(ModelMessage::Assistant { text, calls, provider_state: end.provider_state });
            request.messages.extend(messages);
        }
        unreachable!("the steps are bounded")
    }

    /// After an answer without calls: adds it to the request with the messages that people sent meanwhile. Returns whether there are
    /// any; without a further step for them, they stay unread, and are answered by their own runs.
    async fn has_new_messages(
        &mut self,
        step: u32,
        answer: Answer,
        request: &mut ModelRequest,
    ) -> Result<bool, AgentError> {
        let Answer { text, calls, end } = answer;
        self.explain_end(&text, end.reason).await?;
        if step >= self.agent.config.max_steps || self.check_budget().await.is_err() {
            return Ok(false);
        }
        let new = self.new_messages().await?;
        if new.is_empty() {
            return Ok(false);
        }
        if !text.is_empty() {
            request.messages.push(ModelMessage::Assistant { text, calls, provider_state: end.provider_state });
        }
        request.messages.extend(new);
        Ok(true)
    }

    /// The messages that people sent for the agent to read before its next step.
    async fn new_messages(&self) -> Result<Vec<ModelMessage>, AgentError> {
        let messages = self.input.messages.read().await?;
        Ok(messages.into_iter().map(|message| ModelMessage::user(message.content)).collect())
    }

    /// Whether the run may take another step.
    ///
    /// # Errors
    /// Why not, for the person.
    async fn check_budget(&self) -> Result<(), String> {
        match &self.agent.allowance {
            Some(allowance) => allowance.admit(self.input.author.id).await,
            None => Ok(()),
        }
    }

    /// Keeps an answer's provider state in the log, for the run that resumes this one.
    async fn keep_state(&mut self, calls: &[ModelCall], state: Option<&Value>) -> Result<(), AgentError> {
        let (Some(call), Some(state)) = (calls.first(), state) else { return Ok(()) };
        match provider_state::event(&*self.agent.provider, &call.id, state) {
            Some(event) => self.out.emit(event).await,
            None => {
                self.omitted_states += 1;
                Ok(())
            }
        }
    }

    /// Tells the person why an answer is empty or incomplete.
    async fn explain_end(&self, text: &str, reason: EndReason) -> Result<(), AgentError> {
        let message = match (reason, text.trim().is_empty()) {
            (EndReason::Length, _) => {
                "The answer ends here because it reached the limit of its length. Ask me to continue."
            }
            (EndReason::Filtered, _) => {
                "The content filter of the model's provider withheld the answer. Rephrase your question."
            }
            (EndReason::Stop | EndReason::ToolCalls, true) => "The model sent an empty answer. Rephrase your question.",
            (EndReason::Stop | EndReason::ToolCalls, false) => return Ok(()),
        };
        emit_message(self.out, message).await
    }

    fn done(self, (outcome, result): RunEnd) -> Done {
        Done { result, outcome, usage: self.spent.usage(), metadata: self.metadata(), ..Done::default() }
    }

    /// The metadata of the terminal event: the cost, and how much was left out.
    fn metadata(&self) -> Option<Map<String, Value>> {
        let mut metadata = self.spent.metadata();
        if self.omitted_messages > 0 {
            metadata.insert("omittedMessages".into(), json!(self.omitted_messages));
        }
        if self.omitted_states > 0 {
            metadata.insert("omittedThoughts".into(), json!(self.omitted_states));
        }
        Some(metadata).filter(|metadata| !metadata.is_empty())
    }
}

/// The results of calls, as the model gets them.
fn result_messages(calls: &[ModelCall], results: &Results) -> Vec<ModelMessage> {
    let message = |call: &ModelCall| ModelMessage::Tool {
        call_id: call.id.clone(),
        name: call.name.clone(),
        text: results.get(&call.id).cloned().unwrap_or_default(),
    };
    calls.iter().map(message).collect()
}

/// The result of a run that ended after a number of steps with an answer without calls.
fn end_result(steps: u32, reason: EndReason) -> Value {
    match reason {
        EndReason::Length => json!({"steps": steps, "stopped": "length"}),
        EndReason::Stop | EndReason::ToolCalls | EndReason::Filtered => json!({"steps": steps}),
    }
}

/// The ids of the calls of all runs of a thread, on every branch, since a result belongs to its call by the id alone.
fn thread_call_ids(thread: &ThreadView) -> impl Iterator<Item = String> {
    let calls = thread.runs().flat_map(|run| &run.nodes).filter(|node| matches!(node.body, NodeBody::Tool { .. }));
    calls.map(|node| node.id.clone())
}
