//! What a run begins with: its agent, where its person may still use it, and the question with all that belongs to it.

use std::{path::Path, sync::Arc};

use serde_json::Value;
use sqlx::Row;
use tokio_util::sync::CancellationToken;

use super::{
    Agent, Caller, InputFile, RunInput,
    run::{Run, failed},
};
use crate::{
    protocol::{
        Attachment, RunId, ThreadEntry, ThreadId,
        agui::{Event, Resume, ToolCallResult, ToolContent},
    },
    server::{
        auth::by_id,
        channel::Channels,
        error::{Error, Result},
        store::now_ms,
        threads::NewRun,
        usage,
    },
    thread::Ending,
};

/// The run's agent and what it is asked. A run can wait for long: what was allowed when the message was sent may not be any
/// more.
pub(super) async fn prepare(run: &Run, cancel: CancellationToken) -> Result<(Arc<dyn Agent>, RunInput), Ending> {
    let unavailable = |error: Error| {
        tracing::error!(run = %run.new.run_id, thread = %run.new.thread_id, %error, "what a run begins with cannot be read");
        failed("thread_unavailable", "the thread cannot be read at the moment; ask again")
    };
    let refused = |code: &'static str| {
        move |error: Error| match error {
            Error::Refused(body) => failed(code, body.message),
            error => unavailable(error),
        }
    };
    let agent = agent(run).await.map_err(refused("unknown_agent"))?;
    let within = usage::admit(&run.channels, run.options.budget, run.new.owner).await;
    within.map_err(refused("budget_used"))?;
    let input = input(&run.channels, &run.options.files, &run.new, cancel).await.map_err(unavailable)?;
    Ok((agent, input))
}

/// The agent, where the run's person may use it now.
async fn agent(run: &Run) -> Result<Arc<dyn Agent>> {
    let owner = by_id(run.channels.store(), run.new.owner).await?.ok_or_else(|| Error::not_found("person"))?;
    let id = run.agents.resolve(Some(&run.new.agent), &owner)?;
    let agent = run.agents.get(&id).and_then(|known| known.agent());
    agent.ok_or_else(|| Error::not_found("agent"))
}

/// What a run begins with, read from its thread.
async fn input(channels: &Channels, folder: &Path, new: &NewRun, cancel: CancellationToken) -> Result<RunInput> {
    let NewRun { run_id, thread_id, agent, .. } = new;
    let (_, thread) = channels.thread(*thread_id).await?;
    let message = thread.run(*run_id).and_then(|run| run.message_id).and_then(|id| thread.said(id));
    let message =
        message.ok_or_else(|| Error::Corrupt(format!("no message asks for the run {run_id}")))?.message.clone();
    let folder = folder.join(thread_id.to_string());
    let files = files(channels, &folder, *thread_id, &message.attachments).await?;
    let (parent_run_id, resume) = thread.resume(*run_id);
    Ok(RunInput {
        run_id: *run_id,
        thread_id: *thread_id,
        parent_run_id,
        agent: agent.clone(),
        author: message.author,
        text: message.content,
        files,
        folder,
        resume,
        caller: caller(channels, *run_id).await?,
        thread,
        cancel,
    })
}

/// Takes the results of the calls that the run before left to whoever asked out of the answers; they stand in the thread now.
pub(super) fn results(input: &mut RunInput) -> Vec<Event> {
    let before = input.parent_run_id.and_then(|run| input.thread.run(run));
    let pending = before.map(|run| run.pending.clone()).unwrap_or_default();
    let (results, resume) =
        std::mem::take(&mut input.resume).into_iter().partition(|answer| pending.contains(&answer.interrupt_id));
    input.resume = resume;
    let result = |answer: Resume| {
        let content = match answer.payload {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => "There is no result: the call was not carried out.".to_owned(),
        };
        let (id, call) = (format!("{}-result", answer.interrupt_id), answer.interrupt_id);
        Event::from(ToolCallResult::new(id, call, ToolContent::Text(content)))
    };
    let events: Vec<Event> = results.into_iter().map(result).collect();
    for event in &events {
        input.thread.apply(now_ms(), ThreadEntry::Agent { run_id: input.run_id, event: Box::new(event.clone()) });
    }
    events
}

/// What whoever asked for a run gave along.
async fn caller(channels: &Channels, run: RunId) -> Result<Caller> {
    let query = sqlx::query_scalar::<_, Option<String>>("SELECT caller FROM runs WHERE id = $1").bind(run.to_string());
    let caller = query.fetch_optional(channels.store().reader()).await?.flatten();
    Ok(caller.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default())
}

/// The files that a run reads: its message's, else the thread's latest.
async fn files(channels: &Channels, folder: &Path, thread: ThreadId, named: &[Attachment]) -> Result<Vec<InputFile>> {
    let mut attachments = named.to_vec();
    if attachments.is_empty() {
        let sql = "SELECT id, name, bytes FROM files WHERE thread_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1";
        let row = sqlx::query(sql).bind(thread.to_string()).fetch_optional(channels.store().reader()).await?;
        if let Some(row) = row {
            let (id, bytes): (String, i64) = (row.try_get(0)?, row.try_get(2)?);
            attachments.push(Attachment { file_id: id.parse()?, name: row.try_get(1)?, bytes: bytes.cast_unsigned() });
        }
    }
    let file = |attachment: Attachment| InputFile { path: folder.join(attachment.file_id.to_string()), attachment };
    Ok(attachments.into_iter().map(file).collect())
}
