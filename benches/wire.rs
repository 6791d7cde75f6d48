//! The cost of an entry without network and store: encoding it as a push frame, and applying it to a thread's view.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use netra::{
    protocol::{
        ChannelName, Epoch, EventPush, Push, RunId, ThreadEntry, ThreadId,
        agui::{Event, RunStarted, TextMessageContent, TextMessageEnd, TextMessageStart},
        encode_push,
    },
    thread::ThreadView,
};
use serde_json::json;

/// Number of entries in the log.
const ENTRIES: usize = 10_000;

/// The log of a run with messages of a hundred deltas.
fn log() -> Vec<ThreadEntry> {
    let (thread, run) = (ThreadId::new(), RunId::new());
    let mut events: Vec<Event> = vec![RunStarted::new(thread, run).into()];
    for message in 0.. {
        let id = format!("m{message}");
        events.push(TextMessageStart::new(&id).into());
        events.extend((0..100).map(|_| Event::from(TextMessageContent::new(&id, "another word "))));
        events.push(TextMessageEnd::new(&id).into());
        if events.len() >= ENTRIES {
            break;
        }
    }
    events.truncate(ENTRIES);
    events.into_iter().map(|event| ThreadEntry::Agent { run_id: run, event: Box::new(event) }).collect()
}

fn fold(criterion: &mut Criterion) {
    let log = log();
    let mut group = criterion.benchmark_group("fold");
    group.throughput(Throughput::Elements(ENTRIES as u64)).sample_size(20);
    group.bench_function("a log of 10,000 entries", |bencher| {
        bencher.iter_batched(
            || log.clone(),
            |log| {
                let mut view = ThreadView::default();
                for (at, entry) in (0..).zip(log) {
                    view.apply(at, entry);
                }
                view
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let entry = &log()[2];
    let push = Push::Event(EventPush {
        channel: ChannelName::Thread(ThreadId::new()),
        epoch: Epoch("0a1b2c3d".into()),
        seq: Some(4711),
        at: 1_700_000_000_123,
        entry: json!(entry),
    });
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Bytes(encode_push(&push).len() as u64));
    group.bench_function("the push of one delta", |bencher| bencher.iter(|| encode_push(black_box(&push))));
    group.finish();
}

criterion_group!(benches, fold, encode);
criterion_main!(benches);
