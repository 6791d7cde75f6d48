//! What people say in a thread, and to runs that wait for them: each brings a run, which begins when its turn comes.

use serde_json::{Map, Value};
use sqlx::{AnyConnection, Row};

use super::{
    UNTITLED, change,
    checks::{check_answers, check_message, check_results, title_of},
    info,
};
use crate::{
    protocol::{
        Answer, Attachment, Author, ErrorCode, MessageAccepted, MessageId, RunAnswer, RunId, RunPhase, SendMessage,
        TakeBack, ThreadEntry, ThreadId, ThreadInfo, UserEntry, UserId, UserMessage, UserRole, http::User,
    },
    server::{
        channel::{Append, Channel, Channels},
        clock::now_ms,
        error::{Error, Result},
    },
};

/// Where a run stands among those of its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The turn's place in the thread's log. A run that goes on from another has the other's turn.
    pub turn: u64,
    /// The place of what asked for the run.
    pub seq: u64,
}

/// A run that was asked for: committed, not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Whose thread it is.
    pub owner: UserId,
    /// The agent that runs.
    pub agent: String,
    /// The run that it goes on from.
    pub resumes: Option<RunId>,
    /// Where it stands.
    pub place: Place,
    /// An earlier run of the thread goes on, or waits for a person: this one waits for that.
    pub blocked: bool,
}

/// What a command that asks for a run brought.
#[derive(Debug)]
pub struct Asked {
    /// The answer to the command.
    pub accepted: MessageAccepted,
    /// The run, which the caller starts; nothing where the command was repeated.
    pub run: Option<NewRun>,
}

/// Says something in a thread. `caller`: what the run is given along, as JSON. `admit` is told the thread's agent and answers
/// the one that answers, or why no other run may be asked for now; it is asked for a new message only. Whatever runs of the
/// thread wait for a person to answer is given up.
///
/// # Errors
/// `not_found`, `conflict`, `too_large`, `invalid_payload`, `quota_exceeded`; what `admit` says.
pub async fn send(
    channels: &Channels,
    user: &User,
    command: &SendMessage,
    caller: Option<String>,
    admit: impl FnOnce(&str) -> Result<String>,
) -> Result<Asked> {
    check_message(command)?;
    let request = serde_json::to_string(command)?;
    let mut tx = channels.begin().await?;
    let thread = info(&mut tx, user.id, command.thread_id).await?;
    if let Some(accepted) = known(&mut tx, user.id, command.message_id, &request).await? {
        return Ok(Asked { accepted, run: None });
    }
    for named in command.after.iter().chain(&command.replaces) {
        said(&mut tx, command.thread_id, *named).await?;
    }
    let given = request.len() + caller.as_ref().map_or(0, String::len);
    super::admit(channels, &mut tx, user.id, given).await?;
    let agent = admit(&thread.agent)?;
    let message = UserMessage {
        id: command.message_id,
        role: UserRole::User,
        author: Author { id: user.id, name: user.name.clone() },
        content: command.text.clone(),
        run_id: RunId::new(),
        agent: agent.clone(),
        attachments: attachments(&mut tx, command).await?,
        after: command.after,
        replaces: command.replaces,
        external_id: command.external_id.clone(),
    };
    if thread.title == UNTITLED {
        change(&mut tx, user.id, ThreadInfo { title: title_of(&command.text), ..thread }).await?;
    }
    let (thread_id, run_id) = (command.thread_id, message.run_id);
    let seq = tx.thread(thread_id, &[ThreadEntry::Message { message }]).await?;
    let given_up = give_up(&mut tx, thread_id).await?;
    let phase = |run_id, phase| UserEntry::Run { thread_id, run_id, phase };
    let mut feed: Vec<_> = given_up.into_iter().map(|run| phase(run, RunPhase::Answered)).collect();
    feed.push(phase(run_id, RunPhase::Running));
    tx.user(user.id, &feed).await?;
    let place = Place { turn: seq, seq };
    let new = RunRow {
        run_id,
        thread_id,
        owner: user.id,
        agent: &agent,
        message_id: Some(command.message_id.to_string()),
        place,
    };
    tx.count_bytes(thread_id, given).await?;
    let blocked = insert(&mut tx, &new, channels.node(), caller).await?;
    note(&mut tx, user.id, command.message_id, thread_id, request, run_id, seq).await?;
    tx.commit().await?;
    let run = NewRun { run_id, thread_id, owner: user.id, agent, resumes: None, place, blocked };
    Ok(Asked { accepted: MessageAccepted { run_id, seq }, run: Some(run) })
}

