//! Messages while a run is active: what their mode does, changing and moving those that wait, and reading them during a run.
//!
//! The order of waiting runs is in the store ([`RunOrder`]). Moving a run exchanges the orders of waiting runs among themselves, so all
//! of them stay behind the active run, and before what is sent later.

use super::{
    RunOrder, admission,
    checks::check_text,
    lock_for_server, lock_thread, queries,
    queued_queries::{self as open, OpenRun},
    turns::attachments,
};
use crate::{
    protocol::{
        EditQueued, ErrorCode, MessageId, MoveQueued, RunId, RunPhase, RunState, SendMessage, SendMode, ThreadEntry,
        ThreadId, UserEntry, UserMessage, http::User,
    },
    server::{
        access::Access,
        channel::{Channels, CommandTransaction, FeedEntries},
        error::{Error, Result},
    },
    thread::ThreadView,
};

/// How often reading messages is tried again if somebody changes the thread meanwhile.
const MAX_READ_ATTEMPTS: usize = 4;

/// Where a message goes, by its mode and the runs of its thread.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Whether the agent of an active run may read it.
    pub(super) steers: bool,
    /// The active run that is stopped.
    pub(super) stops: Option<RunId>,
    /// The waiting runs that it goes ahead of, in order.
    behind: Vec<OpenRun>,
}

/// What the runner knows that decides what a message's mode does.
#[derive(Debug, Default)]
pub struct RunnerState {
    /// The run of the thread that this node has started; the store may not have its beginning yet.
    pub started: Option<RunId>,
    /// The agents that read messages during their runs.
    pub reading_agents: Vec<String>,
}

impl Place {
    /// Finds the place of a message to `agent`. Locks the runs of the thread that have not ended.
    pub(super) async fn find(
        tx: &mut CommandTransaction,
        command: &SendMessage,
        agent: &str,
        runner: &RunnerState,
    ) -> Result<Self> {
        if command.mode.is_queue() {
            return Ok(Self::default());
        }
        let engine = tx.engine();
        let mut runs = open::open_runs(tx.sql(), command.thread_id, Some(engine)).await?;
        let is_active = |run: &OpenRun| run.has_begun() || Some(run.id) == runner.started;
        let active = runs.iter().position(is_active).map(|at| runs.remove(at));
        runs.retain(OpenRun::is_waiting_message);
        // An agent does not read what is for another one, and reads files only when its run begins.
        let is_for_active = active.as_ref().is_none_or(|active| active.agent == agent);
        let steers = command.mode == SendMode::Steer
            && is_for_active
            && command.attachments.is_empty()
            && command.replaces.is_none()
            && runner.reading_agents.iter().any(|reading| reading == agent);
        if steers {
            // Messages to be read stay in the order in which they were sent. Without an active run, the first of those that wait
            // will read it.
            let first = runs.iter().rposition(OpenRun::steers).map_or(0, |last| last + 1);
            runs.drain(..if active.is_some() { first } else { runs.len() });
        }
        Ok(Self { steers, stops: active.filter(|_| !steers).map(|active| active.id), behind: runs })
    }

    /// Puts a new run ahead of those that wait, and appends that. `order` is that of a run that goes last. Returns its order.
    pub(super) async fn take(
        self,
        tx: &mut CommandTransaction,
        message: &UserMessage,
        thread: ThreadId,
        order: RunOrder,
    ) -> Result<RunOrder> {
        if let Some(run) = self.stops {
            queries::mark_to_stop(tx.sql(), run).await?;
        }
        let Some(before) = self.behind.first().and_then(|run| run.message_id) else { return Ok(order) };
        let mut orders: Vec<RunOrder> = self.behind.iter().map(OpenRun::order).collect();
        orders.push(order);
        for (run, order) in self.behind.iter().zip(&orders[1..]) {
            open::set_order(tx.sql(), run.id, *order).await?;
        }
        tx.append_to_thread(thread, &[ThreadEntry::Moved { message_id: message.id, before: Some(before) }]).await?;
        Ok(orders[0])
    }
}

