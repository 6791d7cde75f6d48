//! A property test: in any order of events, no entry and no command is lost, repeated or reordered.

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// A pending discovery and handshake succeed.
    Arrive,
    /// The server appends an entry to the channel with this index.
    Append(usize),
    /// The server pushes a signal of this channel.
    Signal(usize),
    /// The server handles the next command, or refuses it.
    Serve(bool),
    /// The server's next frame arrives.
    Deliver,
    DeliverTwice,
    /// The server's next entry is lost.
    Lose,
    /// The connection closes with this code.
    Close(u16),
    /// Time passes, in milliseconds.
    Advance(i64),
    /// The application sends a command.
    Command,
    Follow(usize),
    PageResumed,
    Offline,
    Online,
    PageHidden,
    Reconnect,
    /// The server removes all entries, so that older cursors get a snapshot.
    Compact,
    /// The server restarts with another epoch and empty logs.
    NewEpoch,
    /// The clock is set back, in milliseconds.
    ClockBack(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Arrive),
        6 => (0..3usize).prop_map(Step::Append),
        1 => (0..3usize).prop_map(Step::Signal),
        6 => prop::bool::weighted(0.15).prop_map(Step::Serve),
        8 => Just(Step::Deliver),
        1 => Just(Step::DeliverTwice),
        1 => Just(Step::Lose),
        1 => prop::sample::select(vec![1001, 1006, 1011, 1012, 4000, 4001, 4002]).prop_map(Step::Close),
        4 => (0..40_000i64).prop_map(Step::Advance),
        4 => Just(Step::Command),
        3 => (0..3usize).prop_map(Step::Follow),
        1 => Just(Step::PageResumed),
        1 => Just(Step::Offline),
        1 => Just(Step::Online),
        1 => Just(Step::PageHidden),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Compact),
        1 => Just(Step::NewEpoch),
        1 => (0..5_000i64).prop_map(Step::ClockBack),
    ]
}

impl Simulation {
    /// Takes a step; `commands` counts the commands sent so far.
    fn take_step(&mut self, step: Step, channels: &[ChannelName; 3], commands: &mut u64) {
        match step {
            Step::Arrive => self.arrive(),
            Step::Append(n) => self.server.append(channels[n]),
            Step::Signal(n) => {
                if self.server.followed.contains(&channels[n]) {
                    self.server.push(channels[n], None);
                }
            }
            Step::Serve(refuse) => self.serve(refuse),
            Step::Deliver => self.deliver(),
            Step::DeliverTwice => {
                let again = self.server.outgoing.front().filter(|text| text.contains("\"event\"")).cloned();
                self.deliver();
                if let Some(text) = again {
                    self.handle(Input::Frame(text));
                }
            }
            // The server skips an entry, which it must not do: the machine detects the gap.
            Step::Lose => {
                if self.server.outgoing.front().is_some_and(|text| text.contains("\"event\"")) {
                    self.server.outgoing.pop_front();
                }
            }
            Step::Close(code) => self.close(code, ""),
            Step::Advance(ms) => self.advance(ms),
            Step::Command => {
                self.rename(*commands);
                *commands += 1;
            }
            Step::Follow(n) => self.handle(Input::Follow(channels[n], None)),
            Step::PageResumed => self.handle(Input::PageResumed),
            Step::Offline => self.handle(Input::Offline),
            Step::Online => self.handle(Input::Online),
            Step::PageHidden => self.handle(Input::PageHidden),
            Step::Reconnect => self.handle(Input::Reconnect),
            Step::Compact => self.server.compacted = self.server.heads.values().copied().max().unwrap_or(0),
            Step::NewEpoch => {
                self.close(1012, "");
                self.server.epoch += 1;
                self.server.heads.clear();
                self.server.compacted = 0;
            }
            Step::ClockBack(ms) => self.now -= ms,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// [`Simulation::handle`] and [`Simulation::on_event`] assert along the way.
    #[test]
    fn no_order_of_events_loses_repeats_or_reorders_an_entry_or_command(
        seed: u64,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let channels = [ChannelName::User, ChannelName::Thread(ThreadId::new()), ChannelName::Thread(ThreadId::new())];
        let mut simulation = Simulation::new(seed);
        let mut commands = 0;
        simulation.handle(Input::SignedIn);
        for step in steps {
            simulation.take_step(step, &channels, &mut commands);
        }
        // A skipped entry is detected when the next one arrives.
        for channel in channels {
            simulation.server.append(channel);
        }
        simulation.settle();
        for channel in channels {
            if let Some((epoch, seqs)) = simulation.app.states.get(&channel) {
                prop_assert_eq!(epoch, &simulation.server.epoch());
                let head = simulation.server.heads[&channel];
                prop_assert_eq!(seqs, &(1..=head).collect::<Vec<_>>());
            }
        }
        let answered: Vec<u64> = simulation.app.replies.iter().map(|(token, _)| token.0).collect();
        prop_assert_eq!(answered, (0..commands).collect::<Vec<_>>(), "each exactly once, in order");
        let mut done = simulation.server.done.clone();
        done.sort_by_key(|title| title[1..].parse::<u64>().unwrap_or(0));
        prop_assert_eq!(&done, &simulation.server.done, "commands take effect in the order in which they were sent");
        for (token, outcome) in &simulation.app.replies {
            if outcome.is_ok() {
                prop_assert!(done.contains(&format!("c{}", token.0)), "a successful reply means that the command took effect");
            }
        }
        prop_assert_eq!(simulation.app.faults, 0);
    }
}
