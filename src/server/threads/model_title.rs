//! Titles that the model of a thread's agent makes, in place of the one that was made of the first message.
//!
//! The store says for which threads a model may be asked, and that it was asked: this happens once for a thread, whatever node does it.
//! Its title is stored only if the thread still has the one that was made of its message.

use serde_json::{Map, Value};

use super::{lock_for_server, queries, title::title_from_answer};
use crate::{
    protocol::{ThreadEntry, ThreadId, UserId, agui::Usage},
    server::{
        channel::{Channels, FeedEntries},
        error::{Error, Result},
        usage,
    },
};

/// Where a title comes from that was made of the thread's first message.
pub(super) const FROM_RULE: &str = "rule";
/// As [`FROM_RULE`], but the agent's model was asked for a better one.
const REQUESTED: &str = "requested";
/// Where a title comes from that a model made.
const FROM_MODEL: &str = "model";

/// Records that the model of an agent is asked for a thread's title. Returns whether it is to be asked: the thread has a title made of
/// its first message, this agent, and is not temporary; and no model was asked before.
///
/// # Errors
/// If the store fails.
pub async fn claim_title_request(channels: &Channels, thread: ThreadId, agent: &str) -> Result<bool> {
    const MAY_BE_ASKED: &str =
        "id = $1 AND agent = $2 AND title_source = $3 AND delete_at IS NULL AND deleted_at IS NULL";
    // Most runs are not the first of their thread, and need no transaction.
    let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM threads WHERE {MAY_BE_ASKED}"));
    let query = sqlx::query_scalar::<_, i64>(sql).bind(thread).bind(agent.to_owned()).bind(FROM_RULE);
    if query.fetch_one(channels.store().reader()).await? == 0 {
        return Ok(false);
    }
    let mut tx = channels.begin().await?;
    let sql = sqlx::AssertSqlSafe(format!("UPDATE threads SET title_source = $4 WHERE {MAY_BE_ASKED}"));
    let query = sqlx::query(sql).bind(thread).bind(agent.to_owned()).bind(FROM_RULE).bind(REQUESTED);
    let claimed = query.execute(tx.sql()).await?.rows_affected() > 0;
    tx.commit().await?;
    Ok(claimed)
}

/// Records the usage of a request for a thread's title, and sets the title to the model's `answer`, if that can be one and no person
/// has set a title meanwhile. Returns whether the title was set.
///
/// # Errors
/// If the store fails.
pub async fn store_model_title(
    channels: &Channels,
    (owner, thread, agent): (UserId, ThreadId, &str),
    answer: Option<&str>,
    used: (&[Usage], Option<&Map<String, Value>>),
) -> Result<bool> {
    let title = answer.and_then(title_from_answer);
    let mut tx = channels.begin().await?;
    let before = match lock_for_server(&mut tx, thread).await {
        // The thread was deleted meanwhile.
        Err(Error::Refused(_)) => None,
        locked => Some(locked?),
    };
    let mut is_set = false;
    if let (Some(before), Some(title)) = (before, title)
        && queries::title_source(tx.sql(), thread).await?.as_deref() == Some(REQUESTED)
    {
        let mut changed = before.clone();
        changed.info.title = title;
        queries::update_thread(tx.sql(), &changed.info).await?;
        tx.append_to_thread(thread, &[ThreadEntry::info(&changed.info)]).await?;
        let mut feeds = FeedEntries::default();
        feeds.add_change(&before, &changed);
        tx.append_to_feeds(feeds).await?;
        queries::set_title_source(tx.sql(), thread, FROM_MODEL).await?;
        is_set = true;
    }
    usage::record_request(&mut tx, owner, agent, used).await?;
    tx.commit().await?;
    Ok(is_set)
}
