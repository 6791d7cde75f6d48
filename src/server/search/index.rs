//! Indexes what was appended to a thread.

use std::{collections::HashSet, fmt::Write};

use sqlx::AssertSqlSafe;

use super::{
    find::Scope,
    new_id,
    words::{Word, normalize, words},
};
use crate::{
    protocol::{
        Entry, MessageId, NodeBody, RunId, RunView, ThreadEntry, ThreadId, ThreadView, UserId,
        agui::{Event, TextRole},
        http::SearchHitKind,
    },
    server::{
        channel::{Channel, Channels, CommandTransaction, Delivery, PAGE},
        error::Result,
        store::{Engine, chunks, placeholders, row},
        threads::UNTITLED,
    },
};

/// A transaction with more texts or bytes than these takes no further text, so that others soon can write.
const MAX_TEXTS: usize = 64;
const MAX_BYTES: usize = 256 * 1024;

/// Indexes the entries of a thread that were not indexed yet, in as many transactions as necessary.
///
/// # Errors
/// If the store fails; what was committed stays.
pub(super) async fn index_thread(channels: &Channels, thread: ThreadId) -> Result<()> {
    let sql = "SELECT indexed_seq FROM search_progress WHERE thread_id = $1";
    let indexed: Option<i64> = sqlx::query_scalar(sql).bind(thread).fetch_optional(channels.store().reader()).await?;
    let mut indexed = indexed.unwrap_or_default().cast_unsigned();
    let channel = Channel::Thread(thread);
    let mut view = None;
    loop {
        let page = channels.page(channel, indexed).await?;
        let is_last = page.len() < PAGE as usize;
        let mut changes = Changes::read(&page, indexed);
        let is_whole = page.last().is_none_or(|last| changes.seq == last.seq);
        if is_last && is_whole {
            // The last entries may have been trimmed.
            changes.seq = changes.seq.max(channels.extent(channel).await?.head);
        }
        if changes.seq == indexed {
            return Ok(());
        }
        changes.read_answers(channels, thread, &mut view).await?;
        if !changes.store(channels, thread, indexed).await? || (is_last && is_whole) {
            return Ok(());
        }
        indexed = changes.seq;
    }
}

/// A text to index.
#[derive(Debug)]
struct Text {
    kind: SearchHitKind,
    message_id: Option<MessageId>,
    run_id: Option<RunId>,
    at: i64,
    text: String,
}

/// What entries of a thread change.
#[derive(Debug, Default)]
struct Changes {
    /// The last of these entries.
    seq: u64,
    /// When the thread got another title.
    titled_at: Option<i64>,
    /// Messages, and answers of runs that ended.
    texts: Vec<Text>,
    /// Messages whose earlier text may have been stored before.
    edited: Vec<MessageId>,
    /// Runs that ended.
    ended: Vec<RunId>,
}

impl Changes {
    /// Reads entries, until there are enough for a transaction.
    fn read(page: &[Delivery], indexed: u64) -> Self {
        let (mut changes, mut bytes) = (Self { seq: indexed, ..Self::default() }, 0);
        for delivery in page {
            // Texts of runs are read when the run has ended.
            if delivery.around_delta().is_none() {
                bytes += changes.read_entry(delivery);
            }
            changes.seq = delivery.seq;
            if changes.texts.len() + changes.ended.len() >= MAX_TEXTS || bytes >= MAX_BYTES {
                break;
            }
        }
        changes
    }

