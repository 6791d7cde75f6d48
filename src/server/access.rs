//! What a user may do with a thread: nothing, read it, write in it, or everything because it is theirs. [`Access::of`] alone decides it, from
//! the thread's owner and the user's row in `thread_members`; every command and route that concerns a thread asks for the access that it needs.
//! `docs/architecture.md` lists them, and `tests/integration/members/mod.rs` tries each of them as every kind of user.
//!
//! Guarantees: a command checks in the transaction of its change, with the thread's row locked, and whoever changes members locks that row
//! too; so a command that succeeds was allowed when it was committed. To a user without access a thread does not exist (`not_found`); a
//! member who may do less than it takes gets `forbidden`.

use std::collections::HashMap;

use parking_lot::Mutex;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::{
    bounded_cache::BoundedCache,
    error::{Error, Result},
    store::{Engine, Lookups, Store, chunks, placeholders, row},
};
use crate::protocol::{
    ErrorCode, Member, MemberRole, Person, RunPhase, SharedThread, TagId, Temporary, ThreadId, ThreadInfo,
    ThreadMembers, UserEntry, UserId,
};

/// The most owners that are cached; each takes about 60 bytes.
const MAX_CACHED_OWNERS: usize = 200_000;

/// What a user may do with a thread. The later ones include the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing: for this user, the thread does not exist.
    None,
    /// Read it, follow it and copy it.
    Read,
    /// Send messages, answer, stop runs.
    Write,
    /// Everything: it is the user's own.
    Own,
}

impl Access {
    /// What `user` may do with a thread of `owner`, if `role` is the user's role as a member of the thread.
    #[must_use]
    pub fn of(user: UserId, owner: UserId, role: Option<MemberRole>) -> Self {
        match role {
            _ if user == owner => Self::Own,
            Some(MemberRole::Write) => Self::Write,
            Some(MemberRole::Read) => Self::Read,
            None => Self::None,
        }
    }

    /// Refuses what needs more than this.
    ///
    /// # Errors
    /// `not_found` without access, else `forbidden`.
    pub fn require(self, needed: Self) -> Result<()> {
        let message = match (self, needed) {
            (has, needed) if has >= needed => return Ok(()),
            (Self::None, _) => return Err(Error::not_found("thread")),
            (_, Self::Own) => "only the owner of this thread can do this",
            _ => "you can only read this thread; ask its owner to let you write",
        };
        Err(Error::refused(ErrorCode::Forbidden, message))
    }
}

/// How a role is stored.
#[must_use]
pub fn role_column(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Read => "read",
        MemberRole::Write => "write",
    }
}

/// A stored role. One that this version does not know allows as little as possible.
fn stored_role(column: &str) -> MemberRole {
    if column == "write" { MemberRole::Write } else { MemberRole::Read }
}

/// A member, and what they set for their own list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMember {
    /// Who, and what they may do.
    pub member: Member,
    /// Whether they pinned the thread.
    pub pinned: bool,
    /// Whether they archived it.
    pub archived: bool,
}

/// A thread's row with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadRow {
    /// The thread with its owner's marks and tags, and without members.
    pub info: ThreadInfo,
    /// The owner. The name is read only if the thread has members.
    pub owner: Person,
    /// The members, in the order in which they were added.
    pub members: Vec<ListedMember>,
}

impl ThreadRow {
    /// What a user may do with the thread.
    #[must_use]
    pub fn access(&self, user: UserId) -> Access {
        Access::of(user, self.owner.id, self.listed(user).map(|listed| listed.member.role))
    }

    fn listed(&self, user: UserId) -> Option<&ListedMember> {
        self.members.iter().find(|listed| listed.member.user.id == user)
    }

    /// The thread as it is in the list of its owner, or of a member.
    #[must_use]
    pub fn info_for(&self, user: UserId) -> ThreadInfo {
        let listed = self.listed(user);
        let shared = (!self.members.is_empty())
            .then(|| SharedThread { owner: self.owner.clone(), role: listed.map(|listed| listed.member.role) });
        let (pinned, archived) =
            listed.map_or((self.info.pinned, self.info.archived), |listed| (listed.pinned, listed.archived));
        // Tags, and the title of the thread that this one was forked from, are for the owner only.
        let info = if user == self.owner.id { self.info.clone() } else { self.info.for_log() };
        ThreadInfo { pinned, archived, shared, ..info }
    }

