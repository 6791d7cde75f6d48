//! A transaction that commands share: each hands it to the next command that waits, so that many commands need one commit and their
//! entries are delivered together.
//!
//! Only on SQLite, where commands wait for each other in any case. On PostgreSQL several transactions write at a time; shared ones would
//! hold the locks of all their commands until the commit and block each other.
//!
//! Guarantees: a command that is refused, fails or is dropped changes nothing and touches no other command; a command succeeds only
//! after the commit; each sees the rows that those before it changed.

use std::{
    collections::HashMap,
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Any, AnyConnection, Transaction};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    Channel, Delivery, Shared,
    insert::{PendingEntry, insert},
};
use crate::server::{
    error::{Error, Result},
    metrics,
};

/// The most commands in one transaction.
const MAX_COMMANDS: usize = 128;
/// After this time a transaction takes no further command.
pub(super) const MAX_AGE: Duration = Duration::from_millis(10);

/// What commands change in channels: entries, which are inserted just before the commit, and what else the commit counts or forgets.
#[derive(Debug, Default)]
pub(super) struct ChannelChanges {
    /// In the order in which they were appended.
    pub(super) entries: Vec<AppendedEntry>,
    /// The ends of the logs, with these entries.
    pub(super) heads: HashMap<Channel, u64>,
    /// Bytes that count for a channel but are kept in other tables.
    pub(super) other_bytes: Vec<(Channel, u64)>,
    /// The channels whose logs were trimmed or deleted.
    pub(super) shortened: Vec<Channel>,
    /// The channels that were deleted.
    pub(super) deleted: Vec<Channel>,
}

/// An encoded entry with its place.
#[derive(Debug)]
pub(super) struct AppendedEntry {
    pub(super) channel: Channel,
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) entry: String,
}

impl ChannelChanges {
    /// Adds the changes of the next command.
    fn add(&mut self, next: Self) {
        for channel in &next.deleted {
            self.entries.retain(|entry| entry.channel != *channel);
            self.other_bytes.retain(|(of, _)| of != channel);
            self.heads.remove(channel);
        }
        self.entries.extend(next.entries);
        self.heads.extend(next.heads);
        self.other_bytes.extend(next.other_bytes);
        self.shortened.extend(next.shortened);
    }
}

/// A transaction with the commands that finished in it. Dropping it undoes the current command if that has not finished, and hands the
/// transaction to a command that waits; if none does, it commits the finished commands.
pub(super) struct SharedTransaction(Option<Open>);

struct Open {
    tx: Transaction<'static, Any>,
    shared: Arc<Shared>,
    /// Held until after delivery, so that on SQLite deliveries leave in the order of commits.
    permit: OwnedSemaphorePermit,
    /// When the first command asked for the transaction.
    requested: Instant,
    begun: Instant,
    /// What the finished commands change in the channels.
    changes: ChannelChanges,
    /// The finished commands, which wait for the result of the commit.
    waiting_for_commit: Vec<oneshot::Sender<Result<()>>>,
    savepoint: Savepoint,
}

/// How to undo the changes of the current command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Savepoint {
    /// It is the first command: the whole transaction is rolled back.
    Beginning,
    /// A savepoint was set where it began: rolling back to that undoes it.
    Set,
    /// There is nothing to undo: the last command has finished, and no other has begun. `is_set`: the last command's savepoint is not released
    /// yet.
    End { is_set: bool },
}

impl fmt::Debug for SharedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTransaction").finish_non_exhaustive()
    }
}

impl SharedTransaction {
    /// Begins a transaction, for the holder of a permit.
    pub(super) async fn begin(shared: &Arc<Shared>, permit: OwnedSemaphorePermit, requested: Instant) -> Result<Self> {
        let tx = shared.store.begin().await?;
        Ok(Self(Some(Open {
            tx,
            shared: shared.clone(),
            permit,
            requested,
            begun: Instant::now(),
            changes: ChannelChanges::default(),
            waiting_for_commit: Vec::new(),
            savepoint: Savepoint::Beginning,
        })))
    }

    fn open(&mut self) -> &mut Open {
        self.0.as_mut().expect("it is open until it is dropped")
    }

    pub(super) fn sql(&mut self) -> &mut sqlx::AnyConnection {
        &mut self.open().tx
    }

    /// The end of a log that commands of this transaction appended to.
    pub(super) fn head(&mut self, channel: Channel) -> Option<u64> {
        self.open().changes.heads.get(&channel).copied()
    }

    /// Begins the next command: undoes the last one if it did not finish, and sets the savepoint. This continues even if the caller is
    /// cancelled: otherwise it would not be known whether the savepoint is set.
    pub(super) async fn begin_command(mut self) -> Result<Self> {
        let begin = async move {
            let statement = match self.open().savepoint {
                Savepoint::Beginning => return Ok(self),
                Savepoint::Set => UNDO,
                Savepoint::End { is_set: false } => "SAVEPOINT command",
                Savepoint::End { is_set: true } => "RELEASE command; SAVEPOINT command",
            };
            match move_savepoint(self.sql(), statement).await {
                Ok(()) => self.open().savepoint = Savepoint::Set,
                Err(error) => return Err(self.fail(error)),
            }
            Ok(self)
        };
        tokio::spawn(begin).await.map_err(|error| Error::Corrupt(format!("a transaction failed: {error}")))?
    }

