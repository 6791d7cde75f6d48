//! Finds texts and puts the best first.
//!
//! Common words match so many texts that ranking all would take too long. So of the titles, and of the other texts, only the newest
//! [`MAX_CANDIDATES`] that match are ranked; older ones are not found until the query has further words. This holds for the user's own
//! threads, and for those that others share with the user.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
};

use sqlx::AssertSqlSafe;

use super::{
    excerpt::excerpt,
    query::{Query, Strictness},
    time_of,
};
use crate::{
    protocol::{
        MessageId, RunId, TagId, ThreadId, UserId,
        http::{SearchHit, SearchHitKind, SearchPage},
    },
    server::{
        error::{Error, Result},
        offload,
        store::{Engine, Store, chunks, placeholders, row},
    },
};

/// How many matching titles, and how many other texts, are ranked: the newest.
const MAX_CANDIDATES: i64 = 1_000;
/// Threads of how many other users are searched.
const MAX_OWNERS: i64 = 200;
/// On SQLite, for shared threads: of the matching texts of those users, the newest so many are looked at, to find those in shared threads.
const MAX_OWNERS_TEXTS: i64 = 20_000;

/// A position in the ranking; the hits of the next page come after it. Texts that are newer than the first page stay out of the
/// pages that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchPlace {
    newest: i64,
    last: Candidate,
}

impl fmt::Display for SearchPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.newest, self.last.rank, self.last.id)
    }
}

impl FromStr for SearchPlace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = || {
            let (newest, rest) = text.split_once('.')?;
            let (rank, id) = rest.split_once('.')?;
            let last = Candidate { rank: rank.parse().ok()?, id: id.parse().ok()? };
            Some(Self { newest: newest.parse().ok()?, last })
        };
        place().ok_or("not a place in the results; use the `next` of a page")
    }
}

/// A text that matches. The better ones are greater, and of equally good ones the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u8,
    id: i64,
}

/// Which texts are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Titles,
    MessagesAndAnswers,
}

impl Scope {
    pub(super) fn of(kind: SearchHitKind) -> Self {
        if kind == SearchHitKind::Title { Self::Titles } else { Self::MessagesAndAnswers }
    }

    /// The word of SQLite's index that stands for the texts of a person in this scope. No word of a text has its first character.
    pub(super) fn marker(self, owner: UserId) -> String {
        let scope = match self {
            Self::Titles => 't',
            Self::MessagesAndAnswers => 'm',
        };
        format!("_{scope}{}", owner.to_string().replace('-', ""))
    }

    /// A condition of PostgreSQL.
    fn condition(self) -> &'static str {
        match self {
            Self::Titles => "kind = 'title'",
            Self::MessagesAndAnswers => "kind <> 'title'",
        }
    }
}

/// A page of what was found in the threads that a user may read, at most `limit` texts: the first page, or the one after a place.
///
/// # Errors
/// If the store fails.
pub async fn find(
    store: &Store,
    user: UserId,
    query: Query,
    limit: usize,
    after: Option<SearchPlace>,
) -> Result<SearchPage> {
    find_tagged(store, user, query, None, limit, after).await
}

/// Like [`find`]. With a tag, it searches only the user's own threads that have the tag.
///
/// # Errors
/// If the store fails.
pub async fn find_tagged(
    store: &Store,
    user: UserId,
    query: Query,
    tag: Option<TagId>,
    limit: usize,
    after: Option<SearchPlace>,
) -> Result<SearchPage> {
    let mut threads = vec![Threads::Own(tag)];
    if tag.is_none() {
        let owners = owners_of_shared(store, user).await?;
        threads.extend((!owners.is_empty()).then_some(Threads::Shared(owners)));
    }
    let newest = after.map_or(i64::MAX, |after| after.newest);
    let mut candidates = Vec::new();
    for threads in &threads {
        let searched = Searched { store, user, query: &query, threads };
        for scope in [Scope::Titles, Scope::MessagesAndAnswers] {
            candidates.extend(ranked(searched, scope, newest).await?);
        }
    }
    let newest = candidates.iter().map(|candidate| candidate.id).max().unwrap_or_default();
    candidates.retain(|candidate| after.is_none_or(|after| *candidate < after.last));
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    let is_last = candidates.len() <= limit;
    candidates.truncate(limit);
    let next = candidates.last().filter(|_| !is_last).map(|last| SearchPlace { newest, last: *last }.to_string());
    let ids: Vec<i64> = candidates.iter().map(|candidate| candidate.id).collect();
    let texts = texts(store, user, &ids).await?;
    let hits = move || ids.iter().filter_map(|id| texts.get(id)?.hit(&query)).collect();
    Ok(SearchPage { hits: offload::run(hits).await?, next })
}

