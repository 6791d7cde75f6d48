//! The analyst's tools over a thread's files: the built-in source.
//!
//! Promises: every figure is what the analyst computes, with what it rests on; a log is read once while it is in use; heavy
//! work runs on blocking threads, two at a time, and ends soon after its run was stopped.

mod functions;

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use self::functions::{FUNCTIONS, Function};
use super::{Consent, ToolOutput, ToolSpec, text::bounded};
use crate::{
    analyst::{
        goals::Question,
        ingest::{self, UsageLog},
        pricing::{PriceTable, Pricing},
        profile::Profile,
    },
    protocol::FileId,
    server::{
        config::ConsentRules,
        json_schema,
        runs::{InputFile, RunInput},
    },
};

/// The longest result, in bytes.
const MAX_OUTPUT: usize = 32 << 10;
/// Computations that go on at once.
const AT_ONCE: usize = 2;
/// Requests of all logs that are kept in memory; a larger log is read anew for each call.
const KEPT_ROWS: usize = 1_000_000;
/// Logs that are kept in memory.
const KEPT_LOGS: usize = 8;
/// Names of files that an error lists.
const MAX_NAMES: usize = 20;

/// A log, priced and profiled.
struct Loaded {
    log: UsageLog,
    pricing: Pricing,
    profile: Profile,
}

/// What a function computes on.
struct Work<'a> {
    loaded: &'a Loaded,
    file: &'a str,
    table: &'a PriceTable,
    stop: ingest::StopFn<'a>,
}

/// The built-in source.
pub(super) struct DataTools {
    shared: Arc<Shared>,
    specs: Vec<ToolSpec>,
}

struct Shared {
    table: Arc<PriceTable>,
    /// The latest used last.
    kept: Mutex<VecDeque<(FileId, Arc<Loaded>)>>,
    permits: Semaphore,
}

impl DataTools {
    pub(super) fn new(source: String, consent: ConsentRules, table: Arc<PriceTable>) -> Self {
        let spec = |function: &Function| ToolSpec {
            name: function.name.into(),
            description: function.description.into(),
            parameters: (function.parameters)(),
            consent: consent.for_tool(function.name, Consent::Automatic),
            source: source.clone(),
        };
        let specs = FUNCTIONS.iter().map(spec).collect();
        let shared = Shared { table, kept: Mutex::default(), permits: Semaphore::new(AT_ONCE) };
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
        match json_schema::check(&spec.parameters, &args) {
            Ok(()) => {}
            Err(problem) => return ToolOutput::failed(problem),
        }
        match self.shared.run(function, args, input).await {
            Ok(result) => ToolOutput::done(bounded(result.to_string(), MAX_OUTPUT)),
            Err(problem) => ToolOutput::failed(bounded(problem, MAX_OUTPUT)),
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
            let named = |file: &InputFile| json!({"file": file.attachment.name, "bytes": file.attachment.bytes});
            return Ok(json!({"files": input.files.iter().map(named).collect::<Vec<_>>()}));
        };
        let file = chosen(&input.files, args["file"].as_str())?.clone();
        let _permit = self.permits.acquire().await.map_err(|_| "The server is stopping.")?;
        let (shared, cancel) = (Arc::clone(self), input.cancel.clone());
        let task = tokio::task::spawn_blocking(move || {
            let stop = || cancel.is_cancelled();
            let loaded = shared.load(&file, &stop)?;
            compute(&Work { loaded: &loaded, file: &file.attachment.name, table: &shared.table, stop: &stop }, args)
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(tool = function.name, %error, "a computation broke off");
            Err("The computation broke off by a fault of its own; another tool may still answer.".into())
        })
    }

    fn load(&self, file: &InputFile, stop: ingest::StopFn<'_>) -> Result<Arc<Loaded>, String> {
        let id = file.attachment.file_id;
        let kept = {
            let mut kept = self.kept.lock();
            let at = kept.iter().position(|(known, _)| *known == id);
            at.and_then(|at| kept.remove(at)).map(|entry| {
                let loaded = Arc::clone(&entry.1);
                kept.push_back(entry);
                loaded
            })
        };
        if let Some(loaded) = kept {
            return Ok(loaded);
        }
        let unread = |error: ingest::IngestError| format!("{}: {error}", file.attachment.name);
        let log = ingest::load(&file.path, stop).map_err(unread)?;
        let pricing = crate::analyst::analysis::price_log(&log, &Question::default(), &self.table);
        let profile = Profile::compute(&log.data, &pricing, stop).map_err(unread)?;
        let loaded = Arc::new(Loaded { log, pricing, profile });
        self.keep(id, &loaded);
        Ok(loaded)
    }

    /// Keeps a log for later calls, and lets go of the longest unused where there is no room.
    fn keep(&self, id: FileId, loaded: &Arc<Loaded>) {
        let rows = loaded.log.data.len();
        if rows > KEPT_ROWS {
            return;
        }
        let mut kept = self.kept.lock();
        kept.retain(|(known, _)| *known != id);
        let mut all: usize = kept.iter().map(|(_, loaded)| loaded.log.data.len()).sum();
        while kept.len() >= KEPT_LOGS || all + rows > KEPT_ROWS {
            let Some((_, gone)) = kept.pop_front() else { break };
            all -= gone.log.data.len();
        }
        kept.push_back((id, Arc::clone(loaded)));
    }
}

/// The file of this name; without a name the first.
fn chosen<'a>(files: &'a [InputFile], name: Option<&str>) -> Result<&'a InputFile, String> {
    let Some(first) = files.first() else {
        return Err(
            "This thread has no file. Ask for the usage log of an AI service, as CSV with a header line or as JSON \
                    Lines."
                .into(),
        );
    };
    let Some(name) = name else { return Ok(first) };
    files.iter().find(|file| file.attachment.name == name).ok_or_else(|| {
        let names: Vec<&str> = files.iter().take(MAX_NAMES).map(|file| file.attachment.name.as_str()).collect();
        format!("There is no such file. There is: {}.", names.join(", "))
    })
}