    /// Rolls everything back.
    fn fail(&mut self, error: Error) -> Error {
        let error = Arc::new(error);
        if let Some(Open { tx, waiting_for_commit, permit, .. }) = self.0.take() {
            drop(tx);
            drop(permit);
            report_failure(waiting_for_commit, &error);
        }
        Error::Shared(error)
    }

    /// Ends the current command, keeping its changes. The receiver gets the result of the commit.
    pub(super) fn finish_command(mut self, changes: ChannelChanges) -> oneshot::Receiver<Result<()>> {
        let (command, committed) = oneshot::channel();
        let open = self.open();
        open.changes.add(changes);
        open.waiting_for_commit.push(command);
        open.savepoint = Savepoint::End { is_set: open.savepoint == Savepoint::Set };
        committed
    }
}

impl Drop for SharedTransaction {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        if open.waiting_for_commit.is_empty() {
            // Rolls back; the permit must not be returned before.
            let Open { tx, permit, .. } = open;
            drop(tx);
            drop(permit);
            return;
        }
        let takes_more =
            open.waiting_for_commit.len() < MAX_COMMANDS && open.begun.elapsed() < open.shared.max_transaction_age;
        if let Some(open) = if takes_more { hand_to_next(open) } else { Some(open) } {
            tokio::spawn(open.commit());
        }
    }
}

/// Undoes what was changed after the savepoint.
const UNDO: &str = "ROLLBACK TO command";

/// Sets the savepoint or returns to it. If there is none, SQLite has rolled back the transaction by itself, as it may when the disk fails:
/// nothing was stored, and the same commands may work later.
async fn move_savepoint(connection: &mut AnyConnection, statement: &'static str) -> Result<()> {
    let lost = |error| sqlx::Error::Io(io::Error::other(error));
    Ok(sqlx::raw_sql(statement).execute(connection).await.map(drop).map_err(lost)?)
}

/// Hands a transaction to a command that waits; returns it if none does.
fn hand_to_next(open: Open) -> Option<Open> {
    let shared = open.shared.clone();
    let mut handed = SharedTransaction(Some(open));
    while let Some(waiting) = shared.permits.next_waiting() {
        match waiting.send(handed) {
            Ok(()) => return None,
            // It got a permit, or was cancelled.
            Err(back) => handed = back,
        }
    }
    handed.0.take()
}

impl Open {
    /// Commits the finished commands, and delivers their entries.
    async fn commit(self) {
        let Self { mut tx, shared, permit, requested, changes, waiting_for_commit, savepoint, .. } = self;
        let entries = changes.entries.len();
        let result = async {
            if savepoint == Savepoint::Set {
                move_savepoint(&mut tx, UNDO).await?;
            }
            let deliveries = insert_expected(&shared, &mut tx, &changes).await?;
            shared.commit(tx, deliveries).await
        };
        let result = result.await;
        // After an error, too: the commit may have happened.
        shared.extents.forget(changes.shortened);
        if result.is_err() {
            shared.extents.forget(changes.heads.into_keys());
        }
        drop(permit);
        match result {
            Ok(()) => {
                metrics::committed(waiting_for_commit.len(), entries, requested.elapsed());
                // A cancelled command no longer waits, but its changes are committed too.
                waiting_for_commit.into_iter().for_each(|command| drop(command.send(Ok(()))));
            }
            Err(error) => {
                report_failure(waiting_for_commit, &Arc::new(error));
            }
        }
    }
}

fn report_failure(commands: Vec<oneshot::Sender<Result<()>>>, error: &Arc<Error>) {
    commands.into_iter().for_each(|command| drop(command.send(Err(Error::Shared(error.clone())))));
}

/// Inserts the entries and returns the deliveries. Fails if an entry gets another `seq` than its command was given.
async fn insert_expected(
    shared: &Shared,
    connection: &mut AnyConnection,
    changes: &ChannelChanges,
) -> Result<Vec<Delivery>> {
    let ChannelChanges { entries, other_bytes, .. } = changes;
    let mut pending = Vec::with_capacity(entries.len());
    for AppendedEntry { channel, at, entry, .. } in entries {
        pending.push(PendingEntry { channel: *channel, at: *at, entry });
    }
    let deliveries = insert(shared, connection, &pending, other_bytes).await?;
    match deliveries.iter().zip(entries).find(|(delivery, expected)| delivery.seq != expected.seq) {
        None => Ok(deliveries),
        Some((delivery, _)) => {
            Err(Error::Corrupt(format!("the log of {} does not end where it should", delivery.channel)))
        }
    }
}