    /// Changes the thread to what a user made of it: title and agent for all, the marks for this user.
    pub fn change(&mut self, user: UserId, changed: &ThreadInfo) {
        self.info.title.clone_from(&changed.title);
        self.info.agent.clone_from(&changed.agent);
        match self.members.iter_mut().find(|listed| listed.member.user.id == user) {
            Some(listed) => (listed.pinned, listed.archived) = (changed.pinned, changed.archived),
            None => (self.info.pinned, self.info.archived) = (changed.pinned, changed.archived),
        }
    }

    /// The owner and the members.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        std::iter::once(self.owner.id).chain(self.members.iter().map(|listed| listed.member.user.id))
    }

    /// The owner and the members, as the thread's log has them.
    #[must_use]
    pub fn members(&self) -> ThreadMembers {
        let members = self.members.iter().map(|listed| listed.member.clone()).collect();
        ThreadMembers { owner: self.owner.clone(), members }
    }

    /// An entry about a run as the feed of a user gets it: a run that asks has only ended for those who cannot answer.
    #[must_use]
    pub fn entry_for(&self, user: UserId, entry: &UserEntry) -> UserEntry {
        match entry {
            UserEntry::Run { thread_id, run_id, phase: RunPhase::Interrupted } if self.access(user) < Access::Write => {
                UserEntry::Run { thread_id: *thread_id, run_id: *run_id, phase: RunPhase::Finished }
            }
            entry => entry.clone(),
        }
    }
}

row! {
    struct Row {
        id: ThreadId,
        owner: UserId,
        title: String,
        agent: String,
        created_at: i64,
        pinned: i64,
        archived: i64,
        forked_from: Option<String>,
        delete_at: Option<i64>,
        idle_minutes: Option<i64>,
        tags: String,
        members: i64,
    }
}

/// Reads threads with their members; deleted threads are left out. `lock` is appended to the statement that reads the rows, in the order of ids.
/// Members are read after that, so with a lock they are those of that moment, on PostgreSQL too.
///
/// # Errors
/// If the store fails.
pub async fn read_threads(
    connection: &mut AnyConnection,
    engine: Engine,
    threads: &[ThreadId],
    lock: &'static str,
) -> Result<HashMap<ThreadId, ThreadRow>> {
    let mut rows = HashMap::with_capacity(threads.len());
    let mut shared = Vec::new();
    for chunk in chunks(threads) {
        let ids = placeholders(engine, 1, chunk.len());
        let sql = format!(
            "SELECT id, owner, title, agent, created_at, pinned, archived, forked_from, delete_at, idle_minutes, tags, members \
             FROM threads WHERE id IN ({ids}) AND deleted_at IS NULL ORDER BY id{lock}"
        );
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        for thread in chunk {
            query = query.bind(*thread);
        }
        let found: Vec<Row> = query.fetch_all(&mut *connection).await?;
        for row in found {
            if row.members > 0 {
                shared.push(row.id);
            }
            rows.insert(row.id, thread_row(row)?);
        }
    }
    for thread in shared {
        if let Some(row) = rows.get_mut(&thread) {
            read_members(connection, row).await?;
        }
    }
    Ok(rows)
}

fn thread_row(row: Row) -> Result<ThreadRow> {
    let Row { id, owner, title, agent, created_at, forked_from, .. } = row;
    let info = ThreadInfo {
        pinned: row.pinned != 0,
        archived: row.archived != 0,
        forked_from: forked_from.as_deref().map(serde_json::from_str).transpose()?,
        temporary: Temporary::from_columns(row.delete_at, row.idle_minutes),
        tags: TagId::list_from_column(&row.tags),
        ..ThreadInfo::new(id, title, agent, created_at)
    };
    Ok(ThreadRow { info, owner: Person { id: owner, name: String::new() }, members: Vec::new() })
}

/// Reads a thread's members, and the name of its owner.
///
/// # Errors
/// If the store fails.
pub async fn read_members(connection: &mut AnyConnection, thread: &mut ThreadRow) -> Result<()> {
    row! { struct MemberRow { user_id: UserId, name: String, role: String, pinned: i64, archived: i64 } }
    let sql = "SELECT m.user_id, u.name, m.role, m.pinned, m.archived FROM thread_members m JOIN users u ON u.id = m.user_id \
               WHERE m.thread_id = $1 ORDER BY m.added_at, m.user_id";
    let found: Vec<MemberRow> = sqlx::query_as(sql).bind(thread.info.id).fetch_all(&mut *connection).await?;
    let listed = |row: MemberRow| ListedMember {
        member: Member { user: Person { id: row.user_id, name: row.name }, role: stored_role(&row.role) },
        pinned: row.pinned != 0,
        archived: row.archived != 0,
    };
    thread.members = found.into_iter().map(listed).collect();
    let name = sqlx::query_scalar("SELECT name FROM users WHERE id = $1").bind(thread.owner.id);
    thread.owner.name = name.fetch_one(connection).await?;
    Ok(())
}

