//! Prepares a run: its agent, if the user may still use it, and the agent's input.

use std::sync::Arc;

use serde_json::{Map, Value};
use sqlx::{Any, AnyConnection, FromRow, Row, Transaction};
use tokio_util::sync::CancellationToken;

use super::{
    Agent, CallerInput, InputFile, NewMessages, RunInput, condense,
    run::{Run, failed},
};
use crate::{
    protocol::{
        Attachment, RunId, ThreadEntry,
        agui::{Event, StateSnapshot, ToolCallResult, ToolContent},
        extensions::CALLER_STATE,
        http::User,
    },
    server::{
        clock::now_ms,
        error::{Error, Result},
        threads::NewRun,
        usage,
    },
    thread::{RunEnd, RunState},
};

/// The run's agent and its input. Permissions and budget are checked again, because a run may have been queued for long.
pub(super) async fn prepare(run: &Run, cancel: CancellationToken) -> Result<(Arc<dyn Agent>, RunInput), RunEnd> {
    let unavailable = |error: Error| {
        tracing::error!(run = %run.new.run_id, thread = %run.new.thread_id, %error, "the input of a run cannot be read");
        failed("thread_unavailable", "the thread cannot be read at the moment; try again")
    };
    let refused = |code: &'static str| {
        move |error: Error| match error {
            Error::Refused(body) => failed(code, body.message),
            error => unavailable(error),
        }
    };
    let read = async {
        let mut tx = run.channels.store().begin_read().await?;
        let stored = StoredRun::read(&mut tx, run.new.run_id).await?;
        Ok::<_, Error>((tx, stored))
    };
    let (mut tx, stored) = read.await.map_err(unavailable)?;
    let agent = agent(run, stored.user.as_ref()).map_err(refused("unknown_agent"))?;
    let (user, open) = (run.new.requested_by, run.agents.allowance().of_open_runs(run.new.requested_by));
    let admitted = usage::admit(&mut *tx, run.options.budget, user, open).await;
    admitted.map_err(refused("budget_used"))?;
    let input = input(run, tx, stored, cancel).await.map_err(unavailable)?;
    Ok((agent, input))
}

/// The agent, if the user who requested the run may use it now.
fn agent(run: &Run, user: Option<&User>) -> Result<Arc<dyn Agent>> {
    let user = user.ok_or_else(|| Error::not_found("person"))?;
    let id = run.agents.resolve(Some(&run.new.agent), user)?;
    let agent = run.agents.get(&id).and_then(|known| known.agent());
    agent.ok_or_else(|| Error::not_found("agent"))
}

/// What the store has about a run besides its thread's log; empty if the run was deleted.
#[derive(Debug, Default)]
struct StoredRun {
    /// Who requested it.
    user: Option<User>,
    /// What a calling program sent along.
    caller: CallerInput,
    /// The thread's latest file.
    latest: Option<Attachment>,
}

impl StoredRun {
    async fn read(connection: &mut AnyConnection, run: RunId) -> Result<Self> {
        let sql = "SELECT u.id, u.email, u.name, u.role, r.caller, f.id AS file_id, f.name AS file_name, f.bytes AS file_bytes \
                   FROM runs r JOIN users u ON u.id = COALESCE(r.requested_by, r.owner) LEFT JOIN files f ON f.id = \
                   (SELECT id FROM files WHERE thread_id = r.thread_id ORDER BY created_at DESC, id DESC LIMIT 1) \
                   WHERE r.id = $1";
        let Some(row) = sqlx::query(sql).bind(run).fetch_optional(connection).await? else {
            return Ok(Self::default());
        };
        let caller = row.try_get::<Option<String>, _>("caller")?.map(|text| serde_json::from_str(&text)).transpose()?;
        let latest = match row.try_get("file_id")? {
            Some(file_id) => {
                let bytes = row.try_get::<i64, _>("file_bytes")?.cast_unsigned();
                Some(Attachment { file_id, name: row.try_get("file_name")?, bytes })
            }
            None => None,
        };
        Ok(Self { user: Some(User::from_row(&row)?), caller: caller.unwrap_or_default(), latest })
    }
}

