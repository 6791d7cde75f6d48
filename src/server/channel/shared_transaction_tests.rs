use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use futures_util::future::join_all;

use super::{
    tests::{DeliveryRecorder, channels_with_age, entries},
    *,
};
use crate::{protocol::UserId, server::error::Error};

/// Transactions take further commands however slow this machine is.
const ANY_AGE: Duration = Duration::MAX;

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Commit,
    /// It is refused after it has changed a row and appended an entry.
    Refusal,
    /// Its statement fails, and SQLite rolls the whole transaction back, as it does when the disk is full.
    Rollback,
}

/// A command that stores a row by this name and appends an entry to a feed.
async fn command(channels: &Channels, user: UserId, name: &str, ending: Ending) -> Result<u64> {
    let mut tx = channels.begin().await?;
    let insert = |statement| sqlx::query(statement).bind(name.to_owned());
    insert("INSERT INTO settings (key, value) VALUES ($1, '')").execute(tx.sql()).await?;
    let seq = tx.append_to_feed(user, &entries(1)).await?;
    match ending {
        Ending::Commit => tx.commit().await.map(|()| seq),
        Ending::Refusal => Err(Error::not_found("thread")),
        Ending::Rollback => {
            insert("INSERT OR ROLLBACK INTO settings (key, value) VALUES ($1, '')").execute(tx.sql()).await?;
            Ok(seq)
        }
    }
}

/// Runs commands at once, all of which wait until a first one has committed.
async fn at_once(channels: &Channels, user: UserId, endings: &[Ending]) -> Vec<Result<u64>> {
    let first = channels.begin().await.expect("the transaction begins");
    let names: Vec<String> = (0..endings.len()).map(|number| format!("command/{number}")).collect();
    let commands = names.iter().zip(endings).map(|(name, ending)| command(channels, user, name, *ending));
    // Both are polled in this order, so all wait when the first commits.
    tokio::join!(biased; join_all(commands), first.commit()).0
}

async fn stored(channels: &Channels) -> Vec<String> {
    let sql = "SELECT key FROM settings WHERE key LIKE 'command/%' ORDER BY key";
    sqlx::query_scalar(sql).fetch_all(channels.store().reader()).await.expect("the rows are read")
}

fn seqs(recorder: &DeliveryRecorder) -> Vec<Vec<u64>> {
    let commits = recorder.commits();
    let seqs = commits.iter().map(|commit| commit.iter().map(|(_, seq)| *seq).collect());
    seqs.filter(|commit: &Vec<u64>| !commit.is_empty()).collect()
}

#[tokio::test]
async fn commands_that_wait_share_a_commit_and_are_delivered_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let (channels, recorder) = channels_with_age(&folder, ANY_AGE).await;
    let outcomes = at_once(&channels, UserId::new(), &[Ending::Commit; 8]).await;
    let appended: Vec<u64> = outcomes.into_iter().map(|outcome| outcome.expect("the command succeeds")).collect();
    assert_eq!(appended, (1..=8).collect::<Vec<u64>>());
    assert_eq!(seqs(&recorder), [(1..=8).collect::<Vec<u64>>()]);
    assert_eq!(stored(&channels).await.len(), 8);
}

#[tokio::test]
async fn an_old_transaction_takes_no_further_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let (channels, recorder) = channels_with_age(&folder, Duration::ZERO).await;
    let outcomes = at_once(&channels, UserId::new(), &[Ending::Commit; 3]).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(seqs(&recorder), [[1], [2], [3]]);
}

#[tokio::test]
async fn a_refused_command_changes_nothing_and_the_others_succeed() {
    for refused in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let (channels, recorder) = channels_with_age(&folder, ANY_AGE).await;
        let mut endings = [Ending::Commit; 3];
        endings[refused] = Ending::Refusal;
        let outcomes = at_once(&channels, UserId::new(), &endings).await;
        for (index, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.is_err(), index == refused, "{index}: {outcome:?}");
        }
        assert_eq!(seqs(&recorder).concat(), [1, 2], "the place of the refused command's entry is used by the next");
        assert!(!stored(&channels).await.contains(&format!("command/{refused}")));
    }
}