/// Changes a message of the user whose run has not begun.
///
/// # Errors
/// `not_found`, `forbidden` for a message of somebody else, `conflict`, `too_large`, `invalid_payload`, `quota_exceeded`.
pub async fn edit_queued(channels: &Channels, user: &User, command: &EditQueued) -> Result<()> {
    let EditQueued { thread_id, message_id, ref text, attachments: ref files } = *command;
    check_text(text, files.as_deref().unwrap_or_default())?;
    super::authorise(channels, user.id, thread_id, Access::Write).await?;
    let (_, view) = channels.thread(thread_id).await?;
    let admission = admission(channels, user.id, thread_id).await?;
    let mut tx = channels.begin().await?;
    lock_thread(&mut tx, user.id, thread_id, Access::Write).await?;
    let queries::RequestedBy { run_id, author } = queries::run_of_message(tx.sql(), thread_id, message_id).await?;
    if author != user.id {
        // Not the owner either: a changed message would still have its author's name.
        return Err(Error::refused(ErrorCode::Forbidden, "only who wrote this message can change it"));
    }
    let before = view.message(message_id).map(|known| &known.message);
    let same_files = |known: &UserMessage| {
        files.as_ref().is_none_or(|files| known.attachments.iter().map(|file| &file.file_id).eq(files))
    };
    if before.is_some_and(|known| known.content == *text && same_files(known)) {
        return Ok(());
    }
    waiting_runs(&mut tx, thread_id, &[message_id]).await?;
    admission.admit(text.len())?;
    let attachments = match files {
        Some(files) => attachments(&mut tx, thread_id, files).await?,
        None => before.map(|known| known.attachments.clone()).unwrap_or_default(),
    };
    queries::delete_from_search(tx.sql(), thread_id, message_id).await?;
    let entry = ThreadEntry::Edited { message_id, run_id, content: text.clone(), attachments };
    tx.append_to_thread(thread_id, &[entry]).await?;
    tx.commit().await
}

/// Changes when a message is answered whose run has not begun. Returns whether it moved.
///
/// # Errors
/// `not_found`, `conflict`, `quota_exceeded`.
pub async fn move_queued(channels: &Channels, user: &User, command: &MoveQueued) -> Result<bool> {
    let MoveQueued { thread_id, message_id, before } = *command;
    let admission = admission(channels, user.id, thread_id).await?;
    let mut tx = channels.begin().await?;
    lock_thread(&mut tx, user.id, thread_id, Access::Write).await?;
    let named: Vec<MessageId> = before.into_iter().chain([message_id]).collect();
    let waiting = waiting_runs(&mut tx, thread_id, &named).await?;
    let position = |id| waiting.iter().position(|run| run.message_id == Some(id));
    let (Some(from), to) = (position(message_id), before.map_or(Some(waiting.len()), position)) else {
        return Ok(false);
    };
    let to = to.unwrap_or(waiting.len());
    if to == from || to == from + 1 {
        return Ok(false);
    }
    admission.admit(0)?;
    let mut moved: Vec<usize> = (0..waiting.len()).filter(|index| *index != from).collect();
    moved.insert(if to > from { to - 1 } else { to }, from);
    for (run, slot) in moved.into_iter().map(|index| &waiting[index]).zip(&waiting) {
        open::set_order(tx.sql(), run.id, slot.order()).await?;
    }
    tx.append_to_thread(thread_id, &[ThreadEntry::Moved { message_id, before }]).await?;
    tx.commit().await?;
    Ok(true)
}

/// The runs of messages that wait in a thread, in order, locked so that none of them begins.
///
/// # Errors
/// `not_found` or `conflict` if one of the messages `named` does not exist or does not wait.
async fn waiting_runs(tx: &mut CommandTransaction, thread: ThreadId, named: &[MessageId]) -> Result<Vec<OpenRun>> {
    for message in named {
        queries::run_of_message(tx.sql(), thread, *message).await?;
    }
    let engine = tx.engine();
    let mut runs = open::open_runs(tx.sql(), thread, Some(engine)).await?;
    runs.retain(OpenRun::is_waiting_message);
    if named.iter().any(|message| runs.iter().all(|run| run.message_id != Some(*message))) {
        let message = "this message is no longer waiting: its answer has begun, or it was taken back";
        return Err(Error::refused(ErrorCode::Conflict, message));
    }
    Ok(runs)
}

