//! Several nodes over one PostgreSQL and one NATS: nodes restarted in turn, killed during a run, and cut off from both.

use std::time::{Duration, Instant};

use netra::protocol::{ChannelName, CreateThread, Entry, SendMessage, ThreadEntry, ThreadId, agui::Event};
use tokio::time::{sleep, timeout};

use super::{
    assert_ok,
    chaos::Chaos,
    client_recorder::ClientRecorder,
    plan::{Operation, Plan},
    proxy::Proxy,
};
use crate::support::{ADMIN, Deployment, Setup, TEST_TIMEOUT, replay_agent};

/// A plan without faults but those of the test.
fn without_faults() -> Plan {
    Plan { clients: 3, ..Plan::from_environment(0) }
}

/// Waits until this many more messages are acknowledged.
async fn until_acknowledged(chaos: &Chaos, messages: usize) {
    let aim = chaos.acknowledged() + messages;
    let going = async {
        while chaos.acknowledged() < aim {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(TEST_TIMEOUT, going).await.expect("messages are acknowledged again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_and_repeats_nothing() {
    let plan = without_faults();
    let chaos = Chaos::start(Deployment::Distributed, 3, plan.clone(), |setup| setup).await;
    let rolling = async {
        for node in 0..chaos.nodes() {
            until_acknowledged(&chaos, 5).await;
            // As a load balancer does, which sends new connections to a node that is up.
            chaos.redirect_clients_of(node);
            chaos.perform(node, Operation::Restart).await;
        }
        until_acknowledged(&chaos, 5).await;
    };
    assert_ok(plan.seed, &chaos.run_during(rolling).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_stay_open_while_postgresql_crashes_and_restarts() {
    let plan = without_faults();
    let chaos = Chaos::start(Deployment::Distributed, 2, plan.clone(), |setup| setup).await;
    let before = chaos.connection_ids();
    let crashing = async {
        for outage_ms in [0, 3_000] {
            until_acknowledged(&chaos, 5).await;
            chaos.perform(0, Operation::StoreDown(Duration::from_millis(outage_ms))).await;
        }
        until_acknowledged(&chaos, 5).await;
    };
    let report = chaos.run_during(crashing).await;
    assert_eq!(chaos.connection_ids(), before, "sockets stay open");
    assert_ok(plan.seed, &report);
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_stay_open_while_nats_crashes_or_is_down_for_long() {
    let plan = without_faults();
    let chaos = Chaos::start(Deployment::Distributed, 2, plan.clone(), |setup| setup).await;
    let before = chaos.connection_ids();
    let long = std::env::var("NETRA_CHAOS_BUS_AWAY_MS").map_or(6_000, |ms| ms.parse().expect("milliseconds"));
    let crashing = async {
        for outage_ms in [0, long] {
            until_acknowledged(&chaos, 5).await;
            let (chaos, outage) = (&chaos, Duration::from_millis(outage_ms));
            // Without NATS each node still serves its own connections.
            tokio::join!(chaos.perform(0, Operation::BusDown(outage)), until_acknowledged(chaos, 5));
        }
        until_acknowledged(&chaos, 5).await;
    };
    let report = chaos.run_during(crashing).await;
    assert_eq!(chaos.connection_ids(), before, "sockets stay open");
    assert_ok(plan.seed, &report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_node_is_killed_ends_within_the_lease_and_can_be_started_again() {
    let lease = Duration::from_secs(15);
    let first = Setup::default().deployment(Deployment::Distributed).file(&replay_agent(20)).start().await;
    let backends = first.backends().expect("shared backends").clone();
    let second = Setup::default().on(&backends).file(&replay_agent(1_000)).start_without_accounts().await;
    let token = first.token(ADMIN).await;
    let asking = ClientRecorder::new("the sender".into(), Proxy::new(first.address()).await, token.clone());
    let watching = ClientRecorder::new("the reader".into(), Proxy::new(second.address()).await, token);
    let thread_id = ThreadId::new();
    let (title, agent) = (None, Some("replay".to_owned()));
    asking.send(CreateThread { thread_id, title, agent }).await.expect("the thread is created");
    watching.follow(ChannelName::Thread(thread_id), None).await;
    let say = |text: &str| SendMessage::new(thread_id, text);
    asking.send(say("Where do my tokens go?")).await.expect("the command is accepted");
    // During the run.
    watching.until_seq(ChannelName::Thread(thread_id), 20).await;
    let killed = Instant::now();
    let _down = first.kill().await;
    let code = ended(&watching, thread_id, lease + Duration::from_secs(3)).await;
    println!("a killed node's run ended elsewhere after {:.1} s, as {code:?}", killed.elapsed().as_secs_f64());
    assert!(killed.elapsed() <= lease, "{:?}", killed.elapsed());
    assert_eq!(code.as_deref(), Some("server_lost"));
    watching.send(say("Once more.")).await.expect("the command is accepted");
    let code = ended(&watching, thread_id, TEST_TIMEOUT).await;
    assert_eq!(code, None, "the next run succeeds on the other node");
}

/// Waits until one more run ends; returns the code of its error, if it failed.
async fn ended(client: &ClientRecorder, thread: ThreadId, within: Duration) -> Option<String> {
    let ends = |record: &super::client_recorder::ClientRecord| -> Vec<Option<String>> {
        let segments =
            record.channels.get(&ChannelName::Thread(thread)).map(|channel_record| channel_record.segments.as_slice());
        let entries = segments.unwrap_or_default().iter().flat_map(|segment| &segment.entries);
        let end = |entry: &Entry| match entry {
            Entry::Thread(ThreadEntry::Agent { event, .. }) => match &**event {
                Event::RunFinished(_) => Some(None),
                Event::RunError(error) => Some(error.code.clone()),
                _ => None,
            },
            _ => None,
        };
        entries.filter_map(|(_, _, entry)| end(entry)).collect()
    };
    let mut record = client.record();
    let before = ends(&record.borrow()).len();
    let ended = timeout(within, record.wait_for(|record| ends(record).len() > before)).await;
    ended.expect("a run ends in time").map(|record| ends(&record).pop()).ok().flatten().flatten()
}
