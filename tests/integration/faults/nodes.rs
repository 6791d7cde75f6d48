//! Several nodes over one PostgreSQL and one NATS: restarted in turn, killed in mid-run, and left alone by both.

use std::time::{Duration, Instant};

use netra::protocol::{ChannelName, CreateThread, Entry, SendMessage, ThreadEntry, ThreadId, agui::Event};
use tokio::time::{sleep, timeout};

use super::{
    chaos::Chaos,
    holds,
    plan::{Operation, Plan},
    proxy::Proxy,
    witness::Witness,
};
use crate::support::{ADMIN, Engine, PATIENCE, Setup, recorded};

/// A plan of people who are left alone, but for what the test does.
fn quiet() -> Plan {
    Plan { clients: 3, ..Plan::from_environment(0) }
}

/// Waits until people were answered so many times more: whatever happened, life goes on.
async fn goes_on(chaos: &Chaos, messages: usize) {
    let aim = chaos.acknowledged() + messages;
    let going = async {
        while chaos.acknowledged() < aim {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, going).await.expect("messages are acknowledged again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_and_repeats_nothing() {
    let plan = quiet();
    let chaos = Chaos::begin(Engine::Distributed, 3, plan.clone(), |setup| setup).await;
    let rolling = async {
        for node in 0..chaos.nodes() {
            goes_on(&chaos, 5).await;
            // As whoever balances the load does: new connections go where somebody is.
            chaos.lead_away_from(node);
            chaos.perform(node, Operation::Restart).await;
        }
        goes_on(&chaos, 5).await;
    };
    holds(plan.seed, &chaos.live_through(rolling).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_may_crash_and_come_back_under_open_sockets() {
    let plan = quiet();
    let chaos = Chaos::begin(Engine::Distributed, 2, plan.clone(), |setup| setup).await;
    let before = chaos.connection_ids();
    let crashing = async {
        for away in [0, 3_000] {
            goes_on(&chaos, 5).await;
            chaos.perform(0, Operation::StoreAway(Duration::from_millis(away))).await;
        }
        goes_on(&chaos, 5).await;
    };
    let outcome = chaos.live_through(crashing).await;
    assert_eq!(chaos.connection_ids(), before, "sockets stay open");
    holds(plan.seed, &outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_may_crash_or_be_gone_for_long_and_nobody_is_restarted() {
    let plan = quiet();
    let chaos = Chaos::begin(Engine::Distributed, 2, plan.clone(), |setup| setup).await;
    let before = chaos.connection_ids();
    let long = std::env::var("NETRA_CHAOS_BUS_AWAY_MS").map_or(6_000, |ms| ms.parse().expect("milliseconds"));
    let crashing = async {
        for away in [0, long] {
            goes_on(&chaos, 5).await;
            let (chaos, away) = (&chaos, Duration::from_millis(away));
            // While it is away people are served, each by the node that has their connection.
            tokio::join!(chaos.perform(0, Operation::BusAway(away)), goes_on(chaos, 5));
        }
        goes_on(&chaos, 5).await;
    };
    let outcome = chaos.live_through(crashing).await;
    assert_eq!(chaos.connection_ids(), before, "sockets stay open");
    holds(plan.seed, &outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_node_is_killed_ends_within_the_lease_and_can_be_started_again() {
    let lease = Duration::from_secs(15);
    let first = Setup::default().engine(Engine::Distributed).file(&recorded(20)).start().await;
    let backends = first.backends().expect("they are shared").clone();
    let second = Setup::default().on(&backends).file(&recorded(1_000)).empty().await;
    let token = first.token(ADMIN).await;
    let asking = Witness::new("the one who asks".into(), Proxy::to(first.address()).await, token.clone());
    let watching = Witness::new("the one who watches".into(), Proxy::to(second.address()).await, token);
    let thread_id = ThreadId::new();
    let (title, agent) = (None, Some("replay".to_owned()));
    asking.send(CreateThread { thread_id, title, agent }).await.expect("made");
    watching.follow(ChannelName::Thread(thread_id), None).await;
    let say = |text: &str| SendMessage::new(thread_id, text);
    asking.send(say("Where do my tokens go?")).await.expect("accepted");
    // In the middle of it.
    watching.until_place(ChannelName::Thread(thread_id), 20).await;
    let killed = Instant::now();
    let _down = first.kill().await;
    let code = ended(&watching, thread_id, lease + Duration::from_secs(3)).await;
    println!("a killed node's run ended elsewhere after {:.1} s, as {code:?}", killed.elapsed().as_secs_f64());
    assert!(killed.elapsed() <= lease, "{:?}", killed.elapsed());
    assert_eq!(code.as_deref(), Some("server_lost"));
    watching.send(say("Once more.")).await.expect("accepted");
    let code = ended(&watching, thread_id, PATIENCE).await;
    assert_eq!(code, None, "the same again, on a node that lives");
}

/// Waits for one more end of a run than there was; answers its error's code, if it failed.
async fn ended(witness: &Witness, thread: ThreadId, within: Duration) -> Option<String> {
    let ends = |notes: &super::witness::Notes| -> Vec<Option<String>> {
        let parts = notes.tracks.get(&ChannelName::Thread(thread)).map(|track| track.parts.as_slice());
        let entries = parts.unwrap_or_default().iter().flat_map(|part| &part.entries);
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
    let mut notes = witness.notes();
    let before = ends(&notes.borrow()).len();
    let ended = timeout(within, notes.wait_for(|notes| ends(notes).len() > before)).await;
    ended.expect("a run ends in time").map(|notes| ends(&notes).pop()).ok().flatten().flatten()
}