/// The order of the runs of a thread that have not ended.
///
/// # Errors
/// If the store fails.
pub async fn run_orders(channels: &Channels, thread: ThreadId) -> Result<Vec<(RunId, RunOrder)>> {
    let runs = open::open_runs(channels.store().reader(), thread, None).await?;
    Ok(runs.into_iter().map(|run| (run.id, run.order())).collect())
}

/// Gives a run the steering messages of its branch, oldest first: they become part of the run, and their own runs end. Returns them with
/// a `seq`; the log up to it says that they were read. A message is either read here or answered by its own run, whatever else changes
/// the thread.
///
/// `read_before`: after a failed attempt, which may have been stored nevertheless, how many messages the run had read before it.
///
/// # Errors
/// If the store fails.
pub async fn read_messages(
    channels: &Channels,
    (thread_id, run_id): (ThreadId, RunId),
    read_before: Option<usize>,
) -> Result<(u64, Vec<UserMessage>)> {
    for _ in 0..MAX_READ_ATTEMPTS {
        if read_before.is_none() && open::unread(channels.store().reader(), thread_id).await? == 0 {
            break;
        }
        let (cursor, view) = channels.thread(thread_id).await?;
        let read = view.run(run_id).map(|run| run.read.as_slice()).unwrap_or_default();
        if let Some(stored) = read_before.and_then(|before| read.get(before..)).filter(|stored| !stored.is_empty()) {
            return Ok((cursor.seq, stored.iter().map(|read| read.item.message.clone()).collect()));
        }
        let messages = readable(&view, run_id);
        if messages.is_empty() {
            break;
        }
        let mut tx = channels.begin().await?;
        let thread = lock_for_server(&mut tx, thread_id).await?;
        if !open::is_open_on(tx.sql(), run_id, channels.node()).await? {
            break;
        }
        let mut all_wait = true;
        for message in &messages {
            all_wait &= open::end_read_run(tx.sql(), message.run_id).await?;
        }
        let read = |message: &UserMessage| ThreadEntry::Read { message_id: message.id, run_id };
        let entries: Vec<ThreadEntry> = messages.iter().map(read).collect();
        let seq = tx.append_to_thread(thread_id, &entries).await?;
        // Otherwise a command changed the thread since it was read: perhaps one of these messages.
        if !all_wait || seq != cursor.seq + entries.len() as u64 {
            continue;
        }
        let phase =
            |message: &UserMessage| UserEntry::Run { thread_id, run_id: message.run_id, phase: RunPhase::TakenBack };
        let mut feeds = FeedEntries::default();
        messages.iter().for_each(|message| feeds.add_for_all(&thread, &phase(message)));
        tx.append_to_feeds(feeds).await?;
        tx.commit().await?;
        return Ok((seq, messages));
    }
    Ok((0, Vec::new()))
}

/// The messages of a run's branch that its agent may read.
fn readable(view: &ThreadView, run_id: RunId) -> Vec<UserMessage> {
    let Some(run) = view.run(run_id) else { return Vec::new() };
    let Some(asked) = run.message_id else { return Vec::new() };
    // A message may have been moved behind a run of another agent, or have got files, since it was sent.
    let waits = |message: &UserMessage| {
        let is_readable = message.steer && message.agent == run.agent && message.attachments.is_empty();
        is_readable && view.run(message.run_id).is_some_and(|run| run.state == RunState::Waiting)
    };
    let branch = view.branch(Some(asked));
    let later = branch.iter().skip_while(|id| **id != asked).skip(1);
    let messages = later.filter_map(|id| view.message(*id)).map(|known| &known.message);
    messages.filter(|message| waits(message)).cloned().collect()
}