#[tokio::test]
async fn no_command_succeeds_whose_transaction_sqlite_rolled_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (channels, recorder) = channels_with_age(&folder, ANY_AGE).await;
    let user = UserId::new();
    let outcomes = at_once(&channels, user, &[Ending::Commit, Ending::Commit, Ending::Rollback, Ending::Commit]).await;
    let stored_names = stored(&channels).await;
    for (index, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), stored_names.contains(&format!("command/{index}")), "{index}: {outcome:?}");
    }
    assert!(outcomes[..3].iter().all(Result::is_err), "{outcomes:?}");
    let told_to_retry = |outcome: &Result<u64>| outcome.as_ref().is_err_and(Error::is_out_of_reach);
    assert!(outcomes[..2].iter().all(told_to_retry), "{outcomes:?}");
    let again = command(&channels, user, "command/again", Ending::Commit).await.expect("the next command succeeds");
    assert_eq!(seqs(&recorder).concat().last(), Some(&again));
}

#[tokio::test]
async fn a_command_that_is_cancelled_at_any_moment_stops_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let (channels, recorder) = channels_with_age(&folder, ANY_AGE).await;
    let user = UserId::new();
    let mut committed = 0;
    for polls in 1..40 {
        let cancelled = format!("command/{polls}/cancelled");
        let cancelled = cancel_after(polls, command(&channels, user, &cancelled, Ending::Commit));
        let others: Vec<String> = (0..3).map(|number| format!("command/{polls}/{number}")).collect();
        let others = others.iter().map(|name| command(&channels, user, name, Ending::Commit)).collect::<Vec<_>>();
        let all = async { tokio::join!(biased; cancelled, join_all(others)) };
        let (_, outcomes) =
            tokio::time::timeout(Duration::from_secs(30), all).await.expect("no command waits for ever");
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        committed += 3;
    }
    let delivered = seqs(&recorder).concat();
    assert_eq!(delivered, (1..=delivered.len() as u64).collect::<Vec<u64>>(), "in order and without gaps");
    let rows = stored(&channels).await;
    let done = rows.iter().filter(|name| name.ends_with("cancelled")).count();
    assert_eq!(rows.len(), committed + done);
    assert_eq!(delivered.len(), rows.len(), "each stored row has its entry");
}

/// Polls a future this many times and drops it.
async fn cancel_after(polls: usize, work: impl Future<Output = Result<u64>>) {
    let (mut work, mut left) = (pin!(work), polls);
    poll_fn(|context| {
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Pending if left > 0 => Poll::Pending,
            Poll::Pending | Poll::Ready(_) => Poll::Ready(()),
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_appended_to_a_thread_that_the_same_transaction_deletes_is_not_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let (channels, recorder) = channels_with_age(&folder, ANY_AGE).await;
    let (user, thread) = (UserId::new(), ThreadId::new());
    let first = channels.begin().await.expect("the transaction begins");
    let append = async {
        let mut tx = channels.begin().await?;
        let title = ThreadEntry::TakenBack { message_id: crate::protocol::MessageId::new() };
        tx.append_to_thread(thread, &[title]).await?;
        tx.count_bytes(thread, 10);
        tx.commit().await
    };
    let delete = async {
        let mut tx = channels.begin().await?;
        tx.delete(Channel::Thread(thread)).await?;
        tx.append_to_feed(user, &entries(1)).await?;
        tx.commit().await
    };
    let (appended, deleted, committed) = tokio::join!(biased; append, delete, first.commit());
    appended.and(deleted).and(committed).expect("the transaction commits");
    assert_eq!(recorder.commits(), [[(Channel::User(user), 1)]]);
    let channels_left = "SELECT id FROM channels";
    let left: Vec<Channel> =
        sqlx::query_scalar(channels_left).fetch_all(channels.store().reader()).await.expect("the rows are read");
    assert_eq!(left, [Channel::User(user)]);
}
