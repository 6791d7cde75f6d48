//! One run of the analyst: the supervisor's and the sub-agents' steps, in order.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    NO_FILE, UNREADABLE_FILE,
    analyst_model::{self, AnalystModel},
    columns::{self, COLUMNS, FileQuestion},
    events::EventWriter,
    files::{self, LogFile, LogResult, ReadLog},
    optional_steps,
};
use crate::{
    analyst::{
        analysis::{self, Analysis},
        charts,
        forecast::{self, ModelCost},
        goals::{Goal, Question},
        ingest::{ColumnChoice, IngestError, StopFn, UsageLog},
        narration,
        optimize::Savings,
        pricing::{PriceTable, Pricing},
        profile::Profile,
        report,
        stats::PERCENTILE_METHOD,
    },
    protocol::FileId,
    server::{
        agents::model::{ModelError, Spent, Tokens},
        runs::{AgentError, Done, Emitter, RunInput},
    },
};

/// One run of the analyst.
pub(super) struct AnalystRun<'a> {
    pub(super) table: Arc<PriceTable>,
    pub(super) model: Option<AnalystModel>,
    /// Tokens that the model used, and their cost.
    pub(super) spent: Mutex<Spent>,
    pub(super) input: &'a RunInput,
    /// The message's text without the lines that name columns.
    pub(super) text: String,
    /// What those lines say.
    pub(super) named: ColumnChoice,
    pub(super) out: &'a Emitter,
}

/// Results of the Data sub-agent. Shared, because blocking threads read them.
struct ProfiledLog {
    log: Arc<UsageLog>,
    pricing: Arc<Pricing>,
    profile: Arc<Profile>,
    /// The columns that people named, by file.
    columns: Vec<(FileId, ColumnChoice)>,
}

/// How the Data sub-agent ends.
enum DataResult {
    Profiled(ProfiledLog),
    Questions(Vec<FileQuestion>),
}

