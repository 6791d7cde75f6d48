use std::sync::Mutex as SyncMutex;

use super::*;
use crate::protocol::{EventPush, Push, RunId, RunPhase, UserEntry, UserId, encode_push};

/// What was delivered, by commit.
#[derive(Default)]
pub(super) struct DeliveryRecorder(SyncMutex<Vec<Vec<(Channel, u64)>>>);

impl Hub for DeliveryRecorder {
    fn deliver(&self, delivery: &Delivery) {
        self.deliver_all(std::slice::from_ref(delivery));
    }

    fn deliver_all(&self, deliveries: &[Delivery]) {
        let delivered = deliveries.iter().map(|delivery| (delivery.channel, delivery.seq)).collect();
        self.0.lock().expect("not poisoned").push(delivered);
    }
}

impl DeliveryRecorder {
    pub(super) fn commits(&self) -> Vec<Vec<(Channel, u64)>> {
        self.0.lock().expect("not poisoned").clone()
    }
}

async fn channels(folder: &tempfile::TempDir) -> (Channels, Arc<DeliveryRecorder>) {
    channels_with_age(folder, MAX_AGE).await
}

pub(super) async fn channels_with_age(
    folder: &tempfile::TempDir,
    max_transaction_age: Duration,
) -> (Channels, Arc<DeliveryRecorder>) {
    let recorder = Arc::new(DeliveryRecorder::default());
    let store = Store::open(folder.path()).await.expect("the store opens");
    let channels = Channels::with_transaction_age(store, recorder.clone(), max_transaction_age);
    (channels.await.expect("the log opens"), recorder)
}

pub(super) fn entries(count: usize) -> Vec<UserEntry> {
    let entry = || UserEntry::Run { thread_id: ThreadId::new(), run_id: RunId::new(), phase: RunPhase::Running };
    (0..count).map(|_| entry()).collect()
}

#[tokio::test]
async fn seq_is_gapless_and_delivery_follows_commit_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let (channels, recorder) = channels(&folder).await;
    let user = UserId::new();
    let mut first = channels.begin().await.expect("the transaction begins");
    assert_eq!(first.append_to_feed(user, &entries(2)).await.expect("the entries are appended"), 2);
    assert!(recorder.commits().is_empty(), "nothing is delivered before it is stored");
    first.commit().await.expect("the transaction commits");
    let mut dropped = channels.begin().await.expect("the transaction begins");
    dropped.append_to_feed(user, &entries(5)).await.expect("the entries are appended");
    drop(dropped);
    let mut second = channels.begin().await.expect("the transaction begins");
    assert_eq!(second.append_to_feed(user, &entries(600)).await.expect("the entries are appended"), 602);
    second.commit().await.expect("the transaction commits");
    let seqs: Vec<u64> = recorder.commits().iter().flatten().map(|(_, seq)| *seq).collect();
    assert_eq!(seqs, (1..=602).collect::<Vec<u64>>());
    let page = channels.page(Channel::User(user), 500).await.expect("the page is read");
    assert_eq!(page.iter().map(|d| d.seq).collect::<Vec<u64>>(), (501..=602).collect::<Vec<u64>>());
    assert_eq!(
        channels.extent(Channel::User(user)).await.expect("the extent is read"),
        Extent { trimmed: 0, head: 602 }
    );
}

#[tokio::test]
async fn the_log_and_its_epoch_survive_a_restart_and_a_kept_snapshot_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let user = UserId::new();
    let (before, _) = channels(&folder).await;
    let mut append = before.begin().await.expect("the transaction begins");
    append.append_to_feed(user, &entries(700)).await.expect("the entries are appended");
    append.commit().await.expect("the transaction commits");
    let folded = before.feed(user).await.expect("the feed is folded");
    before.store().close().await;
    let (after, _) = channels(&folder).await;
    let mut tx = after.store().begin_read().await.expect("the transaction begins");
    assert_eq!(
        queries::snapshot(&mut tx, Channel::User(user)).await.expect("the snapshot is read").map(|(seq, _)| seq),
        Some(700)
    );
    assert_eq!(after.feed(user).await.expect("the feed is folded"), folded);
}

#[test]
fn a_delivery_has_the_push_of_the_wire_and_the_fields_of_its_entry() {
    let (epoch, at) = (Epoch("0badcafe".into()), 1_767_225_600_000);
    for channel in [Channel::Thread(ThreadId::new()), Channel::User(UserId::new())] {
        let entry = entries(1).remove(0);
        let text = serde_json::to_string(&entry).expect("the value is serialized");
        let delivery = Delivery::new(&epoch, channel, 42, at, &text);
        let entry = serde_json::to_value(entry).expect("the value is serialized");
        let push = EventPush { channel: channel.name(), epoch: epoch.clone(), seq: Some(42), at, entry };
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(read(&delivery.frame), read(&encode_push(&Push::Event(push))));
        assert_eq!((delivery.channel, delivery.seq, delivery.at, delivery.entry()), (channel, 42, at, text.as_str()));
    }
}

#[test]
fn a_delivery_of_another_node_is_read_back_whole_or_not_at_all() {
    let (epoch, channel) = (Epoch("e".into()), Channel::Thread(ThreadId::new()));
    let sent = Delivery::new(&epoch, channel, 3, 1_700_000_000_123, r#"{"kind":"custom","at":7}"#);
    let read = |seq, at, frame| Delivery::from_frame(&epoch, channel, seq, at, frame);
    let received = read(3, sent.at, sent.frame.clone()).expect("the entry is valid");
    assert_eq!((received.frame.as_str(), received.entry()), (sent.frame.as_str(), sent.entry()));
    assert!(read(4, sent.at, sent.frame.clone()).is_none(), "another entry's");
    assert!(read(3, 7, sent.frame.clone()).is_none(), "another time");
    assert!(read(3, sent.at, "{}".into()).is_none(), "no push");
}