/// A thread with its members; see [`read_threads`].
///
/// # Errors
/// `not_found`; if the store fails.
pub async fn read_thread(
    connection: &mut AnyConnection,
    engine: Engine,
    thread: ThreadId,
    lock: &'static str,
) -> Result<ThreadRow> {
    let found = read_threads(connection, engine, &[thread], lock).await?.remove(&thread);
    found.ok_or_else(|| Error::not_found("thread"))
}

/// The owners of threads, cached: a thread never changes its owner, so an owner that was read once stays valid.
#[derive(Debug)]
pub struct Owners {
    lookups: Lookups<ThreadId, UserId>,
    known: Mutex<BoundedCache<ThreadId, UserId>>,
}

impl Default for Owners {
    fn default() -> Self {
        Self { lookups: Lookups::default(), known: Mutex::new(BoundedCache::new(MAX_CACHED_OWNERS)) }
    }
}

impl Owners {
    /// The owner of a thread; `None` if there is no such thread. It may have been deleted since it was read.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn owner(&self, store: &Store, thread: ThreadId) -> Result<Option<UserId>> {
        if let Some(owner) = self.known.lock().get(&thread).copied() {
            return Ok(Some(owner));
        }
        let statement = {
            let store = store.clone();
            move |threads: Vec<ThreadId>| {
                let store = store.clone();
                async move { owners(&store, &threads).await }
            }
        };
        let owner = self.lookups.get(thread, statement).await?;
        if let Some(owner) = owner {
            self.known.lock().insert(thread, owner, 1);
        }
        Ok(owner)
    }

    /// What a user may do with a thread, which may have been deleted: the caller reads its log next, which a deleted one does not have. Of the
    /// owner, this reads nothing if the owner is cached; roles are read each time.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn access(&self, store: &Store, user: UserId, thread: ThreadId) -> Result<Access> {
        let Some(owner) = self.owner(store, thread).await? else { return Ok(Access::None) };
        if owner == user {
            return Ok(Access::of(user, owner, None));
        }
        let query =
            sqlx::query_scalar::<_, String>("SELECT role FROM thread_members WHERE thread_id = $1 AND user_id = $2");
        let role = query.bind(thread).bind(user).fetch_optional(store.reader()).await?;
        Ok(Access::of(user, owner, role.as_deref().map(stored_role)))
    }
}

/// The owner of each of these threads; threads that do not exist are left out.
async fn owners(store: &Store, threads: &[ThreadId]) -> Result<HashMap<ThreadId, UserId>> {
    row! { struct OwnerRow { id: ThreadId, owner: UserId } }
    let mut owners = HashMap::with_capacity(threads.len());
    for chunk in chunks(threads) {
        let ids = placeholders(store.engine(), 1, chunk.len());
        let sql = format!("SELECT id, owner FROM threads WHERE id IN ({ids}) AND deleted_at IS NULL");
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        for thread in chunk {
            query = query.bind(*thread);
        }
        let rows: Vec<OwnerRow> = query.fetch_all(store.reader()).await?;
        owners.extend(rows.into_iter().map(|row| (row.id, row.owner)));
    }
    Ok(owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_what_the_owner_gave_and_nothing_to_strangers() {
        let (owner, other) = (UserId::new(), UserId::new());
        assert_eq!(Access::of(owner, owner, None), Access::Own);
        assert_eq!(Access::of(other, owner, Some(MemberRole::Write)), Access::Write);
        assert_eq!(Access::of(other, owner, Some(MemberRole::Read)), Access::Read);
        assert_eq!(Access::of(other, owner, None), Access::None);
        assert_eq!(stored_role("a role of a newer version"), MemberRole::Read);
        for role in [MemberRole::Read, MemberRole::Write] {
            assert_eq!(stored_role(role_column(role)), role);
        }
    }

    #[test]
    fn a_thread_does_not_exist_for_strangers_and_members_are_told_what_they_may_not_do() {
        let code = |has: Access, needed| match has.require(needed) {
            Ok(()) => None,
            Err(Error::Refused(body)) => Some(body.code),
            Err(error) => panic!("{error}"),
        };
        let all = [Access::Read, Access::Write, Access::Own];
        for needed in all {
            assert_eq!(code(Access::None, needed), Some(ErrorCode::NotFound));
            for has in all {
                assert_eq!(code(has, needed), (has < needed).then_some(ErrorCode::Forbidden), "{has:?} {needed:?}");
            }
        }
    }
}
