//! The built-in source: the analyst's tools, which analyse a thread's files.
//!
//! Guarantees: the analyst computes every figure, and the result states its basis; a log is read once while it is in the
//! cache; heavy work runs on blocking threads, two at a time, and ends soon after its run is stopped.

mod functions;

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::functions::{FUNCTIONS, Function};
use super::{Consent, ToolOutput, ToolSpec};
use crate::{
    analyst::{
        goals::Question,
        ingest::{ColumnChoice, IngestError, Input, Reading, StopFn, UsageLog},
        pricing::{PriceTable, Pricing},
        profile::Profile,
    },
    protocol::FileId,
    server::{
        agents::builtin,
        config::ConsentRules,
        json_schema,
        runs::{InputFile, RunInput},
    },
    text::truncate_bytes,
};

/// The longest result, in bytes.
const MAX_OUTPUT_BYTES: usize = 32 << 10;
/// The most computations at once.
const MAX_CONCURRENT: usize = 2;
/// The most rows of all cached logs together; a larger log is read again for each call.
const MAX_CACHED_ROWS: usize = 1_000_000;
/// The most cached logs.
const MAX_CACHED_LOGS: usize = 8;
/// The most file names that an error lists.
const MAX_LISTED_FILES: usize = 20;

/// A log with its pricing and profile.
struct LoadedLog {
    log: UsageLog,
    pricing: Pricing,
    profile: Profile,
}

/// The input of a computation.
struct ComputeInput<'a> {
    loaded: &'a LoadedLog,
    /// The file's name.
    file: &'a str,
    prices: &'a PriceTable,
    stop: StopFn<'a>,
}

/// The built-in source.
pub(super) struct DataTools {
    shared: Arc<Shared>,
    specs: Vec<ToolSpec>,
}

/// A file, and the columns that people named in it.
type LogKey = (FileId, ColumnChoice);

struct Shared {
    prices: Arc<PriceTable>,
    /// From the least to the most recently used. A file is read again when a person names its columns.
    cache: Mutex<VecDeque<(LogKey, Arc<LoadedLog>)>>,
    permits: Semaphore,
}

impl DataTools {
    pub(super) fn new(source: String, consent: ConsentRules, prices: Arc<PriceTable>) -> Self {
        let spec = |function: &Function| ToolSpec {
            name: function.name.into(),
            description: function.description.into(),
            parameters: (function.parameters)(),
            consent: consent.for_tool(function.name, Consent::Automatic),
            source: source.clone(),
        };
        let specs = FUNCTIONS.iter().map(spec).collect();
        let shared = Shared { prices, cache: Mutex::default(), permits: Semaphore::new(MAX_CONCURRENT) };
        Self { shared: Arc::new(shared), specs }
    }

    pub(super) fn list(&self) -> Vec<ToolSpec> {
        self.specs.clone()
    }

    pub(super) async fn call(&self, name: &str, args: Value, input: &RunInput) -> ToolOutput {
        let found = self.specs.iter().zip(&FUNCTIONS).find(|(spec, _)| spec.name == name);
        let Some((spec, function)) = found else { return ToolOutput::failed(format!("There is no tool `{name}`.")) };
        if spec.consent == Consent::Off {
            return ToolOutput::failed(format!("The tool `{name}` is switched off here."));
        }
        if let Err(problem) = json_schema::check(&spec.parameters, &args) {
            return ToolOutput::failed(problem);
        }
        match self.shared.run(function, args, input).await {
            Ok(result) => ToolOutput::done(truncate_bytes(result.to_string(), MAX_OUTPUT_BYTES)),
            Err(problem) => ToolOutput::failed(truncate_bytes(problem, MAX_OUTPUT_BYTES)),
        }
    }
}

