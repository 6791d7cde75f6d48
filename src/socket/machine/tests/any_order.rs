//! Whatever happens, in any order: nothing is lost, doubled or reordered.

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Arrive,
    Append(usize),
    Ephemeral(usize),
    Serve(bool),
    Deliver,
    DeliverTwice,
    Lose,
    Close(u16),
    Pass(i64),
    Command,
    Follow(usize),
    Woke,
    Offline,
    Online,
    Left,
    Reconnect,
    Compact,
    NewEpoch,
    Back(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Arrive),
        6 => (0..3usize).prop_map(Step::Append),
        1 => (0..3usize).prop_map(Step::Ephemeral),
        6 => prop::bool::weighted(0.15).prop_map(Step::Serve),
        8 => Just(Step::Deliver),
        1 => Just(Step::DeliverTwice),
        1 => Just(Step::Lose),
        1 => prop::sample::select(vec![1001, 1006, 1011, 1012, 4000, 4001, 4002]).prop_map(Step::Close),
        4 => (0..40_000i64).prop_map(Step::Pass),
        4 => Just(Step::Command),
        3 => (0..3usize).prop_map(Step::Follow),
        1 => Just(Step::Woke),
        1 => Just(Step::Offline),
        1 => Just(Step::Online),
        1 => Just(Step::Left),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Compact),
        1 => Just(Step::NewEpoch),
        1 => (0..5_000i64).prop_map(Step::Back),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The assertions on the way are in [`World::feed`] and [`World::told`].
    #[test]
    fn whatever_happens_no_entry_and_no_command_is_lost_doubled_or_reordered(
        seed: u64,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let channels = [ChannelName::User, ChannelName::Thread(ThreadId::new()), ChannelName::Thread(ThreadId::new())];
        let mut world = World::new(seed);
        let mut commands = 0;
        world.feed(Input::SignedIn);
        for step in steps {
            match step {
                Step::Arrive => world.arrive(),
                Step::Append(n) => world.server.append(channels[n]),
                Step::Ephemeral(n) => {
                    if world.server.followed.contains(&channels[n]) {
                        world.server.push(channels[n], None);
                    }
                }
                Step::Serve(refuse) => world.serve(refuse),
                Step::Deliver => world.deliver(),
                Step::DeliverTwice => {
                    let again = world.server.wire.front().filter(|text| text.contains("\"event\"")).cloned();
                    world.deliver();
                    if let Some(text) = again {
                        world.feed(Input::Frame(text));
                    }
                }
                // A server that skips an entry (it must not): the gap is seen.
                Step::Lose => {
                    if world.server.wire.front().is_some_and(|text| text.contains("\"event\"")) {
                        world.server.wire.pop_front();
                    }
                }
                Step::Close(code) => world.close(code, ""),
                Step::Pass(ms) => world.pass(ms),
                Step::Command => {
                    world.rename(commands);
                    commands += 1;
                }
                Step::Follow(n) => world.feed(Input::Follow(channels[n], None)),
                Step::Woke => world.feed(Input::Woke),
                Step::Offline => world.feed(Input::Offline),
                Step::Online => world.feed(Input::Online),
                Step::Left => world.feed(Input::Left),
                Step::Reconnect => world.feed(Input::Reconnect),
                Step::Compact => world.server.compacted = world.server.heads.values().copied().max().unwrap_or(0),
                Step::NewEpoch => {
                    world.close(1012, "");
                    world.server.epoch += 1;
                    world.server.heads.clear();
                    world.server.compacted = 0;
                }
                Step::Back(ms) => world.now -= ms,
            }
        }
        // Whatever was skipped by the server shows with the next entry.
        for channel in channels {
            world.server.append(channel);
        }
        world.settle();
        for channel in channels {
            if let Some((epoch, places)) = world.app.states.get(&channel) {
                prop_assert_eq!(epoch, &world.server.epoch());
                let head = world.server.heads[&channel];
                prop_assert_eq!(places, &(1..=head).collect::<Vec<_>>());
            }
        }
        let answered: Vec<u64> = world.app.replies.iter().map(|(token, _)| token.0).collect();
        prop_assert_eq!(answered, (0..commands).collect::<Vec<_>>(), "each once, in order");
        let mut done = world.server.done.clone();
        done.sort_by_key(|title| title[1..].parse::<u64>().unwrap_or(0));
        prop_assert_eq!(&done, &world.server.done, "done in the order given");
        for (token, outcome) in &world.app.replies {
            if outcome.is_ok() {
                prop_assert!(done.contains(&format!("c{}", token.0)), "answered, so done");
            }
        }
        prop_assert_eq!(world.app.faults, 0);
    }
}
