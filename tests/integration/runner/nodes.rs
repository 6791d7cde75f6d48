//! Turns over restarts and nodes: what waits begins once, in order, wherever it can, and what is over leaves the line.

use netra::protocol::TakeBack;

use super::*;

#[tokio::test]
async fn what_was_stopped_before_it_began_does_not_begin_after_a_restart_either() {
    let house = House::new().await;
    let run = house.accept("script", "panic").await.run_id;
    assert!(threads::request_stop(&house.channels, house.user.id, run).await.expect("noted"));
    let (_, after) = house.node().await;
    assert_eq!(after.recover().await.expect("recovers"), 0);
    assert_eq!(house.until_over(run).await, RunState::Cancelled);
    assert_eq!(house.events(run).await.len(), 2, "its agent is not asked");
}

#[tokio::test]
async fn a_run_that_somebody_stopped_ends_so_though_its_server_died_before_it_heard() {
    let house = House::new().await;
    let run = house.begin("gate").await;
    house.until_open(run).await;
    assert!(threads::request_stop(&house.channels, house.user.id, run).await.expect("noted"));
    let (_, after) = house.node().await;
    assert_eq!(after.recover().await.expect("recovers"), 1);
    assert_eq!(house.until_over(run).await, RunState::Cancelled);
}

#[tokio::test]
async fn a_question_that_cannot_be_given_up_keeps_no_other_waiting() {
    let house = House::new().await;
    let asks = |run| move |view: &ThreadView| view.run(run).is_some_and(|run| !run.open_interrupts().is_empty());
    let broken = house.begin("too late").await;
    house.until(asks(broken)).await;
    // Of two questions with one id none can be answered: agents may not ask so any more, and older logs may have it.
    let doubled =
        r#"UPDATE entries SET entry = REPLACE(entry, '"interrupts":[', '"interrupts":[{"id":"i","reason":"x"},')"#;
    house.sql(doubled).await;
    let thread = thread(&house.channels, &house.user).await;
    let next = house.ask("script", &SendMessage::new(thread, "too late")).await;
    let id = next.run_id;
    house.runner.start(next);
    house.until_of(thread, asks(id)).await;
    let (channels, after) = house.node().await;
    let _tended = Tended::new(&after);
    house.until_of(thread, |view| view.run(id).is_some_and(|run| run.answered.is_some())).await;
    let (_, view) = channels.thread(house.thread).await.expect("reads");
    assert_eq!(view.run(broken).expect("the run").open_interrupts().len(), 2, "it still waits");
}

#[tokio::test]
async fn what_is_accepted_while_the_server_ends_begins_at_the_next_start() {
    let house = House::new().await;
    let run = house.accept("script", "answer").await;
    let id = run.run_id;
    house.runner.shutdown(PATIENCE).await;
    house.runner.start(run);
    assert_eq!((house.runner.active(), house.runner.waiting(house.thread).len()), (0, 1));
    house.runner.leave().await;
    let (_, after) = house.node().await;
    assert_eq!(after.recover().await.expect("recovers"), 0);
    let _tended = Tended::new(&after);
    assert_eq!(house.until_over(id).await, RunState::Finished);
    house.events(id).await;
}

#[tokio::test]
async fn what_is_taken_back_or_deleted_elsewhere_leaves_the_line_though_nobody_says_so() {
    let house = House::with(|options| options.lease = Duration::from_millis(500)).await;
    let going = house.begin("gate").await;
    house.until_open(going).await;
    let message = SendMessage::new(house.thread, "panic");
    let (back, next) = (house.say(&message).await, house.say(&SendMessage::new(house.thread, "answer")).await);
    let places = || house.runner.waiting(house.thread).iter().map(|at| at.waiting.run_id).collect::<Vec<_>>();
    assert_eq!(places(), [back, next]);
    let command = TakeBack { thread_id: house.thread, message_id: message.message_id };
    threads::take_back(&house.channels, &house.user, &command).await.expect("taken back");
    let until = async |line: &[RunId]| {
        let wait = async {
            while places() != line {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("happens at all");
    };
    until(&[next]).await;
    threads::delete(&house.channels, &house.user, &DeleteThread { thread_id: house.thread }).await.expect("deleted");
    until(&[]).await;
    house.gate.add_permits(1);
    house.until_idle().await;
    assert_eq!(
        house.channels.extent(Channel::Thread(house.thread)).await.expect("reads").head,
        0,
        "nothing came after"
    );
}

#[tokio::test]
async fn results_that_come_late_wait_for_what_began_meanwhile_also_on_another_node() {
    let house = House::new().await;
    let left = house.begin("leave a call").await;
    assert_eq!(house.until_over(left).await, RunState::Finished);
    let later = house.begin("gate").await;
    house.until_open(later).await;
    let behind = house.say(&SendMessage::new(house.thread, "answer")).await;
    let (channels, other) = house.node().await;
    let mut results = house.answer(left);
    results.answers[0].interrupt_id = "call".into();
    let asked = threads::answer(&channels, &house.user, &results, None, |_| Ok(())).await.expect("accepted");
    let resumed = asked.run.expect("a run");
    assert!(resumed.blocked, "one of its thread goes on, though asked for later");
    let id = resumed.run_id;
    other.start(resumed);
    let _tended = Tended::new(&other);
    house.gate.add_permits(1);
    for run in [later, id, behind] {
        assert_eq!(house.until_over(run).await, RunState::Finished);
    }
    let of_run = |entry| if let Entry::Thread(ThreadEntry::Agent { run_id, .. }) = entry { Some(run_id) } else { None };
    let mut order: Vec<RunId> =
        log(&house.channels, Channel::Thread(house.thread)).await.into_iter().filter_map(of_run).collect();
    order.dedup();
    assert_eq!(order, [left, later, id, behind], "one after the other");
}