/// The input of a run, with the thread as of this transaction.
async fn input(
    run: &Run,
    tx: Transaction<'static, Any>,
    stored: StoredRun,
    cancel: CancellationToken,
) -> Result<RunInput> {
    let NewRun { run_id, thread_id, ref agent, .. } = run.new;
    let (_, thread) = run.channels.thread_in(tx, thread_id).await?;
    let message = thread.run(run_id).and_then(|run| run.message_id).and_then(|id| thread.message(id));
    let message = message.ok_or_else(|| Error::Corrupt(format!("the run {run_id} has no message")))?.message.clone();
    // The message's files, or the thread's latest file.
    let attachments =
        if message.attachments.is_empty() { stored.latest.into_iter().collect() } else { message.attachments };
    let folder = run.options.files.join(thread_id.to_string());
    let file = |attachment: Attachment| InputFile { path: folder.join(attachment.file_id.to_string()), attachment };
    let files = attachments.into_iter().map(file).collect();
    let (parent_run_id, resume) = thread.resume(run_id);
    Ok(RunInput {
        run_id,
        thread_id,
        parent_run_id,
        agent: agent.clone(),
        author: message.author,
        text: message.content,
        files,
        folder,
        resume,
        caller: stored.caller,
        thread,
        // Set by the run.
        messages: NewMessages::default(),
        cancel,
        stopped_by_person: CancellationToken::new(),
    })
}

/// The first events of a run: results of client-side tool calls, which are removed from the answers, and the caller's state if it
/// differs from the thread's. They are also applied to the input's thread.
pub(super) fn initial_events(input: &mut RunInput) -> Vec<Event> {
    let before = input.parent_run_id.and_then(|run| input.thread.run(run));
    let is_interrupted = before.is_some_and(|run| matches!(run.state, RunState::Interrupted { .. }));
    let answers = if is_interrupted { Vec::new() } else { std::mem::take(&mut input.resume) };
    let answers = answers.into_iter().map(|answer| (answer.interrupt_id, answer.payload, answer.metadata));
    let results = std::mem::take(&mut input.caller.results);
    let results = results.into_iter().map(|result| (result.interrupt_id, result.payload, result.metadata));
    let mut events: Vec<Event> = answers.chain(results).map(result).collect();
    if let Some(state) = &input.caller.state {
        let before = input.thread.state_before(input.run_id);
        match condense::state(before.as_deref(), StateSnapshot::new(state.clone())) {
            Ok(changes) => events.extend(changes.into_iter().map(mark_caller_state)),
            // Normally refused when it was sent.
            Err(problem) => tracing::warn!(run = %input.run_id, %problem, "a caller's state cannot be stored"),
        }
    }
    for event in &events {
        input.thread.apply(now_ms(), ThreadEntry::Agent { run_id: input.run_id, event: Box::new(event.clone()) });
    }
    events
}

fn mark_caller_state(mut event: Event) -> Event {
    event.base_mut().metadata.get_or_insert_default().insert(CALLER_STATE.into(), true.into());
    event
}

/// The result of a client-side tool call.
fn result((call, payload, mut metadata): (String, Option<Value>, Option<Map<String, Value>>)) -> Event {
    let is_part = |part: &Value| part["type"].is_string();
    let content = match payload {
        Some(Value::String(text)) => ToolContent::Text(text),
        Some(Value::Array(parts)) if !parts.is_empty() && parts.iter().all(is_part) => ToolContent::Parts(parts),
        Some(other) => ToolContent::Text(other.to_string()),
        None => ToolContent::Text("There is no result: the call was not executed.".to_owned()),
    };
    let id = metadata
        .as_mut()
        .and_then(|metadata| metadata.remove("messageId"))
        .and_then(|id| id.as_str().map(str::to_owned));
    let mut event = ToolCallResult::new(id.unwrap_or_else(|| format!("{call}-result")), call, content);
    event.base.metadata = metadata.filter(|metadata| !metadata.is_empty());
    event.into()
}
