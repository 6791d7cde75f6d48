//! Stores an imported conversation: a thread with its messages, runs and log, in one transaction.

use sha2::{Digest, Sha256};
use uuid::Builder;

use super::{Conversation, Turn};
use crate::{
    protocol::{
        Author, MessageId, RunId, ThreadEntry, ThreadId, ThreadInfo, UserEntry, UserId, UserMessage,
        agui::{Event, RunFinished, RunOutcome, RunStarted, TextMessageContent, TextMessageEnd, TextMessageStart},
        http::{ImportFormat, User},
        limits::MAX_TITLE_CHARS,
    },
    server::{
        channel::Channels,
        clock::now_ms,
        error::{Error, Result},
        graphemes::cut,
        threads::{
            RunOrder,
            fork::{CopiedRequest, EndedRun, insert_run},
            queries,
            title::title_for,
        },
    },
};

/// The most bytes of one piece of an answer.
const MAX_PIECE_BYTES: usize = 16 * 1024;

/// What became of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It is a thread now.
    New,
    /// It was imported before; its thread may have been deleted since.
    Before,
}

/// Stores a conversation as a thread of a person, unless they imported it before. `agent` answers in it from now on; the caller has checked it.
///
/// # Errors
/// `quota_exceeded`; if the store fails.
pub async fn import(
    channels: &Channels,
    user: &User,
    agent: &str,
    format: ImportFormat,
    conversation: &Conversation,
) -> Result<Imported> {
    let created_at = conversation.created_at.or_else(|| conversation.turns.iter().find_map(|turn| turn.at));
    let id = thread_id(user.id, format, &conversation.source_id, created_at)?;
    // The file chooses the times: none is in the future.
    let now = now_ms();
    let created_at = created_at.unwrap_or(now).clamp(0, now);
    let thread = ThreadInfo::new(id, title(conversation), agent, created_at);
    let admission = channels.quotas().read_log_bytes(channels.store(), user.id).await?;
    let mut tx = channels.begin().await?;
    if !queries::insert_thread(tx.sql(), user.id, &thread, "").await? {
        return Ok(Imported::Before);
    }
    let engine = tx.engine();
    channels.quotas().admit_thread(engine, tx.sql(), user.id).await?;
    let author = Author { id: user.id, name: user.name.clone() };
    let (mut entries, mut messages) = (Vec::new(), Vec::with_capacity(conversation.turns.len()));
    let mut active_at = created_at;
    for turn in &conversation.turns {
        let at = turn.at.unwrap_or(active_at).clamp(0, now);
        active_at = active_at.max(at);
        let seq = entries.len() as u64 + 1;
        let message = message(turn, author.clone(), agent, &messages);
        let request = CopiedRequest {
            id: message.id,
            run_id: message.run_id,
            order: RunOrder { turn: seq, seq },
            message_id: Some(message.id),
        };
        let run = EndedRun {
            id: message.run_id,
            agent: agent.to_owned(),
            started_at: at,
            ended_at: at,
            begun_at: Some(at),
            asks_until: None,
            answered_at: None,
            caller: None,
        };
        insert_run(tx.sql(), id, user.id, &request, &run).await?;
        messages.push(message.id);
        let run_id = message.run_id;
        entries.push((at, ThreadEntry::Message { message }));
        let events = events(turn, id, run_id);
        entries.extend(events.into_iter().map(|event| (at, ThreadEntry::Agent { run_id, event: Box::new(event) })));
    }
    let bytes = tx.append_copies(id, &entries).await?;
    admission.admit(bytes)?;
    tx.append_to_thread(id, &[ThreadEntry::info(&thread)]).await?;
    tx.append_to_feed_at(user.id, active_at, &UserEntry::Thread { thread }).await?;
    tx.commit().await?;
    Ok(Imported::New)
}

fn message(turn: &Turn, author: Author, agent: &str, before: &[MessageId]) -> UserMessage {
    let replaces = turn.replaces.map(|index| before[index]);
    UserMessage {
        replaces,
        after: turn.after.filter(|_| replaces.is_none()).map(|index| before[index]),
        ..UserMessage::new(author, turn.question.clone(), RunId::new(), agent)
    }
}

/// The events of a run that gave the turn's answer.
fn events(turn: &Turn, thread: ThreadId, run: RunId) -> Vec<Event> {
    let mut events: Vec<Event> = vec![RunStarted::new(thread, run).into()];
    if !turn.answer.is_empty() {
        events.push(TextMessageStart::new("answer").into());
        let mut rest = turn.answer.as_str();
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(rest.floor_char_boundary(MAX_PIECE_BYTES));
            events.push(TextMessageContent::new("answer", piece).into());
            rest = left;
        }
        events.push(TextMessageEnd::new("answer").into());
    }
    let outcome = Some(RunOutcome::Success { pending_tool_call_ids: None });
    events.push(RunFinished { outcome, ..RunFinished::new(thread, run) }.into());
    events
}

/// The conversation's title within its bounds; without one, a title made of the first question.
fn title(conversation: &Conversation) -> String {
    let words = conversation.title.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let title = words.collect::<Vec<_>>().join(" ");
    if title.is_empty() {
        let question = conversation.turns.first().map(|turn| turn.question.as_str());
        return title_for(question.unwrap_or_default(), &[]);
    }
    cut(&title, MAX_TITLE_CHARS).to_owned()
}

/// The thread of a conversation: the same each time that a person imports it.
fn thread_id(owner: UserId, format: ImportFormat, source_id: &str, created_at: Option<i64>) -> Result<ThreadId> {
    let hash = Sha256::digest(format!("{owner}/{format:?}/{source_id}"));
    let random: [u8; 10] = std::array::from_fn(|index| hash[index]);
    let at = created_at.and_then(|at| u64::try_from(at).ok()).unwrap_or_default();
    let id = Builder::from_unix_timestamp_millis(at, &random).into_uuid().to_string();
    id.parse().map_err(|error| Error::Corrupt(format!("the id of an imported thread: {error}")))
}