/// Answers what an interrupted run waits for, or gives the results of the calls that a run left pending (by their ids, the
/// result as payload): once, all of it, in time. The agent goes on in a new run, which is given along `caller` (JSON), or
/// where that is nothing what the run before was, but for the state, which is the thread's by now.
///
/// # Errors
/// `not_found`; `conflict` where it was answered, given up or has expired; `invalid_payload` where an interrupt is not
/// answered or not there; what `admit` says.
pub async fn answer(
    channels: &Channels,
    user: &User,
    command: &Answer,
    caller: Option<String>,
    admit: impl FnOnce(&str) -> Result<()>,
) -> Result<Asked> {
    let (thread_id, waiting) = (command.thread_id, command.run_id);
    let request = serde_json::to_string(command)?;
    super::authorise(channels, user.id, thread_id).await?;
    // What an ended run waits for does not change, so it can be read before anything is locked.
    let (_, view) = channels.thread(thread_id).await?;
    let mut tx = channels.begin().await?;
    info(&mut tx, user.id, thread_id).await?;
    if let Some(accepted) = known(&mut tx, user.id, command.answer_id, &request).await? {
        return Ok(Asked { accepted, run: None });
    }
    let row = sqlx::query(
        "SELECT agent, message_id, turn, asks_until, answered_at, caller FROM runs WHERE id = $1 AND thread_id = $2",
    )
    .bind(waiting.to_string())
    .bind(thread_id.to_string())
    .fetch_optional(tx.sql())
    .await?
    .ok_or_else(|| Error::not_found("run in this thread"))?;
    let conflict = |message: &str| Err(Error::refused(ErrorCode::Conflict, message));
    let (asks, awaits) =
        view.run(waiting).map(|run| (run.open_interrupts(), run.pending_tool_calls())).unwrap_or_default();
    let named = view.run(waiting).is_some_and(|run| !run.pending.is_empty());
    let asked = row.try_get::<Option<i64>, _>(3)?.is_some();
    if row.try_get::<Option<i64>, _>(4)?.is_some() {
        return conflict("this was answered already, or something else was said since");
    }
    if !asked && awaits.is_empty() {
        return conflict("this run waits for no answer");
    }
    if asked {
        check_answers(command, asks)?
    } else {
        check_results(command, &awaits, named)?
    }
    let given = request.len() + caller.as_ref().map_or(0, String::len);
    super::admit(channels, &mut tx, user.id, given).await?;
    let agent: String = row.try_get(0)?;
    admit(&agent)?;
    let answer = RunAnswer {
        id: command.answer_id,
        run_id: waiting,
        resumed_by: RunId::new(),
        agent: agent.clone(),
        author: Author { id: user.id, name: user.name.clone() },
        answers: command.answers.clone(),
    };
    let run_id = answer.resumed_by;
    let seq = tx.thread(thread_id, &[ThreadEntry::Answer { answer }]).await?;
    let phase = |run_id, phase| UserEntry::Run { thread_id, run_id, phase };
    tx.user(user.id, &[phase(waiting, RunPhase::Answered), phase(run_id, RunPhase::Running)]).await?;
    sqlx::query("UPDATE runs SET answered_at = $2 WHERE id = $1")
        .bind(waiting.to_string())
        .bind(now_ms())
        .execute(tx.sql())
        .await?;
    let place = Place { turn: row.try_get::<i64, _>(2)?.cast_unsigned(), seq };
    let new = RunRow { run_id, thread_id, owner: user.id, agent: &agent, message_id: row.try_get(1)?, place };
    let caller = match caller {
        Some(caller) => Some(caller),
        None => row.try_get::<Option<String>, _>(5)?.map(|before| still(&before)).transpose()?,
    };
    tx.count_bytes(thread_id, request.len() + caller.as_ref().map_or(0, String::len)).await?;
    let blocked = insert(&mut tx, &new, channels.node(), caller).await?;
    note(&mut tx, user.id, command.answer_id, thread_id, request, run_id, seq).await?;
    tx.commit().await?;
    let run = NewRun { run_id, thread_id, owner: user.id, agent, resumes: Some(waiting), place, blocked };
    Ok(Asked { accepted: MessageAccepted { run_id, seq }, run: Some(run) })
}

/// What of a run's caller holds for the run that goes on from it: it brought its state and its results once.
fn still(caller: &str) -> Result<String> {
    let mut caller: Map<String, Value> = serde_json::from_str(caller)?;
    for once in ["state", "results"] {
        caller.remove(once);
    }
    Ok(serde_json::to_string(&caller)?)
}

