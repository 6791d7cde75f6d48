//! The inbox: the runs that wait for an answer of a user, of all threads in which the user may write.

use std::{fmt, str::FromStr, sync::Arc};

use sqlx::{Any, Executor};

use crate::{
    protocol::{
        Node, NodeBody, RunId, RunView, ThreadId, ThreadInfo, UserId,
        http::{InboxItem, InboxPage},
    },
    server::{
        access::Access,
        channel::Channels,
        clock::now_ms,
        error::{Error, Result},
        store::row,
    },
    thread::ThreadView,
};

/// A place in the inbox, `<asked_at>.<run_id>`. The runs after it have waited for longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxPlace {
    asked_at: i64,
    run_id: RunId,
}

impl fmt::Display for InboxPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.asked_at, self.run_id)
    }
}

impl FromStr for InboxPlace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
        let (asked_at, run_id) = parts.ok_or("not a place in the inbox; use the `older` of a page")?;
        Ok(Self { asked_at, run_id })
    }
}

/// A page of at most `limit` runs that wait for a person's answer: those that have waited for longer than the one at `before`, or the
/// latest.
///
/// # Errors
/// If the store fails.
pub async fn inbox(channels: &Channels, user: UserId, before: Option<InboxPlace>, limit: u32) -> Result<InboxPage> {
    let asking = asking_runs(channels.store().reader(), user, before, limit).await?;
    let is_last = asking.len() < limit as usize;
    let place = |run: &AskingRun| InboxPlace { asked_at: run.asked_at, run_id: run.run_id };
    let older = asking.last().filter(|_| !is_last).map(|last| place(last).to_string());
    let mut items = Vec::with_capacity(asking.len());
    // One at a time, and each thread once, so that only one thread is in memory.
    let mut order: Vec<usize> = (0..asking.len()).collect();
    order.sort_by_key(|index| asking[*index].thread_id);
    for of_thread in order.chunk_by(|a, b| asking[*a].thread_id == asking[*b].thread_id) {
        let Some((info, view)) = open_thread(channels, user, asking[of_thread[0]].thread_id).await? else { continue };
        items.extend(of_thread.iter().filter_map(|index| item(&info, &view, &asking[*index])));
    }
    items.sort_by_key(|item| std::cmp::Reverse((item.asked_at, item.run.run_id)));
    Ok(InboxPage { items, older })
}

/// A thread as the user's list has it, and its view; `None` if it was deleted meanwhile, or cannot be read.
async fn open_thread(channels: &Channels, user: UserId, thread: ThreadId) -> Result<Option<(ThreadInfo, ThreadView)>> {
    let info = match super::authorise(channels, user, thread, Access::Write).await {
        Err(Error::Refused(_)) => return Ok(None),
        info => info?,
    };
    match channels.thread(thread).await {
        Ok((_, view)) => Ok(Some((info, view))),
        Err(error @ (Error::Store(_) | Error::Shared(_))) => Err(error),
        Err(error) => {
            tracing::error!(%thread, %error, "a thread cannot be read; its questions are not in the inbox");
            Ok(None)
        }
    }
}

/// A run as the inbox shows it; `None` if it asks people nothing, or was answered meanwhile.
fn item(thread: &ThreadInfo, view: &ThreadView, asking: &AskingRun) -> Option<InboxItem> {
    let run = view.run(asking.run_id).filter(|run| !run.open_interrupts().is_empty() && !run.was_cut_by_restart())?;
    Some(InboxItem { thread: thread.clone(), asked_at: asking.asked_at, run: only_questions(run) })
}

/// A run without what its questions do not need.
fn only_questions(run: &RunView) -> RunView {
    let is_asked_about = |id: &str| run.interrupts().iter().any(|one| one.tool_call_id.as_deref() == Some(id));
    let is_needed = |node: &&Arc<Node>| matches!(node.body, NodeBody::Tool { .. }) && is_asked_about(&node.id);
    RunView {
        message_id: run.message_id,
        resumes: run.resumes,
        state: run.state.clone(),
        ended_at: run.ended_at,
        nodes: run.nodes.iter().filter(is_needed).cloned().collect(),
        ..RunView::new(run.run_id, run.agent.clone(), run.started_at)
    }
}

row! {
    /// A run that waits for an answer.
    struct AskingRun {
        run_id: RunId,
        thread_id: ThreadId,
        asked_at: i64,
    }
}

/// At most `limit` runs that wait for an answer, latest first.
async fn asking_runs<'c>(
    executor: impl Executor<'c, Database = Any>,
    user: UserId,
    before: Option<InboxPlace>,
    limit: u32,
) -> Result<Vec<AskingRun>> {
    let sql = "SELECT id AS run_id, thread_id, ended_at AS asked_at FROM runs \
               WHERE (owner = $1 OR thread_id IN (SELECT thread_id FROM thread_members WHERE user_id = $1 AND role = 'write')) \
               AND asks_until IS NOT NULL AND answered_at IS NULL AND asks_until > $2 AND ended_at IS NOT NULL \
               AND (ended_at < $3 OR (ended_at = $3 AND id < $4)) ORDER BY ended_at DESC, id DESC LIMIT $5";
    // Greater than every run's time and id.
    let (at, id) = before.map_or((i64::MAX, String::new()), |place| (place.asked_at, place.run_id.to_string()));
    let query = sqlx::query_as(sql).bind(user).bind(now_ms()).bind(at).bind(id).bind(i64::from(limit));
    Ok(query.fetch_all(executor).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_parses_as_it_was_written() {
        let place = InboxPlace { asked_at: 1_767_225_600_000, run_id: RunId::new() };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in ["", "1", "1.2", "x.019b76da-a800-7000-8000-000000000001"] {
            assert!(wrong.parse::<InboxPlace>().is_err(), "{wrong}");
        }
    }
}
