//! Forks: copies a branch of a thread into a new one.
//!
//! The copy has messages, runs and files of its own, with new ids and the original times. Ids are replaced wherever an entry has one as a
//! whole value, so that what agents refer to stays consistent; texts stay as they are. Feedback is not copied, and usage is counted
//! once. The new thread is stored in one transaction; its files are put into its folder before.

mod copy;
mod rows;

use std::collections::HashMap;

pub use self::copy::CopiedFile;
use self::copy::{Copied, NewIds};
pub(super) use self::{
    copy::CopiedRequest,
    rows::{EndedRun, insert_run},
};
use super::{append_info, created_before, queries};
use crate::{
    protocol::{
        ErrorCode, ForkOrigin, ForkThread, Item, Resolution, RunId, ThreadInfo, ThreadView, http::User, limits,
    },
    server::{
        access::{self, Access},
        channel::{Channel, Channels, PAGE},
        clock::now_ms,
        error::{Error, Result},
        graphemes::cut,
        offload,
        quotas::Upload,
    },
};

/// The most bytes of log that a fork copies.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The most files that a fork copies.
const MAX_FILES: usize = 100;
/// What the title of a fork ends with.
const SUFFIX: &str = " (fork)";

/// What is known of a fork before it is stored.
#[derive(Debug)]
pub enum PreparedFork {
    /// It was stored before: the command was repeated.
    Stored(ThreadInfo),
    /// It is to be stored, after its files were copied.
    New(Box<Fork>),
}

/// A fork that is not stored yet.
#[derive(Debug)]
pub struct Fork {
    thread: ThreadInfo,
    request: String,
    copied: Copied,
    files: Vec<CopiedFile>,
    /// The rows of the original runs, by the ids of their copies.
    runs: HashMap<RunId, EndedRun>,
    /// The bytes that are kept beside the log.
    other_bytes: usize,
}

impl Fork {
    /// The files to copy.
    #[must_use]
    pub fn files(&self) -> &[CopiedFile] {
        &self.files
    }
}

/// Reads what a fork copies.
///
/// # Errors
/// `not_found`; `conflict` if the id was used before, or a run of the branch has not ended or waits for an answer; `too_large`.
pub async fn prepare_fork(channels: &Channels, user: &User, command: &ForkThread) -> Result<PreparedFork> {
    let request = serde_json::to_string(command)?;
    if rows::exists(channels.store().reader(), command.thread_id).await? {
        let mut tx = channels.begin().await?;
        return created_before(&mut tx, user.id, command.thread_id, &request).await.map(PreparedFork::Stored);
    }
    let original = super::authorise(channels, user.id, command.from, Access::Read).await?;
    let (cursor, view) = channels.thread(command.from).await?;
    check(&view, command)?;
    let ids = NewIds::new(&view, command);
    if ids.files.len() > MAX_FILES {
        return Err(Error::refused(
            ErrorCode::TooLarge,
            format!("this part of the thread has more than {MAX_FILES} files; fork at an earlier message"),
        ));
    }
    let log = read_log(channels, command, cursor.seq).await?;
    let rows = rows::ended_runs(channels.store().reader(), command.from).await?;
    let runs: HashMap<RunId, EndedRun> = rows.into_iter().filter_map(|(id, row)| Some((ids.run(id)?, row))).collect();
    let other_bytes = runs.values().filter_map(|run| run.caller.as_ref()).map(String::len).sum();
    let (copied, files) = offload::run(move || Copied::new(&ids, log).map(|copied| (copied, ids.files))).await??;
    let origin = ForkOrigin { thread_id: command.from, message_id: command.message_id, title: original.title.clone() };
    let mut thread = ThreadInfo::new(command.thread_id, title(&original.title), original.agent, now_ms());
    thread.forked_from = Some(origin);
    Ok(PreparedFork::New(Box::new(Fork { thread, request, copied, files, runs, other_bytes })))
}

