//! Tests that the connection ends up subscribed to exactly the channels that the application follows, even if the server
//! refuses some requests at first.

use super::*;
use crate::protocol::limits::MAX_SUBSCRIPTIONS;

fn threads(count: usize) -> Vec<ChannelName> {
    (0..count).map(|_| ChannelName::Thread(ThreadId::new())).collect()
}

impl Simulation {
    /// The server refuses the next command, and its reply arrives.
    fn refuse(&mut self) {
        self.serve(true);
        self.deliver();
    }
}

#[test]
fn a_rate_limited_unsubscribe_is_sent_again() {
    let mut simulation = Simulation::connected();
    let channel = threads(1)[0];
    simulation.handle(Input::Follow(channel, None));
    simulation.settle();
    simulation.handle(Input::Unfollow(channel));
    simulation.refuse();
    assert!(simulation.server.followed.contains(&channel));
    wait(&mut simulation, 699);
    assert_eq!(simulation.server.inbox.len(), 0, "not before `retry_after_ms` has passed");
    simulation.settle();
    assert!(simulation.server.followed.is_empty());
}

#[test]
fn a_channel_that_is_followed_again_before_the_unsubscribe_stays_followed() {
    let mut simulation = Simulation::connected();
    let channel = threads(1)[0];
    simulation.handle(Input::Follow(channel, None));
    simulation.settle();
    simulation.server.append(channel);
    simulation.handle(Input::Unfollow(channel));
    simulation.refuse();
    simulation.handle(Input::Follow(channel, None));
    simulation.refuse();
    simulation.settle();
    assert_eq!(simulation.app.states[&channel].1, [1]);
    simulation.handle(Input::Unfollow(channel));
    simulation.settle();
    assert!(simulation.server.followed.is_empty());
}

#[test]
fn a_channel_keeps_its_slot_until_the_server_accepts_the_unsubscribe() {
    let mut simulation = Simulation::connected();
    let channels = threads(MAX_SUBSCRIPTIONS + 1);
    let (last, first) = channels.split_last().expect("there are some");
    first.iter().for_each(|channel| simulation.handle(Input::Follow(*channel, None)));
    simulation.settle();
    simulation.handle(Input::Unfollow(first[0]));
    simulation.handle(Input::Follow(*last, None));
    simulation.refuse();
    simulation.settle();
    assert_eq!(simulation.server.followed.len(), MAX_SUBSCRIPTIONS);
    assert!(simulation.app.refused.is_empty(), "no subscription exceeded the limit");
}

#[test]
fn a_channel_without_a_slot_is_reported_and_followed_once_a_slot_is_free() {
    let mut simulation = Simulation::connected();
    simulation.server.slots = 1;
    let channels = threads(2);
    for channel in &channels {
        simulation.handle(Input::Follow(*channel, None));
        simulation.serve(false);
        simulation.deliver();
    }
    assert_eq!(simulation.app.refused, [channels[1]]);
    simulation.handle(Input::Unfollow(channels[0]));
    simulation.settle();
    assert!(simulation.app.states.contains_key(&channels[1]));
}

#[derive(Debug, Clone)]
enum Step {
    Arrive,
    /// Opens another thread; beyond the limit, the one opened longest ago is unfollowed.
    View(usize),
    Leave(usize),
    Append(usize),
    Serve(bool),
    Deliver,
    Close,
    Advance(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Arrive),
        6 => (0..THREADS).prop_map(Step::View),
        2 => (0..THREADS).prop_map(Step::Leave),
        1 => (0..THREADS).prop_map(Step::Append),
        8 => prop::bool::weighted(0.5).prop_map(Step::Serve),
        8 => Just(Step::Deliver),
        1 => Just(Step::Close),
        2 => (0..2_000i64).prop_map(Step::Advance),
    ]
}

const THREADS: usize = 6;
const SLOTS: usize = 3;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_refused_exactly_the_wanted_channels_are_followed_in_the_end(
        seed: u64,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let channels = threads(THREADS);
        let mut simulation = Simulation::new(seed);
        simulation.server.slots = SLOTS;
        let mut viewed: VecDeque<ChannelName> = VecDeque::new();
        simulation.handle(Input::SignedIn);
        for step in steps {
            match step {
                Step::Arrive => simulation.arrive(),
                Step::View(n) if viewed.contains(&channels[n]) => {}
                Step::View(n) => {
                    if viewed.len() == SLOTS
                        && let Some(oldest) = viewed.pop_front()
                    {
                        simulation.handle(Input::Unfollow(oldest));
                    }
                    viewed.push_back(channels[n]);
                    simulation.handle(Input::Follow(channels[n], None));
                }
                Step::Leave(n) => {
                    viewed.retain(|viewed| *viewed != channels[n]);
                    simulation.handle(Input::Unfollow(channels[n]));
                }
                Step::Append(n) => simulation.server.append(channels[n]),
                Step::Serve(refuse) => simulation.serve(refuse),
                Step::Deliver => simulation.deliver(),
                Step::Close => simulation.close(1006, ""),
                Step::Advance(ms) => simulation.advance(ms),
            }
        }
        simulation.settle();
        prop_assert_eq!(&simulation.server.followed, &viewed.iter().copied().collect::<HashSet<_>>());
        prop_assert!(viewed.iter().all(|channel| simulation.app.states.contains_key(channel)), "each has a state");
        prop_assert_eq!(simulation.app.faults, 0);
    }
}