/// Those who share threads with a user, at most [`MAX_OWNERS`]: those who did so last.
async fn owners_of_shared(store: &Store, user: UserId) -> Result<Vec<UserId>> {
    let sql = "SELECT t.owner FROM thread_members m JOIN threads t ON t.id = m.thread_id \
               WHERE m.user_id = $1 AND t.deleted_at IS NULL GROUP BY t.owner ORDER BY MAX(m.added_at) DESC LIMIT $2";
    let query = sqlx::query_scalar(sql).bind(user).bind(MAX_OWNERS);
    Ok(query.fetch_all(store.reader()).await?)
}

/// Which threads are searched.
enum Threads {
    /// The user's own, if there is a tag only those that have it.
    Own(Option<TagId>),
    /// Those that these users share with the user.
    Shared(Vec<UserId>),
}

impl Threads {
    /// The table that has these threads, and its column for the tag or the user. `None`: all of the user's own.
    fn table(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Own(None) => None,
            Self::Own(Some(_)) => Some(("thread_tags", "tag_id")),
            Self::Shared(_) => Some(("thread_members", "user_id")),
        }
    }
}

/// What is searched for, and where.
#[derive(Clone, Copy)]
struct Searched<'a> {
    store: &'a Store,
    user: UserId,
    query: &'a Query,
    threads: &'a Threads,
}

/// The newest texts of a scope that match, with their ranks.
async fn ranked(searched: Searched<'_>, scope: Scope, newest: i64) -> Result<Vec<Candidate>> {
    let all = matching(searched, scope, Strictness::Any, (0, newest)).await?;
    let Some(oldest) = all.iter().min().copied() else { return Ok(Vec::new()) };
    let mut better = Vec::new();
    for strictness in [Strictness::WholeWords, Strictness::InOrder] {
        if searched.query.distinguishes(strictness) {
            let ids = matching(searched, scope, strictness, (oldest, newest)).await?;
            better.push(ids.into_iter().collect::<HashSet<i64>>());
        }
    }
    let rank = |id: &i64| {
        let better = better.iter().filter(|ids| ids.contains(id)).count();
        u8::try_from(better).unwrap_or_default() + if scope == Scope::Titles { 4 } else { 0 }
    };
    Ok(all.iter().map(|id| Candidate { rank: rank(id), id: *id }).collect())
}

