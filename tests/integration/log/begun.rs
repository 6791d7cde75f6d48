//! Whether a run has begun or was taken back, when entries quote the ids of other runs and messages.

use netra::{
    protocol::{RunId, SendMessage, TakeBack, agui::Custom},
    server::threads::{self, RunOrder},
};
use serde_json::json;

use crate::{
    log::{delta, entry},
    support::store::on_both_engines,
};

#[tokio::test]
async fn a_run_has_begun_when_it_has_an_entry_and_not_when_another_quotes_it() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let thread = test_store.create_thread(&channels).await;
        let first = test_store.create_run(&channels, thread).await;
        let command = SendMessage::new(thread, "Wait.");
        let send = threads::send(&channels, &test_store.user, &command, None, |_| Ok("script".into()));
        let second = send.await.expect("the message is accepted").accepted;
        let third = test_store.create_run(&channels, thread).await;
        let quotes = [
            json!({"kind": "agent", "run_id": second.run_id}),
            json!({"kind": "agent", "run_id": third}),
            json!({"kind": "taken_back", "message_id": command.message_id}),
        ];
        for quote in quotes {
            let quoting = entry(first, Custom::new("quote", quote));
            channels
                .append(thread, first, &[quoting])
                .await
                .expect("the entries are appended")
                .expect("the run is open");
        }
        let take_back = TakeBack { thread_id: thread, message_id: command.message_id };
        let taken = async || threads::take_back(&channels, &test_store.user, &take_back).await;
        assert_eq!(taken().await.expect("the message is taken back"), Some(second.run_id));
        assert_eq!(taken().await.expect("a repeated command changes nothing"), None);

        let end = async |run: RunId| {
            let mut tx = channels.begin().await.expect("the transaction begins");
            let query = sqlx::query("UPDATE runs SET ended_at = 1 WHERE id = $1").bind(run.to_string());
            query.execute(tx.sql()).await.expect("the statement succeeds");
            tx.commit().await.expect("the transaction commits");
        };
        end(first).await;
        // As a run of the first turn that resumes another.
        let resuming = RunOrder { turn: 2, seq: 1_000 };
        let is_blocked =
            async || threads::is_blocked(&channels, thread, resuming).await.expect("the thread's runs are read");
        assert!(!is_blocked().await, "the third turn has not begun");
        channels
            .append(thread, third, &[delta(third, "x")])
            .await
            .expect("the entries are appended")
            .expect("the run is open");
        assert!(is_blocked().await);
    })
    .await;
}