    /// Reads an entry; returns the bytes of its text.
    fn read_entry(&mut self, delivery: &Delivery) -> usize {
        // An entry that cannot be read has nothing to find.
        let Ok(value) = serde_json::from_str(delivery.entry()) else { return 0 };
        match Entry::decode(delivery.channel.name(), value) {
            Entry::Thread(ThreadEntry::Thread { .. }) => self.titled_at = Some(delivery.at),
            Entry::Thread(ThreadEntry::Message { message }) => {
                let text = normalize(&message.content);
                let bytes = text.len();
                let (message_id, run_id) = (Some(message.id), Some(message.run_id));
                self.texts.push(Text { kind: SearchHitKind::Message, message_id, run_id, at: delivery.at, text });
                return bytes;
            }
            Entry::Thread(ThreadEntry::Edited { message_id, run_id, content, .. }) => {
                let (text, message_id, run_id) = (normalize(&content), Some(message_id), Some(run_id));
                let bytes = text.len();
                self.texts.retain(|known| known.kind != SearchHitKind::Message || known.message_id != message_id);
                self.edited.extend(message_id);
                self.texts.push(Text { kind: SearchHitKind::Message, message_id, run_id, at: delivery.at, text });
                return bytes;
            }
            Entry::Thread(ThreadEntry::Agent { run_id, event }) => {
                if matches!(*event, Event::RunFinished(_) | Event::RunError(_)) {
                    self.ended.push(run_id);
                }
            }
            _ => {}
        }
        0
    }

    /// Adds the answers of the runs that ended, from the thread's view, which is read if it is older than the runs' ends.
    async fn read_answers(
        &mut self,
        channels: &Channels,
        thread: ThreadId,
        view: &mut Option<(u64, ThreadView)>,
    ) -> Result<()> {
        if self.ended.is_empty() {
            return Ok(());
        }
        if view.as_ref().is_none_or(|(seq, _)| *seq < self.seq) {
            let (cursor, read) = channels.thread(thread).await?;
            *view = Some((cursor.seq, read));
        }
        let Some((_, view)) = view else { return Ok(()) };
        for run in self.ended.iter().filter_map(|run| view.run(*run)) {
            let text = normalize(&answer(run));
            let (message_id, run_id) = (run.message_id, Some(run.run_id));
            let at = run.ended_at.unwrap_or(run.started_at);
            self.texts.push(Text { kind: SearchHitKind::Answer, message_id, run_id, at, text });
        }
        Ok(())
    }

