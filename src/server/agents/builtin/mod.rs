//! The analyst at work: a supervisor and five sub-agents, told as they go.
//!
//! Promises: each event says what happens then; a tool call's result is what the code computed; no pauses, no invented
//! progress. Heavy work runs on blocking threads that look at the run's cancellation, so a stop takes effect at once.

mod voice;
mod wording;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;

use self::voice::Voice;
pub use self::wording::Writer;
use super::{
    attached::LOGS,
    model::{ModelError, Spent, Tokens},
};
use crate::{
    analyst::{
        EXAMPLES,
        analysis::{self, Analysis},
        charts,
        forecast::{self, Compared},
        goals::{Goal, Question},
        ingest::{self, LoadError, Log, StopFn},
        optimize::Savings,
        pricing::{PriceError, PriceTable, Pricing},
        profile::Profile,
        report,
        stats::PERCENTILE_METHOD,
        telling,
        words::whole,
    },
    protocol::http::AgentInfo,
    server::runs::{Agent, AgentError, Done, Emitter, InputFile, Outcome, RunInput},
};

/// The id that threads name the analyst by.
pub const ID: &str = "analyst";

/// The code of a run that ended because its file could not be analysed.
pub const UNREADABLE_FILE: &str = "unreadable_file";

const NO_FILE: &str = "I analyse the usage log of an AI service, and this thread has none yet. Attach one and ask again:\n\n\
    - **CSV** with a header line, or **JSON Lines**, up to 100 MB.\n\
    - Needed: input and output tokens (`input_tokens`/`prompt_tokens`, `output_tokens`/`completion_tokens`).\n\
    - Useful: time, model, cached tokens, latency, cost. Columns are found by name.\n\
    - Known shapes: OpenAI and Anthropic usage objects, LiteLLM spend logs, OpenTelemetry `gen_ai.*`, the Azure LLM traces.\n\n\
    A row may be as short as this:\n\n\
    ```csv\ntimestamp,model,input_tokens,output_tokens\n2026-01-31T12:00:00Z,gpt-4.1,1200,150\n```\n\n\
    Only counts are read: leave prompts and answers out of the log.\n";

/// The built-in workload analyst.
#[derive(Debug, Clone)]
pub struct Analyst {
    table: Arc<PriceTable>,
    writer: Option<Writer>,
}

impl Analyst {
    /// The analyst with a price file of yours (in the format of LiteLLM's cost map), or with the prices it ships.
    ///
    /// # Errors
    /// When the price file cannot be used.
    pub fn new(prices: Option<&Path>) -> Result<Self, PriceError> {
        let table = prices.map_or_else(|| Ok(PriceTable::shipped()), PriceTable::load)?;
        Ok(Self { table: Arc::new(table), writer: None })
    }

    /// Gives it a model for understanding questions that its rules do not, and for wording.
    #[must_use]
    pub fn with_writer(self, writer: Writer) -> Self {
        Self { writer: Some(writer), ..self }
    }

    /// The prices that it computes with.
    #[must_use]
    pub fn prices(&self) -> &Arc<PriceTable> {
        &self.table
    }
}

#[async_trait]
impl Agent for Analyst {
    fn info(&self) -> AgentInfo {
        let how = self.writer.as_ref().map_or_else(
            || "Works by fixed rules, without a model.".into(),
            |writer| format!("Computes by fixed rules; {} helps with the words.", writer.model()),
        );
        let about = format!(
            "Reads the usage log of an AI service and says where tokens and money go and what to change. {how}"
        );
        AgentInfo {
            examples: EXAMPLES.map(String::from).to_vec(),
            files: LOGS.map(String::from).to_vec(),
            ..AgentInfo::new(ID, "Workload analyst", about)
        }
    }

    async fn run(&self, input: RunInput, out: Emitter) -> Result<Done, AgentError> {
        let Self { table, writer } = self.clone();
        let work = Work { table, writer, spent: Mutex::default(), input: &input, out: &out };
        let told = work.run().await;
        let spent = work.spent.into_inner();
        let metadata = Some(spent.metadata()).filter(|metadata| !metadata.is_empty());
        match told {
            Ok(done) => Ok(Done { usage: spent.usage(), metadata, ..done }),
            Err(AgentError::Failed { code, message, .. }) => {
                Err(AgentError::Failed { code, message, usage: spent.usage(), metadata })
            }
            Err(error @ AgentError::Reported(_)) => Err(error),
            // What a stopped run used is counted too.
            Err(AgentError::Stopped) => {
                Ok(Done { outcome: Outcome::Cancelled, usage: spent.usage(), metadata, ..Done::default() })
            }
        }
    }
}

