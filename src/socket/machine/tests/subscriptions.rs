//! What the server follows for a connection is what the application wants in the end, whatever was refused meanwhile.

use super::*;
use crate::protocol::limits::MAX_SUBSCRIPTIONS;

fn threads(count: usize) -> Vec<ChannelName> {
    (0..count).map(|_| ChannelName::Thread(ThreadId::new())).collect()
}

impl World {
    /// The server refuses the next command; what it answers arrives.
    fn refuse(&mut self) {
        self.serve(true);
        self.deliver();
    }
}

#[test]
fn an_unsubscribe_that_is_refused_for_the_moment_is_repeated() {
    let mut world = World::connected();
    let channel = threads(1)[0];
    world.feed(Input::Follow(channel, None));
    world.settle();
    world.feed(Input::Unfollow(channel));
    world.refuse();
    assert!(world.server.followed.contains(&channel));
    wait(&mut world, 699);
    assert_eq!(world.server.inbox.len(), 0, "not before the server wants it");
    world.settle();
    assert!(world.server.followed.is_empty());
}

#[test]
fn a_channel_that_is_wanted_again_before_it_was_left_stays_followed() {
    let mut world = World::connected();
    let channel = threads(1)[0];
    world.feed(Input::Follow(channel, None));
    world.settle();
    world.server.append(channel);
    world.feed(Input::Unfollow(channel));
    world.refuse();
    world.feed(Input::Follow(channel, None));
    world.refuse();
    world.settle();
    assert_eq!(world.app.states[&channel].1, [1]);
    world.feed(Input::Unfollow(channel));
    world.settle();
    assert!(world.server.followed.is_empty());
}

#[test]
fn what_is_being_left_keeps_its_place_until_the_server_agrees() {
    let mut world = World::connected();
    let channels = threads(MAX_SUBSCRIPTIONS + 1);
    let (last, first) = channels.split_last().expect("there are some");
    first.iter().for_each(|channel| world.feed(Input::Follow(*channel, None)));
    world.settle();
    world.feed(Input::Unfollow(first[0]));
    world.feed(Input::Follow(*last, None));
    world.refuse();
    world.settle();
    assert_eq!(world.server.followed.len(), MAX_SUBSCRIPTIONS);
    assert!(world.app.refused.is_empty(), "no subscription was one too many");
}

#[test]
fn a_channel_for_which_the_server_has_no_place_is_told_and_followed_once_there_is_one() {
    let mut world = World::connected();
    world.server.places = 1;
    let channels = threads(2);
    for channel in &channels {
        world.feed(Input::Follow(*channel, None));
        world.serve(false);
        world.deliver();
    }
    assert_eq!(world.app.refused, [channels[1]]);
    world.feed(Input::Unfollow(channels[0]));
    world.settle();
    assert!(world.app.states.contains_key(&channels[1]));
}

#[derive(Debug, Clone)]
enum Step {
    Arrive,
    /// Looks at another thread: the one that was looked at longest ago is left where there are too many.
    View(usize),
    Leave(usize),
    Append(usize),
    Serve(bool),
    Deliver,
    Close,
    Pass(i64),
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
        2 => (0..2_000i64).prop_map(Step::Pass),
    ]
}

const THREADS: usize = 6;
const PLACES: usize = 3;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_refused_exactly_what_is_wanted_is_followed_in_the_end(
        seed: u64,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let channels = threads(THREADS);
        let mut world = World::new(seed);
        world.server.places = PLACES;
        let mut viewed: VecDeque<ChannelName> = VecDeque::new();
        world.feed(Input::SignedIn);
        for step in steps {
            match step {
                Step::Arrive => world.arrive(),
                Step::View(n) if viewed.contains(&channels[n]) => {}
                Step::View(n) => {
                    if viewed.len() == PLACES
                        && let Some(oldest) = viewed.pop_front()
                    {
                        world.feed(Input::Unfollow(oldest));
                    }
                    viewed.push_back(channels[n]);
                    world.feed(Input::Follow(channels[n], None));
                }
                Step::Leave(n) => {
                    viewed.retain(|viewed| *viewed != channels[n]);
                    world.feed(Input::Unfollow(channels[n]));
                }
                Step::Append(n) => world.server.append(channels[n]),
                Step::Serve(refuse) => world.serve(refuse),
                Step::Deliver => world.deliver(),
                Step::Close => world.close(1006, ""),
                Step::Pass(ms) => world.pass(ms),
            }
        }
        world.settle();
        prop_assert_eq!(&world.server.followed, &viewed.iter().copied().collect::<HashSet<_>>());
        prop_assert!(viewed.iter().all(|channel| world.app.states.contains_key(channel)), "each is loaded");
        prop_assert_eq!(world.app.faults, 0);
    }
}