/// Stores a fork, whose files are in its folder.
///
/// # Errors
/// `conflict` if the id was used meanwhile; `quota_exceeded`.
pub async fn store_fork(channels: &Channels, user: &User, fork: Fork) -> Result<ThreadInfo> {
    let Fork { thread, request, copied, files, runs, other_bytes } = fork;
    let admission = channels.quotas().read_log_bytes(channels.store(), user.id).await?;
    let mut tx = channels.begin().await?;
    if !queries::insert_thread(tx.sql(), user.id, &thread, &request).await? {
        return created_before(&mut tx, user.id, thread.id, &request).await;
    }
    let engine = tx.engine();
    if let Some(origin) = &thread.forked_from {
        // Perhaps the user was removed from its members since it was read.
        access::read_thread(tx.sql(), engine, origin.thread_id, "").await?.access(user.id).require(Access::Read)?;
    }
    channels.quotas().admit_thread(engine, tx.sql(), user.id).await?;
    for CopiedFile { id, name, bytes, .. } in &files {
        let upload = Upload { file: *id, thread: Some(thread.id), owner: user.id };
        channels.quotas().add_file(tx.sql(), channels.store(), upload, name, *bytes).await?;
    }
    for request in copied.requests() {
        if let Some(run) = runs.get(&request.run_id) {
            rows::insert_run(tx.sql(), thread.id, user.id, &request, run).await?;
        }
    }
    let bytes = tx.append_copies(thread.id, &copied.entries).await?;
    admission.admit(bytes + other_bytes)?;
    tx.count_bytes(thread.id, other_bytes);
    append_info(&mut tx, user.id, &thread).await?;
    tx.commit().await?;
    Ok(thread)
}

/// Checks that a branch can be copied.
fn check(view: &ThreadView, command: &ForkThread) -> Result<()> {
    if view.message(command.message_id).is_none() {
        return Err(Error::not_found("message in this thread"));
    }
    for item in view.path_to(Some(command.message_id)) {
        let Item::Run(run) = item else { continue };
        let problem = if !run.state.is_over() {
            "the answer is not finished; wait for it, or fork at an earlier message"
        } else if !run.open_interrupts().is_empty() {
            "the agent is waiting for your answer; answer it, or fork at an earlier message"
        } else if run.message_id == Some(command.message_id) && run.answered == Some(Resolution::Abandoned) {
            // Without the later message, the question would be open again.
            "the agent's question was not answered; fork at a later message"
        } else {
            continue;
        };
        return Err(Error::refused(ErrorCode::Conflict, problem));
    }
    Ok(())
}

/// The entries of the original thread up to `end`, each with its time.
async fn read_log(channels: &Channels, command: &ForkThread, end: u64) -> Result<Vec<(i64, String)>> {
    let (mut log, mut bytes, mut after) = (Vec::new(), 0, 0);
    loop {
        let page = channels.page(Channel::Thread(command.from), after).await?;
        let is_last = page.len() < PAGE as usize;
        for delivery in page.iter().filter(|delivery| delivery.seq <= end) {
            bytes += delivery.entry().len();
            log.push((delivery.at, delivery.entry().to_owned()));
        }
        if bytes > MAX_BYTES {
            let message = format!("the thread has more than {} MiB of messages and answers", MAX_BYTES / 1024 / 1024);
            return Err(Error::refused(ErrorCode::TooLarge, message));
        }
        match page.last() {
            Some(last) if !is_last && last.seq < end => after = last.seq,
            _ => return Ok(log),
        }
    }
}

/// The title of a fork.
fn title(original: &str) -> String {
    if original.ends_with(SUFFIX) {
        return original.to_owned();
    }
    format!("{}{SUFFIX}", cut(original, limits::MAX_TITLE_CHARS - SUFFIX.len()).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_of_a_fork_says_so_once_and_is_not_too_long() {
        assert_eq!(title("Tokens"), "Tokens (fork)");
        assert_eq!(title("Tokens (fork)"), "Tokens (fork)");
        assert_eq!(title(&"x".repeat(limits::MAX_TITLE_CHARS)).chars().count(), limits::MAX_TITLE_CHARS);
    }
}
