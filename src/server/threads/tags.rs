//! Tags: adding them to threads and removing them, renaming and deleting them, and listing them.
//!
//! Threads have the ids of tags, and the feed has their names, so that a tag of many threads is renamed by one entry.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AnyConnection;

use super::lock_thread;
use crate::{
    protocol::{
        CountedTag, DeleteTag, ErrorCode, RenameTag, Tag, TagId, TagList, TagThreads, ThreadId, ThreadInfo, UserEntry,
        UserId,
        http::User,
        limits::{MAX_TAG_CHARS, MAX_TAGGED_AT_ONCE, MAX_TAGS, MAX_TAGS_PER_THREAD},
    },
    server::{
        access::Access,
        channel::{Channels, CommandTransaction, FeedEntries},
        error::{Error, Result},
        one_line::one_line,
        quotas::lock_user,
        store::row,
    },
};

row! {
    struct StoredTag {
        id: TagId,
        name: String,
        name_key: String,
    }
}

impl From<StoredTag> for Tag {
    fn from(StoredTag { id, name, .. }: StoredTag) -> Self {
        Self { id, name }
    }
}

/// Adds tags to threads, and removes some.
///
/// # Errors
/// `not_found` if a thread is not this person's; `invalid_payload` for a bad name or too many threads; `quota_exceeded` if a thread, or the
/// person, has too many tags then.
pub async fn tag_threads(channels: &Channels, user: &User, command: &TagThreads) -> Result<()> {
    let TagThreads { thread_ids, add, remove } = command;
    if !(1..=MAX_TAGGED_AT_ONCE).contains(&thread_ids.len()) || add.len() > MAX_TAGS || remove.len() > MAX_TAGS {
        let message = format!("a command tags 1 to {MAX_TAGGED_AT_ONCE} threads, with at most {MAX_TAGS} tags");
        return Err(Error::refused(ErrorCode::InvalidPayload, message));
    }
    let names = add.iter().map(|name| one_line(name, "a tag", MAX_TAG_CHARS)).collect::<Result<Vec<_>>>()?;
    let admission = channels.quotas().read_log_bytes(channels.store(), user.id).await?;
    let mut tx = channels.begin().await?;
    // Users before threads, as uploads do, and threads in the order of ids.
    let engine = tx.engine();
    lock_user(engine, tx.sql(), user.id).await?;
    let mut threads = Vec::with_capacity(thread_ids.len());
    for thread in thread_ids.iter().collect::<BTreeSet<_>>() {
        threads.push(lock_thread(&mut tx, user.id, *thread, Access::Own).await?);
    }
    let (added, created) = find_or_create(&mut tx, user.id, &names).await?;
    let mut changed = Vec::new();
    for before in threads {
        let mut after = before.clone();
        after.info.tags = changed_tags(&before.info.tags, &added, remove)?;
        if after.info.tags != before.info.tags {
            changed.push((before, after));
        }
    }
    admission.admit(changed.len() * MAX_TAG_CHARS)?;
    let mut feeds = FeedEntries::default();
    created.into_iter().for_each(|entry| feeds.add(user.id, entry));
    for (before, after) in changed {
        store_tags(tx.sql(), &before.info.tags, &after.info).await?;
        feeds.add_change(&before, &after);
    }
    tx.append_to_feeds(feeds).await?;
    tx.commit().await
}

/// The tags of a thread after a change.
///
/// # Errors
/// `quota_exceeded` if they are too many.
fn changed_tags(before: &[TagId], add: &[TagId], remove: &[TagId]) -> Result<Vec<TagId>> {
    let mut tags: Vec<TagId> = before.iter().copied().filter(|tag| !remove.contains(tag)).collect();
    for tag in add {
        if !tags.contains(tag) {
            tags.push(*tag);
        }
    }
    if tags.len() > MAX_TAGS_PER_THREAD && tags.len() > before.len() {
        let message = format!("a thread has at most {MAX_TAGS_PER_THREAD} tags; remove one first");
        return Err(Error::refused(ErrorCode::QuotaExceeded, message));
    }
    Ok(tags)
}

/// The person's tags with these names. Those that do not exist are created; returns their entries for the feed, too.
async fn find_or_create(
    tx: &mut CommandTransaction,
    owner: UserId,
    names: &[String],
) -> Result<(Vec<TagId>, Vec<UserEntry>)> {
    let (mut ids, mut entries) = (Vec::with_capacity(names.len()), Vec::new());
    if names.is_empty() {
        return Ok((ids, entries));
    }
    let mut known = lock_tags(tx, owner).await?;
    for name in names {
        let key = name.to_lowercase();
        if let Some(tag) = known.get(&key) {
            ids.push(tag.id);
            continue;
        }
        if known.len() >= MAX_TAGS {
            let message = format!("you have {MAX_TAGS} tags, as many as one person has; delete some first");
            return Err(Error::refused(ErrorCode::QuotaExceeded, message));
        }
        let tag = Tag { id: TagId::new(), name: name.clone() };
        let query = sqlx::query("INSERT INTO tags (id, owner, name, name_key) VALUES ($1, $2, $3, $4)");
        query.bind(tag.id).bind(owner).bind(name).bind(&key).execute(tx.sql()).await?;
        ids.push(tag.id);
        entries.push(UserEntry::Tag { tag: tag.clone() });
        known.insert(key, tag);
    }
    Ok((ids, entries))
}