    /// Stores the texts, and that the thread is indexed up to these entries. Returns false, and changes nothing, if the thread was deleted or is temporary, or
    /// another node has indexed it meanwhile.
    async fn store(&self, channels: &Channels, thread: ThreadId, indexed: u64) -> Result<bool> {
        row! { struct Row { owner: UserId, title: String } }
        let mut tx = channels.begin().await?;
        let lock = tx.engine().for_share();
        // Whatever deletes texts of the thread locks its row first.
        let sql = format!(
            "SELECT owner, title FROM threads WHERE id = $1 AND deleted_at IS NULL AND delete_at IS NULL{lock}"
        );
        let row = sqlx::query_as(AssertSqlSafe(sql)).bind(thread).fetch_optional(tx.sql()).await?;
        let Some(Row { owner, title }) = row else { return Ok(false) };
        let sql = "INSERT INTO search_progress (thread_id, indexed_seq) VALUES ($1, $2) ON CONFLICT (thread_id) \
                   DO UPDATE SET indexed_seq = excluded.indexed_seq WHERE search_progress.indexed_seq = $3";
        let moved = sqlx::query(sql).bind(thread).bind(self.seq.cast_signed()).bind(indexed.cast_signed());
        if moved.execute(tx.sql()).await?.rows_affected() == 0 {
            return Ok(false);
        }
        if let Some(at) = self.titled_at {
            let sql = "DELETE FROM search_texts WHERE thread_id = $1 AND kind = 'title'";
            sqlx::query(sql).bind(thread).execute(tx.sql()).await?;
            if title != UNTITLED {
                let text = normalize(&title);
                let title = Text { kind: SearchHitKind::Title, message_id: None, run_id: None, at, text };
                insert(&mut tx, owner, thread, &title).await?;
            }
        }
        for message in &self.edited {
            let sql = "DELETE FROM search_texts WHERE thread_id = $1 AND message_id = $2 AND kind = 'message'";
            sqlx::query(sql).bind(thread).bind(*message).execute(tx.sql()).await?;
        }
        let kept = self.kept_runs(&mut tx, thread).await?;
        for text in self.texts.iter().filter(|text| text.run_id.is_some_and(|run| kept.contains(&run))) {
            insert(&mut tx, owner, thread, text).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The runs of the texts that were neither taken back nor deleted since.
    async fn kept_runs(&self, tx: &mut CommandTransaction, thread: ThreadId) -> Result<HashSet<RunId>> {
        let (engine, mut kept) = (tx.engine(), HashSet::new());
        let runs: Vec<RunId> = self.texts.iter().filter_map(|text| text.run_id).collect();
        for chunk in chunks(&runs) {
            let (first, ids) = (engine.placeholder(1), placeholders(engine, 2, chunk.len()));
            let sql =
                format!("SELECT id FROM runs WHERE thread_id = {first} AND taken_back_at IS NULL AND id IN ({ids})");
            let mut query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(thread);
            for run in chunk {
                query = query.bind(*run);
            }
            let found: Vec<RunId> = query.fetch_all(tx.sql()).await?;
            kept.extend(found);
        }
        Ok(kept)
    }
}

/// The text of a run: what its agent and the sub-agents said, without reasoning and tools.
fn answer(run: &RunView) -> String {
    let texts = run.nodes.iter().filter_map(|node| match &node.body {
        NodeBody::Text { role: TextRole::Assistant, text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

/// Inserts a text that has words into the table and the index.
async fn insert(tx: &mut CommandTransaction, owner: UserId, thread: ThreadId, text: &Text) -> Result<()> {
    const COLUMNS: &str = "id, owner, thread_id, kind, message_id, run_id, text";
    let engine = tx.engine();
    let words = words(&text.text);
    if words.is_empty() {
        return Ok(());
    }
    let index = match engine {
        Engine::Sqlite => fts5_words(&Scope::of(text.kind).marker(owner), &words),
        Engine::Postgres => tsvector(&words),
    };
    let (column, value) = match engine {
        Engine::Sqlite => ("", ""),
        Engine::Postgres => (", words", ", CAST($8 AS TSVECTOR)"),
    };
    let sql = format!(
        "INSERT INTO search_texts ({COLUMNS}{column}) VALUES ($1, $2, $3, $4, $5, $6, $7{value}) ON CONFLICT (id) DO NOTHING"
    );
    for tries in 0.. {
        let id = new_id(text.at, tries);
        let query = sqlx::query(AssertSqlSafe(sql.clone())).bind(id).bind(owner).bind(thread).bind(name(text.kind));
        let mut query = query.bind(text.message_id).bind(text.run_id).bind(&text.text);
        if engine == Engine::Postgres {
            query = query.bind(&index);
        }
        // Another text of the same millisecond may have the id.
        if query.execute(tx.sql()).await?.rows_affected() == 0 {
            continue;
        }
        if engine == Engine::Sqlite {
            let sql = "INSERT INTO search_index (rowid, words) VALUES ($1, $2)";
            sqlx::query(sql).bind(id).bind(&index).execute(tx.sql()).await?;
        }
        break;
    }
    Ok(())
}

/// A kind as it is stored.
fn name(kind: SearchHitKind) -> &'static str {
    match kind {
        SearchHitKind::Title => "title",
        SearchHitKind::Message => "message",
        SearchHitKind::Answer => "answer",
    }
}

/// What SQLite indexes.
fn fts5_words(marker: &str, words: &[Word]) -> String {
    let mut text = marker.to_owned();
    for Word { word, .. } in words {
        text.push(' ');
        text.push_str(word);
    }
    text
}

/// What PostgreSQL indexes: words with their positions.
fn tsvector(words: &[Word]) -> String {
    let mut text = String::new();
    for (position, Word { word, .. }) in (1..).zip(words) {
        // Writing to a string cannot fail.
        let _ = write!(text, "'{word}':{position} ");
    }
    text
}