impl AnalystRun<'_> {
    /// Runs the supervisor and its sub-agents.
    ///
    /// # Errors
    /// When a file cannot be analysed, the run is stopped, or a computation panics.
    pub(super) async fn execute(&self) -> Result<Done, AgentError> {
        let supervisor = EventWriter::supervisor(self.out);
        let skipped = columns::skipped(self.input);
        if !skipped.is_empty() {
            supervisor.emit_text(&columns::without_answer(&skipped)).await?;
            return Ok(Done::default());
        }
        let question = self.triage().await?;
        let files = files::of_run(self.input, &self.named);
        if files.is_empty() {
            supervisor.emit_text(NO_FILE).await?;
            return Ok(Done::default());
        }
        supervisor.emit_reasoning(&files::plan(&question, &files)).await?;
        let name = files::joint_name(&files);
        let data = match self.load_data(files, &question).await? {
            DataResult::Profiled(data) => data,
            DataResult::Questions(questions) => return columns::ask(&supervisor, &questions).await,
        };
        let (savings, compared) = self.find_optimizations(&data, &question).await?;
        let analysis = self.rank_actions(&name, question, &data, savings, compared).await?;
        self.write_report(&analysis).await?;
        supervisor.emit_text(&self.with_introduction(&narration::summary(&analysis)).await?).await?;
        let mut result = json!({
            "requests": analysis.profile.requests,
            "tokens": analysis.profile.tokens(),
            "cost_usd": analysis.profile.cost,
            "savings_usd": analysis.savings.together_usd,
            "actions": analysis.actions.iter().map(|action| &action.title).collect::<Vec<_>>(),
        });
        if !data.columns.is_empty() {
            let known = data.columns.iter().map(|(file, choice)| (file.to_string(), json!(choice)));
            result[COLUMNS] = Value::Object(known.collect());
        }
        Ok(Done::with_result(result))
    }

    /// Awaits a request to the model and counts its tokens. `None` when it failed: the run continues without the model.
    async fn await_model<T>(
        &self,
        model: &AnalystModel,
        request: impl Future<Output = Result<(T, Tokens), ModelError>>,
    ) -> Result<Option<T>, AgentError> {
        match self.input.cancel.run_until_cancelled(request).await.ok_or(AgentError::Stopped)? {
            Ok((answer, tokens)) => {
                self.spent.lock().add(tokens, model.price.as_ref());
                Ok(Some(answer))
            }
            Err(error) => {
                tracing::warn!(run = %self.input.run_id, code = error.code(), "the analyst's model failed; the run continues without it");
                Ok(None)
            }
        }
    }

    /// The summary, after the model's introduction if there is a usable one.
    async fn with_introduction(&self, summary: &str) -> Result<String, AgentError> {
        let Some(model) = &self.model else { return Ok(summary.to_owned()) };
        let introduction = self.await_model(model, model.introduction(&self.text, summary)).await?.flatten();
        Ok(introduction.map_or_else(
            || summary.to_owned(),
            |introduction| analyst_model::prepend_introduction(&introduction, summary, model),
        ))
    }

    /// Asks the model for the goals of a question in which the rules found none.
    async fn ask_model_for_goals(&self, events: &EventWriter<'_>, question: &mut Question) -> Result<(), AgentError> {
        let Some(model) = self.model.as_ref().filter(|_| !self.text.trim().is_empty()) else { return Ok(()) };
        let call =
            events.start_call("ask_model", &json!({"model": model.name(), "for": "the goals of the question"})).await?;
        let goals = self.await_model(model, model.goals(&self.text)).await?;
        let result = goals.as_ref().map_or_else(|| json!({"error": "the model gave no answer"}), |goals| json!(goals));
        events.finish_call(call, &result).await?;
        question.add_goals(goals.unwrap_or_default(), &self.text);
        Ok(())
    }

    /// The Triage sub-agent: reads the goals of the question.
    async fn triage(&self) -> Result<Question, AgentError> {
        let events = EventWriter::start_subagent(self.out, "Triage", "Reads which goals the question states").await?;
        let step = "Read the question";
        events.start_step(step).await?;
        let call = events.start_call("read_question", &json!({"text": narration::truncate(&self.text)})).await?;
        let mut question = Question::parse(&self.text, &self.table);
        events.finish_call(call, &json!(question)).await?;
        if question.goals.is_empty() {
            self.ask_model_for_goals(&events, &mut question).await?;
        }
        let mut thoughts: Vec<String> =
            question.goals.iter().map(|(goal, words)| format!("“{words}” asks to {}.", goal.label())).collect();
        if thoughts.is_empty() {
            thoughts.push("I find no goal in these words.".into());
        }
        thoughts.extend(question.conflicts.iter().cloned());
        events.emit_reasoning(&thoughts).await?;
        events.finish_step(step).await?;
        let labels: Vec<String> = question.goals.iter().map(|(goal, _)| goal.label()).collect();
        events.finish_subagent(json!({"goals": labels, "models": question.models})).await?;
        Ok(question)
    }

    /// The Data sub-agent: reads, prices and profiles the log, or finds out what has to be asked.
    async fn load_data(&self, files: Vec<LogFile>, question: &Question) -> Result<DataResult, AgentError> {
        let events =
            EventWriter::start_subagent(self.out, "Data", "Reads, prices and profiles the attached log").await?;
        let step = "Read the log";
        events.start_step(step).await?;
        let call = events.start_call("load_log", &files::arguments(&files)).await?;
        let ReadLog { log, columns } = match self.compute(move |stop| files::read(files, stop)).await? {
            LogResult::Read(read) => *read,
            LogResult::Questions(questions) => {
                let asked: Vec<String> = questions.iter().map(FileQuestion::message).collect();
                events.finish_call(call, &json!({"questions": asked})).await?;
                events.finish_step(step).await?;
                events.finish_subagent(json!({"questions": questions.len()})).await?;
                return Ok(DataResult::Questions(questions));
            }
            LogResult::Unreadable(message) => {
                events.finish_call(call, &json!({"error": message})).await?;
                events.finish_step(step).await?;
                events.fail_subagent(UNREADABLE_FILE, &message).await?;
                return Err(AgentError::failed(UNREADABLE_FILE, message));
            }
        };
        events.finish_call(call, &json!(log.report)).await?;
        events.emit_reasoning(&narration::describe_ingest(&log)).await?;
        events.finish_step(step).await?;
        let data = self.profile_log(&events, Arc::new(log), columns, question).await?;
        let (profile, bad_rows) = (&data.profile, data.log.report.bad_rows);
        events
            .finish_subagent(json!({"requests": profile.requests, "bad_rows": bad_rows, "cost_usd": profile.cost}))
            .await?;
        Ok(DataResult::Profiled(data))
    }

    /// Prices and profiles the log.
    async fn profile_log(
        &self,
        events: &EventWriter<'_>,
        log: Arc<UsageLog>,
        columns: Vec<(FileId, ColumnChoice)>,
        question: &Question,
    ) -> Result<ProfiledLog, AgentError> {
        let step = "Price and profile";
        events.start_step(step).await?;
        let fallback_model = question.models.first().cloned();
        let call = events
            .start_call("price_workload", &json!({"prices": self.table.origin(), "model_if_none": fallback_model}))
            .await?;
        let pricing = {
            let (log, table, question) = (Arc::clone(&log), Arc::clone(&self.table), question.clone());
            Arc::new(self.compute(move |_| Ok(analysis::price_log(&log, &question, &table))).await?)
        };
        events.finish_call(call, &narration::pricing_json(&pricing)).await?;
        let call = events
            .start_call(
                "profile_workload",
                &json!({"percentiles": PERCENTILE_METHOD, "rates": "per calendar minute, UTC"}),
            )
            .await?;
        let profile = {
            let (log, pricing) = (Arc::clone(&log), Arc::clone(&pricing));
            let options = question.profile_options();
            self.compute(move |stop| Profile::compute_with(&log.data, &pricing, &options, stop)).await?
        };
        events.finish_call(call, &narration::profile_json(&profile)).await?;
        events.emit_reasoning(&narration::describe_profile(&profile, &pricing)).await?;
        events.finish_step(step).await?;
        Ok(ProfiledLog { log, pricing, profile: Arc::new(profile), columns })
    }

    /// The Optimizations sub-agent: computes the savings and what else the question asks for.
    async fn find_optimizations(
        &self,
        data: &ProfiledLog,
        question: &Question,
    ) -> Result<(Savings, Vec<ModelCost>), AgentError> {
        let events = EventWriter::start_subagent(
            self.out,
            "Optimizations",
            "Computes what each change would save, request by request",
        )
        .await?;
        let step = "Compute the options";
        events.start_step(step).await?;
        let arguments = json!({"same_quality": question.same_quality(), "models": question.models});
        let call = events.start_call("find_savings", &arguments).await?;
        let savings = {
            let (log, pricing, profile) = (Arc::clone(&data.log), Arc::clone(&data.pricing), Arc::clone(&data.profile));
            let (table, question) = (Arc::clone(&self.table), question.clone());
            self.compute(move |stop| Savings::compute(&log.data, &pricing, &table, &profile, &question, stop)).await?
        };
        events.finish_call(call, &json!(savings)).await?;
        events.emit_reasoning(&narration::describe_savings(&savings, question)).await?;
        events.finish_step(step).await?;

        let mut compared = Vec::new();
        if analysis::needs_comparison(question) {
            let step = "Compare models";
            events.start_step(step).await?;
            let call = events.start_call("compare_models", &json!({"models": question.models})).await?;
            let (log, pricing, profile) = (Arc::clone(&data.log), Arc::clone(&data.pricing), Arc::clone(&data.profile));
            let (table, question) = (Arc::clone(&self.table), question.clone());
            let compare = move |_: StopFn<'_>| Ok(forecast::compare(&log.data, &pricing, &table, &profile, &question));
            compared = self.compute(compare).await?;
            events.finish_call(call, &json!(compared)).await?;
            events.finish_step(step).await?;
        }
        if question.has_goal(|goal| matches!(goal, Goal::Growth { .. } | Goal::Forecast | Goal::Budget { .. })) {
            optional_steps::emit_forecast(&events, &data.profile, &savings, question).await?;
        }
        if question.has_goal(|goal| matches!(goal, Goal::Faster { .. } | Goal::Latency | Goal::SameLatency)) {
            optional_steps::emit_speed(&events, &data.profile, question).await?;
        }
        events.finish_subagent(json!({"options": savings.options.len(), "together_usd": savings.together_usd})).await?;
        Ok((savings, compared))
    }

    /// The Actions sub-agent: orders the changes and completes the analysis.
    async fn rank_actions(
        &self,
        name: &str,
        question: Question,
        data: &ProfiledLog,
        savings: Savings,
        compared: Vec<ModelCost>,
    ) -> Result<Analysis, AgentError> {
        let events =
            EventWriter::start_subagent(self.out, "Actions", "Turns options into changes, ordered by effect").await?;
        let step = "Order the changes";
        events.start_step(step).await?;
        let call = events
            .start_call(
                "rank_actions",
                &json!({"by": "US dollars saved over the log", "at_least_share": analysis::MIN_ACTION_SHARE}),
            )
            .await?;
        let analysis = {
            let (log, pricing, table) = (Arc::clone(&data.log), Arc::clone(&data.pricing), Arc::clone(&self.table));
            let (profile, name) = (Profile::clone(&data.profile), name.to_owned());
            // The answer to a question for figures reads every row.
            self.compute(move |_| {
                Ok(Analysis::assemble(&name, question, &log, &table, &pricing, profile, savings, compared))
            })
            .await?
        };
        events.finish_call(call, &json!(analysis.actions)).await?;
        events.finish_step(step).await?;
        events
            .finish_subagent(
                json!({"actions": analysis.actions.iter().map(|action| &action.title).collect::<Vec<_>>()}),
            )
            .await?;
        Ok(analysis)
    }

    /// The Report sub-agent: emits the report, with its charts and tables before the method.
    async fn write_report(&self, analysis: &Analysis) -> Result<(), AgentError> {
        let events =
            EventWriter::start_subagent(self.out, "Report", "Writes the report, with tables and charts").await?;
        let step = "Write the report";
        events.start_step(step).await?;
        events.emit_text(&report::opening(analysis)).await?;
        for chart in charts::charts(analysis) {
            events.emit_custom("netra.chart", chart).await?;
        }
        for table in charts::tables(analysis) {
            events.emit_custom("netra.table", table).await?;
        }
        events.emit_text(&report::closing(analysis)).await?;
        events.finish_step(step).await?;
        events.finish_subagent(json!({"sections": report::sections(analysis).len()})).await
    }

    /// Runs heavy work on a blocking thread. A stopped run no longer waits for it; the work ends when it next calls its
    /// [`StopFn`].
    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(StopFn<'_>) -> Result<T, IngestError> + Send + 'static,
    ) -> Result<Result<T, IngestError>, AgentError> {
        let cancel = self.input.cancel.clone();
        let task = tokio::task::spawn_blocking(move || work(&|| cancel.is_cancelled()));
        let done = tokio::select! {
            done = task => done,
            () = self.input.cancel.cancelled() => return Err(AgentError::Stopped),
        };
        match done {
            Ok(Err(IngestError::Stopped)) => Err(AgentError::Stopped),
            Ok(result) => Ok(result),
            Err(error) => Err(AgentError::failed("internal", format!("The computation failed: {error}"))),
        }
    }

    /// As [`Self::run_blocking`], for work whose only error is [`IngestError::Stopped`].
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(StopFn<'_>) -> Result<T, IngestError> + Send + 'static,
    ) -> Result<T, AgentError> {
        self.run_blocking(work).await?.map_err(|error| AgentError::failed("internal", error.to_string()))
    }
}
