//! What is followed and sent, when, and what becomes of it.

use super::*;

#[test]
fn subscriptions_go_before_commands_and_from_where_they_were() {
    let mut world = World::connected();
    let cursor = Cursor { epoch: world.server.epoch(), seq: 3 };
    world.server.heads.insert(ChannelName::User, 3);
    world.close(1006, "");
    world.rename(0);
    world.feed(Input::Follow(ChannelName::User, Some(cursor)));
    wait(&mut world, 500);
    world.arrive();
    assert!(world.sent[0].contains(r#""after":{"epoch":"e0","seq":3}"#), "{:?}", world.sent);
    assert!(world.sent[1].contains("rename_thread"));
}

#[test]
fn a_thread_that_is_still_to_be_made_is_followed_once_it_is() {
    let mut world = World::connected();
    let thread_id = ThreadId::new();
    let create = crate::protocol::CreateThread { thread_id, title: None, agent: None };
    world.feed(Input::Send(Token(0), create.into()));
    world.feed(Input::Follow(ChannelName::Thread(thread_id), None));
    assert_eq!(world.sent.len(), 1, "the subscription waits");
    world.feed(Input::Frame(encode_reply(1, &Ok(json!({})))));
    assert!(world.sent[1].contains("subscribe"));
}

#[test]
fn a_refused_channel_is_told_and_tried_again_on_the_next_connection() {
    let mut world = World::connected();
    let channel = ChannelName::Thread(ThreadId::new());
    world.feed(Input::Follow(channel, None));
    world.feed(Input::Frame(encode_reply(1, &Err(ErrorBody::new(ErrorCode::NotFound, "no such thread")))));
    assert_eq!(world.app.refused, [channel]);
    wait(&mut world, 2_000);
    assert_eq!(world.sent.len(), 1);
    world.close(1006, "");
    world.settle();
    assert!(world.app.states.contains_key(&channel));
}

#[test]
fn the_outbox_is_bounded_and_says_so() {
    let mut world = World::connected();
    world.close(1006, "");
    for token in 0..=outbox::MOST_WAITING as u64 {
        world.rename(token);
    }
    assert_eq!(world.machine.waiting(), outbox::MOST_WAITING);
    let [(token, Err(error))] = &world.app.replies[..] else { panic!("one is refused: {:?}", world.app.replies) };
    assert_eq!((token.0, error.code), (outbox::MOST_WAITING as u64, ErrorCode::Unavailable));
}

#[test]
fn a_command_larger_than_a_frame_is_refused_here() {
    let mut world = World::connected();
    let rename = crate::protocol::RenameThread { thread_id: ThreadId::new(), title: "x".repeat(3000) };
    world.feed(Input::Send(Token(0), rename.into()));
    world.rename(1);
    assert!(matches!(&world.app.replies[..], [(Token(0), Err(error))] if error.code == ErrorCode::TooLarge));
    assert_eq!(world.sent.len(), 1, "the next one goes on");
}

#[test]
fn a_command_that_is_never_answered_is_given_up_in_the_end() {
    let mut world = World::connected();
    world.rename(0);
    for _ in 0..10 {
        assert!(world.app.replies.is_empty());
        world.close(1006, "");
        come_back(&mut world);
    }
    assert!(matches!(&world.app.replies[..], [(Token(0), Err(error))] if error.code == ErrorCode::Unavailable));
}