impl Shared {
    async fn run(
        self: &Arc<Self>,
        function: &'static Function,
        args: Value,
        input: &RunInput,
    ) -> Result<Value, String> {
        let Some(compute) = function.compute else {
            let entry = |file: &InputFile| json!({"file": file.attachment.name, "bytes": file.attachment.bytes});
            return Ok(json!({"files": input.files.iter().map(entry).collect::<Vec<_>>()}));
        };
        let file = find_file(&input.files, args["file"].as_str())?.clone();
        // What a person told the analyst in this thread holds here, too.
        let named = builtin::named_before(&input.thread, builtin::ID, file.attachment.file_id).choice;
        let _permit = self.permits.acquire().await.map_err(|_| "The server is stopping.")?;
        let (shared, cancel) = (Arc::clone(self), input.cancel.clone());
        let task = tokio::task::spawn_blocking(move || {
            let stop = || cancel.is_cancelled();
            let loaded = shared.load(&file, named, &stop)?;
            let input =
                ComputeInput { loaded: &loaded, file: &file.attachment.name, prices: &shared.prices, stop: &stop };
            compute(&input, args)
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(tool = function.name, %error, "a tool's computation panicked");
            Err("The computation failed because of an internal error. Try another tool.".into())
        })
    }

    /// Returns a file's log from the cache, or reads it.
    fn load(&self, file: &InputFile, named: ColumnChoice, stop: StopFn<'_>) -> Result<Arc<LoadedLog>, String> {
        let key = (file.attachment.file_id, named);
        if let Some(loaded) = self.cached(&key) {
            return Ok(loaded);
        }
        let log = read(file, &key.1, stop)?;
        let pricing = crate::analyst::analysis::price_log(&log, &Question::default(), &self.prices);
        let profile = Profile::compute(&log.data, &pricing, stop).map_err(|error| describe(file, &error))?;
        let loaded = Arc::new(LoadedLog { log, pricing, profile });
        self.cache_log(key, &loaded);
        Ok(loaded)
    }

    /// A cached log, which becomes the most recently used.
    fn cached(&self, key: &LogKey) -> Option<Arc<LoadedLog>> {
        let mut cache = self.cache.lock();
        let index = cache.iter().position(|(cached, _)| cached == key)?;
        let entry = cache.remove(index)?;
        let loaded = Arc::clone(&entry.1);
        cache.push_back(entry);
        Some(loaded)
    }

    /// Adds a log to the cache and evicts the least recently used ones to make room.
    fn cache_log(&self, key: LogKey, loaded: &Arc<LoadedLog>) {
        let rows = loaded.log.data.len();
        if rows > MAX_CACHED_ROWS {
            return;
        }
        let mut cache = self.cache.lock();
        cache.retain(|(cached, _)| *cached != key);
        let mut cached_rows: usize = cache.iter().map(|(_, loaded)| loaded.log.data.len()).sum();
        while cache.len() >= MAX_CACHED_LOGS || cached_rows + rows > MAX_CACHED_ROWS {
            let Some((_, evicted)) = cache.pop_front() else { break };
            cached_rows -= evicted.log.data.len();
        }
        cache.push_back((key, Arc::clone(loaded)));
    }
}

/// Reads a file with the columns that people named.
fn read(file: &InputFile, named: &ColumnChoice, stop: StopFn<'_>) -> Result<UsageLog, String> {
    let read = || {
        let mut reading = Reading::new(false);
        reading.add(&file.attachment.name, &Input::from_path(&file.path)?, named, stop)?;
        reading.finish()
    };
    read().map_err(|error| describe(file, &error))
}

/// Why a file cannot be analysed, for the model.
fn describe(file: &InputFile, error: &IngestError) -> String {
    let name = &file.attachment.name;
    match error {
        IngestError::NeedsColumns(question) => format!(
            "{name}: {} The columns are {}. Say so to the person. To say which is which, they can ask the analyst about the \
             file in this thread and answer its question; these tools then read the file that way. Or they rename the \
             columns and attach the file again.",
            question.reasons.join(" "),
            question.columns.join(", ")
        ),
        error => format!("{name}: {error}"),
    }
}

/// The file with this name; without a name, the first file.
fn find_file<'a>(files: &'a [InputFile], name: Option<&str>) -> Result<&'a InputFile, String> {
    let Some(first) = files.first() else {
        let problem = "This thread has no file. Ask for the usage log of an AI service, as CSV with a header line or as JSON \
                       Lines.";
        return Err(problem.into());
    };
    let Some(name) = name else { return Ok(first) };
    files.iter().find(|file| file.attachment.name == name).ok_or_else(|| {
        let names: Vec<&str> = files.iter().take(MAX_LISTED_FILES).map(|file| file.attachment.name.as_str()).collect();
        format!("There is no such file. The files are: {}.", names.join(", "))
    })
}
