//! The built-in workload analyst as an agent: a supervisor and five sub-agents, whose work appears as AG-UI events.
//!
//! Guarantees: each event describes work done at that moment; a tool call's result is what the code computed; there are no
//! artificial pauses and no invented progress. What reads all requests of a log runs on blocking threads; the longest of it checks whether the
//! run was stopped.

mod analyst_model;
mod columns;
mod events;
mod files;
mod optional_steps;
mod run;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;

pub use self::analyst_model::AnalystModel;
pub(super) use self::columns::named_before;
use self::run::AnalystRun;
use super::attached::{LOGS, PACKED_LOGS};
use crate::{
    analyst::{
        EXAMPLES,
        ingest::ColumnChoice,
        pricing::{PriceError, PriceTable},
    },
    protocol::http::AgentInfo,
    server::runs::{Agent, AgentError, Done, Emitter, Outcome, RunInput},
};

/// The id of the analyst in threads.
pub const ID: &str = "analyst";

/// The error code of a run whose file could not be analysed.
pub const UNREADABLE_FILE: &str = "unreadable_file";

/// The error code of a run whose message names columns in a way that cannot be understood.
pub const INVALID_COLUMNS: &str = "invalid_columns";

const NO_FILE: &str = "I analyse the usage log of an AI service, and this thread has none yet. Attach one and ask again:\n\n\
    - **CSV** with a header line, **JSON** or **JSON Lines**, an **Excel** workbook (`.xlsx`), any of them packed with gzip or \
    ZIP; up to 100 MB a file. The files of one message are read together.\n\
    - Needed: input and output tokens (`input_tokens`/`prompt_tokens`, `output_tokens`/`completion_tokens`).\n\
    - Useful: time, model, cached tokens, latency, cost. Columns are found by name; where a name leaves it open, I ask.\n\
    - Known shapes: OpenAI and Anthropic usage objects, LiteLLM spend logs, OpenTelemetry `gen_ai.*`, the Azure LLM traces.\n\n\
    A row may be as short as this:\n\n\
    ```csv\ntimestamp,model,input_tokens,output_tokens\n2026-01-31T12:00:00Z,gpt-4.1,1200,150\n```\n\n\
    Only counts are read: leave prompts and answers out of the log.\n";

/// The built-in workload analyst.
#[derive(Debug, Clone)]
pub struct Analyst {
    table: Arc<PriceTable>,
    model: Option<AnalystModel>,
}

impl Analyst {
    /// Creates the analyst with a price file (in the format of LiteLLM's cost map), or with the shipped prices.
    ///
    /// # Errors
    /// When the price file cannot be used.
    pub fn new(prices: Option<&Path>) -> Result<Self, PriceError> {
        let table = prices.map_or_else(|| Ok(PriceTable::shipped()), PriceTable::load)?;
        Ok(Self { table: Arc::new(table), model: None })
    }

    /// Adds a model that reads the questions in which the rules find no goal, and introduces summaries.
    #[must_use]
    pub fn with_model(self, model: AnalystModel) -> Self {
        Self { model: Some(model), ..self }
    }

    /// The prices used in computations.
    #[must_use]
    pub fn prices(&self) -> &Arc<PriceTable> {
        &self.table
    }
}

#[async_trait]
impl Agent for Analyst {
    fn info(&self) -> AgentInfo {
        let how = self.model.as_ref().map_or_else(
            || "Works by fixed rules, without a model.".into(),
            |model| format!("Computes by fixed rules; {} helps with the words.", model.name()),
        );
        let about = format!(
            "Reads the usage log of an AI service and says where tokens and money go and what to change. {how}"
        );
        AgentInfo {
            examples: EXAMPLES.map(String::from).to_vec(),
            files: LOGS.iter().chain(&PACKED_LOGS).map(ToString::to_string).collect(),
            ..AgentInfo::new(ID, "Workload analyst", about)
        }
    }

    async fn run(&self, input: RunInput, out: Emitter) -> Result<Done, AgentError> {
        let Self { table, model } = self.clone();
        let message = ColumnChoice::split_message(&input.text);
        let (named, text) =
            message.map_err(|problem| AgentError::failed(INVALID_COLUMNS, invalid_columns(&problem)))?;
        let run = AnalystRun { table, model, spent: Mutex::default(), input: &input, text, named, out: &out };
        let result = run.execute().await;
        let spent = run.spent.into_inner();
        let metadata = Some(spent.metadata()).filter(|metadata| !metadata.is_empty());
        match result {
            Ok(done) => Ok(Done { usage: spent.usage(), metadata, ..done }),
            Err(AgentError::Failed { code, message, .. }) => {
                Err(AgentError::Failed { code, message, usage: spent.usage(), metadata })
            }
            Err(error @ AgentError::Reported(_)) => Err(error),
            // Returned as done, because `Stopped` carries no usage.
            Err(AgentError::Stopped) => {
                Ok(Done { outcome: Outcome::Cancelled, usage: spent.usage(), metadata, ..Done::default() })
            }
        }
    }
}

fn invalid_columns(problem: &str) -> String {
    format!("The line that names columns cannot be understood: {problem}. Write it as `columns: input=…, output=…`.")
}