/// The tags of a person, by their names in lower case. Nobody else changes them until the transaction ends.
async fn lock_tags(tx: &mut CommandTransaction, owner: UserId) -> Result<BTreeMap<String, Tag>> {
    let engine = tx.engine();
    lock_user(engine, tx.sql(), owner).await?;
    let query = sqlx::query_as("SELECT id, name, name_key FROM tags WHERE owner = $1").bind(owner);
    let rows: Vec<StoredTag> = query.fetch_all(tx.sql()).await?;
    Ok(rows.into_iter().map(|row| (row.name_key.clone(), row.into())).collect())
}

/// Stores the tags of a thread that had others `before`.
async fn store_tags(connection: &mut AnyConnection, before: &[TagId], thread: &ThreadInfo) -> Result<()> {
    let query = sqlx::query("UPDATE threads SET tags = $2 WHERE id = $1").bind(thread.id);
    query.bind(TagId::list_to_column(&thread.tags)).execute(&mut *connection).await?;
    for tag in before.iter().filter(|tag| !thread.tags.contains(tag)) {
        let query = sqlx::query("DELETE FROM thread_tags WHERE tag_id = $1 AND thread_id = $2");
        query.bind(*tag).bind(thread.id).execute(&mut *connection).await?;
    }
    for tag in thread.tags.iter().filter(|tag| !before.contains(tag)) {
        let sql =
            "INSERT INTO thread_tags (tag_id, thread_id) VALUES ($1, $2) ON CONFLICT (tag_id, thread_id) DO NOTHING";
        sqlx::query(sql).bind(*tag).bind(thread.id).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Gives a tag another name.
///
/// # Errors
/// `not_found`; `invalid_payload` for a bad name; `conflict` if another tag has it.
pub async fn rename_tag(channels: &Channels, user: &User, command: &RenameTag) -> Result<()> {
    let name = one_line(&command.name, "a tag", MAX_TAG_CHARS)?;
    let mut tx = channels.begin().await?;
    let known = lock_tags(&mut tx, user.id).await?;
    let before = known.values().find(|tag| tag.id == command.tag_id).ok_or_else(|| Error::not_found("tag"))?;
    if before.name == name {
        return Ok(());
    }
    let key = name.to_lowercase();
    if known.get(&key).is_some_and(|tag| tag.id != command.tag_id) {
        let message = format!("you have a tag `{name}` already; choose another name");
        return Err(Error::refused(ErrorCode::Conflict, message));
    }
    let query = sqlx::query("UPDATE tags SET name = $2, name_key = $3 WHERE id = $1");
    query.bind(command.tag_id).bind(&name).bind(key).execute(tx.sql()).await?;
    tx.append_to_feed(user.id, &[UserEntry::Tag { tag: Tag { id: command.tag_id, name } }]).await?;
    tx.commit().await
}

/// Deletes a tag, and removes it from all threads.
///
/// # Errors
/// If the store fails.
pub async fn delete_tag(channels: &Channels, user: &User, command: &DeleteTag) -> Result<()> {
    let tag_id = command.tag_id;
    let mut tx = channels.begin().await?;
    // Users before threads, as uploads do, and threads in the order of ids.
    if !lock_tags(&mut tx, user.id).await?.values().any(|tag| tag.id == tag_id) {
        return Ok(());
    }
    let lock = tx.engine().for_update();
    let sql = format!(
        "SELECT id FROM threads WHERE owner = $1 AND id IN (SELECT thread_id FROM thread_tags WHERE tag_id = $2) ORDER BY id{lock}"
    );
    let query = sqlx::query_scalar::<_, ThreadId>(sqlx::AssertSqlSafe(sql)).bind(user.id).bind(tag_id);
    query.fetch_all(tx.sql()).await?;
    let sql = "UPDATE threads SET tags = REPLACE(tags, $1, '') \
               WHERE id IN (SELECT thread_id FROM thread_tags WHERE tag_id = $2)";
    sqlx::query(sql).bind(TagId::list_to_column(&[tag_id])).bind(tag_id).execute(tx.sql()).await?;
    for sql in ["DELETE FROM thread_tags WHERE tag_id = $1", "DELETE FROM tags WHERE id = $1"] {
        sqlx::query(sql).bind(tag_id).execute(tx.sql()).await?;
    }
    tx.append_to_feed(user.id, &[UserEntry::TagRemoved { tag_id }]).await?;
    tx.commit().await
}

/// The tags of a person, by name, and how many threads have each.
///
/// # Errors
/// If the store fails.
pub async fn tags(channels: &Channels, owner: UserId) -> Result<TagList> {
    row! { struct Row { id: TagId, name: String, threads: i64 } }
    let sql = "SELECT t.id, t.name, (SELECT COUNT(*) FROM thread_tags x WHERE x.tag_id = t.id) AS threads \
               FROM tags t WHERE t.owner = $1 ORDER BY t.name_key";
    let rows: Vec<Row> = sqlx::query_as(sql).bind(owner).fetch_all(channels.store().reader()).await?;
    let counted = |Row { id, name, threads }| CountedTag { tag: Tag { id, name }, threads: threads.cast_unsigned() };
    Ok(TagList { tags: rows.into_iter().map(counted).collect() })
}