/// Takes a message back whose run has not begun. Answers the run, which the caller stops; nothing where it was taken back
/// before.
///
/// # Errors
/// `not_found`; `conflict` where the run has begun.
pub async fn take_back(channels: &Channels, user: &User, command: &TakeBack) -> Result<Option<RunId>> {
    let mut tx = channels.begin().await?;
    info(&mut tx, user.id, command.thread_id).await?;
    let (run_id, seq) = said(&mut tx, command.thread_id, command.message_id).await?;
    // From here on nothing of the run can be appended; what was before, is there.
    let ended = sqlx::query("UPDATE runs SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL")
        .bind(run_id.to_string())
        .bind(now_ms())
        .execute(tx.sql())
        .await?
        .rows_affected();
    let taken = format!("%\"kind\":\"taken_back\",\"message_id\":\"{}\"%", command.message_id);
    if tx.has_entry_like(command.thread_id, seq, &taken).await? {
        return Ok(None);
    }
    let begun = format!("%\"kind\":\"agent\",\"run_id\":\"{run_id}\"%");
    if ended == 0 || tx.has_entry_like(command.thread_id, seq, &begun).await? {
        return Err(Error::refused(ErrorCode::Conflict, "the answer has begun; stop it instead"));
    }
    tx.thread(command.thread_id, &[ThreadEntry::TakenBack { message_id: command.message_id }]).await?;
    let entry = UserEntry::Run { thread_id: command.thread_id, run_id, phase: RunPhase::TakenBack };
    tx.user(user.id, &[entry]).await?;
    tx.commit().await?;
    Ok(Some(run_id))
}

/// Whether a run still has to wait for another of its thread.
///
/// # Errors
/// Where the store fails.
pub async fn is_blocked(channels: &Channels, thread: ThreadId, place: Place) -> Result<bool> {
    let mut reader = channels.store().reader().acquire().await?;
    others(&mut reader, thread, place).await
}

/// Whether runs of a thread before a place go on, or wait for a person. A run that goes on from another may come when later
/// ones have begun already: it waits for those, too.
async fn others(connection: &mut AnyConnection, thread: ThreadId, place: Place) -> Result<bool> {
    const EARLIER: &str = "SELECT COUNT(*) FROM runs WHERE thread_id = $1 AND (turn < $2 OR (turn = $2 AND seq < $3)) \
                           AND (ended_at IS NULL OR (asks_until > $4 AND answered_at IS NULL))";
    const BEGUN: &str = "SELECT COUNT(*) FROM runs r WHERE thread_id = $1 AND turn > $2 AND ended_at IS NULL \
                         AND EXISTS (SELECT 1 FROM entries e WHERE e.channel = $3 AND e.seq > r.seq \
                         AND e.entry LIKE '%\"kind\":\"agent\",\"run_id\":\"' || r.id || '\"%')";
    let (turn, seq) = (place.turn.cast_signed(), place.seq.cast_signed());
    let query = sqlx::query_scalar::<_, i64>(EARLIER).bind(thread.to_string());
    if query.bind(turn).bind(seq).bind(now_ms()).fetch_one(&mut *connection).await? > 0 {
        return Ok(true);
    }
    if turn == seq {
        return Ok(false);
    }
    let query = sqlx::query_scalar::<_, i64>(BEGUN).bind(thread.to_string()).bind(turn);
    Ok(query.bind(Channel::Thread(thread).to_string()).fetch_one(connection).await? > 0)
}

/// Whether a run goes on, or waits its turn.
///
/// # Errors
/// Where the store fails.
pub async fn goes_on(channels: &Channels, run: RunId) -> Result<bool> {
    let query = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM runs WHERE id = $1 AND ended_at IS NULL");
    Ok(query.bind(run.to_string()).fetch_one(channels.store().reader()).await? > 0)
}

/// Notes that a person wants a run stopped, so that the node that lives it stops it, whatever becomes of this one. Answers
/// whether the run goes on.
///
/// # Errors
/// `not_found`.
pub async fn ask_to_stop(channels: &Channels, user: UserId, run: RunId) -> Result<bool> {
    let row = sqlx::query("SELECT ended_at FROM runs WHERE id = $1 AND owner = $2")
        .bind(run.to_string())
        .bind(user.to_string())
        .fetch_optional(channels.store().reader())
        .await?
        .ok_or_else(|| Error::not_found("run"))?;
    if row.try_get::<Option<i64>, _>(0)?.is_some() {
        return Ok(false);
    }
    let mut tx = channels.begin().await?;
    let sql = "UPDATE runs SET stop_at = $2 WHERE id = $1 AND ended_at IS NULL AND stop_at IS NULL";
    sqlx::query(sql).bind(run.to_string()).bind(now_ms()).execute(tx.sql()).await?;
    tx.commit().await?;
    Ok(true)
}

/// A row of `runs` to be.
struct RunRow<'a> {
    run_id: RunId,
    thread_id: ThreadId,
    owner: UserId,
    agent: &'a str,
    message_id: Option<String>,
    place: Place,
}

