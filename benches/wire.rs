//! The cost of an entry without network and store: encoding it as a push frame, and applying it to a thread's view.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use netra::{
    protocol::{
        ChannelName, Epoch, EventPush, Push, RunId, ThreadEntry, ThreadId,
        agui::{Event, RunStarted, TextMessageContent, TextMessageEnd, TextMessageStart},
        encode_push,
    },
    server::{
        channel::{Channel, Delivery},
        ws::CompactEncoder,
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
    deliver(criterion, &serde_json::to_string(entry).expect("the entry is serialized"));
}

/// What the server does for an entry once, and what it does for each connection on `netra.v1.compact`.
fn deliver(criterion: &mut Criterion, entry: &str) {
    let (epoch, channel) = (Epoch("0a1b2c3d".into()), Channel::Thread(ThreadId::new()));
    let delivery = |at| Delivery::new(&epoch, channel, 4711, at, entry);
    let (first, second) = (delivery(1_700_000_000_123), delivery(1_700_000_000_163));
    let mut encoder = CompactEncoder::default();
    encoder.begin(channel);
    encoder.encode(&first);
    println!(
        "bytes of a delta: {} on netra.v1, {} on netra.v1.compact",
        second.frame.len(),
        encoder.encode(&second).len()
    );
    let mut group = criterion.benchmark_group("deliver");
    group.bench_function("an entry with a delta, once", |bencher| {
        bencher.iter(|| delivery(black_box(1_700_000_000_123)))
    });
    group.bench_function("its compact frame, for each connection", |bencher| {
        bencher.iter(|| encoder.encode(black_box(&second)));
    });
    group.finish();
}

criterion_group!(benches, fold, encode);
criterion_main!(benches);