/// One run.
struct Work<'a> {
    table: Arc<PriceTable>,
    writer: Option<Writer>,
    /// What the model took.
    spent: Mutex<Spent>,
    input: &'a RunInput,
    out: &'a Emitter,
}

/// What the Data agent hands on.
struct Data {
    log: Arc<Log>,
    pricing: Arc<Pricing>,
    profile: Arc<Profile>,
}

impl Work<'_> {
    async fn run(&self) -> Result<Done, AgentError> {
        let supervisor = Voice::supervisor(self.out);
        let question = self.triage().await?;
        let Some(file) = self.input.files.first() else {
            supervisor.say(NO_FILE).await?;
            return Ok(Done::default());
        };
        supervisor.think(&self.plan(&question, file)).await?;
        let data = self.data(file, &question).await?;
        let (savings, compared) = self.optimizations(&data, &question).await?;
        let analysis = self.actions(file, question, &data, savings, compared).await?;
        self.report(&analysis).await?;
        supervisor.say(&self.worded(&telling::summary(&analysis)).await?).await?;
        Ok(Done::with_result(json!({
            "requests": analysis.profile.requests,
            "tokens": analysis.profile.tokens(),
            "cost_usd": analysis.profile.cost,
            "savings_usd": analysis.savings.together_usd,
            "actions": analysis.actions.iter().map(|action| &action.title).collect::<Vec<_>>(),
        })))
    }

    /// What one use of the model brought, unless it failed: then the analyst goes on without.
    async fn with_model<T>(
        &self,
        writer: &Writer,
        asked: impl Future<Output = Result<(T, Tokens), ModelError>>,
    ) -> Result<Option<T>, AgentError> {
        let told = self.input.cancel.run_until_cancelled(asked).await.ok_or(AgentError::Stopped)?;
        match told {
            Ok((told, tokens)) => {
                self.spent.lock().add(tokens, writer.price.as_ref());
                Ok(Some(told))
            }
            Err(error) => {
                tracing::warn!(run = %self.input.run_id, code = error.code(), "the analyst goes on without its model");
                Ok(None)
            }
        }
    }

    /// The last word, after an introduction of the model's where that can be shown.
    async fn worded(&self, summary: &str) -> Result<String, AgentError> {
        let Some(writer) = &self.writer else { return Ok(summary.to_owned()) };
        let lead = self.with_model(writer, writer.lead(&self.input.text, summary)).await?.flatten();
        Ok(lead.map_or_else(|| summary.to_owned(), |lead| wording::introduced(&lead, summary, writer)))
    }

    /// Asks the model what a question means in which the rules found no goal.
    async fn understood(&self, voice: &Voice<'_>, question: &mut Question) -> Result<(), AgentError> {
        let Some(writer) = self.writer.as_ref().filter(|_| !self.input.text.trim().is_empty()) else { return Ok(()) };
        let call =
            voice.call("ask_model", &json!({"model": writer.model(), "for": "the goals of the question"})).await?;
        let goals = self.with_model(writer, writer.goals(&self.input.text)).await?;
        let result = goals.as_ref().map_or_else(|| json!({"error": "the model gave no answer"}), |goals| json!(goals));
        voice.answer(call, &result).await?;
        question.understood(goals.unwrap_or_default(), &self.input.text);
        Ok(())
    }

    fn plan(&self, question: &Question, file: &InputFile) -> Vec<String> {
        let mut plan =
            vec![format!("The log is {} ({} bytes).", file.attachment.name, whole(file.attachment.bytes as f64))];
        if self.input.files.len() > 1 {
            plan.push(format!(
                "{} more files are attached; this analysis reads the first only.",
                self.input.files.len() - 1
            ));
        }
        plan.push("Data reads and profiles it, Optimizations computes what could change, Actions orders the changes, Report writes it down.".into());
        if question.goals.is_empty() {
            plan.push("The question states no goal I know, so the report is the overview.".into());
        }
        plan
    }

    async fn triage(&self) -> Result<Question, AgentError> {
        let voice = Voice::subagent(self.out, "Triage", "Reads which goals the question states").await?;
        let step = "Read the question";
        voice.step(step).await?;
        let call = voice.call("read_question", &json!({"text": telling::clipped(&self.input.text)})).await?;
        let mut question = Question::of(&self.input.text, &self.table);
        voice.answer(call, &json!(question)).await?;
        if question.goals.is_empty() {
            self.understood(&voice, &mut question).await?;
        }
        let mut thoughts: Vec<String> =
            question.goals.iter().map(|(goal, words)| format!("“{words}” asks to {}.", goal.label())).collect();
        if thoughts.is_empty() {
            thoughts.push("I find no goal in these words.".into());
        }
        thoughts.extend(question.conflicts.iter().cloned());
        voice.think(&thoughts).await?;
        voice.step_done(step).await?;
        let labels: Vec<String> = question.goals.iter().map(|(goal, _)| goal.label()).collect();
        voice.finish(json!({"goals": labels, "models": question.models})).await?;
        Ok(question)
    }

    async fn data(&self, file: &InputFile, question: &Question) -> Result<Data, AgentError> {
        let voice = Voice::subagent(self.out, "Data", "Reads, prices and profiles the attached log").await?;
        let step = "Read the log";
        voice.step(step).await?;
        let call =
            voice.call("load_log", &json!({"file": file.attachment.name, "bytes": file.attachment.bytes})).await?;
        let path = file.path.clone();
        let log = match self.blocking(move |stop| ingest::load(&path, stop)).await? {
            Ok(log) => Arc::new(log),
            Err(error) => {
                let message = format!("{}: {error}", file.attachment.name);
                voice.answer(call, &json!({"error": message})).await?;
                voice.step_done(step).await?;
                voice.fail(UNREADABLE_FILE, &message).await?;
                return Err(AgentError::failed(UNREADABLE_FILE, message));
            }
        };
        voice.answer(call, &json!(log.report)).await?;
        voice.think(&telling::about_reading(&log)).await?;
        voice.step_done(step).await?;

        let step = "Price and profile";
        voice.step(step).await?;
        let assume = question.models.first().cloned();
        let call =
            voice.call("price_workload", &json!({"prices": self.table.origin(), "model_if_none": assume})).await?;
        let pricing = Arc::new(analysis::pricing(&log, question, &self.table));
        voice.answer(call, &telling::priced(&pricing)).await?;
        let call = voice
            .call("profile_workload", &json!({"percentiles": PERCENTILE_METHOD, "rates": "per calendar minute, UTC"}))
            .await?;
        let (of, by) = (Arc::clone(&log), Arc::clone(&pricing));
        let profile = self.computed(move |stop| Profile::of(&of.data, &by, stop)).await?;
        voice.answer(call, &telling::profiled(&profile)).await?;
        voice.think(&telling::about_profile(&profile, &pricing)).await?;
        voice.step_done(step).await?;
        voice
            .finish(json!({"requests": profile.requests, "bad_rows": log.report.bad_rows, "cost_usd": profile.cost}))
            .await?;
        Ok(Data { log, pricing, profile: Arc::new(profile) })
    }

    async fn optimizations(&self, data: &Data, question: &Question) -> Result<(Savings, Vec<Compared>), AgentError> {
        let voice =
            Voice::subagent(self.out, "Optimizations", "Computes what each change would save, request by request")
                .await?;
        let step = "Compute the options";
        voice.step(step).await?;
        let arguments = json!({"same_quality": question.same_quality(), "models": question.models});
        let call = voice.call("find_savings", &arguments).await?;
        let savings = {
            let (log, pricing, profile) = (Arc::clone(&data.log), Arc::clone(&data.pricing), Arc::clone(&data.profile));
            let (table, question) = (Arc::clone(&self.table), question.clone());
            self.computed(move |stop| Savings::of(&log.data, &pricing, &table, &profile, &question, stop)).await?
        };
        voice.answer(call, &json!(savings)).await?;
        voice.think(&telling::about_savings(&savings, question)).await?;
        voice.step_done(step).await?;

        let mut compared = Vec::new();
        if analysis::wants_comparison(question) {
            let step = "Compare models";
            voice.step(step).await?;
            let call = voice.call("compare_models", &json!({"models": question.models})).await?;
            compared = forecast::compare(&data.log.data, &data.pricing, &self.table, &data.profile, question);
            voice.answer(call, &json!(compared)).await?;
            voice.step_done(step).await?;
        }
        if question.asks(|goal| matches!(goal, Goal::Growth { .. } | Goal::Forecast | Goal::Budget { .. })) {
            let step = "Look ahead";
            voice.step(step).await?;
            let call = voice.call("forecast", &json!({"growth": question.growth().map(|(by, monthly, months)| json!({"by": by, "monthly": monthly, "months": months}))})).await?;
            let ahead = forecast::Forecast::of(&data.profile, &savings, question);
            voice
                .answer(
                    call,
                    &ahead.map_or_else(
                        || json!({"error": "the log has no times, or covers less than a minute"}),
                        |ahead| json!(ahead),
                    ),
                )
                .await?;
            voice.step_done(step).await?;
        }
        if question.asks(|goal| matches!(goal, Goal::Faster { .. } | Goal::Latency | Goal::SameLatency)) {
            let step = "Measure speed";
            voice.step(step).await?;
            let call =
                voice.call("measure_speed", &json!({"fit": "least squares over input and output tokens"})).await?;
            let speed = forecast::Speed::of(&data.profile, question);
            voice
                .answer(call, &speed.map_or_else(|| json!({"error": "the log has no latency"}), |speed| json!(speed)))
                .await?;
            voice.step_done(step).await?;
        }
        voice.finish(json!({"options": savings.options.len(), "together_usd": savings.together_usd})).await?;
        Ok((savings, compared))
    }

    async fn actions(
        &self,
        file: &InputFile,
        question: Question,
        data: &Data,
        savings: Savings,
        compared: Vec<Compared>,
    ) -> Result<Analysis, AgentError> {
        let voice = Voice::subagent(self.out, "Actions", "Turns options into changes, ordered by effect").await?;
        let step = "Order the changes";
        voice.step(step).await?;
        let call = voice
            .call(
                "rank_actions",
                &json!({"by": "US dollars saved over the log", "at_least_share": analysis::WORTH_DOING}),
            )
            .await?;
        let profile = Profile::clone(&data.profile);
        let analysis = Analysis::assemble(
            &file.attachment.name,
            question,
            &data.log,
            &self.table,
            &data.pricing,
            profile,
            savings,
            compared,
        );
        voice.answer(call, &json!(analysis.actions)).await?;
        voice.step_done(step).await?;
        voice
            .finish(json!({"actions": analysis.actions.iter().map(|action| &action.title).collect::<Vec<_>>()}))
            .await?;
        Ok(analysis)
    }

    async fn report(&self, analysis: &Analysis) -> Result<(), AgentError> {
        let voice = Voice::subagent(self.out, "Report", "Writes the report, with tables and charts").await?;
        let step = "Write the report";
        voice.step(step).await?;
        voice.say(&report::markdown(analysis)).await?;
        for table in charts::tables(analysis) {
            voice.show("netra.table", table).await?;
        }
        for chart in charts::charts(analysis) {
            voice.show("netra.chart", chart).await?;
        }
        voice.step_done(step).await?;
        voice.finish(json!({"sections": report::sections(analysis).len()})).await
    }

    /// Runs heavy work on a blocking thread. A stop ends the wait at once and the work at its next look.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(StopFn<'_>) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<Result<T, LoadError>, AgentError> {
        let cancel = self.input.cancel.clone();
        let task = tokio::task::spawn_blocking(move || work(&|| cancel.is_cancelled()));
        let done = tokio::select! {
            done = task => done,
            () = self.input.cancel.cancelled() => return Err(AgentError::Stopped),
        };
        match done {
            Ok(Err(LoadError::Stopped)) => Err(AgentError::Stopped),
            Ok(result) => Ok(result),
            Err(error) => Err(AgentError::failed("internal", format!("The computation broke off: {error}"))),
        }
    }

    /// As [`Self::blocking`], for work that fails only by being stopped.
    async fn computed<T: Send + 'static>(
        &self,
        work: impl FnOnce(StopFn<'_>) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, AgentError> {
        self.blocking(work).await?.map_err(|error| AgentError::failed("internal", error.to_string()))
    }
}