/// Adds a run; answers whether earlier ones are in its way.
async fn insert(tx: &mut Append, run: &RunRow<'_>, node: &str, caller: Option<String>) -> Result<bool> {
    sqlx::query(
        "INSERT INTO runs (id, thread_id, owner, agent, started_at, node, message_id, turn, seq, caller) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(run.run_id.to_string())
    .bind(run.thread_id.to_string())
    .bind(run.owner.to_string())
    .bind(run.agent)
    .bind(now_ms())
    .bind(node.to_owned())
    .bind(run.message_id.clone())
    .bind(run.place.turn.cast_signed())
    .bind(run.place.seq.cast_signed())
    .bind(caller)
    .execute(tx.sql())
    .await?;
    others(tx.sql(), run.thread_id, run.place).await
}

/// What waits for a person in a thread does not any more; answers whose.
async fn give_up(tx: &mut Append, thread: ThreadId) -> Result<Vec<RunId>> {
    let sql = "UPDATE runs SET answered_at = $2 WHERE thread_id = $1 AND asks_until IS NOT NULL AND answered_at IS NULL \
               RETURNING id";
    let query = sqlx::query_scalar::<_, String>(sql).bind(thread.to_string()).bind(now_ms());
    query.fetch_all(tx.sql()).await?.iter().map(|id| Ok(id.parse()?)).collect()
}

/// Notes what was answered to a command, for when it comes again.
async fn note(
    tx: &mut Append,
    author: UserId,
    id: MessageId,
    thread: ThreadId,
    request: String,
    run: RunId,
    seq: u64,
) -> Result<()> {
    let sql = "INSERT INTO messages (id, author, thread_id, request, run_id, seq) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (author, id) DO NOTHING";
    let noted = sqlx::query(sql)
        .bind(id.to_string())
        .bind(author.to_string())
        .bind(thread.to_string())
        .bind(request)
        .bind(run.to_string())
        .bind(seq.cast_signed())
        .execute(tx.sql())
        .await?;
    if noted.rows_affected() == 0 { Err(used_before()) } else { Ok(()) }
}

/// The answer that the same command got before. Its thread is locked, so that of two that say the same at the same time
/// the second waits here; that an id is used twice in different threads, its key forbids.
async fn known(tx: &mut Append, user: UserId, id: MessageId, request: &str) -> Result<Option<MessageAccepted>> {
    let row = sqlx::query("SELECT request, run_id, seq FROM messages WHERE author = $1 AND id = $2")
        .bind(user.to_string())
        .bind(id.to_string())
        .fetch_optional(tx.sql())
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<String, _>(0)? != request {
        return Err(used_before());
    }
    let (run_id, seq): (String, i64) = (row.try_get(1)?, row.try_get(2)?);
    Ok(Some(MessageAccepted { run_id: run_id.parse()?, seq: seq.cast_unsigned() }))
}

/// Whether a person's message or answer of this id was taken before.
///
/// # Errors
/// Where the store fails.
pub async fn is_known(channels: &Channels, user: UserId, id: MessageId) -> Result<bool> {
    let query = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM messages WHERE author = $1 AND id = $2");
    let query = query.bind(user.to_string()).bind(id.to_string());
    Ok(query.fetch_one(channels.store().reader()).await? > 0)
}

fn used_before() -> Error {
    Error::refused(ErrorCode::Conflict, "this id was used before for something else; mint another")
}

/// The run that answers a message of a thread, and the message's place.
async fn said(tx: &mut Append, thread: ThreadId, id: MessageId) -> Result<(RunId, u64)> {
    // Answers are noted beside messages, and are none.
    let sql = "SELECT m.run_id, m.seq FROM messages m JOIN runs r ON r.id = m.run_id \
               WHERE m.id = $1 AND m.thread_id = $2 AND r.message_id = m.id";
    let row = sqlx::query(sql)
        .bind(id.to_string())
        .bind(thread.to_string())
        .fetch_optional(tx.sql())
        .await?
        .ok_or_else(|| Error::not_found("message in this thread"))?;
    let (run_id, seq): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok((run_id.parse()?, seq.cast_unsigned()))
}

async fn attachments(tx: &mut Append, command: &SendMessage) -> Result<Vec<Attachment>> {
    let mut found = Vec::with_capacity(command.attachments.len());
    for file_id in &command.attachments {
        let row = sqlx::query("SELECT name, bytes FROM files WHERE id = $1 AND thread_id = $2")
            .bind(file_id.to_string())
            .bind(command.thread_id.to_string())
            .fetch_optional(tx.sql())
            .await?
            .ok_or_else(|| Error::not_found("file in this thread"))?;
        let bytes: i64 = row.try_get(1)?;
        found.push(Attachment { file_id: *file_id, name: row.try_get(0)?, bytes: bytes.cast_unsigned() });
    }
    Ok(found)
}