/// The newest matching texts between two ids.
async fn matching(
    searched: Searched<'_>,
    scope: Scope,
    strictness: Strictness,
    (oldest, newest): (i64, i64),
) -> Result<Vec<i64>> {
    let Searched { store, user, query, threads } = searched;
    let (found, words) = match store.engine() {
        Engine::Sqlite => {
            let (markers, looked_at) = match threads {
                Threads::Own(_) => (vec![scope.marker(user)], String::new()),
                // The index knows whose a text is, but not its thread.
                Threads::Shared(owners) => (
                    owners.iter().map(|owner| scope.marker(*owner)).collect(),
                    format!(" ORDER BY rowid DESC LIMIT {MAX_OWNERS_TEXTS}"),
                ),
            };
            let in_threads = |(table, column): (&str, &str)| {
                format!(
                    " WHERE EXISTS (SELECT 1 FROM search_texts text JOIN {table} ON {table}.thread_id = text.thread_id \
                     WHERE text.id = matching.id AND {table}.{column} = $5)"
                )
            };
            let found = format!(
                "SELECT id FROM (SELECT rowid AS id FROM search_index WHERE search_index MATCH $1 AND rowid BETWEEN $2 AND $3{looked_at}) \
                 AS matching{} ORDER BY id DESC LIMIT $4",
                threads.table().map(in_threads).unwrap_or_default()
            );
            (found, query.fts5(strictness, &markers))
        }
        Engine::Postgres => {
            let (owner, number) = if matches!(threads, Threads::Own(_)) { (" AND owner = $5", 6) } else { ("", 5) };
            let in_threads = |(table, column): (&str, &str)| {
                format!(" AND thread_id IN (SELECT thread_id FROM {table} WHERE {column} = ${number})")
            };
            let (scope, threads) = (scope.condition(), threads.table().map(in_threads).unwrap_or_default());
            let found = format!(
                "SELECT id FROM search_texts WHERE words @@ CAST($1 AS TSQUERY) AND id BETWEEN $2 AND $3{owner} AND {scope}{threads} \
                 ORDER BY id DESC LIMIT $4"
            );
            (found, query.tsquery(strictness))
        }
    };
    // One row, as many rows take longer to read than to find.
    let sql = format!("SELECT string_agg(CAST(id AS TEXT), ',') FROM ({found}) AS found");
    let mut statement = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql));
    statement = statement.bind(words).bind(oldest).bind(newest).bind(MAX_CANDIDATES);
    if store.engine() == Engine::Postgres {
        // Planned for these words each time: whether they are rare or common decides how to search.
        statement = statement.persistent(false);
    }
    if store.engine() == Engine::Postgres || matches!(threads, Threads::Shared(_)) {
        statement = statement.bind(user);
    }
    if let Threads::Own(Some(tag)) = threads {
        statement = statement.bind(*tag);
    }
    let ids = statement.fetch_one(store.reader()).await?.unwrap_or_default();
    let unreadable = |_| Error::Corrupt("the ids of search cannot be read".into());
    ids.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().map_err(unreadable)).collect()
}

row! {
    /// A text with its thread.
    struct Text {
        id: i64,
        thread_id: ThreadId,
        title: String,
        kind: String,
        message_id: Option<MessageId>,
        run_id: Option<RunId>,
        text: String,
    }
}

/// The texts of these ids. Access is checked once more: nobody sees a text of a thread that they may not read, whatever the index has.
async fn texts(store: &Store, user: UserId, ids: &[i64]) -> Result<HashMap<i64, Text>> {
    let engine = store.engine();
    let mut texts = HashMap::with_capacity(ids.len());
    for chunk in chunks(ids) {
        let ([owner, member], ids) =
            ([1, 2].map(|number| engine.placeholder(number)), placeholders(engine, 3, chunk.len()));
        let sql = format!(
            "SELECT s.id, s.thread_id, t.title, s.kind, s.message_id, s.run_id, s.text FROM search_texts s \
             JOIN threads t ON t.id = s.thread_id \
             WHERE (t.owner = {owner} OR EXISTS (SELECT 1 FROM thread_members m WHERE m.thread_id = t.id AND m.user_id = {member})) \
             AND t.deleted_at IS NULL AND s.id IN ({ids})"
        );
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(user).bind(user);
        for id in chunk {
            query = query.bind(*id);
        }
        let rows: Vec<Text> = query.fetch_all(store.reader()).await?;
        texts.extend(rows.into_iter().map(|text| (text.id, text)));
    }
    Ok(texts)
}

impl Text {
    fn hit(&self, query: &Query) -> Option<SearchHit> {
        Some(SearchHit {
            thread_id: self.thread_id,
            title: self.title.clone(),
            kind: match self.kind.as_str() {
                "title" => SearchHitKind::Title,
                "message" => SearchHitKind::Message,
                "answer" => SearchHitKind::Answer,
                _ => return None,
            },
            message_id: self.message_id,
            run_id: self.run_id,
            at: time_of(self.id),
            excerpt: excerpt(&self.text, query),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_parses_as_it_was_written() {
        let place = SearchPlace { newest: i64::MAX, last: Candidate { rank: 6, id: 12 } };
        assert_eq!(place.to_string().parse(), Ok(place));
        for wrong in ["", "1", "1.2", "a.1.2", "1.300.2"] {
            assert!(wrong.parse::<SearchPlace>().is_err(), "{wrong}");
        }
    }
}
